import { write } from "@/lib/json";
import { ApiError } from "./client";

// What somebody wants happens once, however often they ask before they know what became
// of it. The same request while one is under way is that one; and the same request after
// one of which nobody knows whether it arrived has the key of that one.

type Intent = { key: string; asked?: Promise<unknown> };
const intents = new Map<string, Intent>();

/** Asks the server for what, with a key that makes it happen once. */
export function once<T>(what: unknown[], ask: (key: string) => Promise<T>, newKey = uuid): Promise<T> {
  const name = write(what, 0);
  const intent: Intent = intents.get(name) ?? { key: newKey() };
  if (intent.asked) return intent.asked as Promise<T>;
  intents.set(name, intent);
  const asked = ask(intent.key).then(
    (answer) => {
      intents.delete(name);
      return answer;
    },
    (error) => {
      intent.asked = undefined;
      if (refused(error)) intents.delete(name);
      throw error;
    },
  );
  intent.asked = asked;
  return asked;
}

/** Whether the server has said that nothing was done. */
const refused = (error: unknown) => error instanceof ApiError && error.status >= 400 && error.status < 500;

// Pages that came over plain HTTP from another machine have no randomUUID.
const bytes = (n: number) => crypto.getRandomValues(new Uint8Array(n));
const uuid = () => Array.from(bytes(16), (b) => b.toString(16).padStart(2, "0")).join("");

/** A key by which the server gives an event its id: the same one, the same event. */
export const seed = () => `${Date.now()},${btoa(String.fromCharCode(...bytes(10)))}`;
