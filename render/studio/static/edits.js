// Objects added, duplicated and removed.

import * as api from "./api.js";
import { told } from "./messages.js";
import { count, statement } from "./objects.js";
import { page } from "./page.js";
import { editor } from "./parts.js";
import { select } from "./select.js";

/** A seed for what is drawn at random. */
export const anySeed = () => Math.floor(Math.random() * 2 ** 31);

function append(line) {
  const { code } = editor, gap = code && !code.endsWith("\n") ? "\n" : "";
  editor.change({ from: code.length, insert: `${gap}${line}\n` });
  select(count() - 1);
}

export const add = told(async () => {
  const { line } = await api.call("add", { domain: page.domain.name, code: editor.code, seed: anySeed() });
  append(line);
});

export function duplicate() {
  const one = statement(page.chosen);
  if (one) append(editor.code.slice(one.from, one.to));
}

export function remove() {
  const one = statement(page.chosen);
  if (!one) return;
  const to = editor.code[one.to] === "\n" ? one.to + 1 : one.to;
  select(null);
  editor.change({ from: one.from, to });
}
