import { type Command, useCommand } from "./keys";

// The rows of a page's list are chosen by keyboard. A row is what has data-row: a link or
// a button, which opens it.

/** The keys of a list: what is moved, and what is opened. */
export const rowCommands = (move: (by: 1 | -1) => void, open: () => void): Command[] => [
  { id: "next", label: "Next row", group: "This page", keys: "j", repeats: true, run: () => move(1) },
  { id: "previous", label: "Previous row", group: "This page", keys: "k", repeats: true, run: () => move(-1) },
  { id: "open", label: "Open the row", group: "This page", keys: "Enter", run: open },
];

const rowsOf = () => [...document.querySelectorAll<HTMLElement>("#content [data-row]")];
const chosenOf = (rows: HTMLElement[]) => rows.indexOf(document.activeElement as HTMLElement);

function move(by: 1 | -1) {
  const rows = rowsOf();
  const at = chosenOf(rows);
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.scrollIntoView({ block: "nearest" });
  next?.focus({ preventScroll: true });
}

/** Makes the rows of a page go by keyboard: the one that is chosen has the focus. */
export function useRows() {
  useCommand(
    rowCommands(move, () => {
      const rows = rowsOf();
      rows[chosenOf(rows)]?.click();
    }),
  );
}
