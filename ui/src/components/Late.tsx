import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { useCommands } from "@/lib/keys";
import { Foot, Places } from "./Nav";
import { Help, Palette } from "./Palette";
import { Button } from "./ui/button";
import { Toasts } from "./ui/toast";

/** What lies over the page now and then. */
export default function Late() {
  return (
    <>
      <Drawer />
      <Palette />
      <Help />
      <Toasts />
    </>
  );
}

/** The places, where there is no room for them beside the page. */
function Drawer() {
  const open = useCommands((s) => s.menuOpen);
  const setOpen = (menuOpen: boolean) => useCommands.setState({ menuOpen });
  return (
    <Base.Root open={open} onOpenChange={setOpen}>
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-black/35" />
        <Base.Popup className="fixed inset-y-0 left-0 z-50 flex w-64 flex-col gap-4 border-r border-line bg-raised pt-3 outline-none">
          <div className="flex items-center gap-2.5 pr-3 pl-5 text-base font-semibold">
            <Base.Title className="flex-1">Pawl</Base.Title>
            <Base.Close render={<Button kind="quiet" size="icon" aria-label="Close" />}>
              <X />
            </Base.Close>
          </div>
          <Places onPick={() => setOpen(false)} />
          <Foot />
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
