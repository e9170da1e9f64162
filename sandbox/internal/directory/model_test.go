package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A snapshot is the whole of an account as the model knows it. Names are in
// lower case.
type snapshot struct {
	roles    map[string]modelRole
	policies map[string]int // name -> number of the newest version
}

type modelRole struct {
	ID, Description string
	Attached        []string // sorted names
	Boundary        string
}

func (s snapshot) clone() snapshot {
	c := snapshot{roles: make(map[string]modelRole), policies: make(map[string]int)}
	for name, r := range s.roles {
		r.Attached = slices.Clone(r.Attached)
		c.roles[name] = r
	}
	for name, v := range s.policies {
		c.policies[name] = v
	}
	return c
}

// users returns how many roles have the policy attached or as their boundary.
func (s snapshot) users(policy string) int {
	n := 0
	for _, r := range s.roles {
		if slices.Contains(r.Attached, policy) || r.Boundary == policy {
			n++
		}
	}
	return n
}

// A moment is the state from a time on.
type moment struct {
	from  time.Time
	state snapshot
}

// Any sequence of writes leaves the newest state as a plain map would have it,
// and the state in effect as that map was a delay ago.
func TestDirectoryFollowsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := time.Duration(rapid.IntRange(0, 8).Draw(t, "delay")) * time.Second
		m := &model{t: t, d: newDirectory(t, delay), delay: delay, now: start, history: []moment{{state: snapshot{}.clone()}}}
		t.Repeat(map[string]func(*rapid.T){
			"wait":          m.wait,
			"create role":   m.createRole,
			"describe role": m.describeRole,
			"attach":        m.attach,
			"detach":        m.detach,
			"set boundary":  m.setBoundary,
			"delete role":   m.deleteRole,
			"create policy": m.createPolicy,
			"new version":   m.newVersion,
			"delete policy": m.deletePolicy,
			"":              m.compare,
		})
	})
}

type model struct {
	t       *rapid.T
	d       *directory.Directory
	delay   time.Duration
	now     time.Time
	history []moment
}

func (m *model) latest() snapshot { return m.history[len(m.history)-1].state }

func (m *model) effective() snapshot {
	for _, moment := range slices.Backward(m.history) {
		if !moment.from.After(m.now.Add(-m.delay)) {
			return moment.state
		}
	}
	return m.history[0].state
}

// write runs a write on the directory, checks its error code, and if it should
// succeed makes the same change in the model.
func (m *model) write(t *rapid.T, want string, do func() error, change func(*snapshot)) {
	if got := code(do()); got != want {
		t.Fatalf("got error %q, want %q", got, want)
	}
	if want == "" {
		next := m.latest().clone()
		change(&next)
		m.history = append(m.history, moment{m.now, next})
	}
}

// Names come in both cases, to find what forgets that they are the same.
var names = rapid.SampledFrom([]string{"a", "A", "b", "B"})

func policyARN(name string) string {
	return "arn:aws:iam::444455556666:policy/" + strings.ToLower(name)
}

func (m *model) wait(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second)
}

func (m *model) createRole(t *rapid.T) {
	name := names.Draw(t, "name")
	key := strings.ToLower(name)
	want := ""
	if _, exists := m.latest().roles[key]; exists {
		want = "EntityAlreadyExists"
	}
	var created *directory.Role
	m.write(t, want, func() (err error) {
		created, err = m.d.CreateRole(m.now, directory.Role{
			Identity: directory.Identity{Account: customer, Name: name}, Trust: anyTrust(t, m.d),
		})
		return err
	}, func(s *snapshot) { s.roles[key] = modelRole{ID: created.ID} })
}

// edit changes a role in the directory and in the model.
func (m *model) edit(t *rapid.T, wantIfThere func(modelRole) string, edit func(*directory.Role), change func(*modelRole)) {
	name := names.Draw(t, "name")
	role, exists := m.latest().roles[strings.ToLower(name)]
	want := "NoSuchEntity"
	if exists {
		want = wantIfThere(role)
	}
	m.write(t, want, func() error {
		_, err := m.d.UpdateRole(m.now, customer, name, func(r *directory.Role) error { edit(r); return nil })
		return err
	}, func(s *snapshot) {
		change(&role)
		s.roles[strings.ToLower(name)] = role
	})
}

func (m *model) describeRole(t *rapid.T) {
	text := rapid.StringMatching(`[a-c]{1,3}`).Draw(t, "description")
	m.edit(t, func(modelRole) string { return "" },
		func(r *directory.Role) { r.Description = text }, func(r *modelRole) { r.Description = text })
}

func (m *model) ifPolicyExists(name string) func(modelRole) string {
	return func(modelRole) string {
		if _, exists := m.latest().policies[name]; !exists {
			return "NoSuchEntity"
		}
		return ""
	}
}

