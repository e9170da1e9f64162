package directory

import (
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A View reads the directory as it is or as it was. What its methods return is
// immutable. A View is not a snapshot of the whole directory: two calls may see
// a write between them, as two calls to AWS may.
type View struct {
	d      *Directory
	at     time.Time // ignored if latest
	latest bool
}

// Latest returns the view of the newest state, which the IAM API answers from.
func (d *Directory) Latest() View { return View{d: d, latest: true} }

// Effective returns the view that authorization decides by at the given
// moment: the state of [Options].Delay earlier. Without a delay it is the
// newest state.
func (d *Directory) Effective(now time.Time) View {
	if d.delay == 0 {
		return d.Latest()
	}
	return View{d: d, at: now.Add(-d.delay)}
}

func read[T any](v View) func(*entry[T]) *T {
	if v.latest {
		return (*entry[T]).latest
	}
	return func(e *entry[T]) *T { return e.at(v.at) }
}

// Role returns the role of the given name, whatever its path. Names match
// regardless of case.
func (v View) Role(account iam.AccountID, name string) (*Role, bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, role := a.roles.lookup(name, read[Role](v))
	return role, role != nil
}

// User returns the user of the given name, whatever its path. Names match
// regardless of case.
func (v View) User(account iam.AccountID, name string) (*User, bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, user := a.users.lookup(name, read[User](v))
	return user, user != nil
}

// RoleByID returns the role with the given unique id.
func (v View) RoleByID(id string) (*Role, bool) { return byID[Role](v, id) }

// UserByID returns the user with the given unique id.
func (v View) UserByID(id string) (*User, bool) { return byID[User](v, id) }

func byID[T any](v View, id string) (*T, bool) {
	found, ok := v.d.byID.Load(id)
	if !ok {
		return nil, false
	}
	e, ok := found.(*entry[T])
	if !ok {
		return nil, false
	}
	e.account.mu.RLock()
	defer e.account.mu.RUnlock()
	value := read[T](v)(e)
	return value, value != nil
}

// ManagedPolicy returns the managed policy with the given ARN. AWS's own
// policies exist in every partition.
func (v View) ManagedPolicy(arn string) (*ManagedPolicy, bool) {
	if p, ok := v.d.managed[arn]; ok {
		return p, true
	}
	parsed, err := iam.ParseARN(arn)
	if err != nil || parsed.Service != "iam" {
		return nil, false
	}
	a, ok := v.d.Account(iam.AccountID(parsed.Account))
	if !ok {
		return nil, false
	}
	name := parsed.Resource[strings.LastIndexByte(parsed.Resource, '/')+1:]
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, policy := a.policies.lookup(name, read[ManagedPolicy](v))
	if policy == nil || policy.ARN() != arn {
		return nil, false
	}
	return policy, true
}

// AccessKey returns a long-term access key, which may be inactive. For the
// credentials of a session see [Directory.Session].
func (v View) AccessKey(id string) (AccessKey, bool) {
	found, ok := v.d.byKey.Load(id)
	if !ok {
		return AccessKey{}, false
	}
	switch owner := found.(type) {
	case *Account:
		return owner.root, true
	case *entry[User]:
		owner.account.mu.RLock()
		defer owner.account.mu.RUnlock()
		if user := read[User](v)(owner); user != nil {
			for _, key := range user.Keys {
				if key.ID == id {
					return key, true
				}
			}
		}
	}
	return AccessKey{}, false
}

// Policies returns the identity policies in force for a user or role, inline
// and attached, and its permissions boundary, nil if it has none. A boundary
// whose policy no longer exists allows nothing.
func (v View) Policies(i *Identity) (identity []*eval.Policy, boundary *eval.Policy) {
	identity = make([]*eval.Policy, 0, len(i.Inline)+len(i.Attached))
	for _, p := range i.Inline {
		identity = append(identity, p.Document.Compiled)
	}
	for _, arn := range i.Attached {
		if p, ok := v.ManagedPolicy(arn); ok {
			identity = append(identity, p.DefaultDocument().Compiled)
		}
	}
	if i.Boundary == "" {
		return identity, nil
	}
	if p, ok := v.ManagedPolicy(i.Boundary); ok {
		return identity, p.DefaultDocument().Compiled
	}
	return identity, nothing
}

// Roles returns up to limit roles of an account whose path begins with prefix
// and whose name follows after, sorted by name regardless of case, and whether
// there are more.
func (v View) Roles(account iam.AccountID, prefix, after string, limit int) (roles []*Role, more bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.roles.page(read[Role](v), after, limit, func(r *Role) bool { return strings.HasPrefix(r.Path, prefix) })
}

// Users is like Roles for users.
func (v View) Users(account iam.AccountID, prefix, after string, limit int) (users []*User, more bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.users.page(read[User](v), after, limit, func(u *User) bool { return strings.HasPrefix(u.Path, prefix) })
}

// ManagedPolicies is like Roles for the managed policies of an account, for
// those that keep accepts. AWS's own are in [Directory.AWSManagedPolicies].
func (v View) ManagedPolicies(account iam.AccountID, after string, limit int, keep func(*ManagedPolicy) bool) (policies []*ManagedPolicy, more bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.policies.page(read[ManagedPolicy](v), after, limit, keep)
}

// PolicyUse returns the unique ids of the users and roles of an account that a
// managed policy is attached to, and of those it is the permissions boundary
// of. The counts are current in every view.
func (v View) PolicyUse(account iam.AccountID, arn string) (attached, bounded []string) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.attachments.of(arn), a.boundaries.of(arn)
}

// PolicyUseCount returns how many ids [View.PolicyUse] would.
func (v View) PolicyUseCount(account iam.AccountID, arn string) (attached, bounded int) {
	a, ok := v.d.Account(account)
	if !ok {
		return 0, 0
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.attachments[arn]), len(a.boundaries[arn])
}

// Counts says how much an account has.
type Counts struct{ Users, Roles, ManagedPolicies, PolicyVersions int }

// Count counts an account's users, roles, managed policies and their versions.
func (v View) Count(account iam.AccountID) Counts {
	a, ok := v.d.Account(account)
	if !ok {
		return Counts{}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	var c Counts
	a.users.each(read[User](v), func(*User) { c.Users++ })
	a.roles.each(read[Role](v), func(*Role) { c.Roles++ })
	a.policies.each(read[ManagedPolicy](v), func(p *ManagedPolicy) {
		c.ManagedPolicies++
		c.PolicyVersions += len(p.Versions)
	})
	return c
}
