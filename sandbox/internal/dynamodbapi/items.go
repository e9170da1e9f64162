package dynamodbapi

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// GetItemInput is the input of GetItem.
type GetItemInput struct {
	TableName                string
	Key                      Item
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
	ConsistentRead           bool
	legacy
	metrics
}

// GetItemOutput has the item, unless it does not exist.
type GetItemOutput struct {
	Item Item `json:",omitempty"`
}

// GetItem returns an item by its key.
func (s *Service) GetItem(c *authz.Call, in *GetItemInput) (*GetItemOutput, error) {
	if err := first(in.legacy.refused(), in.metrics.refused()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	item, err := s.get(c, in, "")
	if err != nil {
		return nil, err
	}
	return &GetItemOutput{item}, nil
}

// first returns the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// get reads one item. Enclosing is the transaction it belongs to.
func (s *Service) get(c *authz.Call, in *GetItemInput, enclosing string) (Item, error) {
	projection, err := readProjection(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return nil, err
	}
	t, err := s.find(c, reference{table: in.TableName, action: "GetItem", use: leading(in.Key, projectedWith(in.Key, projection), use{selects: selects(projection), enclosing: enclosing})})
	if err != nil {
		return nil, err
	}
	if err := s.unlock(c, t.encryption); err != nil {
		return nil, err
	}
	if err := t.checkKey(in.Key); err != nil {
		return nil, err
	}
	item, ok := t.items[t.order.key.encode(in.Key)]
	if !ok {
		return nil, nil
	}
	return projection.Apply(item), nil
}

func readProjection(text *string, names map[string]string) (*expression.Projection, error) {
	placeholders, err := expression.NewPlaceholders(names, nil)
	if err != nil {
		return nil, err
	}
	var projection *expression.Projection
	if text != nil {
		if projection, err = expression.ParseProjection(*text, placeholders); err != nil {
			return nil, err
		}
	}
	return projection, placeholders.Unused()
}

func selects(p *expression.Projection) string {
	if p == nil {
		return "ALL_ATTRIBUTES"
	}
	return "SPECIFIC_ATTRIBUTES"
}

// projectedWith are the attributes that a request by key names; none if it asks
// for whole items.
func projectedWith(k Item, p *expression.Projection) []string {
	if p == nil {
		return nil
	}
	return distinctNames(slices.Collect(maps.Keys(k)), p.Attributes())
}

// WriteInput is the input of PutItem, UpdateItem and DeleteItem, and of the
// writes and checks in a transaction. Each has the members that AWS gives it.
type WriteInput struct {
	TableName                           string
	Item                                Item // PutItem
	Key                                 Item // the others
	UpdateExpression                    *string
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]Value
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	legacy
	metrics
}

// WriteOutput has what ReturnValues asks for.
type WriteOutput struct {
	Attributes Item `json:",omitempty"`
}

// PutItem puts an item in the place of one with the same key.
func (s *Service) PutItem(c *authz.Call, in *WriteInput) (*WriteOutput, error) {
	return s.writeOne(c, in, "PutItem")
}

// UpdateItem changes attributes of an item, making it if it does not exist.
func (s *Service) UpdateItem(c *authz.Call, in *WriteInput) (*WriteOutput, error) {
	return s.writeOne(c, in, "UpdateItem")
}

// DeleteItem deletes an item. One that does not exist does not matter.
func (s *Service) DeleteItem(c *authz.Call, in *WriteInput) (*WriteOutput, error) {
	return s.writeOne(c, in, "DeleteItem")
}

