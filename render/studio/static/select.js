// Which object is selected: in the editor, in the list and in the view alike.

import { on, page, tell } from "./page.js";
import { editor, panel } from "./parts.js";

export function select(number) {
  page.chosen = number;
  panel.select(number);
  editor.choose(number);
  tell("chosen");
}

on("cursor", (number) => number !== null && number !== page.chosen && select(number));
on("picked", (number) => {
  select(number);
  if (number !== null && editor.focused) editor.blur();
});
