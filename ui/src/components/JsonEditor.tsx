import { closeBrackets } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, foldGutter, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { linter, lintGutter } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

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
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "6px" },
});

/**
 * A JSON editor. It lives in a shadow root: there its styles are sheets that the
 * security policy allows, where a style element would be refused.
 */
export function JsonEditor({
  value,
  onChange,
  onSubmit,
  label,
}: {
  value: string;
  onChange: (value: string) => void;
  onSubmit: () => void;
  label: string;
}) {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef({ onChange, onSubmit });
  latest.current = { onChange, onSubmit };
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
          EditorView.contentAttributes.of({ "aria-label": name.current }),
          keymap.of([
            {
              key: "Mod-Enter",
              run: () => {
                latest.current.onSubmit();
                return true;
              },
            },
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
