// Where the modules of vision.js lie, by instructions. They differ in nothing but those: one glue fits all.
export const wasm = {
  scalar: new URL("./sanderling_wasm_vision_scalar_bg.wasm", import.meta.url),
  simd128: new URL("./sanderling_wasm_vision_bg.wasm", import.meta.url),
  relaxed: new URL("./sanderling_wasm_vision_relaxed_bg.wasm", import.meta.url),
};
