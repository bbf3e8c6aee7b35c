// The worker of vision.js.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_vision.js";
import { serve } from "./serve.js";

serve(bind(glue, { wasm: new URL("./sanderling_wasm_vision_bg.wasm", import.meta.url) }));
