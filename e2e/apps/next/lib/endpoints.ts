import { Inngest, NonRetriableError, referenceFunction, step } from "inngest";
import { getAsyncCtx } from "inngest/experimental";
import { endpointAdapter } from "inngest/next";
import { endpoints, withBody } from "../../ts/endpoints.mjs";
import { openLog } from "../../ts/server.mjs";

const app = "next";
export const inngest = new Inngest({ id: app, endpointAdapter });

// next build loads this file as well, and has no log.
export const log: (line: object) => void = process.env.APP_LOG ? openLog(process.env.APP_LOG) : () => {};

const handlers = endpoints({ app, log, sdk: { NonRetriableError, getAsyncCtx, referenceFunction, step } });

export const table = new Map<string, (req: Request) => Promise<Response>>();
for (const [name, handler] of Object.entries(handlers)) {
  const endpoint = inngest.endpoint(handler);
  table.set(name, name === "echo" ? withBody(endpoint) : endpoint);
}
table.set("unread", inngest.endpoint(handlers.echo));
