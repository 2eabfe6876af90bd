// Texts that would like to be markup or script, and an app on the official SDK that puts
// them wherever an app can put a text.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";

const hack = "window.__hacked=1";

/** What each tries is in its name. Any markup of them has the class or the tag evil. */
export const corpus = {
  script: `<script class="evil">${hack}</script>`,
  close: `</script></style></title></textarea><script class="evil">${hack}</script>`,
  image: `<img class="evil" src=x onerror="${hack}">`,
  svg: `<svg class="evil" onload="${hack}"><animate onbegin="${hack}" attributeName=x dur=1s></svg>`,
  attribute: `" autofocus onfocus="${hack}" class="evil" x="' onmouseover='${hack}`,
  link: `<a class="evil" href="javascript:${hack}">click</a>`,
  url: `javascript:${hack}`,
  data: `data:text/html,<script>${hack}</script>`,
  frame: `<iframe class="evil" srcdoc="<script>parent.${hack}</script>"></iframe>`,
  refresh: `<meta class="evil" http-equiv="refresh" content="0;url=https://evil.example/">`,
  base: `<base class="evil" href="https://evil.example/">`,
  style: `<style class="evil">@import "https://evil.example/x.css"; body{display:none}</style>`,
  form: `<form class="evil" action="https://evil.example/"><button autofocus>send</button></form>`,
  markdown: `[click](javascript:${hack}) ![x](https://evil.example/x.png) <evil>**bold**</evil>`,
  template: `{{constructor.constructor('${hack}')()}} \${${hack}} <%= ${hack} %> #{${hack}}`,
  bidi: "\u202Egnp.exe\u202C \u2066hidden\u2069 \u200Erm\u200F",
  control: "\u001b[31mred\u001b[0m\u001b]8;;https://evil.example/\u0007click\u001b]8;;\u0007 \u0008\u007f\u009b31m",
  lines: "first\u2028second\u2029third\r\nfourth",
  combining: `Z${"\u0351\u036b\u0343".repeat(200)}`,
  emoji: "👩‍👩‍👧‍👦".repeat(50),
  long: `long${"x".repeat(20_000)}end`,
  words: "words ".repeat(5_000),
  formula: `=HYPERLINK("https://evil.example/","click")`,
};

/** Keys that would like to be something else than keys. */
export const keys = JSON.parse(
  '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "toString": "x", "hasOwnProperty": 1, "then": "x", "$$typeof": "x", "": "no name", "length": -1}',
);

async function start() {
  const from = createRequire(new URL("../../e2e/apps/ts4/package.json", import.meta.url));
  const load = (name) => import(pathToFileURL(from.resolve(name)));
  const { Inngest, NonRetriableError } = await load("inngest");
  const { serve } = await load("inngest/node");
  const app = new Inngest({ id: "evil" });

  const steps = app.createFunction(
    { id: "steps", name: `Steps ${corpus.image} ${corpus.bidi}`, retries: 0, triggers: [{ event: "evil/sent" }] },
    async ({ event, step }) => {
      for (const [what, text] of Object.entries(corpus))
        await step.run(`${what}: ${text}`.slice(0, 900), async () => ({ [text.slice(0, 500)]: text, ...keys }));
      await step.run("event", async () => event.data);
      await step.sendEvent("events", { name: `evil/${corpus.image}`, data: keys });
      return Object.values(corpus);
    },
  );
  const waits = app.createFunction(
    { id: "waits", name: `Waits ${corpus.script}`, triggers: [{ event: "evil/waits" }] },
    async ({ step }) => {
      await step.waitForEvent(`wait ${corpus.svg}`, {
        event: `evil/${corpus.image}`,
        timeout: "3d",
        if: `async.data.x == '<img src=x onerror=${hack}>'`,
      });
    },
  );
  // One function for each text, which fails with it.
  const failing = Object.entries(corpus).map(([what, text]) =>
    app.createFunction(
      { id: `fails-${what}`, name: text.slice(0, 2000), retries: 0, triggers: [{ event: "evil/fails" }] },
      async ({ step }) => {
        await step.run(`fail ${text.slice(0, 500)}`, async () => {
          const error = new NonRetriableError(text, { cause: new Error(`cause ${text}`) });
          error.name = text.slice(0, 200);
          error.stack = `${text}\n    at ${text.slice(0, 300)} (file:///${text.slice(0, 300)}.js:1:1)\n    at javascript:${hack} (javascript:${hack}:1:1)`;
          throw error;
        });
      },
    ),
  );
  const functions = [steps, waits, ...failing];
  createServer(serve({ client: app, functions })).listen(Number(process.env.PORT), "127.0.0.1");
}

if (argv[1] === new URL(import.meta.url).pathname) await start();
