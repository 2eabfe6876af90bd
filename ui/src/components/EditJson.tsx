import { useState } from "react";
import { parseExact, write } from "@/lib/json";
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
}: {
  title: string;
  description: string;
  value: unknown;
  action: string;
  onClose: () => void;
  onSubmit: (value: unknown) => Promise<unknown>;
}) {
  const [text, setText] = useState(() => write(value));
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    let parsed: unknown;
    try {
      parsed = parseExact(text);
    } catch (error) {
      setProblem(`This is not JSON: ${(error as Error).message}`);
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      await onSubmit(parsed);
      onClose();
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={title} description={description} wide>
      <JsonEditor value={text} onChange={setText} onSubmit={() => void submit()} label={title} />
      {problem && (
        <p role="alert" className="mt-3 text-sm text-bad">
          {problem}
        </p>
      )}
      <div className="mt-4 flex items-center justify-end gap-2">
        <span className="mr-auto hidden text-xs text-faint sm:inline">⌘ Enter or Ctrl Enter: {action.toLowerCase()}</span>
        <Button onClick={onClose}>Leave it</Button>
        <Button kind="main" disabled={busy} onClick={() => void submit()}>
          {busy ? "At work…" : action}
        </Button>
      </div>
    </Dialog>
  );
}
