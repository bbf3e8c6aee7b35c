// The package and the example's page in headless Chromium: labels and digests as the native binary has them.
// SANDERLING_NODE_MODULES: where playwright-core, vite and typescript are
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deflateSync } from "node:zlib";
import { classifiers, compare, folder, magika, picture, root, scratch } from "./fixtures.mjs";
import { launch, serve } from "./page.mjs";

let server, browser, page, problems = [];
const address = (path) => server.address(path);

/** An RGB picture as PNG: no compression worth the name, no filter. */
function png({ width, height, data }) {
  const chunk = (type, body) => {
    const typed = Buffer.concat([Buffer.from(type, "latin1"), body]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    check.writeUInt32BE(crc32(typed));
    return Buffer.concat([length, typed, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const rows = Array.from({ length: height }, (_, y) => Buffer.concat([Buffer.of(0), data.subarray(3 * width * y, 3 * width * (y + 1))]));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

before(async () => {
  const folders = { sanderling: folder, bundles: scratch, readme: join(scratch, "readme"), app: join(scratch, "app/dist") };
  // The README's script stands in its page.
  server = await serve(join(root, "examples/web"), folders, ["readme"]);
  browser = await launch("--disable-gpu", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream");
  page = await browser.newPage({ viewport: { width: 800, height: 1100 } });
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
});
after(async () => {
  await browser?.close();
  server?.close();
});

const name = (file) => file.split("/").at(-1);

for (const model of classifiers) {
  test(`${model.name}: digests in a worker as natively, and the page stays quick`, async () => {
    await page.goto(address(""));
    const { layers, label, time, longest } = await page.evaluate(async ([url, input, data]) => {
      const { Model } = await import("/sanderling/vision.js");
      const model = await Model.inWorker(url);
      const tensor = Float32Array.from(data);
      let longest = 0, last = performance.now();
      const beat = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 5);
      const layers = await model.layers({ [input]: tensor });
      await model.run({ [input]: tensor });
      const start = performance.now();
      for (let turn = 0; turn < 5; turn += 1) await model.run({ [input]: tensor });
      const time = (performance.now() - start) / 5;
      clearInterval(beat);
      model.free();
      return { layers, time, longest };
    }, [`/bundles/${name(model.file)}`, model.input, Array.from(model.data)]);
    const { layers: compared, different } = compare(layers, model.layers);
    assert.deepEqual(different, []);
    assert.ok(compared >= 50, `only ${compared} layers were compared`);
    console.log(`${model.name}, Chromium: ${compared} layers, 0 differences, ${time.toFixed(1)} ms a run, page blocked for ${longest.toFixed(0)} ms at most`);
  });
}

test("the example's page answers to a picture and to a file", async () => {
  const [model] = classifiers;
  const file = join(scratch, "picture.png");
  writeFileSync(file, png(picture()));
  await page.goto(address(`?model=/bundles/${name(model.file)}`));
  await page.locator("body[data-ready]").waitFor();
  await page.getByLabel("A file or a picture").setInputFiles(file);
  await page.locator("#answer").waitFor();
  assert.equal(await page.locator("#label").innerText(), model.answer.label);
  assert.match(await page.locator("#digest").innerText(), /^[0-9a-f]{64}$/);
  assert.match(await page.locator("#time").innerText(), /^\d+\.\d ms$/);
  assert.equal(await page.locator("#backend").innerText(), "WebAssembly, in a worker");
  assert.match(await page.locator("#why").innerText(), /no GPU for it/);
  const pictures = join(root, "target/artefacts");
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, "web.png"), fullPage: true });
  await page.getByRole("button", { name: "Use the camera" }).click();
  await page.getByText("of single pictures only").waitFor();
  await page.getByRole("button", { name: "Stop the camera" }).click();
  // A model of pictures says what it is given instead.
  await page.getByLabel("A file or a picture").setInputFiles(magika.files[0]);
  await page.getByText("the model takes an RGB image, this is a file's bytes").waitFor();
  await page.goto(address("?model=/bundles/magika.sdl"));
  await page.locator("body[data-ready]").waitFor();
  await page.getByLabel("A file or a picture").setInputFiles(magika.files[0]);
  await page.locator("#answer").waitFor();
  assert.equal(await page.locator("#label").innerText(), magika.answers[0].label);
  assert.deepEqual(problems, []);
});

test("the README's lines answer", async () => {
  const [model] = classifiers;
  const home = join(scratch, "readme");
  mkdirSync(home);
  cpSync(folder, join(home, "sanderling"), { recursive: true });
  copyFileSync(model.file, join(home, "model.sdl"));
  const [lines] = readFileSync(join(folder, "README.md"), "utf8").match(/(?<=```html\n)[^]*?(?=```)/);
  writeFileSync(join(home, "index.html"), `<!doctype html><input type="file"><output></output>${lines}`);
  const file = join(scratch, "readme.png");
  writeFileSync(file, png(picture()));
  await page.goto(address("readme/index.html"));
  // The page has no mark for "ready": the model answers to a picture once it is there.
  await page.waitForFunction(() => document.querySelector("input").onchange);
  await page.locator("input").setInputFiles(file);
  await page.getByText(`${model.answer.label} (`).waitFor();
});

test("a bundler and TypeScript take the package", async () => {
  const modules = process.env.SANDERLING_NODE_MODULES;
  const home = join(scratch, "app");
  cpSync(join(root, "tests/wasm/app"), home, { recursive: true });
  mkdirSync(join(home, "node_modules"));
  symlinkSync(folder, join(home, "node_modules/sanderling"));
  const inside = { cwd: home, stdio: ["ignore", "pipe", "inherit"] };
  execFileSync("node", [join(modules, "typescript/bin/tsc"), "-p", "."], inside);
  execFileSync("node", [join(modules, "vite/bin/vite.js"), "build", "--target=es2022", "--base=/app/", "--logLevel=warn"], inside);
  copyFileSync(classifiers[0].file, join(home, "dist/model.sdl"));
  await page.goto(address("app/index.html"));
  const said = await page.waitForFunction(() => document.querySelector("output").textContent);
  const labels = readFileSync(join(scratch, `${classifiers[0].name}.txt`), "utf8").trim().split("\n").length;
  assert.match(await said.jsonValue(), new RegExp(`^class \\d+ ${labels} 1x${labels} cpu$`));
});

test("what goes wrong on the way is said", async () => {
  await page.goto(address("?model=/bundles/none.sdl"));
  await page.getByText(/cannot fetch .*none\.sdl: the server says 404/).waitFor();
  await page.goto(address("?model=/index.html"));
  await page.getByText(/HTML|not a bundle/i).first().waitFor();
  problems = [];
});

test("a killed worker, a freed model, and a plain script tag", async () => {
  await page.goto(address(""));
  const said = await page.evaluate(async ([url, input]) => {
    const { Model } = await import("/sanderling/vision.js");
    const code = (promise) => promise.then(() => "no error", (error) => `${error.name} ${error.code}: ${error.message}`);
    let worker;
    const make = () => (worker = new Worker("/sanderling/vision.worker.js", { type: "module" }));
    const model = await Model.inWorker(url, { worker: make, timeout: 3000 });
    // Ended behind the package's back, as a browser does that is short of memory.
    worker.terminate();
    const killed = await code(model.run({ [input]: new Float32Array(3 * 224 * 224) }));
    const after = await code(model.digest());
    const absent = await code(Model.inWorker(url, { worker: () => new Worker("/sanderling/no.js", { type: "module" }), timeout: 3000 }));
    const freed = await Model.inWorker(url);
    freed.free();
    const closed = await code(freed.run({}));
    document.head.append(Object.assign(document.createElement("script"), { src: "/sanderling/global.js" }));
    while (!globalThis.sanderling) await new Promise((next) => setTimeout(next, 10));
    const plain = await (await sanderling).Model.load(url);
    return { killed, after, absent, closed, plain: plain.name };
  }, [`/bundles/${name(classifiers[0].file)}`, classifiers[0].input]);
  assert.match(said.killed, /^SanderlingError Worker: .*did not answer within 3000 ms/);
  assert.match(said.after, /^SanderlingError Worker/);
  assert.match(said.absent, /^SanderlingError Worker/);
  assert.match(said.closed, /^SanderlingError Closed/);
  assert.equal(said.plain, classifiers[0].name);
});
