// Starts the local mail server and the contact form in one process.
import http from "node:http";
import { serve } from "inngest/node";
import { form } from "./form.mjs";
import { client, functions } from "./functions.mjs";
import { inbox, sink } from "./sink.mjs";

const port = Number(process.env.PORT ?? 3000);
const smtpPort = Number(process.env.SMTP_PORT ?? 2525);
const inboxPort = Number(process.env.INBOX_PORT ?? 8025);

sink.listen(smtpPort, "127.0.0.1");
inbox.listen(inboxPort, "127.0.0.1");

const pawl = serve({ client, functions });
http
  .createServer((req, res) => {
    const { pathname } = new URL(req.url, "http://localhost");
    return pathname === "/api/inngest" ? pawl(req, res) : form(req, res);
  })
  .listen(port, "127.0.0.1", () => {
    console.log(`contact form  http://127.0.0.1:${port}/`);
    console.log(`mails         http://127.0.0.1:${inboxPort}/`);
  });

process.on("SIGTERM", () => process.exit(0));
