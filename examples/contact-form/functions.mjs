// The work behind the form: two mails, each a step of its own. When the second
// fails, only the second is tried again.
import { Inngest } from "inngest";
import { mail } from "./mail.mjs";

export const client = new Inngest({ id: "contact-form" });

const owner = process.env.OWNER_EMAIL ?? "owner@example.com";

const submitted = client.createFunction(
  { id: "form-submitted", name: "Contact form submitted", retries: 3, triggers: [{ event: "contact/form.submitted" }] },
  async ({ event, step, runId }) => {
    const { name, email, message } = event.data;

    await step.run("notify-owner", () =>
      mail({
        id: `${runId}.notify-owner`,
        to: owner,
        replyTo: email,
        subject: `Contact form: ${name}`,
        text: message,
      }),
    );

    await step.run("confirm-to-visitor", () =>
      mail({
        id: `${runId}.confirm-to-visitor`,
        to: email,
        subject: "We have your message",
        text: `Hello ${name},\n\nthank you for writing. We will answer soon.\n`,
      }),
    );

    return { delivered: 2 };
  },
);

export const functions = [submitted];
