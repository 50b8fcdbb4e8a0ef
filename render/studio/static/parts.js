// The editor, the picture and the panel of the page, and the scene that they hold together.

import { Editor } from "./editor.js";
import { $, page, tell } from "./page.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";

export const editor = new Editor($("editor"), {
  nonce: document.querySelector("meta[name=csp-nonce]").content,
  onChange: () => page.domain && tell("edited"),
  onCursor: (number) => tell("cursor", number),
});
export const picture = new Picture($("picture"));
export const panel = new Panel($("scene"), { select: (number) => tell("picked", number) });

/** The shot in the size that is asked for. */
export function framed() {
  const { shot } = editor.setting.domain === page.domain.name ? editor.setting : page.domain;
  const [wide, tall] = page.input.frame ?? [shot.width, shot.height];
  const scale = page.size / Math.max(wide, tall);
  return { ...shot, width: Math.max(16, Math.round(wide * scale)), height: Math.max(16, Math.round(tall * scale)) };
}

export function frame() {
  const { width, height } = framed();
  return [width, height];
}

/** The scene as the server is asked for it. */
export const scene = () => ({ domain: page.domain.name, code: editor.code, shot: framed() });
