package eval

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// An env is what the statements of a decision look at: the request and what
// follows from it.
type env struct {
	context   *iam.Context
	principal *iam.Principal
	action    string
	resource  string

	lower           [128]byte // the action in lower case; AWS has none longer
	long            []byte    // or this, if it is longer all the same
	actionLen       int
	serviceLen      int    // of the part before the colon
	serviceHash     uint32 // see hashService
	lookup          lookup
	resourceFence   int    // see fenceOf
	partition       string // of the principal's ARN, "" if it has none
	roleName        string // of a role or the role behind a session
	resourceAccount iam.AccountID
	hasBoundary     bool

	// suppose, if it is set, answers for statements that are undetermined.
	suppose func(StatementRef) tri
}

func newEnv(in *Input) env {
	r := in.Request
	e := env{
		context:         &r.Context,
		principal:       &r.Principal,
		action:          r.Action,
		resource:        r.Resource,
		resourceFence:   fenceOf(r.Resource),
		partition:       segment(r.Principal.ARN, 1),
		resourceAccount: r.ResourceAccount,
		hasBoundary:     in.Boundary != nil,
	}
	e.actionLen = len(r.Action)
	if e.actionLen > len(e.lower) {
		e.long = []byte(strings.ToLower(r.Action))
	} else {
		for i := range e.actionLen {
			e.lower[i] = lower(r.Action[i])
		}
	}
	e.serviceLen = max(0, strings.IndexByte(r.Action, ':'))
	e.serviceHash = hashService(e.lowerAction()[:e.serviceLen])
	e.lookup = e.lookUp()
	if e.resourceAccount == "" {
		// Resources that belong to AWS itself have "aws" here, or nothing.
		if account := segment(r.Resource, 4); account != "" && allDigits(account) {
			e.resourceAccount = iam.AccountID(account)
		}
	}
	if e.resourceAccount == "" {
		e.resourceAccount = r.Principal.Account
	}
	switch r.Principal.Type {
	case iam.PrincipalRole:
		e.roleName = lastPart(r.Principal.ARN)
	case iam.PrincipalRoleSession:
		if rest := segment(r.Principal.ARN, 5); strings.HasPrefix(rest, "assumed-role/") {
			e.roleName, _, _ = strings.Cut(rest[len("assumed-role/"):], "/")
		}
	}
	return e
}

// segment returns segment n of an ARN, counting from 0; segment 5 reaches to the
// end. It returns "" if s is not an ARN.
func segment(s string, n int) string {
	if !strings.HasPrefix(s, "arn:") || strings.Count(s, ":") < 5 {
		return ""
	}
	for range n {
		s = s[strings.IndexByte(s, ':')+1:]
	}
	if n < 5 {
		s = s[:strings.IndexByte(s, ':')]
	}
	return s
}

// lowerAction returns the request's action in lower case.
func (e *env) lowerAction() []byte {
	if e.long != nil {
		return e.long
	}
	return e.lower[:e.actionLen]
}

// isService reports whether the action is one of the service with this prefix,
// in lower case.
func (e *env) isService(name string) bool { return string(e.lowerAction()[:e.serviceLen]) == name }

// isAction compares the request's action with one in lower case.
func (e *env) isAction(action string) bool { return string(e.lowerAction()) == action }
