// What goes on while a scene is edited: its view at once, then Blender's draft, then its standard picture. The latest edit wins.

import * as api from "./api.js";

const IDLE = 350; // milliseconds without an edit after a draft, before the standard picture is begun

/** Looks at the scene after each edit; of edits that come while the server looks, the last one counts. */
export class Looking {
  #busy = false;
  #again = false;

  /** `scene()` is what to look at, `tell(view, scene)` gets what the server says of it, `fail(error)` why it says nothing. */
  constructor(scene, tell, fail) { Object.assign(this, { scene, tell, fail }); }

  async look() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      do {
        this.#again = false;
        const scene = this.scene();
        await this.tell(await api.call("look", scene), scene);
      } while (this.#again);
    } catch (error) {
      this.fail(error);
    } finally {
      this.#busy = false;
    }
  }
}

/** Renders the scene, a draft first. */
export class Rendering {
  #wanted = null;
  #shown = null;
  #running = null;
  #timer = null;

  /** `tell(line)` gets the pictures and their scores, `state(name)` what goes on, `fail(error)` an error. */
  constructor(tell, state, fail) { Object.assign(this, { tell, state, fail }); }

  /** The scene that is to be seen; the quality in which it is seen already, if it is. The draft of an older one is let finish, for its
   * worker is busy with it anyway; a better picture is not. */
  want(scene) {
    const key = JSON.stringify(scene);
    if (key !== this.#wanted?.key) {
      this.#wanted = { key, scene };
      if (this.#running?.quality === "standard") this.#running.abort.abort();
      this.#next();
    }
    return this.#shown?.key === key ? this.#shown.quality : "";
  }

  /** Nothing is to be rendered: the code cannot be read. */
  rest() {
    this.#wanted = null;
    clearTimeout(this.#timer);
    this.#running?.abort.abort();
    this.state("");
  }

  #next() {
    clearTimeout(this.#timer);
    if (this.#running || !this.#wanted) return;
    const { key } = this.#wanted;
    if (this.#shown?.key !== key) this.#render("draft");
    else if (this.#shown.quality === "draft") this.#timer = setTimeout(() => this.#render("standard"), IDLE);
  }

  async #render(quality) {
    const { key, scene } = this.#wanted;
    const abort = new AbortController();
    this.#running = { quality, abort };
    this.state(quality);
    try {
      await api.lines("render", { ...scene, qualities: [quality] }, abort.signal, (line) => this.tell(line, key === this.#wanted?.key));
      this.#shown = { key, quality };
      this.state("");
    } catch (error) {
      if (error.name !== "AbortError") {
        this.fail(error);
        this.state("failed");
        this.#shown = { key, quality: "failed" };
      }
    } finally {
      this.#running = null;
      this.#next();
    }
  }
}
