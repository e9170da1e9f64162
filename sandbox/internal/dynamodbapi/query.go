package dynamodbapi

import (
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// ReadInput is the input of Query and Scan. Each has the members that AWS gives
// it.
type ReadInput struct {
	TableName                 string
	IndexName                 string
	KeyConditionExpression    *string // Query
	FilterExpression          *string
	ProjectionExpression      *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]Value
	ScanIndexForward          *bool // Query
	Select                    string
	Limit                     *int
	ExclusiveStartKey         Item
	ConsistentRead            bool
	Segment, TotalSegments    *int // Scan
	legacy
	metrics
}

// ReadOutput is a page of items. Items is absent if only their count was asked
// for.
type ReadOutput struct {
	Items            []Item `json:",omitempty"`
	Count            int
	ScannedCount     int
	LastEvaluatedKey Item `json:",omitempty"`
}

// maxPage bounds how much one request reads, in bytes, before it filters.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
const maxPage = 1 << 20

// A reading is a Query or Scan, read and authorised.
type reading struct {
	in         *ReadInput
	table      *table
	index      *index // nil: of the table itself
	order      *order
	condition  *expression.KeyCondition // nil: a scan
	filter     *expression.Condition
	projection *expression.Projection
}

// Query reads the items of one partition of a table or index, by sort key.
func (s *Service) Query(c *authz.Call, in *ReadInput) (*ReadOutput, error) {
	return s.read(c, in, "Query")
}

// Scan reads a table or index.
func (s *Service) Scan(c *authz.Call, in *ReadInput) (*ReadOutput, error) {
	return s.read(c, in, "Scan")
}

