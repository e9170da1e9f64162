// Package cfn reads and writes AWS CloudFormation templates.
//
// Reading has three steps, and a caller stops after the one it needs.
// [Parse] makes a tree of [Node] values from JSON or YAML, keeping for every
// node its line and column. [Read] also understands the sections of a
// template: parameters, mappings, conditions, resources and outputs. An
// [Evaluator] resolves the intrinsic functions, given what only the outside
// knows: the values of parameters and the attributes of resources. Where a
// value is not known, such as the account a template will be launched in, a
// caller supplies [github.com/crossaccount/crossaccount/iam.Symbol] text
// instead, and policies inside the template can still be read.
//
// Error messages use CloudFormation's own words where those are known, so that
// a template refused here shows the message that AWS would show.
//
// The package is pure. A tree may be shared between goroutines as long as
// nobody changes it.
package cfn
