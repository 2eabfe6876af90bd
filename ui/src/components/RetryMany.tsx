import { useState } from "react";
import { retryMany } from "@/api/actions";
import { many } from "@/lib/text";
import { Confirm, Field, inputStyle } from "./ui/confirm";
import { tell } from "./ui/toast";

/** Asks how fast many dead letters are retried. */
export function RetryMany({
  open,
  onOpenChange,
  which,
  number,
  what,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  which: { fingerprint?: string; function?: string; all?: boolean };
  number: number;
  what: string;
}) {
  const [rate, setRate] = useState("10/s");
  const [first, setFirst] = useState("5");
  return (
    <Confirm
      open={open}
      onOpenChange={onOpenChange}
      title={`Retry ${many(number, "dead letter")}`}
      action="Start"
      onConfirm={async () => {
        await retryMany(which, rate, Number(first) || 0);
        tell("The bulk retry has started", { description: "Its progress stands above the list." });
      }}
    >
      <p>It retries {what}, the oldest first. Each becomes a new run.</p>
      <div className="grid gap-3 sm:grid-cols-2">
        <Field label="At most" hint="such as 10/s, 100/m or 50/h">
          <input className={inputStyle} value={rate} onChange={(event) => setRate(event.target.value)} />
        </Field>
        <Field label="First try" hint="it waits for these, and stops when most of them fail again">
          <input className={inputStyle} inputMode="numeric" value={first} onChange={(event) => setFirst(event.target.value)} />
        </Field>
      </div>
    </Confirm>
  );
}
