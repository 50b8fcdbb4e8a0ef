// The keyboard, outside of the editor and of fields.

import { $, page } from "./page.js";

const MODES = { 1: "render", 2: "image", 3: "slider", 4: "blink", 5: "difference" };
const GIZMOS = { g: "translate", r: "rotate", s: "scale" };
const MOVES = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
const ACTS = { o: "open", n: "sample", x: "random", l: "link", "?": "help", a: "add", d: "double", Delete: "remove", Backspace: "remove", f: "refine", c: "camera", i: "behind" };

export function keys({ acts, picture, gizmo, nudge, select, focus, refining }) {
  addEventListener("keydown", (event) => {
    const at = event.target, held = event.ctrlKey || event.metaKey;
    if (document.body.inert || document.querySelector("dialog[open]") || at.closest?.(".cm-editor") || event.defaultPrevented) return;
    if (held && event.key.toLowerCase() === "z") {
      (event.shiftKey ? acts.redo : acts.undo)();
      event.preventDefault();
      return;
    }
    if (event.key === "Escape") {
      if (refining()) acts.stop();
      else select(null);
      return;
    }
    if (at.closest?.("input, select, textarea")) return;
    const inList = at.closest?.("[role=radiogroup]");
    if (inList && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const all = [...inList.querySelectorAll("button:enabled:not([hidden])")];
      const next = all[(all.indexOf(at) + (event.key === "ArrowRight" ? 1 : all.length - 1)) % all.length];
      next?.focus();
      next?.click();
      event.preventDefault();
      return;
    }
    if (event.key === "," || event.key === "." || event.key === "<" || event.key === ">") {
      const sign = event.key === "." || event.key === ">" ? 1 : -1;
      nudge(null, event.altKey ? [sign, 0, 0] : held ? [0, sign, 0] : [0, 0, sign], event.shiftKey);
      event.preventDefault();
      return;
    }
    if (MOVES[event.key] && !held && page.chosen !== null) {
      nudge(MOVES[event.key], null, event.shiftKey);
      event.preventDefault();
      return;
    }
    if (held || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (MODES[key]) picture.choose(MODES[key]);
    else if (GIZMOS[key]) gizmo(GIZMOS[key]);
    else if (key === "[" || key === "]") {
      const all = page.view.objects.length, step = key === "]" ? 1 : -1;
      if (all) select(page.chosen === null ? (step > 0 ? 0 : all - 1) : (page.chosen + step + all) % all);
    } else if (key === "e") focus();
    else if (key === "v") $("view").focus();
    else if (ACTS[key]) acts[ACTS[key]]();
    else return;
    event.preventDefault();
  });
}
