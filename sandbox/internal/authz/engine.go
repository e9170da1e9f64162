package authz

import (
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An Engine resolves callers and decides calls for all services of a sandbox.
// It is safe for concurrent use.
type Engine struct {
	directory *directory.Directory
	record    ring

	mu            sync.RWMutex
	organizations map[iam.AccountID]string
}

// New returns an engine that reads principals from d and remembers the last
// remember calls.
func New(d *directory.Directory, remember int) *Engine {
	return &Engine{
		directory:     d,
		record:        ring{size: max(remember, 1)},
		organizations: make(map[iam.AccountID]string),
	}
}

// SetOrganization says which organisation an account belongs to ("o-…"), for
// aws:PrincipalOrgID and aws:ResourceOrgID. Empty means none.
func (e *Engine) SetOrganization(account iam.AccountID, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.organizations[account] = id
}

// Organization returns the organisation of an account, empty if none.
func (e *Engine) Organization(account iam.AccountID) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.organizations[account]
}

// NewCall prepares a call for being authorized. The fields of c are the
// request's; whatever c was prepared for before is replaced.
func (e *Engine) NewCall(c Call) *Call {
	c.engine = e
	c.trace = &trace{}
	return &c
}

// addCallerPolicies fills in the layers that hang on the caller, as they are
// in force at the time of the call.
func (e *Engine) addCallerPolicies(c *Call, in *eval.Input) {
	view := e.directory.Effective(c.Now)
	p := &c.Caller.Principal
	switch p.Type {
	case iam.PrincipalUser:
		if user, ok := view.UserByID(p.UniqueID); ok {
			in.Identity, in.Boundary = view.Policies(&user.Identity)
		}
	case iam.PrincipalRoleSession:
		if role, ok := view.RoleByID(p.UniqueID); ok {
			in.Identity, in.Boundary = view.Policies(&role.Identity)
		}
	default: // nobody else has policies of their own
	}
	if c.Caller.Session != nil {
		in.Session = c.Caller.Session.Policies
	}
}

// serviceSession is how long the session of a service role lives.
const serviceSession = time.Hour

func (e *Engine) assumeForService(c *Call, roleARN, service, sourceARN, sessionName string) (*Call, error) {
	view := e.directory.Effective(c.Now)
	q := Query{Action: "sts:AssumeRole", Resource: roleARN, Trust: true}
	byService := *c
	byService.Caller = Caller{Principal: iam.Principal{Type: iam.PrincipalService, ARN: service}}
	byService.Via = nil
	byService.SourceIP = ""
	byService.SourceARN = sourceARN
	role, found := roleByARN(view, roleARN)
	if found {
		q.ResourcePolicy = role.Trust.Compiled
	}
	if err := byService.Authorize(q); err != nil {
		return nil, err
	}
	if !found { // an allow without a trust policy would be a fault of eval
		return nil, wire.Errorf(500, "InternalFailure", "role %s does not exist", roleARN)
	}
	session := e.directory.StartSession(directory.Session{
		Type:        iam.PrincipalRoleSession,
		Account:     role.Account,
		PrincipalID: role.ID,
		Name:        sessionName,
		ARN:         role.SessionARN(sessionName),
		Issued:      c.Now,
		Expiry:      c.Now.Add(serviceSession),
	})
	byService.Caller, byService.SourceARN = roleCaller(role, session), ""
	return &byService, nil
}

// roleByARN finds a role by its exact ARN, path included.
func roleByARN(view directory.View, arn string) (*directory.Role, bool) {
	parsed, err := iam.ParseRoleARN(arn)
	if err != nil {
		return nil, false
	}
	role, ok := view.Role(parsed.Account, parsed.Name)
	if !ok || role.ARN() != arn {
		return nil, false
	}
	return role, true
}
