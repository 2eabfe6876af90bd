import type { Schemas } from "@/api/client";
import { many } from "@/lib/text";

/** How many letters came, as bars: the last of them is the hour or the day that goes on. */
export function Trend({ values, unit, className }: { values: number[]; unit: "hour" | "day"; className?: string }) {
  const top = Math.max(1, ...values);
  const sum = values.reduce((a, b) => a + b, 0);
  return (
    <svg
      viewBox={`0 0 ${values.length * 4} 28`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${many(sum, "failure")} in ${values.length} ${unit}s; ${values.at(-1) ?? 0} in the last`}
      className={className}
    >
      {values.map((value, i) => {
        const high = value === 0 ? 1 : Math.max(3, (value / top) * 28);
        return (
          <rect key={i} x={i * 4} y={28 - high} width={3} height={high} className={value === 0 ? "fill-line-strong" : "fill-bad"}>
            <title>{`${value}, ${values.length - 1 - i === 0 ? `this ${unit}` : `${many(values.length - 1 - i, unit)} ago`}`}</title>
          </rect>
        );
      })}
    </svg>
  );
}

/** The trend of a group, by the hour and by the day. */
export function Trends({ trend }: { trend: Schemas["Trend"] }) {
  return (
    <div className="grid gap-5 sm:grid-cols-2">
      {(
        [
          ["hour", trend.hours, "The last two days, by the hour"],
          ["day", trend.days, "The last thirty days"],
        ] as const
      ).map(([unit, values, title]) => (
        <figure key={unit}>
          <Trend values={values} unit={unit} className="h-12 w-full" />
          <figcaption className="mt-1.5 flex justify-between gap-3 text-xs text-soft">
            <span>{title}</span>
            <span className="tabular">at most {Math.max(...values)}</span>
          </figcaption>
        </figure>
      ))}
    </div>
  );
}
