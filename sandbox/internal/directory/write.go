package directory

import (
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreateRole adds a role and returns it with its unique id. Account, Name and
// Trust must be set; Path defaults to "/", Created to now, MaxSessionDuration
// to an hour, and the partition is the account's.
func (d *Directory) CreateRole(now time.Time, r Role) (*Role, error) {
	if r.MaxSessionDuration == 0 {
		r.MaxSessionDuration = time.Hour
	}
	err := d.write(r.Account, now, func(a *Account) error {
		if _, existing := a.roles.lookup(r.Name, (*entry[Role]).latest); existing != nil {
			return alreadyExists("Role with name %s already exists.", r.Name)
		}
		a.complete(&r.Identity, d.ids.uniqueID(prefixRole), now)
		if err := d.use(a, &Identity{}, &r.Identity); err != nil {
			return err
		}
		create(d, a, &a.roles, r.Name, r.ID, now, &r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// CreateUser adds a user and returns it with its unique id. Account and Name
// must be set; Path defaults to "/", Created to now, and the partition is the
// account's. Access keys are made by [Directory.CreateAccessKey].
func (d *Directory) CreateUser(now time.Time, u User) (*User, error) {
	u.Keys = nil
	err := d.write(u.Account, now, func(a *Account) error {
		if _, existing := a.users.lookup(u.Name, (*entry[User]).latest); existing != nil {
			return alreadyExists("User with name %s already exists.", u.Name)
		}
		a.complete(&u.Identity, d.ids.uniqueID(prefixUser), now)
		if err := d.use(a, &Identity{}, &u.Identity); err != nil {
			return err
		}
		create(d, a, &a.users, u.Name, u.ID, now, &u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// CreateManagedPolicy adds a managed policy with the given first version, which
// is its default. Account and Name must be set; Path defaults to "/".
func (d *Directory) CreateManagedPolicy(now time.Time, p ManagedPolicy, first *Document) (*ManagedPolicy, error) {
	err := d.write(p.Account, now, func(a *Account) error {
		if _, existing := a.policies.lookup(p.Name, (*entry[ManagedPolicy]).latest); existing != nil {
			return alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
		}
		p.Partition, p.ID, p.Created, p.Updated = a.Partition, d.ids.uniqueID(prefixPolicy), now, now
		if p.Path == "" {
			p.Path = "/"
		}
		p.Versions, p.LastVersion = nil, 0
		p.Default = p.AddVersion(first, now)
		a.policies.insert(p.Name, &entry[ManagedPolicy]{id: p.ID, account: a, versions: []version[ManagedPolicy]{{now, &p}}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// UpdateRole gives edit a copy of the role and makes the copy its next version.
// Edit must not call the directory; name, path and id stay as they are.
func (d *Directory) UpdateRole(now time.Time, account iam.AccountID, name string, edit func(*Role) error) (*Role, error) {
	var next Role
	err := d.write(account, now, func(a *Account) error {
		e, role := a.roles.lookup(name, (*entry[Role]).latest)
		if role == nil {
			return NoSuchRole(name)
		}
		next = *role
		if err := edit(&next); err != nil {
			return err
		}
		if err := d.use(a, &role.Identity, &next.Identity); err != nil {
			return err
		}
		e.put(now, now.Add(-d.delay), &next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// UpdateUser is UpdateRole for users. Access keys have functions of their own.
func (d *Directory) UpdateUser(now time.Time, account iam.AccountID, name string, edit func(*User) error) (*User, error) {
	var next User
	err := d.write(account, now, func(a *Account) error {
		e, user := a.users.lookup(name, (*entry[User]).latest)
		if user == nil {
			return NoSuchUser(name)
		}
		next = *user
		if err := edit(&next); err != nil {
			return err
		}
		if err := d.use(a, &user.Identity, &next.Identity); err != nil {
			return err
		}
		e.put(now, now.Add(-d.delay), &next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// UpdateManagedPolicy is UpdateRole for the managed policies of a customer's
// account.
func (d *Directory) UpdateManagedPolicy(now time.Time, arn string, edit func(*ManagedPolicy) error) (*ManagedPolicy, error) {
	var next ManagedPolicy
	err := d.writePolicy(arn, now, func(_ *Account, e *entry[ManagedPolicy]) error {
		next = *e.latest()
		if err := edit(&next); err != nil {
			return err
		}
		e.put(now, now.Add(-d.delay), &next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// DeleteRole deletes a role that has no policies left. Its sessions end with
// it, when the deletion takes effect.
func (d *Directory) DeleteRole(now time.Time, account iam.AccountID, name string) error {
	return d.write(account, now, func(a *Account) error {
		e, role := a.roles.lookup(name, (*entry[Role]).latest)
		if role == nil {
			return NoSuchRole(name)
		}
		if err := empty(&role.Identity); err != nil {
			return err
		}
		if err := d.use(a, &role.Identity, &Identity{ID: role.ID}); err != nil {
			return err
		}
		d.remove(a, now, func() {
			a.roles.remove(role.Name, e)
			d.byID.Delete(role.ID)
		})
		e.put(now, now.Add(-d.delay), nil)
		return nil
	})
}

// DeleteUser deletes a user that has neither policies nor access keys left.
func (d *Directory) DeleteUser(now time.Time, account iam.AccountID, name string) error {
	return d.write(account, now, func(a *Account) error {
		e, user := a.users.lookup(name, (*entry[User]).latest)
		if user == nil {
			return NoSuchUser(name)
		}
		if err := empty(&user.Identity); err != nil {
			return err
		}
		if len(user.Keys) > 0 {
			return deleteConflict("Cannot delete entity, must delete access keys first.")
		}
		if err := d.use(a, &user.Identity, &Identity{ID: user.ID}); err != nil {
			return err
		}
		d.remove(a, now, func() {
			a.users.remove(user.Name, e)
			d.byID.Delete(user.ID)
		})
		e.put(now, now.Add(-d.delay), nil)
		return nil
	})
}

// DeleteManagedPolicy deletes a managed policy that nobody uses and that has no
// version left but its default.
func (d *Directory) DeleteManagedPolicy(now time.Time, arn string) error {
	return d.writePolicy(arn, now, func(a *Account, e *entry[ManagedPolicy]) error {
		policy := e.latest()
		switch {
		case len(a.attachments[arn])+len(a.boundaries[arn]) > 0:
			return deleteConflict("Cannot delete a policy attached to entities.")
		case len(policy.Versions) > 1:
			return deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		d.remove(a, now, func() { a.policies.remove(policy.Name, e) })
		e.put(now, now.Add(-d.delay), nil)
		return nil
	})
}

// keysPerUser is an AWS limit that cannot be raised.
const keysPerUser = 2

// CreateAccessKey gives a user another access key.
func (d *Directory) CreateAccessKey(now time.Time, account iam.AccountID, userName string) (AccessKey, error) {
	var key AccessKey
	err := d.write(account, now, func(a *Account) error {
		e, user := a.users.lookup(userName, (*entry[User]).latest)
		if user == nil {
			return NoSuchUser(userName)
		}
		if len(user.Keys) >= keysPerUser {
			return wire.Errorf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", keysPerUser)
		}
		key = AccessKey{
			ID: d.newKeyID(prefixLongTermKey, account), Secret: d.ids.secret(),
			Account: account, UserID: user.ID, Active: true, Created: now,
		}
		next := *user
		next.Keys = append(slices.Clone(user.Keys), key)
		e.put(now, now.Add(-d.delay), &next)
		d.byKey.Store(key.ID, e)
		return nil
	})
	return key, err
}

// SetAccessKeyActive switches a user's access key on or off.
func (d *Directory) SetAccessKeyActive(now time.Time, account iam.AccountID, userName, keyID string, active bool) error {
	return d.editKeys(now, account, userName, keyID, func(keys []AccessKey, i int) []AccessKey {
		keys[i].Active = active
		return keys
	})
}

// DeleteAccessKey deletes a user's access key.
func (d *Directory) DeleteAccessKey(now time.Time, account iam.AccountID, userName, keyID string) error {
	return d.editKeys(now, account, userName, keyID, func(keys []AccessKey, i int) []AccessKey {
		return slices.Delete(keys, i, i+1)
	})
}

func (d *Directory) editKeys(now time.Time, account iam.AccountID, userName, keyID string, edit func(copied []AccessKey, i int) []AccessKey) error {
	return d.write(account, now, func(a *Account) error {
		e, user := a.users.lookup(userName, (*entry[User]).latest)
		if user == nil {
			return NoSuchUser(userName)
		}
		i := slices.IndexFunc(user.Keys, func(k AccessKey) bool { return k.ID == keyID })
		if i < 0 {
			return noSuchEntity("The Access Key with id %s cannot be found.", keyID)
		}
		next := *user
		next.Keys = edit(slices.Clone(user.Keys), i)
		if len(next.Keys) < len(user.Keys) {
			d.remove(a, now, func() {
				d.byKey.Delete(keyID)
				d.keyUses.Delete(keyID)
			})
		}
		e.put(now, now.Add(-d.delay), &next)
		return nil
	})
}

// write runs f with the account locked, after burying what no view can see any
// more.
func (d *Directory) write(account iam.AccountID, now time.Time, f func(*Account) error) error {
	a, ok := d.Account(account)
	if !ok {
		return noAccount(account)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	horizon := now.Add(-d.delay)
	for len(a.graves) > 0 && !a.graves[0].at.After(horizon) {
		a.graves[0].bury()
		a.graves = a.graves[1:]
	}
	return f(a)
}

func (d *Directory) writePolicy(arn string, now time.Time, f func(*Account, *entry[ManagedPolicy]) error) error {
	if _, ok := d.managed[arn]; ok {
		return wire.Errorf(http.StatusForbidden, "AccessDenied", "AWS managed policies cannot be changed")
	}
	parsed, err := iam.ParseARN(arn)
	if err != nil {
		return wire.BadRequest("InvalidInput", "ARN %s is not valid.", arn)
	}
	if _, ok := d.Account(iam.AccountID(parsed.Account)); !ok {
		return NoSuchPolicy(arn)
	}
	return d.write(iam.AccountID(parsed.Account), now, func(a *Account) error {
		e, policy := a.policies.lookup(policyName(arn), (*entry[ManagedPolicy]).latest)
		if policy == nil || policy.ARN() != arn {
			return NoSuchPolicy(arn)
		}
		return f(a, e)
	})
}

// remove takes something out of the indexes once no view can see it.
func (d *Directory) remove(a *Account, now time.Time, bury func()) {
	if d.delay == 0 {
		bury()
		return
	}
	a.graves = append(a.graves, grave{now, bury})
}

func (a *Account) complete(i *Identity, id string, now time.Time) {
	i.Partition, i.ID = a.Partition, id
	if i.Path == "" {
		i.Path = "/"
	}
	if i.Created.IsZero() {
		i.Created = now
	}
}

func create[T any](d *Directory, a *Account, t *table[T], name, id string, now time.Time, value *T) {
	e := &entry[T]{id: id, account: a, versions: []version[T]{{now, value}}}
	t.insert(name, e)
	d.byID.Store(id, e)
}

// use moves an identity's use of managed policies from what it was to what it
// becomes. It changes nothing if one of them does not exist.
func (d *Directory) use(a *Account, was, becomes *Identity) error {
	exists := func(arn string) bool {
		if _, ok := d.managed[arn]; ok {
			return strings.HasPrefix(arn, "arn:"+a.Partition+":")
		}
		_, p := a.policies.lookup(policyName(arn), (*entry[ManagedPolicy]).latest)
		return p != nil && p.ARN() == arn
	}
	for _, arn := range becomes.Attached {
		if !slices.Contains(was.Attached, arn) && !exists(arn) {
			return noSuchEntity("Policy %s does not exist or is not attachable.", arn)
		}
	}
	if becomes.Boundary != "" && becomes.Boundary != was.Boundary && !exists(becomes.Boundary) {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", becomes.Boundary)
	}
	for _, arn := range was.Attached {
		a.attachments.remove(arn, becomes.ID)
	}
	a.boundaries.remove(was.Boundary, becomes.ID)
	for _, arn := range becomes.Attached {
		a.attachments.add(arn, becomes.ID)
	}
	if becomes.Boundary != "" {
		a.boundaries.add(becomes.Boundary, becomes.ID)
	}
	return nil
}

// uses says who uses a managed policy: ARN -> unique ids of users and roles.
type uses map[string]map[string]bool

func (u uses) add(arn, id string) {
	if u[arn] == nil {
		u[arn] = make(map[string]bool)
	}
	u[arn][id] = true
}

func (u uses) remove(arn, id string) {
	delete(u[arn], id)
	if len(u[arn]) == 0 {
		delete(u, arn)
	}
}

func (u uses) of(arn string) []string { return slices.Sorted(maps.Keys(u[arn])) }

func empty(i *Identity) error {
	switch {
	case len(i.Attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(i.Inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return nil
}

// SetInline returns a copy of list with the policy put in its place by name,
// replacing one of the same name.
func SetInline(list []InlinePolicy, p InlinePolicy) []InlinePolicy {
	i := sort.Search(len(list), func(i int) bool { return list[i].Name >= p.Name })
	list = slices.Clone(list)
	if i < len(list) && list[i].Name == p.Name {
		list[i] = p
		return list
	}
	return slices.Insert(list, i, p)
}

func policyName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
