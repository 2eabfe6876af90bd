package expr

import (
	"fmt"
	"sync"
	"testing"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := NewCache(2)
	get := func(src string, vars Vars) *Program {
		t.Helper()
		p, err := c.Compile(src, vars)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one := get("event.a == 1", EventOnly)
	if get("event.a == 1", EventOnly) != one {
		t.Error("the second use compiled again")
	}
	if get("event.a == 1", EventAndAsync) == one {
		t.Error("two sets of variables shared a program")
	}
	get("event.a == 1", EventOnly) // now the latest used
	get("event.a == 2", EventOnly)
	if get("event.a == 1", EventOnly) != one {
		t.Error("the latest used program was dropped before an older one")
	}
	if c.Len() != 2 {
		t.Errorf("Len = %d, want 2", c.Len())
	}
	if _, err := c.Compile("event.a ==", EventOnly); err == nil || c.Len() != 2 {
		t.Errorf("a bad source gave %v and left %d programs", err, c.Len())
	}
}

func TestCacheIsSafe(t *testing.T) {
	t.Parallel()
	c := NewCache(3)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 20 {
				src := fmt.Sprintf("event.a == %d", (g+i)%5)
				p, err := c.Compile(src, EventOnly)
				if err != nil || p.String() != src {
					t.Errorf("Compile(%s) = %v, %v", src, p, err)
				}
			}
		})
	}
	all.Wait()
	if c.Len() > 3 {
		t.Errorf("Len = %d, want at most 3", c.Len())
	}
}
