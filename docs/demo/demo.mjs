// An exported network in the browser: pixels as they are decoded go in, probabilities come out.
// Everything is fetched from beside this file, when the first image is asked about.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

const MOST = 1024; // pixels a side of what is asked about: a larger image is drawn smaller first
const LETTER = 128;
const TOLD = 5;

const of = (id) => document.getElementById(id);
const beside = async (name) => {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer;
};

// The runtime lies here as gzip, as it is four times smaller. A server may have unpacked it already.
async function unpacked(name) {
  const bytes = await (await beside(name)).arrayBuffer();
  const head = new Uint8Array(bytes, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

let loading = null;
function loaded() {
  loading ??= (async () => {
    ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
    ort.env.wasm.wasmBinary = await unpacked("ort/ort-wasm-simd-threaded.wasm.gz");
    const file = await (await beside("model.onnx")).arrayBuffer();
    return ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  })();
  loading.catch(() => { loading = null; });
  return loading;
}
const about = beside("model.json").then((answer) => answer.json());

// RGBA as a canvas has it, to uint8 1 x height x width x 3.
function tensor({ data, width, height }) {
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  return new ort.Tensor("uint8", pixels, [1, height, width, 3]);
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "black"; // below what is transparent, as in training
  context.fillRect(0, 0, width, height);
  return [canvas, context];
}

// Probabilities for an image source: a bitmap, or a canvas.
async function ask(source) {
  const scale = Math.min(1, MOST / Math.max(source.width, source.height));
  const size = [source.width, source.height].map((side) => Math.max(1, Math.round(scale * side)));
  const [canvas, context] = canvasOf(...size);
  if (of("invert").checked) context.filter = "invert(1)";
  context.drawImage(source, 0, 0, ...size);
  of("seen").getContext("2d").drawImage(canvas, 0, 0, of("seen").width, of("seen").height);
  const session = await loaded();
  const began = performance.now();
  const { probabilities } = await session.run({ image: tensor(context.getImageData(0, 0, ...size)) });
  return { probabilities: Array.from(probabilities.data), milliseconds: performance.now() - began };
}

function show(names, { probabilities, milliseconds }) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, TOLD);
  const rows = order.map((index) => {
    const row = document.createElement("tr");
    const bar = document.createElement("progress");
    bar.value = probabilities[index];
    bar.setAttribute("aria-label", `probability of ${names[index]}`);
    for (const part of [names[index], `${(100 * probabilities[index]).toFixed(1)} %`, bar]) {
      const cell = document.createElement("td");
      cell.append(part);
      row.append(cell);
    }
    return row;
  });
  of("answers").tBodies[0].replaceChildren(...rows);
  of("answers").hidden = false;
  of("status").textContent = `${names[order[0]]}, in ${milliseconds.toFixed(0)} ms`;
}

let last = null; // what was asked about last: it is asked again when it is to be inverted
let asked = 0;
async function answer(source) {
  last = source;
  const turn = ++asked;
  of("status").textContent = loading ? "Asking the network…" : "Loading the network (4 MB)…";
  try {
    const [{ class_names: names }, found] = [await about, await ask(await source)];
    if (turn !== asked) return; // another image came meanwhile
    show(names, found);
    window.answered = found; // for whoever looks at the page from outside
    document.body.dataset.answered = Number(document.body.dataset.answered ?? 0) + 1;
  } catch (error) {
    if (turn === asked) of("status").textContent = said(error);
  }
}

function said(error) {
  if (location.protocol === "file:") {
    return "A page from a disk may not fetch the network: run `python -m http.server` in this folder.";
  }
  return error.name === "InvalidStateError" ? "That is no image that this browser can read." : String(error);
}

function letter(text) {
  const [canvas, context] = canvasOf(LETTER, LETTER);
  context.fillStyle = "white";
  context.font = `${0.8 * LETTER}px serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, LETTER / 2, LETTER / 2);
  return canvas;
}

const read = (file) => file && answer(createImageBitmap(file));
of("file").addEventListener("change", (event) => read(event.target.files[0]));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    of("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") read(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => read(event.clipboardData.files[0]));
of("invert").addEventListener("change", () => last && answer(last));
for (const button of document.querySelectorAll(".letter")) {
  button.addEventListener("click", () => answer(letter(button.textContent)));
}
about.then(
  (it) => {
    of("about").textContent =
      `${it.supernet}: ${it.params.toLocaleString("en")} weights, ${(100 * it.test_accuracy).toFixed(1)} % of ` +
      `its test images right. Licence: ${it.licence}.`;
  },
  (error) => { of("status").textContent = said(error); },
);
