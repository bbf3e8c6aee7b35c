// Milliseconds a run of the modules of sanderling/vision, in turns in one go, in Node and in headless Chromium.
// Usage: node tests/wasm/instructions.mjs PACKAGE BUNDLE [BUNDLE …]
//   SANDERLING_NODE_MODULES: where playwright-core is; PACKAGE: what `cargo xtask wasm` made
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { timesOf } from "./layers.mjs";
import { open, relaxedInNode } from "./page.mjs";

const KINDS = ["scalar", "simd128", "relaxed"];
const RUNS = 31;
const [folder, ...bundles] = process.argv.slice(2).map((path) => resolve(path));
if (bundles.length === 0) {
  console.error("usage: node tests/wasm/instructions.mjs PACKAGE BUNDLE [BUNDLE …]");
  process.exit(2);
}

async function inNode(bundle) {
  relaxedInNode();
  const { Model } = await import(pathToFileURL(join(folder, "vision.js")).href);
  return timesOf(Model, bundle, KINDS, RUNS);
}

async function inChromium(bundle) {
  const tests = dirname(fileURLToPath(import.meta.url));
  const opened = await open({ sanderling: folder, bundles: dirname(bundle), tests });
  try {
    return await opened.page.evaluate(async ([url, kinds, runs]) => {
      const { Model } = await import("/sanderling/vision.js");
      const { timesOf } = await import("/tests/layers.mjs");
      return timesOf(Model, url, kinds, runs);
    }, [`/bundles/${basename(bundle)}`, KINDS, RUNS]);
  } finally {
    await opened.close();
  }
}

console.log(`| model | | ${KINDS.join(" | ")} |\n|---|---|${"---|".repeat(KINDS.length)}`);
for (const bundle of bundles) {
  for (const [place, times] of [["Node", await inNode(bundle)], ["Chromium", await inChromium(bundle)]]) {
    const cell = ({ median, least }) => `${median.toFixed(1)} (${least.toFixed(1)})`;
    console.log(`| ${basename(bundle, ".sdl")} | ${place} | ${times.map(cell).join(" | ")} |`);
  }
}
