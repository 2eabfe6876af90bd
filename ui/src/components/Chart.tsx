import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export type Series = { label: string; color: string; values: (number | null)[]; fill?: boolean; dots?: boolean };

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Lines over time. The same numbers stand in words beside it, for those who cannot see it. */
export default function Chart({
  times,
  series,
  label,
  height = 150,
  format,
  window,
}: {
  times: number[];
  series: Series[];
  label: string;
  height?: number;
  format: (value: number) => string;
  window?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const shape = series.map((s) => s.label + s.color).join();
  const latest = useRef({ times, series, format });
  latest.current = { times, series, format };
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = () => {
      plot.current?.destroy();
      const axis = {
        stroke: css("--faint"),
        grid: { stroke: css("--line"), width: 1 },
        ticks: { show: false },
        font: "11px 'Inter Variable', sans-serif",
      };
      plot.current = new uPlot(
        {
          width: element.clientWidth || 300,
          height,
          legend: { show: false },
          cursor: { y: false, points: { size: 6 } },
          padding: [8, 6, 0, 0],
          scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(max * 1.15, 1)] } },
          axes: [
            {
              ...axis,
              size: 26,
              space: 70,
              values: (_, splits) => splits.map((t) => new Date(t * 1000).toLocaleTimeString("sv", { hour: "2-digit", minute: "2-digit" })),
            },
            { ...axis, size: 46, space: 34, values: (_, splits) => splits.map((v) => latest.current.format(v)) },
          ],
          series: [
            {},
            ...series.map((s) => ({
              label: s.label,
              stroke: css(s.color),
              width: 1.5,
              points: { show: s.dots ?? false, size: 4, fill: css(s.color) },
              fill: s.fill ? `color-mix(in srgb, ${css(s.color)} 14%, transparent)` : undefined,
              spanGaps: false,
            })),
          ],
          hooks: { setCursor: [(u) => show(u)] },
        },
        [latest.current.times, ...latest.current.series.map((s) => s.values)],
        element,
      );
    };
    const note = document.createElement("div");
    note.className =
      "pointer-events-none absolute top-0 z-10 hidden rounded-md border border-line bg-raised px-2 py-1 text-xs shadow-pop tabular";
    const show = (u: uPlot) => {
      const i = u.cursor.idx;
      if (i == null || u.cursor.left == null || u.cursor.left < 0) {
        note.style.display = "none";
        return;
      }
      const at = latest.current.times[i];
      const lines = latest.current.series
        .filter((s) => s.values[i] != null)
        .map((s) => `${s.label}: ${latest.current.format(s.values[i]!)}`);
      note.textContent = [at ? new Date(at * 1000).toLocaleTimeString("sv") : "", ...lines].join("  ·  ");
      note.style.display = "block";
      const left = u.cursor.left + 46;
      note.style.left = `${Math.min(left + 10, element.clientWidth - note.offsetWidth)}px`;
    };
    element.append(note);
    draw();
    const size = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    size.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      size.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
      note.remove();
    };
  }, [shape, height]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((s) => s.values)]);
    if (window && times.length > 0) plot.current?.setScale("x", { min: times.at(-1)! - window, max: times.at(-1)! });
  }, [times, series, window]);
  return <div ref={box} role="img" aria-label={label} className="relative min-w-0 overflow-hidden" style={{ height }} />;
}
