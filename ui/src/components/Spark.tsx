/** A small line without axes. */
export function Spark({ values, bad, label }: { values: number[]; bad?: number[]; label: string }) {
  const width = 120;
  const high = 28;
  const top = Math.max(1, ...values);
  const bar = width / values.length;
  return (
    <svg viewBox={`0 0 ${width} ${high}`} preserveAspectRatio="none" role="img" aria-label={label} className="h-7 w-full max-w-32">
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
