package iamapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Each case has a user with one policy, who makes one call.
func TestAuthorization(t *testing.T) {
	box, root := newBox(t)
	limit := must[*iam.CreatePolicyOutput](t)(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("limit"), PolicyDocument: aws.String(readBuckets)})).Policy.Arn
	createRole(t, root, "tagged", func(in *iam.CreateRoleInput) {
		in.Path = aws.String("/app/")
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
		in.PermissionsBoundary = limit
	})
	createRole(t, root, "plain")

	allow := func(action, resource, condition string) string {
		if condition != "" {
			condition = `,"Condition":{` + condition + `}`
		}
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + action + `],"Resource":"` + resource + `"` + condition + `}]}`
	}
	get := func(name string) func(*iam.Client) error {
		return func(c *iam.Client) error {
			_, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
			return err
		}
	}
	create := func(edit func(*iam.CreateRoleInput)) func(*iam.Client) error {
		return func(c *iam.Client) error {
			in := &iam.CreateRoleInput{RoleName: aws.String("new"), AssumeRolePolicyDocument: aws.String(trustVendor)}
			edit(in)
			_, err := c.CreateRole(ctx, in)
			if err == nil {
				root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: in.RoleName})
			}
			return err
		}
	}
	attach := func(role, policy string) func(*iam.Client) error {
		return func(c *iam.Client) error {
			_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &policy})
			return err
		}
	}
	tag := func(key, value string) func(*iam.Client) error {
		return func(c *iam.Client) error {
			_, err := c.TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String("plain"), Tags: []types.Tag{{Key: &key, Value: &value}}})
			return err
		}
	}
	boundaryIs := `"StringEquals":{"iam:PermissionsBoundary":"` + *limit + `"}`
	teamIsRed := `"StringEquals":{"aws:ResourceTag/team":"red"}`
	requestsRed := `"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}`

	for _, tc := range []struct {
		name   string
		policy string
		do     func(*iam.Client) error
		denied bool
	}{
		{"role ARN with its path", allow(`"iam:GetRole"`, "arn:aws:iam::444455556666:role/app/tagged", ""), get("tagged"), false},
		{"role ARN without its path", allow(`"iam:GetRole"`, "arn:aws:iam::444455556666:role/tagged", ""), get("tagged"), true},
		{"another role", allow(`"iam:GetRole"`, "arn:aws:iam::444455556666:role/app/*", ""), get("plain"), true},
		{"tag of the role", allow(`"iam:GetRole"`, "*", teamIsRed), get("tagged"), false},
		{"tag of the role by IAM's own key", allow(`"iam:GetRole"`, "*", `"StringEquals":{"iam:ResourceTag/team":"red"}`), get("tagged"), false},
		{"no tag of the role", allow(`"iam:GetRole"`, "*", teamIsRed), get("plain"), true},
		{"another action", allow(`"iam:ListRoles"`, "*", ""), get("plain"), true},

		{"create with the boundary", allow(`"iam:CreateRole"`, "*", boundaryIs), create(func(in *iam.CreateRoleInput) { in.PermissionsBoundary = limit }), false},
		{"create without a boundary", allow(`"iam:CreateRole"`, "*", boundaryIs), create(func(*iam.CreateRoleInput) {}), true},
		{"create with another boundary", allow(`"iam:CreateRole"`, "*", boundaryIs), create(func(in *iam.CreateRoleInput) { in.PermissionsBoundary = aws.String(readOnly) }), true},
		{"create on the path", allow(`"iam:CreateRole"`, "arn:aws:iam::444455556666:role/app/*", ""), create(func(in *iam.CreateRoleInput) { in.Path = aws.String("/app/") }), false},
		{"create on another path", allow(`"iam:CreateRole"`, "arn:aws:iam::444455556666:role/app/*", ""), create(func(*iam.CreateRoleInput) {}), true},
		{"create with tags needs TagRole", allow(`"iam:CreateRole"`, "*", ""), create(func(in *iam.CreateRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
		}), true},
		{"create with tags", allow(`"iam:CreateRole","iam:TagRole"`, "*", requestsRed), create(func(in *iam.CreateRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
		}), false},

		{"attach the policy", allow(`"iam:AttachRolePolicy"`, "*", `"ArnEquals":{"iam:PolicyARN":"`+readOnly+`"}`), attach("plain", readOnly), false},
		{"attach another policy", allow(`"iam:AttachRolePolicy"`, "*", `"ArnEquals":{"iam:PolicyARN":"`+readOnly+`"}`), attach("plain", "arn:aws:iam::aws:policy/AdministratorAccess"), true},
		{"attach to a role with the boundary", allow(`"iam:AttachRolePolicy"`, "*", boundaryIs), attach("tagged", readOnly), false},
		{"attach to a role without", allow(`"iam:AttachRolePolicy"`, "*", boundaryIs), attach("plain", readOnly), true},

		{"tag as allowed", allow(`"iam:TagRole"`, "*", requestsRed), tag("team", "red"), false},
		{"tag with another value", allow(`"iam:TagRole"`, "*", requestsRed), tag("team", "blue"), true},
		{"tag with another key", allow(`"iam:TagRole"`, "*", requestsRed), tag("owner", "red"), true},

		{"take the boundary away", allow(`"iam:*"`, "*", ""), func(c *iam.Client) error {
			_, err := c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: aws.String("plain"), PermissionsBoundary: limit})
			if err == nil {
				_, err = c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: aws.String("plain")})
			}
			return err
		}, false},
		{"read AWS's policy", allow(`"iam:GetPolicy"`, readOnly, ""), func(c *iam.Client) error {
			_, err := c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(readOnly)})
			return err
		}, false},
		{"read a policy one may not", allow(`"iam:GetPolicy"`, readOnly, ""), func(c *iam.Client) error {
			_, err := c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: limit})
			return err
		}, true},
		{"list roles", allow(`"iam:ListRoles"`, "arn:aws:iam::444455556666:role/*", ""), func(c *iam.Client) error {
			_, err := c.ListRoles(ctx, &iam.ListRolesInput{})
			return err
		}, false},
		{"list policies without permission", allow(`"iam:ListRoles"`, "*", ""), func(c *iam.Client) error {
			_, err := c.ListPolicies(ctx, &iam.ListPoliciesInput{})
			return err
		}, true},
		{"a user may not read itself without permission", allow(`"s3:*"`, "*", ""), func(c *iam.Client) error {
			_, err := c.GetUser(ctx, &iam.GetUserInput{})
			return err
		}, true},
	} {
		name := "caller-" + strings.NewReplacer(" ", "-", "'", "").Replace(tc.name)
		caller := client(box.Account(customer).User(name, tc.policy))
		want := ""
		if tc.denied {
			want = "Forbidden AccessDenied"
		}
		if err := tc.do(caller); code(err) != want {
			t.Errorf("%s: got %v, want %q", tc.name, err, want)
		}
	}
}

// Who may not ask does not learn what exists, and is told in IAM's words.
func TestRefusalsDoNotTellWhatExists(t *testing.T) {
	box, root := newBox(t)
	createRole(t, root, "there")
	nobody := client(box.Account(customer).User("nobody"))
	for _, name := range []string{"there", "missing"} {
		_, err := nobody.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		want := "User: arn:aws:iam::444455556666:user/nobody is not authorized to perform: iam:GetRole on resource: role " + name +
			" because no identity-based policy allows the iam:GetRole action"
		if code(err) != "Forbidden AccessDenied" || message(err) != want {
			t.Errorf("GetRole %s: %v\nwant %s", name, err, want)
		}
	}
}
