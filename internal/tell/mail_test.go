package tell

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// office is a mail server. Only ann has a mailbox there.
type office struct {
	name, password string
	got            chan letter
}

type letter struct {
	from string
	to   []string
	text string
}

func (o *office) NewSession(*smtp.Conn) (smtp.Session, error) { return &counter{office: o}, nil }

// counter is where one client is served.
type counter struct {
	office *office
	known  bool
	letter letter
}

func (*counter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *counter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, password string) error {
		if c.known = name == c.office.name && password == c.office.password; !c.known {
			return errors.New("who is that?")
		}
		return nil
	}), nil
}

func (c *counter) Mail(from string, _ *smtp.MailOptions) error {
	if c.office.name != "" && !c.known {
		return smtp.ErrAuthRequired
	}
	c.letter.from = from
	return nil
}

func (c *counter) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !strings.HasPrefix(to, "ann") && !strings.HasPrefix(to, "bob") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	c.letter.to = append(c.letter.to, to)
	return nil
}

func (c *counter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	c.letter.text = string(text)
	c.office.got <- c.letter
	return err
}

func (c *counter) Reset()      { c.letter = letter{} }
func (*counter) Logout() error { return nil }

// opened serves mail on loopback; with TLS, by a certificate for example.com.
func opened(t *testing.T, o *office, secure *tls.Config) (address string) {
	t.Helper()
	o.got = make(chan letter, 10)
	server := smtp.NewServer(o)
	server.TLSConfig, server.AllowInsecureAuth = secure, false
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func newMail(t *testing.T, url string) *Mail {
	t.Helper()
	m, err := NewMail(url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return m
}

const text = "Pawl:\n• 10 runs of shop-pay failed for good: “Karte abgelehnt”\n  https://pawl.example.com/dead-letters/ab12"

func TestMail(t *testing.T) {
	t.Parallel()
	o := &office{}
	m := newMail(t, "smtp://"+opened(t, o, nil)+"?tls=none&from=Pawl+%3Cpawl@example.com%3E&to=ann@example.com")
	defer m.Close()
	for range 2 {
		require.NoError(t, m.Post(t.Context(), text, []byte(`{"n":1}`)))
	}
	first, again := <-o.got, <-o.got
	require.Equal(t, "pawl@example.com", first.from)
	require.Equal(t, []string{"ann@example.com"}, first.to)
	read, err := netmail.ReadMessage(strings.NewReader(first.text))
	require.NoError(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "Pawl: 10 runs of shop-pay failed for good: “Karte abgelehnt”", subject)
	require.Contains(t, first.text, "https://pawl.example.com/dead-letters/ab12")
	twice, err := netmail.ReadMessage(strings.NewReader(again.text))
	require.NoError(t, err)
	require.Regexp(t, `^<msg_[0-9a-f]{32}@example.com>$`, read.Header.Get("Message-ID"))
	require.Equal(t, read.Header.Get("Message-ID"), twice.Header.Get("Message-ID"), "a mailbox can tell")

	lost := newMail(t, "smtp://"+opened(t, &office{}, nil)+"?tls=none&from=pawl@example.com&to=nobody@example.com")
	require.ErrorContains(t, lost.Post(t.Context(), text, nil), "nobody of that name")
	all := newMail(t, "smtp://"+opened(t, o, nil)+"?tls=none&from=pawl@example.com&to=ann@example.com&to=nobody@example.com&to=bob@example.com")
	require.NoError(t, all.Post(t.Context(), text, nil), "who is gone is no reason to leave out the others")
	require.Equal(t, []string{"ann@example.com"}, (<-o.got).to)
	require.Equal(t, []string{"bob@example.com"}, (<-o.got).to)
}

// said is a mail server that answers each line as answer says; "" ends the connection.
func said(t *testing.T, network, address string, answer func(line string) string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "220 here\r\n")
				data := false
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					line := lines.Text()
					if data && line != "." {
						continue
					}
					data = line == "DATA"
					reply := answer(line)
					if reply == "" {
						return
					}
					_, _ = io.WriteString(conn, reply+"\r\n")
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func usual(line string) string {
	if line == "DATA" {
		return "354 go on"
	}
	return "250 ok"
}

// What was taken is not sent again because the server does not say goodbye.
func TestMailThatWasTakenIsTold(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"RSET", "QUIT"} {
		at := said(t, "tcp", "127.0.0.1:0", func(line string) string {
			if line == last {
				return ""
			}
			return usual(line)
		})
		m := newMail(t, "smtp://"+at+"?tls=none&from=pawl@example.com&to=ann@example.com")
		require.NoError(t, m.Post(t.Context(), text, nil), last)
	}
}

// A server that says nothing holds up no shutdown.
func TestMailEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, silent := range []string{"EHLO", "MAIL", "."} {
		ctx, cancel := context.WithCancel(t.Context())
		at := said(t, "tcp", "127.0.0.1:0", func(line string) string {
			if strings.HasPrefix(line, silent) {
				cancel()
				<-t.Context().Done()
				return ""
			}
			return usual(line)
		})
		m := newMail(t, "smtp://"+at+"?tls=none&from=pawl@example.com&to=ann@example.com")
		require.Error(t, m.Post(ctx, text, nil), silent)
	}
}

