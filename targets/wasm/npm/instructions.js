// Which instructions an engine has, and so which of a package's modules it can take.
import { SanderlingError } from "./error.js";

const HEAD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
/** Modules of one function that returns a vector: an engine without the instruction in it refuses them. */
const PROBES = {
  // i32.const 0, i8x16.splat, i8x16.popcnt
  simd128: [...HEAD, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
  // three times i32.const 0, i8x16.splat; then i32x4.relaxed_dot_i8x16_i7x16_add_s
  relaxed: [...HEAD, 10, 19, 1, 17, 0, 65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 147, 2, 11],
};
/** What is taken where nothing is asked for: the first that the engine has. */
const PREFERRED = ["simd128", "scalar"];

const has = (instructions) => !PROBES[instructions] || WebAssembly.validate(Uint8Array.from(PROBES[instructions]));

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
  if (!has(asked)) throw new SanderlingError("Unsupported", `this engine has no WebAssembly with the instructions ${asked}: leave the option instructions out`);
  return asked;
}
