import { useQuery } from "@tanstack/react-query";
import { ArrowDownLeft, ArrowUpRight, ChevronRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Schemas } from "@/api/client";
import { exchangeQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { parseExact } from "@/lib/json";
import { bytes, lasted, shown } from "@/lib/text";
import { JsonView } from "./JsonView";
import { Code } from "./layout";
import { Bones, Failed } from "./states";

/** What was sent to the app in a try, and what it answered, once somebody wants to know. */
export function Exchange({ run, n }: { run: string; n: number }) {
  const [open, setOpen] = useState(false);
  const exchange = useQuery({ ...exchangeQuery(run, n), enabled: open });
  return (
    <div>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex items-center gap-1 rounded text-xs font-medium text-accent hover:underline"
      >
        <ChevronRight className={cn("size-3.5 transition-transform", open && "rotate-90")} />
        Request and answer
      </button>
      {open &&
        (exchange.isPending ? (
          <Bones rows={2} className="pt-2" />
        ) : exchange.isError ? (
          <Failed error={exchange.error} />
        ) : (
          <Both exchange={exchange.data} />
        ))}
    </div>
  );
}

function Both({ exchange: { request, answer, took_ms } }: { exchange: Schemas["Exchange"] }) {
  return (
    <div className="mt-2 space-y-3" data-testid="exchange">
      <Side
        icon={<ArrowUpRight className="size-3.5 text-busy" />}
        title={
          <>
            {request.method} <span className="font-normal break-all">{shown(request.url)}</span>
          </>
        }
        note={
          request.body === ""
            ? undefined
            : request.exact
              ? "The body, made again from what the run knew, is what was sent, byte by byte."
              : "The body is made again from what the run knew. It is not exactly what was sent: the function has changed since."
        }
        headers={request.headers}
        body={request}
        folded
      />
      {answer ? (
        <Side
          icon={<ArrowDownLeft className={cn("size-3.5", answer.status < 400 ? "text-good" : "text-bad")} />}
          title={
            <>
              {answer.status} <span className="font-normal">{answer.status_text}</span>
              <span className="tabular font-normal text-faint"> after {lasted(took_ms)}</span>
            </>
          }
          headers={answer.headers}
          body={answer}
        />
      ) : (
        <p className="text-sm text-soft">No answer came, after {lasted(took_ms)}.</p>
      )}
    </div>
  );
}

function Side({
  icon,
  title,
  note,
  headers,
  body,
  folded,
}: {
  icon: ReactNode;
  title: ReactNode;
  note?: string;
  headers: Record<string, string>;
  body: { body: string; bytes: number; left_out?: string };
  /** The body shows when somebody wants it. */
  folded?: boolean;
}) {
  const [open, setOpen] = useState(!folded);
  const names = Object.keys(headers).sort();
  return (
    <div className="overflow-hidden rounded-lg border border-line">
      <h3 className="flex items-baseline gap-2 bg-sunken px-3 py-2 text-xs font-semibold">
        <span className="translate-y-0.5">{icon}</span>
        <span className="min-w-0">{title}</span>
      </h3>
      <dl className="grid grid-cols-[minmax(6rem,auto)_minmax(0,1fr)] gap-x-3 gap-y-0.5 px-3 py-2 font-mono text-2xs">
        {names.map((name) => (
          <div key={name} className="contents">
            <dt className="text-soft">{shown(name)}</dt>
            <dd className="break-all">{shown(headers[name]!)}</dd>
          </div>
        ))}
      </dl>
      <div className="space-y-2 border-t border-line p-3">
        {note && <p className="text-xs text-soft">{note}</p>}
        {body.left_out && <p className="text-xs text-warn">Left out: {shown(body.left_out)}.</p>}
        {body.bytes === 0 && <p className="text-xs text-faint">No body.</p>}
        {body.body !== "" &&
          (open ? (
            <Body text={body.body} size={body.bytes} />
          ) : (
            <button type="button" onClick={() => setOpen(true)} className="rounded text-xs font-medium text-accent hover:underline">
              Show the body, {bytes(body.bytes)}
            </button>
          ))}
      </div>
    </div>
  );
}

/** A body: as a tree if it is JSON. */
function Body({ text, size }: { text: string; size: number }) {
  let value: unknown;
  try {
    value = parseExact(text);
  } catch {
    return <Code className="max-h-80 overflow-y-auto">{shown(text)}</Code>;
  }
  return (
    <div>
      <JsonView value={value} label="body" />
      <p className="mt-1 text-2xs text-faint">{bytes(size)}</p>
    </div>
  );
}
