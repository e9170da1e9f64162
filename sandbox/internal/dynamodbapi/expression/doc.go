// Package expression holds what DynamoDB computes with: attribute values,
// numbers of 38 digits, and the expressions that conditions, updates, key
// conditions, filters and projections are written in. It is pure: values in,
// values and errors out. Errors are [*wire.Error] values in DynamoDB's words.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
package expression

import "github.com/crossaccount/crossaccount/sandbox/internal/wire"

// Invalid makes a ValidationException.
func Invalid(format string, args ...any) *wire.Error {
	return wire.BadRequest("ValidationException", format, args...)
}
