// Dragging by the handles of the view, as numbers of the code.

import { argument, declared, numbers, write } from "./objects.js";
import { tell } from "./page.js";
import { editor } from "./parts.js";

const MODES = { translate: "moves", rotate: "turns", scale: "scales" };
const degrees = (angle) => (angle * 180) / Math.PI;

let before = null; // an object's numbers when it was taken hold of, while it is held

function hold(number, name) {
  editor.cut();
  return numbers(number, name);
}

/** An object is dragged in the 3-D view: it has a pose there, which its numbers follow as far as they may. */
export function dragged(space, number, pose, mode) {
  const declaration = declared(number), name = declaration?.[MODES[mode]];
  if (!name) return;
  before ??= hold(number, name);
  const components = argument(declaration, name).low.length;
  if (mode === "translate") {
    const place = pose.position.toArray();
    space.hold(number, [...write(number, name, place.slice(0, components), "drag"), ...place.slice(components)]);
  } else if (mode === "rotate") {
    const angles = space.angles(number).map(degrees);
    write(number, name, components === 1 ? [angles[2]] : angles, "drag");
  } else {
    const [scale] = write(number, name, [before[0] * space.grown()], "drag");
    if (before[0]) space.grow(scale / before[0]);
  }
}

/** An object is dragged in the plane, by so many steps along X and Y. */
export function slid(number, steps) {
  const name = declared(number)?.moves;
  if (!name) return;
  before ??= hold(number, name);
  write(number, name, before.map((value, i) => value + (steps[i] ?? 0)), "drag");
}

export function dropped() {
  before = null;
  editor.cut();
  tell("dropped");
}
