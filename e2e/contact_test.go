package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// contact is the contact form example with its mail server, and the server that
// runs its function.
type contact struct {
	*pawl
	t            *testing.T
	form, mailer string
}

// mail is one that the example's mail server accepted.
type mail struct {
	ID      string
	To      []string
	Subject string
}

func startContact(t *testing.T) *contact {
	t.Helper()
	p := newPawl(t, dev, "--durability", "full")
	argv := contactForm.command(t)
	port, smtp, inbox := freePort(t), freePort(t), freePort(t)
	c := &contact{pawl: p, t: t, form: fmt.Sprintf("http://127.0.0.1:%d", port), mailer: fmt.Sprintf("http://127.0.0.1:%d", inbox)}
	proc := startProcess(t, contactForm.name, []string{
		fmt.Sprintf("PORT=%d", port), fmt.Sprintf("SMTP_PORT=%d", smtp), fmt.Sprintf("INBOX_PORT=%d", inbox), "INNGEST_DEV=" + p.url,
	}, argv...)
	eventually(t, 30*time.Second, func() error {
		if proc.ended() {
			t.Fatalf("the example ended while starting:\n%s", proc.tail(4<<10))
		}
		res, err := httpClient.Get(c.form + "/")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
	p.argv = append(p.argv, "--app", c.form+"/api/inngest")
	p.start()
	p.awaitApp("contact-form", 1)
	return c
}

// behave tells the mail server how to behave from now on.
func (c *contact) behave(t *testing.T, how op) {
	t.Helper()
	body, err := json.Marshal(how)
	require.NoError(t, err)
	req, err := http.NewRequest("POST", c.mailer+"/behaviour", bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, do(req, nil))
}

// empty makes the mail server forget all mails, and behave as told.
func (c *contact) empty(t *testing.T, how op) {
	t.Helper()
	c.behave(t, how)
	req, err := http.NewRequest("DELETE", c.mailer+"/mails", nil)
	require.NoError(t, err)
	require.NoError(t, do(req, nil))
}

// mails returns what the mail server accepted and refused since it was emptied.
func (c *contact) mails(t *testing.T) (accepted []mail, refused int) {
	t.Helper()
	req, err := http.NewRequest("GET", c.mailer+"/mails", nil)
	require.NoError(t, err)
	var got struct {
		Mails   []mail
		Refused int
	}
	require.NoError(t, do(req, &got))
	return got.Mails, got.Refused
}

// submit fills in the form and returns the status, the field errors and how long
// the visitor waited.
func (c *contact) submit(name, email string) (status int, errors map[string]string, took time.Duration, err error) {
	body, err := json.Marshal(op{"name": name, "email": email, "message": "Hello"})
	if err != nil {
		return 0, nil, 0, err
	}
	start := time.Now()
	res, err := httpClient.Post(c.form+"/contact", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, nil, 0, err
	}
	defer res.Body.Close()
	var answer struct {
		OK     bool
		Errors map[string]string
	}
	err = decode(res.Body, &answer)
	return res.StatusCode, answer.Errors, time.Since(start), err
}

// settle waits until n runs of the function have ended, and returns them all.
func (c *contact) settle(t *testing.T, n int) []runInfo {
	t.Helper()
	p := *c.pawl
	p.t = t
	var runs []runInfo
	eventually(t, patience+time.Duration(n)*100*time.Millisecond, func() error {
		runs = p.allRuns("contact-form-form-submitted")
		ended := 0
		for _, r := range runs {
			if r.final() {
				ended++
			}
		}
		if len(runs) < n || ended < len(runs) {
			return fmt.Errorf("%d of %d runs ended, want %d", ended, len(runs), n)
		}
		return nil
	})
	require.Len(t, runs, n)
	return runs
}

// count returns how many runs have this status.
func count(runs []runInfo, status string) int {
	n := 0
	for _, r := range runs {
		if r.Status == status {
			n++
		}
	}
	return n
}

// doubled returns the Message-IDs that were accepted more than once.
func doubled(mails []mail) []string {
	seen := map[string]int{}
	var twice []string
	for _, m := range mails {
		if seen[m.ID]++; seen[m.ID] == 2 {
			twice = append(twice, m.ID)
		}
	}
	return twice
}

// TestContactForm walks through the acceptance rows of the contact form, one
// after the other on one server.
func TestContactForm(t *testing.T) {
	guard(t)
	c := startContact(t)
	runs := 0 // so far

	t.Run("F-02 bad input is refused at the door", func(t *testing.T) {
		for _, email := range []string{"", "ada", "ada@", "@example.com", "ada @example.com"} {
			status, errs, _, err := c.submit("Ada", email)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, status, email)
			require.Contains(t, errs, "email")
			require.Len(t, errs, 1)
		}
		res, err := http.PostForm(c.form+"/contact", url.Values{"name": {"Ada"}, "email": {"<script>"}})
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
		var events []json.RawMessage
		require.NoError(t, c.get("/v1/events?name=contact/form.submitted", &events))
		require.Empty(t, events)
		require.Empty(t, c.allRuns(""))
	})

	t.Run("F-04 the event starts the function by its name, whoever sends it", func(t *testing.T) {
		c.empty(t, op{})
		status, _, _, err := c.submit("Ada", "ada@example.com")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		c.send(event{Name: "contact/form.submitted", Data: op{"name": "Bob", "email": "bob@example.com", "message": "Hi"}})
		runs += 2
		require.Equal(t, runs, count(c.settle(t, runs), "Completed"))
		got, _ := c.mails(t)
		require.Len(t, got, 4)
		require.Empty(t, doubled(got))
	})

	t.Run("F-06 and F-07 three refusals of the second mail do not repeat the first", func(t *testing.T) {
		c.empty(t, op{"times": 3, "to": "eve@example.com"})
		status, _, _, err := c.submit("Eve", "eve@example.com")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		runs++
		all := c.settle(t, runs)
		require.Equal(t, runs, count(all, "Completed"))
		got, refused := c.mails(t)
		require.Equal(t, 3, refused)
		require.Len(t, got, 2)
		require.Equal(t, "Contact form: Eve", got[0].Subject)
		require.Equal(t, []string{"eve@example.com"}, got[1].To)
		i := slices.IndexFunc(all, func(r runInfo) bool { return strings.Contains(got[0].ID, r.ID) })
		require.GreaterOrEqual(t, i, 0, "no run belongs to %s", got[0].ID)
		steps := c.steps(all[i].ID)
		require.Len(t, steps, 2)
		require.Equal(t, "notify-owner", steps[0].Name)
		require.Len(t, steps[0].Attempts, 1, "attempts of the first mail")
		require.Len(t, steps[1].Attempts, 4, "attempts of the second mail")
		require.Contains(t, string(steps[1].Attempts[2].Error), "451")
	})

	t.Run("F-03 a provider that refuses for ever never reaches the visitor", func(t *testing.T) {
		c.empty(t, op{"forever": true})
		status, _, _, err := c.submit("Mallory", "mallory@example.com")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		runs++
		all := c.settle(t, runs)
		failed := slices.IndexFunc(all, func(r runInfo) bool { return r.Status == "Failed" })
		require.GreaterOrEqual(t, failed, 0, "no run failed")
		require.Equal(t, 1, count(all, "Failed"))
		require.Contains(t, all[failed].message(), "this provider is closed")
		got, refused := c.mails(t)
		require.Empty(t, got)
		require.Equal(t, 4, refused, "one try and three retries")
	})

	t.Run("F-01 the form answers while the work takes its time, and survives a crash", func(t *testing.T) {
		const visitors = 200
		c.empty(t, op{"delay": 1500})
		took := make([]time.Duration, visitors)
		failures := make([]string, visitors)
		var posts sync.WaitGroup
		for i := range visitors {
			posts.Go(func() {
				status, errs, d, err := c.submit(fmt.Sprintf("Visitor %d", i), fmt.Sprintf("v%d@example.com", i))
				if err != nil || status != http.StatusOK {
					failures[i] = fmt.Sprintf("visitor %d: %d %v %v", i, status, errs, err)
				}
				took[i] = d
			})
		}
		posts.Wait()
		c.kill() // right after the last 200
		for _, f := range failures {
			require.Empty(t, f)
		}
		slices.Sort(took)
		p50, p99 := took[visitors/2], took[visitors*99/100]
		t.Logf("the form answered %d concurrent visitors: p50 %v, p99 %v", visitors, p50, p99)
		require.Less(t, p99, 3*time.Second, "p99 of the form; the work takes 3 s")

		c.behave(t, op{})
		c.start()
		runs += visitors
		all := c.settle(t, runs)
		require.Equal(t, runs-1, count(all, "Completed"), "all but the one of F-03")
		got, _ := c.mails(t)
		confirmed := map[string]bool{}
		for _, m := range got {
			confirmed[m.To[0]] = true
		}
		for i := range visitors {
			require.Contains(t, confirmed, fmt.Sprintf("v%d@example.com", i))
		}
	})

	t.Run("F-08 one mail in twenty fails, every form is delivered or dead, none twice", func(t *testing.T) {
		forms := setting(t, "PAWL_FORMS", 300)
		c.empty(t, op{"rate": 0.05})
		before := count(c.allRuns("contact-form-form-submitted"), "Failed")
		next := make(chan int)
		var visitors sync.WaitGroup
		failures := newCounter()
		for range 20 {
			visitors.Go(func() {
				for i := range next {
					if status, _, _, err := c.submit(fmt.Sprintf("Form %d", i), fmt.Sprintf("f%d@example.com", i)); err != nil || status != 200 {
						failures.add("refused")
					}
				}
			})
		}
		for i := range forms {
			next <- i
		}
		close(next)
		visitors.Wait()
		require.Zero(t, failures.of("refused"), "forms that were not accepted")
		runs += forms
		all := c.settle(t, runs)
		dead := count(all, "Failed") - before
		got, refused := c.mails(t)
		require.Empty(t, doubled(got), "mails sent twice")
		confirmed := 0
		for _, m := range got {
			if strings.HasPrefix(m.To[0], "f") {
				confirmed++
			}
		}
		t.Logf("%d forms: %d delivered, %d dead, %d mails refused on the way", forms, confirmed, dead, refused)
		require.Equal(t, forms, confirmed+dead, "delivered and dead")
		require.LessOrEqual(t, dead, 1+forms/1000)
		require.Positive(t, refused)
	})
}
