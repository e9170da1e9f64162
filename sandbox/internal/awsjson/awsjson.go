// Package awsjson dispatches the requests of services that speak AWS JSON:
// one table of operations, typed methods, and the protocol's errors.
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
package awsjson

import (
	"io"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An Operation is one row of a service's table. Without a method it is an
// operation AWS has and the sandbox has not, which answers NotImplemented.
type Operation[S any] struct {
	overview.Operation
	serve func(S, *authz.Call, []byte) (any, error)
}

// Real is the row of an operation that works. The note says what is missing
// from it, if anything.
func Real[S, In, Out any](name, note string, method func(S, *authz.Call, *In) (*Out, error)) Operation[S] {
	return Operation[S]{
		overview.Operation{Name: name, Real: true, Note: note},
		func(s S, c *authz.Call, body []byte) (any, error) {
			var in In
			if err := wire.DecodeJSON(body, &in); err != nil {
				return nil, err
			}
			out, err := method(s, c, &in)
			if err != nil || out == nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// Missing are the rows of operations the sandbox does not have, from their
// names with spaces between.
func Missing[S any](names string) []Operation[S] {
	var list []Operation[S]
	for _, name := range strings.Fields(names) {
		list = append(list, Operation[S]{Operation: overview.Operation{Name: name}})
	}
	return list
}

// A Table is what a service can do. It is immutable after its making.
type Table[S any] struct {
	Service    string // as in action names: "kms"
	Target     string // before the operation in the header X-Amz-Target, without the dot: "TrentService"
	Version    string // of the protocol: "1.0" or "1.1"
	Operations []Operation[S]

	// DeniedStatus is the HTTP status of AccessDeniedException. Zero means
	// 400, as most of these services answer.
	DeniedStatus int

	// QueryCodes are the codes that a service which spoke the query protocol
	// once still sends in a header, by the codes it has now. Such services
	// send that header with every error.
	QueryCodes map[string]string
}

// List returns all operations, for documentation.
func (t *Table[S]) List() []overview.Operation {
	list := make([]overview.Operation, len(t.Operations))
	for i, op := range t.Operations {
		list[i] = op.Operation
	}
	return list
}

// Serve answers one request whose signature has been verified.
func (t *Table[S]) Serve(s S, w http.ResponseWriter, r *http.Request, c *authz.Call) {
	out, err := t.dispatch(s, r, c)
	if err != nil {
		refused := t.Refusal(err)
		if t.QueryCodes != nil {
			w.Header().Set("X-Amzn-Query-Error", t.queryCode(refused))
		}
		wire.WriteJSONError(w, c.RequestID, refused)
		return
	}
	wire.WriteJSON(w, t.Version, c.RequestID, http.StatusOK, out)
}

// queryCode is the old code and whose fault it was.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#awsquerycompatible-trait
func (t *Table[S]) queryCode(e *wire.Error) string {
	code, ok := t.QueryCodes[e.Code]
	if !ok {
		code = e.Code
	}
	if e.Status >= http.StatusInternalServerError {
		return code + ";Receiver"
	}
	return code + ";Sender"
}

// Refusal words an error as the service answers it: the one AccessDenied of
// package authz is AccessDeniedException here.
func (t *Table[S]) Refusal(err error) *wire.Error {
	e := wire.AsError(err)
	if e.Code != "AccessDenied" {
		return e
	}
	denied := *e
	denied.Code, denied.Status = "AccessDeniedException", http.StatusBadRequest
	if t.DeniedStatus != 0 {
		denied.Status = t.DeniedStatus
	}
	return &denied
}

func (t *Table[S]) dispatch(s S, r *http.Request, c *authz.Call) (any, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), t.Target+".")
	if !ok {
		return nil, wire.BadRequest("UnknownOperationException", "the header X-Amz-Target must be %s.OPERATION", t.Target)
	}
	for _, op := range t.Operations {
		if op.Name != name {
			continue
		}
		c.Operation = name
		if op.serve == nil {
			return nil, wire.NotImplemented(t.Service, name)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err // the sandbox has read and limited it when it verified the signature
		}
		return op.serve(s, c, body)
	}
	return nil, wire.BadRequest("UnknownOperationException", "%s has no such operation", t.Service)
}

// Required refuses a request that lacks a member. The name is the member's in
// the API: "KeyId".
func Required(name, value string) error {
	if value != "" {
		return nil
	}
	member := strings.ToLower(name[:1]) + name[1:]
	return wire.BadRequest("ValidationException",
		"1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}
