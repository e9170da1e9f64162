// Package cases reads and runs self-contained questions to package eval: a
// request, the policies of every layer and, if wanted, the expected answer.
//
// `crossaccount simulate` takes this format, and our own conformance tests are
// files of it. A file holds one case or an array of cases:
//
//	{
//	  "name": "a role reads an object of another account",
//	  "request": {
//	    "principal": "arn:aws:iam::111122223333:role/reader",
//	    "action": "s3:GetObject",
//	    "resource": {"resource": "arn:aws:s3:::data/a.txt", "accountId": "444455556666"},
//	    "context": {"aws:PrincipalAccount": "111122223333", "aws:TagKeys": ["team", "cost"]}
//	  },
//	  "identityPolicies": [{"name": "reader", "policy": {"Version": "2012-10-17", "Statement": []}}],
//	  "resourcePolicy": {"Version": "2012-10-17", "Statement": []},
//	  "expected": {"response": "Allowed"}
//	}
//
// The world is closed: a context key that is not given is absent, and none is
// derived from the request. A value that is a string makes a single-valued key,
// a list of strings a multivalued one, and null makes none.
//
// Whatever is null counts as left out. Fields this format does not have, such as
// a comment, are ignored, unless they look like one that is misspelt: an
// "identityPolicy" that was silently ignored would be another question.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A Case is one question.
type Case struct {
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"` // the AWS page that says what the answer must be

	Request Request `json:"request"`

	IdentityPolicies        []Policy `json:"identityPolicies,omitempty"`
	ResourcePolicy          *Policy  `json:"resourcePolicy,omitempty"`
	PermissionBoundaries    []Policy `json:"permissionBoundaries,omitempty"`
	SessionPolicy           *Policy  `json:"sessionPolicy,omitempty"`
	ServiceControlPolicies  []Level  `json:"serviceControlPolicies,omitempty"`
	ResourceControlPolicies []Level  `json:"resourceControlPolicies,omitempty"`
	EndpointPolicies        []Policy `json:"endpointPolicies,omitempty"`

	Expected *Expected `json:"expected,omitempty"`
}

// A Request is the request of a case.
type Request struct {
	Principal Principal        `json:"principal"`
	Action    string           `json:"action"`
	Resource  Resource         `json:"resource"`
	Context   map[string]Value `json:"context,omitempty"`

	// Unknown lists context keys that may be there or not, with any value.
	Unknown []string `json:"unknown,omitempty"`
}

// A Resource is what the request is about. AccountID is its owner; ARNs of S3
// do not show it.
type Resource struct {
	Resource  string        `json:"resource"`
	AccountID iam.AccountID `json:"accountId,omitempty"`
}

// A Level is one level of an organisation with the policies attached to it.
// Levels are listed from the root to the account.
type Level struct {
	OrgIdentifier string   `json:"orgIdentifier,omitempty"`
	Policies      []Policy `json:"policies"`
}

// Expected is the answer a case should have.
type Expected struct {
	Response Response `json:"response"`
}

// A Response is the name of a verdict.
type Response string

// A Policy is a policy document, with a name if it was given one. It reads
// {"name": …, "policy": {…}} and the bare document.
type Policy struct {
	Name     string
	Document json.RawMessage
}

// UnmarshalJSON reads either form. Null is no policy.
func (p *Policy) UnmarshalJSON(data []byte) error {
	p.Name, p.Document = "", nil
	if string(data) == "null" {
		return nil
	}
	var elements map[string]json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return fmt.Errorf("a policy must be an object: %w", err)
	}
	document, named := elements["policy"]
	if !named {
		p.Document = bytes.Clone(data)
		return nil
	}
	if name, given := elements["name"]; given {
		if err := json.Unmarshal(name, &p.Name); err != nil {
			return fmt.Errorf("the name of a policy must be a string: %w", err)
		}
	}
	if string(document) != "null" {
		p.Document = bytes.Clone(document)
	}
	return checkFields(data, "name", "policy")
}

// MarshalJSON writes the form that was read.
func (p Policy) MarshalJSON() ([]byte, error) {
	switch {
	case p.Document == nil:
		return []byte("null"), nil
	case p.Name == "":
		return p.Document, nil
	}
	return json.Marshal(map[string]any{"name": p.Name, "policy": p.Document})
}

// A Value is the value of a context key: a string, or a list for a multivalued
// key. Numbers and booleans are read as their text.
type Value struct {
	Values []string
	Multi  bool
}

// UnmarshalJSON reads a scalar or a list of scalars. Null is no value.
func (v *Value) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		v.Multi, v.Values = false, nil
		return nil
	}
	if list := []json.RawMessage(nil); json.Unmarshal(data, &list) == nil && list != nil {
		v.Multi, v.Values = true, []string{}
		for _, item := range list {
			s, err := scalar(item)
			if err != nil {
				return err
			}
			v.Values = append(v.Values, s)
		}
		return nil
	}
	s, err := scalar(data)
	if err != nil {
		return err
	}
	v.Multi, v.Values = false, []string{s}
	return nil
}

