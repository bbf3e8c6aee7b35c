// What a model gives, in Node and in a page alike.

/** Every layer, the first output, and the median time of a few runs, by a model in a worker. */
export async function layersBy(Model, source, data, options, runs) {
  const model = await Model.inWorker(source, options);
  const [{ name, shape }] = model.inputs;
  const input = { [name]: { data, shape: shape.map((dim) => (typeof dim === "number" ? dim : 1)) } };
  const layers = await model.layers(input);
  const outputs = await model.run(input);
  const times = [];
  for (let turn = 0; turn < runs; turn += 1) {
    const start = performance.now();
    await model.run(input);
    times.push(performance.now() - start);
  }
  const { instructions, outputs: [{ name: first }] } = model;
  model.free();
  return { layers, output: Array.from(outputs[first].data), instructions, time: times.sort((a, b) => a - b)[runs >> 1] };
}
