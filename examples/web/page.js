// A model in the page: a file or picture in, an answer, its time, who computed it and its digest out. ?model=ADDRESS takes another
// bundle, ?backend=cpu or webgpu another backend.
import { Model, pixels } from "./sanderling/index.js";

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const address = asked.get("model") ?? "model.sdl";
const backend = asked.get("backend") ?? "auto";

$("code").textContent = `<script type="module">
  import { Model, pixels } from "./sanderling/index.js";

  const model = await Model.inWorker("${address}", { backend: "${backend}" });
  const picture = document.querySelector("input[type=file]");
  picture.onchange = async () => {
    const answer = await model.classify(await pixels(picture.files[0]));
    document.querySelector("output").textContent = answer.label;
  };
</script>`;

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

let model;
try {
  model = await Model.inWorker(address, { backend });
  $("model").textContent = `${model.name} ${model.version}`;
  $("bundle").textContent = `sha256 ${(await model.digest()).slice(0, 16)}…`;
  // The bundle's own examples, which also make the first answer as fast as the next.
  const failed = (await model.selfTest()).find((vector) => vector.failure);
  say(failed ? `The model fails its self-test here: ${failed.name}: ${failed.failure}` : "Ready.", Boolean(failed));
  document.body.dataset.ready = "yes";
} catch (error) {
  say(error.message, true);
}

/** Shows a picture, and gives its pixels; what is none comes as its bytes. */
async function look(file) {
  const picture = file.type.startsWith("image/") ? await createImageBitmap(file).catch(() => null) : null;
  shown(picture ? "preview" : "hint");
  $("hint").textContent = file.name ?? "";
  if (!picture) return { bytes: await file.arrayBuffer() };
  const canvas = $("preview");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return { bytes: await file.arrayBuffer(), image: await pixels(picture) };
}

function shown(id) {
  for (const each of ["preview", "video", "hint"]) $(each).hidden = each !== id;
}

async function answer(file) {
  if (!file || !model) return;
  stop();
  say("Looking …");
  try {
    const { bytes, image } = await look(file);
    const { input, answer, time } = await timed(bytes, image);
    show(answer, time, answer.rule ? "none: a rule answered" : lastDigest(await model.layers(input)));
    say("");
  } catch (error) {
    $("answer").hidden = true;
    say(error.message, true);
  }
}

function show(answer, time, digest) {
  $("label").textContent = answer.label;
  $("top").replaceChildren(...answer.top.map(row));
  $("time").textContent = `${time.toFixed(1)} ms`;
  $("backend").textContent = model.backend === "webgpu" ? "WebGPU, from a worker" : "WebAssembly, in a worker";
  $("why").textContent = model.fallbacks.map(({ reason }) => reason).join("; ");
  $("digest").textContent = digest;
  $("answer").hidden = false;
}

let camera;

/** Answers to one frame after the other; while one is looked at, the next ones pass by. */
async function film() {
  if (camera) return stop();
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } } });
    const video = $("video");
    video.srcObject = camera;
    await video.play();
    shown("video");
    $("camera").textContent = "Stop the camera";
    say("");
    while (camera) {
      const frame = await pixels(video);
      const start = performance.now();
      const answer = await model.classify(frame, { top: 5 });
      if (camera) show(answer, performance.now() - start, "of single pictures only");
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stop();
    say(`The camera cannot be used: ${error.message}`, true);
  }
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = undefined;
  $("camera").textContent = "Use the camera";
}

/** The model says by its error which of the two it takes: pixels, or a file. */
async function timed(bytes, image) {
  const run = async (input) => {
    const start = performance.now();
    const answer = await model.classify(input, { top: 5 });
    return { input, answer, time: performance.now() - start };
  };
  try {
    return await run(image ?? bytes);
  } catch (error) {
    if (image && error.code === "Pipeline") return run(bytes);
    throw error;
  }
}

/** What `sanderling hash` prints last for the same input, on any device. */
function lastDigest(layers) {
  return layers.findLast((layer) => layer.digest)?.digest ?? "none: this model computes in floats";
}

function row({ label, score }) {
  const item = document.createElement("li");
  const meter = Object.assign(document.createElement("meter"), { min: 0, max: 1, value: score });
  const name = Object.assign(document.createElement("span"), { textContent: label });
  const number = Object.assign(document.createElement("span"), { textContent: `${(100 * score).toFixed(1)} %` });
  item.append(name, meter, number);
  return item;
}

$("file").onchange = () => answer($("file").files[0]);
$("camera").onclick = () => model && film();
addEventListener("paste", (event) => answer(event.clipboardData.files[0]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  answer(event.dataTransfer.files[0]);
});
