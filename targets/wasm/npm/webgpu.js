// Models on WebGPU: as core.js has them on the CPU, but every call is a promise. async.js says when they are used.
import { bind } from "./core.js";
import * as glue from "./sanderling_wasm_webgpu.js";

let opening;
/** The one GPU of all models here; another where it was lost. */
async function open() {
  const device = await opening?.catch(() => undefined);
  if (device && !device.is_lost()) return device;
  opening = glue.open_device();
  return opening;
}

/** Polls until there is something; asleep in between. */
async function polled(device, poll) {
  for (;;) {
    const value = poll();
    if (value !== undefined) return value;
    await device.news();
  }
}

/** The module's model behind the calls of a CPU's. */
class Stepwise {
  #model;
  #device;

  static async load(bytes, limit) {
    const device = await open();
    const coming = glue.load(bytes, limit, device);
    try {
      const stepwise = new Stepwise();
      stepwise.#model = await polled(device, () => coming.poll());
      stepwise.#device = device;
      return stepwise;
    } finally {
      coming.free();
    }
  }

  describe() { return this.#model.describe(); }
  digest() { return this.#model.digest(); }
  prepare_bytes(data) { return this.#model.prepare_bytes(data); }
  prepare_image(width, height, data) { return this.#model.prepare_image(width, height, data); }
  free() { this.#model.free(); }
  backend() { return this.#model.fallbacks().length ? "cpu" : "webgpu"; }
  fallbacks() { return this.#model.fallbacks().map((reason) => ({ backend: "webgpu", reason })); }

  run(tensors) { return this.#done(this.#model.start_run(tensors)); }
  layers(tensors) { return this.#done(this.#model.start_layers(tensors)); }
  classify_tensors(tensors, top) { return this.#done(this.#model.start_tensors(tensors, top)); }
  classify_bytes(bytes, top) { return this.#done(this.#model.start_bytes(bytes, top)); }
  classify_image(width, height, rgb, top) { return this.#done(this.#model.start_image(width, height, rgb, top)); }
  self_test() { return this.#done(this.#model.start_self_test()); }

  #done() {
    return polled(this.#device, () => this.#model.poll());
  }
}

export const GpuModel = bind({ ...glue, Model: Stepwise, load: Stepwise.load }, { wasm: { simd128: new URL("./sanderling_wasm_webgpu_bg.wasm", import.meta.url) } });
