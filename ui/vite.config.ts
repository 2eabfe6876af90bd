import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { Plugin, Rolldown } from "vite";
import { defineConfig } from "vitest/config";

const server = process.env.PAWL_URL ?? "http://127.0.0.1:8288";

// The font of the first text is asked for with the page: text is not laid out twice.
const fontFirst: Plugin = {
  name: "font-first",
  transformIndexHtml: {
    order: "post",
    handler: (_, { bundle }) =>
      Object.keys(bundle ?? {})
        .filter((file) => /inter-latin-wght-normal-[^/]*\.woff2$/.test(file))
        .map((file) => ({
          tag: "link",
          attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `./${file}` },
          injectTo: "head" as const,
        })),
  },
};

/** The files that a part of the dashboard is made of. */
function needed(bundle: Rolldown.OutputBundle, part: string): string[] {
  const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
  const first = chunks.find((chunk) => chunk.moduleIds.some((id) => id.endsWith(part)));
  const files = new Set(first && [first.fileName]);
  for (const file of files) for (const other of chunks.find((chunk) => chunk.fileName === file)?.imports ?? []) files.add(other);
  return [...files];
}

// What is needed next, and on the pages of which addresses: the dashboard, and the page of a
// run. It comes when the page says so (src/first.ts), so that it is not in the way of what is
// drawn first. These are not modules to be preloaded then: those are compiled at once, and what
// Chromium has kept of compiling them before is not used.
const parts = { "": "/src/main.tsx", "runs/": "/src/pages/Run.tsx" };
const neededNext: Plugin = {
  name: "needed-next",
  transformIndexHtml: {
    order: "post",
    handler: (html, { bundle = {} }) => {
      const files = new Map<string, string>();
      for (const [address, part] of Object.entries(parts))
        for (const file of needed(bundle, part)) if (!html.includes(file) && !files.has(file)) files.set(file, address);
      return [...files].map(([file, address]) => ({
        tag: "link",
        attrs: { "data-next": address || true, as: "script", crossorigin: true, href: `./${file}` },
        injectTo: "head" as const,
      }));
    },
  },
};

export default defineConfig({
  // Relative to the <base> of index.html, which the server sets.
  base: "./",
  plugins: [react(), tailwindcss(), fontFirst, neededNext],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: process.env.PAWL_UI_OUT ?? "../internal/webui/dist",
    emptyOutDir: true,
    sourcemap: false,
    target: "es2023",
    // The security policy allows no data: URLs but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What the page begins with stays small, and the dashboard comes as one file.
    rolldownOptions: {
      output: {
        codeSplitting: {
          includeDependenciesRecursively: true,
          groups: [
            { name: "first", test: /\/src\/first\.ts$/, priority: 2 },
            { name: "main", test: /\/src\/main\.tsx$/, priority: 1 },
          ],
        },
      },
    },
  },
  server: {
    port: 5173,
    strictPort: true,
    proxy: Object.fromEntries(
      ["/v1", "/v2", "/e", "/invoke", "/fn", "/openapi.json", "/favicon.ico"].map((path) => [path, { target: server }]),
    ),
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
