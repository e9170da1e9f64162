package dynamodbapi

import (
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
)

// The limits of a batch: items to get or to write, and bytes of one answer.
const (
	maxBatchGet   = 100
	maxBatchWrite = 25
	maxBatchSize  = 16 << 20
)

// KeysAndAttributes are the items of one table to get.
type KeysAndAttributes struct {
	Keys                     []Item
	ProjectionExpression     *string           `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
	ConsistentRead           bool              `json:",omitempty"`
	AttributesToGet          any               `json:",omitempty"`
}

// BatchGetItemInput is the input of BatchGetItem, by table.
type BatchGetItemInput struct {
	RequestItems map[string]*KeysAndAttributes
	metrics
}

// BatchGetItemOutput has the items that exist, by table as the request names
// it, and what did not fit.
type BatchGetItemOutput struct {
	Responses       map[string][]Item
	UnprocessedKeys map[string]*KeysAndAttributes
}

// BatchGetItem gets items of several tables.
func (s *Service) BatchGetItem(c *authz.Call, in *BatchGetItemInput) (*BatchGetItemOutput, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	total := 0
	for _, keys := range in.RequestItems {
		if keys == nil || len(keys.Keys) == 0 {
			return nil, invalid("1 validation error detected: Value at 'requestItems.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1")
		}
		if keys.AttributesToGet != nil {
			return nil, legacy{AttributesToGet: keys.AttributesToGet}.refused()
		}
		total += len(keys.Keys)
	}
	if total == 0 || total > maxBatchGet {
		return nil, invalid("Too many items requested for the BatchGetItem call, or none: a request has 1 to %d keys", maxBatchGet)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &BatchGetItemOutput{Responses: make(map[string][]Item), UnprocessedKeys: make(map[string]*KeysAndAttributes)}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		if err := s.getAll(c, name, in.RequestItems[name], out, &size); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) getAll(c *authz.Call, name string, in *KeysAndAttributes, out *BatchGetItemOutput, size *int) error {
	projection, err := readProjection(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return err
	}
	t, err := s.find(c, reference{table: name, action: "BatchGetItem", use: func(t *table) use {
		return use{leading: t.leadingValues(in.Keys), attributes: projectedWith(in.Keys[0], projection), selects: selects(projection)}
	}})
	if err != nil {
		return err
	}
	if err := s.unlock(c, t.encryption); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, k := range in.Keys {
		if err := t.checkKey(k); err != nil {
			return err
		}
		if primary := t.order.key.encode(k); seen[primary] {
			return invalid("Provided list of item keys contains duplicates")
		} else {
			seen[primary] = true
		}
	}
	out.Responses[name] = []Item{}
	for n, k := range in.Keys {
		item, ok := t.items[t.order.key.encode(k)]
		if !ok {
			continue
		}
		if *size += item.Size(); *size > maxBatchSize {
			rest := *in
			rest.Keys = in.Keys[n:]
			out.UnprocessedKeys[name] = &rest
			break
		}
		out.Responses[name] = append(out.Responses[name], projection.Apply(item))
	}
	return nil
}

// leadingValues returns the partition keys of items. The table may be nil.
func (t *table) leadingValues(items []Item) []Value {
	if t == nil {
		return nil
	}
	var values []Value
	for _, i := range items {
		if v, ok := i[t.order.key.partition]; ok && !slices.ContainsFunc(values, v.Equal) {
			values = append(values, v)
		}
	}
	return values
}

// A WriteRequest puts an item or deletes one.
type WriteRequest struct {
	PutRequest    *struct{ Item Item }
	DeleteRequest *struct{ Key Item }
}

// BatchWriteItemInput is the input of BatchWriteItem, by table.
type BatchWriteItemInput struct {
	RequestItems map[string][]WriteRequest
	metrics
}

// BatchWriteItemOutput has what was not written, which is nothing.
type BatchWriteItemOutput struct {
	UnprocessedItems map[string][]WriteRequest
}

// BatchWriteItem puts and deletes items of several tables. All are checked
// before the first is written.
func (s *Service) BatchWriteItem(c *authz.Call, in *BatchWriteItemInput) (*BatchWriteItemOutput, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	total := 0
	for _, requests := range in.RequestItems {
		total += len(requests)
	}
	if total == 0 || total > maxBatchWrite {
		return nil, invalid("Too many items requested for the BatchWriteItem call, or none: a request has 1 to %d", maxBatchWrite)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var writes []*write
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		more, err := s.batchWrites(c, name, in.RequestItems[name])
		if err != nil {
			return nil, err
		}
		writes = append(writes, more...)
	}
	if name, twice := duplicate(writes); twice {
		return nil, invalid("Provided list of item keys contains duplicates: %s", name)
	}
	for _, w := range writes {
		if err := w.prepare(); err != nil {
			return nil, err
		}
	}
	for _, w := range writes {
		w.commit(c.Now)
	}
	return &BatchWriteItemOutput{map[string][]WriteRequest{}}, nil
}

func (s *Service) batchWrites(c *authz.Call, name string, requests []WriteRequest) ([]*write, error) {
	var writes []*write
	var items []Item
	for _, r := range requests {
		switch {
		case r.PutRequest != nil && r.DeleteRequest == nil:
			writes = append(writes, &write{action: "PutItem", key: r.PutRequest.Item, item: r.PutRequest.Item})
			items = append(items, r.PutRequest.Item)
		case r.DeleteRequest != nil && r.PutRequest == nil:
			writes = append(writes, &write{action: "DeleteItem", key: r.DeleteRequest.Key})
			items = append(items, r.DeleteRequest.Key)
		default:
			return nil, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported operations PutRequest and DeleteRequest")
		}
	}
	var names []string
	for _, i := range items {
		names = append(names, slices.Collect(maps.Keys(i))...)
	}
	t, err := s.find(c, reference{table: name, action: "BatchWriteItem", use: func(t *table) use {
		return use{leading: t.leadingValues(items), attributes: distinctNames(names)}
	}})
	if err != nil {
		return nil, err
	}
	if err := s.unlock(c, t.encryption); err != nil {
		return nil, err
	}
	for _, w := range writes {
		w.table = t
		if w.action == "PutItem" {
			err = t.checkItem(w.item)
		} else {
			err = t.checkKey(w.key)
		}
		if err != nil {
			return nil, err
		}
		w.primary = t.order.key.encode(w.key)
	}
	return writes, nil
}

// duplicate finds two writes of one item.
func duplicate(writes []*write) (tableName string, found bool) {
	type place struct {
		table   *table
		primary string
	}
	seen := make(map[place]bool)
	for _, w := range writes {
		if at := (place{w.table, w.primary}); seen[at] {
			return w.table.name, true
		} else {
			seen[at] = true
		}
	}
	return "", false
}
