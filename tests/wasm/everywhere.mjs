// Reports the layers of a bundle by the npm package, as `cargo xtask everywhere` reads them.
// Usage: node tests/wasm/everywhere.mjs PACKAGE BUNDLE INPUT PLACE INSTRUCTIONS
//   INPUT: little-endian binary32; PLACE: node or chromium
import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { layersBy } from "./layers.mjs";
import { open, relaxedInNode } from "./page.mjs";

const RUNS = 5;
const PLACES = {
  async node(folder, bundle, data, options) {
    relaxedInNode();
    const { Model } = await import(pathToFileURL(join(folder, "vision.js")).href);
    return layersBy(Model, bundle, data, options, RUNS);
  },
  async chromium(folder, bundle, data, options) {
    const tests = dirname(fileURLToPath(import.meta.url));
    const opened = await open({ sanderling: folder, bundles: dirname(bundle), tests });
    try {
      return await opened.page.evaluate(async ([url, data, options, runs]) => {
        const { Model } = await import("/sanderling/vision.js");
        const { layersBy } = await import("/tests/layers.mjs");
        return layersBy(Model, url, Float32Array.from(data), options, runs);
      }, [`/bundles/${basename(bundle)}`, Array.from(data), options, RUNS]);
    } finally {
      await opened.close();
    }
  },
};

const [folder, bundle, input, place, instructions] = process.argv.slice(2);
if (!PLACES[place] || !instructions) {
  console.error("usage: node tests/wasm/everywhere.mjs PACKAGE BUNDLE INPUT node|chromium INSTRUCTIONS");
  process.exit(2);
}
const data = new Float32Array(Uint8Array.from(readFileSync(input)).buffer);
const { layers, output, time } = await PLACES[place](resolve(folder), resolve(bundle), data, { instructions });
console.log(`answer ${output.indexOf(Math.max(...output))}`);
console.log(`ms ${time.toFixed(3)}`);
for (const { digest, value } of layers) if (digest) console.log(`layer ${digest} ${value}`);
process.exit(0);