func (m *model) attach(t *rapid.T) {
	policy := strings.ToLower(names.Draw(t, "policy"))
	m.edit(t, m.ifPolicyExists(policy), func(r *directory.Role) {
		if !slices.Contains(r.Attached, policyARN(policy)) {
			r.Attached = append(slices.Clone(r.Attached), policyARN(policy))
		}
	}, func(r *modelRole) {
		if !slices.Contains(r.Attached, policy) {
			r.Attached = append(slices.Clone(r.Attached), policy)
			slices.Sort(r.Attached)
		}
	})
}

func (m *model) detach(t *rapid.T) {
	m.edit(t, func(modelRole) string { return "" }, func(r *directory.Role) { r.Attached = nil }, func(r *modelRole) { r.Attached = nil })
}

func (m *model) setBoundary(t *rapid.T) {
	policy := strings.ToLower(names.Draw(t, "policy"))
	m.edit(t, m.ifPolicyExists(policy),
		func(r *directory.Role) { r.Boundary = policyARN(policy) }, func(r *modelRole) { r.Boundary = policy })
}

func (m *model) deleteRole(t *rapid.T) {
	name := names.Draw(t, "name")
	role, exists := m.latest().roles[strings.ToLower(name)]
	want := ""
	switch {
	case !exists:
		want = "NoSuchEntity"
	case len(role.Attached) > 0:
		want = "DeleteConflict"
	}
	m.write(t, want, func() error { return m.d.DeleteRole(m.now, customer, name) },
		func(s *snapshot) { delete(s.roles, strings.ToLower(name)) })
}

func (m *model) createPolicy(t *rapid.T) {
	name := strings.ToLower(names.Draw(t, "name"))
	want := ""
	if _, exists := m.latest().policies[name]; exists {
		want = "EntityAlreadyExists"
	}
	m.write(t, want, func() error {
		_, err := m.d.CreateManagedPolicy(m.now, directory.ManagedPolicy{Account: customer, Name: name}, allowAll(t))
		return err
	}, func(s *snapshot) { s.policies[name] = 1 })
}

func (m *model) newVersion(t *rapid.T) {
	name := strings.ToLower(names.Draw(t, "name"))
	want := ""
	if _, exists := m.latest().policies[name]; !exists {
		want = "NoSuchEntity"
	}
	m.write(t, want, func() error {
		_, err := m.d.UpdateManagedPolicy(m.now, policyARN(name), func(p *directory.ManagedPolicy) error {
			p.Default = p.AddVersion(allowAll(t), m.now)
			p.Versions = p.Versions[len(p.Versions)-1:]
			return nil
		})
		return err
	}, func(s *snapshot) { s.policies[name]++ })
}

func (m *model) deletePolicy(t *rapid.T) {
	name := strings.ToLower(names.Draw(t, "name"))
	_, exists := m.latest().policies[name]
	want := ""
	switch {
	case !exists:
		want = "NoSuchEntity"
	case m.latest().users(name) > 0:
		want = "DeleteConflict"
	}
	m.write(t, want, func() error { return m.d.DeleteManagedPolicy(m.now, policyARN(name)) },
		func(s *snapshot) { delete(s.policies, name) })
}

// compare reads everything through both views.
func (m *model) compare(t *rapid.T) {
	for name, pair := range map[string]struct {
		view directory.View
		want snapshot
	}{
		"latest":    {m.d.Latest(), m.latest()},
		"in effect": {m.d.Effective(m.now), m.effective()},
	} {
		if diff := cmp.Diff(pair.want, read(pair.view), cmp.AllowUnexported(snapshot{})); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, policy := range []string{"a", "b"} {
		attached, bounded := m.d.Latest().PolicyUse(customer, policyARN(policy))
		ids := append(attached, bounded...)
		slices.Sort(ids)
		if got, want := len(slices.Compact(ids)), m.latest().users(policy); got != want {
			t.Fatalf("policy %s is used by %d roles, want %d", policy, got, want)
		}
	}
}

func read(v directory.View) snapshot {
	s := snapshot{}.clone()
	roles, _ := v.Roles(customer, "", "", 100)
	for _, r := range roles {
		role := modelRole{ID: r.ID, Description: r.Description}
		for _, arn := range r.Attached {
			role.Attached = append(role.Attached, arn[strings.LastIndexByte(arn, '/')+1:])
		}
		slices.Sort(role.Attached)
		if r.Boundary != "" {
			role.Boundary = r.Boundary[strings.LastIndexByte(r.Boundary, '/')+1:]
		}
		if byID, ok := v.RoleByID(r.ID); !ok || byID != r {
			role.Description = fmt.Sprintf("by id: %+v", byID)
		}
		s.roles[strings.ToLower(r.Name)] = role
	}
	for _, name := range []string{"a", "b"} {
		if p, ok := v.ManagedPolicy(policyARN(name)); ok {
			s.policies[name] = p.LastVersion
		}
	}
	return s
}
