import { useState } from "react";
import { cn } from "@/lib/cn";
import type { Failure } from "@/lib/json";
import { count, shown } from "@/lib/text";
import { CopyButton } from "./layout";

// Where a line of a stack leads: of an app's own code, or of what it is built on.
const foreign = /node_modules|node:internal|node:async_hooks|\binternal\/process|site-packages|\/usr\/(local\/)?(lib|go)\//;
const place = /((?:file:\/\/)?(?:[A-Za-z]:)?[^\s()"']+?\.[a-z]{1,4}(?::\d+(?::\d+)?|", line \d+))/;

function Line({ text }: { text: string }) {
  const parts = text.split(place);
  const own = parts.length > 1 && !foreign.test(text);
  return (
    <span className={cn("block", own ? "text-ink" : "text-faint")}>
      {parts.map((part, i) =>
        i % 2 === 1 ? (
          <span key={i} className={cn(own && "font-semibold text-accent")}>
            {part}
          </span>
        ) : (
          part
        ),
      )}
    </span>
  );
}

/** What is shown at first of a message: nobody's page is only that. */
const longestMessage = 2000;

/**
 * An error as it was thrown: its type, message, and stack, with the app's own lines standing out.
 * mild: it is not the end, there are more tries.
 */
export function ErrorView({ failure, className, bare, mild }: { failure: Failure; className?: string; bare?: boolean; mild?: boolean }) {
  const stack = shown(failure.stack);
  // Most stacks begin with what was said already.
  const said = new Set(
    shown(failure.message)
      .split("\n")
      .map((line) => line.trim()),
  );
  const all = stack.split("\n").filter((line) => line.trim() !== "");
  const begin = all.findIndex(
    (line, i) => !(i === 0 && failure.message && line.includes(shown(failure.message).split("\n")[0]!)) && !said.has(line.trim()),
  );
  const lines = begin < 0 ? [] : all.slice(begin);
  const [whole, setWhole] = useState(false);
  const most = 14;
  const message = shown(failure.message);
  const [full, setFull] = useState(false);
  const hidden = full ? 0 : Math.max(0, message.length - longestMessage);
  return (
    <div
      className={cn(!bare && cn("rounded-lg border", mild ? "border-warn/30 bg-warn-wash/60" : "border-bad/30 bg-bad-wash/60"), className)}
    >
      <div className={cn("flex items-start gap-2", !bare && "p-3")}>
        <p className="min-w-0 flex-1 text-sm wrap-anywhere whitespace-pre-wrap">
          {failure.name && (
            <span className={cn("mr-1.5 font-mono text-xs font-semibold", mild ? "text-warn" : "text-bad")}>{shown(failure.name)}</span>
          )}
          <span className="text-ink">{message.slice(0, message.length - hidden) || "(no message)"}</span>
          {hidden > 0 && (
            <button type="button" onClick={() => setFull(true)} className="block text-xs text-accent hover:underline">
              {count(hidden)} more characters
            </button>
          )}
        </p>
        <CopyButton text={failure.stack || `${failure.name}: ${failure.message}`} label="Copy the error" />
      </div>
      {lines.length > 0 && (
        <div className={cn("border-t bg-panel/70", mild ? "border-warn/20" : "border-bad/20", !bare && "rounded-b-lg")}>
          <pre tabIndex={0} role="group" aria-label="Stack" data-testid="stack" className="overflow-x-auto p-3 font-mono text-xs leading-5">
            {(whole ? lines : lines.slice(0, most)).map((line, i) => (
              <Line key={i} text={line} />
            ))}
          </pre>
          {lines.length > most && !whole && (
            <button type="button" onClick={() => setWhole(true)} className="px-3 pb-2 text-xs text-accent hover:underline">
              {lines.length - most} more lines
            </button>
          )}
        </div>
      )}
      {failure.cause && (
        <div className={cn("border-t p-3", mild ? "border-warn/20" : "border-bad/20")}>
          <p className="mb-2 text-xs text-soft">Caused by</p>
          <ErrorView failure={failure.cause} bare mild={mild} />
        </div>
      )}
    </div>
  );
}
