// Writes dist/inputs.json: a hash of all that the build is made of, by which a Go
// test sees that the committed build is not older than its sources.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const out = process.env.PAWL_UI_OUT ?? join(root, "../internal/webui/dist");

const walk = (dir) =>
  readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? walk(`${dir}/${entry.name}`) : [`${dir}/${entry.name}`],
  );

const files = [
  ...walk("src"),
  "index.html",
  "scripts/first.mjs",
  "package.json",
  "package-lock.json",
  "vite.config.ts",
  "tsconfig.json",
  "../docs/openapi.json",
].sort();
const hash = createHash("sha256");
for (const file of files) {
  hash
    .update(`${file}\0`)
    .update(
      createHash("sha256")
        .update(readFileSync(join(root, file)))
        .digest("hex"),
    )
    .update("\n");
}
writeFileSync(join(out, "inputs.json"), `${JSON.stringify({ sha256: hash.digest("hex") })}\n`);
