// Making the code explain the image better, with progress, until time is up or it is stopped.

import * as api from "./api.js";
import { keep } from "./begin.js";
import { told } from "./messages.js";
import { $, on, page } from "./page.js";
import { editor, scene } from "./parts.js";

let running = null;

export const refining = () => running !== null;

export const refine = told(async () => {
  if (!page.input.image || running) return;
  const seconds = Number($("seconds").value), name = crypto.randomUUID?.() ?? String(Math.random()), asker = page.input;
  running = Object.assign(new AbortController(), { name });
  show(true);
  const start = performance.now();
  const clock = setInterval(() => ($("progress").value = Math.min(1, (performance.now() - start) / 1000 / seconds)), 250);
  try {
    const asked = { ...scene(), image: asker.image, reading: asker.reading ?? null, seconds, free_camera: asker.data === undefined && $("free").checked, name };
    await api.lines("refine", asked, running.signal, (line) => (line.shot ? ended(line, asker) : stepped(line)));
  } catch (error) {
    $("progressed").textContent = "";
    throw error;
  } finally {
    clearInterval(clock);
    running = null;
    show(false);
  }
});

function stepped({ seconds, renders, error }) {
  $("progressed").textContent = `${seconds.toFixed(0)} s, ${renders} renders, error ${error.toFixed(4)}`;
}

function ended({ code, shot, error, first_error: first, reading }, asker) {
  const better = error < first;
  $("progressed").textContent = better ? `Error ${first.toFixed(4)} → ${error.toFixed(4)}; undo goes back.` : "Nothing better was found.";
  if (!better || page.input !== asker) return;
  asker.reading = reading ?? undefined;
  keep();
  editor.replace(code, { domain: page.domain.name, shot });
}

export const stop = told(async () => running && api.call("stop", { name: running.name }));

function show(on) {
  $("refine").disabled = on;
  $("stop").hidden = $("progress").hidden = !on;
  $("progress").value = 0;
  if (on) $("progressed").textContent = "begun";
}

on("left", () => running?.abort());
