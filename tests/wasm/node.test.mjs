// The package in Node: labels and digests as the native binary has them, and every kind of bad input.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, symlinkSync, mkdirSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { classifiers, compare, entry, folder, magika, picture, read, scratch } from "./fixtures.mjs";

const { Model, SanderlingError } = await import(entry("index.js"));
const { Model: Vision } = await import(entry("vision.js"));
const [small] = [...classifiers].sort((a, b) => read(a.file).length - read(b.file).length);

/** The error of a call, which must be ours. */
async function refusal(call) {
  const error = await Promise.resolve().then(call).then(() => assert.fail("it was not refused"), (error) => error);
  assert.ok(error instanceof SanderlingError, String(error?.stack));
  return error;
}

for (const [variant, Kind] of [["all", Model], ["vision", Vision]]) {
  for (const model of classifiers) {
    test(`${model.name} by the module ${variant}: layers and answer as natively`, async () => {
      const loaded = await Kind.load(model.file);
      assert.equal(Kind.instructions, "simd128");
      const { layers, different } = compare(loaded.layers({ [model.input]: model.data }), model.layers);
      assert.deepEqual(different, []);
      assert.ok(layers >= 50, `only ${layers} layers were compared`);
      const answer = loaded.classify(picture());
      assert.equal(answer.label, model.answer.label);
      assert.deepEqual(answer.top.map(({ index }) => index), model.answer.top.map(({ index }) => index));
      assert.equal(loaded.layers(picture()).length, model.layers.length);
      const start = performance.now();
      for (let turn = 0; turn < 5; turn += 1) loaded.run({ [model.input]: model.data });
      console.log(`${model.name}, ${variant}: ${layers} layers, 0 differences, ${((performance.now() - start) / 5).toFixed(1)} ms a run`);
      loaded.free();
    });
  }
}

test("magika's files as natively", async () => {
  const model = await Model.load(read(magika.file));
  magika.files.forEach((file, index) => {
    const answer = model.classify(read(file), { top: 3 });
    assert.equal(answer.label, magika.answers[index].label, file);
    assert.ok(Math.abs(answer.confidence - magika.answers[index].confidence) < 1e-4, file);
  });
  assert.equal(model.labels.length, 214);
  assert.deepEqual(model.selfTest().map(({ failure }) => failure), [null, null]);
});

test("what a model says of itself", async () => {
  const model = await Model.load(new URL(`file://${small.file}`));
  assert.equal(model.name, small.name);
  assert.deepEqual(model.inputs.map(({ name, type }) => [name, type]), [[small.input, "float32"]]);
  assert.equal(typeof model.inputs[0].shape[0], "string");
  assert.deepEqual(model.inputs[0].shape.slice(1), [3, 224, 224]);
  assert.match(model.digest(), /^[0-9a-f]{64}$/);
  assert.equal(model.labels[0], "class 0");
});

test("a shape may be given, and outputs are typed arrays", async () => {
  const model = await Vision.load(small.file);
  const { name } = model.outputs[0];
  const plain = model.run({ [small.input]: small.data })[name];
  const shaped = model.run({ [small.input]: { data: small.data, shape: [1, 3, 224, 224] } })[name];
  assert.ok(plain.data instanceof Float32Array);
  assert.deepEqual(plain, shaped);
  assert.deepEqual(plain.shape, [1, model.labels.length]);
});

test("bad bundles", async () => {
  const bytes = read(small.file);
  for (const length of [0, 1, 63, 64, 100, 4096, bytes.length >> 1, bytes.length - 1]) {
    assert.equal((await refusal(() => Model.load(bytes.slice(0, length)))).code, "Bundle", `${length} bytes`);
  }
  const damaged = bytes.slice();
  damaged[bytes.length - 100] ^= 1;
  assert.equal((await refusal(() => Model.load(damaged))).code, "Bundle");
  const missing = await refusal(() => Vision.load(magika.file));
  assert.equal(missing.code, "MissingOperators");
  assert.match(missing.message, /ai\.onnx:/);
  assert.equal((await refusal(() => Model.load(bytes, { memoryLimit: 1000 }))).code, "TooLarge");
  assert.equal((await refusal(() => Model.load(bytes, { memoryLimit: -1 }))).code, "Option");
  assert.equal((await refusal(() => Model.load(42))).code, "Option");
  assert.match((await refusal(() => Model.load("no/such/file.sdl"))).message, /cannot read .*no\/such\/file\.sdl/);
  assert.equal((await refusal(() => Model.load("http://127.0.0.1:9/x.sdl"))).code, "Network");
});

