// What a model gives, in Node and in a page alike.

/** The one input of a model of floats, filled with `data`. */
function inputOf(model, data) {
  const [{ name, shape }] = model.inputs;
  const dims = shape.map((dim) => (typeof dim === "number" ? dim : 1));
  return { [name]: { data: data ?? new Float32Array(dims.reduce((a, b) => a * b, 1)).map((_, i) => ((i * 7919) % 255) / 128 - 1), shape: dims } };
}

async function timed(call) {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];

/** Every layer, the first output, and the median time of a few runs, by a model in a worker. */
export async function layersBy(Model, source, data, options, runs) {
  const model = await Model.inWorker(source, options);
  const input = inputOf(model, data);
  const wanted = options.backend ?? "cpu";
  if (wanted !== "cpu" && (await model.ready) !== wanted) throw new Error(model.fallbacks.map(({ reason }) => reason).join("; "));
  const layers = await model.layers(input);
  const outputs = await model.run(input);
  const times = [];
  for (let turn = 0; turn < runs; turn += 1) times.push(await timed(() => model.run(input)));
  const { instructions, outputs: [{ name }] } = model;
  if (model.backend !== wanted) throw new Error(`${wanted} was asked for, ${model.backend} answered`);
  model.free();
  return { layers, output: Array.from(outputs[name].data), instructions, time: median(times) };
}

/** Median and least time of a run by each of these instructions, in turns. */
export async function timesOf(Model, source, kinds, runs) {
  const models = [];
  for (const instructions of kinds) models.push(await Model.inWorker(source, { instructions }));
  const input = inputOf(models[0]);
  const times = kinds.map(() => []);
  for (let turn = 0; turn < runs; turn += 1) {
    for (const [index, model] of models.entries()) times[index].push(await timed(() => model.run(input)));
  }
  models.forEach((model) => model.free());
  return times.map((each) => ({ median: median(each), least: Math.min(...each) }));
}
