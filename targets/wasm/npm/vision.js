// Sanderling with the operators of int8 image classifiers, and nothing else.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_vision.js";
import { wasm } from "./vision.wasm.js";

export { SanderlingError, pixels } from "./core.js";
export const Model = bind(glue, {
  wasm,
  worker: () => new Worker(new URL("./vision.worker.js", import.meta.url), { type: "module", name: "sanderling" }),
  thread: ["./vision.worker.js", import.meta.url],
  webgpu: () => import("./webgpu.js"),
  webgpuWorker: () => new Worker(new URL("./vision.webgpu.worker.js", import.meta.url), { type: "module", name: "sanderling" }),
});
