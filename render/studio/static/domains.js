// The domain of the scene: what the page shows of it.

import * as api from "./api.js";
import { ready } from "./messages.js";
import { $, page, tell } from "./page.js";
import { editor } from "./parts.js";
import { turn } from "./views.js";

/** Turn the page to a domain; what is in the editor stays as it is. A `Problem` if there is no such domain here. */
export async function describe(name) {
  page.domain = await api.domain(name);
  Object.assign(page, { input: {}, chosen: null, view: { objects: [] } });
  $("domain").value = name;
  editor.domain = page.domain;
  await turn();
  tell("described");
  ready();
}
