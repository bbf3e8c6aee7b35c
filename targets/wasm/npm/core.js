// A model behind plain JavaScript values. What it computes is WebAssembly's; here bytes are fetched and typed arrays handed over.
import { AsyncModel } from "./async.js";
import { WorkerModel } from "./client.js";
import { SanderlingError } from "./error.js";
import { choose } from "./instructions.js";
import { read } from "./platform.js";

export { SanderlingError } from "./error.js";
export { pixels } from "./pixels.js";

/** ONNX's name for the elements of a typed array. */
const NAMES = {
  Float16Array: "float16", Float32Array: "float32", Float64Array: "float64", Int8Array: "int8", Uint8Array: "uint8",
  Uint8ClampedArray: "uint8", Int16Array: "int16", Uint16Array: "uint16", Int32Array: "int32", Uint32Array: "uint32",
  BigInt64Array: "int64", BigUint64Array: "uint64",
};
/** Most bytes of weights and intermediates, unless the caller says otherwise. */
const MEMORY_LIMIT = 2 ** 30;

/**
 * The class Model over a module.
 * @param glue what wasm-bindgen wrote beside the module
 * @param home { wasm, worker, thread, webgpu, webgpuWorker }: where it lies, by instructions, how a page and how Node start a worker with
 *   it, and the same with WebGPU's module beside it
 */
