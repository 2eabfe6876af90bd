package server

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShapeOfEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.send(`{"name":"order/placed","data":{"id":1,"customer":{"name":"Ada","vip":true},"items":[{"sku":"tea"},{"sku":7,"n":1}],"a.b":1}}`)
	f.send(`{"name":"order/placed","data":{"id":"two","customer":null}}`)
	f.send(`{"name":"other","data":{"secret":1}}`)
	v := data[shapeView](t, f.get("/v1/events/shape?name=order/placed"))
	require.Equal(t, 2, v.Looked)
	require.Equal(t, []fieldView{
		{"customer", []string{"null", "object"}, 2},
		{"id", []string{"number", "string"}, 2},
		{"customer.name", []string{"string"}, 1},
		{"customer.vip", []string{"boolean"}, 1},
		{"items", []string{"array"}, 1},
		{"items[].n", []string{"number"}, 1},
		{"items[].sku", []string{"number", "string"}, 1},
	}, v.Fields)
	require.Equal(t, 3, data[shapeView](t, f.get("/v1/events/shape?name=order/placed&name=other")).Looked)
	require.Empty(t, data[shapeView](t, f.get("/v1/events/shape?name=none")).Fields)
	wantRefusal(t, f.get("/v1/events/shape"), http.StatusBadRequest)
	wantRefusal(t, f.get("/v1/events/shape?name=1&name=2&name=3&name=4&name=5&name=6"), http.StatusBadRequest)
}
