// Blender's picture against the image: one, the other, a slider between them, both in turn, or where they differ.

const BLINK = 650; // milliseconds

export class Picture {
  #timer = null;

  constructor(root) {
    const find = (name) => root.querySelector(name);
    this.stage = find("#pictures");
    this.frame = find("#frame");
    this.parts = { image: find("#shown-image"), render: find("#shown-render"), difference: find("#shown-difference") };
    this.seam = find("#seam");
    this.slide = find("#slide");
    this.wipe = find("#wipe");
    this.buttons = [...root.querySelectorAll("[data-mode]")];
    this.welcome = find("#welcome");
    this.mode = "render";
    for (const part of Object.values(this.parts)) part.draggable = false;
    this.wipe.addEventListener("input", () => this.#show());
    this.frame.addEventListener("pointerdown", (event) => this.#swipe(event));
    this.frame.addEventListener("pointermove", (event) => event.buttons && this.#swipe(event));
    for (const button of this.buttons) button.addEventListener("click", () => this.choose(button.dataset.mode));
    new ResizeObserver(() => this.#fit()).observe(this.stage);
  }

  /** The sources of image, render and difference, null for what there is not; `size` is the frame's [width, height]. */
  set({ image, render, difference, size }) {
    for (const [name, url] of Object.entries({ image, render, difference })) {
      if (url === undefined) continue;
      const part = this.parts[name];
      if (url) part.src = url;
      else part.removeAttribute("src");
    }
    if (size) this.size = size;
    const has = Object.fromEntries(Object.entries(this.parts).map(([name, part]) => [name, part.hasAttribute("src")]));
    const can = { render: has.render, image: has.image, slider: has.image && has.render, blink: has.image && has.render, difference: has.difference };
    for (const button of this.buttons) button.disabled = !can[button.dataset.mode] && button.dataset.mode !== "render";
    this.can = can;
    this.frame.hidden = !has.image && !has.render;
    this.#fit();
    this.#show();
  }

  /** Whether to say what to begin with, which is done until something is begun. */
  greet(on) { this.welcome.hidden = !on; }
  get greets() { return !this.welcome.hidden; }

  /** The bytes of the render's file. */
  bytes() {
    return Uint8Array.from(atob(this.parts.render.src.split(",")[1]), (letter) => letter.charCodeAt(0));
  }

  choose(mode) {
    if (mode !== "render" && !this.can?.[mode]) return;
    this.mode = mode;
    for (const button of this.buttons) {
      const on = button.dataset.mode === mode;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    clearInterval(this.#timer);
    this.turn = false;
    if (mode === "blink") {
      this.#timer = setInterval(() => {
        this.turn = !this.turn;
        this.#show();
      }, BLINK);
    }
    this.#show();
  }

  #show() {
    const { image, render, difference } = this.parts;
    // Where the mode wants what is not there, what is there is shown.
    const mode = this.can?.[this.mode] ? this.mode : this.can?.render ? "render" : "image";
    const share = Number(this.wipe.value);
    image.hidden = !(mode === "image" || mode === "slider" || (mode === "blink" && this.turn)) || !image.src;
    render.hidden = !(mode === "render" || mode === "slider" || (mode === "blink" && !this.turn)) || !render.src;
    difference.hidden = mode !== "difference";
    image.style.zIndex = mode === "slider" ? "1" : "";
    image.style.clipPath = mode === "slider" ? `inset(0 ${100 - share}% 0 0)` : "";
    this.seam.hidden = this.slide.hidden = mode !== "slider";
    this.seam.style.left = `${share}%`;
    this.seam.style.zIndex = "2";
    this.frame.style.touchAction = mode === "slider" ? "none" : "";
  }

  #swipe(event) {
    if (this.slide.hidden) return;
    const box = this.frame.getBoundingClientRect();
    this.wipe.value = Math.round(((event.clientX - box.left) / box.width) * 100);
    this.#show();
    event.preventDefault();
  }

  #fit() {
    if (!this.size) return;
    const { clientWidth: width, clientHeight: height } = this.stage;
    const scale = Math.min(width / this.size[0], height / this.size[1]);
    Object.assign(this.frame.style, { width: `${this.size[0] * scale}px`, height: `${this.size[1] * scale}px` });
  }
}
