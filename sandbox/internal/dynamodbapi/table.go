package dynamodbapi

import (
	"hash/fnv"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
)

// A table is a table with its items. Items are never changed, only replaced.
type table struct {
	place
	partition   string
	name        string
	id          string
	created     time.Time
	definitions map[string]expression.Type // of key attributes
	billing     billing
	class       string
	protected   bool
	encryption  *encryption // nil: with a key of DynamoDB's own
	tags        []directory.Tag
	policy      policy
	stream      *stream // nil: off
	expiry      expiry

	items map[string]Item // by primary key, see key.encode
	order order
	// indexes are in the order in which they were made.
	indexes []*index
}

type billing struct {
	onDemand    bool
	read, write int
}

// An index is another order of a table's items: of those that have its key.
type index struct {
	order
	name       string
	local      bool
	projection string   // ALL, KEYS_ONLY or INCLUDE
	include    []string // attributes besides the keys
	billing    billing
}

func (t *table) arn() string {
	return "arn:" + t.partition + ":dynamodb:" + t.region + ":" + string(t.account) + ":table/" + t.name
}

func (t *table) indexARN(name string) string { return t.arn() + "/index/" + name }

func (t *table) index(name string) *index {
	for _, x := range t.indexes {
		if x.name == name {
			return x
		}
	}
	return nil
}

// keys returns the names of the attributes of a key and of the table's own.
func (t *table) keys(of key) []string {
	names := t.order.key.names()
	for _, name := range of.names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// projects returns what an index keeps of items.
func (t *table) projects(x *index) *expression.Projection {
	if x.projection == "ALL" {
		return nil
	}
	return expression.ProjectNames(append(t.keys(x.key), x.include...))
}

// put replaces the item with a primary key; nil deletes it.
func (t *table) put(primary string, after Item) {
	if before, exists := t.items[primary]; exists {
		t.order.remove(primary, before)
		for _, x := range t.indexes {
			x.remove(primary, before)
		}
		delete(t.items, primary)
	}
	if after == nil {
		return
	}
	t.items[primary] = after
	t.order.insert(primary, after)
	for _, x := range t.indexes {
		x.insert(primary, after)
	}
	t.expiry.note(after)
}

// size is the size of all items, in bytes.
func (t *table) size() int {
	total := 0
	for _, i := range t.items {
		total += i.Size()
	}
	return total
}

// A key names the attributes of a key. Sort is empty if it has none.
type key struct{ partition, sort string }

func (k key) names() []string {
	if k.sort == "" {
		return []string{k.partition}
	}
	return []string{k.partition, k.sort}
}

// of returns the key attributes of an item.
func (k key) of(i Item) Item {
	out := make(Item, 2)
	for _, name := range k.names() {
		if v, ok := i[name]; ok {
			out[name] = v
		}
	}
	return out
}

// encode returns a text that only items with the same key have. The values
// are of the types of the key.
func (k key) encode(i Item) string {
	p := i[k.partition].Text
	return strconv.Itoa(len(p)) + ":" + p + i[k.sort].Text
}

// An order keeps items sorted: those of a partition together, by sort key, and
// the partitions as their hashes come.
type order struct {
	key     key
	entries []entry
}

type entry struct {
	hash    uint64
	primary string
	item    Item
}

func hashOf(v Value) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(v.Text)) // never fails
	return h.Sum64()
}

func (o *order) entry(primary string, i Item) (entry, bool) {
	for _, name := range o.key.names() {
		if _, ok := i[name]; !ok {
			return entry{}, false // a sparse index
		}
	}
	return entry{hashOf(i[o.key.partition]), primary, i}, true
}

func (o *order) compare(a, b entry) int {
	if c := o.comparePartition(a, b); c != 0 {
		return c
	}
	if o.key.sort != "" {
		if c, _ := a.item[o.key.sort].Compare(b.item[o.key.sort]); c != 0 {
			return c
		}
	}
	return strings.Compare(a.primary, b.primary)
}

func (o *order) comparePartition(a, b entry) int {
	switch {
	case a.hash < b.hash:
		return -1
	case a.hash > b.hash:
		return 1
	}
	return strings.Compare(a.item[o.key.partition].Text, b.item[o.key.partition].Text)
}

