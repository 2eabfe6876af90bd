// Package heap is a priority queue whose items know their place in it, so that any
// of them can be moved or taken out in the time that a push takes.
package heap

import "slices"

// Order says which of two items comes first, and is told where in the heap an item
// is: -1 when it is in it no more. It has no state of its own: its zero value is
// used.
type Order[T any] interface {
	Before(a, b T) bool
	Moved(x T, to int)
}

// Heap is a binary heap. The zero value is empty. It may not be used by several
// goroutines at once.
type Heap[T any, O Order[T]] struct{ list []T }

// Len is how many items there are.
func (h *Heap[T, O]) Len() int { return len(h.list) }

// First is the item that comes first; there must be one.
func (h *Heap[T, O]) First() T { return h.list[0] }

// All is every item, in no order. It may not be changed.
func (h *Heap[T, O]) All() []T { return h.list }

// Push adds an item.
func (h *Heap[T, O]) Push(x T) {
	h.list = append(h.list, x)
	h.up(x, len(h.list)-1)
}

// Pop takes out the item that comes first; there must be one.
func (h *Heap[T, O]) Pop() T { return h.Remove(0) }

// Remove takes out the item at a place.
func (h *Heap[T, O]) Remove(at int) T {
	var order O
	var none T
	x, end := h.list[at], len(h.list)-1
	last := h.list[end]
	h.list[end] = none // it is not held any longer
	h.list = h.list[:end]
	if at < end {
		h.place(last, at)
	}
	order.Moved(x, -1)
	return x
}

// Fix moves the item at a place, whose order has changed, to where it belongs.
func (h *Heap[T, O]) Fix(at int) { h.place(h.list[at], at) }

// Cut takes out all but the n items that compare puts first, and returns what it
// took out in that order.
func (h *Heap[T, O]) Cut(n int, compare func(a, b T) int) []T {
	var order O
	var none T
	if len(h.list) <= n {
		return nil
	}
	slices.SortFunc(h.list, compare)
	rest := slices.Clone(h.list[n:])
	for i, x := range rest {
		h.list[n+i] = none
		order.Moved(x, -1)
	}
	h.list = h.list[:n]
	// compare may know another order than the heap's.
	for i := range h.list {
		order.Moved(h.list[i], i)
	}
	for i := n/2 - 1; i >= 0; i-- {
		h.down(h.list[i], i)
	}
	return rest
}

// place puts x at a place that is free, and then where it belongs.
func (h *Heap[T, O]) place(x T, at int) {
	if h.down(x, at) == at {
		h.up(x, at)
	}
}

// up moves a free place towards the front until x may have it.
func (h *Heap[T, O]) up(x T, at int) {
	var order O
	for at > 0 {
		parent := (at - 1) / 2
		p := h.list[parent]
		if !order.Before(x, p) {
			break
		}
		h.list[at] = p
		order.Moved(p, at)
		at = parent
	}
	h.list[at] = x
	order.Moved(x, at)
}

// down moves a free place towards the end until x may have it, and returns it.
func (h *Heap[T, O]) down(x T, at int) int {
	var order O
	for {
		child := 2*at + 1
		if child >= len(h.list) {
			break
		}
		if right := child + 1; right < len(h.list) && order.Before(h.list[right], h.list[child]) {
			child = right
		}
		c := h.list[child]
		if !order.Before(c, x) {
			break
		}
		h.list[at] = c
		order.Moved(c, at)
		at = child
	}
	h.list[at] = x
	order.Moved(x, at)
	return at
}
