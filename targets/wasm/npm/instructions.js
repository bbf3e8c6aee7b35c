// Which instructions an engine has, and so which of a package's modules it can take.
import { SanderlingError } from "./error.js";

/** Modules with the instructions: an engine without them refuses it. */
const PROBES = {
  // () -> v128: i32.const 0, i8x16.splat, i8x16.popcnt
  simd128: [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
  // "dot", (i32, i32, i32) -> i32: i32x4.splat of each, i32x4.relaxed_dot_i8x16_i7x16_add_s, i32x4.extract_lane 0
  relaxed: [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 127, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 100, 111, 116, 0, 0,
    10, 22, 1, 20, 0, 32, 0, 253, 17, 32, 1, 253, 17, 32, 2, 253, 17, 253, 147, 2, 253, 27, 0, 11],
};
/** What is taken where nothing is asked for: the first that the engine has. */
const PREFERRED = ["simd128", "scalar"];

function has(instructions) {
  const probe = PROBES[instructions] && Uint8Array.from(PROBES[instructions]);
  if (!probe) return true;
  if (!WebAssembly.validate(probe)) return false;
  if (instructions !== "relaxed") return true;
  // V8 11.3, where the instructions are behind a flag, loses the third operand in its baseline compiler.
  const { dot } = new WebAssembly.Instance(new WebAssembly.Module(probe)).exports;
  return dot(0x01020304, 0x7f010203, 1000) === 1000 + 4 * 3 + 3 * 2 + 2 * 1 + 1 * 127;
}

/**
 * The instructions to load a module for: those asked for, else the best that the engine has.
 * @param modules addresses by instructions
 */
export function choose(modules, asked) {
  const there = Object.keys(modules);
  if (asked === undefined) {
    const found = PREFERRED.find((instructions) => modules[instructions] && has(instructions));
    if (found) return found;
    throw new SanderlingError("Unsupported", "WebAssembly with 128-bit SIMD is needed, as Chrome has since 91, Firefox since 89, Safari since 16.4 "
      + "and Node since 16.4; sanderling/vision runs without");
  }
  if (!there.includes(asked)) {
    throw new SanderlingError("Option", `instructions is ${asked}: this entry of the package has ${there.join(", ")}`);
  }
  if (!has(asked)) throw new SanderlingError("Unsupported", `this engine has no WebAssembly with the instructions ${asked}, or computes wrongly with them: leave the option instructions out`);
  return asked;
}
