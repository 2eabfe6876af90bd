import { useLayoutEffect, useRef } from "react";
import { useHotkeys } from "react-hotkeys-hook";
import { create } from "zustand";

// One register of all keys and commands, which also feeds the list that `?` shows and
// the palette.

export type Command = {
  id: string;
  label: string;
  /** What else it is found by, which stands beside it. */
  also?: string;
  group: string;
  keys?: string;
  run: () => void;
  /** A key that is held does it again and again. */
  repeats?: boolean;
  /** Why it cannot be done now; "" when it can. */
  off?: string;
};

export const useCommands = create<{ commands: Command[]; paletteOpen: boolean; helpOpen: boolean; menuOpen: boolean }>(() => ({
  commands: [],
  paletteOpen: false,
  helpOpen: false,
  menuOpen: false,
}));

/** Makes commands available while a component is there. Keys such as "g r" are a sequence. */
export function useCommand(list: Command[]) {
  const ids = list.map((c) => c.id + c.label + (c.keys ?? "") + (c.off ?? "")).join();
  const latest = useRef(list);
  latest.current = list;
  // From when on it can be seen, it can be used.
  useLayoutEffect(() => {
    const mine = latest.current.map((c, i) => ({ ...c, run: () => latest.current[i]?.run() }));
    useCommands.setState((s) => ({ commands: [...s.commands, ...mine] }));
    return () => useCommands.setState((s) => ({ commands: s.commands.filter((c) => !mine.includes(c)) }));
  }, [ids]);
}

/** Does what a command does, or says why not. */
export function obey(command: Command) {
  // It comes with what lies over the page.
  if (command.off)
    void import("@/components/ui/toast").then(
      ({ tellError }) => tellError(command.label, command.off),
      () => {},
    );
  else command.run();
}

const dialogOpen = () => document.querySelector("[role=dialog][data-open]") !== null;

/** The key that has begun a sequence, and when; "": none has. */
export type Prefix = { key: string; at: number };

/** For how long a sequence that was begun waits for its end, in milliseconds. */
const patience = 3000;

/**
 * What a key means, and what it begins. One that comes after the beginning of a sequence is its end
 * and nothing else: whoever types "g r" slowly, or mistypes it, has not asked for what r does alone.
 */
export function meaning<C extends { keys?: string }>(commands: C[], key: string, prefix: Prefix, now: number) {
  const begins = commands.some((c) => c.keys?.startsWith(`${key} `));
  const ends = prefix.key !== "" && now - prefix.at < patience;
  const command = commands.findLast((c) => c.keys === (ends ? `${prefix.key} ${key}` : key));
  return { command, prefix: { key: begins && !command ? key : "", at: now } };
}

const modifiers = new Set(["Shift", "CapsLock", "AltGraph"]);

/** Listens for the keys of all commands. */
export function useKeys() {
  const prefix = useRef<Prefix>({ key: "", at: 0 });
  useHotkeys("*", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        const { paletteOpen, helpOpen, menuOpen } = useCommands.getState();
        // What is there to be looked at gives way to it; a question waits for its answer.
        if (paletteOpen || helpOpen || menuOpen || !dialogOpen())
          useCommands.setState({ paletteOpen: !paletteOpen, helpOpen: false, menuOpen: false });
      }
      return;
    }
    if (useCommands.getState().paletteOpen || dialogOpen()) return;
    const { commands } = useCommands.getState();
    const key = event.key === " " ? "Space" : event.key;
    if (modifiers.has(key)) return;
    const { command, prefix: next } = meaning(commands, key, prefix.current, Date.now());
    prefix.current = next;
    if (!command) return;
    // Enter and the like belong to what has the focus.
    if (key === "Enter" && document.activeElement?.matches("a,button")) return;
    event.preventDefault();
    if (!event.repeat || command.repeats) obey(command);
  });
}
