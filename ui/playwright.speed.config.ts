import base from "./playwright.config";

// What takes how long, on a server that scripts/ui-speed has started.
export default { ...base, testDir: "./speed", timeout: 8 * 60_000, workers: 1, projects: undefined };
