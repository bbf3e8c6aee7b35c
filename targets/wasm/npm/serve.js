// The worker's side: one model, asked by messages, in order.
import { isNode, node } from "./platform.js";

/** Answers messages with a model of this class. */
export function serve(Model) {
  let model;
  let last = Promise.resolve();
  const calls = {
    load: async (source, options) => (model = await Model.load(source, options)).about(),
    classify: async (input, options) => model.classify(await opened(input), options),
    run: async (input) => model.run(await opened(input)),
    layers: async (input) => model.layers(await opened(input)),
    digest: () => model.digest(),
    selfTest: () => model.selfTest(),
  };
  /** Who answers, beside each answer. */
  const state = () => model && { backend: model.backend, fallbacks: model.fallbacks };
  const listen = (post) => ({ id, call, args }) => {
    const answered = (value) => {
      post({ id, value, state: state() });
      if (call === "load") Promise.resolve(model.ready).then(() => post({ state: state(), settled: true }));
    };
    last = last.then(() => calls[call](...args)).then(answered, (error) => post({ id, error: told(error), state: state() }));
  };
  if (isNode) {
    node("worker_threads").then(({ parentPort }) => parentPort.on("message", listen((reply) => parentPort.postMessage(reply))));
  } else {
    const handle = listen((reply) => self.postMessage(reply));
    self.onmessage = (event) => handle(event.data);
  }
}

/** A Blob's bytes; anything else as it is. */
const opened = (input) => (typeof input?.arrayBuffer === "function" ? input.arrayBuffer() : input);

/** What of an error can be sent. */
function told(error) {
  const { code = "Internal", message = String(error), isInput = false } = error ?? {};
  return { code, message, isInput };
}
