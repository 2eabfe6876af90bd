// Sends mail to the SMTP server of SMTP_PORT.
import nodemailer from "nodemailer";

const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(process.env.SMTP_PORT ?? 2525),
  secure: false,
  ignoreTLS: true,
  pool: true,
  maxConnections: 20,
  maxMessages: Infinity,
});

/**
 * Sends one mail. id becomes the Message-ID: it is the same however often the
 * mail is tried, so that a mail server can drop a repeat.
 */
export async function mail({ id, ...message }) {
  const { messageId } = await transport.sendMail({
    from: "Contact form <form@example.com>",
    messageId: `<${id}@contact-form.example>`,
    ...message,
  });
  return { messageId };
}
