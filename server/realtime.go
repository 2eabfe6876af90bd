package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/ticket"
)

// Realtime: apps publish to topics of channels, and whoever has a token for a
// topic reads it. Source: spec/07.

// Bounds of what is published and asked for.
const (
	maxPublishBody = 512 << 10
	maxTokenBody   = 64 << 10
	maxTopics      = 100     // of one request
	maxTopicName   = 512     // bytes of a channel or a topic
	maxMessageMeta = 8 << 10 // bytes of a message's metadata
	chunkBytes     = 1 << 10 // of a data stream, in one message
	// quiet is how long a body may pause that is read as it comes: longer than a step
	// thinks. A peer that is gone shows sooner, by the keep-alives of TCP.
	quiet = 24 * time.Hour
)

// topicLife is how long a token for topics can be used to connect: whoever gets
// it from an app's server connects at once, with a clock that may be wrong.
const topicLife = 5 * time.Minute

// topicIn is one of the topics that a token is asked for.
type topicIn struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
	Kind    string `json:"kind,omitzero"` // not looked at
}

// topicTokenView is a token for topics.
type topicTokenView struct {
	JWT string `json:"jwt"`
}

// topicToken makes a token for topics.
func (s *Server) topicToken(w http.ResponseWriter, r *http.Request, body []byte) {
	var in []topicIn
	if message := readLoose(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	publish := r.URL.Query().Get("publish") == "true"
	g := ticket.Grant{Publish: publish}
	if len(in) == 0 || len(in) > maxTopics {
		fail(w, http.StatusBadRequest, fmt.Sprintf(`the body must be an array of 1 to %d topics, each as {"channel":"…","name":"…"}`, maxTopics))
		return
	}
	for _, t := range in {
		if message := badTopic(t.Channel, t.Name, publish); message != "" {
			fail(w, http.StatusBadRequest, message)
			return
		}
		if of := (ticket.Topic{Channel: t.Channel, Name: t.Name}); !slices.Contains(g.Topics, of) {
			g.Topics = append(g.Topics, of)
		}
	}
	token := s.tokens.Topics(g, topicLife)
	if len(token) > ticket.MaxBytes {
		fail(w, http.StatusBadRequest, "a token for so many topics is too long for a URL; ask for several tokens")
		return
	}
	raw(w, http.StatusCreated, `{"jwt":"`+token+`"}`)
}

// badTopic says what is wrong with the name of a topic.
func badTopic(channel, name string, publish bool) string {
	switch {
	case channel == "":
		return "channel is missing"
	case name == "":
		return "a topic has no name"
	case len(channel) > maxTopicName || len(name) > maxTopicName:
		return fmt.Sprintf("names of channels and topics have at most %d bytes", maxTopicName)
	case !utf8.ValidString(channel) || !utf8.ValidString(name):
		return "names of channels and topics must be UTF-8"
	case publish && strings.HasPrefix(name, "$"):
		return "topics that begin with $ are the server's own: " + printable(name)
	}
	return ""
}

// bearer is the token in the Authorization header.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// mayPublish reports whether a request has a token with which one may publish.
func (s *Server) mayPublish(r *http.Request) bool {
	g, err := s.tokens.ReadTopics(bearer(r))
	return err == nil && g.Publish
}

// publication is what the query of a request to publish says.
type publication struct {
	message realtime.Message
	topics  []string
}

// readPublication reads and checks a query. It answers when it reports false.
func (s *Server) readPublication(w http.ResponseWriter, r *http.Request) (p publication, ok bool) {
	q := r.URL.Query()
	p.topics = slices.Compact(q["topic"])
	p.message = realtime.Message{Kind: realtime.KindData, Channel: q.Get("channel"), Run: q.Get("run_id"), At: time.Now()}
	message := ""
	switch meta := q.Get("metadata"); {
	case len(p.topics) == 0:
		message = "topic is missing; give it in the query, once for each topic"
	case len(p.topics) > maxTopics:
		message = fmt.Sprintf("there are more than %d topics", maxTopics)
	case meta == "":
	case len(meta) > maxMessageMeta:
		message = fmt.Sprintf("metadata has more than %d bytes", maxMessageMeta)
	default:
		p.message.Metadata = jsontext.Value(meta)
		if p.message.Metadata.Kind() != '{' || !compact(&p.message.Metadata) {
			message = "metadata must be a JSON object"
		}
	}
	for _, topic := range p.topics {
		if message == "" {
			message = badTopic(p.message.Channel, topic, true)
		}
	}
	if p.message.Run != "" && message == "" {
		if _, err := ulid.ParseStrict(p.message.Run); err != nil {
			message = "run_id must be the id of a run, a ULID; leave it out when there is none"
		}
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return p, false
	}
	if !s.dev && s.keys.Authorize(r.Header.Get("Authorization")) != nil {
		g, err := s.tokens.ReadTopics(bearer(r))
		for _, topic := range p.topics {
			if err != nil || !slices.Contains(g.Topics, ticket.Topic{Channel: p.message.Channel, Name: topic}) {
				fail(w, http.StatusForbidden, "the token is not one to publish to topic "+printable(topic)+" of this channel")
				return p, false
			}
		}
	}
	return p, true
}

// compact makes v one line, and reports false when it is no JSON.
func compact(v *jsontext.Value) bool {
	return utf8.Valid(*v) && v.Compact(jsontext.AllowDuplicateNames(true)) == nil
}

// publish gives a message to all who read its topics, and waits for none of them.
func (s *Server) publish(w http.ResponseWriter, r *http.Request, body []byte) {
	p, ok := s.readPublication(w, r)
	switch {
	case !ok:
		return
	case asStream(r):
		s.publishStream(w, r, p)
		return
	}
	data := jsontext.Value(body)
	if !compact(&data) {
		data = quoted(body)
	}
	p.message.Data = data
	for _, topic := range p.topics {
		p.message.Topic = topic
		s.eng.Broker().Publish(p.message)
	}
	raw(w, http.StatusOK, "{}") // the Go SDK takes no other status
}

func quoted(text []byte) jsontext.Value {
	b, _ := jsontext.AppendQuote(nil, text) // its error only says that something was replaced
	return b
}

// asStream reports whether a body is to be published as it comes.
func asStream(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/stream")
}

// publishStream publishes a body as it comes. Whatever becomes of it, those who
// read it learn of its end.
func (s *Server) publishStream(w http.ResponseWriter, r *http.Request, p publication) {
	feeds := make([]*realtime.Feed, len(p.topics))
	for i, topic := range p.topics {
		p.message.Topic, p.message.Stream = topic, strings.ToLower(rand.Text())
		feeds[i] = s.eng.Broker().Open(p.message)
	}
	defer func() {
		for _, f := range feeds {
			f.Close(time.Now())
		}
	}()
	send := func(text []byte) {
		for _, f := range feeds {
			f.Write(text)
		}
	}
	var buf [chunkBytes]byte
	n := 0
	err := s.asItComes(w, r, func(b []byte) {
		for len(b) > 0 {
			took := copy(buf[n:], b)
			n, b = n+took, b[took:]
			whole := wholeRunes(buf[:n])
			if whole > 0 {
				send(buf[:whole])
			}
			n = copy(buf[:], buf[whole:n])
		}
	})
	if n > 0 {
		send(buf[:n])
	}
	if err != nil {
		s.refuseBody(&route{refuse: fail}, w, err)
		return
	}
	raw(w, http.StatusOK, "{}")
}

// wholeRunes is how much of b can be cut off without cutting a character in two.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if c := b[len(b)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

// asItComes hands each piece of a body on as soon as it is there. Errors are
// *bodyError, or those of the connection.
func (s *Server) asItComes(w http.ResponseWriter, r *http.Request, take func([]byte)) error {
	rc := http.NewResponseController(w)
	buf := make([]byte, 16<<10)
	for {
		_ = rc.SetReadDeadline(time.Now().Add(quiet)) // recorders in tests have none
		n, err := r.Body.Read(buf)
		take(buf[:n])
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &bodyError{http.StatusRequestTimeout, "nothing came of the request body for too long"}
		default:
			return err
		}
	}
}

