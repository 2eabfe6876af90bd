import path from "node:path";

// The handlers are shared with the other apps, so they lie outside of this one.
const root = path.resolve(import.meta.dirname, "..");

export default {
  turbopack: { root },
  outputFileTracingRoot: root,
};
