// Moving and turning the selected object by keys.

import { argument, declared, numbers, write } from "./objects.js";
import { page } from "./page.js";
import { directions } from "./views.js";

const STEP = { far: 0.1, near: 0.01 }; // what a key moves, of a range of 6 m or more
const RANGE = 6;
const TURN = { far: 5, near: 0.5 }; // degrees

/** `by` are steps to the right, behind and up, `turn` steps about X, Y and Z; null for none. */
export function nudge(by, turn, near) {
  const declaration = declared(page.chosen);
  if (!declaration) return;
  const { moves, turns } = declaration;
  if (by && moves) {
    const kind = argument(declaration, moves), ways = directions();
    const step = (near ? STEP.near : STEP.far) * Math.min(1, (kind.high[0] - kind.low[0]) / RANGE);
    const along = (axis) => by.reduce((sum, steps, i) => sum + steps * ways[i][axis], 0);
    write(page.chosen, moves, numbers(page.chosen, moves).map((value, axis) => value + step * along(axis)), "nudge");
  }
  if (turn && turns) {
    const step = near ? TURN.near : TURN.far, held = numbers(page.chosen, turns);
    const asked = held.length === 1 ? [turn[2]] : turn;
    write(page.chosen, turns, held.map((value, i) => value + step * asked[i]), "nudge");
  }
}
