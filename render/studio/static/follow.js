// What follows an edit: the server looks at the code, the view shows it, Blender renders it, and all of it says what is odd.

import { describe } from "./domains.js";
import { fail, told } from "./messages.js";
import { $, on, page, tell } from "./page.js";
import { editor, frame, panel, picture, scene } from "./parts.js";
import { aim, show } from "./views.js";
import { Looking, Rendering } from "./work.js";

const src = (png) => `data:image/png;base64,${png}`;

let edited = 0; // when the code was changed that the server was not asked about yet
let since = 0; // when that was changed which it looks at
let drafting = 0; // when the code was changed of which there is no draft yet

function asked() {
  since = edited;
  edited = 0;
  return { ...scene(), truth: page.input.truth ?? null, reading: page.input.reading ?? null };
}
const looking = new Looking(asked, told(looked), fail);
const rendering = new Rendering(pictured, state, fail);

const changed = told(async () => {
  if (editor.setting.domain !== page.domain.name) await describe(editor.setting.domain); // the history went back to a scene of another one
  edited ||= performance.now();
  $("quality").dataset.shown = ""; // the quality in which the scene, as it is now, is shown
  aim();
  $("undo").disabled = !editor.undoes;
  $("redo").disabled = !editor.redoes;
  looking.look();
});

async function looked(said, { truth, reading: _, ...seen }) {
  if (seen.domain !== page.domain.name) return;
  const bare = seen.code.trim() === "" && !picture.can?.render; // nothing was begun yet: nothing is odd about it
  const wrong = said.error ? [{ ...said.error, text: said.error.problem, error: true }] : bare ? [] : said.warnings;
  editor.problems(wrong);
  listProblems(wrong);
  $("parsed").textContent = said.error ? "cannot be read" : "";
  $("parsed").classList.toggle("wrong", Boolean(said.error));
  if (said.error) {
    rendering.rest();
    if (picture.can?.render) $("quality").textContent = "of the code before";
    return;
  }
  page.view = said;
  if (page.chosen !== null && page.chosen >= said.objects.length) page.chosen = null;
  panel.show(said.objects, page.chosen);
  panel.score("scene", said.scores);
  $("truth").hidden = !truth || truth === editor.code;
  const begun = bare ? 0 : since;
  drafting ||= begun;
  await show(said, () => begun && performance.measure("edit to view", { start: begun, end: performance.now() }));
  tell("chosen");
  const { image } = page.input;
  picture.greet(bare && !image && !said.objects.length);
  if (picture.greets) return;
  $("quality").dataset.shown = rendering.want({ ...seen, image: image ?? null });
}

function listProblems(found) {
  $("problems").replaceChildren(...found.map(({ line, column, object, text, error }) => {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { textContent: line ? `line ${line}, column ${column}: ${text}` : text });
    button.addEventListener("click", () => (line ? editor.go(line, column) : object !== null && tell("picked", object)));
    item.className = error ? "error" : "";
    item.append(button);
    return item;
  }));
  editor.keep();
}

function pictured(line, current) {
  if (line.png) {
    picture.set({ render: src(line.png), size: frame() });
    $("quality").textContent = `${line.quality}, ${line.seconds.toFixed(1)} s`;
    $("quality").dataset.shown = current ? line.quality : "";
    if (current && line.quality === "draft" && drafting) {
      performance.measure("edit to draft", { start: drafting, end: performance.now() });
      drafting = 0;
    }
    document.querySelector("[data-take=png]").disabled = false;
  }
  if (line.scores) {
    picture.set({ difference: src(line.difference) });
    panel.score("picture", line.scores);
  }
}

function state(name) {
  $("quality").classList.toggle("busy", Boolean(name) && name !== "failed");
  $("quality").classList.toggle("wrong", name === "failed");
  if (name === "draft") $("quality").textContent = "drafting";
  if (name === "standard") $("quality").textContent = "draft; standard follows";
  if (name === "failed") $("quality").textContent = "not rendered";
}

on("edited", changed);
on("resized", () => looking.look());
on("dropped", () => looking.look());
on("described", () => (edited = 0));
on("left", () => {
  panel.score("picture", []);
  picture.set({ render: null, difference: null });
  document.querySelector("[data-take=png]").disabled = true;
});