func (s *Service) read(c *authz.Call, in *ReadInput, action string) (*ReadOutput, error) {
	if err := first(in.legacy.refused(), in.metrics.refused(), in.check(action)); err != nil {
		return nil, err
	}
	placeholders, err := expression.NewPlaceholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	r := &reading{in: in}
	if in.ProjectionExpression != nil {
		if r.projection, err = expression.ParseProjection(*in.ProjectionExpression, placeholders); err != nil {
			return nil, err
		}
	}
	if in.FilterExpression != nil {
		if r.filter, err = expression.ParseCondition("FilterExpression", *in.FilterExpression, placeholders); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var wrong error // with the key condition; told only to those who may query
	r.table, err = s.find(c, reference{table: in.TableName, index: in.IndexName, action: action, use: func(t *table) use {
		u := use{selects: r.selects()}
		if t == nil || action == "Scan" {
			u.attributes = r.attributes(nil)
			return u
		}
		if r.condition, wrong = t.keyCondition(in, placeholders); wrong == nil {
			u.leading = []Value{r.condition.Partition}
			u.attributes = r.attributes(r.condition.Attributes())
		}
		return u
	}})
	if err := first(err, wrong, placeholders.Unused()); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if err := s.unlock(c, r.table.encryption); err != nil {
		return nil, err
	}
	return r.page()
}

// check refuses what is wrong whatever the table is.
func (in *ReadInput) check(action string) error {
	if err := oneOf("select", in.Select, "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"); err != nil {
		return err
	}
	switch {
	case action == "Query" && in.KeyConditionExpression == nil:
		return invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	case in.Limit != nil && *in.Limit < 1:
		return invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	case in.ProjectionExpression != nil && in.Select != "" && in.Select != "SPECIFIC_ATTRIBUTES":
		return invalid("Cannot specify the ProjectionExpression when choosing to get %s", in.Select)
	case in.ProjectionExpression == nil && in.Select == "SPECIFIC_ATTRIBUTES":
		return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case in.Select == "ALL_PROJECTED_ATTRIBUTES" && in.IndexName == "":
		return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case (in.Segment == nil) != (in.TotalSegments == nil):
		return invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present, and the other way round")
	case in.Segment != nil && (*in.TotalSegments < 1 || *in.TotalSegments > 1000000 || *in.Segment < 0 || *in.Segment >= *in.TotalSegments):
		return invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", *in.Segment, *in.TotalSegments)
	}
	return nil
}

// selects is what the request selects, said or not.
func (r *reading) selects() string {
	switch {
	case r.in.Select != "":
		return r.in.Select
	case r.projection == nil && r.in.IndexName != "":
		return "ALL_PROJECTED_ATTRIBUTES"
	}
	return selects(r.projection)
}

// attributes are those that the request names; none if it asks for whole items.
func (r *reading) attributes(condition []string) []string {
	if r.projection == nil && r.in.Select != "COUNT" {
		return nil
	}
	return distinctNames(condition, r.projection.Attributes(), r.filter.Attributes())
}

// keyCondition reads the key condition for the table's key or an index's.
func (t *table) keyCondition(in *ReadInput, placeholders *expression.Placeholders) (*expression.KeyCondition, error) {
	k := t.order.key
	if x := t.index(in.IndexName); x != nil {
		k = x.key
	}
	condition, err := expression.ParseKeyCondition(*in.KeyConditionExpression, k.partition, k.sort, placeholders)
	if err != nil {
		return nil, err
	}
	sortType, sorted := condition.SortType()
	if condition.Partition.Type != t.definitions[k.partition] || sorted && sortType != t.definitions[k.sort] {
		return nil, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	return condition, nil
}

// prepare refuses what is wrong with the request for this table.
func (r *reading) prepare() error {
	r.order = &r.table.order
	if r.in.IndexName != "" {
		r.index = r.table.index(r.in.IndexName)
		r.order = &r.index.order
	}
	if r.condition != nil {
		for _, name := range r.order.key.names() {
			if slices.Contains(r.filter.Attributes(), name) {
				return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
			}
		}
	}
	if r.index == nil || r.index.local {
		return nil
	}
	if r.in.ConsistentRead {
		return invalid("Consistent reads are not supported on global secondary indexes")
	}
	if r.index.projection == "ALL" {
		return nil
	}
	if r.in.Select == "ALL_ATTRIBUTES" {
		return invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", r.index.name)
	}
	kept := r.table.projects(r.index).Attributes()
	for _, name := range distinctNames(r.projection.Attributes(), r.filter.Attributes()) {
		if !slices.Contains(kept, name) {
			return invalid("One or more parameter values were invalid: Global secondary index %s does not project [%s]", r.index.name, wire.Clip(name))
		}
	}
	return nil
}

// entries are what the request reads, in its order, from its starting key on.
func (r *reading) entries() ([]entry, error) {
	entries := r.order.entries
	if r.condition != nil {
		entries = r.order.partitionOf(r.condition.Partition)
	}
	backward := r.condition != nil && r.in.ScanIndexForward != nil && !*r.in.ScanIndexForward
	if start := r.in.ExclusiveStartKey; start != nil {
		if err := r.checkStart(start); err != nil {
			return nil, err
		}
		e, _ := r.order.entry(r.table.order.key.encode(start), start)
		at, found := slices.BinarySearchFunc(entries, e, r.order.compare)
		if backward {
			entries = entries[:at]
		} else {
			if found {
				at++
			}
			entries = entries[at:]
		}
	}
	if backward {
		entries = slices.Clone(entries)
		slices.Reverse(entries)
	}
	return entries, nil
}

// checkStart checks that a starting key is one: the key of the index and of the
// table, and within the partition that is queried.
func (r *reading) checkStart(start Item) error {
	names := r.table.keys(r.order.key)
	wrong := len(start) != len(names)
	for _, name := range names {
		v, ok := start[name]
		wrong = wrong || !ok || v.Type != r.table.definitions[name]
	}
	if wrong {
		return invalid("The provided starting key is invalid: The provided key element does not match the schema")
	}
	if r.condition != nil && !start[r.order.key.partition].Equal(r.condition.Partition) {
		return invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	return nil
}

// page reads until the limit, the size of a page or the end.
func (r *reading) page() (*ReadOutput, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var keeps *expression.Projection
	if r.index != nil && (!r.index.local || r.selects() == "ALL_PROJECTED_ATTRIBUTES") {
		keeps = r.table.projects(r.index)
	}
	out := &ReadOutput{Items: []Item{}}
	size := 0
	for _, e := range entries {
		if r.in.TotalSegments != nil && e.hash%uint64(*r.in.TotalSegments) != uint64(*r.in.Segment) {
			continue
		}
		if r.condition != nil && !r.condition.Matches(e.item) {
			continue
		}
		item := keeps.Apply(e.item)
		size += item.Size()
		out.ScannedCount++
		if r.filter.Holds(item) {
			out.Count++
			if r.in.Select != "COUNT" {
				out.Items = append(out.Items, r.projection.Apply(item))
			}
		}
		if r.in.Limit != nil && out.ScannedCount == *r.in.Limit || size >= maxPage {
			out.LastEvaluatedKey = make(Item)
			for _, name := range r.table.keys(r.order.key) {
				out.LastEvaluatedKey[name] = e.item[name]
			}
			break
		}
	}
	if r.in.Select == "COUNT" {
		out.Items = nil
	}
	return out, nil
}
