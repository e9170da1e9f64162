// Package asl reads and runs definitions in the Amazon States Language, with
// JSONPath as the query language. It knows no AWS service: tasks are done by the
// [Host] that starts a run.
//
// A run is a value that is moved on by [Run.Advance]: it has no goroutines, and
// whatever waits, waits for a time that the host names. What a definition may
// cost is bounded: its size, the events of a run, the size of data, and how many
// values a path may visit.
//
// https://states-language.net/spec.html
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
package asl

// Limits of AWS.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const (
	MaxDefinition = 1 << 20   // bytes of a definition
	MaxData       = 256 << 10 // bytes of inputs and outputs, as JSON
	MaxEvents     = 25000     // of the history of a Standard execution
)
