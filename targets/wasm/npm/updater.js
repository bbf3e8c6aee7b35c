// Signed updates of a model in a tab. A worker decides and keeps; here models are tested, answer and are compared.
import { SanderlingError } from "./error.js";

export { SanderlingError } from "./error.js";

/** Inputs that wait to be compared, the longest of them in bytes, and most of one trial. */
const BACKLOG = 16;
const MAX_INPUT = 8 << 20;
const MAX_UNITS = 4096;
/** Times that an image is tried whose worker cannot be had. */
const TRIES = 3;
/** What a tab has in a browser's quota is asked for by this. */
const NAME = /^[a-z0-9_-]{1,64}$/;

export class Updater {
  #worker;
  #asked = new Map();
  #next = 1;
  #why;
  #Model;
  #options;
  #log;
  /** Models by the SHA-256 of their image. */
  #held = new Map();
  /** What answers: the order's number, its image, the one beside. */
  #serving;
  #order;
  /** The page's part is done in the order in which it is asked for. */
  #last = Promise.resolve();

  /** Opens the updater of a name; it answers from the newest intact image. */
  static async open(options = {}) {
    const { Model, name = "default", enrolment, hardware, factory, model = {}, dailyBudget, trialSeconds, wait = false, log, worker } = options;
    if (typeof Model?.inWorker !== "function" || typeof Model.runtime !== "function") {
      throw new SanderlingError("Option", "the option Model is not the class Model of sanderling or of sanderling/vision");
    }
    if (!NAME.test(name)) throw new SanderlingError("Option", `the name '${name}' is not of 1 to 64 of a-z, 0-9, - and _`);
    if (typeof hardware !== "string") throw new SanderlingError("Option", "the option hardware names this kind of device for the fleet's owner, as in 'chrome-desktop'");
    whole("dailyBudget", dailyBudget);
    whole("trialSeconds", trialSeconds);
    if (!globalThis.isSecureContext || !navigator.locks || !navigator.storage?.getDirectory || !globalThis.Worker) {
      throw new SanderlingError("Unsupported", "an updater needs a page at https:// or on this machine, and a browser with Web Locks and the Origin Private File System");
    }
    const updater = new Updater();
    [updater.#Model, updater.#options, updater.#log] = [Model, model, log];
    const memoryLimit = model.memoryLimit ?? 2 ** 30;
    const told = { hardware, dailyBudget, trialSeconds, runtime: { ...await Model.runtime(), memoryLimit } };
    const shipped = await given(factory);
    updater.#start(worker ?? (() => new Worker(new URL("./updater.worker.js", import.meta.url), { type: "module", name: "sanderling updater" })));
    try {
      const known = typeof enrolment === "string" ? { ...told, enrolment } : told;
      await updater.#ask("open", [name, known, shipped, wait]).catch(async (error) => {
        if (error.code !== "NotEnrolled" || typeof enrolment !== "function") throw error;
        await updater.#ask("start", [{ ...told, enrolment: String(await enrolment()).trim() }]);
      });
      await updater.#last;
      return updater;
    } catch (error) {
      updater.#die(new SanderlingError("Closed", "the updater could not be opened"));
      throw error;
    }
  }

  /** Does what is due (check in, fetch, verify, test, flip), then up to so many milliseconds what comes to be. Gives the milliseconds until there is more. */
  async work(patience = 0) {
    whole("patience", patience);
    return this.#ask("work", [patience]);
  }

  /** Checks in now, and does what follows. */
  async check(patience = 0) {
    await this.#ask("checkIn", []);
    return this.work(patience);
  }

  /** Answers from the image that serves: counted for the fleet, and compared during a trial. */
  async classify(input, options) {
    if (typeof input?.arrayBuffer === "function") input = await input.arrayBuffer();
    const serving = this.#answering();
    const { held, turn } = serving;
    // The caller may change its buffer while the first of the two runs.
    const copy = serving.beside && serving.waiting < BACKLOG && sizeOf(input) <= MAX_INPUT ? structuredClone(plain(input)) : undefined;
    const start = performance.now();
    held.uses += 1;
    try {
      const answer = await held.model.classify(input, options);
      this.#tell("counted", [turn, 1000 * (performance.now() - start), answer.confidence, answer.top[0]?.index, answer.flagged]);
      if (copy !== undefined) this.#compare(serving, copy, answer.label);
      return answer;
    } catch (error) {
      if (error?.isInput) this.#tell("rejected", [turn]);
      else if (error?.code !== "Option" && error?.code !== "Closed") this.#tell("broke", [turn]);
      if (isGone(error)) this.#revive(held);
      throw error;
    } finally {
      release(held);
    }
  }

  /** The bytes of the image that serves, for `Model.load`: what is run on them is not counted. */
  async bundle() {
    const image = await this.#ask("image", []);
    if (!image) throw none();
    return this.#ask("read", [image.file, image.length]);
  }

  /** What the updater says of itself. */
  async state() {
    const state = await this.#ask("state", []);
    const about = this.#serving?.image === state.image ? this.#serving?.held.model : undefined;
    return { ...state, model: about?.name ?? null, version: about?.version ?? null };
  }

  /** Puts what was counted into the files, and takes this start for a good one: work and close do it. */
  async rest() {
    await this.#ask("rest", []);
  }

  /** Rests, and gives the name free for another tab. What is under way ends; a download goes on where it stopped. */
  async close() {
    if (this.#why) return;
    const closed = new SanderlingError("Closed", "the updater was closed: open it again");
    try {
      await this.#ask("close", []);
    } finally {
      this.#die(closed);
    }
  }

  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    await this.close();
  }

  #start(worker) {
    this.#worker = worker();
    this.#worker.onmessage = ({ data }) => (data.event ? this.#happened(data.event) : this.#settle(data));
    this.#worker.onerror = (event) => {
      const why = event.message || "its script could not be loaded";
      this.#die(new SanderlingError("Worker", `the updater's worker is gone (${why}): open the updater again`));
    };
  }

  #ask(call, args) {
    if (this.#why) return Promise.reject(this.#why);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, args });
    });
  }

  /** Asks for nothing in return; a worker that is gone counts nothing. */
  #tell(call, args) {
    this.#ask(call, args).catch(() => {});
  }

  #settle({ id, value, error }) {
    const question = this.#asked.get(id);
    this.#asked.delete(id);
    if (!error) return question?.resolve(value);
    const told = error.code === "Internal"
      ? new SanderlingError("Internal", `the updater failed inside (${error.message}): please report it; opened again it goes on`)
      : new SanderlingError(error.code, error.message);
    question?.reject(told);
    if (error.code === "Internal") this.#die(told);
  }

  #die(why) {
    if (this.#why) return;
    this.#why = why;
    this.#worker.terminate();
    for (const { reject } of this.#asked.values()) reject(why);
    this.#asked.clear();
    for (const held of this.#held.values()) retire(held);
    this.#held.clear();
    this.#serving = undefined;
  }

  #happened({ log, test, serve }) {
    if (log !== undefined) this.#log?.(log);
    if (test) this.#last = this.#last.then(() => this.#test(test));
    if (serve) this.#last = this.#last.then(() => this.#serve(serve));
  }

  /** Runs an image's golden vectors, by the engine that would serve it. */
  async #test(image) {
    let failure;
    try {
      const model = await this.#load(image);
      try {
        const vectors = await model.selfTest();
        const failed = vectors.find((vector) => vector.failure !== null);
        if (vectors.length === 0) failure = "the bundle has no golden vectors";
        if (failed) failure = `golden vector '${failed.name}': ${failed.failure}`;
      } finally {
        model.free();
      }
    } catch (error) {
      failure = error?.message ?? String(error);
    }
    this.#tell("tested", [image.image, failure]);
  }

  async #serve(order) {
    let failure;
    try {
      await this.#adopt(order);
    } catch (error) {
      // The images before go on answering.
      failure = error?.message ?? String(error);
    }
    this.#tell("loaded", [order.turn, failure, failure === undefined && Boolean(this.#serving?.beside)]);
  }

  /** Answers from an order's images from now on, and lets go of those before. */
  async #adopt(order) {
    const answer = order.answer && await this.#hold(order.answer);
    // One that does not load costs the comparison and nothing else.
    const beside = order.beside && await this.#hold(order.beside).catch(() => undefined);
    this.#order = order;
    this.#serving = answer ? { turn: order.turn, image: order.answer.image, held: answer, beside, waiting: 0, seen: new Set() } : undefined;
    for (const [image, held] of this.#held) {
      if (held === answer || held === beside) continue;
      this.#held.delete(image);
      retire(held);
    }
  }

  async #hold(image) {
    const known = this.#held.get(image.image);
    if (known) return known;
    const held = { model: await this.#load(image), uses: 0, retired: false };
    if (this.#why) {
      held.model.free();
      throw this.#why;
    }
    this.#held.set(image.image, held);
    return held;
  }

  /** A model of an image's bytes, which are what was verified. */
  async #load({ image, file, length }) {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        const model = await this.#Model.inWorker(await this.#ask("read", [file, length]), this.#options);
        const found = await model.digest();
        if (found === image) return model;
        model.free();
        throw new SanderlingError("Storage", `${file} has the SHA-256 ${found}, ${image} was verified`);
      } catch (error) {
        if (left === 0 || this.#why || !isGone(error)) throw error;
      }
    }
  }

  /** A model whose worker is gone is loaded again. */
  #revive(held) {
    const [image] = [...this.#held].find(([, other]) => other === held) ?? [];
    if (image === undefined) return;
    this.#held.delete(image);
    retire(held);
    const order = this.#order;
    this.#last = this.#last.then(() => (this.#order === order ? this.#adopt(order) : undefined)).catch((error) => this.#log?.(`the model cannot be loaded again: ${error.message}`));
  }

  /** Runs the image beside on an input that was answered, and hands in whether both say the same. */
  async #compare(serving, input, label) {
    const { beside, turn, seen } = serving;
    serving.waiting += 1;
    beside.uses += 1;
    try {
      const hash = await hashOf(input);
      const key = String(hash);
      if (seen.has(key) || seen.size >= MAX_UNITS) return;
      seen.add(key);
      const answer = await beside.model.classify(input, { top: 1 });
      this.#tell("compared", [turn, hash, answer.label === label]);
    } catch {
      // What one of them cannot answer is no pair: its errors are counted where it answers.
    } finally {
      serving.waiting -= 1;
      release(beside);
    }
  }

  #answering() {
    if (this.#why) throw this.#why;
    if (!this.#serving) throw none();
    return this.#serving;
  }
}

