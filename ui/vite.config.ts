import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.PAWL_URL ?? "http://127.0.0.1:8288";

export default defineConfig({
  // Relative to the <base> of index.html, which the server sets.
  base: "./",
  plugins: [react(), tailwindcss()],
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
