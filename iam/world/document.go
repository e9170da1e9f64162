package world

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
)

// A Document is a policy document that parses without a problem. It is kept as
// minified text, which is small, comparable and shared by all that have the same
// policy. The zero Document is none.
type Document struct {
	text string
}

// ParseDocument reads a policy document strictly, as [iam.ParsePolicy] does.
func ParseDocument(data []byte) (Document, error) {
	p, err := iam.ParsePolicy(data)
	if err != nil {
		return Document{}, err
	}
	return NewDocument(p)
}

// NewDocument returns the document of a policy. It is an error if the policy
// cannot be written, see [iam.Policy.MarshalJSON].
func NewDocument(p *iam.Policy) (Document, error) {
	text, err := p.MarshalJSON()
	if err != nil {
		return Document{}, err
	}
	return Document{string(text)}, nil
}

// IsZero reports whether there is no document.
func (d Document) IsZero() bool { return d.text == "" }

// String returns the minified JSON.
func (d Document) String() string { return d.text }

// Policy returns the policy the document is of. Each call parses it anew.
func (d Document) Policy() (*iam.Policy, error) {
	if d.IsZero() {
		return nil, fmt.Errorf("there is no policy document")
	}
	return iam.ParsePolicy([]byte(d.text))
}

// MarshalJSON returns the minified JSON.
func (d Document) MarshalJSON() ([]byte, error) {
	if d.IsZero() {
		return []byte("null"), nil
	}
	return []byte(d.text), nil
}

// UnmarshalJSON reads a policy document strictly.
func (d *Document) UnmarshalJSON(data []byte) error {
	parsed, err := ParseDocument(data)
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
