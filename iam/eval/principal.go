package eval

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// grade says how directly an Allow statement of a resource policy names the
// principal, which decides whose implicit denials still count.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html#policy-eval-basics-same-account
type grade int8

const (
	gradeNone    grade = iota
	gradeAccount       // the principal's account: that account decides
	gradeRole          // the role behind a session, or a federated user's parent: boundary and session policies limit
	gradeUser          // an IAM user by its ARN: nothing limits, but see switches.go for trust policies
	gradeDirect        // the session itself, everybody, a service, an identity provider: nothing limits

	grades = int(gradeDirect) + 1
)

// A principalEntry is one compiled value of Principal or NotPrincipal.
type principalEntry struct {
	kind    entryKind
	text    string // ARN, unique id, service, provider or account id
	name    string // of a role: its name without the path
	account string // of an ARN
}

type entryKind int8

const (
	entryEverybody entryKind = iota
	entryAccount             // an account id or its root ARN; text is the id, name the partition or ""
	entryRole                // a role's ARN
	entryARN                 // any other ARN
	entryUniqueID            // AROA…, AIDA…
	entryService
	entryFederated
	entryCanonical
)

func compilePrincipals(p *iam.Principals) ([]principalEntry, error) {
	entries := []principalEntry{} // not nil: naming nobody is not naming everybody
	if p.All {
		entries = append(entries, principalEntry{kind: entryEverybody})
	}
	for _, s := range p.AWS {
		e, err := compileAWSPrincipal(s)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	for _, s := range p.Service {
		entries = append(entries, principalEntry{kind: entryService, text: s})
	}
	for _, s := range p.Federated {
		entries = append(entries, principalEntry{kind: entryFederated, text: s})
	}
	for _, s := range p.CanonicalUser {
		entries = append(entries, principalEntry{kind: entryCanonical, text: s})
	}
	return entries, nil
}

// compileAWSPrincipal translates a value under "AWS". It cannot contain
// wildcards except for a lone *.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func compileAWSPrincipal(s string) (principalEntry, error) {
	if s == "*" {
		return principalEntry{kind: entryEverybody}, nil
	}
	if s != "" && allDigits(s) {
		// The number of digits is for iam/lint to check.
		return principalEntry{kind: entryAccount, text: s}, nil
	}
	arn, err := iam.ParseARN(s)
	switch {
	case err != nil && strings.HasPrefix(s, "A") && len(s) >= 16 && !strings.ContainsAny(s, ":/* "):
		return principalEntry{kind: entryUniqueID, text: s}, nil
	case err != nil:
		return principalEntry{}, fmt.Errorf("principal %q is neither an ARN, an account id, a unique id nor \"*\"", s)
	case arn.Service == "iam" && arn.Resource == "root":
		return principalEntry{kind: entryAccount, text: arn.Account, name: arn.Partition}, nil
	case arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/"):
		return principalEntry{kind: entryRole, text: s, account: arn.Account, name: lastPart(arn.Resource)}, nil
	}
	return principalEntry{kind: entryARN, text: s, account: arn.Account}, nil
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// names reports whether the entry names the principal of the request, and how
// directly.
func (p *principalEntry) names(e *env) (tri, grade) {
	caller := e.principal
	switch p.kind {
	case entryEverybody:
		return yes, gradeDirect

	case entryAccount:
		if caller.Account == "" || string(caller.Account) != p.text || p.name != "" && e.partition != "" && p.name != e.partition {
			return no, gradeNone
		}
		if caller.Type == iam.PrincipalRootUser {
			return yes, gradeDirect
		}
		return yes, gradeAccount

	case entryRole:
		switch caller.Type {
		case iam.PrincipalRole:
			return truth(caller.ARN == p.text), gradeRole
		case iam.PrincipalRoleSession:
			if caller.RoleARN != "" {
				return truth(caller.RoleARN == p.text), gradeRole
			}
			// The session's ARN lacks the role's path, but role names are unique
			// within an account.
			return truth(p.account == string(caller.Account) && p.name == e.roleName), gradeRole
		}
		return no, gradeNone

	case entryARN:
		switch {
		case p.text == caller.ARN && caller.Type == iam.PrincipalUser:
			return yes, gradeUser
		case p.text == caller.ARN && caller.Type != iam.PrincipalService && caller.Type != iam.PrincipalWebIdentity:
			return yes, gradeDirect
		case caller.Type == iam.PrincipalFederatedUser && p.text == caller.RoleARN:
			return yes, gradeRole // its parent user
		case caller.Type == iam.PrincipalRole && p.account == string(caller.Account) && isSessionOf(p.text, e.roleName):
			return e.isSession(lastPart(p.text)), gradeDirect
		}
		return no, gradeNone

	case entryUniqueID:
		if caller.UniqueID == "" || caller.UniqueID != p.text {
			return no, gradeNone
		}
		if caller.Type == iam.PrincipalUser {
			return yes, gradeUser
		}
		return yes, gradeRole

	case entryService:
		return truth(caller.Type == iam.PrincipalService && caller.ARN == p.text), gradeDirect

	case entryFederated:
		return truth(caller.Type == iam.PrincipalWebIdentity && caller.ARN == p.text), gradeDirect

	case entryCanonical:
		if caller.Account == "" {
			return no, gradeNone
		}
		return e.isKnownAs(p.text), gradeAccount
	}
	return no, gradeNone
}

// isSession reports whether the role that calls does so in the session of this
// name. aws:userid, which ends in the session's name, shows it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func (e *env) isSession(name string) tri {
	values, _, state := e.context.Lookup(userIDKey)
	switch state {
	case iam.KeyUnknown:
		return maybe
	case iam.KeyGiven:
		if len(values) == 1 {
			_, session, _ := strings.Cut(values[0], ":")
			return truth(session == name)
		}
	}
	return no
}

