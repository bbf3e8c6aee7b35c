// The worker of updater.js: the agent, its files, its network. Models are the page's.
import * as glue from "./sanderling_wasm_agent.js";
import { SanderlingError } from "./error.js";
import { exchange } from "./exchange.js";
import { Medium, busy } from "./medium.js";

/** Requests of one call of work: more than the largest image takes. */
const MAX_TURNS = 4096;

let medium, agent, lock;
/** Ends what is under way when the updater closes, and the request under way when it is cancelled. */
const closing = new AbortController();
let request;
/** Orders to the page whose outcome is not known yet. */
let orders = 0;
/** Called when something happened that the work under way may wait for. */
let wake = () => {};
let working;

const calls = {
  async open(name, options, factory, wait) {
    await locked(name, wait);
    await glue.default({ module_or_path: new URL("./sanderling_wasm_agent_bg.wasm", import.meta.url) });
    glue.throw_panics();
    medium = await Medium.open(name);
    await keepFactory(factory);
    return calls.start(options);
  },
  /** Apart from open: the page may have to get an enrolment string first. */
  start(options) {
    agent = glue.Agent.open(medium, JSON.stringify(options));
    const { server } = JSON.parse(agent.state());
    if (!isSafe(server)) {
      throw new SanderlingError("Option", `the enrolment names the server ${server}: a fleet server is https://host, or http:// on this machine`);
    }
    tell();
  },
  work(patience) {
    working ??= work(patience).finally(() => (working = undefined));
    return working;
  },
  checkIn: () => done(() => agent.check_in()),
  tested: (image, failure) => ordered(() => agent.tested(image, failure)),
  loaded: (turn, failure, compared) => ordered(() => agent.loaded(turn, failure, compared)),
  counted: (turn, micros, confidence, index, flagged) => agent.counted(turn, micros, confidence, index, flagged),
  rejected: (turn) => agent.rejected(turn),
  broke: (turn) => agent.broke(turn),
  compared: (turn, hash, agree) => agent.compared(turn, hash, agree),
  read: (file, length) => medium.bytes(file, length),
  image: () => JSON.parse(agent.image() ?? "null"),
  state: () => JSON.parse(agent.state()),
  rest: () => done(() => agent.rest()),
  async close() {
    closing.abort();
    wake();
    await working?.catch(() => {});
    try {
      agent?.rest();
    } finally {
      medium?.close();
      lock?.();
    }
  },
};

/** Does what is due until nothing is; then waits up to so many milliseconds for more. Gives the milliseconds until there is. */
async function work(patience) {
  const until = performance.now() + patience;
  let wait = 0;
  for (let turn = 0; turn < MAX_TURNS && !closing.signal.aborted; turn += 1) {
    const step = JSON.parse(agent.step());
    const body = step.request && agent.request_body();
    tell();
    if (step.request) {
      request = new AbortController();
      request.id = step.request.id;
      await exchange(agent, step.request, body, AbortSignal.any([request.signal, closing.signal]));
      tell();
    } else if (orders > 0) {
      // The page tests or loads a model: it always says what came of it.
      await new Promise((next) => (wake = next));
    } else {
      wait = Math.ceil(step.wait);
      const now = performance.now();
      if (wait > 0 && (now >= until || now + wait > until)) break;
      await new Promise((next) => {
        wake = next;
        setTimeout(next, wait);
      });
    }
  }
  agent.rest();
  tell();
  return wait;
}

/** Hands the agent's events to the page. */
function tell() {
  for (let text = agent.event(); text; text = agent.event()) {
    const event = JSON.parse(text);
    if (event.cancel !== undefined) {
      if (request?.id === event.cancel) request.abort();
      continue;
    }
    if (event.test || event.serve) orders += 1;
    self.postMessage({ event });
  }
}

function done(act) {
  act();
  tell();
  wake();
}

function ordered(act) {
  orders -= 1;
  done(act);
}

/** Takes the name's lock, which the browser gives free when this worker ends, however that comes. */
function locked(name, wait) {
  return new Promise((resolve, reject) => {
    const held = (given) => {
      if (!given) return reject(busy(name));
      resolve();
      return new Promise((release) => (lock = release));
    };
    navigator.locks.request(`sanderling updater ${name}`, { ifAvailable: !wait }, held).catch(reject);
  });
}

/** Keeps the bundle that came with the page, so that a start without network has it: an address is fetched once. */
async function keepFactory(factory) {
  const same = (file, bytes) => medium.size(file) === bytes.length && medium.bytes(file).every((byte, at) => byte === bytes[at]);
  const from = new TextEncoder().encode(factory?.from);
  if (!factory?.from) {
    const bytes = factory?.bytes ?? new Uint8Array();
    medium.put("factory.from", from);
    if (!same("factory.sdl", bytes)) medium.put("factory.sdl", bytes);
    return;
  }
  if (same("factory.from", from) && medium.size("factory.sdl") > 0) return;
  let problem;
  try {
    const response = await fetch(factory.from);
    if (response.ok) {
      const bytes = new Uint8Array(await response.arrayBuffer());
      medium.put("factory.from", new Uint8Array());
      medium.put("factory.sdl", bytes);
      medium.put("factory.from", from);
      return;
    }
    problem = `the server says ${response.status}`;
  } catch (error) {
    if (error instanceof SanderlingError) throw error;
    problem = error.message;
  }
  // The one before, or an image of the fleet's, may still answer: the next start tries again.
  self.postMessage({ event: { log: `the factory bundle ${factory.from} cannot be fetched: ${problem}` } });
}

function isSafe(server) {
  const url = URL.canParse(server) ? new URL(server) : {};
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  return url.origin === server && (url.protocol === "https:" || (url.protocol === "http:" && local));
}

self.onmessage = async ({ data: { id, call, args } }) => {
  try {
    self.postMessage({ id, value: await calls[call](...args) });
  } catch (error) {
    const { code = "Internal", message = String(error) } = error ?? {};
    self.postMessage({ id, error: { code, message } });
  }
};
