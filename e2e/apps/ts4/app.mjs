// Every scenario on the TypeScript SDK, version 4.
import { Inngest, NonRetriableError, RetryAfterError, referenceFunction } from "inngest";
import { serve } from "inngest/node";
import { scenarios } from "../ts/functions.mjs";
import { listen, openLog } from "../ts/server.mjs";

const app = "ts4";
const client = new Inngest({ id: app });
const log = openLog(process.env.APP_LOG);
const functions = scenarios({
  app,
  cron: process.env.APP_CRON,
  log,
  sdk: { NonRetriableError, RetryAfterError, referenceFunction },
  define: (options, trigger, handler) =>
    client.createFunction({ ...options, triggers: [trigger] }, handler),
});

listen({ client, handler: serve({ client, functions }), log, port: Number(process.env.PORT) });
