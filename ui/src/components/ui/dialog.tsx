import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { cn } from "@/lib/cn";
import { Button } from "./button";

/** A dialog in the middle of the page; focus stays in it and goes back where it was. */
export function Dialog({
  open,
  onOpenChange,
  title,
  description,
  children,
  wide,
  firm,
  onEscape,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: ReactNode;
  description?: ReactNode;
  children: ReactNode;
  wide?: boolean;
  /** A click beside it does not close it. */
  firm?: boolean;
  /** What Escape does in place of closing it. */
  onEscape?: () => void;
}) {
  return (
    <Base.Root
      open={open}
      onOpenChange={(open, { reason }) => (onEscape && reason === "escape-key" ? onEscape() : onOpenChange(open))}
      disablePointerDismissal={firm}
    >
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-black/35 transition-opacity data-ending-style:opacity-0 data-starting-style:opacity-0" />
        <Base.Popup
          className={cn(
            "fixed top-[8vh] left-1/2 z-50 flex max-h-[84vh] w-[calc(100vw-1.5rem)] -translate-x-1/2 flex-col rounded-xl border border-line bg-raised shadow-pop outline-none",
            "transition-[opacity,scale] duration-150 data-ending-style:scale-98 data-ending-style:opacity-0 data-starting-style:scale-98 data-starting-style:opacity-0",
            wide ? "max-w-3xl" : "max-w-lg",
          )}
        >
          <div className="flex items-start gap-4 px-5 pt-4">
            <div className="min-w-0 flex-1">
              <Base.Title className="text-base font-semibold wrap-anywhere">{title}</Base.Title>
              {description && <Base.Description className="mt-1 text-sm text-soft wrap-anywhere">{description}</Base.Description>}
            </div>
            <Base.Close render={<Button kind="quiet" size="icon" aria-label="Close" className="-mr-2" />}>
              <X />
            </Base.Close>
          </div>
          <div className="min-h-0 overflow-y-auto px-5 pt-3 pb-5">{children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