export function bind(glue, home) {
  let starting;
  let started;
  let dead;

  /** Starts the module for these instructions: one of them in a thread. */
  async function start(asked) {
    if (!starting) {
      started = choose(home.wasm, asked);
      starting = load(home.wasm[started]).catch((error) => {
        starting = undefined;
        throw error;
      });
    }
    if (asked !== undefined && asked !== started) {
      throw new SanderlingError("Option", `instructions is ${asked}, and this thread has a module for ${started}: Model.inWorker has one of its own for each model`);
    }
    await starting;
  }

  async function load(wasm) {
    const module = await read(wasm);
    try {
      await glue.default({ module_or_path: module });
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError)) throw error;
      throw new SanderlingError("Unsupported", `this engine does not take the module ${wasm}: ${error.message}`);
    }
    glue.throw_panics();
  }

  /** Calls into the module, which may answer by a promise. */
  function inside(call, then = (value) => value) {
    if (dead) throw dead;
    let value;
    try {
      value = call();
    } catch (error) {
      throw ours(error);
    }
    if (!(value instanceof Promise)) return then(value);
    const refuse = (error) => {
      throw ours(error);
    };
    return value.then(then, refuse);
  }

  /** What the module throws with a code is an error of ours; anything else has left it in pieces. */
  function ours(error) {
    if (typeof error?.code !== "string") {
      dead ??= new SanderlingError("Internal", `Sanderling failed inside (${error?.message ?? error}). Where memory is short, a smaller model or `
        + "fewer of them help; else please report it. No model of this page can be used any more: reload it, or load models by Model.inWorker, where one cannot harm the others");
      return dead;
    }
    return new SanderlingError(error.code, error.message, error.isInput);
  }

  return class Model {
    #model;
    #about;
    #limit;

    /** Loads a bundle: from an address, or from its bytes. */
    static async load(source, options = {}) {
      const limit = memoryLimit(options.memoryLimit);
      if ((options.backend ?? "cpu") !== "cpu") return AsyncModel.load(Model, home.webgpu, await bytesOf(source), options);
      await start(options.instructions);
      const bytes = await bytesOf(source);
      return new Model(await inside(() => glue.load(bytes, limit)), limit);
    }

    /** The same in a worker of its own: every call is a promise, and the page stays quick. */
    static inWorker(source, options = {}) {
      return WorkerModel.load(home, source, options);
    }

    /** `simd128`, `relaxed` or `scalar`; known once a model was loaded. */
    static get instructions() {
      return inside(() => glue.instructions());
    }

    /** What the module can run, as an updater tells its fleet. */
    static async runtime() {
      await start();
      return inside(() => glue.runtime());
    }

    constructor(model, limit) {
      if (!(model instanceof glue.Model)) throw new TypeError("use `await Model.load(source)`");
      this.#model = model;
      this.#limit = limit;
      this.#about = Object.freeze(inside(() => ({ ...model.describe(), instructions: glue.instructions() })));
    }

    get name() { return this.#about.name; }
    get version() { return this.#about.version; }
    get description() { return this.#about.description; }
    get inputs() { return this.#about.inputs; }
    get outputs() { return this.#about.outputs; }
    get labels() { return this.#about.labels; }
    get instructions() { return this.#about.instructions; }
    /** Who answers, and why no faster one does any more. */
    get backend() { return this.#model?.backend?.() ?? "cpu"; }
    get fallbacks() { return this.#model?.fallbacks?.() ?? []; }

    /** SHA-256 of the bundle. */
    digest() {
      const model = this.#open();
      return inside(() => model.digest());
    }

    /** Runs the model on tensors by name, or on what the bundle makes of a file or an image: `{ name: { data, shape, type } }`. */
    run(input) {
      const model = this.#open();
      const tensors = this.#prepared(model, input);
      const named = ({ name, type, shape, bytes }) => [name, { data: elements(type, bytes), shape, type }];
      return inside(() => model.run(tensors), (outputs) => Object.fromEntries(outputs.map(named)));
    }

    /** Runs the model: every layer, with a digest where it computes integers. */
    layers(input) {
      const model = this.#open();
      const tensors = this.#prepared(model, input);
      return inside(() => model.layers(tensors));
    }

    /** Answers to a file's bytes, to an image (`{ width, height, data }`, RGBA or RGB), or to tensors by name. */
    classify(input, options = {}) {
      const model = this.#open();
      const top = topOf(options.top);
      if (isBytes(input)) {
        const bytes = this.#fitting(view(input));
        return inside(() => model.classify_bytes(bytes, top));
      }
      if (isImage(input)) {
        const rgb = this.#fitting(rgbOf(input));
        return inside(() => model.classify_image(input.width, input.height, rgb, top));
      }
      const tensors = this.#tensors(input);
      return inside(() => model.classify_tensors(tensors, top));
    }

    /** Runs the bundle's golden vectors: `[{ name, failure }]`. */
    selfTest() {
      const model = this.#open();
      return inside(() => model.self_test());
    }

    /** Everything that is known of it, for a worker's client. */
    about() {
      return this.#about;
    }

    /** Gives its memory back; it cannot be used after that. */
    free() {
      const model = this.#model;
      this.#model = undefined;
      if (model && !dead) inside(() => model.free());
    }

    [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
      this.free();
    }

    #open() {
      if (!this.#model) throw new SanderlingError("Closed", "the model was freed: load it again");
      return this.#model;
    }

    /** Refuses what would not fit before it is copied. */
    #fitting(bytes) {
      if (bytes.length <= this.#limit) return bytes;
      throw new SanderlingError("TooLarge", `the input has ${bytes.length} bytes, memoryLimit is ${this.#limit}`, true);
    }

    #prepared(model, input) {
      if (!isBytes(input) && !isImage(input)) return this.#tensors(input);
      const data = this.#fitting(isBytes(input) ? view(input) : rgbOf(input));
      const tensors = inside(() => (isBytes(input) ? model.prepare_bytes(data) : model.prepare_image(input.width, input.height, data)));
      if (tensors) return tensors;
      throw new SanderlingError("Pipeline", "a rule of the bundle answers to this without the model: use classify", true);
    }

    #tensors(inputs) {
      const rows = rowsOf(inputs, this.#about.inputs);
      rows.forEach((row) => this.#fitting(row[3]));
      return inside(() => {
        const tensors = new glue.Tensors();
        for (const row of rows) tensors.add(...row);
        return tensors;
      });
    }
  };
}

function memoryLimit(limit = MEMORY_LIMIT) {
  if (Number.isFinite(limit) && limit > 0) return limit;
  throw new SanderlingError("Option", `memoryLimit is ${limit}: give bytes, as in ${MEMORY_LIMIT}`);
}

function topOf(top) {
  if (top === undefined || (Number.isInteger(top) && top > 0 && top < 2 ** 31)) return top;
  throw new SanderlingError("Option", `top is ${top}: give how many labels to list, as in 5`);
}

const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
const isImage = (value) => Number.isInteger(value?.width) && Number.isInteger(value?.height) && ArrayBuffer.isView(value?.data);
const view = (value) => ArrayBuffer.isView(value)
  ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  : new Uint8Array(value);

async function bytesOf(source) {
  if (isBytes(source)) return view(source);
  if (typeof source === "string" || source instanceof URL) source = await read(source);
  if (typeof source?.arrayBuffer === "function") return new Uint8Array(await source.arrayBuffer());
  if (isBytes(source)) return view(source);
  throw new SanderlingError("Option", "a bundle comes from an address, an ArrayBuffer, a typed array, a Blob or a Response");
}

/** Name, type, shape and bytes of each input. */
function rowsOf(inputs, ports) {
  if (inputs === null || typeof inputs !== "object" || Array.isArray(inputs)) {
    const names = ports.map((port) => port.name).join(", ");
    throw new SanderlingError("InputType", `inputs are an object of typed arrays by name; the model's are ${names}`, true);
  }
  return Object.entries(inputs).map(([name, given]) => {
    const { data, shape, type } = ArrayBuffer.isView(given) ? { data: given } : given ?? {};
    const native = ArrayBuffer.isView(data) ? NAMES[data[Symbol.toStringTag]] : undefined;
    if (!native) {
      const problem = `input '${name}' is ${kind(given)}: give a typed array, or { data, shape } with one`;
      throw new SanderlingError("InputType", problem, true);
    }
    const expected = ports.find((port) => port.name === name)?.type;
    return [name, String(type ?? stored(native, expected)), dims(name, shape), view(data)];
  });
}

/** Types that JavaScript has no array of come in the array of their size. */
function stored(native, expected) {
  const same = { uint8: ["bool"], uint16: ["float16", "bfloat16"] };
  return same[native]?.includes(expected) ? expected : native;
}

function dims(name, shape) {
  if (shape === undefined) return undefined;
  const good = (dim) => Number.isInteger(dim) && dim >= 0 && dim < 2 ** 32;
  const list = shape !== null && typeof shape === "object" ? Array.from(shape) : [shape];
  if (typeof shape === "object" && list.every(good)) return Uint32Array.from(list);
  throw new SanderlingError("InputType", `input '${name}': the shape [${list}] is not of whole numbers from 0`, true);
}

function kind(value) {
  if (value === null || typeof value !== "object") return String(value);
  return Array.isArray(value) ? "a plain array" : `an object of ${Object.keys(value).join(", ") || "nothing"}`;
}

/** Elements of an output: its bytes are a copy of its own. */
function elements(type, bytes) {
  const found = Object.keys(NAMES).find((name) => NAMES[name] === type && globalThis[name]);
  if (found) return new globalThis[found](bytes.buffer);
  return type === "float16" || type === "bfloat16" ? new Uint16Array(bytes.buffer) : bytes;
}

/** Three channels of four; what is seen through is not looked at. */
function rgbOf({ width, height, data }) {
  const pixels = width * height;
  if (data.length === 3 * pixels) return view(data);
  if (data.length !== 4 * pixels) {
    const problem = `an image of ${width} × ${height} has 4·${width}·${height} bytes of RGBA or 3 of RGB, these are ${data.length}`;
    throw new SanderlingError("Pipeline", problem, true);
  }
  const rgb = new Uint8Array(3 * pixels);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return rgb;
}
