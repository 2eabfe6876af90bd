// The page with the form, and the handler that validates, queues and responds.
import { client } from "./functions.mjs";

const limits = { name: 100, email: 254, message: 5_000 };
const bodyBytes = 64 * 1024;

/** Returns an object of field errors, empty if the input is good. */
export function validate(input) {
  const errors = {};
  for (const [field, limit] of Object.entries(limits)) {
    const value = input[field];
    if (typeof value !== "string" || value.trim() === "") errors[field] = "Please fill this in.";
    else if (value.length > limit) errors[field] = `At most ${limit} characters.`;
  }
  if (!errors.email && !/^[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+$/.test(input.email.trim())) {
    errors.email = "This is not an e-mail address.";
  }
  if (!errors.name && /[\r\n]/.test(input.name)) errors.name = "One line, please.";
  return errors;
}

/** Serves the page and POST /contact. */
export async function form(req, res) {
  if (req.method === "GET" && req.url === "/") return html(res, 200, page());
  if (req.method !== "POST" || req.url !== "/contact") return html(res, 404, "<p>Not found.</p>");

  const asJSON = (req.headers["content-type"] ?? "").startsWith("application/json");
  const answer = (status, body) =>
    asJSON ? json(res, status, body) : html(res, status, page(body));

  let input;
  try {
    const text = await read(req);
    input = asJSON ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text));
    if (input === null || typeof input !== "object") throw new Error("not an object");
  } catch {
    return answer(400, { ok: false, errors: { form: "The form could not be read." } });
  }

  const errors = validate(input);
  if (Object.keys(errors).length > 0) return answer(400, { ok: false, errors, input });

  const data = { name: input.name.trim(), email: input.email.trim(), message: input.message };
  try {
    await client.send({ name: "contact/form.submitted", data });
  } catch (err) {
    console.error("the event was not accepted:", err);
    return answer(503, { ok: false, errors: { form: "Please try again in a minute." }, input });
  }
  return answer(200, { ok: true });
}

async function read(req) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of req) {
    bytes += chunk.length;
    if (bytes > bodyBytes) throw new Error("too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function json(res, status, body) {
  const { input, ...rest } = body;
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(rest));
}

function html(res, status, body) {
  res.writeHead(status, { "content-type": "text/html; charset=utf-8" });
  res.end(body);
}

const escape = (text) =>
  String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function page({ ok, errors = {}, input = {} } = {}) {
  const error = (field) => (errors[field] ? `<p role="alert">${escape(errors[field])}</p>` : "");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Contact</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
  label, input, textarea { display: block; width: 100%; box-sizing: border-box; font: inherit; }
  input, textarea { padding: .5rem; margin-bottom: 1rem; }
  [role=alert] { color: #b00020; margin: 0; }
</style>
<h1>Contact</h1>
${ok ? '<p role="status">Message sent!</p>' : ""}
<form method="post" action="/contact">
  ${error("form")}
  <label>Name ${error("name")}<input name="name" required value="${escape(input.name)}"></label>
  <label>E-mail ${error("email")}<input name="email" type="email" required value="${escape(input.email)}"></label>
  <label>Message ${error("message")}<textarea name="message" rows="6" required>${escape(input.message)}</textarea></label>
  <button>Send</button>
</form>
</html>`;
}
