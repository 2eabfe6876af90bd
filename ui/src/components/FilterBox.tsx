import { Search, X } from "lucide-react";
import { useEffect, useId, useRef, useState } from "react";
import { cn } from "@/lib/cn";
import { complete, parse } from "@/lib/filter";

/** The filter of a list: typed with completion, and applied with Enter or after a moment. */
export function FilterBox({
  value,
  onChange,
  known,
  placeholder,
  onFocus,
}: {
  value: string;
  onChange: (value: string) => void;
  known: { functions: string[]; apps: string[]; events: string[]; fields: { path: string; types: string[] }[] };
  placeholder: string;
  onFocus?: () => void;
}) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(value.length);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const applied = useRef(value);
  useEffect(() => {
    if (value !== applied.current) {
      applied.current = value;
      setText(value);
    }
  }, [value]);
  const { from, to, options } = complete(text, cursor, known);
  const problems = parse(text).problems;
  const apply = (next: string) => {
    applied.current = next.trim();
    onChange(next.trim());
  };
  useEffect(() => {
    if (text.trim() === applied.current || parse(text).problems.length > 0) return;
    const timer = setTimeout(() => apply(text), 500);
    return () => clearTimeout(timer);
  });
  const pick = (i: number) => {
    const option = options[i];
    if (!option) return;
    const done = !/[:.=]$/.test(option.text);
    const next = `${text.slice(0, from)}${option.text}${done ? " " : ""}${text.slice(to).trimStart()}`;
    const end = from + option.text.length + (done ? 1 : 0);
    setText(next);
    setCursor(end);
    setAt(-1);
    if (done) {
      apply(next);
      setOpen(false);
    }
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(end, end);
    });
  };
  const showing = open && options.length > 0;
  return (
    <div className="relative min-w-0 flex-1">
      <Search className="pointer-events-none absolute top-2.5 left-3 size-4 text-faint" aria-hidden="true" />
      <input
        ref={input}
        data-search
        role="combobox"
        aria-label="Filter runs"
        aria-expanded={showing}
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={showing && at >= 0 ? `${id}-${at}` : undefined}
        aria-invalid={problems.length > 0}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        placeholder={placeholder}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setCursor(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setAt(-1);
        }}
        onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
        onFocus={onFocus} // the list comes with what is typed: it lies over what else can be chosen
        onBlur={() => setTimeout(() => setOpen(false), 120)}
        onKeyDown={(event) => {
          if ((event.key === "ArrowDown" || (event.key === " " && event.ctrlKey)) && !showing) {
            setOpen(true);
            setAt(event.key === "ArrowDown" ? 0 : -1);
          } else if (event.key === "ArrowDown") setAt((at + 1) % options.length);
          else if (event.key === "ArrowUp" && showing) setAt((at - 1 + options.length) % options.length);
          else if ((event.key === "Enter" || event.key === "Tab") && showing && at >= 0) pick(at);
          else if (event.key === "Enter") {
            apply(text);
            setOpen(false);
            input.current?.blur();
            return;
          } else if (event.key === "Escape") {
            if (showing) setOpen(false);
            else input.current?.blur();
            return;
          } else return;
          event.preventDefault();
        }}
        className={cn(
          "peer h-9 w-full rounded-lg border bg-panel pr-9 pl-9 text-xs not-placeholder-shown:font-mono placeholder:text-sm placeholder:text-faint focus:outline-none focus:ring-2 focus:ring-accent/25",
          problems.length > 0 && text.trim() !== applied.current ? "border-bad" : "border-line-strong focus:border-accent",
        )}
      />
      <button
        type="button"
        aria-label="Clear the filter"
        onClick={() => {
          setText("");
          apply("");
          input.current?.focus();
        }}
        className="absolute top-1.5 right-1.5 flex peer-placeholder-shown:hidden size-6 items-center justify-center rounded text-faint hover:bg-sunken hover:text-ink"
      >
        <X className="size-3.5" />
      </button>
      {showing && (
        <div
          id={id}
          role="listbox"
          aria-label="Completions"
          className="absolute inset-x-0 top-10 z-30 max-h-80 overflow-y-auto rounded-lg border border-line bg-raised p-1 shadow-pop"
        >
          {options.map((option, i) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys come by the field
            // biome-ignore lint/a11y/useFocusableInteractive: the field keeps the focus
            <div
              key={option.text}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === at}
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => pick(i)}
              onMouseMove={() => setAt(i)}
              className={cn("flex items-baseline gap-3 rounded px-2 py-1", i === at && "bg-accent-wash")}
            >
              <span className="shrink-0 font-mono text-xs">{option.text}</span>
              {option.hint && <span className="truncate text-xs text-faint">{option.hint}</span>}
            </div>
          ))}
        </div>
      )}
      {problems.length > 0 && !showing && (
        <p role="alert" className="absolute top-10 left-0 z-20 rounded-md border border-bad/40 bg-bad-wash px-2.5 py-1 text-xs text-bad">
          {problems[0]}
        </p>
      )}
    </div>
  );
}