const userIDKey = "aws:userid"

// canonicalUserKey is where a context says what the canonical user id of the
// caller's account is. AWS has no such condition key; it knows.
const canonicalUserKey = "crossaccount:canonicaluserid"

// isKnownAs reports whether the caller's account has the canonical user id.
func (e *env) isKnownAs(id string) tri {
	values, _, state := e.context.Lookup(canonicalUserKey)
	if state == iam.KeyUnknown {
		return maybe
	}
	return truth(len(values) == 1 && values[0] == id)
}

// isSessionOf reports whether arn is of a session of the role with this name,
// which must belong to the same account.
func isSessionOf(arn, roleName string) bool {
	_, rest, ok := strings.Cut(arn, ":assumed-role/")
	return ok && len(rest) > len(roleName) && rest[len(roleName)] == '/' && rest[:len(roleName)] == roleName
}

// A naming says for each grade whether the principal is named in that way.
type naming [grades]tri

// best is the answer to "is the principal named at all".
func (n *naming) best() tri {
	result := no
	for _, t := range n {
		result = or(result, t)
	}
	return result
}

// namesPrincipal reports how a Principal element names the caller.
func namesPrincipal(entries []principalEntry, e *env) naming {
	var n naming
	for i := range entries {
		if t, g := entries[i].names(e); t != no {
			n[g] = or(n[g], t)
		}
	}
	return n
}

// namesAllBut reports whether a NotPrincipal element leaves the caller in. With
// Deny, a caller is spared only if all it is known as is listed, and never if it
// has a permissions boundary.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
func namesAllBut(entries []principalEntry, deny bool, e *env) tri {
	if deny && e.hasBoundary {
		return yes
	}
	account, role, self, everybody := no, no, no, no
	for i := range entries {
		t, g := entries[i].names(e)
		switch {
		case entries[i].kind == entryEverybody:
			everybody = yes
		case g == gradeAccount:
			account = or(account, t)
		case g == gradeRole:
			role = or(role, t)
		case g != gradeNone:
			self = or(self, t)
		}
	}
	listed := or(or(account, role), self)
	if deny && switchNotPrincipalNeedsWholeChain {
		switch e.principal.Type {
		case iam.PrincipalUser:
			listed = and(account, self)
		case iam.PrincipalRole:
			listed = and(account, role)
		case iam.PrincipalRoleSession, iam.PrincipalFederatedUser:
			listed = and(and(account, role), self)
		}
	}
	return not(or(listed, everybody))
}
