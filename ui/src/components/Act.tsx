import { useQuery } from "@tanstack/react-query";
import { type ComponentProps, useId, useRef, useState } from "react";
import { lacks, type Role } from "@/api/people";
import { meQuery } from "@/api/queries";
import { Button } from "./ui/button";

/** Why whoever is logged in may not do something; "" when they may. */
export const useLacks = (needs: Role = "operator") => lacks(useQuery(meQuery).data, needs);

/** Whether something is being done, and a way to do it that does nothing meanwhile. */
export function useOnce(): [boolean, (work: () => unknown) => Promise<void>] {
  const [busy, setBusy] = useState(false);
  const at = useRef(false); // a second press can come before the first is drawn
  const run = async (work: () => unknown) => {
    if (at.current) return;
    at.current = true;
    setBusy(true);
    try {
      await work();
    } finally {
      at.current = false;
      setBusy(false);
    }
  };
  return [busy, run];
}

/**
 * A button by which somebody changes something, or opens what does. It does nothing for
 * who may not, and says why, and nothing while what it does is under way. The keyboard
 * reaches it nevertheless.
 */
export function Act({
  needs = "operator",
  busy,
  onClick,
  title,
  ...props
}: Omit<ComponentProps<typeof Button>, "onClick"> & { needs?: Role; busy?: boolean; onClick: () => unknown }) {
  const why = useLacks(needs);
  const [at, once] = useOnce();
  const id = useId();
  return (
    <>
      <Button
        {...props}
        title={why || title}
        aria-disabled={why !== "" || busy || at || undefined}
        aria-describedby={why ? id : undefined}
        onClick={() => {
          if (!why && !busy) void once(onClick);
        }}
      />
      {why && (
        <span id={id} hidden>
          {why}
        </span>
      )}
    </>
  );
}
