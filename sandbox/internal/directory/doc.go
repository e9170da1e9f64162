// Package directory holds the sandbox's accounts and their principals: root
// users, users with their access keys, roles, managed policies and the
// sessions of temporary credentials.
//
// # Two views of the same state
//
// IAM is eventually consistent: a change is visible to the IAM API at once and
// takes effect in authorization later. Every user, role and managed policy
// therefore keeps its recent versions. [Directory.Latest] reads the newest
// state, which is what the IAM API answers from. [Directory.Effective] reads
// the state as it was [Options].Delay ago, which is what authorization decides
// by. Versions that no effective view can ask for again are dropped.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
//
// # Reading and writing
//
// What a [View] returns is immutable and shared: it must not be changed. A
// write is a function that edits a private copy; the copy becomes the next
// version if the function returns nil, and nothing changes otherwise. Slices
// in the copy are still shared with the version before, so a write replaces
// them and never changes their elements. Policies are parsed and compiled when
// they are written, see [NewDocument].
//
// A write costs as much as the entity it touches, whatever the size of the
// account. All functions are safe for concurrent use; writes to different
// accounts do not wait for each other. Refusals are [*wire.Error] values with
// IAM's codes and wording.
//
// # Unique ids
//
// A deleted role and a new role of the same name are two roles with two ids
// (AROA…), and neither the sessions of the first nor the policies that named
// it know the second. Policies that name principals are stored with ids in
// place of ARNs: see [View.ResolvePrincipals] and [View.RenderPrincipals].
package directory
