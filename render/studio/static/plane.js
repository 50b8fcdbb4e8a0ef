// A scene in a plane: the picture as the domain paints it, at once, with a handle on each object.

export class Plane {
  /** `handlers`: select(number), drag(number, steps along X and Y), dropped(). */
  constructor(parent, handlers) {
    this.parent = parent;
    this.handlers = handlers;
    this.box = document.createElement("div");
    Object.assign(this.box.style, { position: "absolute" });
    this.image = Object.assign(new Image(), { alt: "The scene" });
    Object.assign(this.image.style, { width: "100%", height: "100%", display: "block" });
    this.box.append(this.image);
    parent.append(this.box);
    new ResizeObserver(() => this.#placed()).observe(parent);
  }

  dragging = false;

  set hidden(hidden) { this.box.hidden = hidden; }

  show(flat, chosen) {
    this.flat = flat;
    this.image.src = `data:image/png;base64,${flat.png}`;
    const had = [...this.box.querySelectorAll("button")];
    flat.centres.forEach((_, number) => {
      if (!had[number]) this.box.append(this.#handle(number));
    });
    had.slice(flat.centres.length).forEach((one) => one.remove());
    this.select(chosen);
    this.#placed();
  }

  select(chosen) {
    this.box.querySelectorAll("button").forEach((one, number) => one.setAttribute("aria-pressed", String(number === chosen)));
  }

  /** How far along X and Y an object moves for a step of so many pixels on the frame; null where it cannot be moved. */
  steps(number, right, down) {
    const [[a, c], [b, d]] = this.flat.steps[number];
    const area = a * d - b * c;
    return area ? [(right * d - down * b) / area, (down * a - right * c) / area] : null;
  }

  #handle(number) {
    const handle = Object.assign(document.createElement("button"), { className: "handle", tabIndex: -1 });
    handle.setAttribute("aria-label", `Object ${number + 1}`);
    let from = null;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      from = [event.clientX, event.clientY];
      this.dragging = true;
      this.handlers.select(number);
      event.preventDefault();
      this.parent.focus();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!from) return;
      const size = this.flat.width / this.box.clientWidth;
      const steps = this.steps(number, (event.clientX - from[0]) * size, (event.clientY - from[1]) * size);
      if (steps) this.handlers.drag(number, steps);
    });
    const end = () => {
      if (!from) return;
      from = null;
      this.dragging = false;
      this.handlers.dropped();
    };
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
    return handle;
  }

  #placed() {
    if (!this.flat) return;
    const { clientWidth: width, clientHeight: height } = this.parent;
    const scale = Math.min(width / this.flat.width, height / this.flat.height);
    const wide = this.flat.width * scale, tall = this.flat.height * scale;
    Object.assign(this.box.style, { width: `${wide}px`, height: `${tall}px`, left: `${(width - wide) / 2}px`, top: `${(height - tall) / 2}px` });
    this.box.querySelectorAll("button").forEach((one, number) => {
      Object.assign(one.style, { left: `${this.flat.centres[number][0] * scale}px`, top: `${this.flat.centres[number][1] * scale}px` });
    });
  }
}
