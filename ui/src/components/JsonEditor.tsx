import { autocompletion, type Completion, type CompletionContext, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, foldGutter, HighlightStyle, indentOnInput, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { linter, lintGutter } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import type { Hint } from "@/lib/hints";

const style = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.string, color: "var(--good)" },
  { tag: tags.number, color: "var(--busy)" },
  { tag: [tags.bool, tags.null], color: "var(--warn)" },
  { tag: tags.punctuation, color: "var(--soft)" },
]);

const theme = EditorView.theme({
  "&": {
    fontSize: "12px",
    backgroundColor: "var(--sunken)",
    color: "var(--ink)",
    borderRadius: "8px",
    border: "1px solid var(--line-strong)",
  },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": {
    fontFamily: "var(--font-mono, 'JetBrains Mono Variable', monospace)",
    lineHeight: "1.6",
    maxHeight: "50vh",
    minHeight: "9rem",
    overflow: "auto",
  },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--ink) 4%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent) !important",
  },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "inherit", maxHeight: "14rem" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "2px 8px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-wash)", color: "var(--ink)" },
  ".cm-completionDetail": { color: "var(--soft)", fontStyle: "normal" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "6px" },
});

/** The names on the way to the object that a place is in, [] for what is in an array. */
function pathAt(context: CompletionContext): string[] {
  const path: string[] = [];
  for (let node = syntaxTree(context.state).resolveInner(context.pos, -1).parent; node; node = node.parent) {
    if (node.name === "Array") path.unshift("[]");
    if (node.name !== "Property") continue;
    const name = node.getChild("PropertyName");
    // The name that is being written is not on the way to itself.
    if (!name || (name.from <= context.pos && context.pos <= name.to)) continue;
    try {
      path.unshift(JSON.parse(context.state.sliceDoc(name.from, name.to)) as string);
    } catch {
      return path;
    }
  }
  return path;
}

/** Offers the members that an object may have where a name of one can stand. */
const offer = (hints: (path: string[]) => Hint[]) => (context: CompletionContext) => {
  const word = context.matchBefore(/"?[\w$-]*/);
  const before = context.state.sliceDoc(Math.max(0, (word?.from ?? context.pos) - 200), word?.from ?? context.pos);
  if (!/[{,]\s*$/.test(before) || !word || (word.from === word.to && !context.explicit)) return null;
  // What stands behind the place is the end of a name that is there already, or of one
  // whose quotation mark was closed by itself.
  const behind = /^"?(\s*:)?/.exec(context.state.sliceDoc(context.pos, context.pos + 20));
  const named = behind?.[1] !== undefined;
  const options: Completion[] = hints(pathAt(context)).map((h) => ({
    label: `"${h.label}"`,
    detail: h.detail,
    type: "property",
    apply: (view, _completion, from, to) => {
      const closed = view.state.sliceDoc(to, to + 1) === '"' ? 1 : 0;
      const insert = named ? `"${h.label}"` : `"${h.label}": ${h.empty}`;
      const inside = !named && h.empty.length === 2 && !/[0f]/.test(h.empty) ? 1 : 0;
      view.dispatch({ changes: { from, to: to + closed, insert }, selection: { anchor: from + insert.length - inside } });
    },
  }));
  // While the name is typed on, the same list is narrowed, and Enter takes from it at once.
  return options.length > 0 ? { from: word.from, options, filter: true, validFor: /^"?[\w$-]*$/ } : null;
};

/**
 * A JSON editor. It lives in a shadow root: there its styles are sheets that the
 * security policy allows, where a style element would be refused.
 */
export function JsonEditor({
  value,
  onChange,
  onSubmit,
  label,
  hints,
}: {
  value: string;
  onChange: (value: string) => void;
  onSubmit: () => void;
  label: string;
  /** The members that an object may have, which is at a path. */
  hints?: (path: string[]) => Hint[];
}) {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef({ onChange, onSubmit, hints });
  latest.current = { onChange, onSubmit, hints };
  const first = useRef(value);
  const name = useRef(label);
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: first.current,
        extensions: [
          lineNumbers(),
          foldGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          json(),
          linter(jsonParseLinter(), { delay: 300 }),
          lintGutter(),
          syntaxHighlighting(style),
          theme,
          EditorView.lineWrapping,
          autocompletion({ override: [offer((path) => latest.current.hints?.(path) ?? [])], icons: false }),
          EditorView.contentAttributes.of({ "aria-label": name.current }),
          keymap.of([
            {
              key: "Mod-Enter",
              run: () => {
                latest.current.onSubmit();
                return true;
              },
            },
            ...completionKeymap,
            ...defaultKeymap,
            ...historyKeymap,
          ]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.focus();
    return () => view.destroy();
  }, []);
  return <div ref={host} data-testid="editor" />;
}
