// The page: what it holds (code and shot in the editor's history; image, truth and where they came from here), and what its parts tell each other.

import * as api from "./api.js";
import { Editor } from "./editor.js";
import { whole, within, written } from "./grammar.js";
import { keys } from "./keys.js";
import { pack, unpack } from "./link.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { Plane } from "./plane.js";
import { Space } from "./space.js";
import { Looking, Rendering } from "./work.js";

const $ = (id) => document.getElementById(id);
const STEP = { far: 0.1, near: 0.01 }; // of a range of 6 m: what an arrow key moves
const TURN = { far: 5, near: 0.5 }; // degrees

let studio = null; // what the server has
let domain = null; // the domain's declaration
let input = {}; // image, frame, truth, confidence; data and number of a sample, seed of a drawn scene
let view = { objects: [] }; // what the server says of the scene
let chosen = null;
let space = null, plane = null;
let refinement = null;
let size = 320;

// Messages

function say(text, kind = "") {
  const old = [...$("toasts").children].find((one) => one.firstChild.textContent === text);
  old?.remove();
  const toast = Object.assign(document.createElement("div"), { className: kind });
  const close = Object.assign(document.createElement("button"), { textContent: "✕" });
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => toast.remove());
  toast.append(Object.assign(document.createElement("span"), { textContent: text }), close);
  $("toasts").append(toast);
  while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
  if (kind !== "problem") setTimeout(() => toast.remove(), 6000);
}
const fail = (error) => error.name !== "AbortError" && say(error.message, "problem");
/** A handler whose errors are told. */
const told = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (error) {
    if (!(error instanceof api.Problem)) console.error(error);
    return fail(error);
  }
};

// The parts

const editor = new Editor($("editor"), {
  nonce: document.querySelector("meta[name=csp-nonce]").content,
  onChange: () => changed(),
  onCursor: (number) => number !== null && number !== chosen && select(number, false),
});
const picture = new Picture($("picture"));
const panel = new Panel($("scene"), { select: (number) => select(number) });
const asked = () => ({ domain: domain.name, code: editor.code, shot: framed(), truth: input.truth ?? null });
const looking = new Looking(asked, told(looked), fail);
const rendering = new Rendering(pictured, state, fail);

/** The shot in the size that is asked for. */
function framed() {
  const shot = editor.setting.domain === domain.name ? editor.setting.shot : domain.shot;
  const [wide, tall] = input.frame ?? [shot.width, shot.height];
  const scale = size / Math.max(wide, tall);
  return { ...shot, width: Math.max(16, Math.round(wide * scale)), height: Math.max(16, Math.round(tall * scale)) };
}

// Editing

let edited = 0; // when the code was changed that is not shown yet

function changed() {
  if (!domain) return;
  if (editor.setting.domain !== domain.name) {
    described(editor.setting.domain).then(changed); // the history went back to a scene of another domain
    return;
  }
  edited ||= performance.now();
  aim();
  $("undo").disabled = !editor.undoes;
  $("redo").disabled = !editor.redoes;
  looking.look();
  remember();
}

async function looked(said, scene) {
  if (scene.domain !== domain.name) return;
  const bare = scene.code.trim() === "" && !picture.can?.render; // nothing was begun yet: nothing is odd about it
  const wrong = said.error ? [{ ...said.error, text: said.error.problem, error: true }] : bare ? [] : said.warnings;
  editor.problems(wrong);
  listProblems(wrong);
  $("parsed").textContent = said.error ? "cannot be read" : "";
  $("parsed").classList.toggle("wrong", Boolean(said.error));
  if (said.error) {
    rendering.rest();
    if (picture.can?.render) $("quality").textContent = "of the code before";
    return;
  }
  view = said;
  if (chosen !== null && chosen >= view.objects.length) chosen = null;
  panel.show(view.objects, input.confidence, chosen);
  panel.score("scene", said.scores);
  $("truth").hidden = !input.truth || input.truth === editor.code;
  const begun = bare ? 0 : edited;
  pictured.since ||= begun;
  edited = 0;
  if (domain.flat) plane.show(said.flat, chosen);
  else if (space) {
    space.onDrawn = () => {
      if (begun) performance.measure("edit to view", { start: begun, end: performance.now() });
      space.onDrawn = null;
    };
    await space.show(view.objects, domain.ground);
    space.select(chosen, modes(chosen));
  }
  buttons();
  if (view.objects.length || picture.can?.render || input.image) rendering.want({ ...scene, truth: null, image: input.image ?? null });
}

