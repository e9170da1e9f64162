// Package restjson dispatches the requests of services that speak REST with
// JSON bodies: one table of operations with their routes, typed methods, and the
// protocol's errors.
//
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
package restjson

import (
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An Operation is one row of a service's table. Without a method it is an
// operation AWS has and the sandbox has not, which answers NotImplemented.
type Operation[S any] struct {
	overview.Operation
	route route
	serve func(S, *authz.Call, *request) (any, error)
}

// Real is the row of an operation that works. The route is the HTTP method and
// the path with its labels, and what the query must hold where that tells
// operations apart: "POST /restapis?mode=import". The status is that of
// success. The note says what is missing from the operation, if anything.
//
// The body fills In as JSON. Fields with a tag path, query or header are filled
// from there: strings, whole numbers, booleans and lists of strings.
func Real[S, In, Out any](name, note, route string, status int, method func(S, *authz.Call, *In) (*Out, error)) Operation[S] {
	parsed := parseRoute(route)
	parsed.status = status
	return Operation[S]{
		overview.Operation{Name: name, Real: true, Note: note},
		parsed,
		func(s S, c *authz.Call, r *request) (any, error) {
			var in In
			if err := wire.DecodeJSON(r.body, &in); err != nil {
				return nil, err
			}
			if err := r.fill(reflect.ValueOf(&in).Elem()); err != nil {
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
// names with spaces between. They have no routes: every request that no real
// operation takes answers NotImplemented.
func Missing[S any](names string) []Operation[S] {
	var list []Operation[S]
	for _, name := range strings.Fields(names) {
		list = append(list, Operation[S]{Operation: overview.Operation{Name: name}})
	}
	return list
}

// A Table is what a service can do. It is immutable after its making.
type Table[S any] struct {
	Service    string // as in action names: "apigateway"
	Operations []Operation[S]
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
	for _, op := range t.Operations {
		labels, ok := op.route.match(r)
		if !ok || op.serve == nil {
			continue
		}
		c.Operation = op.Name
		body, err := io.ReadAll(r.Body)
		if err == nil { // the sandbox has read and limited it when it verified the signature
			var out any
			if out, err = op.serve(s, c, &request{labels, r.URL.Query(), r.Header, body}); err == nil {
				wire.WriteJSON(w, "", c.RequestID, op.route.status, out)
				return
			}
		}
		wire.WriteJSONError(w, c.RequestID, Refusal(err))
		return
	}
	wire.WriteJSONError(w, c.RequestID, wire.NotImplemented(t.Service, r.Method+" "+wire.Clip(r.URL.Path)))
}

// Refusal words an error as these services answer it: the one AccessDenied of
// package authz is AccessDeniedException here.
func Refusal(err error) *wire.Error {
	e := wire.AsError(err)
	if e.Code != "AccessDenied" {
		return e
	}
	denied := *e
	denied.Code, denied.Status = "AccessDeniedException", http.StatusForbidden
	return &denied
}

// A route is where an operation is found.
type route struct {
	method   string
	segments []string // of the path; labels in braces
	query    url.Values
	status   int
}

func parseRoute(s string) route {
	method, path, _ := strings.Cut(s, " ")
	path, query, _ := strings.Cut(path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		panic("restjson: route " + s) // a mistake in a table, found by every test
	}
	return route{method: method, segments: strings.Split(strings.Trim(path, "/"), "/"), query: values}
}

// match returns the labels of a request that takes the route.
func (o *route) match(r *http.Request) (map[string]string, bool) {
	if r.Method != o.method {
		return nil, false
	}
	segments := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if len(segments) != len(o.segments) {
		return nil, false
	}
	query := r.URL.Query()
	for name, values := range o.query {
		if query.Get(name) != values[0] {
			return nil, false
		}
	}
	labels := make(map[string]string)
	for i, want := range o.segments {
		got, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, false
		}
		if label, ok := strings.CutPrefix(want, "{"); ok && got != "" {
			labels[strings.TrimSuffix(label, "}")] = got
		} else if got != want {
			return nil, false
		}
	}
	return labels, true
}

// A request is what the fields of an input are filled from.
type request struct {
	labels map[string]string
	query  url.Values
	header http.Header
	body   []byte
}

// fill sets the fields of an input that do not come from the body.
func (r *request) fill(in reflect.Value) error {
	if in.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(in.Type()) {
		name, values := "", []string(nil)
		if label, ok := field.Tag.Lookup("path"); ok {
			name, values = label, []string{r.labels[label]}
		} else if parameter, ok := field.Tag.Lookup("query"); ok {
			name, values = parameter, r.query[parameter]
		} else if header, ok := field.Tag.Lookup("header"); ok {
			name, values = header, r.header.Values(header)
		}
		if len(values) == 0 {
			continue
		}
		if err := set(in.FieldByIndex(field.Index), values); err != nil {
			return wire.BadRequest("SerializationException", "%s can not be converted to the type of member %s", wire.Clip(values[0]), name)
		}
	}
	return nil
}

func set(field reflect.Value, values []string) error {
	switch field.Kind() {
	case reflect.String:
		field.SetString(values[0])
	case reflect.Int:
		n, err := strconv.Atoi(values[0])
		if err != nil {
			return err
		}
		field.SetInt(int64(n))
	case reflect.Bool:
		b, err := strconv.ParseBool(values[0])
		if err != nil {
			return err
		}
		field.SetBool(b)
	case reflect.Slice:
		field.Set(reflect.ValueOf(values))
	default:
		panic("restjson: a field of type " + field.Type().String()) // a mistake in an input, found by every test
	}
	return nil
}
