import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { shapeQuery } from "@/api/queries";
import { hintsAt, nameIn } from "@/lib/hints";
import { parseExact, write } from "@/lib/json";
import { commandKey } from "@/lib/platform";
import { useOnce } from "./Act";
import { JsonEditor } from "./JsonEditor";
import { Button } from "./ui/button";
import { Dialog } from "./ui/dialog";

/** Lets a value be edited and does something with it. */
export default function EditJson({
  title,
  description,
  value,
  action,
  onClose,
  onSubmit,
  events,
  event,
}: {
  title: string;
  description: string;
  value: unknown;
  action: string;
  onClose: () => void;
  onSubmit: (value: unknown) => Promise<unknown>;
  /** The names of the events whose data is edited. */
  events?: string[];
  /** It is a whole event that is edited, which has its name in it. */
  event?: boolean;
}) {
  const [first] = useState(() => write(value));
  const [text, setText] = useState(first);
  // What was typed goes away by a button alone.
  const typed = text !== first;
  const [leaving, setLeaving] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, once] = useOnce();
  const named = event ? nameIn(text) : undefined;
  const shape = useQuery(shapeQuery(named ? [named] : (events ?? [])));
  const fields = shape.data?.fields ?? [];
  const hints = (path: string[]) => {
    if (!event) return hintsAt(fields, path);
    if (path.length === 0)
      return [
        { label: "name", detail: "string", empty: '""' },
        { label: "data", detail: "object", empty: "{}" },
        { label: "id", detail: "string: it happens once in a day", empty: '""' },
        { label: "ts", detail: "number: milliseconds since 1970", empty: "0" },
      ];
    return path[0] === "data" ? hintsAt(fields, path.slice(1)) : [];
  };
  const submit = async () => {
    let parsed: unknown;
    try {
      parsed = parseExact(text);
    } catch (error) {
      setProblem(`This is not JSON: ${(error as Error).message}`);
      return;
    }
    setProblem("");
    try {
      await onSubmit(parsed);
      onClose();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={title}
      description={description}
      wide
      firm={typed}
      onEscape={typed ? () => setLeaving(true) : undefined}
    >
      <JsonEditor value={text} onChange={setText} onSubmit={() => void once(submit)} label={title} hints={hints} />
      {problem && (
        <p role="alert" className="mt-3 text-sm text-bad">
          {problem}
        </p>
      )}
      {leaving && typed && !problem && (
        <p role="alert" className="mt-3 text-sm text-warn">
          What you have edited is still here. Leave it throws it away.
        </p>
      )}
      <div className="mt-4 flex items-center justify-end gap-2">
        <span className="mr-auto hidden text-xs text-faint sm:inline">
          {fields.length > 0 && "Ctrl Space: what the newest events have · "}
          {commandKey} Enter: {action.toLowerCase()}
        </span>
        <Button onClick={onClose}>Leave it</Button>
        <Button kind="main" disabled={busy} onClick={() => void once(submit)}>
          {busy ? "At work…" : action}
        </Button>
      </div>
    </Dialog>
  );
}