function listProblems(found) {
  $("problems").replaceChildren(...found.map(({ line, column, object, text, error }) => {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { textContent: line ? `line ${line}, column ${column}: ${text}` : text });
    button.addEventListener("click", () => (line ? editor.go(line, column) : object !== null && select(object)));
    item.className = error ? "error" : "";
    item.append(button);
    return item;
  }));
  editor.keep();
}

/** Point the 3-D view at what the shot's camera sees, if that is another one than before. */
function aim() {
  const shot = framed(), seen = JSON.stringify([shot.camera, shot.width / shot.height]);
  if (domain.flat || !space || aim.seen === seen) return;
  aim.seen = seen;
  space.shoot(shot);
}

// Pictures

const src = (png) => `data:image/png;base64,${png}`;

function pictured(line, current) {
  if (line.png) {
    picture.set({ render: src(line.png), size: size_of(framed()) });
    $("quality").textContent = `${line.quality}, ${line.seconds.toFixed(1)} s`;
    $("quality").dataset.shown = current ? line.quality : "";
    if (current && line.quality === "draft" && pictured.since) {
      performance.measure("edit to draft", { start: pictured.since, end: performance.now() });
      pictured.since = 0;
    }
    document.querySelector("[data-take=png]").disabled = false;
  }
  if (line.scores) {
    picture.set({ difference: src(line.difference) });
    panel.score("picture", line.scores);
  }
}
const size_of = (shot) => [shot.width, shot.height];

function state(name) {
  $("quality").classList.toggle("busy", Boolean(name) && name !== "failed");
  $("quality").classList.toggle("wrong", name === "failed");
  if (name === "draft") $("quality").textContent = "drafting";
  if (name === "standard") $("quality").textContent = "draft; standard follows";
  if (name === "failed") $("quality").textContent = "not rendered";
}

// Objects: selected in the editor, in the list and in the view alike

function select(number, inEditor = true) {
  chosen = number;
  panel.select(number);
  editor.choose(number);
  space?.select(number, modes(number));
  if (domain?.flat) plane?.select(number);
  if (inEditor && number !== null && editor.focused) editor.view.contentDOM.blur();
  buttons();
}

const statement = (number) => (number === null ? null : whole(editor.code)[number]);
const declared = (one) => domain.statements.find((each) => each.name === one?.name);
const argument = (declaration, name) => declaration.arguments.find((one) => one.name === name);

/** What the selected object's numbers allow: the axes of each mode of the handles. */
function modes(number) {
  const declaration = declared(statement(number));
  if (!declaration) return null;
  const { moves, turns, scales } = declaration;
  return {
    translate: moves && "xyz".slice(0, argument(declaration, moves).low.length),
    rotate: turns && (argument(declaration, turns).low.length === 1 ? "z" : "xyz"),
    scale: scales && "xyz",
  };
}

/** Write an argument's numbers into the code, within their range. */
function write(number, name, values, going) {
  const one = statement(number), declaration = declared(one);
  const kind = argument(declaration, name), held = one.values[name];
  const inside = within(kind, values);
  if (!held || held.numbers.length !== inside.length) return inside;
  const changes = held.numbers
    .map((each, i) => ({ from: each.from, to: each.to, insert: written(inside[i], kind.decimals) }))
    .filter(({ from, to, insert }) => editor.code.slice(from, to) !== insert);
  if (changes.length) editor.change(changes, going);
  return inside;
}
const numbers = (number, name) => statement(number).values[name].numbers.map((one) => one.value);

let before = null; // an object's numbers when it was taken hold of, while it is held

function held(number, name) {
  editor.cut();
  return { value: numbers(number, name) };
}

