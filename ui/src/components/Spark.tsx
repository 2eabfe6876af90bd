import { useId } from "react";

/** A small line without axes. unknown: how many of the first values nobody knows. */
export function Spark({ values, bad, label, unknown = 0 }: { values: number[]; bad?: number[]; label: string; unknown?: number }) {
  const hatch = useId();
  const width = 120;
  const high = 28;
  const top = Math.max(1, ...values);
  const bar = width / values.length;
  return (
    <svg viewBox={`0 0 ${width} ${high}`} preserveAspectRatio="none" role="img" aria-label={label} className="h-7 w-full max-w-32">
      {unknown > 0 && (
        <>
          <pattern id={hatch} width="4" height="4" patternUnits="userSpaceOnUse">
            <path d="M0 4 4 0" className="stroke-line-strong" strokeWidth="1" />
          </pattern>
          <rect width={unknown * bar} height={high} fill={`url(#${hatch})`} />
        </>
      )}
      {values.map((value, i) => {
        const h = (value / top) * (high - 2);
        const b = ((bad?.[i] ?? 0) / top) * (high - 2);
        return (
          <g key={i}>
            {value > 0 && <rect x={i * bar} y={high - h} width={Math.max(bar - 0.5, 0.5)} height={h} className="fill-busy/60" />}
            {b > 0 && <rect x={i * bar} y={high - b} width={Math.max(bar - 0.5, 0.5)} height={Math.max(b, 2)} className="fill-bad" />}
          </g>
        );
      })}
    </svg>
  );
}
