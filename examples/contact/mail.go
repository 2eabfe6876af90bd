package main

import (
	"cmp"
	"context"
	"net/smtp"
	"os"
)

// sendMail is a step that sends a mail by the server at SMTP, which is
// localhost:1025 unless it is set.
func sendMail(to, text string) func(context.Context) error {
	return func(context.Context) error {
		body := "To: " + to + "\r\nSubject: Your message\r\n\r\n" + text + "\r\n"
		return smtp.SendMail(cmp.Or(os.Getenv("SMTP"), "localhost:1025"), nil, "contact@example.com", []string{to}, []byte(body))
	}
}
