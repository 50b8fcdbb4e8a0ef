// The scene in the address: a reload keeps it, and a link opens it again.

import * as api from "./api.js";
import { enter, kept } from "./begin.js";
import { describe } from "./domains.js";
import { pack, unpack } from "./link.js";
import { say, told } from "./messages.js";
import { on, page } from "./page.js";
import { editor } from "./parts.js";

const PAUSE = 300; // milliseconds without an edit, before the address is written
const NO_CLIPBOARD = "The browser lets no page write to its clipboard here; copy the address from its bar.";

let timer = null; // while there is something to write

/** The scene, as an address holds it. */
function scene() {
  const { input, size } = page, { domain, shot } = editor.setting;
  const held = { domain, code: editor.code, size };
  if (JSON.stringify(shot) !== JSON.stringify(page.domain.shot)) held.shot = shot;
  for (const name of ["data", "number", "seed", "frame"]) if (input[name] !== undefined) held[name] = input[name];
  return held;
}

async function write() {
  clearTimeout(timer);
  timer = null;
  history.replaceState(null, "", `#${await pack(scene())}`);
  sessionStorage.setItem("address", location.hash);
}

export const copy = told(async () => {
  await write();
  await navigator.clipboard.writeText(location.href).catch(() => {
    throw new api.Problem(NO_CLIPBOARD);
  });
  say(page.input.image && page.input.data === undefined ? "Link copied. The image is not in it; the scene is." : "Link copied.");
});

/** Open what the address says; false if it says nothing. */
export async function follow() {
  if (location.hash.length < 2) return false;
  const reloaded = location.hash === sessionStorage.getItem("address"); // this tab wrote it
  const held = (reloaded && JSON.parse(sessionStorage.getItem("unwritten"))) || (await unpack(location.hash.slice(1)));
  sessionStorage.removeItem("unwritten");
  if (!held) {
    say("This link holds no scene; it may have been cut short.", "problem");
    return false;
  }
  await describe(held.domain);
  const last = reloaded ? kept() : {};
  const here = last.image && (await api.kept(last.image).catch(() => false));
  enter(here ? last : await begun(held), Number(held.size) || 320);
  editor.replace(held.code, { domain: page.domain.name, shot: held.shot ?? page.domain.shot });
  return true;
}

/** What a linked scene began with, as far as its link tells: a sample, or the seed that it was drawn from. */
async function begun({ data, number, seed, frame }) {
  const input = {};
  if (Number.isInteger(seed)) input.seed = seed;
  if (Array.isArray(frame) && frame.length === 2 && frame.every((side) => side > 0)) input.frame = frame;
  if (!page.studio.data[data]) return input;
  const one = await api.call("sample", { data, number }).catch(() => null);
  if (one?.domain !== page.domain.name) return input;
  return { ...input, image: one.image, frame: [one.shot.width, one.shot.height], truth: one.truth, key: one.key, data, number };
}

addEventListener("pagehide", () => timer && sessionStorage.setItem("unwritten", JSON.stringify(scene())));
on("edited", () => {
  clearTimeout(timer);
  timer = setTimeout(told(write), PAUSE);
});