func TestMailByIPv6(t *testing.T) {
	t.Parallel()
	m := newMail(t, "smtp://"+said(t, "tcp6", "[::1]:0", usual)+"?tls=none&from=pawl@example.com&to=ann%2Balerts@example.com")
	require.NoError(t, m.Post(t.Context(), text, nil))
}

// A password is only given to a server that has shown who it is.
func TestMailIsSentInSecret(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	o := &office{name: "pawl", password: "SECRET"}
	at := opened(t, o, &tls.Config{Certificates: web.TLS.Certificates})
	to := func(password, rest string) *Mail {
		return newMail(t, "smtp://pawl:"+password+"@"+at+"?from=pawl@example.com&to=ann@example.com"+rest)
	}
	unknown := to("SECRET", "")
	err := unknown.Post(t.Context(), text, nil)
	require.ErrorContains(t, err, "certificate")
	known := func(m *Mail) *Mail {
		m.tls.RootCAs, m.tls.ServerName = roots, "example.com"
		return m
	}
	require.NoError(t, known(to("SECRET", "")).Post(t.Context(), text, nil))
	require.Equal(t, "pawl@example.com", (<-o.got).from)
	wrong := known(to("SECRET2", "")).Post(t.Context(), text, nil)
	require.Error(t, wrong)
	require.NotContains(t, wrong.Error(), "SECRET")
	require.Error(t, to("SECRET", "&tls=none").Post(t.Context(), text, nil), "not where all can read it")

	m := newMail(t, "smtp://"+opened(t, &office{}, nil)+"?from=pawl@example.com&to=ann@example.com")
	require.Error(t, m.Post(t.Context(), text, nil), "a server without TLS, where that was not said")
	require.Empty(t, o.got)

	from, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := smtp.NewServer(o)
	go func() { _ = server.Serve(tls.NewListener(from, &tls.Config{Certificates: web.TLS.Certificates})) }()
	defer server.Close()
	start := newMail(t, "smtps://pawl:SECRET@"+from.Addr().String()+"?from=pawl@example.com&to=ann@example.com")
	require.ErrorContains(t, start.Post(t.Context(), text, nil), "certificate")
	require.NoError(t, known(start).Post(t.Context(), text, nil), "TLS from the start")
	require.Equal(t, "pawl@example.com", (<-o.got).from)
}

func TestBadMail(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "smtp.example.com", "smtp://", "http://SECRET@x?from=a@x&to=b@x", "smtp://x", "smtp://x?from=a@x", "smtp://x?to=a@x", "smtp://x?from=a&to=b@x",
		"smtp://x?from=a@x&to=b@x&cc=SECRET@x", "smtp://x:SECRET@x:99999?from=a@x&to=b@x", "smtps://x?from=a@x&to=b@x&tls=none", "smtp://x?from=a@x&from=b@x&to=b@x",
		"smtp://x?from=a@x" + strings.Repeat("&to=b@x", 21), "smtp://x/SECRET?from=a@x&to=b@x", "smtp://x?from=a@x%0d%0aBcc:c@x&to=b@x", "smtp://%zz",
	} {
		_, err := NewMail(bad, slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, ErrMail, bad)
		require.NotContains(t, err.Error(), "SECRET")
	}
	require.Equal(t, "Pawl: "+strings.Repeat("ä", 113)+"…", subject("Pawl:\n• "+strings.Repeat("ä", 500)))
}
