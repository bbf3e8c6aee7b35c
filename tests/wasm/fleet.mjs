// A fleet server as its operator runs it, behind a proxy that tests can make unfaithful.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { native, nativeJson, need, root, scratch } from "./native.mjs";

/** Bundles of magika: file and digest, by version. */
const packed = new Map();

/** Version 1 is of floats, 2 is quantised, 3 says in its golden vectors what it does not compute, 4 has its labels in another order. */
export function bundle(version) {
  const known = packed.get(version);
  if (known) return known;
  const file = join(scratch, `magika-${version}.sdl`);
  const recipe = version === "4" ? mislabelled() : join(root, "examples/magika/sanderling.toml");
  native("pack", recipe, "--version", version, ...(version === "1" ? [] : ["--quantise", "int8"]), "--out", file);
  if (version === "3") writeFileSync(file, withWrongVectors(readFileSync(file)));
  const made = { file, version, digest: createHash("sha256").update(readFileSync(file)).digest("hex") };
  packed.set(version, made);
  return made;
}

function mislabelled() {
  const folder = join(scratch, "mislabelled");
  cpSync(join(root, "examples/magika"), folder, { recursive: true });
  const labels = readFileSync(join(folder, "labels.txt"), "utf8").trim().split("\n");
  writeFileSync(join(folder, "labels.txt"), `${labels.reverse().join("\n")}\n`);
  return join(folder, "sanderling.toml");
}

/** Another value in an expected output; hashes of section and table made right again (runtime/bundle/src/format.rs). */
function withWrongVectors(bytes) {
  const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
  const rows = Array.from({ length: bytes.readUInt32LE(24) }, (_, index) => 64 + 64 * index);
  const row = rows.find((at) => bytes.readUInt16LE(at) === 5);
  const [at, length] = [Number(bytes.readBigUInt64LE(row + 8)), Number(bytes.readBigUInt64LE(row + 16))];
  // Four such bytes are 0.75 as a float, whichever of them comes first.
  bytes.fill(0x3f, at + length - 400, at + length - 384);
  sha256(bytes.subarray(at, at + length)).copy(bytes, row + 24);
  sha256(bytes.subarray(0, 32), bytes.subarray(64, 64 + 64 * rows.length)).copy(bytes, 32);
  return bytes;
}

/** A port that is free now. */
async function free() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Passes everything on. `fault(path, body, begin)` may give another body, or none and answer itself by `begin()`, the response. */
async function proxy(port) {
  const state = { fault: undefined, seen: [] };
  const server = createServer((asked, response) => {
    const onward = request({ host: "127.0.0.1", port, path: asked.url, method: asked.method, headers: asked.headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const { fault } = state;
        state.seen.push(`${asked.method} ${asked.url} ${answer.statusCode}`);
        let body = Buffer.concat(parts);
        const head = () => response.writeHead(answer.statusCode, answer.headers);
        if (fault && answer.statusCode < 300 && asked.method !== "OPTIONS") body = fault(asked.url, body, () => (head(), response));
        if (body) {
          head();
          response.end(body);
        }
      });
    });
    onward.on("error", () => response.destroy());
    asked.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  state.url = `http://127.0.0.1:${server.address().port}`;
  state.close = () => {
    server.close();
    server.closeAllConnections();
  };
  return state;
}

/** Starts a server with these versions published, the first of them the champion. */
export async function fleet(name, origins, versions) {
  const home = join(scratch, name);
  mkdirSync(home);
  const [trust, data] = [join(home, "trust"), join(home, "data")];
  native("keys", "init", trust);
  const port = await free();
  const between = await proxy(port);
  const allowed = origins.flatMap((origin) => ["--allow-origin", origin]);
  const server = spawn(need("SANDERLING_CLI"), ["--json", "server", "--listen", `127.0.0.1:${port}`, "--mqtt", "127.0.0.1:0", "--trust", trust, "--data", data,
    "--poll-interval", "1", "--public-url", between.url, ...allowed], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  server.stderr.on("data", (text) => (log += text));
  const started = await Promise.race([once(server.stdout, "data"), once(server, "exit").then(() => undefined)]);
  if (!started) throw new Error(`the server did not start: ${log}`);
  const url = `http://127.0.0.1:${port}`;
  const operator = (...words) => nativeJson(...words, "--server", url, "--token-file", join(data, "operator.token"));
  versions.forEach((version, index) => {
    const { file } = bundle(version);
    native("sign", file, "--keys", join(trust, "offline"), "--repo", join(trust, "image"));
    const lineage = index === 0 ? ["--alias", "champion"] : ["--parent", `magika@${versions[index - 1]}`];
    operator("rollout", "publish", "--bundle", file, "--repo", join(trust, "image"), ...lineage);
  });
  return {
    proxy: between,
    operator,
    enrolment: () => operator("device", "enrol").enrolment,
    start: (version, base) => operator("rollout", "start", `magika@${version}`, "--base", `magika@${base}`, "--stages", "100%", "--dwell", "1").id,
    status: (id) => operator("rollout", "show", String(id)),
    log: () => log,
    async stop() {
      between.close();
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill("SIGKILL");
      await once(server, "exit");
    },
  };
}
