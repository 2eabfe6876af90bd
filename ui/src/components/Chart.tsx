import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Scale } from "@/lib/scale";

export type Series = { label: string; color: string; values: (number | null)[]; fill?: boolean; dots?: boolean };

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Hatches the time before until: nothing is known of it. */
function hatch(u: uPlot, until: number) {
  const { left, top, height } = u.bbox;
  const width = Math.min(u.valToPos(until, "x", true) - left, u.bbox.width);
  if (width <= 0) return;
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.strokeStyle = css("--line-strong");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let x = left - height; x < left + width; x += 8 * devicePixelRatio) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.font = `${11 * devicePixelRatio}px 'Inter Variable', sans-serif`;
  const text = "not known";
  const wide = ctx.measureText(text).width;
  const pad = 6 * devicePixelRatio;
  if (wide + 4 * pad < width) {
    ctx.fillStyle = css("--panel");
    ctx.fillRect(left + (width - wide) / 2 - pad, top + height / 2 - 2 * pad, wide + 2 * pad, 4 * pad);
    ctx.fillStyle = css("--soft");
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(text, left + width / 2, top + height / 2);
  }
  ctx.restore();
}

/** As wide as the longest text at the axis. */
const axisSize: uPlot.Axis.Size = (u, values, i, cycle) => {
  const axis = u.axes[i] as uPlot.Axis & { _size?: number };
  if (cycle > 1 && axis._size) return axis._size; // that it converges
  u.ctx.font = `${11 * devicePixelRatio}px 'Inter Variable', sans-serif`;
  const widest = Math.max(0, ...(values ?? []).map((text) => u.ctx.measureText(text).width / devicePixelRatio));
  return Math.ceil(widest) + 14;
};

/**
 * Lines over time, as high as there is room. The same numbers stand in words beside it, for
 * those who cannot see it.
 * unknown: before that time, in seconds, nothing is known.
 */
export default function Chart({
  times,
  series,
  label,
  scale,
  unknown,
}: {
  times: number[];
  series: Series[];
  label: string;
  scale: Scale;
  unknown?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const shape = series.map((s) => s.label + s.color).join();
  const latest = useRef({ times, series, unknown });
  latest.current = { times, series, unknown };
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
          height: element.clientHeight || 150,
          legend: { show: false },
          cursor: { y: false, points: { size: 6 } },
          padding: [8, 6, 0, 0],
          scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.15, scale.least)] } },
          axes: [
            {
              ...axis,
              size: 26,
              space: 70,
              values: (_, splits) => splits.map((t) => new Date(t * 1000).toLocaleTimeString("sv", { hour: "2-digit", minute: "2-digit" })),
            },
            {
              ...axis,
              size: axisSize,
              space: (_, __, ___, ____, high) => Math.max(34, high / 8),
              incrs: scale.steps,
              values: (_, splits) => splits.map(scale.text),
            },
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
          hooks: {
            setCursor: [(u) => show(u)],
            drawClear: [(u) => latest.current.unknown && hatch(u, latest.current.unknown)],
          },
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
      const lines = latest.current.series.filter((s) => s.values[i] != null).map((s) => `${s.label}: ${scale.text(s.values[i]!)}`);
      if (lines.length === 0) lines.push(at && at <= (latest.current.unknown ?? 0) ? "not known" : "none");
      note.textContent = [at ? new Date(at * 1000).toLocaleTimeString("sv") : "", ...lines].join("  ·  ");
      note.style.display = "block";
      const left = u.cursor.left + u.bbox.left / devicePixelRatio;
      note.style.left = `${Math.min(left + 10, element.clientWidth - note.offsetWidth)}px`;
    };
    element.append(note);
    draw();
    const size = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight }));
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
  }, [shape, scale]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((s) => s.values)]);
  }, [times, series, unknown]);
  // What is drawn does not say how large the box is, or it could not become smaller.
  return (
    <div className="relative h-full min-h-38 min-w-0">
      <div ref={box} role="img" aria-label={label} className="absolute inset-0 overflow-hidden" />
    </div>
  );
}
