// Package eval decides whether AWS would allow a request, and explains why.
//
// A policy is compiled once with [Compile] and may then be used by any number
// of goroutines. [Decide] takes a request and the compiled policies of every
// layer that bears on it and returns a [Decision]: the verdict, the layer and
// the side that decided, and the statements that mattered. [Explain] answers
// the same question at leisure: it says of every statement why it did not
// match, and what the smallest change would be.
//
// The rule itself is one page, in decide.go, with AWS's documentation beside
// each step. Where that documentation contradicts itself or says nothing, the
// choice has a name in switches.go.
//
// # What the caller provides
//
// Nothing is derived. The context keys of a request are those in its
// [iam.Context], so a caller that wants aws:PrincipalArn or
// aws:PrincipalAccount to work sets them. A layer that is passed is enforced; a
// layer that is nil does not exist. The exceptions AWS makes for principals
// are made here: service control policies are not applied to service-linked
// roles, service principals and anonymous callers, and resource control
// policies only to the services that support them. Organisations exempt their
// management account: for its principals leave ServiceControl nil, for its
// resources leave ResourceControl nil.
//
// # Many policies and principals
//
// Compile a policy once and share it between all that have it; a [Policy] is
// immutable. Deciding looks only at statements that could match, so its cost
// hardly grows with the number of policies. To ask which of very many principals
// can do something, file their policies in an [Index] and put only those to
// [Decide] that it finds. A Policy keeps what it was compiled from, with the
// positions of a parsed one, which take several times as much memory as all the
// rest; who holds a hundred thousand of them keeps the documents and compiles
// those that are asked about.
//
// # Unknown context keys
//
// A key of the context is given, absent or unknown. When the outcome hangs on
// an unknown key the verdict is [Depends], and [Explain] names exactly the
// conditions that decide, and the keys. The logic is Kleene's: Depends may be answered where a cleverer
// argument about two conditions on one key would find that they always agree,
// but Allowed is never answered for a request that could be denied, nor a
// denial for one that could be allowed.
//
// The package is pure: no network, clock, environment or global state.
package eval