function dragged(number, pose, mode) {
  const declaration = declared(statement(number));
  if (!declaration) return;
  before ??= held(number, declaration[{ translate: "moves", rotate: "turns", scale: "scales" }[mode]]);
  if (mode === "translate") {
    const inside = write(number, declaration.moves, pose.position.toArray().slice(0, argument(declaration, declaration.moves).low.length), "drag");
    space.hold(number, [...inside, ...pose.position.toArray().slice(inside.length)]);
  } else if (mode === "rotate") {
    const angles = space.angles(number).map((angle) => (angle * 180) / Math.PI);
    write(number, declaration.turns, argument(declaration, declaration.turns).low.length === 1 ? [angles[2]] : angles, "drag");
  } else if (mode === "scale") {
    write(number, declaration.scales, [before.value[0] * (pose.scale.x / space.began())], "drag");
  }
}

function slid(number, steps) {
  const declaration = declared(statement(number));
  before ??= held(number, declaration.moves);
  write(number, declaration.moves, before.value.map((value, i) => value + (steps[i] ?? 0)), "drag");
}

function dropped() {
  before = null;
  editor.cut();
  looking.look();
}

/** Move or turn the selected object by keys: `by` are steps to the right, behind and up, `turn` steps about X, Y, Z. */
function nudge(by, turn, near) {
  const declaration = declared(statement(chosen));
  if (!declaration) return;
  if (by && declaration.moves) {
    const kind = argument(declaration, declaration.moves);
    const step = (near ? STEP.near : STEP.far) * Math.min(1, (kind.high[0] - kind.low[0]) / 6);
    const { right, behind } = domain.flat || !domain.ground ? { right: [1, 0], behind: [0, domain.flat ? 1 : 0] } : space.directions();
    const up = domain.flat || domain.ground ? by[2] : by[2] + by[1];
    const along = [right[0] * by[0] + behind[0] * by[1], right[1] * by[0] + behind[1] * by[1], up];
    write(chosen, declaration.moves, numbers(chosen, declaration.moves).map((value, i) => value + step * along[i]), "nudge");
  }
  if (turn && declaration.turns) {
    const step = near ? TURN.near : TURN.far, held = numbers(chosen, declaration.turns);
    const asked = held.length === 1 ? [turn[2]] : turn;
    write(chosen, declaration.turns, held.map((value, i) => value + step * asked[i]), "nudge");
  }
}

const added = told(async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const { line } = await api.call("add", { domain: domain.name, code: editor.code, seed });
  append(line);
});
function append(line) {
  const code = editor.code, gap = code && !code.endsWith("\n") ? "\n" : "";
  editor.change({ from: code.length, insert: `${gap}${line}\n` });
  select(whole(editor.code).length - 1);
}
function doubled() {
  const one = statement(chosen);
  if (one) append(editor.code.slice(one.from, one.to));
}
function removed() {
  const one = statement(chosen);
  if (!one) return;
  const code = editor.code;
  const from = one.from, to = code[one.to] === "\n" ? one.to + 1 : one.to;
  input.confidence = input.confidence?.filter((_, number) => number !== chosen);
  select(null);
  editor.change({ from, to });
}

// Images in

const opened = told(async (blob, name) => {
  busy(`opening ${name}`);
  performance.mark("dropped");
  try {
    const kept = await api.image(blob, name);
    await begin({ image: kept.image, frame: kept.frame });
  } finally {
    busy("");
  }
});

const sampled = told(async (number) => {
  const data = Number($("data").value || 0), count = studio.data[data].samples;
  const next = number ?? (input.data === data ? (input.number + 1) % count : 0);
  busy("fetching");
  try {
    const one = await api.call("sample", { data, number: next });
    if (one.domain !== domain.name) await described(one.domain);
    $("number").value = next + 1;
    await begin({ image: one.image, frame: [one.shot.width, one.shot.height], truth: one.truth, data, number: next }, one.shot);
  } finally {
    busy("");
  }
});