// tee takes what an endpoint streams while it is entered again, and passes it on
// at once. Source: spec/05 §5.1.
func (s *Server) tee(w http.ResponseWriter, r *http.Request, _ []byte) {
	channel := r.URL.Query().Get("channel")
	if message := badTopic(channel, realtime.TopicStream, false); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	rc := http.NewResponseController(w)
	t, err := s.eng.Streams().Tee(r.Context(), channel)
	switch {
	case errors.Is(err, realtime.ErrTooManyTees):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	case err != nil:
		s.failWith(w, r, err, "")
		return
	}
	defer t.Close()
	// Nothing more is expected of some: they are ended here, as SDKs leave them open.
	defer t.OnOver(func() { _ = rc.SetReadDeadline(time.Now()) })()
	err = s.asItComes(w, r, t.Write)
	if err != nil && !t.Over() {
		s.refuseBody(&route{refuse: fail}, w, err)
		return
	}
	if err != nil {
		w.Header().Set("Connection", "close")
	}
	raw(w, http.StatusOK, "{}")
}

// grant reads the token of a request to read topics. It answers when it reports false.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) (g ticket.Grant, ok bool) {
	token := r.URL.Query().Get("token")
	if token == "" {
		token = bearer(r)
	}
	message := "a token for topics is missing; give it as ?token=, or in the header Authorization: Bearer"
	if token != "" {
		var err error
		if g, err = s.tokens.ReadTopics(token); err == nil {
			return g, true
		}
		message = err.Error() + "; ask for one at POST /v1/realtime/token"
	}
	fail(w, http.StatusUnauthorized, message)
	return g, false
}

// split parts topics into the streams of runs and all others.
func split(g ticket.Grant) (streams []string, topics []realtime.Topic) {
	for _, t := range g.Topics {
		if t.Name == realtime.TopicStream {
			if !slices.Contains(streams, t.Channel) {
				streams = append(streams, t.Channel)
			}
			continue
		}
		topics = append(topics, realtime.Topic(t))
	}
	return streams, topics
}

// subscribe registers a reader. It answers when it reports false.
func (s *Server) subscribe(w http.ResponseWriter, topics []realtime.Topic) (*realtime.Subscriber, bool) {
	sub, err := s.eng.Broker().Subscribe(topics)
	if err != nil {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, err.Error())
		return nil, false
	}
	return sub, true
}
