// The worker of index.js where the browser has WebGPU.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_all.js";
import { serve } from "./serve.js";
import * as webgpu from "./webgpu.js";

serve(bind(glue, { wasm: { simd128: new URL("./sanderling_wasm_all_bg.wasm", import.meta.url) }, webgpu: async () => webgpu }));
