// WebGPU in headless Chromium, on a device that the CPU emulates (SwiftShader): digests and answers as the native binary has them, the
// handover from the CPU, and the way back when the device fails.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { bytes, classifiers, compare, entry, folder, magika, native, nativeJson, npy, picture, read, root, scratch } from "./fixtures.mjs";
import { SWIFTSHADER, launch, serve } from "./page.mjs";

let server, browser, page;

/** Small enough for many runs on an emulated device. */
const fashion = (() => {
  const file = join(scratch, "fashion.sdl"), array = join(scratch, "fashion.npy");
  native("pack", join(root, "examples/cortex-m/model/sanderling.toml"), "-o", file);
  const image = bytes(28 * 28, 5);
  writeFileSync(array, npy(image, [1, 1, 28, 28]));
  const { layers } = nativeJson("hash", file, "--input", `image=${array}`);
  return { file, image: Array.from(image), layers };
})();
const url = (model) => `/bundles/${basename(model.file)}`;

before(async () => {
  const site = join(scratch, "index.html");
  writeFileSync(site, "<!doctype html><title>WebGPU</title>");
  server = await serve(scratch, { sanderling: folder, bundles: scratch });
  browser = await launch(...SWIFTSHADER);
  page = await browser.newPage();
  page.setDefaultTimeout(300_000);
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** A page whose own thread holds the devices it opens, and counts what they are told to compute. */
async function fresh(from = page) {
  await from.goto(server.address(""));
  await from.evaluate(() => {
    if (!globalThis.GPUAdapter) return;
    const { requestDevice } = GPUAdapter.prototype;
    const { submit } = GPUQueue.prototype;
    globalThis.devices = [];
    globalThis.submitted = 0;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await requestDevice.apply(this, args);
      devices.push(device);
      return device;
    };
    GPUQueue.prototype.submit = function (...args) {
      submitted += 1;
      return submit.apply(this, args);
    };
  });
}

for (const model of classifiers) {
  test(`${model.name}: every integer layer on WebGPU as natively`, { timeout: 900_000 }, async () => {
    await fresh();
    const { layers, label, state, times } = await page.evaluate(async ([address, input, data, image]) => {
      const { Model } = await import("/sanderling/vision.js");
      const start = performance.now();
      const model = await Model.inWorker(address, { backend: "webgpu", timeout: 600_000 });
      const ready = await model.ready;
      const warm = performance.now();
      const layers = await model.layers({ [input]: Float32Array.from(data) });
      const observed = performance.now();
      const answer = await model.classify({ ...image, data: Uint8Array.from(image.data) });
      const times = [warm - start, observed - warm, performance.now() - observed];
      const state = { ready, backend: model.backend, fallbacks: model.fallbacks };
      model.free();
      return { layers, label: answer.label, state, times };
    }, [url(model), model.input, Array.from(model.data), { ...picture(), data: Array.from(picture().data) }]);
    assert.deepEqual(state, { ready: "webgpu", backend: "webgpu", fallbacks: [] });
    const { layers: compared, different } = compare(layers, model.layers);
    assert.deepEqual(different, []);
    assert.ok(compared >= 50, `only ${compared} layers were compared`);
    assert.equal(label, model.answer.label);
    const [ready, observed, run] = times.map((time) => (time / 1000).toFixed(1));
    console.log(`${model.name}, WebGPU by SwiftShader: ${compared} layers, 0 differences; ready after ${ready} s, layers in ${observed} s, a run ${run} s`);
  });
}

test("auto answers on the CPU until WebGPU is ready, with the same bytes", async () => {
  await fresh();
  const said = await page.evaluate(async ([address, image]) => {
    // As if the device were none that is emulated: what `auto` looks for.
    Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
    const { Model } = await import("/sanderling/vision.js");
    const model = await Model.load(address, { backend: "auto" });
    const input = { image: Uint8Array.from(image) };
    const runs = [];
    let settled = false;
    model.ready.then(() => (settled = true));
    for (let last = false; !last;) {
      last = settled;
      const before = submitted;
      const { logits } = await model.run(input);
      runs.push({ backend: model.backend, bytes: String(new Uint8Array(logits.data.buffer)), submitted: submitted > before });
      await new Promise((next) => setTimeout(next));
    }
    const layers = await model.layers(input);
    const answer = await model.classify(Uint8Array.from(image), { top: 2 });
    const tests = await model.selfTest();
    const code = (promise) => promise.then(() => "no error", (error) => `${error.name} ${error.code} ${error.isInput}`);
    const refused = [await code(model.run({})), await code(model.run({ image: new Float32Array(784) })), await code(model.classify(new Uint8Array(5)))];
    const together = await Promise.all([1, 2, 3].map(() => model.run(input)));
    const { backend, fallbacks } = model;
    const last = model.digest();
    model.free();
    const freed = await code(model.run(input));
    return { runs, layers, answer, tests, refused, together: together.map(({ logits }) => String(new Uint8Array(logits.data.buffer))), backend, fallbacks, digest: await last, freed };
  }, [url(fashion), fashion.image]);
  assert.equal(said.runs[0].backend, "cpu");
  assert.equal(said.runs[0].submitted, false);
  assert.deepEqual([said.runs.at(-1).backend, said.runs.at(-1).submitted, said.backend, said.fallbacks], ["webgpu", true, "webgpu", []]);
  assert.deepEqual(new Set(said.runs.map((run) => run.bytes).concat(said.together)).size, 1);
  const { layers, different } = compare(said.layers, fashion.layers);
  assert.deepEqual(different, []);
  assert.ok(layers >= 10, `only ${layers} layers were compared`);
  assert.equal(said.answer.top.length, 2);
  assert.deepEqual(said.tests.map(({ failure }) => failure), [null]);
  assert.deepEqual(said.refused, ["SanderlingError InputName true", "SanderlingError InputType true", "SanderlingError Pipeline true"]);
  assert.match(said.digest, /^[0-9a-f]{64}$/);
  assert.equal(said.freed, "SanderlingError Closed false");
});

for (const [what, reason] of [["a device destroyed", /lost/], ["memory that ran out", /out of memory/]]) {
  test(`${what} in mid-run: the CPU answers, and the reason is there`, async () => {
    await fresh();
    const said = await page.evaluate(async ([address, image, what]) => {
      const fail = (device) => {
        if (what === "a device destroyed") return device.destroy();
        const error = new GPUOutOfMemoryError("no memory");
        return device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
      };
      const { Model } = await import("/sanderling/index.js");
      const input = { image: Uint8Array.from(image) };
      const bytes = ({ logits }) => String(new Uint8Array(logits.data.buffer));
      const plain = await Model.load(address);
      const expected = bytes(plain.run(input));
      const model = await Model.load(address, { backend: "webgpu" });
      const ready = await model.ready;
      const before = submitted;
      const run = model.run(input);
      while (submitted === before) await new Promise((next) => setTimeout(next));
      fail(devices[0]);
      const answers = [bytes(await run), bytes(await model.run(input))];
      const layers = await model.layers(input);
      const { backend, fallbacks } = model;
      // Who loads next gets a device that works.
      const next = await Model.load(address, { backend: "webgpu" });
      const again = [await next.ready, bytes(await next.run(input))];
      return { expected, ready, answers, layers, backend, fallbacks, again, plain: [plain.backend, plain.fallbacks], devices: devices.length };
    }, [url(fashion), fashion.image, what]);
    assert.equal(said.ready, "webgpu");
    assert.deepEqual(said.answers, [said.expected, said.expected]);
    assert.equal(said.backend, "cpu");
    assert.deepEqual(said.fallbacks.map(({ backend }) => backend), ["webgpu"]);
    assert.match(said.fallbacks[0].reason, reason);
    assert.deepEqual(compare(said.layers, fashion.layers).different, []);
    assert.deepEqual(said.again, ["webgpu", said.expected]);
    assert.deepEqual(said.plain, ["cpu", []]);
  });
}

/** What loading says, in the page's thread and in a worker. */
const loading = (from, address, options) => from.evaluate(async ([address, options]) => {
  const { Model } = await import("/sanderling/vision.js");
  const said = [];
  for (const load of [Model.load, Model.inWorker]) {
    try {
      const model = await load(address, options);
      const ready = await model.ready;
      await model.digest();
      said.push({ ready, backend: model.backend, fallbacks: model.fallbacks, name: model.name });
      model.free();
    } catch (error) {
      said.push({ code: error.code, message: error.message });
    }
  }
  return said;
}, [address, options]);

test("an emulated device is not for auto; what WebGPU's module lacks stays on the CPU", async () => {
  await fresh();
  for (const { ready, backend, fallbacks: [{ reason }] } of await loading(page, url(fashion), { backend: "auto" })) {
    assert.deepEqual([ready, backend], ["cpu", "cpu"]);
    assert.match(reason, /emulated/);
  }
  for (const { code, message } of await loading(page, url(fashion), { backend: "cuda" })) {
    assert.equal(code, "Option");
    assert.match(message, /"auto", "webgpu" or "cpu"/);
  }
  const said = await page.evaluate(async (file) => {
    const { Model } = await import("/sanderling/index.js");
    const model = await Model.load("/bundles/magika.sdl", { backend: "webgpu" });
    const ready = await model.ready;
    const answer = await model.classify(Uint8Array.from(file));
    return { ready, fallbacks: model.fallbacks, label: answer.label };
  }, Array.from(read(magika.files[0])));
  assert.deepEqual([said.ready, said.label], ["cpu", magika.answers[0].label]);
  assert.match(said.fallbacks[0].reason, /operators that this build lacks/);
});

test("without WebGPU auto answers on the CPU, and webgpu is refused", async () => {
  const without = await launch("--disable-gpu");
  try {
    const blind = await without.newPage();
    // No adapter; then no navigator.gpu at all, as on a page from plain HTTP.
    for (const reason of [/no GPU for it/, /no WebGPU here/]) {
      await fresh(blind);
      if (reason.test("there is no WebGPU here")) await blind.evaluate(() => Object.defineProperty(navigator, "gpu", { value: undefined }));
      const auto = await loading(blind, url(fashion), { backend: "auto" });
      for (const { ready, backend, fallbacks } of auto) {
        assert.deepEqual([ready, backend, fallbacks.length, fallbacks[0].backend], ["cpu", "cpu", 1, "webgpu"]);
      }
      assert.match(auto[0].fallbacks[0].reason, reason);
      for (const { code } of await loading(blind, url(fashion), { backend: "webgpu" })) assert.equal(code, "Unsupported");
    }
  } finally {
    await without.close();
  }
  const { Model } = await import(entry("vision.js"));
  const model = await Model.load(fashion.file, { backend: "auto" });
  assert.equal((await model.classify(Uint8Array.from(fashion.image))).top.length, 3);
  assert.deepEqual([await model.ready, model.fallbacks[0].backend], ["cpu", "webgpu"]);
  await assert.rejects(Model.load(fashion.file, { backend: "webgpu" }), { code: "Unsupported" });
  await assert.rejects(Model.inWorker(fashion.file, { backend: "webgpu" }), { code: "Unsupported" });
});

test("WebGPU's module is small, and a page without it never loads it", async () => {
  const module = readFileSync(join(folder, "sanderling_wasm_webgpu_bg.wasm"));
  const compressed = gzipSync(module, { level: 9 }).length;
  console.log(`webgpu: ${module.length} bytes, ${compressed} compressed`);
  assert.ok(module.length <= 1_500_000 && compressed <= 400_000);
  await fresh();
  const loaded = await page.evaluate(async (address) => {
    const { Model } = await import("/sanderling/vision.js");
    const model = await Model.load(address);
    model.free();
    return performance.getEntriesByType("resource").map(({ name }) => name);
  }, url(fashion));
  assert.deepEqual(loaded.filter((name) => name.includes("webgpu")), []);
});
