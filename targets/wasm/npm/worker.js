// The worker of index.js.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_all.js";
import { serve } from "./serve.js";

serve(bind(glue, { wasm: { simd128: new URL("./sanderling_wasm_all_bg.wasm", import.meta.url) } }));
