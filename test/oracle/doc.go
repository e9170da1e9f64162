// Package oracle compares iam/eval with an independent engine,
// @cloud-copilot/iam-simulate, which runs as a separate process. That engine is
// licensed under the AGPL: its source is never read, linked or copied.
//
// Every difference is named in differences.json or in generate_test.go and
// explained in docs/evaluation.md. A difference nobody explained fails the test.
package oracle