/** Begin with an image: read it, if a model is there for it. */
async function begin(given, shot = domain.shot) {
  forget();
  input = given;
  size = Math.max(...given.frame);
  sized();
  showImage();
  const model = studio.models[domain.name];
  if (!model) {
    say(`No model here reads images of the domain ${domain.name}: start the studio with --model RUN.`, "problem");
    editor.replace(given.truth ?? editor.code, { domain: domain.name, shot });
    return;
  }
  busy(model.state === "loading" ? "the model is being loaded" : "reading");
  const said = await api.call("read", { image: given.image, domain: domain.name });
  if (input !== given) return; // another image came meanwhile
  input.confidence = said.confidence;
  editor.replace(said.code, { domain: domain.name, shot });
  const dropped = performance.getEntriesByName("dropped").at(-1);
  if (dropped && given.data === undefined) performance.measure("drop to code", { start: dropped.startTime, end: performance.now() });
  select(null);
  if (!said.code.trim()) say("The model named no object in this image. Is it of this domain?");
}

const drawn = told(async (seed = Math.floor(Math.random() * 2 ** 31)) => {
  const one = await api.call("draw", { domain: domain.name, seed });
  forget();
  input = { seed };
  size = 320;
  sized();
  showImage();
  select(null);
  editor.replace(one.code, { domain: domain.name, shot: one.shot });
});

function forget() {
  refinement?.abort();
  space?.behind(null);
  $("behind").setAttribute("aria-pressed", "false");
  panel.score("picture", []);
  picture.set({ render: null, difference: null });
  document.querySelector("[data-take=png]").disabled = true;
}

function showImage() {
  picture.set({ image: input.image ? `/api/image/${input.image}` : null, size: size_of(framed()) });
  $("behind").hidden = !input.image || domain.flat;
  $("refining").hidden = !input.image;
  sessionStorage.setItem("input", JSON.stringify(input));
}

// Domain

/** Turn the page to a domain; what is in the editor stays as it is. */
const described = told(async (name) => {
  domain = await api.domain(name);
  $("domain").value = name;
  editor.domain = domain;
  input = {};
  edited = 0;
  chosen = null;
  view = { objects: [] };
  plane ??= new Plane($("view"), { select: (number) => select(number), drag: slid, dropped });
  plane.hidden = !domain.flat;
  $("space-title").textContent = domain.flat ? "Plane" : "3-D";
  document.querySelector("[data-pane=space]").textContent = domain.flat ? "Plane" : "3-D";
  $("camera").hidden = domain.flat;
  $("gizmos").hidden = domain.flat;
  if (!domain.flat && !space) openSpace();
  $("view").classList.toggle("flat", domain.flat);
  if (space) {
    space.renderer.domElement.hidden = space.lens.hidden = domain.flat;
    if (!domain.flat) {
      await space.show([], domain.ground);
      aim.seen = null;
      aim();
    }
  }
  for (const button of document.querySelectorAll("[data-take]")) {
    if (!["code", "png"].includes(button.dataset.take)) button.hidden = !domain.files.includes(button.dataset.take);
  }
  ready();
});

function openSpace() {
  try {
    space = new Space($("view"), { select: (number) => select(number), drag: dragged, dropped, mesh: api.mesh });
  } catch {
    const none = "This browser shows no 3-D (WebGL is missing). Code and pictures work all the same.";
    $("view").append(Object.assign(document.createElement("p"), { className: "none", textContent: none }));
  }
}

// Refinement

const refined = told(async () => {
  if (!input.image || refinement) return;
  const seconds = Number($("seconds").value), name = crypto.randomUUID?.() ?? String(Math.random()), asker = input;
  refinement = Object.assign(new AbortController(), { name });
  refining(true);
  const start = performance.now();
  const clock = setInterval(() => ($("progress").value = Math.min(1, (performance.now() - start) / 1000 / seconds)), 250);
  try {
    const { truth, ...scene } = asked();
    const content = { ...scene, image: input.image, seconds, free_camera: $("free").checked, name };
    await api.lines("refine", content, refinement.signal, (line) => {
      if (!line.shot) {
        $("progressed").textContent = `${line.seconds.toFixed(0)} s, ${line.renders} renders, error ${line.error.toFixed(4)}`;
        return;
      }
      const better = line.error < line.first_error;
      const change = `Error ${line.first_error.toFixed(4)} → ${line.error.toFixed(4)}; undo goes back.`;
      $("progressed").textContent = better ? change : "Nothing better was found.";
      if (!better || input !== asker) return;
      input.confidence = null;
      editor.replace(line.code, { domain: domain.name, shot: line.shot });
    });
  } finally {
    clearInterval(clock);
    refinement = null;
    refining(false);
  }
});
function refining(on) {
  $("refine").disabled = on;
  $("stop").hidden = $("progress").hidden = !on;
  $("progress").value = 0;
  if (on) $("progressed").textContent = "begun";
}

