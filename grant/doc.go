// Package grant gives access: it compiles a manifest that says who may use what
// in which stage into the policies of every account involved, on both sides, in
// an order that can be deployed.
//
// # The way of a manifest
//
// [Parse] reads crossaccount.yaml and refuses, with line and column, what it
// does not understand. [Compile] expands every grant over the stages, asks the
// kind of its resource (kinds.go lists them) what the access means in exact
// actions, chooses how to give it, and collects what each grant contributes to
// each policy. A resource has one policy, and whoever writes it replaces it; so
// contributions are aggregated in one place (place.go) and two grants on one
// resource never overwrite each other. The result is a [Plan]: stacks in waves,
// which output feeds which parameter, and the commands to deploy and to remove
// them. [Plan.Check] evaluates the compiled policies: what was declared must be
// allowed, its neighbours must be denied.
//
// # Adding a kind of resource
//
// A kind is one file with one table: its ARN, the words of access with their
// exact actions, the policy it can have, and what people must know. Add it to
// kinds.go and its golden to testdata.
//
// The package is pure: no network, clock or environment. Everything it returns
// is the same for the same manifest. A Manifest may be shared between
// goroutines as long as nobody changes it.
package grant
