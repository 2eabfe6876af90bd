/** A member of data that events of a name have. */
export type Field = { path: string; types: string[]; seen: number };

export type Hint = { label: string; detail: string; empty: string };

const empties: Record<string, string> = { string: '""', object: "{}", array: "[]", boolean: "false", number: "0", null: "null" };

/**
 * The members that an object of an event's data may have, which is at that path: the
 * names on the way, with [] for what is in an array.
 */
export function hintsAt(fields: Field[], path: string[]): Hint[] {
  const start = path.length === 0 ? "" : `${path.join(".").replaceAll(".[]", "[]")}.`;
  return fields
    .filter((f) => f.path.startsWith(start) && !/[.[]/.test(f.path.slice(start.length)))
    .map((f) => ({
      label: f.path.slice(start.length),
      detail: f.types.join(" or "),
      empty: empties[f.types.find((t) => t !== "null") ?? "null"] ?? "null",
    }));
}

/** The name in an event that is being written. */
export const nameIn = (text: string): string | undefined => /"name"\s*:\s*"([^"\\]+)"/.exec(text)?.[1];