// Taking away

const taken = told(async (kind) => {
  const name = input.number !== undefined ? `sample-${input.number}` : "scene";
  if (kind === "code") return save(new Blob([editor.code], { type: "text/x-python" }), `${name}.py`);
  if (kind === "png") return save(await (await fetch(picture.parts.render.src)).blob(), `${name}.png`);
  busy(`writing the ${kind}`);
  try {
    const blob = await api.file(kind, { ...asked(), truth: undefined });
    return save(blob, `${name}${{ blend: ".blend", glb: ".glb", script: ".blender.py" }[kind]}`);
  } finally {
    busy("");
  }
});
function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// The address

let timer = null;
function remember() {
  clearTimeout(timer);
  timer = setTimeout(told(keep), 300);
}
async function keep() {
  const scene = { domain: domain.name, code: editor.code, size };
  const { shot } = editor.setting;
  if (JSON.stringify(shot) !== JSON.stringify(domain.shot)) scene.shot = shot;
  for (const name of ["data", "number", "seed", "frame"]) if (input[name] !== undefined) scene[name] = input[name];
  history.replaceState(null, "", `#${await pack(scene)}`);
}
const linked = told(async () => {
  clearTimeout(timer);
  await keep();
  await navigator.clipboard.writeText(location.href).catch(() => {
    throw new api.Problem("The browser lets no page write to its clipboard here; copy the address from its bar.");
  });
  say(input.image && input.data === undefined ? "Link copied. The image is not in it; the scene is." : "Link copied.");
});

/** Open what the address says; false if it says nothing. */
async function fromAddress() {
  const scene = location.hash.length > 1 ? await unpack(location.hash.slice(1)) : null;
  if (!scene) {
    if (location.hash.length > 1) say("This link holds no scene; it may have been cut short.", "problem");
    return false;
  }
  await described(studio.domains.includes(scene.domain) || scene.domain.startsWith("assets:") ? scene.domain : studio.domain);
  if (Number.isInteger(scene.seed)) input.seed = scene.seed;
  if (Array.isArray(scene.frame)) input.frame = scene.frame.slice(0, 2).map(Number);
  size = Number(scene.size) || 320;
  const last = JSON.parse(sessionStorage.getItem("input") ?? "{}");
  const same = last.image && last.data === scene.data && last.number === scene.number && (await api.kept(last.image).catch(() => false));
  if (same) input = last;
  else if (Number.isInteger(scene.data) && studio.data[scene.data]) {
    const one = await api.call("sample", { data: scene.data, number: scene.number }).catch(() => null);
    if (one?.domain === domain.name) Object.assign(input, { image: one.image, truth: one.truth, data: scene.data, number: scene.number });
  }
  sized();
  editor.replace(scene.code, { domain: domain.name, shot: scene.shot ?? domain.shot });
  showImage();
  return true;
}

// Controls

