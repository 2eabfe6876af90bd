import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const server = process.env.PAWL_URL ?? "http://127.0.0.1:8288";

// The fonts of the first text are asked for with the page: text is not laid out twice.
const fontsFirst: Plugin = {
  name: "fonts-first",
  transformIndexHtml: {
    order: "post",
    handler: (_, { bundle }) =>
      Object.keys(bundle ?? {})
        .filter((file) => /-latin-wght-normal-[^/]*\.woff2$/.test(file))
        .map((file) => ({
          tag: "link",
          attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `./${file}` },
          injectTo: "head" as const,
        })),
  },
};

// Nearly all of what a page begins with is called at once: Chromium compiles it while it
// still comes, and not function by function later.
const compiledAhead: Plugin = {
  name: "compiled-ahead",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      const first = new Set(Object.keys(bundle).filter((file) => (bundle[file] as { isEntry?: boolean }).isEntry));
      for (const file of first) {
        const chunk = bundle[file];
        if (chunk?.type !== "chunk") continue;
        for (const needed of chunk.imports) first.add(needed);
        chunk.code = `//# allFunctionsCalledOnLoad\n${chunk.code}`;
      }
    },
  },
};

export default defineConfig({
  // Relative to the <base> of index.html, which the server sets.
  base: "./",
  plugins: [react(), tailwindcss(), fontsFirst, compiledAhead],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: process.env.PAWL_UI_OUT ?? "../internal/webui/dist",
    emptyOutDir: true,
    sourcemap: false,
    target: "es2023",
    // The security policy allows no data: URLs but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
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
