// The code: an editor that knows the domain's words, and one history of code, shot and domain.

import {
  acceptCompletion, Annotation, autocompletion, bracketMatching, closeBrackets, closeBracketsKeymap, completionKeymap, Decoration, defaultKeymap,
  EditorState, EditorView, HighlightStyle, history, historyKeymap, invertedEffects, isolateHistory, keymap, lineNumbers, lintGutter,
  placeholder, Prec, redo, redoDepth, setDiagnostics, startCompletion, StateEffect, StateField, StreamLanguage, syntaxHighlighting, tags, tooltips, Transaction,
  undo, undoDepth,
} from "./vendor/codemirror.js";
import { context, whole } from "./grammar.js";

const setSetting = StateEffect.define();
const settingField = StateField.define({
  create: () => ({ domain: null, shot: null }),
  update: (setting, change) => change.effects.reduce((now, effect) => (effect.is(setSetting) ? effect.value : now), setting),
});
const undoSetting = invertedEffects.of((change) =>
  change.effects.some((effect) => effect.is(setSetting)) ? [setSetting.of(change.startState.field(settingField))] : []);

const setChosen = StateEffect.define();
const chosenField = StateField.define({
  create: () => Decoration.none,
  update(marks, change) {
    let now = marks.map(change.changes);
    for (const effect of change.effects) {
      if (effect.is(setChosen)) now = Decoration.set(effect.value.map((at) => Decoration.line({ class: "cm-chosen" }).range(at)));
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});
const fromView = Annotation.define();

/** The history: a whole drag is one step however long it takes, and what is typed or nudged at one place without a pause is one, too. */
function steps() {
  let last = 0;
  const joinToEvent = (change, near) => {
    const now = change.annotation(Transaction.time), soon = now - last < PAUSE, from = change.annotation(fromView);
    last = now;
    return from === "drag" || ((near || from === "nudge") && soon);
  };
  return history({ newGroupDelay: 1e9, joinToEvent });
}
const PAUSE = 600; // milliseconds

const language = StreamLanguage.define({
  token(stream) { // each pattern begins with ^: one that does not is sought in the whole rest of the line, which may be long
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    if (stream.match(/^(?:"[^"]*"?|'[^']*'?)/)) return "string";
    if (stream.match(/^[+-]?(\d+(\.\d*)?|\.\d+)/)) return "number";
    if (stream.match(/^[A-Za-z_]\w*/)) return /^\s*=/.test(stream.string.slice(stream.pos, stream.pos + 20)) ? "propertyName" : "keyword";
    stream.next();
    return null;
  },
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", '"'] } },
});
const colors = HighlightStyle.define([
  { tag: tags.string, color: "var(--word)" },
  { tag: tags.number, color: "var(--number)" },
  { tag: tags.propertyName, color: "var(--muted)" },
  { tag: tags.keyword, color: "var(--name)", fontWeight: "600" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
]);
const theme = EditorView.theme({
  "&": { fontSize: "13px", backgroundColor: "var(--card)", color: "var(--ink)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace', lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent) !important" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--muted)", border: "none" },
  ".cm-chosen": { backgroundColor: "var(--soft)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "7px", overflow: "hidden" },
  ".cm-tooltip-autocomplete ul li": { padding: "2px 8px !important" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent) !important", color: "var(--on-accent) !important" },
  ".cm-completionDetail": { opacity: "0.75" },
  ".cm-diagnostic": { borderLeft: "4px solid var(--odd)", padding: "4px 8px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--wrong)" },
});

/** Completions at the cursor, of a domain as the server describes it. */
function completions(domain) {
  return (at) => {
    if (!domain()) return null;
    const place = context(at.state.doc.toString(), at.pos);
    const all = [...domain().statements, ...domain().header];
    const named = all.find((one) => one.name === place.statement);
    if (place.kind === "statement") {
      if (!at.explicit && place.from === at.pos) return null;
      const detail = (one) => (domain().header.includes(one) ? "before the objects" : "a new object");
      const options = all.map((one) => ({ label: one.name, type: "function", detail: detail(one), apply: one.example }));
      return { from: place.from, options };
    }
    if (!named) return null;
    if (place.kind === "keyword") {
      if (!at.explicit && place.from === at.pos) return null;
      const left = named.arguments.filter((argument) => !place.given.includes(argument.name));
      return { from: place.from, options: left.map(keyword) };
    }
    const argument = named.arguments.find((one) => one.name === place.key);
    if (!argument) return null;
    if (argument.words) {
      const after = at.state.sliceDoc(at.pos, at.pos + 1);
      const apply = (word) => (place.begun && after === '"' ? `"${word}` : `"${word}"`);
      const options = argument.words.map((word) => ({ label: `"${word}"`, displayLabel: word, type: "enum", apply: apply(word) }));
      return { from: place.from, options, validFor: /^"?[\w-]*$/ };
    }
    if (!at.explicit) return null;
    return { from: at.pos, options: [{ label: ranges(argument), type: "text", apply: "", info: "What this number may be." }] };
  };
}

const span = (low, high) => `${low} to ${high}`;
function ranges(argument) {
  const parts = argument.low.map((low, i) => span(low, argument.high[i]));
  return `${new Set(parts).size === 1 ? parts[0] : parts.join(", ")} ${argument.unit}`;
}
function keyword(argument) {
  if (argument.words) return { label: argument.name, type: "property", detail: `${argument.words.length} words`, apply: opening(argument.name) };
  const middle = argument.low.map((low, i) => ((low + argument.high[i]) / 2).toFixed(argument.decimals));
  const value = middle.length > 1 ? `(${middle.join(", ")})` : middle[0];
  return { label: argument.name, type: "property", detail: ranges(argument), apply: `${argument.name}=${value}` };
}
/** Writes `name="` and opens the list of words. */
const opening = (name) => (view, _, from, to) => {
  const text = `${name}=`;
  view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: "input.complete" });
  startCompletion(view);
};

export class Editor {
  #domain = null;

  constructor(parent, { onChange, onCursor, nonce }) {
    const heard = EditorView.updateListener.of((update) => {
      const settings = update.transactions.some((one) => one.effects.some((effect) => effect.is(setSetting)));
      if (update.docChanged || settings) onChange();
      if (update.selectionSet && update.view.hasFocus) onCursor(this.objectAt(update.state.selection.main.head));
    });
    this.view = new EditorView({
      parent,
      state: EditorState.create({
        doc: "",
        extensions: [
          settingField, undoSetting, chosenField, steps(), lineNumbers(), lintGutter(), bracketMatching(), closeBrackets(), language,
          syntaxHighlighting(colors), theme, EditorView.lineWrapping, placeholder("add(…) — one object a line; Ctrl+Space completes"),
          autocompletion({ override: [completions(() => this.#domain)], icons: false }), tooltips({ position: "fixed", parent: document.body }), heard, EditorView.cspNonce.of(nonce),
          EditorView.contentAttributes.of({ "aria-label": "Graphics code", spellcheck: "false", autocorrect: "off", autocapitalize: "off" }),
          Prec.high(keymap.of([{ key: "Tab", run: acceptCompletion }, { key: "Escape", run: (view) => view.contentDOM.blur() ?? true }])),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...defaultKeymap, ...historyKeymap]),
        ],
      }),
    });
  }

  set domain(domain) { this.#domain = domain; }
  get code() { return this.view.state.doc.toString(); }
  /** The name of the code's domain, and its shot. */
  get setting() { return this.view.state.field(settingField); }
  get undoes() { return undoDepth(this.view.state); }
  get redoes() { return redoDepth(this.view.state); }
  get focused() { return this.view.hasFocus; }
  focus() { this.view.focus(); }
  blur() { this.view.contentDOM.blur(); }
  undo() { undo(this.view); }
  redo() { redo(this.view); }

  /** Put other code, and if given another setting, in the place of what is there, as one step of the history. */
  replace(code, setting) {
    const effects = setting ? [setSetting.of(setting)] : [];
    const changes = { from: 0, to: this.view.state.doc.length, insert: code };
    this.view.dispatch({ changes, effects, annotations: isolateHistory.of("full"), userEvent: "replace" });
  }

  /** The setting to begin with, which is no step of the history. */
  begin(setting) {
    this.view.dispatch({ effects: setSetting.of(setting), annotations: Transaction.addToHistory.of(false) });
  }

  /** Change parts of the text: as part of a drag or nudge that goes on, or else as a step of the history. */
  change(changes, going) {
    this.view.dispatch({ changes, annotations: going ? fromView.of(going) : isolateHistory.of("full") });
  }

  /** Begin a new step of the history. */
  cut() { this.view.dispatch({ annotations: isolateHistory.of("full") }); }

  /** The number of the object whose statement is at a place; null if there is none. */
  objectAt(at) {
    const line = this.view.state.doc.lineAt(at);
    const found = whole(this.code, this.#domain).findIndex((one) => one.from <= line.to && one.to >= line.from);
    return found < 0 ? null : found;
  }

  /** Mark the lines of an object, and bring them into view. */
  choose(number) {
    const one = number === null ? null : whole(this.code, this.#domain)[number];
    const lines = [];
    if (one) {
      const doc = this.view.state.doc;
      for (let line = doc.lineAt(one.from); ; line = doc.line(line.number + 1)) {
        lines.push(line.from);
        if (line.to >= one.to) break;
      }
    }
    const effects = [setChosen.of(lines)];
    if (one && !this.view.hasFocus) effects.push(EditorView.scrollIntoView(one.from, { y: "nearest", yMargin: 20 }));
    this.view.dispatch({ effects });
  }

  /** Show problems, each with line and column from 1 or the number of an object. */
  problems(found) {
    const doc = this.view.state.doc, all = whole(this.code, this.#domain);
    const shown = found.flatMap(({ line, column, object, text, error }) => {
      let from, to;
      if (line) {
        const at = doc.line(Math.min(line, doc.lines));
        from = Math.min(at.from + column - 1, at.to);
        to = Math.min(at.to, from + (/^[\w.-]+|^"[^"]*"?/.exec(doc.sliceString(from, at.to))?.[0].length || 1));
        if (from === to && from > at.from) from -= 1;
      } else if (all[object]) ({ from, to } = all[object]);
      else return [];
      return [{ from, to, severity: error ? "error" : "warning", message: text }];
    });
    this.view.dispatch(setDiagnostics(this.view.state, shown));
  }

  /** Keep the cursor in sight when the room for the editor has changed. */
  keep() {
    if (this.view.hasFocus) this.view.dispatch({ effects: EditorView.scrollIntoView(this.view.state.selection.main.head, { y: "nearest" }) });
  }

  /** Put the cursor at a place, and the keyboard's focus there. */
  go(line, column) {
    const at = this.view.state.doc.line(Math.min(line, this.view.state.doc.lines));
    this.view.dispatch({ selection: { anchor: Math.min(at.from + column - 1, at.to) }, scrollIntoView: true });
    this.view.focus();
  }
}
