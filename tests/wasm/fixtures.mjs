// Bundles of the models to test, and what the native binary says of them: the truth that a browser is held to.
//
// SANDERLING_MODELS   int8 ONNX models, separated by ":"; the others are native.mjs's
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { native, nativeJson, need, root, scratch } from "./native.mjs";

export { entry, folder, native, nativeJson, read, root, scratch } from "./native.mjs";

/** The same bytes everywhere: xorshift32. */
export function bytes(count, seed) {
  let state = seed;
  return Uint8Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 255;
  });
}

/** An array as NumPy writes it. */
export function npy(data, shape) {
  const types = { Float32Array: "<f4", Uint8Array: "|u1", Int32Array: "<i4" };
  const text = `{'descr': '${types[data.constructor.name]}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n";
  const head = Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), Buffer.from([padded.length & 255, padded.length >> 8]), Buffer.from(padded)]);
  return Buffer.concat([head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

const WIDTH = 320, HEIGHT = 240;
/** A picture with something in it: soft waves of colour and a little noise. */
export function picture() {
  const noise = bytes(3 * WIDTH * HEIGHT, 7);
  const rgb = new Uint8Array(3 * WIDTH * HEIGHT);
  for (let y = 0, at = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) {
      for (let c = 0; c < 3; c += 1, at += 1) {
        rgb[at] = Math.round(110 + 90 * Math.sin(x / (9 + 4 * c)) * Math.cos(y / (13 - 3 * c)) + noise[at] / 8);
      }
    }
  }
  return { width: WIDTH, height: HEIGHT, data: rgb };
}

/** Packs a classifier of 224 × 224 pictures, with labels "class 0" … */
function pack(onnx) {
  const name = basename(onnx, ".onnx");
  const { inputs: [input], outputs: [output] } = nativeJson("inspect", onnx);
  const classes = Number(output.type.match(/,(\d+)\]$/)[1]);
  const labels = Array.from({ length: classes }, (_, index) => `class ${index}`).join("\n");
  writeFileSync(join(scratch, `${name}.txt`), `${labels}\n`);
  const recipe = join(scratch, `${name}.toml`);
  writeFileSync(recipe, `name = "${name}"
version = "1"
model = "${onnx}"
[dims]
${input.type.match(/\[([^,\]]+)/)[1].replace(/^(?!\d)(.*)$/, '"$1" = 1')}
[inputs."${input.name}".pre.ImageU8]
height = 224
width = 224
layout = "Nchw"
channels = "Rgb"
mean = [127, 127, 127]
std = [128, 128, 128]
resize = { CenterCrop = { shorter = 224 } }
[outputs."${output.name}".classification]
labels = "${name}.txt"
softmax = ${output.name === "logits"}
top_k = 3
[golden]
random = 1
`);
  const file = join(scratch, `${name}.sdl`);
  native("pack", recipe, "-o", file);
  return { name, file, input: input.name };
}

/** What the native binary says of one: digests of a fixed input, the answer to the picture. */
function expected({ name, file, input }) {
  const data = Float32Array.from(bytes(3 * 224 * 224, 11), (byte) => (byte - 127) / 128);
  const array = join(scratch, `${name}.npy`), image = join(scratch, "picture.ppm");
  writeFileSync(array, npy(data, [1, 3, 224, 224]));
  const { width, height, data: rgb } = picture();
  writeFileSync(image, Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), rgb]));
  const { layers } = nativeJson("hash", file, "--input", `${input}=${array}`);
  const [answer] = nativeJson("run", file, image).answers;
  return { data, layers, answer };
}

export const classifiers = need("SANDERLING_MODELS").split(":").map((onnx) => {
  const model = pack(onnx);
  return { ...model, ...expected(model) };
});

function magikaBundle() {
  const file = join(scratch, "magika.sdl");
  native("pack", join(root, "examples/magika/sanderling.toml"), "-o", file);
  const names = ["README.md", "Cargo.toml", "targets/wasm/npm/core.js", "examples/magika/model.onnx", "tests/zoo/build.py"];
  const files = names.map((name) => join(root, name));
  const { answers } = nativeJson("run", file, ...files);
  return { file, files, answers };
}
export const magika = magikaBundle();

/** Layers that have digests, here and there, and the names of those that differ. */
export function compare(here, there) {
  const wanted = there.filter((layer) => layer.digest);
  const found = new Map(here.map((layer) => [layer.value, layer.digest]));
  return { layers: wanted.length, different: wanted.filter((layer) => found.get(layer.value) !== layer.digest).map((layer) => layer.value) };
}
