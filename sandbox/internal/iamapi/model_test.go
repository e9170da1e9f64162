package iamapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// Any sequence of calls leaves roles as plain maps would have them. Names are
// few and in both cases, so that they meet.
func TestRolesFollowTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &roleModel{roles: make(map[string]*modelRole)}
		m.client = client(sandboxtest.New(t, vendor, customer).Account(customer).Config())
		rt.Repeat(map[string]func(*rapid.T){
			"create": m.create,
			"put":    m.put,
			"drop":   m.drop,
			"attach": m.attach,
			"detach": m.detach,
			"tag":    m.tag,
			"untag":  m.untag,
			"delete": m.remove,
			"":       m.compare,
		})
	})
}

type roleModel struct {
	client *iam.Client
	roles  map[string]*modelRole // by name in lower case
}

type modelRole struct {
	Inline   map[string]string // name -> document
	Attached map[string]bool   // ARNs
	Tags     map[string]string // key in lower case -> key and value as written
}

var (
	roleNames = rapid.SampledFrom([]string{"a", "A", "b"})
	inlines   = rapid.SampledFrom([]string{"i", "I", "j"}) // inline policies' names differ by case
	tagKeys   = rapid.SampledFrom([]string{"k", "K", "l"})
	managed   = rapid.SampledFrom([]string{readOnly, "arn:aws:iam::aws:policy/SecurityAudit"})
)

const missing = "Not Found NoSuchEntity"

// on draws a role and returns it with the code expected if it is not there.
func (m *roleModel) on(t *rapid.T) (name string, role *modelRole) {
	name = roleNames.Draw(t, "role")
	return name, m.roles[strings.ToLower(name)]
}

// expect checks the outcome of a call and reports whether it took effect.
func expect(t *rapid.T, err error, want string) bool {
	t.Helper()
	if code(err) != want {
		t.Fatalf("got %v, want %q", err, want)
	}
	return want == ""
}

func (m *roleModel) create(t *rapid.T) {
	name, role := m.on(t)
	want := ""
	if role != nil {
		want = "Conflict EntityAlreadyExists"
	}
	_, err := m.client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustVendor)})
	if expect(t, err, want) {
		m.roles[strings.ToLower(name)] = &modelRole{Inline: map[string]string{}, Attached: map[string]bool{}, Tags: map[string]string{}}
	}
}

func (m *roleModel) put(t *rapid.T) {
	name, role := m.on(t)
	policy := inlines.Draw(t, "policy")
	document := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::%d"}}`, rapid.IntRange(0, 3).Draw(t, "n"))
	_, err := m.client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &policy, PolicyDocument: &document})
	if expect(t, err, map[bool]string{true: missing}[role == nil]) {
		role.Inline[policy] = document
	}
}

func (m *roleModel) drop(t *rapid.T) {
	name, role := m.on(t)
	policy := inlines.Draw(t, "policy")
	_, err := m.client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
	if expect(t, err, map[bool]string{true: missing}[role == nil || role.Inline[policy] == ""]) {
		delete(role.Inline, policy)
	}
}

func (m *roleModel) attach(t *rapid.T) {
	name, role := m.on(t)
	arn := managed.Draw(t, "policy")
	_, err := m.client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
	if expect(t, err, map[bool]string{true: missing}[role == nil]) {
		role.Attached[arn] = true
	}
}

func (m *roleModel) detach(t *rapid.T) {
	name, role := m.on(t)
	arn := managed.Draw(t, "policy")
	_, err := m.client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
	if expect(t, err, map[bool]string{true: missing}[role == nil || !role.Attached[arn]]) {
		delete(role.Attached, arn)
	}
}

func (m *roleModel) tag(t *rapid.T) {
	name, role := m.on(t)
	key, value := tagKeys.Draw(t, "key"), rapid.StringMatching(`[xy]{0,2}`).Draw(t, "value")
	_, err := m.client.TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: []types.Tag{{Key: &key, Value: &value}}})
	if expect(t, err, map[bool]string{true: missing}[role == nil]) {
		role.Tags[strings.ToLower(key)] = key + "=" + value
	}
}

func (m *roleModel) untag(t *rapid.T) {
	name, role := m.on(t)
	key := tagKeys.Draw(t, "key")
	_, err := m.client.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &name, TagKeys: []string{key}})
	if expect(t, err, map[bool]string{true: missing}[role == nil]) {
		delete(role.Tags, strings.ToLower(key))
	}
}

func (m *roleModel) remove(t *rapid.T) {
	name, role := m.on(t)
	want := ""
	switch {
	case role == nil:
		want = missing
	case len(role.Inline)+len(role.Attached) > 0:
		want = "Conflict DeleteConflict"
	}
	if _, err := m.client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name}); expect(t, err, want) {
		delete(m.roles, strings.ToLower(name))
	}
}

// compare reads the account through GetAccountAuthorizationDetails.
func (m *roleModel) compare(t *rapid.T) {
	out, err := m.client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]*modelRole)
	for _, r := range out.RoleDetailList {
		role := &modelRole{Inline: map[string]string{}, Attached: map[string]bool{}, Tags: map[string]string{}}
		for _, p := range r.RolePolicyList {
			role.Inline[*p.PolicyName] = decode(t, p.PolicyDocument)
		}
		for _, p := range r.AttachedManagedPolicies {
			role.Attached[*p.PolicyArn] = true
		}
		for _, tag := range r.Tags {
			role.Tags[strings.ToLower(*tag.Key)] = *tag.Key + "=" + *tag.Value
		}
		got[strings.ToLower(*r.RoleName)] = role
	}
	if diff := cmp.Diff(m.roles, got); diff != "" {
		t.Fatalf("roles (-want +got):\n%s", diff)
	}
}
