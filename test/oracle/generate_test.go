package oracle

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

const (
	ours   = "111122223333"
	theirs = "444455556666"
)

// A choice is one way to fill a layer.
type choice struct{ name, policy string }

var allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

var (
	identities = []choice{
		{"nothing", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}}`},
		{"allow", allowAll},
		{"deny", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":["s3:*","sts:*","kms:*"],"Resource":"*"}]}`},
	}
	caps = append([]choice{{"none", ""}}, identities...)
)

// A target is something to ask for.
type target struct{ name, action, resource string }

var targets = []target{
	{"object", "s3:GetObject", "arn:aws:s3:::data/a.txt"},
	{"role", "sts:AssumeRole", "arn:aws:iam::%s:role/target"},
	{"key", "kms:Decrypt", "arn:aws:kms:eu-west-1:%s:key/11111111-2222-3333-4444-555555555555"},
}

var callers = []struct{ name, arn, parent string }{
	{"user", "arn:aws:iam::" + ours + ":user/alice", ""},
	{"session", "arn:aws:sts::" + ours + ":assumed-role/reader/s1", "arn:aws:iam::" + ours + ":role/reader"},
}

// resourcePolicies lists how the resource's policy can name a caller.
func resourcePolicies(arn, parent string, t target) []choice {
	statement := func(effect, principal string) string {
		resource := `,"Resource":"*"`
		if t.name == "role" {
			resource = ""
		}
		return fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%q},"Action":%q%s}`, effect, principal, t.action, resource)
	}
	one := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	list := []choice{
		{"nobody", ""},
		{"the caller", one(statement("Allow", arn))},
		{"the account", one(statement("Allow", "arn:aws:iam::"+ours+":root"))},
		{"everybody", one(statement("Allow", "*"))},
		{"somebody else", one(statement("Allow", "arn:aws:iam::"+ours+":role/other"))},
		{"the account but not the caller", one(statement("Allow", ours) + "," + statement("Deny", arn))},
	}
	if parent != "" {
		list = append(list,
			choice{"the role", one(statement("Allow", parent))},
			choice{"the account but not the role", one(statement("Allow", ours) + "," + statement("Deny", parent))})
	}
	return list
}

// generate makes every combination of caller, account, target, way of naming,
// identity policy, boundary and session policy.
func generate() []cases.Case {
	var all []cases.Case
	for _, caller := range callers {
		for _, account := range []string{ours, theirs} {
			for _, t := range targets {
				for _, named := range resourcePolicies(caller.arn, caller.parent, t) {
					for _, identity := range identities {
						for _, boundary := range caps {
							for _, session := range caps {
								if session.policy != "" && caller.name != "session" {
									continue
								}
								resource := t.resource
								if t.name != "object" {
									resource = fmt.Sprintf(t.resource, account)
								}
								c := map[string]any{
									"name": fmt.Sprintf("%s of %s asks %s for %s; resource names %s, identity %s, boundary %s, session %s",
										caller.name, ours, account, t.name, named.name, identity.name, boundary.name, session.name),
									"request": map[string]any{
										"principal": caller.arn, "action": t.action,
										"resource": map[string]string{"resource": resource, "accountId": account},
									},
									"identityPolicies": []any{json.RawMessage(identity.policy)},
								}
								if named.policy != "" {
									c["resourcePolicy"] = json.RawMessage(named.policy)
								}
								if boundary.policy != "" {
									c["permissionBoundaries"] = []any{json.RawMessage(boundary.policy)}
								}
								if session.policy != "" {
									c["sessionPolicy"] = json.RawMessage(session.policy)
								}
								data, err := json.Marshal(c)
								if err != nil {
									panic(err)
								}
								var parsed cases.Case
								if err := json.Unmarshal(data, &parsed); err != nil {
									panic(err)
								}
								all = append(all, parsed)
							}
						}
					}
				}
			}
		}
	}
	return all
}

// TestGeneratedCases compares the engines on every combination of the layers
// for AssumeRole, a bucket policy and a key policy.
func TestGeneratedCases(t *testing.T) {
	questions := generate()
	agreed, excused := 0, map[string]int{}
	for i, other := range ask(t, questions) {
		mine, err := questions[i].Run()
		if err != nil {
			t.Fatal(err)
		}
		if other.Error != "" {
			t.Errorf("%s: it refuses the question: %s", other.Name, other.Error)
			continue
		}
		if other.Response == string(mine.Response) {
			agreed++
			continue
		}
		if why := excuse(&questions[i], string(mine.Response), other.Response); why != "" {
			excused[why]++
			continue
		}
		t.Errorf("%s: ours %s, theirs %s", other.Name, mine.Response, other.Response)
	}
	t.Logf("%d of %d generated cases agree; explained: %v", agreed, len(questions), excused)
	if agreed < 1000 {
		t.Errorf("only %d cases agree", agreed)
	}
}

// What docs/evaluation.md says about the differences of the generated cases.
const (
	withoutTrustPolicy = "a role without a trust policy"
	userAndBoundary    = "a user named in a trust policy and its boundary"
	sessionAndPolicy   = "a session named directly and its session policy"
)

// excuse names the part of docs/evaluation.md that explains a difference.
// Each condition describes its cases exactly.
func excuse(c *cases.Case, mine, other string) string {
	isRole := c.Request.Action == "sts:AssumeRole"
	switch {
	case isRole && c.ResourcePolicy == nil && mine == "ImplicitlyDenied" && other == "Allowed":
		return withoutTrustPolicy
	case isRole && c.Request.Principal.Type == iam.PrincipalUser && c.PermissionBoundaries != nil && c.ResourcePolicy != nil &&
		mine == "ImplicitlyDenied" && other == "Allowed":
		return userAndBoundary
	case c.Request.Principal.Type == iam.PrincipalRoleSession && c.SessionPolicy != nil && c.ResourcePolicy != nil &&
		mine == "Allowed" && other == "ImplicitlyDenied":
		return sessionAndPolicy
	}
	return ""
}