func (s *Service) writeOne(c *authz.Call, in *WriteInput, action string) (*WriteOutput, error) {
	if err := first(in.legacy.refused(), in.metrics.refused()); err != nil {
		return nil, err
	}
	if err := oneOf("returnValues", in.ReturnValues, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"); err != nil {
		return nil, err
	}
	if action != "UpdateItem" && in.ReturnValues != "" && in.ReturnValues != "NONE" && in.ReturnValues != "ALL_OLD" {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.newWrite(c, in, action, "")
	if err != nil {
		return nil, err
	}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	w.commit(c.Now)
	out := &WriteOutput{}
	switch in.ReturnValues {
	case "ALL_OLD":
		out.Attributes = w.before
	case "ALL_NEW":
		out.Attributes = w.after
	case "UPDATED_OLD":
		out.Attributes = w.update.Updated(w.before)
	case "UPDATED_NEW":
		out.Attributes = w.update.Updated(w.after)
	}
	return out, nil
}

// A write is a change of one item, or only a check of one: authorised, and
// checked for what can be wrong with it whatever the item is.
type write struct {
	action        string
	table         *table
	key           Item
	item          Item // to put
	update        *expression.Update
	condition     *expression.Condition
	showOnFailure bool // the item that fails the condition

	primary       string
	before, after Item
}

// newWrite reads and authorises a write. The caller holds the lock.
func (s *Service) newWrite(c *authz.Call, in *WriteInput, action, enclosing string) (*write, error) {
	if err := oneOf("returnValuesOnConditionCheckFailure", in.ReturnValuesOnConditionCheckFailure, "ALL_OLD", "NONE"); err != nil {
		return nil, err
	}
	w := &write{action: action, key: in.Key, showOnFailure: in.ReturnValuesOnConditionCheckFailure == "ALL_OLD"}
	if action == "PutItem" {
		w.key, w.item = in.Item, in.Item
	}
	if err := w.readExpressions(in); err != nil {
		return nil, err
	}
	returns := in.ReturnValues
	if returns == "" && enclosing == "" {
		returns = "NONE"
	}
	if action == "ConditionCheck" {
		action = "ConditionCheckItem"
		returns = ""
	}
	names := distinctNames(slices.Collect(maps.Keys(w.key)), w.update.Attributes(), w.condition.Attributes())
	var err error
	if w.table, err = s.find(c, reference{table: in.TableName, action: action, use: leading(w.key, names, use{returns: returns, enclosing: enclosing})}); err != nil {
		return nil, err
	}
	if err := s.unlock(c, w.table.encryption); err != nil {
		return nil, err
	}
	if w.item != nil {
		err = w.table.checkItem(w.item)
	} else {
		err = w.table.checkKey(w.key)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range w.table.order.key.names() {
		if w.update.Writes(name) {
			return nil, invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", name)
		}
	}
	w.primary = w.table.order.key.encode(w.key)
	return w, nil
}

func (w *write) readExpressions(in *WriteInput) error {
	if w.action == "PutItem" && in.Item == nil {
		return invalid("1 validation error detected: Value null at 'item' failed to satisfy constraint: Member must not be null")
	}
	if w.action != "PutItem" && in.Key == nil {
		return invalid("1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null")
	}
	placeholders, err := expression.NewPlaceholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return err
	}
	if in.UpdateExpression != nil && w.action == "UpdateItem" {
		if w.update, err = expression.ParseUpdate(*in.UpdateExpression, placeholders); err != nil {
			return err
		}
	}
	if in.ConditionExpression != nil {
		if w.condition, err = expression.ParseCondition("ConditionExpression", *in.ConditionExpression, placeholders); err != nil {
			return err
		}
	}
	return placeholders.Unused()
}

const conditionFailed = "The conditional request failed"

// prepare checks the condition and works out the item as it will be. Nothing is
// changed yet.
func (w *write) prepare() error {
	w.before = w.table.items[w.primary]
	if !w.condition.Holds(w.before) {
		e := &wire.Error{Status: http.StatusBadRequest, Code: "ConditionalCheckFailedException", Message: conditionFailed}
		if w.showOnFailure && w.before != nil {
			e.Members = map[string]any{"Item": w.before}
		}
		return e
	}
	switch w.action {
	case "PutItem":
		if w.after = w.item; w.item.Size() > maxItem {
			return invalid("Item size has exceeded the maximum allowed size")
		}
	case "UpdateItem":
		start := w.before
		if start == nil {
			start = w.key
		}
		var err error
		if w.after, err = w.update.Apply(start); err != nil {
			return err
		}
		if w.after.Size() > maxItem {
			return invalid("Item size to update has exceeded the maximum allowed size")
		}
		return w.table.checkIndexed(w.after)
	case "ConditionCheck":
		w.after = w.before
	}
	return nil
}

func (w *write) commit(now time.Time) {
	if w.action == "ConditionCheck" {
		return
	}
	w.table.put(w.primary, w.after)
	w.table.stream.add(now, w.table.order.key, w.before, w.after, false)
}
