import { isLosslessNumber } from "lossless-json";
import { ChevronRight } from "lucide-react";
import { memo, useMemo, useState } from "react";
import { cn } from "@/lib/cn";
import { numberText, write } from "@/lib/json";
import { bytes, shown } from "@/lib/text";
import { CopyButton } from "./layout";

// A value as a tree. Everything in it is text: nothing of a payload is ever markup,
// a link or an image.

const mostMembers = 100;
const longText = 600;

function Leaf({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === "string") {
    const cut = !whole && value.length > longText;
    return (
      <span className="text-good break-all whitespace-pre-wrap">
        "{shown(cut ? value.slice(0, longText) : value)}
        {cut ? (
          <button
            type="button"
            onClick={() => setWhole(true)}
            className="ml-1 rounded bg-idle-wash px-1.5 font-sans text-xs text-soft hover:text-ink"
          >
            … {bytes(value.length - longText)} more
          </button>
        ) : (
          '"'
        )}
      </span>
    );
  }
  const number = numberText(value);
  if (number !== undefined) return <span className="text-busy break-all">{number}</span>;
  return <span className="text-warn">{String(value)}</span>;
}

const isTree = (value: unknown): value is object => typeof value === "object" && value !== null && !isLosslessNumber(value);

const Node = memo(function Node({
  name,
  value,
  depth,
  open: openAtFirst,
}: {
  name?: string;
  value: unknown;
  depth: number;
  open: boolean;
}) {
  const [open, setOpen] = useState(openAtFirst);
  const [limit, setLimit] = useState(mostMembers);
  const label =
    name === undefined ? null : (
      <span className="shrink-0 break-all text-soft">
        {shown(name)}
        <span className="text-faint">: </span>
      </span>
    );
  if (!isTree(value))
    return (
      <div className="flex pl-4">
        {label}
        <span className="ml-1 min-w-0">
          <Leaf value={value} />
        </span>
      </div>
    );
  const list = Array.isArray(value);
  const entries: [string, unknown][] = list ? value.map((v, i) => [String(i), v]) : Object.entries(value);
  const size = list ? `[${entries.length}]` : `{${entries.length}}`;
  if (entries.length === 0)
    return (
      <div className="flex pl-4">
        {label}
        <span className="ml-1 text-faint">{list ? "[]" : "{}"}</span>
      </div>
    );
  return (
    <div>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex w-full items-start rounded text-left hover:bg-idle-wash/60"
      >
        <ChevronRight className={cn("mt-0.5 size-4 shrink-0 text-faint transition-transform", open && "rotate-90")} aria-hidden="true" />
        {label}
        <span className="ml-1 text-faint">{open ? size : `${size} ${preview(value)}`}</span>
      </button>
      {open && (
        <div className="ml-[7px] border-l border-line pl-2">
          {entries.slice(0, limit).map(([key, v]) => (
            <Node key={key} name={key} value={v} depth={depth + 1} open={depth < 1 && entries.length <= 20} />
          ))}
          {entries.length > limit && (
            <button
              type="button"
              onClick={() => setLimit(limit * 5)}
              className="ml-4 rounded px-1.5 font-sans text-xs text-accent hover:underline"
            >
              {entries.length - limit} more
            </button>
          )}
        </div>
      )}
    </div>
  );
});

const preview = (value: object) => {
  const text = Array.isArray(value) ? value.slice(0, 4).map(brief).join(", ") : Object.keys(value).slice(0, 5).join(", ");
  return shown(text.length > 60 ? `${text.slice(0, 60)}…` : text);
};
const brief = (value: unknown) =>
  isTree(value) ? (Array.isArray(value) ? "[…]" : "{…}") : (numberText(value) ?? String(value).slice(0, 20));

export function JsonView({ value, label, className }: { value: unknown; label: string; className?: string }) {
  const [raw, setRaw] = useState(false);
  const text = useMemo(() => write(value), [value]);
  const tree = isTree(value);
  return (
    <div className={cn("relative rounded-lg border border-line bg-sunken/60", className)}>
      <div className="absolute top-1.5 right-1.5 flex items-center gap-1 rounded bg-sunken/90">
        {tree && (
          <button
            type="button"
            onClick={() => setRaw(!raw)}
            aria-pressed={raw}
            className="h-6 rounded px-1.5 text-xs text-soft hover:text-ink"
          >
            {raw ? "Tree" : "Text"}
          </button>
        )}
        <CopyButton text={text} label={`Copy ${label}`} />
      </div>
      {raw ? (
        <pre tabIndex={0} className="max-h-[28rem] overflow-auto p-3 pr-16 font-mono text-xs leading-relaxed break-all whitespace-pre-wrap">
          {shown(text.length > 200_000 ? `${text.slice(0, 200_000)}\n… ${bytes(text.length)} in all` : text)}
        </pre>
      ) : (
        <div
          tabIndex={0}
          role="group"
          aria-label={label}
          className="max-h-[28rem] overflow-auto py-2.5 pr-20 pl-1.5 font-mono text-xs leading-5"
        >
          <Node value={value} depth={0} open />
        </div>
      )}
    </div>
  );
}
