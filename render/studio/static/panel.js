// The panel of the scene: its objects to select by, and its scores.

const LOW = 0.6; // confidence from which on an object is not remarked

const linear = (value) => Math.round(255 * Math.min(1, Math.max(0, value)) ** (1 / 2.2));

export class Panel {
  constructor(root, { select }) {
    this.list = root.querySelector("#objects");
    this.nothing = root.querySelector("#nothing");
    this.scoring = root.querySelector("#scoring");
    this.scores = root.querySelector("#scores");
    this.rows = { scene: [], picture: [] };
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) select(Number(item.dataset.number));
    });
    this.list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const count = this.list.children.length;
      const to = Math.min(count - 1, Math.max(0, Number(event.target.dataset.number) + step));
      select(to);
      this.list.children[to]?.focus();
      event.preventDefault();
      event.stopPropagation();
    });
  }

  show(objects, chosen) {
    this.nothing.hidden = objects.length > 0;
    this.list.replaceChildren(...objects.map((one, number) => {
      const item = document.createElement("li");
      item.dataset.number = number;
      item.setAttribute("role", "option");
      const dot = document.createElement("i");
      if (one.surfaces) dot.style.background = `rgb(${one.surfaces[0].color.map(linear).join(" ")})`;
      const words = Object.assign(document.createElement("span"), { textContent: `${number + 1}  ${one.words}` });
      item.append(dot, words);
      if (one.confidence !== undefined) {
        const sure = document.createElement("small");
        sure.textContent = `${Math.round(100 * one.confidence)} %`;
        sure.title = "How sure the model was of this object";
        sure.classList.toggle("low", one.confidence < LOW);
        item.append(sure);
      }
      return item;
    }));
    this.select(chosen);
  }

  select(chosen) {
    [...this.list.children].forEach((item, number) => {
      item.setAttribute("aria-selected", String(number === chosen));
      item.tabIndex = number === (chosen ?? 0) ? 0 : -1;
      if (number === chosen) item.scrollIntoView({ block: "nearest" });
    });
  }

  score(kind, rows) {
    this.rows[kind] = rows;
    const all = [...this.rows.scene, ...this.rows.picture];
    this.scoring.hidden = all.length === 0;
    this.scores.replaceChildren(...all.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
      return row;
    }));
  }
}
