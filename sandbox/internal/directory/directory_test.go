package directory_test

import (
	"encoding/base32"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const (
	vendor   = iam.AccountID("111122223333")
	customer = iam.AccountID("444455556666")
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// newDirectory returns a directory with two accounts, a fixed source of
// randomness and the given delay.
func newDirectory(t rapid.TB, delay time.Duration) *directory.Directory {
	t.Helper()
	d := directory.New(directory.Options{Random: rand.NewChaCha8([32]byte{1}), Delay: delay})
	for _, id := range []iam.AccountID{vendor, customer} {
		if _, err := d.CreateAccount(id, "aws"); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// anyTrust is a trust policy that names nobody in particular.
func anyTrust(t rapid.TB, d *directory.Directory) *directory.Document {
	t.Helper()
	return trust(t, d, `"*"`)
}

func trust(t rapid.TB, d *directory.Directory, principal string) *directory.Document {
	t.Helper()
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`
	document, err := d.Latest().NewResourceDocument(text, iam.KindTrust, "trust")
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func createRole(t rapid.TB, d *directory.Directory, now time.Time, account iam.AccountID, path, name string) *directory.Role {
	t.Helper()
	role, err := d.CreateRole(now, directory.Role{
		Identity: directory.Identity{Account: account, Path: path, Name: name}, Trust: anyTrust(t, d),
	})
	if err != nil {
		t.Fatal(err)
	}
	return role
}

func createUser(t rapid.TB, d *directory.Directory, now time.Time, name string) *directory.User {
	t.Helper()
	user, err := d.CreateUser(now, directory.User{Identity: directory.Identity{Account: vendor, Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// code returns the AWS error code of err, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "not an AWS error: " + err.Error()
}

func TestChangesTakeEffectAfterTheDelay(t *testing.T) {
	const delay = 10 * time.Second
	d := newDirectory(t, delay)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	inEffect := func(now int, want *directory.Role, description string) {
		t.Helper()
		role, ok := d.Effective(at(now)).Role(customer, "Reader")
		switch {
		case !ok && want == nil:
		case !ok || want == nil || role.ID != want.ID || role.Description != description:
			t.Errorf("in effect at %d s: %+v, want %+v described %q", now, role, want, description)
		}
	}

	old := createRole(t, d, at(0), customer, "/", "Reader")
	inEffect(0, nil, "")
	inEffect(9, nil, "")
	inEffect(10, old, "")

	if _, err := d.UpdateRole(at(20), customer, "reader", func(r *directory.Role) error { r.Description = "changed"; return nil }); err != nil {
		t.Fatal(err)
	}
	inEffect(20, old, "")
	inEffect(29, old, "")
	inEffect(30, old, "changed")

	if err := d.DeleteRole(at(40), customer, "READER"); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Latest().Role(customer, "Reader"); ok {
		t.Error("the deleted role is the latest")
	}
	inEffect(40, old, "changed")

	renewed := createRole(t, d, at(45), customer, "/", "reader")
	if role, ok := d.Latest().Role(customer, "Reader"); !ok || role.ID != renewed.ID {
		t.Errorf("the latest role is %+v, want the renewed one", role)
	}
	inEffect(49, old, "changed")
	inEffect(50, nil, "")
	inEffect(54, nil, "")
	inEffect(55, renewed, "")
	if _, ok := d.Effective(at(55)).RoleByID(old.ID); ok {
		t.Error("the deleted role is still in effect under its id")
	}

	// A write long after buries the old role and leaves the new one.
	createRole(t, d, at(500), customer, "/", "other")
	inEffect(500, renewed, "")
}

func TestNewAccessKeysTakeEffectAfterTheDelay(t *testing.T) {
	d := newDirectory(t, 5*time.Second)
	createUser(t, d, start, "alice")
	key, err := d.CreateAccessKey(start.Add(time.Second), vendor, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Effective(start.Add(5 * time.Second)).AccessKey(key.ID); ok {
		t.Error("the key is in effect too early")
	}
	if got, ok := d.Effective(start.Add(6 * time.Second)).AccessKey(key.ID); !ok || got != key {
		t.Errorf("the key in effect is %v, %v", got.ID, ok)
	}
	if err := d.SetAccessKeyActive(start.Add(10*time.Second), vendor, "alice", key.ID, false); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Effective(start.Add(14 * time.Second)).AccessKey(key.ID); !got.Active {
		t.Error("the key is switched off too early")
	}
	if got, _ := d.Effective(start.Add(15 * time.Second)).AccessKey(key.ID); got.Active {
		t.Error("the key is not switched off")
	}
	if err := d.DeleteAccessKey(start.Add(20*time.Second), vendor, "alice", key.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Latest().AccessKey(key.ID); ok {
		t.Error("the deleted key is still there")
	}
	if _, ok := d.Effective(start.Add(24 * time.Second)).AccessKey(key.ID); !ok {
		t.Error("the deleted key is gone too early")
	}
}

// A failed edit leaves no trace, also when it fails after it changed the copy.
func TestFailedWritesChangeNothing(t *testing.T) {
	d := newDirectory(t, 0)
	createRole(t, d, start, customer, "/", "r")
	before, _ := d.Latest().Role(customer, "r")
	edits := map[string]func(*directory.Role) error{
		"edit fails": func(r *directory.Role) error {
			r.Description = "x"
			return errors.New("no")
		},
		"unknown policy": func(r *directory.Role) error {
			r.Attached = []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::444455556666:policy/none"}
			return nil
		},
		"unknown boundary": func(r *directory.Role) error {
			r.Boundary = "arn:aws:iam::444455556666:policy/none"
			return nil
		},
		"another partition's policy": func(r *directory.Role) error {
			r.Attached = []string{"arn:aws-cn:iam::aws:policy/ReadOnlyAccess"}
			return nil
		},
		"another account's policy": func(r *directory.Role) error {
			r.Attached = []string{"arn:aws:iam::111122223333:policy/p"}
			return nil
		},
	}
	if _, err := d.CreateManagedPolicy(start, directory.ManagedPolicy{Account: vendor, Name: "p"}, allowAll(t)); err != nil {
		t.Fatal(err)
	}
	for name, edit := range edits {
		if _, err := d.UpdateRole(start, customer, "r", edit); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	after, _ := d.Latest().Role(customer, "r")
	if after != before {
		t.Errorf("the role changed: %+v", after)
	}
	attached, bounded := d.Latest().PolicyUse(customer, "arn:aws:iam::aws:policy/ReadOnlyAccess")
	if len(attached)+len(bounded) > 0 {
		t.Errorf("a failed write counts as use: %v %v", attached, bounded)
	}
}

func allowAll(t rapid.TB) *directory.Document {
	t.Helper()
	document, err := directory.NewDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, iam.KindIdentity, "all")
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestConflicts(t *testing.T) {
	d := newDirectory(t, 0)
	const managed = "arn:aws:iam::444455556666:policy/p"
	createRole(t, d, start, customer, "/a/", "Role")
	createUser(t, d, start, "User")
	if _, err := d.CreateManagedPolicy(start, directory.ManagedPolicy{Account: customer, Name: "p"}, allowAll(t)); err != nil {
		t.Fatal(err)
	}
	edit := func(f func(*directory.Role)) func() error {
		return func() error {
			_, err := d.UpdateRole(start, customer, "Role", func(r *directory.Role) error { f(r); return nil })
			return err
		}
	}
	key, err := d.CreateAccessKey(start, vendor, "user")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"a role of the same name in other case", func() error {
			_, err := d.CreateRole(start, directory.Role{Identity: directory.Identity{Account: customer, Name: "ROLE"}, Trust: anyTrust(t, d)})
			return err
		}, "EntityAlreadyExists"},
		{"a user of the same name", func() error {
			_, err := d.CreateUser(start, directory.User{Identity: directory.Identity{Account: vendor, Name: "uSER"}})
			return err
		}, "EntityAlreadyExists"},
		{"a policy of the same name on another path", func() error {
			_, err := d.CreateManagedPolicy(start, directory.ManagedPolicy{Account: customer, Path: "/x/", Name: "P"}, allowAll(t))
			return err
		}, "EntityAlreadyExists"},
		{"the account again", func() error { _, err := d.CreateAccount(customer, "aws"); return err }, "EntityAlreadyExists"},
		{"a role in no account", func() error {
			_, err := d.CreateRole(start, directory.Role{Identity: directory.Identity{Account: "000000000000", Name: "r"}})
			return err
		}, "NoSuchEntity"},
		{"attach", edit(func(r *directory.Role) { r.Attached = []string{managed} }), ""},
		{"delete an attached policy", func() error { return d.DeleteManagedPolicy(start, managed) }, "DeleteConflict"},
		{"delete a role with a policy", func() error { return d.DeleteRole(start, customer, "Role") }, "DeleteConflict"},
		{"turn it into the boundary", edit(func(r *directory.Role) { r.Attached, r.Boundary = nil, managed }), ""},
		{"delete a boundary in use", func() error { return d.DeleteManagedPolicy(start, managed) }, "DeleteConflict"},
		{"an inline policy", edit(func(r *directory.Role) {
			r.Inline = directory.SetInline(r.Inline, directory.InlinePolicy{Name: "i", Document: allowAll(t)})
		}), ""},
		{"delete a role with an inline policy", func() error { return d.DeleteRole(start, customer, "Role") }, "DeleteConflict"},
		{"no inline policy", edit(func(r *directory.Role) { r.Inline = nil }), ""},
		{"delete a role with a boundary", func() error { return d.DeleteRole(start, customer, "Role") }, ""},
		{"delete it again", func() error { return d.DeleteRole(start, customer, "Role") }, "NoSuchEntity"},
		{"a second version", func() error {
			_, err := d.UpdateManagedPolicy(start, managed, func(p *directory.ManagedPolicy) error { p.AddVersion(allowAll(t), start); return nil })
			return err
		}, ""},
		{"delete a policy with two versions", func() error { return d.DeleteManagedPolicy(start, managed) }, "DeleteConflict"},
		{"change AWS's policy", func() error {
			_, err := d.UpdateManagedPolicy(start, "arn:aws:iam::aws:policy/ReadOnlyAccess", func(*directory.ManagedPolicy) error { return nil })
			return err
		}, "AccessDenied"},
		{"delete a user with a key", func() error { return d.DeleteUser(start, vendor, "User") }, "DeleteConflict"},
		{"a second key", func() error { _, err := d.CreateAccessKey(start, vendor, "User"); return err }, ""},
		{"a third key", func() error { _, err := d.CreateAccessKey(start, vendor, "User"); return err }, "LimitExceeded"},
		{"delete the key of another", func() error { return d.DeleteAccessKey(start, vendor, "User", "AKIANONE") }, "NoSuchEntity"},
		{"delete the key", func() error { return d.DeleteAccessKey(start, vendor, "User", key.ID) }, ""},
		{"an alias", func() error { return d.SetAlias(vendor, "acme") }, ""},
		{"the alias of another", func() error { return d.SetAlias(customer, "acme") }, "EntityAlreadyExists"},
		{"another alias", func() error { return d.SetAlias(vendor, "acme-2") }, ""},
		{"the alias that is free now", func() error { return d.SetAlias(customer, "acme") }, ""},
	}
	for _, step := range steps {
		if got := code(step.do()); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

func TestIDsHaveAWSShape(t *testing.T) {
	d := newDirectory(t, 0)
	role := createRole(t, d, start, customer, "/", "r")
	user := createUser(t, d, start, "u")
	policy, err := d.CreateManagedPolicy(start, directory.ManagedPolicy{Account: customer, Name: "p"}, allowAll(t))
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.CreateAccessKey(start, vendor, "u")
	if err != nil {
		t.Fatal(err)
	}
	session := d.StartSession(directory.Session{Account: customer, Issued: start, Expiry: start.Add(time.Hour)})
	for id, pattern := range map[string]string{
		role.ID:             `^AROA[A-Z2-7]{17}$`,
		user.ID:             `^AIDA[A-Z2-7]{17}$`,
		policy.ID:           `^ANPA[A-Z2-7]{17}$`,
		key.ID:              `^AKIA[A-Z2-7]{16}$`,
		session.AccessKeyID: `^ASIA[A-Z2-7]{16}$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(id) {
			t.Errorf("id %q does not match %s", id, pattern)
		}
	}
	if len(key.Secret) != 40 || len(session.SecretAccessKey) != 40 || len(session.Token) < 100 {
		t.Errorf("secrets have %d and %d characters, the token %d", len(key.Secret), len(session.SecretAccessKey), len(session.Token))
	}
	for id, want := range map[string]int64{key.ID: 111122223333, session.AccessKeyID: 444455556666} {
		if got := accountOfKey(t, id); got != want {
			t.Errorf("the access key says account %d, want %d", got, want)
		}
	}
}

// accountOfKey reads the account out of an access key id, as public tools do.
func accountOfKey(t *testing.T, id string) int64 {
	t.Helper()
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(id[4:])
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, c := range b[:6] {
		n = n<<8 | int64(c)
	}
	return n & 0x7FFFFFFFFF80 >> 7
}

func TestSessions(t *testing.T) {
	d := newDirectory(t, 0)
	first := d.StartSession(directory.Session{
		Type: iam.PrincipalRoleSession, Account: customer, PrincipalID: "AROA1", Name: "s", Issued: start, Expiry: start.Add(time.Hour),
	})
	if got := first.UserID(); got != "AROA1:s" {
		t.Errorf("user id %q", got)
	}
	if first.Expired(start.Add(time.Hour-1)) || !first.Expired(start.Add(time.Hour)) {
		t.Error("a session must expire at its expiry and not before")
	}
	later := start.Add(90 * time.Minute)
	d.StartSession(directory.Session{Account: customer, Issued: later, Expiry: later.Add(time.Hour)})
	if got, ok := d.Session(first.AccessKeyID); !ok || got != first {
		t.Error("a session that expired half an hour ago is forgotten")
	}
	later = start.Add(3 * time.Hour)
	d.StartSession(directory.Session{Account: customer, Issued: later, Expiry: later.Add(time.Hour)})
	if _, ok := d.Session(first.AccessKeyID); ok {
		t.Error("a session that expired two hours ago is remembered")
	}
}

func TestLastUse(t *testing.T) {
	d := newDirectory(t, 0)
	role := createRole(t, d, start, customer, "/", "r")
	session := d.StartSession(directory.Session{Account: customer, PrincipalID: role.ID, Issued: start, Expiry: start.Add(time.Hour)})
	if _, used := d.RoleLastUse(role.ID); used {
		t.Error("a new role was used")
	}
	use := directory.LastUse{At: start, Service: "s3", Region: "us-east-1"}
	d.RecordUse(session.AccessKeyID, use)
	if got, _ := d.RoleLastUse(role.ID); got != use {
		t.Errorf("last use of the role: %+v", got)
	}
	a, _ := d.Account(vendor)
	d.RecordUse(a.RootKey().ID, use)
	if got, _ := d.KeyLastUse(a.RootKey().ID); got != use {
		t.Errorf("last use of the key: %+v", got)
	}
}

func TestPoliciesFollowAttachmentsAndDefaults(t *testing.T) {
	d := newDirectory(t, 0)
	const managed = "arn:aws:iam::444455556666:policy/team/p"
	createRole(t, d, start, customer, "/", "r")
	if _, err := d.CreateManagedPolicy(start, directory.ManagedPolicy{Account: customer, Path: "/team/", Name: "p"}, allowAll(t)); err != nil {
		t.Fatal(err)
	}
	role, err := d.UpdateRole(start, customer, "r", func(r *directory.Role) error {
		r.Attached = []string{managed, "arn:aws:iam::aws:policy/ReadOnlyAccess"}
		r.Boundary = managed
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := directory.NewDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, iam.KindIdentity, "second")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.UpdateManagedPolicy(start, managed, func(p *directory.ManagedPolicy) error {
		p.Default = p.AddVersion(second, start)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	identity, boundary := d.Latest().Policies(&role.Identity)
	names := make([]string, len(identity))
	for i, p := range identity {
		names[i] = p.Name()
	}
	if diff := cmp.Diff([]string{"second", "AWS managed policy ReadOnlyAccess"}, names); diff != "" {
		t.Errorf("identity policies (-want +got):\n%s", diff)
	}
	if boundary == nil || boundary.Name() != "second" {
		t.Errorf("boundary %v", boundary)
	}
}

func TestPages(t *testing.T) {
	d := newDirectory(t, 0)
	for _, name := range []string{"b", "A", "c", "D"} {
		createRole(t, d, start, customer, "/x/", name)
	}
	createRole(t, d, start, customer, "/y/", "bb")
	var names []string
	after := ""
	for {
		roles, more := d.Latest().Roles(customer, "/x/", after, 3)
		for _, r := range roles {
			names = append(names, r.Name)
		}
		if !more {
			break
		}
		after = names[len(names)-1]
		createRole(t, d, start, customer, "/x/", "cc") // lists may change between pages
	}
	if got := strings.Join(names, " "); got != "A b c cc D" {
		t.Errorf("pages give %q", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	d := newDirectory(t, time.Second)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			account := []iam.AccountID{vendor, customer}[worker%2]
			for i := range 50 {
				now := start.Add(time.Duration(i) * time.Second)
				name := string(rune('a' + i%5))
				document, err := directory.NewDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, iam.KindIdentity, "x")
				if err != nil {
					t.Error(err)
					return
				}
				d.CreateRole(now, directory.Role{Identity: directory.Identity{Account: account, Name: name}, Trust: document})
				d.UpdateRole(now, account, name, func(r *directory.Role) error {
					r.Inline = directory.SetInline(r.Inline, directory.InlinePolicy{Name: name, Document: document})
					r.Attached = []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}
					return nil
				})
				for _, view := range []directory.View{d.Latest(), d.Effective(now)} {
					if r, ok := view.Role(account, name); ok {
						view.Policies(&r.Identity)
						view.RoleByID(r.ID)
					}
					view.Roles(account, "", "", 10)
				}
				s := d.StartSession(directory.Session{Account: account, Issued: now, Expiry: now.Add(time.Minute)})
				d.RecordUse(s.AccessKeyID, directory.LastUse{At: now})
				d.UpdateRole(now, account, name, func(r *directory.Role) error { r.Inline, r.Attached = nil, nil; return nil })
				d.DeleteRole(now, account, name)
			}
		})
	}
	wg.Wait()
}
