// Reports the layers of a bundle by the npm package, as `cargo xtask everywhere` reads them.
// Usage: node tests/wasm/everywhere.mjs PACKAGE BUNDLE INPUT PLACE INSTRUCTIONS
//   INPUT: little-endian binary32; PLACE: node, chromium or webgpu (in Chromium, on an emulated device)
import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { layersBy } from "./layers.mjs";
import { SWIFTSHADER, open, relaxedInNode } from "./page.mjs";

const RUNS = 5;

async function inChromium(switches, folder, bundle, data, options, runs) {
  const tests = dirname(fileURLToPath(import.meta.url));
  const opened = await open({ sanderling: folder, bundles: dirname(bundle), tests }, switches);
  try {
    return await opened.page.evaluate(async ([url, data, options, runs]) => {
      const { Model } = await import("/sanderling/vision.js");
      const { layersBy } = await import("/tests/layers.mjs");
      return layersBy(Model, url, Float32Array.from(data), options, runs);
    }, [`/bundles/${basename(bundle)}`, Array.from(data), options, runs]);
  } finally {
    await opened.close();
  }
}

const PLACES = {
  async node(folder, bundle, data, options) {
    relaxedInNode();
    const { Model } = await import(pathToFileURL(join(folder, "vision.js")).href);
    return layersBy(Model, bundle, data, options, RUNS);
  },
  chromium: (folder, bundle, data, options) => inChromium(undefined, folder, bundle, data, options, RUNS),
  // An emulated device's time says nothing.
  webgpu: (folder, bundle, data, options) =>
    inChromium(SWIFTSHADER, folder, bundle, data, { ...options, backend: "webgpu", timeout: 600_000 }, 0),
};

const [folder, bundle, input, place, instructions] = process.argv.slice(2);
if (!PLACES[place] || !instructions) {
  console.error("usage: node tests/wasm/everywhere.mjs PACKAGE BUNDLE INPUT node|chromium|webgpu INSTRUCTIONS");
  process.exit(2);
}
const data = new Float32Array(Uint8Array.from(readFileSync(input)).buffer);
const { layers, output, time } = await PLACES[place](resolve(folder), resolve(bundle), data, { instructions });
console.log(`answer ${output.indexOf(Math.max(...output))}`);
if (time !== undefined) console.log(`ms ${time.toFixed(3)}`);
for (const { digest, value } of layers) if (digest) console.log(`layer ${digest} ${value}`);
process.exit(0);
