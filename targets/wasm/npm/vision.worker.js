// The worker of vision.js.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_vision.js";
import { serve } from "./serve.js";
import { wasm } from "./vision.wasm.js";

serve(bind(glue, { wasm }));
