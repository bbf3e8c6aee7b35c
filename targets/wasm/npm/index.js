// Sanderling with every operator. `sanderling/vision` is the same with those of int8 image classifiers alone, and smaller.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_all.js";

export { SanderlingError, pixels } from "./core.js";
export const Model = bind(glue, {
  wasm: { simd128: new URL("./sanderling_wasm_all_bg.wasm", import.meta.url) },
  worker: () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "sanderling" }),
  thread: ["./worker.js", import.meta.url],
  webgpu: () => import("./webgpu.js"),
  webgpuWorker: () => new Worker(new URL("./webgpu.worker.js", import.meta.url), { type: "module", name: "sanderling" }),
});
