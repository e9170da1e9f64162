// Package conformance asks real AWS accounts the questions that package eval
// answers, and keeps the answers as fixtures.
//
// [NewPlan] turns cases into things that can be made in two accounts: roles with
// policies, boundaries and session policies on the principal's side; buckets,
// objects and roles with trust policies on the resource's side. What cannot be
// made real is listed with the reason. [Recorder.Record] makes the things, waits
// until IAM has propagated them, asks, and removes them again. [Fixtures.Check]
// compares the engine with what was recorded.
//
// Everything made has a name beginning with [Prefix] and a tag [TagKey]; nothing
// else is ever changed or deleted. [Cleanup] removes what a killed run left
// behind.
package conformance