func (o *order) insert(primary string, i Item) {
	if e, ok := o.entry(primary, i); ok {
		at, _ := slices.BinarySearchFunc(o.entries, e, o.compare)
		o.entries = slices.Insert(o.entries, at, e)
	}
}

func (o *order) remove(primary string, i Item) {
	if e, ok := o.entry(primary, i); ok {
		if at, found := slices.BinarySearchFunc(o.entries, e, o.compare); found {
			o.entries = slices.Delete(o.entries, at, at+1)
		}
	}
}

// partitionOf returns the entries of one partition, by sort key.
func (o *order) partitionOf(v Value) []entry {
	e := entry{hash: hashOf(v), item: Item{o.key.partition: v}}
	from := sort.Search(len(o.entries), func(i int) bool { return o.comparePartition(o.entries[i], e) >= 0 })
	to := sort.Search(len(o.entries), func(i int) bool { return o.comparePartition(o.entries[i], e) > 0 })
	return o.entries[from:to]
}

// The limits of keys and items, in bytes.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItem      = 400 << 10
	maxPartition = 2048
	maxSort      = 1024
)

// checkKey checks what a request gives as the key of an item.
func (t *table) checkKey(k Item) error {
	names := t.order.key.names()
	if len(k) != len(names) {
		return invalid("The provided key element does not match the schema")
	}
	for _, name := range names {
		if v, ok := k[name]; !ok || v.Type != t.definitions[name] {
			return invalid("The provided key element does not match the schema")
		}
	}
	return t.checkKeyValues(k)
}

func (t *table) checkKeyValues(i Item) error {
	for n, name := range t.order.key.names() {
		v := i[name]
		size := v.Size()
		switch {
		case size == 0:
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", map[expression.Type]string{expression.String: "string", expression.Binary: "binary"}[v.Type], name)
		case n == 0 && size > maxPartition:
			return invalid("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes")
		case n == 1 && size > maxSort:
			return invalid("One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
		}
	}
	return nil
}

// checkItem checks an item that is to be put.
func (t *table) checkItem(i Item) error {
	for _, name := range t.order.key.names() {
		v, ok := i[name]
		if !ok {
			return invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		}
		if v.Type != t.definitions[name] {
			return invalid("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", name, t.definitions[name], v.Type)
		}
	}
	if err := t.checkKeyValues(i); err != nil {
		return err
	}
	return t.checkIndexed(i)
}

// checkIndexed checks the types of the attributes that are keys of indexes.
func (t *table) checkIndexed(i Item) error {
	for _, x := range t.indexes {
		for _, name := range x.key.names() {
			v, ok := i[name]
			if ok && v.Type != t.definitions[name] {
				return invalid("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, t.definitions[name], v.Type, x.name)
			}
			if ok && v.Size() == 0 {
				return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: %s, IndexKey: %s", x.name, name)
			}
		}
	}
	return nil
}

// expiry says which attribute holds when an item expires, in seconds.
type expiry struct {
	attribute string    // empty: off
	next      time.Time // no item expires before; zero if none does
}

// longAgo is how old an expiry may be; older ones are taken for mistakes.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
const longAgo = 5 * 365 * 24 * time.Hour

func (e *expiry) of(i Item) (time.Time, bool) {
	v, ok := i[e.attribute]
	if e.attribute == "" || !ok || v.Type != expression.Number {
		return time.Time{}, false
	}
	seconds, _, _ := strings.Cut(v.Text, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}

func (e *expiry) note(i Item) {
	if at, ok := e.of(i); ok && (e.next.IsZero() || at.Before(e.next)) {
		e.next = at
	}
}

// expire deletes the items whose time has come, oldest first.
func (t *table) expire(now time.Time) {
	if t.expiry.next.IsZero() || now.Before(t.expiry.next) {
		return
	}
	t.expiry.next = time.Time{}
	due := make(map[string]time.Time)
	for primary, i := range t.items {
		at, ok := t.expiry.of(i)
		switch {
		case !ok || now.Sub(at) > longAgo:
		case at.After(now):
			t.expiry.note(i)
		default:
			due[primary] = at
		}
	}
	for _, primary := range slices.SortedFunc(maps.Keys(due), func(a, b string) int {
		if c := due[a].Compare(due[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	}) {
		before := t.items[primary]
		t.put(primary, nil)
		t.stream.add(now, t.order.key, before, nil, true)
	}
}
