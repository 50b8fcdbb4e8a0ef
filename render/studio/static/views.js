// The scene seen at once: a 3-D view, or for a domain in a plane that plane.

import * as api from "./api.js";
import { dragged, dropped, slid } from "./handles.js";
import { modes } from "./objects.js";
import { $, on, page, tell } from "./page.js";
import { framed } from "./parts.js";
import { Plane } from "./plane.js";
import { Space } from "./space.js";

const NONE = "This browser shows no 3-D (WebGL is missing). Code and pictures work all the same.";
const select = (number) => tell("picked", number);

let space = null, plane = null, tried = false;
let aimed = null; // what the camera of the view stands for

/** Turn to a domain: the view or the plane, with nothing in it. */
export async function turn() {
  const { flat, ground } = page.domain;
  plane ??= new Plane($("view"), { select, drag: slid, dropped });
  plane.hidden = !flat;
  $("space-title").textContent = document.querySelector("[data-pane=space]").textContent = flat ? "Plane" : "3-D";
  $("camera").hidden = $("gizmos").hidden = flat;
  $("view").classList.toggle("flat", flat);
  if (!flat && !tried) open();
  if (!space) return;
  space.hidden = flat;
  if (flat) return;
  await space.show([], ground);
  aimed = null;
  aim();
}

function open() {
  tried = true;
  try {
    space = new Space($("view"), { select, drag: (...given) => dragged(space, ...given), dropped, mesh: api.mesh });
  } catch {
    $("view").append(Object.assign(document.createElement("p"), { className: "none", textContent: NONE }));
  }
}

/** Show what the server says of the scene. `drawn` is called when it is on the screen. */
export async function show(said, drawn) {
  if (page.domain.flat) {
    plane.show(said.flat, page.chosen);
    return;
  }
  if (!space) return;
  aim();
  space.onDrawn = () => {
    space.onDrawn = null;
    drawn();
  };
  await space.show(said.objects, page.domain.ground);
  space.select(page.chosen, modes(page.chosen));
}

/** Point the 3-D view at what the camera sees, if that is another one than before: the code's own, if it states one, or else the shot's. */
export function aim() {
  const { camera, lamps } = page.view?.stated ?? framed(), shot = { ...framed(), camera, lamps }, seen = JSON.stringify([shot.camera, shot.width / shot.height]);
  if (page.domain.flat || !space || aimed === seen) return;
  aimed = seen;
  space.shoot(shot);
}

export const home = () => space?.home();

/** What dragging does: translate, rotate or scale. */
export function gizmo(mode) {
  if (!space) return;
  space.mode = mode;
  space.select(page.chosen, modes(page.chosen));
  buttons();
}

function buttons() {
  for (const button of document.querySelectorAll("[data-gizmo]")) {
    button.disabled = page.chosen !== null && !modes(page.chosen)?.[button.dataset.gizmo];
    button.setAttribute("aria-checked", String(button.dataset.gizmo === space?.mode));
  }
}

/** Show the image behind the objects, as the camera sees them, or take it away; without `on`, the other of both. */
export function behind(on = $("behind").getAttribute("aria-pressed") !== "true") {
  const shown = on && Boolean(page.input.image);
  $("behind").setAttribute("aria-pressed", String(shown));
  if (shown) space?.home();
  space?.behind(shown ? `/api/image/${page.input.image}` : null);
}

/** The directions of right, behind and up for a person who looks at the view, each along the world's axes. */
export function directions() {
  const { flat, ground } = page.domain;
  if (!flat && !ground) return [[1, 0, 0], [0, 0, 1], [0, 0, 1]];
  return [...(flat || !space ? [[1, 0, 0], [0, 1, 0]] : space.directions()), [0, 0, 1]];
}

on("chosen", () => {
  space?.select(page.chosen, page.domain && modes(page.chosen));
  if (page.domain?.flat) plane?.select(page.chosen);
  buttons();
});
on("left", () => behind(false));
