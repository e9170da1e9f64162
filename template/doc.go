// Package template describes infrastructure as data: a [Stack] of parameters,
// conditions, typed resources and outputs. It neither knows nor writes any
// format. Package template/cfn writes a stack as a CloudFormation template,
// template/terraform as Terraform configuration and template/script as a shell
// script of aws CLI calls.
//
// # Values that are known later
//
// Every string of a resource, including those inside policies, may contain
// references: [Ref] to a parameter, [Attribute] of a resource, the variables
// [Partition], [AccountID], [Region] and [URLSuffix], and [If] and [Optional]
// for values that depend on a condition. They are opaque symbols (see
// [iam.Symbol]), so ordinary text is never mistaken for a reference, and each
// writer quotes and escapes it for its own format. [Stack.Resolve] puts values
// in their place, which is how a stack is compared with what exists.
//
// # Checks
//
// [Stack.Check] refuses what AWS would refuse: quotas, lengths, character sets,
// references to things that do not exist. All writers call it first.
//
// # Adding a kind of resource
//
// A kind is a struct in a file of its own that implements [Kind], as [Role]
// does in role.go: its CloudFormation type, its attributes, its checks, and one
// method that passes every string through a function. Add it to [Kinds]. Then
// give it a writer in each format: template/cfn/write_NAME.go,
// template/terraform/NAME.go and template/script/NAME.go. A format without a
// writer refuses the stack, naming the kind; a test in each package lists which
// kinds those are.
//
// The package is pure. A Stack may be read by several goroutines as long as
// nobody changes it.
package template
