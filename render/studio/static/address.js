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

let timer = null;

async function write() {
  clearTimeout(timer);
  const { input, size } = page, { domain, shot } = editor.setting;
  const scene = { domain, code: editor.code, size };
  if (JSON.stringify(shot) !== JSON.stringify(page.domain.shot)) scene.shot = shot;
  for (const name of ["data", "number", "seed", "frame"]) if (input[name] !== undefined) scene[name] = input[name];
  history.replaceState(null, "", `#${await pack(scene)}`);
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
  const scene = await unpack(location.hash.slice(1));
  if (!scene) {
    say("This link holds no scene; it may have been cut short.", "problem");
    return false;
  }
  const { domains, domain } = page.studio;
  await describe(domains.includes(scene.domain) || scene.domain.startsWith("assets:") ? scene.domain : domain);
  enter(await begun(scene), Number(scene.size) || 320);
  editor.replace(scene.code, { domain: page.domain.name, shot: scene.shot ?? page.domain.shot });
  return true;
}

/** What a linked scene began with: what this tab had before a reload, a sample, or where the scene was drawn from. */
async function begun({ data, number, seed, frame }) {
  const last = kept();
  if (last.image && last.data === data && last.number === number && (await api.kept(last.image).catch(() => false))) return last;
  const input = {};
  if (Number.isInteger(seed)) input.seed = seed;
  if (Array.isArray(frame)) input.frame = frame.slice(0, 2).map(Number);
  if (!page.studio.data[data]) return input;
  const one = await api.call("sample", { data, number }).catch(() => null);
  if (one?.domain !== page.domain.name) return input;
  return { ...input, image: one.image, frame: [one.shot.width, one.shot.height], truth: one.truth, key: one.key, data, number };
}

on("edited", () => {
  clearTimeout(timer);
  timer = setTimeout(told(write), PAUSE);
});
