"use strict";
// The samples of a report: chosen, ordered, and drawn when they are scrolled to. All text is set as text, never as markup.
(() => {
  const FAR = "1500px 0px"; // cards this far from the screen are drawn
  const PALETTE = [212, 28, 140, 268, 52, 330, 178, 0, 96, 240];
  const STATUS = { missing: 1, unparsable: 2 };
  const form = document.getElementById("controls");
  const parts = document.getElementById("parts");
  const list = document.getElementById("cards");
  const chunks = new Map(); // by number: the cards, or the functions that wait for them
  const standard = { show: "all", word: "", of: "any", sort: "worst", find: "", view: "side", outlines: "on", sample: "", part: "samples" };
  let data = null;
  let state = { ...standard };
  let shown = []; // the numbers of the samples in the list, in order
  const places = {}; // by part of the page, how far it was scrolled when it was left

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  // The data, which come from scripts beside the page

  window.igllm = {
    index(given) {
      data = given;
      begin();
    },
    chunk(number, cards) {
      const waiting = chunks.get(number);
      chunks.set(number, cards);
      if (Array.isArray(waiting) && typeof waiting[0] === "function") waiting.forEach((use) => use());
    },
  };

  function withCard(sample, use, fail) {
    const number = Math.floor(sample / data.chunk);
    const ready = () => use(chunks.get(number)[sample % data.chunk]);
    const held = chunks.get(number);
    if (held && typeof held[0] !== "function") return ready();
    if (held) return held.push(ready);
    chunks.set(number, [ready]);
    const name = `data/${String(number).padStart(5, "0")}.js`;
    const script = make("script", { src: name });
    script.onerror = () => {
      chunks.delete(number);
      fail(name);
    };
    document.head.append(script);
  }

  // Which samples are shown, and in what order

  const candidates = () => (state.of === "any" ? data.answers : [data.answers[Number(state.of)]]);

  function chooser() {
    const wanted = state.find.toLowerCase();
    const named = (sample) => !wanted || data.keys[sample].toLowerCase().includes(wanted);
    const some = (test) => (sample) => named(sample) && candidates().some((answer) => test(answer, sample));
    const confused = (test) => {
      const ids = new Set(data.confusions.map((one, id) => (test(one) ? id : -1)));
      return some((answer, sample) => answer.wrong[sample].some((id) => ids.has(id)));
    };
    const [kind, word] = [state.show.split(" ")[0], state.show.slice(state.show.indexOf(" ") + 1)];
    if (kind === "word") return confused(([argument, truth, guess]) => argument === word && truth && guess);
    if (kind === "confused") return confused((one) => one.join(" ") === state.word);
    if (kind === "faulty") return some((a, s) => a.status[s] > 0 || a.missed[s] > 0 || a.extra[s] > 0 || a.wrong[s].length > 0);
    if (kind === "faultless") return (s) => named(s) && candidates().every((a) => !a.status[s] && !a.missed[s] && !a.extra[s] && !a.wrong[s].length);
    if (kind === "missed" || kind === "extra") return some((a, s) => a[kind][s] > 0);
    if (kind in STATUS) return some((a, s) => a.status[s] === STATUS[kind]);
    if (kind === "warned") return some((a, s) => a.warned[s] > 0);
    return named;
  }

  function order() {
    const extreme = (values, most) => {
      const known = values.filter((value) => value !== null && value !== undefined);
      return known.length ? (most ? Math.max(...known) : Math.min(...known)) : null;
    };
    const by = (value) => {
      const values = new Map(shown.map((sample) => [sample, value(sample)]));
      const place = (sample) => (values.get(sample) === null ? -Infinity : values.get(sample)); // what has no value comes last
      shown.sort((a, b) => place(b) - place(a) || a - b);
    };
    const ranks = (sample) => candidates().map((answer) => answer.rank[sample]);
    const column = data.sort.find(([name]) => name === state.sort);
    if (state.sort === "worst") by((sample) => Math.max(...ranks(sample)));
    else if (state.sort === "best") by((sample) => -Math.max(...ranks(sample)));
    else if (state.sort === "differ") by((sample) => {
      const every = data.answers.map((answer) => answer.rank[sample]);
      return Math.max(...every) - Math.min(...every);
    });
    else if (column) by((sample) => {
      const value = extreme(candidates().map((answer) => answer[column[0]][sample]), column[2]);
      return value === null ? null : column[2] ? value : -value;
    });
  }

  // The list: an empty article a sample, filled while it is near the screen

  const near = new IntersectionObserver((entries) => {
    if (document.body.dataset.part === "scores") return; // the list is hidden, and comes back as it is
    for (const { target, isIntersecting, boundingClientRect } of entries) isIntersecting ? fill(target) : empty(target, boundingClientRect.height);
  }, { rootMargin: FAR });

  function renew() {
    near.disconnect();
    shown = data.keys.map((_, sample) => sample).filter(chooser());
    order();
    const articles = shown.map((sample) => {
      const article = make("article", { tabindex: -1 });
      article.sample = sample;
      return article;
    });
    list.replaceChildren(...articles);
    articles.forEach((article) => near.observe(article));
    const all = data.keys.length.toLocaleString("en");
    document.getElementById("count").textContent = shown.length === data.keys.length ? `${all} samples` : `${shown.length.toLocaleString("en")} of ${all} samples`;
  }

  function fill(article) {
    if (article.filled) return;
    article.filled = true;
    withCard(article.sample, (card) => article.filled && draw(article, card), (name) => {
      article.filled = false;
      article.replaceChildren(make("p", { class: "problem" }, `${name}, which belongs to this page, cannot be read`));
    });
  }

  function empty(article, height) {
    if (!article.filled) return;
    article.style.minHeight = `${height}px`;
    article.filled = false;
    article.replaceChildren();
  }

  // A card

  function draw(article, card) {
    const several = card.answers.length > 1;
    const link = make("a", { href: `#${new URLSearchParams({ sample: card.key })}` }, card.key);
    const parts = [make("h3", {}, link)];
    for (const note of card.notes || []) parts.push(make("p", { class: "problem" }, note));
    const frames = [];
    parts.push(pictures(card, frames));
    if (!several) parts.push(facts(card.answers[0]));
    card.answers.forEach((answer, number) => parts.push(...told(card, answer, several ? data.names[number] : null, number, frames)));
    article.replaceChildren(...parts);
    article.style.minHeight = "";
  }

  const facts = (answer) => make("ul", { class: "facts" }, ...answer.facts.map(([name, text]) => make("li", {}, name ? `${name} ` : "", make("b", {}, text))));

  function told(card, answer, name, number, frames) {
    const parts = [];
    if (name !== null) parts.push(make("h4", {}, name), facts(answer));
    if (answer.problem) parts.push(make("p", { class: "problem" }, answer.problem));
    if (answer.code !== null) parts.push(make("pre", {}, answer.code));
    if (!answer.rows.length) {
      parts.push(make("p", { class: "muted" }, "No object is in the code."));
      return parts;
    }
    const truth = answer.rows.some((row) => row[1]);
    const body = make("div", { class: truth ? "codes" : "codes alone" });
    if (truth) body.append(make("div", { class: "row head" }, make("span", {}, "true code"), make("span", { class: "gap" }, "apart"), make("span", {}, "predicted code")));
    const before = heads(answer.rows);
    answer.rows.forEach((row, index) => body.append(coded(row, index - before, truth, number, frames)));
    if (name === null) parts.push(body);
    else parts.push(make("details", {}, make("summary", {}, "both codes"), body));
    if (answer.more) parts.push(make("p", { class: "muted" }, `${answer.more} more objects are not shown.`));
    return parts;
  }

  /** How many rows stand before those of objects: camera and lamps, which have no place among them, and no number. */
  const heads = (rows) => rows.filter((row) => row[4] === null && row[5] === null).length;

  function coded([kind, truth, guess, between], index, both, number, frames) {
    const badge = () => make("i", { class: "badge", style: `--hue: ${PALETTE[index % PALETTE.length]}` }, String(index + 1));
    const code = (spans, words) => {
      if (!spans) return make("div", {}, make("span", { class: "said" }, words), make("span", { class: "none" }, " –"));
      const text = spans.map((span) => (typeof span === "string" ? span : make("span", { class: span[1], title: span[2] }, span[0])));
      return make("div", {}, make("span", { class: "said" }, words), make("code", {}, index < 0 ? "" : badge(), " ", ...text, both ? null : make("small", {}, ` ${between}`)));
    };
    const [first, ...rest] = between.split("\n");
    const gap = kind === "matched" ? make("span", { class: "gap" }, first, make("span", { class: "said" }, " apart"), ...rest.map((line) => make("small", {}, line))) : make("span", { class: "gap" }, make("span", { class: `tag ${kind}` }, first));
    const row = both ? make("div", { class: `row ${kind}` }, code(truth, "true code"), gap, code(guess, "predicted code")) : make("div", { class: `row ${kind}` }, code(guess, ""));
    if (index < 0) return row;
    const mark = (on) => frames.forEach((frame) => frame.answer === number && frame.outline && outline(frame, on ? index : -1));
    row.addEventListener("mouseenter", () => mark(true));
    row.addEventListener("mouseleave", () => mark(false));
    return row;
  }

  // Pictures

  function pictures(card, frames) {
    const several = card.answers.length > 1;
    const box = make("div", { class: `pictures ${state.view}${several ? " many" : ""}` });
    const whose = (number, what) => (several ? `${data.names[number]}: ${what[0].toLowerCase()}${what.slice(1)}` : what);
    const add = (picture, caption, masks, answer, side) => {
      const frame = { masks, side, answer, rows: card.answers[answer] ? card.answers[answer].rows : [], outline: true };
      const [figure, holder] = framed(card, picture, caption);
      if (masks && state.outlines === "on") {
        frame.canvas = holder.appendChild(make("canvas"));
        frames.push(frame);
        outline(frame, -1);
      }
      box.append(figure);
    };
    if (state.view === "side" || !card.input) {
      if (card.input) add(card.input, "Input", card.masks, 0, 4);
      card.answers.forEach((answer, number) => answer.picture && add(answer.picture, whose(number, "Re-rendered"), answer.masks, number, 5));
      if (several && state.view === "side") {
        box.style.setProperty("--columns", Math.min(5, box.childElementCount));
        if (card.input && box.childElementCount <= 5) box.append(make("div", { class: "space" })); // so that each difference is below its picture
      }
      card.answers.forEach((answer, number) => answer.heat && add(answer.heat, whose(number, "Difference (FLIP)"), null, number, 5));
    } else {
      card.answers.forEach((answer, number) => answer.picture && box.append(both(card, answer, whose(number, state.view === "slider" ? "Input | re-rendered" : "Input and re-rendered in turn"))));
    }
    return box.childElementCount ? box : null;
  }

  const image = (card, [path, width, height], caption) => make("img", { src: path, alt: `${caption} of ${card.key}`, width, height, loading: "lazy" });

  function framed(card, picture, caption) {
    const holder = make("a", { class: "frame", href: picture[0] }, image(card, picture, caption));
    return [make("figure", {}, holder, make("figcaption", {}, caption)), holder];
  }

  function both(card, answer, caption) {
    const frame = make("div", { class: "frame stack" }, image(card, card.input, "Input"), image(card, answer.picture, "Re-rendered"));
    const parts = [frame];
    if (state.view === "slider") {
      const slider = make("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "where the input ends and its re-rendering begins" });
      slider.addEventListener("input", () => frame.style.setProperty("--at", `${slider.value}%`));
      parts.push(slider);
    }
    return make("figure", {}, ...parts, make("figcaption", {}, caption));
  }

  // The outlines and numbers of objects, from the run lengths of their masks

  function outline(frame, marked) {
    const { canvas, masks, rows, side } = frame;
    const [height, width] = masks.size;
    const scale = Math.max(1, Math.round((480 * window.devicePixelRatio) / width)); // about the pixels of the screen
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.font = `600 ${Math.max(11, Math.round(canvas.width / 27))}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const labels = [], before = heads(rows);
    rows.forEach((row, place) => {
      const index = place - before;
      const runs = row[side] === null || row[side] === undefined ? null : masks.runs[row[side]];
      if (!runs) return;
      const { path, x, y, pixels } = traced(runs, width, height, scale);
      if (!pixels) return;
      const color = `hsl(${PALETTE[index % PALETTE.length]} 95% 62%)`;
      const wide = index === marked ? 3.5 : 1.6;
      pen.lineJoin = "round";
      pen.setLineDash(row[0] === "matched" ? [] : [4 * scale, 2 * scale]);
      pen.strokeStyle = "rgba(0,0,0,0.65)";
      pen.lineWidth = (wide + 1.4) * scale / 2;
      pen.stroke(path);
      pen.strokeStyle = color;
      pen.lineWidth = wide * scale / 2;
      pen.stroke(path);
      labels.push([String(index + 1), x, y, color]);
    });
    pen.setLineDash([]);
    pen.lineWidth = 4;
    for (const [text, x, y, color] of labels) {
      pen.strokeStyle = "rgba(0,0,0,0.8)";
      pen.strokeText(text, x, y);
      pen.fillStyle = color;
      pen.fillText(text, x, y);
    }
  }

  function traced(runs, width, height, scale) {
    const inside = new Uint8Array(width * height); // down the columns, as the runs are
    let at = 0, pixels = 0, x = 0, y = 0;
    runs.forEach((length, number) => {
      if (number % 2) {
        inside.fill(1, at, at + length);
        for (let i = at; i < at + length; i++) {
          x += Math.floor(i / height);
          y += i % height;
        }
        pixels += length;
      }
      at += length;
    });
    const path = new Path2D();
    const is = (column, row) => column >= 0 && row >= 0 && column < width && row < height && inside[column * height + row] === 1;
    const line = (x0, y0, x1, y1) => {
      path.moveTo(x0 * scale, y0 * scale);
      path.lineTo(x1 * scale, y1 * scale);
    };
    if (pixels) {
      for (let column = 0; column <= width; column++) {
        for (let row = 0; row <= height; row++) {
          const here = is(column, row);
          if (here !== is(column - 1, row)) line(column, row, column, row + 1);
          if (here !== is(column, row - 1)) line(column, row, column + 1, row);
        }
      }
    }
    return { path, pixels, x: ((x / pixels) + 0.5) * scale, y: ((y / pixels) + 0.5) * scale };
  }

  // What is asked for, kept in the page's address

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    state = { ...standard };
    for (const name of Object.keys(standard)) if (given.has(name)) state[name] = given.get(name);
    if (state.of !== "any" && !data.answers[Number(state.of)]) state.of = "any";
    if (state.show === "confused" && ![...form.show.options].some((option) => option.value === "confused")) form.show.append(make("option", { value: "confused" }));
    for (const option of form.show.options) if (option.value === "confused") {
      const [argument, truth, guess] = data.confusions.find((one) => one.join(" ") === state.word) || [state.word, "", ""];
      option.textContent = guess ? (truth ? `${argument}: ${truth} as ${guess}` : `extra ${argument} ${guess}`) : `missed ${argument} ${truth}`;
    }
    for (const name of ["show", "of", "sort", "view"]) {
      form[name].value = state[name];
      if (form[name].value !== state[name]) form[name].value = state[name] = standard[name];
    }
    form.find.value = state.find;
    form.outlines.checked = state.outlines === "on";
  }

  function enter(part) {
    const current = document.body.dataset.part;
    if (current === part) return;
    if (current) places[current] = window.scrollY;
    document.body.dataset.part = part;
    for (const link of parts.children) if (link.href) link.toggleAttribute("aria-current", link.hash === (part === "scores" ? "#part=scores" : ""));
    if (current) window.scrollTo(0, places[part] ?? Math.min(window.scrollY, parts.offsetTop));
  }

  function turn(part) {
    state.part = part;
    state.sample = "";
    keep();
    enter(part);
  }

  function keep() {
    const changed = Object.entries(state).filter(([name, value]) => value !== standard[name] && (name !== "word" || state.show === "confused"));
    history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
  }

  function follow() {
    read();
    if (state.sample || state.part !== "scores") state.part = "samples";
    enter(state.part);
    renew();
    if (state.sample) go(shown.indexOf(data.keys.indexOf(state.sample)));
    else if (state.show === "confused") window.scrollTo(0, Math.min(window.scrollY, parts.offsetTop));
  }

  function begin() {
    const option = ([value, label]) => make("option", { value }, label);
    const arguments_ = [...new Set(data.confusions.filter(([, truth, guess]) => truth && guess).map(([argument]) => argument))];
    const has = (name, value) => data.answers.some((answer) => answer[name] && answer[name].some((one) => (value ? one === value : one > 0)));
    const scored = data.answers.some((answer) => answer.missed);
    form.show.append(...[
      ["all", "all"],
      ...(has("warned") ? [["warned", "unlike what the model knows"]] : []),
      ...(scored ? [["faulty", "any fault"], ["faultless", "no fault"]] : []),
      ...arguments_.map((argument) => [`word ${argument}`, `wrong ${argument}`]),
      ...(has("missed") ? [["missed", "missed objects"]] : []),
      ...(has("extra") ? [["extra", "extra objects"]] : []),
      ...(has("status", STATUS.missing) ? [["missing", "no prediction"]] : []),
      ...(has("status", STATUS.unparsable) ? [["unparsable", "code that does not parse"]] : []),
    ].map(option));
    form.of.append(...[["any", "any of them"], ...data.names.map((name, number) => [String(number), name])].map(option));
    document.getElementById("of").hidden = data.names.length < 2;
    form.sort.append(...[
      ["worst", "the worst"],
      ["best", "the best"],
      ...(data.names.length > 1 ? [["differ", "where they differ most"]] : []),
      ...data.sort.map(([name, label]) => [name, `the worst ${label}`]),
      ["key", "as in the data"],
    ].map(option));
    form.view.append(...[["side", "side by side"], ["slider", "slider"], ["blink", "blink"]].map(option));
    if (data.names.length > 1) standard.sort = "differ";
    document.getElementById("choose").open = !window.matchMedia("(max-width: 720px)").matches;
    for (const hidden of [parts, ...document.querySelectorAll("#samples > details")]) hidden.hidden = false;
    parts.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault(); // what is chosen stays chosen
      turn(link.hash ? "scores" : "samples");
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      for (const name of ["show", "of", "sort", "view", "find"]) state[name] = form[name].value;
      state.outlines = form.outlines.checked ? "on" : "off";
      state.sample = "";
      keep();
      renew();
    });
    window.addEventListener("hashchange", follow);
    document.addEventListener("keydown", press);
    follow();
  }

  // The keyboard

  function go(place) {
    const article = list.children[place];
    if (!article) return;
    article.scrollIntoView({ block: "start" });
    article.focus({ preventScroll: true });
  }

  function current() {
    const chosen = document.activeElement && document.activeElement.closest("#cards > article");
    if (chosen) return [...list.children].indexOf(chosen);
    return [...list.children].findIndex((article) => article.getBoundingClientRect().bottom > 80) - 1;
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const views = { 1: "side", 2: "slider", 3: "blink" };
    if (event.key === "s") {
      turn(state.part === "scores" ? "samples" : "scores");
      event.preventDefault();
      return;
    }
    if (state.part === "scores") return;
    const change = (name, value) => {
      const place = current();
      if (name === "outlines") form.outlines.checked = value;
      else form[name].value = value;
      form.dispatchEvent(new Event("input"));
      if (list.contains(document.activeElement) || place >= 0) go(Math.max(0, place));
    };
    if (event.key === "j" || event.key === "n") go(current() + 1);
    else if (event.key === "k" || event.key === "p") go(Math.max(0, current() - 1));
    else if (event.key in views) change("view", views[event.key]);
    else if (event.key === "o") change("outlines", !form.outlines.checked);
    else if (event.key === "f" || event.key === "/") {
      document.getElementById("choose").open = true;
      form[event.key === "f" ? "show" : "find"].focus();
    }
    else return;
    event.preventDefault();
  }
})();
