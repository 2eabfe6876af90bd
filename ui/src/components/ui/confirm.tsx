import { type ReactNode, useLayoutEffect, useRef } from "react";
import type { Role } from "@/api/people";
import { useLacks, useOnce } from "../Act";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { tellError } from "./toast";

/** Asks before something that cannot be undone, and shows that it is being done. Who may not is told why. */
export function Confirm({
  open,
  onOpenChange,
  title,
  children,
  action,
  danger,
  disabled,
  needs = "operator",
  onConfirm,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  children: ReactNode;
  action: string;
  danger?: boolean;
  disabled?: boolean;
  needs?: Role;
  onConfirm: () => Promise<unknown>;
}) {
  const [busy, once] = useOnce();
  const why = useLacks(needs);
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title={title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void once(async () => {
            try {
              await onConfirm();
              onOpenChange(false);
            } catch (error) {
              tellError(`${action}: it did not work`, error);
            }
          });
        }}
      >
        <div className="space-y-3 text-sm text-soft">{children}</div>
        {why && (
          <p role="alert" className="mt-4 rounded-md bg-warn-wash px-3 py-2 text-sm text-warn">
            {why}
          </p>
        )}
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={() => onOpenChange(false)}>Leave it</Button>
          <Button type="submit" kind={danger ? "danger" : "main"} disabled={busy || disabled || why !== ""}>
            {busy ? "At work…" : action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Forgets what was typed into a question when it is asked anew: it may be about something else now. */
export function useForgotten(open: boolean, forget: () => void) {
  const latest = useRef(forget);
  latest.current = forget;
  useLayoutEffect(() => {
    if (open) latest.current();
  }, [open]);
}

export function Field({ label, hint, children }: { label: string; hint?: ReactNode; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children
    <label className="block">
      <span className="mb-1 block text-sm font-medium text-ink">{label}</span>
      {children}
      {hint && <span className="mt-1 block text-xs text-faint">{hint}</span>}
    </label>
  );
}

export const inputStyle =
  "h-8 w-full rounded-md border border-line-strong bg-panel px-2.5 text-sm text-ink placeholder:text-faint focus:border-accent focus:outline-none focus:ring-2 focus:ring-accent/25";
