// The package, the native binary, and a folder that goes away.
//
// SANDERLING_PACKAGE  folder of the npm package          SANDERLING_CLI  the native binary
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const need = (name) => process.env[name] ?? (() => { throw new Error(`${name} is not set: run \`cargo xtask test --only wasm\``); })();
export const folder = need("SANDERLING_PACKAGE");
export const entry = (name) => pathToFileURL(join(folder, name)).href;
export const scratch = mkdtempSync(join(tmpdir(), "sanderling-wasm-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

export function native(...args) {
  return execFileSync(need("SANDERLING_CLI"), args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"] });
}
export const nativeJson = (...args) => JSON.parse(native(...args, "--json"));
export const read = (file) => new Uint8Array(readFileSync(file));
