// The page's buttons, fields and keys, and files that are dropped on it or pasted into it.

import * as address from "./address.js";
import * as begin from "./begin.js";
import { add, duplicate, remove } from "./edits.js";
import { keys } from "./keys.js";
import { told } from "./messages.js";
import { nudge } from "./nudge.js";
import { $, on, page, tell } from "./page.js";
import { editor, picture } from "./parts.js";
import { refine, refining, stop } from "./refine.js";
import { select } from "./select.js";
import { take } from "./take.js";
import * as views from "./views.js";

const acts = {
  open: () => $("file").click(),
  sample: () => begin.sample(),
  random: () => begin.random(),
  link: () => address.copy(),
  help: () => $("keys").showModal(),
  undo: () => editor.undo(),
  redo: () => editor.redo(),
  add: () => add(),
  double: () => duplicate(),
  remove: () => remove(),
  refine: () => refine(),
  stop: () => stop(),
  camera: () => views.home(),
  behind: () => views.behind(),
  truth: () => page.input.truth && editor.replace(page.input.truth),
};
const all = (selector) => document.querySelectorAll(selector);

for (const [name, act] of Object.entries(acts)) $(name)?.addEventListener("click", act);
for (const button of all("[data-do]")) button.addEventListener("click", acts[button.dataset.do]);
for (const button of all("[data-take]")) button.addEventListener("click", () => take(button.dataset.take));
for (const button of all("[data-gizmo]")) button.addEventListener("click", () => views.gizmo(button.dataset.gizmo));
for (const button of all(".tabs button")) button.addEventListener("click", () => pane(button));
keys({ acts, picture, gizmo: views.gizmo, nudge, select, focus: () => editor.focus(), refining });

/** On a narrow page: show one of the panes that share a place. */
function pane(button) {
  const level = button.closest(".tabs").classList.contains("upper") ? "upper" : "lower";
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
  for (const one of all(`.pane.${level}`)) one.classList.toggle("shown", one.id === button.dataset.pane);
}

$("number").addEventListener("change", () => {
  const { samples } = page.studio.data[Number($("data").value || 0)], number = Math.round(Number($("number").value));
  begin.sample(Math.min(samples, Math.max(1, number || 1)) - 1);
});
$("data").addEventListener("change", () => begin.sample(0));
$("domain").addEventListener("change", () => begin.empty($("domain").value));
$("size").addEventListener("change", () => {
  page.size = Number($("size").value);
  tell("resized");
});
on("chosen", () => ($("double").disabled = $("remove").disabled = page.chosen === null));

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) begin.open(file, file.name);
  $("file").value = "";
});
const droppable = (event) => !document.body.inert && [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!droppable(event)) return;
  event.preventDefault();
  $("over").hidden = false;
});
addEventListener("dragleave", (event) => event.relatedTarget === null && ($("over").hidden = true));
addEventListener("drop", (event) => {
  $("over").hidden = true;
  if (!droppable(event)) return;
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) begin.open(file, file.name);
});
addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (file && !document.body.inert) begin.open(file, file.name || "the pasted image");
});
addEventListener("hashchange", told(address.follow));
