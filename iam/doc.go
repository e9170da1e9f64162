// Package iam is the language of AWS Identity and Access Management: ARNs,
// policies, statements, conditions and the requests they decide about.
//
// It says what is written and nothing about what it means. Package
// [github.com/crossaccount/crossaccount/iam/eval] decides requests, and
// [github.com/crossaccount/crossaccount/iam/lint] judges documents.
//
// # Reading and writing policies
//
// [ParsePolicy] is strict. It refuses duplicate keys, unknown elements and
// values of the wrong type, and every problem carries a line and a column.
// [Policy.MarshalJSON] writes the minified document that AWS would be sent;
// [Policy.Canonical] writes the one form that all equal documents share.
//
// # Policies that are not finished yet
//
// Inside a template an ARN often has holes, such as the partition or a
// parameter. [Symbol] makes an opaque piece of text for such a hole. A symbol
// is an ordinary part of a Go string, contains no character that policies or
// ARNs give a meaning to, and cannot come from a parsed policy document.
//
// The package uses the standard library only. Its functions are pure, and its
// values may be shared between goroutines as long as nobody changes them.
package iam
