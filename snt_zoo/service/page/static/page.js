// What the page does besides what works without scripts: classes of a dot beside the map, the size of what was
// picked before it is sent, and what went wrong before a page could say so.
"use strict";

function show(dot) {
  const panel = document.getElementById("details");
  if (!panel) return;
  if (!dot) { panel.hidden = true; return; }
  const title = dot.querySelector("title");
  if (title) { dot.dataset.lines = title.textContent; title.remove(); } // the panel stands in its place
  panel.replaceChildren(...dot.dataset.lines.split("\n").map((line) => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
  const map = dot.ownerSVGElement.getBoundingClientRect();
  const at = dot.getBoundingClientRect();
  panel.classList.toggle("left", at.left > map.left + map.width / 2);
  panel.hidden = false;
}

for (const [event, wanted] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
  document.addEventListener(event, (happened) => {
    const dot = happened.target.closest ? happened.target.closest(".dot") : null;
    if (dot) show(wanted ? dot : null);
  });
}

function tell(target, message) {
  const said = document.createElement("p");
  said.className = "error";
  said.setAttribute("role", "alert");
  said.textContent = message;
  target.replaceChildren(said);
}

// The guards of the service answer in JSON; and a service that has ended does not answer at all.
document.addEventListener("htmx:beforeSwap", (happened) => {
  const { xhr, target } = happened.detail;
  if (!(xhr.getResponseHeader("content-type") || "").includes("json")) return;
  happened.detail.shouldSwap = false;
  if (target.id === "answer") tell(target, JSON.parse(xhr.responseText).error.message);
});
document.addEventListener("htmx:afterRequest", (happened) => {
  const lost = document.getElementById("lost");
  if (lost && happened.detail.successful) lost.hidden = true;
});
document.addEventListener("htmx:sendError", (happened) => {
  const { target } = happened.detail;
  const lost = document.getElementById("lost");
  if (lost) lost.hidden = false;
  if (target.id === "answer") tell(target, "The service did not answer: it may have refused what was sent, or have ended.");
});

document.addEventListener("change", (happened) => {
  const input = happened.target;
  const told = document.getElementById("picked");
  if (!told || input.type !== "file") return;
  for (const other of document.querySelectorAll("input[type=file]")) if (other !== input) other.value = "";
  const files = [...input.files];
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const over = bytes > Number(input.dataset.mostBytes) || files.length > Number(input.dataset.mostFiles);
  const size = bytes < 1048576 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
  told.textContent = files.length === 0 ? ""
    : `${files.length.toLocaleString("en")} ${files.length === 1 ? "file" : "files"}, ${size}`
      + (over ? ": that is more than is taken. Choose a folder with fewer images of each class." : " will be sent.");
  told.classList.toggle("over", over);
});
