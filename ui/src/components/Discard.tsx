import { useState } from "react";
import { Confirm, Field, inputStyle, useForgotten } from "./ui/confirm";

/** Asks why dead letters are discarded. */
export function Discard({
  open,
  onOpenChange,
  title,
  what,
  onConfirm,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  what: string;
  onConfirm: (reason: string) => Promise<unknown>;
}) {
  const [reason, setReason] = useState("");
  useForgotten(open, () => setReason(""));
  return (
    <Confirm
      open={open}
      onOpenChange={onOpenChange}
      title={title}
      action="Discard"
      danger
      disabled={reason.trim() === ""}
      onConfirm={() => onConfirm(reason)}
    >
      <p>{what} Each can still be retried on its run's page.</p>
      <Field label="Why it need not be run again" hint="kept with each dead letter">
        <input className={inputStyle} value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
      </Field>
    </Confirm>
  );
}
