// A model in a worker: each call is a message there and one back.
import { SanderlingError } from "./error.js";
import { locate, spawn } from "./platform.js";

/** Questions that may be open at a time. */
const MAX_OPEN = 64;
/** Longest time for an answer, unless the caller says otherwise: in milliseconds. */
const TIMEOUT = 120_000;

export class WorkerModel {
  #worker;
  #open = new Map();
  #next = 1;
  #why;
  #timeout;
  #about;
  #state = { backend: "cpu", fallbacks: [] };
  #settled;
  #ready = new Promise((resolve, reject) => (this.#settled = { resolve, reject }));

  /** Starts a worker and loads a bundle in it. */
  static async load(home, source, { memoryLimit, instructions, backend = "cpu", timeout = TIMEOUT, worker } = {}) {
    if (!(Number.isFinite(timeout) && timeout > 0)) throw new SanderlingError("Option", `timeout is ${timeout}: give milliseconds, as in ${TIMEOUT}`);
    const model = new WorkerModel();
    model.#timeout = timeout;
    const parcel = await packed(source);
    // What is not there in the page is not there in its workers.
    worker ??= backend !== "cpu" && globalThis.navigator?.gpu ? home.webgpuWorker : home.worker;
    model.#ready.catch(() => {});
    model.#worker = await spawn({ ...home, worker }, (reply) => model.#settle(reply), (why) => model.#die("Worker", `the worker of the model is gone (${why}): load it again`));
    try {
      model.#about = await model.#ask("load", [parcel, { memoryLimit, instructions, backend }], parcel instanceof ArrayBuffer ? [parcel] : []);
    } catch (error) {
      model.free();
      throw error;
    }
    return model;
  }

  get name() { return this.#about.name; }
  get version() { return this.#about.version; }
  get description() { return this.#about.description; }
  get inputs() { return this.#about.inputs; }
  get outputs() { return this.#about.outputs; }
  get labels() { return this.#about.labels; }
  get instructions() { return this.#about.instructions; }
  /** As of the last answer. */
  get backend() { return this.#state.backend; }
  get fallbacks() { return this.#state.fallbacks; }
  /** Resolves with the backend that stays: once WebGPU is ready or given up. */
  get ready() { return this.#ready; }

  digest() { return this.#ask("digest", []); }
  run(input) { return this.#ask("run", [plain(input)]); }
  layers(input) { return this.#ask("layers", [plain(input)]); }
  selfTest() { return this.#ask("selfTest", []); }

  /** As Model's; a Blob or File is read in the worker. */
  classify(input, options) { return this.#ask("classify", [plain(input), options]); }

  /** Ends the worker; open questions are refused. */
  free() {
    this.#die("Closed", "the model was freed: load it again");
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.free();
  }

  #ask(call, args, transfer = []) {
    if (this.#why) return Promise.reject(this.#why);
    if (this.#open.size >= MAX_OPEN) {
      return Promise.reject(new SanderlingError("Worker", `${MAX_OPEN} questions are open: wait for their answers`));
    }
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      try {
        this.#worker.post({ id, call, args }, transfer);
      } catch (error) {
        reject(new SanderlingError("InputType", `this cannot be sent to a worker: ${error.message}`, true));
        return;
      }
      const late = () => this.#die("Worker", `the worker of the model did not answer within ${this.#timeout} ms and was ended: load it again, or raise the option timeout`);
      this.#open.set(id, { resolve, reject, timer: setTimeout(late, this.#timeout) });
      this.#worker.hold?.();
    });
  }

  #settle({ id, value, error, state = this.#state, settled }) {
    this.#state = state;
    if (settled) this.#settled.resolve(state.backend);
    const question = this.#open.get(id);
    if (!question) return;
    this.#open.delete(id);
    clearTimeout(question.timer);
    if (this.#open.size === 0) this.#worker.release?.();
    if (!error) {
      question.resolve(value);
      return;
    }
    question.reject(new SanderlingError(error.code, error.message, error.isInput));
    if (error.code === "Internal") this.#die("Worker", "the worker of the model failed inside: load it again");
  }

  #die(code, message) {
    if (this.#why) return;
    this.#why = new SanderlingError(code, message);
    this.#settled.reject(this.#why);
    this.#worker?.end();
    for (const { reject, timer } of this.#open.values()) {
      clearTimeout(timer);
      reject(this.#why);
    }
    this.#open.clear();
  }
}

/** An ImageData as a plain object: what it may hold besides pixels, not everyone can send. */
function plain(input) {
  if (!(Number.isInteger(input?.width) && input.data)) return input;
  return { width: input.width, height: input.height, data: input.data };
}

/** What can go to a worker: an address, or bytes of its own. */
async function packed(source) {
  if (typeof source === "string" || source instanceof URL) return (await locate(source)).href;
  if (source instanceof ArrayBuffer) return source.slice(0);
  if (ArrayBuffer.isView(source)) return Uint8Array.from(new Uint8Array(source.buffer, source.byteOffset, source.byteLength)).buffer;
  if (typeof source?.arrayBuffer === "function") return source.arrayBuffer();
  throw new SanderlingError("Option", "a bundle comes from an address, an ArrayBuffer, a typed array, a Blob or a Response");
}
