package conformance

import (
	"bytes"
	_ "embed"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

//go:embed cases.json
var builtin []byte

// Builtin returns the cases worth recording first: what access across accounts
// rests on, and what AWS's documentation leaves open or contradicts (their names
// begin with "disputed", see iam/eval/switches.go). All of them are recordable
// with two accounts.
func Builtin() []cases.Case {
	list, err := cases.Read(bytes.NewReader(builtin))
	if err != nil {
		panic(err) // a test reads them
	}
	return list
}
