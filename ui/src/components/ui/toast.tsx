import { Toast } from "@base-ui/react/toast";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { cn } from "@/lib/cn";
import { Button } from "./button";

const toasts = Toast.createToastManager();

type Data = { bad?: boolean; run?: string };

/** Says what an action did, and leads to it. */
export const tell = (title: string, more: { description?: string; run?: string } = {}) =>
  toasts.add({ title, description: more.description, data: { run: more.run } satisfies Data });

export const tellError = (what: string, error: unknown) =>
  toasts.add({
    title: what,
    description: error instanceof Error ? error.message : String(error),
    timeout: 12_000,
    data: { bad: true } satisfies Data,
  });

function List() {
  const { toasts: list } = Toast.useToastManager();
  return list.map((toast) => {
    const data = toast.data as Data | undefined;
    return (
      <Toast.Root
        key={toast.id}
        toast={toast}
        className={cn(
          "pointer-events-auto flex w-full items-start gap-3 rounded-lg border bg-raised p-3 pl-4 shadow-pop transition-opacity data-ending-style:opacity-0 data-starting-style:opacity-0",
          data?.bad ? "border-bad/50" : "border-line",
        )}
      >
        <div className="min-w-0 flex-1 text-sm">
          <Toast.Title className={cn("font-medium wrap-anywhere", data?.bad && "text-bad")} />
          <Toast.Description className="mt-0.5 wrap-anywhere text-soft" />
          {data?.run && (
            <Link to="/runs/$run" params={{ run: data.run }} className="mt-1 inline-block font-medium text-accent hover:underline">
              Show the run
            </Link>
          )}
        </div>
        <Toast.Close render={<Button kind="quiet" size="smallIcon" aria-label="Dismiss" className="-my-1" />}>
          <X />
        </Toast.Close>
      </Toast.Root>
    );
  });
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={toasts} timeout={6000}>
      <Toast.Portal>
        <Toast.Viewport className="pointer-events-none fixed right-4 bottom-4 z-60 flex w-[calc(100vw-2rem)] max-w-sm flex-col gap-2">
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}
