// A mail server that delivers nothing: it keeps what it accepts in memory and
// shows it on a page. It can be slow and can refuse mails, to try what the form
// does then.
import http from "node:http";
import net from "node:net";

const mails = []; // accepted, in order: {id, to, subject, text, at}
let refused = 0;

/**
 * How the server behaves. rate: share of mails refused for now, 0 to 1. times:
 * how many mails to matching recipients are refused before they are accepted
 * again. to: part of an address that times and forever look for. forever: refuse
 * every matching mail for good. delay: milliseconds before a mail is answered.
 */
let behaviour = { rate: 0, times: 0, to: "", forever: false, delay: 0 };

function verdict(recipients) {
  const matches = recipients.some((to) => to.includes(behaviour.to));
  if (behaviour.forever && matches) return "554 5.7.1 this provider is closed";
  if (behaviour.times > 0 && matches) {
    behaviour.times--;
    return "451 4.3.0 try again later";
  }
  if (Math.random() < behaviour.rate) return "451 4.3.0 try again later";
  return "";
}

/** Returns one header of a message's head, whose long lines are folded. */
function header(head, name) {
  const found = head.replace(/\n[ \t]+/g, " ").match(new RegExp(`^${name}: *(.*)$`, "im"));
  return found ? found[1].trim() : "";
}

/** The SMTP server: RFC 5321 as far as one client needs it. */
export const sink = net.createServer((socket) => {
  let recipients = [];
  let data = null; // lines of the message while one is being read
  let rest = "";
  let busy = Promise.resolve(); // answers leave in order

  const say = (text) => {
    busy = busy.then(() => socket.write(`${text}\r\n`));
  };

  const accept = (lines) => {
    const to = recipients;
    recipients = [];
    const message = lines.map((line) => (line.startsWith(".") ? line.slice(1) : line)).join("\n");
    busy = busy
      .then(() => new Promise((done) => setTimeout(done, behaviour.delay)))
      .then(() => {
        const no = verdict(to);
        if (no) {
          refused++;
          return socket.write(`${no}\r\n`);
        }
        const split = message.indexOf("\n\n");
        const head = message.slice(0, split);
        mails.push({
          id: header(head, "Message-ID"),
          to,
          subject: header(head, "Subject"),
          text: message.slice(split + 2),
          at: Date.now(),
        });
        socket.write("250 2.0.0 kept\r\n");
      });
  };

  const command = (line) => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "EHLO") say("250-sink\r\n250 8BITMIME");
    else if (verb === "HELO" || verb === "NOOP") say("250 ok");
    else if (verb === "MAIL" || verb === "RSET") {
      recipients = [];
      say("250 ok");
    } else if (verb === "RCPT") {
      recipients.push(line.replace(/^RCPT TO:\s*<?([^>\s]*)>?.*$/i, "$1"));
      say("250 ok");
    } else if (verb === "DATA") {
      data = [];
      say("354 go on");
    } else if (verb === "QUIT") {
      say("221 bye");
      busy = busy.then(() => socket.end());
    } else say("502 5.5.2 unknown command");
  };

  say("220 sink");
  socket.setEncoding("utf8");
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    const lines = (rest + chunk).split("\r\n");
    rest = lines.pop();
    for (const line of lines) {
      if (data === null) command(line);
      else if (line === ".") {
        accept(data);
        data = null;
      } else data.push(line);
    }
  });
});

/**
 * The page with the mails. GET /mails is the same as JSON; POST /behaviour
 * changes how the server behaves; DELETE /mails forgets all mails.
 */
export const inbox = http.createServer(async (req, res) => {
  const json = (body) => {
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify(body));
  };
  if (req.method === "GET" && req.url === "/mails") return json({ mails, refused });
  if (req.method === "DELETE" && req.url === "/mails") {
    mails.length = 0;
    refused = 0;
    return json({});
  }
  if (req.method === "POST" && req.url === "/behaviour") {
    let text = "";
    for await (const chunk of req) text += chunk;
    try {
      behaviour = { rate: 0, times: 0, to: "", forever: false, delay: 0, ...JSON.parse(text) };
    } catch (err) {
      res.statusCode = 400;
      return json({ error: String(err) });
    }
    return json(behaviour);
  }
  const escape = (s) => String(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  res.setHeader("content-type", "text/html; charset=utf-8");
  res.end(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Mails</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; color-scheme: light dark; }</style>
<h1>${mails.length} mails kept, ${refused} refused</h1>
${mails
  .map((m) => `<article><h2>${escape(m.subject)}</h2><p>to ${escape(m.to.join(", "))}, ${new Date(m.at).toISOString()}</p><pre>${escape(m.text)}</pre></article>`)
  .join("\n")}
</html>`);
});