test("bad inputs, and the model lives on", async () => {
  const model = await Model.load(small.file);
  const [x, name] = [small.data, small.input];
  const table = [
    [{}, "InputName", /is missing/],
    [{ [name]: x, other: x }, "InputName", /'other' does not exist/],
    [{ [name]: x.subarray(1) }, "Pipeline", /150527 elements/],
    [{ [name]: { data: x, shape: [1, 3, 224] } }, "Pipeline", new RegExp(name)],
    [{ [name]: { data: x, shape: [1, 3, 224, -224] } }, "InputType", /whole numbers/],
    [{ [name]: { data: x, shape: [1, 3, 224, 4294967295] } }, "Pipeline", new RegExp(name)],
    [{ [name]: { data: x, shape: [4294967295, 4294967295, 4294967295, 4294967295] } }, "Pipeline", new RegExp(name)],
    [{ [name]: { data: x, shape: null } }, "InputType", /shape/],
    [{ [name]: { data: x, shape: [3, 1, 224, 224] } }, "InputType", /takes float32/],
    [{ [name]: new Uint8Array(x.length) }, "InputType", /uint8/],
    [{ [name]: { data: x, type: "float33" } }, "InputType", /float33/],
    [{ [name]: Array.from(x) }, "InputType", /plain array/],
    [{ [name]: null }, "InputType", /null/],
    [null, "InputType", /by name/],
    [x, "Pipeline", /takes an RGB image/],
    [{ [name]: Float32Array.from(x, (v, i) => (i === 9 ? NaN : v)) }, "InputValue", /element 9 is NaN/],
  ];
  for (const [inputs, code, words] of table) {
    const error = await refusal(() => model.run(inputs));
    assert.deepEqual([error.code, error.isInput], [code, true], error.message);
    assert.match(error.message, words);
    assert.equal((await refusal(() => model.layers(inputs))).isInput, true);
  }
  assert.match((await refusal(() => model.classify(new Uint8Array(5)))).message, /takes an RGB image/);
  assert.match((await refusal(() => model.classify({ width: 3, height: 3, data: new Uint8Array(5) }))).message, /3 × 3/);
  assert.equal((await refusal(() => model.classify({ width: 0, height: 0, data: new Uint8Array(0) }))).code, "Pipeline");
  assert.equal((await refusal(() => model.classify(picture(), { top: 0 }))).code, "Option");
  assert.equal(model.classify(picture()).label, small.answer.label);
});

test("what does not fit the memory limit is refused", async () => {
  const model = await Model.load(small.file, { memoryLimit: 30e6 });
  const many = { [small.input]: { data: new Float32Array(32 * 3 * 224 * 224), shape: [32, 3, 224, 224] } };
  const error = await refusal(() => model.run(many));
  assert.match(error.message, /limit/);
  const huge = new Float32Array(10e6);
  for (const call of [() => model.run({ [small.input]: huge }), () => model.classify(huge), () => model.classify({ width: 1, height: 1, data: huge })]) {
    assert.equal((await refusal(call)).isInput, true);
  }
  const long = await refusal(() => Model.load(new Uint8Array(40e6), { memoryLimit: 30e6 }));
  assert.deepEqual([long.code, /40000000 bytes/.test(long.message)], ["TooLarge", true]);
  assert.equal(model.classify(picture()).label, small.answer.label);
});

