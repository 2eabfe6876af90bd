import type { ComponentProps } from "react";
import { Unreachable } from "@/api/away";
import type EditJson from "./EditJson";
import { part } from "./part";
import { Failed } from "./states";
import { Dialog } from "./ui/dialog";

/** The editor of JSON, which is large, and comes when somebody edits. */
export const Editor = part<ComponentProps<typeof EditJson>>(() => import("./EditJson").then((m) => m.default), {
  away: ({ title, onClose }) => (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={title}>
      <Failed error={new Unreachable()} />
    </Dialog>
  ),
});
