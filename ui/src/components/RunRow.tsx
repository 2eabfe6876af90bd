import { memo } from "react";
import type { Row } from "@/api/client";
import { cn } from "@/lib/cn";
import { useNow } from "@/lib/now";
import { detail, took } from "@/lib/runs";
import { shown } from "@/lib/text";
import { Ago } from "./layout";
import { PlainLink } from "./PlainLink";
import { chosenStyle, Glyph, inkOf, toneOf } from "./status";

/** How long a run has been at work, or was. */
export function Took({ run, className }: { run: Row; className?: string }) {
  return (
    <span className={cn("tabular whitespace-nowrap", className)}>
      {run.started_at && !run.ended_at ? <Taking run={run} /> : took(run, 0)}
    </span>
  );
}

const Taking = ({ run }: { run: Row }) => took(run, useNow());

/**
 * A run in a list.
 * plain: the function is known from what is around it; caused: the event is.
 */
export const RunRow = memo(function RunRow({
  run,
  chosen,
  index,
  plain,
  caused,
}: {
  run: Row;
  chosen?: boolean;
  index?: number;
  plain?: boolean;
  caused?: boolean;
}) {
  return (
    <PlainLink
      path={`/runs/${run.run_id}`}
      data-row={index ?? ""}
      className={cn(
        "grid h-full grid-cols-[auto_minmax(0,1fr)_auto] content-center items-center gap-x-3 px-4 py-2 text-sm",
        plain ? "md:grid-cols-[7rem_minmax(0,1fr)_5.5rem_5.5rem]" : "md:grid-cols-[7rem_minmax(0,15rem)_minmax(0,1fr)_5.5rem_5.5rem]",
        chosen ? chosenStyle : "hover:bg-sunken",
      )}
    >
      <span className={cn("flex items-center gap-1.5 font-medium", inkOf[toneOf(run.status)])}>
        <Glyph status={run.status} />
        <span className="sr-only md:not-sr-only">{run.status}</span>
      </span>
      {!plain && <span className="truncate font-medium">{shown(run.function)}</span>}
      <span
        className={cn(
          "truncate",
          !plain && "order-last col-span-2 col-start-2 md:order-none md:col-span-1 md:col-start-auto",
          run.problem ? "text-bad" : "text-soft",
        )}
      >
        {shown(caused ? (run.problem ?? "") : detail(run))}
      </span>
      <Took run={run} className="hidden text-right text-soft md:inline" />
      <Ago at={run.queued_at} className="text-right text-soft" />
    </PlainLink>
  );
});
