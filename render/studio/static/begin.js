// Where a scene begins: with an image, a sample of a data set, or a random draw.

import * as api from "./api.js";
import { describe } from "./domains.js";
import { anySeed } from "./edits.js";
import { busy, quiet, say, told } from "./messages.js";
import { $, page, tell } from "./page.js";
import { editor, frame, picture } from "./parts.js";
import { select } from "./select.js";

export const open = told(async (blob, name) => {
  quiet();
  busy(`opening ${name}`);
  performance.mark("dropped");
  try {
    const kept = await api.image(blob, name);
    if (await read({ image: kept.image, frame: kept.frame })) {
      const { startTime } = performance.getEntriesByName("dropped").at(-1);
      performance.measure("drop to code", { start: startTime, end: performance.now() });
    }
  } finally {
    busy("");
  }
});

/** Take a sample of the chosen data set: of that number, or the next one. */
export const sample = told(async (number) => {
  if (!page.studio.data.length) return;
  const data = Number($("data").value || 0), { samples } = page.studio.data[data];
  const next = number ?? (page.input.data === data ? (page.input.number + 1) % samples : 0);
  quiet();
  busy("fetching");
  try {
    const one = await api.call("sample", { data, number: next });
    if (one.domain !== page.domain.name) await describe(one.domain);
    $("number").value = next + 1;
    await read({ image: one.image, frame: [one.shot.width, one.shot.height], truth: one.truth, key: one.key, data, number: next }, one.shot);
  } finally {
    busy("");
  }
});

/** Read an image as code, if a model is there for it; whether its code is in the editor now. */
async function read(input, shot = page.domain.shot) {
  enter(input, Math.max(...input.frame));
  const { name } = page.domain, setting = { domain: name, shot };
  const model = page.studio.models[name];
  if (!model) {
    say(`No model here reads images of the domain ${name}: start the studio with --model RUN.`, "problem");
    editor.replace(input.truth ?? editor.code, setting);
    return false;
  }
  busy(model.state === "loading" ? "the model is being loaded" : "reading");
  const reading = await api.call("read", { image: input.image, domain: name });
  if (page.input !== input) return false; // another image came meanwhile
  input.reading = reading;
  keep();
  editor.replace(reading.code, setting);
  select(null);
  if (reading.looks_like_domain === false) say("This image does not look like a scene of this domain. The code is the best that the model could write.");
  else if (!reading.code.trim()) say("The model named no object in this image. Is it of this domain?");
  return true;
}

export const random = told(async () => {
  quiet();
  const seed = anySeed(), { name } = page.domain;
  const one = await api.call("draw", { domain: name, seed });
  enter({ seed }, 320);
  select(null);
  editor.replace(one.code, { domain: name, shot: one.shot });
});

/** The page as it is before anything was asked for: an empty scene, which is no step of the history. */
export function begin() {
  enter({}, page.size);
  editor.begin({ domain: page.domain.name, shot: page.domain.shot });
}

/** An empty scene of a domain. */
export const empty = told(async (name) => {
  quiet();
  await describe(name);
  enter({}, page.size);
  editor.replace("", { domain: name, shot: page.domain.shot });
});

/** Leave what was there for something that a scene begins with. */
export function enter(input, size) {
  tell("left");
  page.input = input;
  sized(size);
  if (input.image) picture.greet(false);
  picture.set({ image: input.image ? `/api/image/${input.image}` : null, size: frame() });
  $("behind").hidden = !input.image || page.domain.flat;
  $("refining").hidden = !input.image;
  $("camera-unknown").hidden = input.data !== undefined; // a sample's is known
  keep();
}

/** What a reload finds again, as long as the studio has the image. */
export function keep() {
  sessionStorage.setItem("input", JSON.stringify(page.input));
}
export const kept = () => JSON.parse(sessionStorage.getItem("input") ?? "{}");

export function sized(size) {
  page.size = size;
  const known = [...$("size").options].map((one) => Number(one.value));
  if (!known.includes(size)) $("size").add(new Option(String(size), String(size)), 0);
  $("size").value = String(size);
}
