import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { appsQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { filterFor } from "@/lib/filter";
import { type Command, obey, useCommands } from "@/lib/keys";
import { commandKey } from "@/lib/platform";
import { shown } from "@/lib/text";
import { Dialog } from "./ui/dialog";

const ulid = /^[0-9A-HJKMNP-TV-Z]{26}$/i;

/** Finds and does: pages, functions, ids that are pasted, and what the page at hand can do. */
export function Palette() {
  const open = useCommands((s) => s.paletteOpen);
  const setOpen = (paletteOpen: boolean) => useCommands.setState({ paletteOpen });
  return (
    <Dialog open={open} onOpenChange={setOpen} title="Find or do" wide>
      {open && <Choices close={() => setOpen(false)} />}
    </Dialog>
  );
}

function Choices({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const commands = useCommands((s) => s.commands);
  const apps = useQuery(appsQuery);
  const navigate = useNavigate();
  const list = useRef<HTMLDivElement>(null);
  const found = useMemo(() => {
    const wanted = text.trim();
    const go = (label: string, group: string, run: () => void): Command => ({ id: group + label, label, group, run });
    const all = [...commands];
    for (const app of apps.data ?? []) {
      for (const f of app.functions)
        all.push({
          ...go(f.slug, "Function", () => void navigate({ to: "/functions/$slug", params: { slug: f.slug } })),
          label: shown(f.name || f.slug),
          also: shown(f.slug),
        });
    }
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = all.filter((c) => words.every((w) => `${c.group} ${c.label} ${c.also ?? ""}`.toLowerCase().includes(w)));
    if (ulid.test(wanted)) {
      hits.unshift(
        go(`Run ${wanted}`, "Open", () => void navigate({ to: "/runs/$run", params: { run: wanted.toUpperCase() } })),
        go(`Event ${wanted}`, "Open", () => void navigate({ to: "/events/$event", params: { event: wanted.toUpperCase() } })),
      );
    } else if (wanted) {
      hits.push(go(`Runs that match ${wanted}`, "Search", () => void navigate({ to: "/runs", search: { q: filterFor(wanted) } })));
    }
    return hits.slice(0, 50);
  }, [text, commands, apps.data, navigate]);
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.querySelector(`[data-at="${chosen}"]`)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const pick = (command: Command | undefined) => {
    if (!command || command.off) return;
    close();
    // After the dialog has given the focus back.
    setTimeout(() => obey(command), 0);
  };
  return (
    <div>
      <input
        // biome-ignore lint/a11y/noAutofocus: the dialog is there to type into
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found[chosen] ? `palette-${chosen}` : undefined}
        aria-label="Find a page, a function, a run or an event by its id, or an action"
        placeholder="A page, a function, an id, an action…"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, found.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
          else if (event.key === "Enter") pick(found[chosen]);
          else return;
          event.preventDefault();
        }}
        className="h-10 w-full border-b border-line bg-transparent text-base outline-none placeholder:text-faint"
      />
      <div ref={list} id="palette-list" role="listbox" aria-label="Choices" className="mt-2 max-h-[50vh] overflow-y-auto">
        {found.map((command, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys come by the field
          // biome-ignore lint/a11y/useFocusableInteractive: the field keeps the focus
          <div
            key={command.id}
            id={`palette-${i}`}
            data-at={i}
            role="option"
            aria-selected={i === chosen}
            aria-disabled={command.off ? true : undefined}
            onClick={() => pick(command)}
            onMouseMove={() => setAt(i)}
            className={cn("flex items-center gap-3 rounded-md px-2.5 py-1.5 text-sm", i === chosen && "bg-accent-wash text-accent")}
          >
            <span className="w-20 shrink-0 truncate text-xs text-faint">{command.group}</span>
            <span className="min-w-0 flex-1 truncate">
              <span className={command.off && "text-faint"}>{command.label}</span>
              {command.also && command.also !== command.label && <span className="ml-3 text-xs text-faint">{command.also}</span>}
              {command.off && <span className="ml-3 text-xs text-faint">{command.off}</span>}
            </span>
            {command.keys && <Keys keys={command.keys} />}
          </div>
        ))}
        {found.length === 0 && <p className="px-2.5 py-6 text-center text-sm text-soft">Nothing has that name.</p>}
      </div>
    </div>
  );
}

function Keys({ keys }: { keys: string }) {
  return (
    <span className="flex shrink-0 gap-1">
      {keys.split(" ").map((key) => (
        <kbd key={key} className="min-w-5 rounded border border-line-strong bg-sunken px-1 text-center font-sans text-xs text-soft">
          {key}
        </kbd>
      ))}
    </span>
  );
}

/** All keys that do something here. */
export function Help() {
  const { helpOpen, commands } = useCommands();
  const groups = [...new Set(commands.map((c) => c.group))];
  return (
    <Dialog open={helpOpen} onOpenChange={(open) => useCommands.setState({ helpOpen: open })} title="Keys">
      <div className="grid gap-x-8 gap-y-5 sm:grid-cols-2">
        {groups.map((group) => {
          const list = commands.filter((c) => c.group === group && c.keys);
          if (list.length === 0) return null;
          return (
            <section key={group}>
              <h3 className="mb-1.5 text-xs font-semibold text-faint">{group}</h3>
              <dl className="space-y-1.5 text-sm">
                {list.map((c) => (
                  <div key={c.id} className="flex items-center justify-between gap-3">
                    <dt>{c.label}</dt>
                    <dd>
                      <Keys keys={c.keys!} />
                    </dd>
                  </div>
                ))}
              </dl>
            </section>
          );
        })}
        <section>
          <h3 className="mb-1.5 text-xs font-semibold text-faint">Everywhere</h3>
          <dl className="space-y-1.5 text-sm">
            <div className="flex items-center justify-between gap-3">
              <dt>Find or do anything</dt>
              <dd>
                <Keys keys={`${commandKey} K`} />
              </dd>
            </div>
          </dl>
        </section>
      </div>
    </Dialog>
  );
}
