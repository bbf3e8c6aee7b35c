// The worker of vision.js where the browser has WebGPU.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_vision.js";
import { serve } from "./serve.js";
import { wasm } from "./vision.wasm.js";
import * as webgpu from "./webgpu.js";

serve(bind(glue, { wasm, webgpu: async () => webgpu }));
