// Package world knows who and what there is: accounts, their organisation,
// principals and resources with all their policies. It answers who may do what,
// and always lets [github.com/crossaccount/crossaccount/iam/eval] decide.
//
// [Read] reads a snapshot, the world.json file described in docs/world.md, and
// [Snapshot.Add] merges what the aws command prints into one. [Compile] makes a
// [World] of it, which answers:
//
//   - [World.Can]: may this principal do this to that?
//   - [World.WhoCan]: who may do this to that, and on what conditions?
//   - [World.WhatCan]: what may this principal do?
//   - [ParseDenial]: what was asked, and refused, in an AccessDenied message or
//     a CloudTrail event? Ask [World.Can] the question it returns.
//
// # What is derived and what is unknown
//
// The condition keys that follow from the snapshot are set: those about the
// principal, the resource and their organisations. Keys that follow from
// nothing, such as aws:SourceIp, are unknown unless the question gives them or
// is closed. Policies that the snapshot names but does not contain, and those of
// accounts it does not list, are unknown too. An answer that hangs on something
// unknown is eval.Depends, and [Answer.Requirements] lists what it hangs on.
//
// The package is pure: no network, clock, environment or global state.
package world
