// Package lint finds what is wrong or unwise in one policy document: elements
// AWS would refuse, statements that never match, grants wider than they look.
//
// [Document] takes the JSON text, [Policy] a policy that is already parsed or
// was built. Both return findings with a stable id (GX-A02), a severity, a place
// and the way to mend it; the caller decides which of them block. The rules are
// listed by [Rules].
//
// A missing finding is bad, a false one is worse: what the linter cannot know,
// such as the value of a symbol (see [iam.Symbol]), an action newer than its
// data, or who an account belongs to, is taken to be right.
//
// The package is pure. Its functions may be called from several goroutines and
// never change the policy.
package lint
