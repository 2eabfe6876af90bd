package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/ticket"
)

const (
	pingEvery       = 20 * time.Second
	maxSocketIn     = 64 << 10 // bytes of a message from a reader
	maxSocketTopics = 1000     // of one connection
)

// connect lets a WebSocket read topics. Source: spec/07 §2.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, _ []byte) {
	g, ok := s.grant(w, r)
	if !ok {
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		fail(w, http.StatusUpgradeRequired, "this is for WebSockets; topics can be read at /v1/realtime/sse too")
		return
	}
	_, topics := split(g)
	sub, ok := s.subscribe(w, topics)
	if !ok {
		return
	}
	defer s.eng.Broker().Leave(sub)
	// The token says who may read: pages of every origin do.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow() //nolint:errcheck // it is closed already, or nobody is there
	conn.SetReadLimit(maxSocketIn)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // a connection that was taken over ends by itself
	defer cancel()
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() {
		defer cancel()
		s.listen(ctx, conn, sub)
	})
	code, reason := s.speak(ctx, conn, sub, &beside, cancel)
	if ctx.Err() == nil {
		_ = conn.Close(code, reason) // nobody is left to tell
	}
}

// speak sends what comes, and says why it ends.
func (s *Server) speak(ctx context.Context, conn *websocket.Conn, sub *realtime.Subscriber, beside *sync.WaitGroup, gone func()) (websocket.StatusCode, string) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		items, end := sub.Take()
		for _, item := range items {
			if err := put(ctx, conn, item.Text); err != nil {
				return websocket.StatusPolicyViolation, realtime.ErrSlow.Error()
			}
		}
		if end != nil && !errors.Is(end, io.EOF) {
			return websocket.StatusPolicyViolation, end.Error()
		}
		select {
		case <-sub.Ready():
		case <-ping.C:
			beside.Go(func() {
				pong, stop := context.WithTimeout(ctx, pingEvery)
				defer stop()
				if conn.Ping(pong) != nil {
					gone()
				}
			})
		case <-s.draining.Done():
			_ = put(ctx, conn, []byte(`{"kind":"closing","data":null}`))
			return websocket.StatusGoingAway, realtime.ErrEnding.Error()
		case <-ctx.Done():
			return websocket.StatusNormalClosure, ""
		}
	}
}

func put(ctx context.Context, conn *websocket.Conn, text []byte) error {
	ctx, stop := context.WithTimeout(ctx, longestPut)
	defer stop()
	return conn.Write(ctx, websocket.MessageText, text)
}

// listen takes what a reader says: which topics it wants as well, or no more.
func (s *Server) listen(ctx context.Context, conn *websocket.Conn, sub *realtime.Subscriber) {
	broker := s.eng.Broker()
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var asked struct{ Kind, Data string }
		var dropped struct {
			Kind string
			Data []topicIn
		}
		fold := json.MatchCaseInsensitiveNames(true)
		switch {
		case json.Unmarshal(text, &asked, fold) == nil && asked.Kind == "sub":
			g, err := s.tokens.ReadTopics(asked.Data)
			if _, topics := split(g); err == nil && broker.Topics(sub)+len(topics) <= maxSocketTopics {
				broker.Add(sub, topics)
			}
		case json.Unmarshal(text, &dropped, fold) == nil && dropped.Kind == "unsub":
			var g ticket.Grant
			for _, t := range dropped.Data {
				g.Topics = append(g.Topics, ticket.Topic{Channel: t.Channel, Name: t.Name})
			}
			_, topics := split(g)
			broker.Remove(sub, topics)
		}
	}
}
