// Milliseconds a run beside onnxruntime-web, in Node, one thread each, in turns in one go.
// Usage: node tests/wasm/compare.mjs PACKAGE NODE_MODULES BUNDLE MODEL [BUNDLE MODEL …]
//   PACKAGE: what `cargo xtask wasm` made; NODE_MODULES: where onnxruntime-web is; MODEL: the ONNX file of the bundle
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const RUNS = 31;
const [folder, modules, ...pairs] = process.argv.slice(2);
if (pairs.length < 2 || pairs.length % 2) {
  console.error("usage: node tests/wasm/compare.mjs PACKAGE NODE_MODULES BUNDLE MODEL [BUNDLE MODEL …]");
  process.exit(2);
}
const { Model } = await import(pathToFileURL(join(resolve(folder), "index.js")).href);
const ort = createRequire(join(resolve(modules), "x.js"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;

const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];
async function timed(call) {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

console.log("| model | Sanderling | onnxruntime-web | ratio |\n|---|---|---|---|");
for (let at = 0; at < pairs.length; at += 2) {
  const model = await Model.load(pairs[at]);
  const session = await ort.InferenceSession.create(readFileSync(pairs[at + 1]), { executionProviders: ["wasm"] });
  const [{ name, type, shape: dims }] = model.inputs;
  const shape = dims.map((dim) => (typeof dim === "number" ? dim : 1));
  const length = shape.reduce((product, dim) => product * dim, 1);
  const element = (_, index) => (index * 7919) % 255;
  const data = type === "int32" ? Int32Array.from({ length }, element) : Float32Array.from({ length }, (_, i) => element(_, i) / 128 - 1);
  const feeds = { [session.inputNames[0]]: new ort.Tensor(type, data, shape) };
  const [ours, theirs] = [[], []];
  for (let run = 0; run < RUNS; run += 1) {
    theirs.push(await timed(() => session.run(feeds)));
    ours.push(await timed(() => model.run({ [name]: { data, shape } })));
  }
  const [a, b] = [median(ours), median(theirs)];
  console.log(`| ${model.name}, ${shape.join("×")} | ${a.toFixed(1)} | ${b.toFixed(1)} | ${(a / b).toFixed(2)} |`);
  model.free();
}
