package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

// TestMetadataIsTakenWhateverItIs: SDKs make an error of the user's step of a refusal.
func TestMetadataIsTakenWhateverItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/v1/runs/" + unknownRun + "/metadata"
	for _, body := range []string{
		`{"target":{"step_id":"a"},"metadata":[{"kind":"inngest.score","op":"set","values":{"quality":{"value":0.9}}}]}`,
		`{"metadata":[{"kind":"userland.x","values":{"x":"` + strings.Repeat("x", 1<<20) + `"}}]}`, `{}`, `[]`,
	} {
		w := f.post(path, body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.Empty(t, w.Body.String())
	}
	wantRefusal(t, f.post(path, `{`), http.StatusBadRequest)
	wantRefusal(t, f.post(path, strings.Repeat("[", 5000)), http.StatusBadRequest)
	wantRefusal(t, f.post(path, `"`+strings.Repeat("x", 3<<20)+`"`), http.StatusRequestEntityTooLarge)
}

// TestMetadataIsKept: what is noted by a request and by a step's report is told with the
// run, also after its end.
func TestMetadataIsKept(t *testing.T) {
	t.Parallel()
	step := wire.StepHash("a", 0)
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		return sdk(206, `[{"op":"StepRun","id":"`+step+`","name":"a","displayName":"a","data":1,"metadata":[
			{"kind":"userland.cost","scope":"step","op":"set","values":{"cents":5}},{"kind":"userland.who","scope":"run","op":"set","values":{"name":"ann"}}]},
			{"op":"RunComplete","id":"`+wire.CompleteID+`","data":"done"}]`)
	}))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	require.Equal(t, "Completed", run.Status)
	stream := followAs(t, f, "")
	_, _, _ = stream.next() // hello
	note := func(body string) {
		t.Helper()
		w := f.post("/v1/runs/"+run.RunID+"/metadata", body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	note(`{"target":{"run_id":"` + run.RunID + `"},"metadata":[{"kind":"inngest.score","op":"set","values":{"quality":{"value":0.9}}}]}`)
	note(`{"target":{"step_id":"a","step_attempt":0},"metadata":[{"kind":"userland.x","op":"set","values":{"n":1}}]}`)
	note(`{"target":{"step_id":"a"},"metadata":[{"kind":"userland.cost","op":"merge","values":{"tax":1}},{"kind":"userland.big","op":"set","values":{"x":"` + strings.Repeat("x", 70<<10) + `"}}]}`)

	_, text, _ := stream.next()
	require.Contains(t, text, `"stale":["metadata"]`)

	want := []string{`run  inngest.score {"quality":{"value":0.9}}`, `run  userland.who {"name":"ann"}`, `step ` + step + ` userland.cost {"cents":5,"tax":1}`, `step_attempt ` + step + ` userland.x {"n":1}`}
	told := func(list []noteView) (all []string) {
		for _, n := range list {
			all = append(all, n.Scope+" "+n.Step+" "+n.Kind+" "+string(n.Values))
			require.False(t, n.UpdatedAt.IsZero())
			if n.Scope == "step_attempt" {
				require.Equal(t, 1, *n.Attempt, "counted from 1, as for people")
			}
		}
		return all
	}
	require.Equal(t, want, told(data[runView](t, f.get("/v1/runs/"+run.RunID)).Metadata))
	require.Equal(t, want, told(data[stepsView](t, f.get("/v1/runs/"+run.RunID+"/steps")).Run.Metadata))
	require.Equal(t, want, told(data[linksView](t, f.get("/v1/runs/"+run.RunID+"/links")).Run.Metadata))

	tree, _ := dataV2[traceTreeV2](t, f.get("/v2/runs/"+run.RunID+"/trace"))
	kinds := func(list []noteV2) (all []string) {
		for _, n := range list {
			all = append(all, n.Scope+" "+n.Kind)
		}
		return all
	}
	require.Equal(t, []string{"run inngest.score", "run userland.who"}, kinds(tree.RootSpan.Metadata))
	for _, span := range tree.RootSpan.Children {
		if span.StepID == step {
			require.Equal(t, []string{"step userland.cost", "step_attempt userland.x"}, kinds(span.Metadata))
		}
	}
}
