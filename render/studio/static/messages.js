// What is told to the person at the page: messages, and in a corner what goes on.

import { Problem } from "./api.js";
import { $, page } from "./page.js";

const SHOWN = 6000; // milliseconds, of a message that is no problem
const MOST = 4;

export function say(text, kind = "") {
  const old = [...$("toasts").children].find((one) => one.firstChild.textContent === text);
  old?.remove();
  const toast = Object.assign(document.createElement("div"), { className: kind });
  const close = Object.assign(document.createElement("button"), { textContent: "✕" });
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => toast.remove());
  toast.append(Object.assign(document.createElement("span"), { textContent: text }), close);
  $("toasts").append(toast);
  while ($("toasts").children.length > MOST) $("toasts").firstChild.remove();
  if (kind !== "problem") setTimeout(() => toast.remove(), SHOWN);
}

/** Take all messages away: something else is begun. */
export const quiet = () => $("toasts").replaceChildren();

export const fail = (error) => error.name !== "AbortError" && say(error.message, "problem");

/** A handler whose errors are told. */
export const told = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    return fail(error);
  }
};

/** Show what goes on; nothing does with an empty text, and the state of the domain's model is shown. */
export function busy(text) {
  $("ready").textContent = text;
  $("ready").classList.toggle("badge", Boolean(text));
  $("ready").classList.toggle("busy", Boolean(text));
  if (!text) ready();
}

export function ready() {
  const model = page.studio?.models[page.domain?.name];
  $("ready").classList.toggle("failed", model?.state === "failed");
  if (!model) $("ready").textContent = "no model for this domain";
  else $("ready").textContent = { loading: "the model is being loaded", ready: `model ${model.name}`, failed: "the model failed" }[model.state];
  $("ready").title = model?.problem ?? "";
}
