const apple = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** The key that makes a command of another, as it is called on the reader's keyboard. */
export const commandKey = apple ? "⌘" : "Ctrl";

/** The keys that find or do anything. */
export const findKeys = apple ? "⌘K" : "Ctrl K";
