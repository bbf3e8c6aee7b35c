// What a project with a bundler and TypeScript writes.
import { Updater } from "sanderling/updater";
import { Model, SanderlingError, type Answer } from "sanderling/vision";

const code = (error: unknown): string => (error instanceof SanderlingError ? error.code : "foreign");
const say = (text: string): void => { document.querySelector("output")!.textContent = text; };
// Bundled with its worker and its module; it needs a fleet to be opened.
document.title = typeof Updater.open;
try {
  const model = await Model.inWorker("model.sdl", { memoryLimit: 2 ** 28, backend: "auto" });
  const image = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) };
  const answer: Answer = await model.classify(image, { top: 2 });
  using direct = await Model.load("model.sdl");
  const { data, shape } = Object.values(direct.run({ [direct.inputs[0].name]: new Float32Array(3 * 224 * 224) }))[0];
  say(`${answer.label} ${data.length} ${shape.join("x")} ${await model.ready}`);
} catch (error) {
  say(code(error));
}
