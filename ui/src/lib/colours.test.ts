import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

// Text on its ground has a contrast of at least 4.5, on every ground that it can come to lie on.

const css = readFileSync("src/app.css", "utf8");

/** The colours of the rule that begins with a selector. */
function colours(selector: string): Record<string, string> {
  const from = css.indexOf(selector);
  expect(from, selector).toBeGreaterThanOrEqual(0);
  const rule = css.slice(from, css.indexOf("}", from));
  return Object.fromEntries([...rule.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1]!, m[2]!]));
}

function brightness(colour: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(a: string, b: string): number {
  const [low, high] = [brightness(a), brightness(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

for (const [scheme, selector] of Object.entries({
  light: ":root {",
  "dark by the system": ':root:not([data-theme="light"]) {',
  "dark by choice": ':root[data-theme="dark"] {',
})) {
  test(`texts can be read in ${scheme}`, () => {
    const all = colours(selector);
    const grounds = Object.keys(all).filter((name) => /^(ground|panel|raised|sunken)$|-wash$/.test(name));
    expect(grounds.length).toBe(10);
    for (const text of ["ink", "soft", "faint"])
      for (const ground of grounds) expect(contrast(all[text]!, all[ground]!), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    for (const text of ["accent", "good", "bad", "busy", "warn", "idle"])
      for (const ground of ["panel", "raised", "sunken", `${text}-wash`])
        expect(contrast(all[text]!, all[ground]!), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
  });
}
