// Every module of sanderling/vision, in Node and in headless Chromium: digests as the native binary has them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { classifiers, compare, entry, folder, root, scratch } from "./fixtures.mjs";
import { layersBy } from "./layers.mjs";
import { open, relaxedInNode } from "./page.mjs";

const KINDS = ["scalar", "simd128", "relaxed"];
const RUNS = 9;
relaxedInNode();
const { Model, SanderlingError } = await import(entry("vision.js"));
const { Model: All } = await import(entry("index.js"));

function hold(where, model, wanted, { layers, instructions, time }) {
  assert.equal(instructions, wanted);
  const { layers: compared, different } = compare(layers, model.layers);
  assert.deepEqual(different, []);
  assert.ok(compared >= 50, `only ${compared} layers were compared`);
  console.log(`${model.name}, ${where}, ${wanted}: ${compared} layers, 0 differences, ${time.toFixed(1)} ms a run`);
}

for (const model of classifiers) {
  for (const kind of KINDS) {
    test(`${model.name} by ${kind} in Node: layers as natively`, async () => {
      hold("Node", model, kind, await layersBy(Model, model.file, model.data, { instructions: kind }, RUNS));
    });
  }
}

test("what is taken unasked, and what cannot be had", async () => {
  const [{ file }] = classifiers;
  const plain = await Model.inWorker(file);
  assert.equal(plain.instructions, "simd128");
  plain.free();
  const refusal = async (call) => {
    const error = await call().then(() => assert.fail("it was not refused"), (error) => error);
    assert.ok(error instanceof SanderlingError, String(error?.stack));
    return [error.code, error.message];
  };
  for (const [Kind, instructions, words] of [[Model, "mmx", /mmx.*scalar, simd128, relaxed/], [All, "scalar", /scalar.*has simd128/]]) {
    const [code, message] = await refusal(() => Kind.inWorker(file, { instructions }));
    assert.equal(code, "Option");
    assert.match(message, words);
  }
  const here = await Model.load(file, { instructions: "scalar" });
  assert.deepEqual([here.instructions, Model.instructions], ["scalar", "scalar"]);
  const [code, message] = await refusal(() => Model.load(file, { instructions: "simd128" }));
  assert.equal(code, "Option");
  assert.match(message, /inWorker/);
  here.free();
});

test("an engine without SIMD takes the scalar module, and says what it cannot", () => {
  const [model] = classifiers;
  const script = `
    const { Model } = await import(${JSON.stringify(entry("vision.js"))});
    const { Model: All } = await import(${JSON.stringify(entry("index.js"))});
    const code = (promise) => promise.then(() => "none", (error) => error.code);
    const refused = [await code(Model.load(${JSON.stringify(model.file)}, { instructions: "simd128" })), await code(All.load(${JSON.stringify(model.file)}))];
    const model = await Model.load(${JSON.stringify(model.file)});
    console.log(model.instructions, model.inputs.length, ...refused);`;
  // V8 needs SSE4.1 for vectors in WebAssembly; on other processors it has no such switch.
  if (process.arch !== "x64") return;
  const said = execFileSync("node", ["--no-enable-sse4-1", "--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(said.trim(), "scalar 1 Unsupported Unsupported");
});

test("an engine that computes wrongly is refused", () => {
  // Node 20's baseline compiler does; later ones have no such flag.
  if (!process.versions.v8.startsWith("11.3.")) return;
  const script = `
    const { Model } = await import(${JSON.stringify(entry("vision.js"))});
    console.log(await Model.load(${JSON.stringify(classifiers[0].file)}, { instructions: "relaxed" }).then(() => "none", (error) => error.code));`;
  const said = execFileSync("node", ["--experimental-wasm-relaxed-simd", "--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(said.trim(), "Unsupported");
});

let opened;
before(async () => {
  opened = await open({ sanderling: folder, bundles: scratch, tests: join(root, "tests/wasm") });
});
after(() => opened?.close());

for (const model of classifiers) {
  for (const kind of KINDS) {
    test(`${model.name} by ${kind} in Chromium: layers as natively`, async () => {
      const found = await opened.page.evaluate(async ([url, data, instructions, runs]) => {
        const { Model } = await import("/sanderling/vision.js");
        const { layersBy } = await import("/tests/layers.mjs");
        return layersBy(Model, url, Float32Array.from(data), { instructions }, runs);
      }, [`/bundles/${basename(model.file)}`, Array.from(model.data), kind, RUNS]);
      hold("Chromium", model, kind, found);
    });
  }
}
