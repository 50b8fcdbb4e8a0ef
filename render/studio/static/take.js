// What is taken away: the code, the picture, and files that Blender makes of the scene.

import * as api from "./api.js";
import { busy, told } from "./messages.js";
import { page } from "./page.js";
import { editor, picture, scene } from "./parts.js";

const ENDINGS = { code: ".py", png: ".png", blend: ".blend", glb: ".glb", script: ".blender.py" };
const HERE = ["code", "png"]; // what the page has already

/** Show the buttons of what can be made of the domain's scenes. */
export function offer() {
  for (const button of document.querySelectorAll("[data-take]")) {
    const { take: kind } = button.dataset;
    button.hidden = !HERE.includes(kind) && !page.domain.files.includes(kind);
  }
}

export const take = told(async (kind) => {
  const name = page.input.key ?? "scene";
  save(await content(kind), name + ENDINGS[kind]);
});

async function content(kind) {
  if (kind === "code") return new Blob([editor.code], { type: "text/x-python" });
  if (kind === "png") return new Blob([picture.bytes()], { type: "image/png" });
  busy(`writing the ${kind}`);
  try {
    return await api.file(kind, scene());
  } finally {
    busy("");
  }
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
