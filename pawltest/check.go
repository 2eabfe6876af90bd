package pawltest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/internal/check"
	"github.com/pawlhq/pawl/internal/proto"
)

// What a Check looks at of each function.
const (
	checkLive    = 1000
	checkEnded   = 100
	checkTimeout = 30 * time.Second
)

// Check replays the runs that a store file has recorded against app, and fails the
// test with each thing that is different: steps whose work would be done again,
// results that cannot be read any more, live runs that would end otherwise. It is
// what the command pawl check does, without a server. No step's body runs, and the
// file is not written to; an engine may have it open, also in another process.
//
//	func TestFitsProduction(t *testing.T) {
//		pawltest.Check(t, shop.App(), "testdata/backup.db")
//	}
//
// It looks at the newest 1,000 live and 100 ended runs of each function. Functions
// between their steps run, as in each replay. accept names kinds of findings that
// are meant, such as "missing-step"; they are logged. A file without a run of the
// app fails the test.
func Check(t testing.TB, app *pawl.App, path string, accept ...string) {
	t.Helper()
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	file, err := check.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}()
	o := check.Options{
		URL: "http://in-process.invalid/api/inngest", Transport: inside{app}, App: app.Name(),
		Live: checkLive, Ended: checkEnded, Timeout: checkTimeout, AtOnce: 1,
	}
	for _, k := range accept {
		o.Accept = append(o.Accept, check.Kind(k))
	}
	r, err := check.Run(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Live+r.Ended+r.Unchecked == 0 {
		t.Fatalf("%s has no run of app %s to check against", path, app.Name())
	}
	for _, f := range r.Functions {
		for _, found := range f.Findings {
			tell := t.Errorf
			if found.Accepted {
				tell = t.Logf
			}
			tell("%s: %s: %s\nin %d live and %d ended runs, such as %s\n%s",
				f.Function, found.Kind, found.Title(), found.Live, found.Ended, found.Example, strings.ReplaceAll(found.Text(), ". ", ".\n"))
		}
		for _, u := range f.Unchecked {
			t.Errorf("%s: run %s could not be checked: %s", f.Function, u.Run, u.Why)
		}
		if f.Note != "" {
			t.Logf("%s: %s", f.Function, f.Note)
		}
	}
}

// inside hands requests to an app in this process.
type inside struct{ app http.Handler }

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	i.app.ServeHTTP(rec, proto.WithBackend(r, nowhere{}))
	return rec.Result(), nil
}

// nowhere is the server of an app that is checked: nothing is sent.
type nowhere struct{}

var errNowhere = errors.New("pawltest: nothing is sent while an app is checked")

func (nowhere) Send(context.Context, []byte) ([]string, error)         { return nil, errNowhere }
func (nowhere) Checkpoint(context.Context, proto.Checkpoint) error     { return errNowhere }
func (nowhere) State(context.Context, string) (_, _ []byte, err error) { return nil, nil, errNowhere }
func (nowhere) Signal(context.Context, string, []byte) (string, error) { return "", errNowhere }
func (nowhere) Begin(context.Context, proto.Begin) (proto.Begun, error) {
	return proto.Begun{}, errNowhere
}

func (nowhere) Report(context.Context, proto.Begun, []byte, time.Duration) error {
	return errNowhere
}
func (nowhere) Tee(context.Context, string) (io.WriteCloser, error)   { return nil, errNowhere }
func (nowhere) StreamURL(string, proto.Begun) string                  { return "" }
func (nowhere) ResultURL(string, proto.Begun) string                  { return "" }
func (nowhere) Publish(context.Context, string, string, []byte) error { return errNowhere }
func (nowhere) Invoke(_ context.Context, _ string, _ []byte, _ string) (string, error) {
	return "", errNowhere
}

func (nowhere) Run(context.Context, string, time.Duration) (proto.RunState, error) {
	return proto.RunState{}, errNowhere
}
