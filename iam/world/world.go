package world

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A World is a snapshot prepared for questions. It is safe for concurrent use.
type World struct{}

// Compile prepares a snapshot. It does not keep the snapshot. The error names
// what the snapshot refers to and does not have, if that can only be a mistake.
func Compile(s *Snapshot) (*World, error) { panic("being written") }

// Update merges a snapshot into the world, as [Snapshot.Merge] does, without
// looking at anything the patch does not mention.
func (w *World) Update(patch *Snapshot) error { panic("being written") }

// Can answers a question. The error says what is wrong with the question.
func (w *World) Can(q Question) (*Answer, error) { panic("being written") }

// An Answer is the answer to a question. It stays the same when the world is
// updated, and is safe for concurrent use.
type Answer struct {
	Question  Question
	Principal iam.Principal // as the question's principal was understood
	Decision  eval.Decision

	// Assumptions are things the snapshot does not say that were taken for
	// granted, as sentences.
	Assumptions []string
}

// Explain says why. It is worked out anew each time.
func (a *Answer) Explain() *eval.Explanation { panic("being written") }

// Requirements lists what a Depends answer hangs on.
func (a *Answer) Requirements() []Requirement { panic("being written") }

// Unknown returns the condition keys among the requirements, sorted.
func (a *Answer) Unknown() []string { panic("being written") }

// A FindingKind says what kind of principal a finding is about.
type FindingKind string

// The kinds of findings.
const (
	FindPrincipal       FindingKind = "principal"         // a user, role or root user of the world
	FindExternal        FindingKind = "external"          // a principal of an account the world does not list
	FindExternalAccount FindingKind = "external account"  // any principal of such an account
	FindAnyone          FindingKind = "any AWS principal" // of any account
	FindAnonymous       FindingKind = "anonymous"
	FindService         FindingKind = "service"
	FindProvider        FindingKind = "identity provider"
)

// A Finding is a principal that may do what was asked, surely or depending.
type Finding struct {
	Kind      FindingKind
	Principal string       // as in [Question.Principal]
	Verdict   eval.Verdict // Allowed or Depends

	// Via lists the roles the principal would have to assume, in order, if it
	// may not do it directly.
	Via []string
}

// Answer returns the answer behind the finding; for one through roles, whether
// the principal may assume the first of them.
func (f *Finding) Answer() *Answer { panic("being written") }

// WhoCanOptions changes what [World.WhoCan] looks for.
type WhoCanOptions struct {
	// Chains also finds those who may become somebody who may.
	Chains bool
}

// WhoCan returns everybody for whom [World.Can] answers Allowed or Depends,
// sorted.
func (w *World) WhoCan(q Question, o WhoCanOptions) ([]Finding, error) { panic("being written") }

// WhatCan lists what a principal may do.
func (w *World) WhatCan(q Question) (*Capabilities, error) { panic("being written") }

// Capabilities is what a principal may do.
type Capabilities struct {
	Principal string
	Grants    []Grant
}

// A Grant is a set of actions with the same answer on one resource.
type Grant struct {
	Actions  []string // patterns, such as "s3:Get*"
	Resource string   // the ARN of a resource of the world, or a pattern of a statement
	Known    bool     // Resource is a resource of the world
	Verdict  eval.Verdict
}
