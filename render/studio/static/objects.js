// The objects of the code: their statements, and which of their numbers move, turn and scale them.

import { whole, within, written } from "./grammar.js";
import { page } from "./page.js";
import { editor } from "./parts.js";

export const count = () => whole(editor.code, page.domain).length;
export const statement = (number) => (number === null ? null : whole(editor.code, page.domain)[number]);
export const declared = (number) => page.domain.statements.find((each) => each.name === statement(number)?.name);
export const argument = (declaration, name) => declaration.arguments.find((one) => one.name === name);
export const numbers = (number, name) => statement(number).values[name]?.numbers.map((one) => one.value) ?? [];

/** What an object's numbers allow: the axes of each mode of the handles. */
export function modes(number) {
  const declaration = declared(number);
  if (!declaration) return null;
  const { moves, turns, scales } = declaration;
  return {
    translate: moves && "xyz".slice(0, argument(declaration, moves).low.length),
    rotate: turns && (argument(declaration, turns).low.length === 1 ? "z" : "xyz"),
    scale: scales && "xyz",
  };
}

/** Write an argument's numbers into the code, within their range, which are returned. `going` is "drag" or "nudge" for a change that goes on. */
export function write(number, name, values, going) {
  const kind = argument(declared(number), name), held = statement(number).values[name];
  const inside = within(kind, values);
  if (!held || held.numbers.length !== inside.length) return inside;
  const changes = held.numbers
    .map((each, i) => ({ from: each.from, to: each.to, insert: written(inside[i], kind.decimals) }))
    .filter(({ from, to, insert }) => editor.code.slice(from, to) !== insert);
  if (changes.length) editor.change(changes, going);
  return inside;
}
