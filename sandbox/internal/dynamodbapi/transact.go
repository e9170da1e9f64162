package dynamodbapi

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// The limits of a transaction: items, and their bytes together.
const (
	maxTransaction     = 100
	maxTransactionSize = 4 << 20
)

// TransactGetItemsInput is the input of TransactGetItems.
type TransactGetItemsInput struct {
	TransactItems []struct{ Get *GetItemInput }
	metrics
}

// TransactGetItemsOutput has the items in the order of the request, empty for
// those that do not exist.
type TransactGetItemsOutput struct{ Responses []GetItemOutput }

// TransactGetItems gets items as they are at one moment.
func (s *Service) TransactGetItems(c *authz.Call, in *TransactGetItemsInput) (*TransactGetItemsOutput, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	if n := len(in.TransactItems); n < 1 || n > maxTransaction {
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and %d", maxTransaction)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &TransactGetItemsOutput{}
	size := 0
	for _, item := range in.TransactItems {
		if item.Get == nil {
			return nil, invalid("1 validation error detected: Value null at 'transactItems.member.get' failed to satisfy constraint: Member must not be null")
		}
		got, err := s.get(c, item.Get, "TransactGetItems")
		if err != nil {
			return nil, err
		}
		if size += got.Size(); size > maxTransactionSize {
			return nil, invalid("the items of a transaction have at most %d bytes together", maxTransactionSize)
		}
		out.Responses = append(out.Responses, GetItemOutput{got})
	}
	return out, nil
}

// TransactWrite is one write or check of a transaction.
type TransactWrite struct {
	ConditionCheck, Delete, Put, Update *WriteInput
}

// TransactWriteItemsInput is the input of TransactWriteItems.
type TransactWriteItemsInput struct {
	TransactItems      []TransactWrite
	ClientRequestToken string
	metrics
}

// transaction is one that was done, for requests that repeat it.
type transaction struct {
	sum [sha256.Size]byte
	at  time.Time
}

// tokenLife is how long a repeated token is recognised.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-apis-txwriteitems
const tokenLife = 10 * time.Minute

// A CancellationReason says why an item made a transaction fail; Code is None
// for those that did not.
type CancellationReason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    Item   `json:",omitempty"`
}

// TransactWriteItems writes all items or none. Each write is authorised as if
// it was made alone.
func (s *Service) TransactWriteItems(c *authz.Call, in *TransactWriteItemsInput) (*struct{}, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	if n := len(in.TransactItems); n < 1 || n > maxTransaction {
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and %d", maxTransaction)
	}
	request, err := json.Marshal(in.TransactItems)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var writes []*write
	for _, item := range in.TransactItems {
		w, err := s.transactWrite(c, item)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	if _, twice := duplicate(writes); twice {
		return nil, invalid("Transaction request cannot include multiple operations on one item")
	}
	token := string(c.Account()) + " " + in.ClientRequestToken
	if done, ok := s.transactions[token]; ok && c.Now.Sub(done.at) < tokenLife {
		if done.sum != sha256.Sum256(request) {
			return nil, wire.BadRequest("IdempotentParameterMismatchException", "The request uses a client request token that was already used with different parameters")
		}
		return nil, nil
	}
	if err := prepareAll(writes); err != nil {
		return nil, err
	}
	for _, w := range writes {
		w.commit(c.Now)
	}
	if in.ClientRequestToken != "" {
		for old, done := range s.transactions {
			if c.Now.Sub(done.at) >= tokenLife {
				delete(s.transactions, old)
			}
		}
		s.transactions[token] = transaction{sha256.Sum256(request), c.Now}
	}
	return nil, nil
}

func (s *Service) transactWrite(c *authz.Call, item TransactWrite) (*write, error) {
	var found *WriteInput
	var action string
	for name, in := range map[string]*WriteInput{"ConditionCheck": item.ConditionCheck, "DeleteItem": item.Delete, "PutItem": item.Put, "UpdateItem": item.Update} {
		if in == nil {
			continue
		}
		if found != nil {
			return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		found, action = in, name
	}
	switch {
	case found == nil:
		return nil, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	case action == "ConditionCheck" && found.ConditionExpression == nil, action == "UpdateItem" && found.UpdateExpression == nil:
		return nil, invalid("1 validation error detected: a ConditionCheck needs ConditionExpression, and an Update needs UpdateExpression")
	case found.ReturnValues != "":
		return nil, invalid("ReturnValues is no member of the writes of a transaction")
	}
	return s.newWrite(c, found, action, "TransactWriteItems")
}

// prepareAll prepares all writes, or says what is wrong with each.
func prepareAll(writes []*write) error {
	reasons := make([]CancellationReason, len(writes))
	codes := make([]string, len(writes))
	failed := false
	size := 0
	for i, w := range writes {
		reasons[i].Code = "None"
		if err := w.prepare(); err != nil {
			failed = true
			e := wire.AsError(err)
			switch e.Code {
			case "ConditionalCheckFailedException":
				reasons[i] = CancellationReason{Code: "ConditionalCheckFailed", Message: e.Message}
				reasons[i].Item, _ = e.Members["Item"].(Item)
			case "ValidationException":
				reasons[i] = CancellationReason{Code: "ValidationError", Message: e.Message}
			default:
				return err
			}
		}
		codes[i] = reasons[i].Code
		size += w.after.Size()
	}
	if size > maxTransactionSize {
		return invalid("the items of a transaction have at most %d bytes together", maxTransactionSize)
	}
	if !failed {
		return nil
	}
	return &wire.Error{
		Status: http.StatusBadRequest, Code: "TransactionCanceledException",
		Message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		Members: map[string]any{"CancellationReasons": reasons},
	}
}
