package tell

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Mail sends messages by a mail server.
type Mail struct {
	host    string
	from    string
	to      []string
	options []mail.Option
	tls     *tls.Config // by which the server is known
	log     *slog.Logger
}

// Limits of mail.
const (
	mailTimeout = 20 * time.Second // for one answer of the server
	mailLongest = time.Minute      // for all
	mostTo      = 20
	mostSubject = 120 // letters
)

// ErrMail means that a text does not say how mail is sent.
var ErrMail = errors.New("want a URL such as smtp://name:password@smtp.example.com:587?from=pawl@example.com&to=ann@example.com, with %2B for a + in an address")

// NewMail returns a Mail by a URL: smtp:// (STARTTLS, which has to be there; port 587) or
// smtps:// (TLS from the start; port 465), a name and a password if the server asks for
// them, the server's host and port, and as its query from, one or more to, and tls=none,
// for a server in a network of one's own that has no TLS. A host that is not public is
// reached: relays are at such. It fails with ErrMail, and says what is wrong without
// showing the URL. The log gets what one of several people could not be sent.
func NewMail(text string, log *slog.Logger) (*Mail, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.Path != "" && u.Path != "/" {
		return nil, ErrMail
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, ErrMail
	}
	m := &Mail{host: u.Hostname(), from: query.Get("from"), to: query["to"], log: log}
	m.tls = &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	if strings.Contains(m.host, ":") {
		m.host = "[" + m.host + "]" // the library puts a port behind it
	}
	port := u.Port()
	m.options = []mail.Option{mail.WithTimeout(mailTimeout)}
	plain := false
	for name, values := range query {
		switch {
		case name == "from" && len(values) == 1, name == "to":
		case name == "tls" && len(values) == 1 && values[0] == "none" && u.Scheme == "smtp":
			plain = true
		default:
			return nil, fmt.Errorf("%w: from and tls=none may be there once, to more often, and nothing else", ErrMail)
		}
	}
	switch {
	case u.Scheme == "smtps":
		port = cmp.Or(port, "465")
		m.options = append(m.options, mail.WithSSL())
	case u.Scheme == "smtp" && plain:
		port = cmp.Or(port, "25")
		m.options = append(m.options, mail.WithTLSPolicy(mail.NoTLS))
	case u.Scheme == "smtp":
		port = cmp.Or(port, "587")
		m.options = append(m.options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		return nil, fmt.Errorf("%w: it begins with smtp:// or smtps://", ErrMail)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, ErrMail
	}
	m.options = append(m.options, mail.WithPort(int(number)))
	if u.User != nil {
		password, _ := u.User.Password()
		m.options = append(m.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	if len(m.to) == 0 || len(m.to) > mostTo {
		return nil, fmt.Errorf("%w: with one to twenty to", ErrMail)
	}
	for _, to := range m.to {
		if _, err := m.compose(to, "", nil); err != nil {
			return nil, fmt.Errorf("%w: from and to are addresses", ErrMail)
		}
	}
	if _, err := m.client(); err != nil {
		return nil, ErrMail
	}
	return m, nil
}

// compose makes a mail of a message. One that is sent again has the same id, by which
// mailboxes know it.
func (m *Mail) compose(to, text string, message []byte) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(m.from); err != nil {
		return nil, err
	}
	if err := msg.To(to); err != nil {
		return nil, err
	}
	msg.Subject(subject(text))
	msg.SetDate()
	from := msg.GetFrom()[0].Address
	msg.SetMessageIDWithValue(idOf(message) + from[strings.LastIndexByte(from, '@'):])
	msg.SetBodyString(mail.TypeTextPlain, text+"\n")
	return msg, nil
}

// subject is the first thing that a message says.
func subject(text string) string {
	head, rest, more := strings.Cut(text, "\n")
	if more {
		first, _, _ := strings.Cut(rest, "\n")
		head += " " + strings.TrimPrefix(first, "• ")
	}
	if letters := []rune(head); len(letters) > mostSubject {
		head = string(letters[:mostSubject-1]) + "…"
	}
	return head
}

// Post sends a message as text, to each of those it is for. It fails when nobody got it.
func (m *Mail) Post(ctx context.Context, text string, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, mailLongest)
	defer cancel()
	var letters []*mail.Msg // one for each: a server may refuse one of those it is for
	for _, to := range m.to {
		letter, err := m.compose(to, text, message)
		if err != nil {
			return err
		}
		letters = append(letters, letter)
	}
	client, err := m.client()
	if err != nil {
		return err
	}
	// The library heeds ctx only while it dials. What goes on after it is over ends by its time-outs.
	sent := make(chan error, 1)
	go func() { sent <- client.DialAndSendWithContext(ctx, letters...) }()
	select {
	case err = <-sent:
	case <-ctx.Done():
		return fmt.Errorf("the mail server %s: %w", m.host, ctx.Err())
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the mail server %s: %w", m.host, err)
	if slices.ContainsFunc(letters, (*mail.Msg).IsDelivered) {
		// Whoever got it is not told again because of the others, or of how the server says goodbye.
		m.log.WarnContext(ctx, "a mail with alerts was not taken for all", "err", err)
		return nil
	}
	return err
}

func (m *Mail) client() (*mail.Client, error) {
	return mail.NewClient(m.host, append(slices.Clone(m.options), mail.WithTLSConfig(m.tls))...)
}

// Close does nothing: no connection is kept.
func (*Mail) Close() {}