const none = () => new SanderlingError("NoModel", "there is no intact model in this tab: open the updater with { factory }, the bundle that comes with the page");
const isGone = (error) => error?.code === "Worker" || error?.code === "Internal";
const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

function retire(held) {
  held.retired = true;
  if (held.uses === 0) held.model.free();
}

function release(held) {
  held.uses -= 1;
  if (held.retired && held.uses === 0) held.model.free();
}

function whole(name, value) {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return;
  throw new SanderlingError("Option", `${name} is ${value}: give a whole number from 0`);
}

/** A bundle of the page's, as the worker takes it. */
async function given(factory) {
  if (factory === undefined) return undefined;
  if (typeof factory === "string" || factory instanceof URL) {
    if (URL.canParse(factory, location.href)) return { from: new URL(factory, location.href).href };
    throw new SanderlingError("Option", `the factory bundle's address '${factory}' is none`);
  }
  const bytes = typeof factory?.arrayBuffer === "function" ? await factory.arrayBuffer() : factory;
  if (isBytes(bytes)) return { from: "", bytes: ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes) };
  throw new SanderlingError("Option", "the factory bundle is an address, an ArrayBuffer, a typed array, a Blob or a Response");
}

/** An ImageData as a plain object: what it may hold besides pixels, not everyone can clone. */
const plain = (input) => (Number.isInteger(input?.width) && input.data ? { width: input.width, height: input.height, data: input.data } : input);

/** The parts of an input that make it what it is. */
function partsOf(input) {
  if (isBytes(input)) return [input];
  if (isBytes(input?.data)) return [Float64Array.of(input.width, input.height), input.data];
  const names = Object.keys(input ?? {}).sort();
  return names.flatMap((name) => {
    const tensor = input[name];
    const { data, shape = [] } = isBytes(tensor) ? { data: tensor } : tensor ?? {};
    return [new TextEncoder().encode(name), Float64Array.from(shape), isBytes(data) ? data : new Uint8Array()];
  });
}

const sizeOf = (input) => partsOf(input).reduce((sum, part) => sum + part.byteLength, 0);

/** SHA-256 of an input: of its bytes where it is bytes, as on other devices. */
async function hashOf(input) {
  const hash = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hashes = await Promise.all(partsOf(input).map(hash));
  return hashes.length === 1 ? hashes[0] : hash(new Uint8Array(hashes.flatMap((bytes) => [...bytes])));
}