func scalar(data []byte) (string, error) {
	var s string
	if json.Unmarshal(data, &s) == nil && string(data) != "null" {
		return s, nil
	}
	var any any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&any); err != nil {
		return "", err
	}
	switch any := any.(type) {
	case bool:
		return fmt.Sprint(any), nil
	case json.Number:
		return any.String(), nil
	}
	return "", fmt.Errorf("a context value must be a string or a list of strings, not %s", data)
}

// MarshalJSON writes a string or a list.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Multi || len(v.Values) != 1 {
		return json.Marshal(v.Values) // null if there is none
	}
	return json.Marshal(v.Values[0])
}

// Read reads one case or an array of cases.
func Read(r io.Reader) ([]Case, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("read cases: %w", err)
		}
		read := make([]Case, len(list))
		for i, item := range list {
			if err := json.Unmarshal(item, &read[i]); err != nil {
				return nil, fmt.Errorf("case %d: %w", i, err)
			}
		}
		return read, nil
	}
	var one Case
	if err := json.Unmarshal(data, &one); err != nil {
		return nil, fmt.Errorf("read case: %w", err)
	}
	return []Case{one}, nil
}

// UnmarshalJSON reads a case.
func (c *Case) UnmarshalJSON(data []byte) error {
	type plain Case
	if err := json.Unmarshal(data, (*plain)(c)); err != nil {
		return err
	}
	return checkFields(data, "name", "source", "request", "identityPolicies", "resourcePolicy", "permissionBoundaries", "sessionPolicy",
		"serviceControlPolicies", "resourceControlPolicies", "endpointPolicies", "expected")
}

// UnmarshalJSON reads a request.
func (r *Request) UnmarshalJSON(data []byte) error {
	type plain Request
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	return checkFields(data, "principal", "action", "resource", "context", "unknown")
}

// UnmarshalJSON reads a resource, which may also be just its ARN.
func (r *Resource) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &r.Resource) == nil {
		return nil
	}
	type plain Resource
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	return checkFields(data, "resource", "accountId")
}

// UnmarshalJSON reads a level.
func (l *Level) UnmarshalJSON(data []byte) error {
	type plain Level
	if err := json.Unmarshal(data, (*plain)(l)); err != nil {
		return err
	}
	return checkFields(data, "orgIdentifier", "policies")
}

// checkFields refuses fields of an object that are probably meant to be one of
// those it can have.
func checkFields(data []byte, known ...string) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil // null
	}
	for name := range fields {
		if Misspelt(name, known...) {
			return fmt.Errorf("json: unknown field %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// Misspelt reports whether name is none of the known fields but looks like one.
func Misspelt(name string, known ...string) bool {
	if slices.ContainsFunc(known, func(field string) bool { return strings.EqualFold(field, name) }) {
		return false // as encoding/json reads it
	}
	folded := strings.ToLower(name)
	if strings.Contains(folded, "polic") || strings.Contains(folded, "boundar") {
		return true
	}
	return slices.ContainsFunc(known, func(field string) bool { return alike(folded, strings.ToLower(field)) })
}

// alike reports whether two names are the same but for one letter, or two
// that are swapped.
func alike(a, b string) bool {
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	a, b = a[from:], b[from:]
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// A Result is the answer to a case.
type Result struct {
	Name       string      `json:"name"`
	Response   Response    `json:"response"`
	DecidedBy  string      `json:"decidedBy"`
	Statements []Statement `json:"statements"`
	Expected   Response    `json:"expected,omitempty"`
}

// A Statement points to a statement that decided.
type Statement struct {
	Layer  string `json:"layer"`
	Policy string `json:"policy"`
	Index  int    `json:"index"`
	Sid    string `json:"sid,omitempty"`
}

// OK reports whether the answer is the expected one, if one was expected.
func (r *Result) OK() bool { return r.Expected == "" || r.Expected == r.Response }

// Run decides the case.
func (c *Case) Run() (*Result, error) {
	in, err := c.Input()
	if err != nil {
		return nil, err
	}
	d := eval.Decide(in)
	result := &Result{
		Name:       c.Name,
		Response:   Response(d.Verdict.String()),
		DecidedBy:  d.Layer.String(),
		Statements: []Statement{},
	}
	for _, ref := range d.Statements() {
		result.Statements = append(result.Statements, Statement{
			Layer: ref.Layer.String(), Policy: ref.Policy.Name(), Index: int(ref.Index), Sid: ref.Sid(),
		})
	}
	if c.Expected != nil {
		result.Expected = c.Expected.Response
	}
	return result, nil
}
