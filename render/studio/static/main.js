// The start of the page: what the server has, the scene in the address or an empty one, and the models while they are being loaded.

import * as address from "./address.js";
import * as api from "./api.js";
import { begin } from "./begin.js";
import "./controls.js";
import { describe } from "./domains.js";
import "./follow.js";
import { ready, told } from "./messages.js";
import { $, on, page } from "./page.js";
import { picture } from "./parts.js";
import { offer } from "./take.js";

const WAIT = 700; // milliseconds between questions how far the models are

on("described", offer);

function choices({ domains, data }) {
  $("domain").replaceChildren(...domains.map((name) => new Option(name, name)));
  $("data").replaceChildren(...data.map((one, i) => new Option(one.name.split(/[\\/]/).filter(Boolean).at(-1), i)));
  $("data").hidden = data.length < 2;
  $("sample").hidden = $("number").hidden = !data.length;
  for (const button of document.querySelectorAll("[data-do=sample]")) button.hidden = !data.length;
}

async function load() {
  while (Object.values(page.studio.models).some((one) => one.state === "loading")) {
    await new Promise((wake) => setTimeout(wake, WAIT));
    page.studio = await api.facts();
    ready();
  }
}

await told(async () => {
  page.studio = await api.facts();
  choices(page.studio);
  picture.choose("render");
  if (!(await told(address.follow)())) {
    if (!page.domain) await describe(page.studio.domain);
    begin();
  }
  document.body.inert = false; // nothing could be asked for before the domain was there
  await load();
})();