function busy(text) {
  $("ready").textContent = text;
  $("ready").classList.toggle("badge", Boolean(text));
  $("ready").classList.toggle("busy", Boolean(text));
  if (!text) ready();
}
function ready() {
  const model = studio?.models[domain?.name];
  $("ready").classList.toggle("failed", model?.state === "failed");
  if (!model) $("ready").textContent = "no model for this domain";
  else $("ready").textContent = { loading: "the model is being loaded", ready: `model ${model.name}`, failed: "the model failed" }[model.state];
  $("ready").title = model?.problem ?? "";
}
function sized() {
  const known = [...$("size").options].map((one) => Number(one.value));
  if (!known.includes(size)) $("size").add(new Option(String(size), String(size)), 0);
  $("size").value = String(size);
}
function buttons() {
  $("double").disabled = $("remove").disabled = chosen === null;
  for (const button of document.querySelectorAll("[data-gizmo]")) {
    const allowed = chosen === null || modes(chosen)?.[button.dataset.gizmo];
    button.disabled = !allowed;
    button.setAttribute("aria-checked", String(button.dataset.gizmo === space?.mode));
  }
}
function gizmo(mode) {
  if (!space) return;
  space.mode = mode;
  space.select(chosen, modes(chosen));
  buttons();
}
function backed() {
  const on = $("behind").getAttribute("aria-pressed") !== "true" && Boolean(input.image);
  $("behind").setAttribute("aria-pressed", String(on));
  if (on) space?.home();
  space?.behind(on ? `/api/image/${input.image}` : null);
}
function pane(button) {
  const level = button.closest(".tabs").classList.contains("upper") ? "upper" : "lower";
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
  for (const one of document.querySelectorAll(`.pane.${level}`)) one.classList.toggle("shown", one.id === button.dataset.pane);
}
const act = {
  open: () => $("file").click(),
  sample: () => studio.data.length && sampled(),
  random: () => drawn(),
  link: linked,
  help: () => $("keys").showModal(),
  undo: () => editor.undo(),
  redo: () => editor.redo(),
  add: added,
  double: doubled,
  remove: removed,
  refine: refined,
  stop: told(async () => refinement && api.call("stop", { name: refinement.name })),
  camera: () => space?.home(),
  behind: backed,
  truth: () => input.truth && editor.replace(input.truth),
};
for (const [name, work] of Object.entries(act)) $(name)?.addEventListener("click", () => work());
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => act[button.dataset.do]());
for (const button of document.querySelectorAll("[data-take]")) button.addEventListener("click", () => taken(button.dataset.take));
for (const button of document.querySelectorAll("[data-gizmo]")) button.addEventListener("click", () => gizmo(button.dataset.gizmo));
for (const button of document.querySelectorAll(".tabs button")) button.addEventListener("click", () => pane(button));
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) opened(file, file.name);
  $("file").value = "";
});
$("number").addEventListener("change", () => {
  const most = studio.data[Number($("data").value || 0)].samples, number = Math.round(Number($("number").value));
  sampled(Math.min(most, Math.max(1, number || 1)) - 1);
});
$("data").addEventListener("change", () => sampled(0));
$("size").addEventListener("change", () => {
  size = Number($("size").value);
  looking.look();
});
$("domain").addEventListener("change", told(async () => {
  forget();
  await described($("domain").value);
  editor.replace("", { domain: domain.name, shot: domain.shot });
  showImage();
}));
const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!files(event) || document.body.inert) return;
  event.preventDefault();
  $("over").hidden = false;
});
addEventListener("dragleave", (event) => event.relatedTarget === null && ($("over").hidden = true));
addEventListener("drop", (event) => {
  $("over").hidden = true;
  if (!files(event) || document.body.inert) return;
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) opened(file, file.name);
});
addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (file && !document.body.inert) opened(file, file.name || "the pasted image");
});
addEventListener("hashchange", told(fromAddress));
keys({ act, picture, gizmo, nudge, select, editor, chosen: () => chosen, count: () => view.objects.length, refining: () => refinement !== null });

// The start

const begun = told(async () => {
  studio = await api.facts();
  $("domain").replaceChildren(...studio.domains.map((name) => new Option(name, name)));
  const has = studio.data.length > 0;
  $("sample").hidden = $("number").hidden = !has;
  $("data").hidden = studio.data.length < 2;
  $("data").replaceChildren(...studio.data.map((one, i) => new Option(one.name.split(/[\\/]/).filter(Boolean).at(-1), i)));
  for (const button of document.querySelectorAll("[data-do=sample]")) button.hidden = !has;
  picture.set({ render: null });
  picture.choose("render");
  if (!(await fromAddress())) {
    await described(studio.domain);
    editor.begin({ domain: domain.name, shot: domain.shot });
    showImage();
  }
  document.body.inert = false; // nothing could be asked for before the domain was there
  while (Object.values(studio.models).some((one) => one.state === "loading")) {
    await new Promise((wake) => setTimeout(wake, 700));
    studio = await api.facts();
    ready();
  }
});
await begun();
