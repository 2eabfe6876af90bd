package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/wire"
)

func sendCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "send NAME",
		Short:   "Send an event",
		Example: "pawl send order/paid --data '{\"n\": 1}'\npawl send order/paid --data @order.json\npawl send order/paid --data - < order.json",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    send,
	}
	addClientFlags(c)
	c.Flags().String("data", "{}", "Data of the event: JSON, @FILE, or - for standard input")
	c.Flags().String("id", "", "Id of the event: the same id starts a function once in 24 hours")
	c.Flags().String("event-key", "", "Key that pawl serve was given; also PAWL_EVENT_KEY or INNGEST_EVENT_KEY")
	return c
}

func send(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	cl.bearer = "" // events are sent with the key in the path
	text, _ := c.Flags().GetString("data")
	data, err := readData(text, c.InOrStdin())
	if err != nil {
		return err
	}
	if err := wire.ValidateName(list[0]); err != nil {
		return usageError{err}
	}
	id, _ := c.Flags().GetString("id")
	body, err := json.Marshal(struct {
		Name string         `json:"name"`
		ID   string         `json:"id,omitzero"`
		Data jsontext.Value `json:"data"`
	}{list[0], id, data}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	key, _ := c.Flags().GetString("event-key")
	// Several keys may be there for a server; any of them will do.
	key, _, _ = strings.Cut(or(key, os.Getenv("PAWL_EVENT_KEY"), os.Getenv("INNGEST_EVENT_KEY"), "dev"), ",")
	answer, err := cl.do(c.Context(), http.MethodPost, "/e/"+url.PathEscape(key), http.Header{"Content-Type": {"application/json"}}, body)
	var refused *apiError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return errors.New("pawl refused the event key; give the one that it was started with as --event-key or PAWL_EVENT_KEY")
	}
	if err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", answer)
		return err
	}
	var accepted struct {
		IDs []string `json:"ids"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil || len(accepted.IDs) != 1 {
		return fmt.Errorf("%s answered something else than the id of an event", cl.base)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), accepted.IDs[0])
	return err
}

// readData reads the data of an event and makes sure that it is an object.
func readData(text string, in io.Reader) (jsontext.Value, error) {
	b, from := []byte(text), "--data"
	var err error
	if text == "-" {
		from = "standard input"
		b, err = io.ReadAll(io.LimitReader(in, wire.MaxEventBytes+1))
	} else if path, ok := strings.CutPrefix(text, "@"); ok {
		from = path
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the data: %w", err)
	}
	if err := wire.CheckJSON(b); err != nil {
		return nil, usageError{fmt.Errorf("%s is not JSON: %w", from, err)}
	}
	v := jsontext.Value(b)
	if v.Kind() != '{' {
		return nil, usageError{fmt.Errorf("%s must be a JSON object, such as {\"n\": 1}", from)}
	}
	return v, nil
}