test("a module that breaks is not used again", async () => {
  const { bind } = await import(entry("core.js"));
  const glue = { default: async () => {}, throw_panics() {}, load() { throw new WebAssembly.RuntimeError("unreachable"); }, instructions: () => "none" };
  const Broken = bind(glue, { wasm: { simd128: new URL(`file://${small.file}`) } });
  const first = await refusal(() => Broken.load(small.file));
  assert.equal(first.code, "Internal");
  assert.match(first.message, /unreachable.*memory.*report.*reload/);
  assert.equal(await refusal(() => Broken.load(small.file)), first);
  assert.throws(() => Broken.instructions, { code: "Internal" });
});

test("a freed model says so", async () => {
  const model = await Model.load(small.file);
  model.free();
  model.free();
  assert.equal((await refusal(() => model.run({ [small.input]: small.data }))).code, "Closed");
  assert.equal(model.name, small.name);
});

test("freed memory is used again", async () => {
  const bytes = read(small.file);
  for (let turn = 0; turn < 40; turn += 1) {
    const model = await Vision.load(bytes, { memoryLimit: 64e6 });
    model.run({ [small.input]: small.data });
    model.free();
  }
  assert.ok(process.memoryUsage.rss() < 700e6, `${process.memoryUsage.rss()} bytes are held`);
});

test("a model in a worker answers as one in this thread", async () => {
  const model = await Vision.inWorker(small.file);
  const layers = await model.layers({ [small.input]: small.data });
  assert.deepEqual(compare(layers, small.layers).different, []);
  const answers = await Promise.all([1, 2, 3].map(() => model.classify(picture())));
  assert.deepEqual(answers.map(({ label }) => label), Array(3).fill(small.answer.label));
  const error = await refusal(() => model.run({ nothing: small.data }));
  assert.deepEqual([error.code, error.isInput], ["InputName", true]);
  assert.equal((await refusal(() => model.run({ [small.input]: () => 1 }))).code, "InputType");
  model.free();
  assert.equal((await refusal(() => model.run({}))).code, "Closed");
  assert.equal((await refusal(() => Vision.inWorker(read(magika.file)))).code, "MissingOperators");
});

test("open questions to a worker that goes are refused", async () => {
  const model = await Model.inWorker(small.file);
  const open = model.run({ [small.input]: small.data });
  model.free();
  assert.equal((await refusal(() => open)).code, "Closed");
  const late = await Model.inWorker(small.file, { timeout: 60_000 });
  const many = Array.from({ length: 70 }, () => late.digest().then(() => "answered", (error) => error.code));
  assert.deepEqual(new Set(await Promise.all(many)), new Set(["answered", "Worker"]));
  late.free();
  const slow = await refusal(() => Model.inWorker(small.file, { timeout: 1 }));
  assert.deepEqual([slow.code, /timeout/.test(slow.message)], ["Worker", true]);
});

test("the README's lines run", () => {
  const project = mkdtempSync(join(scratch, "readme-"));
  mkdirSync(join(project, "node_modules"));
  symlinkSync(folder, join(project, "node_modules/sanderling"));
  copyFileSync(magika.file, join(project, "model.sdl"));
  const [lines] = readFileSync(join(folder, "README.md"), "utf8").match(/(?<=```js\n\/\/ node\n)[^]*?(?=```)/);
  writeFileSync(join(project, "try.mjs"), lines);
  const said = execFileSync("node", ["try.mjs"], { cwd: project, encoding: "utf8" });
  assert.match(said, /^(java|type)script 0\.\d+/);
});

test("no module is larger than its row allows", () => {
  for (const line of process.env.SANDERLING_LIMITS.split("\n")) {
    const [variant, most, mostCompressed] = line.split(" ");
    const module = readFileSync(join(folder, `${variant}_bg.wasm`));
    const compressed = gzipSync(module, { level: 9 }).length;
    console.log(`${variant}: ${module.length} bytes, ${compressed} compressed`);
    assert.ok(module.length <= Number(most) && compressed <= Number(mostCompressed), variant);
  }
});
