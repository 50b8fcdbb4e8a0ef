export {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, snippetCompletion, startCompletion,
} from "@codemirror/autocomplete";
export { defaultKeymap, history, historyKeymap, invertedEffects, isolateHistory, redo, redoDepth, undo, undoDepth } from "@codemirror/commands";
export { bracketMatching, HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
export { forceLinting, lintGutter, nextDiagnostic, setDiagnostics } from "@codemirror/lint";
export { Annotation, Compartment, EditorState, Prec, StateEffect, StateField, Transaction } from "@codemirror/state";
export { Decoration, EditorView, keymap, lineNumbers, placeholder, tooltips } from "@codemirror/view";
export { tags } from "@lezer/highlight";
