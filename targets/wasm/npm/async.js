// A model that any backend may answer for: on the CPU at once, on WebGPU when its pipelines are compiled, on the CPU again when that fails.
import { SanderlingError } from "./error.js";

/** Questions that may be open at a time. */
const MAX_OPEN = 64;

/** Why WebGPU is not for this model; undefined where it is. */
async function lacking(backend, webgpu) {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) return "there is no WebGPU here (navigator.gpu): it takes a browser that has it, and a page from https or localhost";
  if (!webgpu) return "this worker has no module for WebGPU: make it of sanderling/webgpu.worker.js or sanderling/vision.webgpu.worker.js";
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return "the browser has WebGPU, but no GPU for it: its settings, its version or the driver are in the way";
  // Slower than this CPU's own instructions.
  if (backend === "auto" && adapter.info?.isFallbackAdapter) return "the only GPU is emulated by the CPU; backend: \"webgpu\" takes that, too";
  return undefined;
}

export class AsyncModel {
  /** The one that answers: the CPU's class, or WebGPU's. */
  #model;
  #about;
  #why = [];
  #turn = Promise.resolve();
  #open = 0;
  #closed = false;
  #ready;

  /**
   * Loads a bundle on the CPU, and goes on to WebGPU behind it.
   * @param Cpu the class for the CPU
   * @param webgpu gives the module webgpu.js
   */
  static async load(Cpu, webgpu, bytes, { backend, ...options }) {
    if (backend !== "auto" && backend !== "webgpu") throw new SanderlingError("Option", `backend is ${backend}: give "auto", "webgpu" or "cpu"`);
    const lack = lacking(backend, webgpu);
    const refused = backend === "webgpu" && (await lack);
    if (refused) throw new SanderlingError("Unsupported", refused);
    const model = new AsyncModel();
    model.#model = await Cpu.load(bytes, options);
    model.#about = model.#model.about();
    model.#ready = model.#accelerate(lack, webgpu, bytes, options).then(() => model.backend);
    return model;
  }

  get name() { return this.#about.name; }
  get version() { return this.#about.version; }
  get description() { return this.#about.description; }
  get inputs() { return this.#about.inputs; }
  get outputs() { return this.#about.outputs; }
  get labels() { return this.#about.labels; }
  get instructions() { return this.#about.instructions; }
  get backend() { return this.#model.backend; }
  get fallbacks() { return [...this.#why, ...this.#model.fallbacks]; }
  get ready() { return this.#ready; }
  about() { return this.#about; }

  digest() { return this.#ask((model) => model.digest()); }
  run(input) { return this.#ask((model) => model.run(input)); }
  layers(input) { return this.#ask((model) => model.layers(input)); }
  classify(input, options) { return this.#ask((model) => model.classify(input, options)); }
  selfTest() { return this.#ask((model) => model.selfTest()); }

  /** Open questions are answered first. */
  free() {
    this.#closed = true;
    this.#queue(() => this.#model.free());
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.free();
  }

  #ask(call) {
    if (this.#closed) return Promise.reject(new SanderlingError("Closed", "the model was freed: load it again"));
    if (this.#open >= MAX_OPEN) return Promise.reject(new SanderlingError("Worker", `${MAX_OPEN} questions are open: wait for their answers`));
    this.#open += 1;
    return this.#queue(() => call(this.#model)).finally(() => (this.#open -= 1));
  }

  /** One after the other: a GPU's model has one run at a time. */
  #queue(call) {
    const done = this.#turn.then(call);
    this.#turn = done.then(() => {}, () => {});
    return done;
  }

  async #accelerate(lack, webgpu, bytes, { memoryLimit }) {
    try {
      const why = await lack;
      if (why) throw new SanderlingError("Unsupported", why);
      const { GpuModel } = await webgpu();
      const coming = await GpuModel.load(bytes, { memoryLimit });
      await this.#queue(() => {
        if (this.#closed) return coming.free();
        this.#model.free();
        this.#model = coming;
      });
    } catch (error) {
      this.#why.push({ backend: "webgpu", reason: error.message });
    }
  }
}
