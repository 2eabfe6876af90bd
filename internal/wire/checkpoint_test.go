package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const checkpointBody = `{"run_id":"01JF","fn_id":"11111111-1111-4111-8111-111111111111","qi_id":"01JF.7",
"request_id":"01JG","generation_id":7,"request_started_at":1795311864775,"steps":` + checkpointOps + `,"ts":1795311864903}`

func TestParseCheckpoint(t *testing.T) {
	cp, err := ParseCheckpoint([]byte(checkpointBody))
	require.NoError(t, err)
	want, err := ParseOps([]byte(checkpointOps))
	require.NoError(t, err)
	require.Equal(t, Checkpoint{
		ItemID: "01JF.7", Generation: 7, Ops: want, RunID: "01JF", FunctionID: "11111111-1111-4111-8111-111111111111",
	}, cp)

	for name, body := range map[string]string{
		"no object":               `[]`,
		"not JSON":                `{"steps":[`,
		"two values":              `{"steps":[]} {}`,
		"a name twice":            `{"qi_id":"a","qi_id":"b"}`,
		"steps that are no ops":   `{"steps":[1]}`,
		"half a generation":       `{"generation_id":1.5}`,
		"a generation below zero": `{"generation_id":-1}`,
		"broken bytes":            "{\"qi_id\":\"\xff\"}",
	} {
		_, err := ParseCheckpoint([]byte(body))
		require.Error(t, err, name)
	}
	for name, body := range map[string]string{
		"nothing to say":                `{}`,
		"null steps":                    `{"steps":null,"generation_id":null,"qi_id":null}`,
		"a text cut inside a character": `{"steps":[{"op":"StepRun","id":"a","data":"x\ud83d"}]}`,
	} {
		_, err := ParseCheckpoint([]byte(body))
		require.NoError(t, err, name)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(checkpointBody))
	f.Add([]byte(`{"qi_id":"a.1","steps":{"op":"StepRun","id":"a"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		cp, err := ParseCheckpoint(body)
		if err == nil && (cp.Generation < 0 || len(cp.Ops) > MaxOps) {
			t.Fatalf("generation %d, %d ops", cp.Generation, len(cp.Ops))
		}
	})
}

func BenchmarkParseCheckpoint(b *testing.B) {
	body := []byte(checkpointBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCheckpoint(body); err != nil {
			b.Fatal(err)
		}
	}
}
