import { CirclePlay } from "lucide-react";
import { type ReactNode, useState } from "react";
import { resume } from "@/api/actions";
import { type Control, effectOf } from "@/lib/paused";
import { count, many, shown } from "@/lib/text";
import { Act } from "./Act";
import { Ago } from "./layout";
import { Button } from "./ui/button";
import { tell, tellError } from "./ui/toast";

/** How many paused values are shown at first, and how many more each time. */
const first = 5;
const next = 10;

const boxStyle = "mb-4 rounded-lg border border-warn/30 bg-warn-wash text-sm";
const lineStyle = "flex items-start justify-between gap-x-4 px-4 py-2.5";

/** That a function is paused as a whole, or that its app is, and a way to let it go on. */
export function PausedWhole({ control, children }: { control: Control; children: ReactNode }) {
  const name = control.name.replace(/^app\//, "");
  return (
    <div className={`${boxStyle} ${lineStyle}`}>
      <p className="min-w-0 flex-1 pt-1 wrap-anywhere">
        <strong className="font-medium text-warn">{children}</strong> <Story of={control} /> {effectOf(control)}
      </p>
      <Act size="small" aria-label={`Resume ${shown(name)}`} onClick={() => letGo(control.name)}>
        <CirclePlay /> Resume
      </Act>
    </div>
  );
}

/** The values of keys for which a function is paused, each with a way to let it go on. Of many, the newest. */
export function PausedValues({ controls }: { controls: Control[] }) {
  const [most, setMost] = useState(first);
  const more = controls.length - most;
  return (
    <section className={boxStyle} aria-label="Paused values">
      <h2 className="px-4 pt-2.5 font-normal wrap-anywhere">
        <strong className="font-medium text-warn">Paused for {many(controls.length, "value")} of a key.</strong> Runs with other values are
        not held back by that.
      </h2>
      <ul className="mt-1 divide-y divide-warn/20">
        {controls.slice(0, most).map((c) => (
          <PausedValue key={`${c.key} ${c.value} ${c.since}`} control={c} />
        ))}
      </ul>
      {more > 0 && (
        <p className="flex items-center justify-between gap-x-4 border-t border-warn/20 px-4 py-2 text-soft">
          and {count(more)} more
          <Button size="small" onClick={() => setMost(most + next)}>
            Show {Math.min(more, next)} more
          </Button>
        </p>
      )}
    </section>
  );
}

function PausedValue({ control }: { control: Control }) {
  const key = control.key ?? "";
  const value = control.value ?? ""; // a digest, where the rules of redaction hide it, which stands for it
  return (
    <li className={lineStyle}>
      <div className="min-w-0 flex-1">
        <code className="line-clamp-3 font-mono text-xs wrap-anywhere">
          {shown(key)} = {value ? shown(value) : '""'}
        </code>
        <p className="mt-0.5 text-xs wrap-anywhere text-soft">
          <Story of={control} /> {effectOf(control)}
        </p>
      </div>
      <Act
        size="small"
        aria-label={`Resume ${shown(key)} = ${shown(value).slice(0, 200)}`}
        onClick={() => letGo(control.name, { key, value })}
      >
        <CirclePlay /> Resume
      </Act>
    </li>
  );
}

const Story = ({ of: c }: { of: Control }) => (
  <>
    by {shown(c.by)} <Ago at={c.since} />
    {c.reason && `: ${shown(c.reason)}`}.
  </>
);

/** Resumes, and says so. */
export async function letGo(name: string, one?: { key: string; value: string }) {
  try {
    const note = await resume(name, one);
    tell(note ?? `${name.replace(/^app\//, "")} goes on${one ? ` for ${one.key} = ${one.value.slice(0, 200)}` : ""}`);
  } catch (error) {
    tellError("It could not be resumed", error);
  }
}
