package directory

import (
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An entry is one user, role or managed policy with its recent versions.
// Versions are guarded by the account's mutex.
type entry[T any] struct {
	id       string
	account  *Account
	versions []version[T] // by ascending time; never empty
	lastUsed atomic.Pointer[LastUse]
}

// A version is the state from a moment on. A nil value says that the entity
// was deleted.
type version[T any] struct {
	from  time.Time
	value *T
}

func (e *entry[T]) latest() *T { return e.versions[len(e.versions)-1].value }

func (e *entry[T]) at(t time.Time) *T {
	for i := len(e.versions) - 1; i >= 0; i-- {
		if v := e.versions[i]; !v.from.After(t) {
			return v.value
		}
	}
	return nil
}

// put appends a version and forgets those that were superseded before the
// horizon. A clock that went back does not reorder history.
func (e *entry[T]) put(now, horizon time.Time, value *T) {
	if n := len(e.versions); n > 0 && now.Before(e.versions[n-1].from) {
		now = e.versions[n-1].from
	}
	keep := 0
	for keep+1 < len(e.versions) && !e.versions[keep+1].from.After(horizon) {
		keep++
	}
	e.versions = append(e.versions[keep:len(e.versions):len(e.versions)], version[T]{now, value})
}

// A table finds the entries of one kind by name. Names are unique regardless
// of case among the entities that exist at any one time; a slot holds several
// entries while a deleted one is still visible to an effective view.
type table[T any] struct {
	slots map[string][]*entry[T] // lower-case name -> entries, oldest first

	orderMu sync.Mutex // readers that list the table may make order anew at the same time
	order   []string   // sorted keys of slots; nil when it must be made again
}

func (t *table[T]) lookup(name string, read func(*entry[T]) *T) (*entry[T], *T) {
	slot := t.slots[strings.ToLower(name)]
	for i := len(slot) - 1; i >= 0; i-- {
		if value := read(slot[i]); value != nil {
			return slot[i], value
		}
	}
	return nil, nil
}

func (t *table[T]) insert(name string, e *entry[T]) {
	key := strings.ToLower(name)
	if t.slots == nil {
		t.slots = make(map[string][]*entry[T])
	}
	if len(t.slots[key]) == 0 {
		t.order = nil
	}
	t.slots[key] = append(t.slots[key], e)
}

func (t *table[T]) remove(name string, e *entry[T]) {
	key := strings.ToLower(name)
	var rest []*entry[T]
	for _, other := range t.slots[key] {
		if other != e {
			rest = append(rest, other)
		}
	}
	if len(rest) > 0 {
		t.slots[key] = rest
		return
	}
	delete(t.slots, key)
	t.order = nil
}

// names returns the sorted names. Listing an account in pages sorts it once.
func (t *table[T]) names() []string {
	t.orderMu.Lock()
	defer t.orderMu.Unlock()
	if t.order == nil {
		t.order = make([]string, 0, len(t.slots))
		for name := range t.slots {
			t.order = append(t.order, name)
		}
		sort.Strings(t.order)
	}
	return t.order
}

// page returns up to limit entities whose lower-case name is greater than
// after and which keep accepts, and whether more follow.
func (t *table[T]) page(read func(*entry[T]) *T, after string, limit int, keep func(*T) bool) (values []*T, more bool) {
	names := t.names()
	start := sort.SearchStrings(names, strings.ToLower(after))
	if start < len(names) && after != "" && names[start] == strings.ToLower(after) {
		start++
	}
	for _, name := range names[start:] {
		_, value := t.lookup(name, read)
		if value == nil || !keep(value) {
			continue
		}
		if len(values) == limit {
			return values, true
		}
		values = append(values, value)
	}
	return values, false
}

func (t *table[T]) each(read func(*entry[T]) *T, f func(*T)) {
	for name := range t.slots {
		if _, value := t.lookup(name, read); value != nil {
			f(value)
		}
	}
}
