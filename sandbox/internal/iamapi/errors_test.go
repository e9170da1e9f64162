package iamapi_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
)

// bigPolicy returns an identity policy of n characters.
func bigPolicy(n int) string {
	const head, tail = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::`, `"}]}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func TestErrors(t *testing.T) {
	_, c := newBox(t)
	role, user := aws.String("role"), aws.String("user")
	createRole(t, c, *role)
	must[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: user}))
	policy := must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(readBuckets)})).Policy.Arn
	none := aws.String("none")
	noPolicy := aws.String("arn:aws:iam::444455556666:policy/none")

	create := func(edit func(*iam.CreateRoleInput)) func() error {
		return func() error {
			in := &iam.CreateRoleInput{RoleName: aws.String("new"), AssumeRolePolicyDocument: aws.String(trustVendor)}
			edit(in)
			_, err := c.CreateRole(ctx, in)
			return err
		}
	}
	putRolePolicy := func(name, document string) func() error {
		return func() error {
			_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: &name, PolicyDocument: &document})
			return err
		}
	}
	tags := func(n int) (list []types.Tag) {
		for i := range n {
			list = append(list, types.Tag{Key: aws.String(fmt.Sprint("key", i)), Value: aws.String("v")})
		}
		return list
	}
	const (
		ok         = ""
		validation = "Bad Request ValidationError"
		malformed  = "Bad Request MalformedPolicyDocument"
		input      = "Bad Request InvalidInput"
		exists     = "Conflict EntityAlreadyExists"
		limit      = "Conflict LimitExceeded"
	)
	for _, tc := range []struct {
		name string
		do   func() error
		want string
	}{
		{"name of 65 characters", create(func(in *iam.CreateRoleInput) { in.RoleName = aws.String(strings.Repeat("n", 65)) }), validation},
		{"name with a space", create(func(in *iam.CreateRoleInput) { in.RoleName = aws.String("a b") }), validation},
		{"path without a slash", create(func(in *iam.CreateRoleInput) { in.Path = aws.String("app") }), validation},
		{"path of service-linked roles", create(func(in *iam.CreateRoleInput) { in.Path = aws.String("/aws-service-role/x.amazonaws.com/") }), input},
		{"path of 513 characters", create(func(in *iam.CreateRoleInput) { in.Path = aws.String("/" + strings.Repeat("p", 511) + "/") }), validation},
		{"description of 1001 characters", create(func(in *iam.CreateRoleInput) { in.Description = aws.String(strings.Repeat("d", 1001)) }), validation},
		{"description in Greek", create(func(in *iam.CreateRoleInput) { in.Description = aws.String("ρόλος") }), validation},
		{"duration below an hour", create(func(in *iam.CreateRoleInput) { in.MaxSessionDuration = aws.Int32(3599) }), validation},
		{"duration over twelve hours", create(func(in *iam.CreateRoleInput) { in.MaxSessionDuration = aws.Int32(43201) }), validation},
		{"tag key in the aws name space", create(func(in *iam.CreateRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}
		}), validation},
		{"tag twice", create(func(in *iam.CreateRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("A"), Value: aws.String("")}}
		}), input},
		{"51 tags", create(func(in *iam.CreateRoleInput) { in.Tags = tags(51) }), limit},
		{"the same name in other case", create(func(in *iam.CreateRoleInput) { in.RoleName = aws.String("ROLE") }), exists},
		{"a boundary that does not exist", create(func(in *iam.CreateRoleInput) { in.PermissionsBoundary = noPolicy }), missing},
		{"a boundary that is no policy", create(func(in *iam.CreateRoleInput) {
			in.PermissionsBoundary = aws.String("arn:aws:iam::444455556666:role/role")
		}), input},
		{"trust that is no JSON", create(func(in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = aws.String("{") }), malformed},
		{"trust with Resource", create(func(in *iam.CreateRoleInput) {
			in.AssumeRolePolicyDocument = aws.String(strings.Replace(trustVendor, `"Action"`, `"Resource":"*","Action"`, 1))
		}), malformed},
		{"trust without Principal", create(func(in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = aws.String(readBuckets) }), malformed},
		{"trust in typographic quotes", create(func(in *iam.CreateRoleInput) {
			in.AssumeRolePolicyDocument = aws.String(strings.Replace(trustVendor, `"Effect"`, `"Sid":"“x”","Effect"`, 1))
		}), validation},
		{"trust of 2,049 characters", create(func(in *iam.CreateRoleInput) {
			in.AssumeRolePolicyDocument = aws.String(strings.Replace(trustVendor, `"Effect"`, `"Sid":"`+strings.Repeat("s", 2049-len(trustVendor)-len(`"Sid":"",`))+`","Effect"`, 1))
		}), limit},
		{"trust of 2,048 characters", create(func(in *iam.CreateRoleInput) {
			in.RoleName = aws.String("big")
			in.AssumeRolePolicyDocument = aws.String(strings.Replace(trustVendor, `"Effect"`, `"Sid":"`+strings.Repeat("s", 2048-len(trustVendor)-len(`"Sid":"",`))+`","Effect"`, 1))
		}), ok},

		{"inline policy of no role", func() error {
			_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: none, PolicyName: none, PolicyDocument: aws.String(readBuckets)})
			return err
		}, missing},
		{"inline policy with Principal", putRolePolicy("i", trustVendor), malformed},
		{"inline policies of 10,240 characters", putRolePolicy("i", bigPolicy(10240)), ok},
		{"inline policies of 10,241 characters", putRolePolicy("j", bigPolicy(150)), limit},
		{"the same policy again", putRolePolicy("i", bigPolicy(10239)), ok},
		{"inline policies of a user of 2,049 characters", func() error {
			_, err := c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: none, PolicyDocument: aws.String(bigPolicy(2049))})
			return err
		}, limit},
		{"get no inline policy", func() error {
			_, err := c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: none})
			return err
		}, missing},
		{"delete no inline policy", func() error {
			_, err := c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: none})
			return err
		}, missing},

		{"attach no policy", func() error {
			_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: noPolicy})
			return err
		}, missing},
		{"attach what is no ARN", func() error {
			_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: aws.String("this-is-not-an-arn-at-all")})
			return err
		}, input},
		{"detach what is not attached", func() error {
			_, err := c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: policy})
			return err
		}, missing},
		{"delete no boundary", func() error {
			_, err := c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: role})
			return err
		}, missing},

		{"managed policy of 6,145 characters", func() error {
			_, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("q"), PolicyDocument: aws.String(bigPolicy(6145))})
			return err
		}, limit},
		{"managed policy that exists", func() error {
			_, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("P"), Path: aws.String("/x/"), PolicyDocument: aws.String(readBuckets)})
			return err
		}, exists},
		{"no version", func() error {
			_, err := c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: policy, VersionId: aws.String("v2")})
			return err
		}, missing},
		{"default that does not exist", func() error {
			_, err := c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: policy, VersionId: aws.String("v2")})
			return err
		}, missing},
		{"a version of AWS's policy", func() error {
			_, err := c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: aws.String(readOnly), PolicyDocument: aws.String(readBuckets)})
			return err
		}, "Forbidden AccessDenied"},
		{"another account's policy", func() error {
			_, err := c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::111122223333:policy/p")})
			return err
		}, "Forbidden AccessDenied"},

		{"no user", func() error { _, err := c.GetUser(ctx, &iam.GetUserInput{UserName: none}); return err }, missing},
		{"keys of no user", func() error {
			_, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: none})
			return err
		}, missing},
		{"MaxItems of 1,001", func() error { _, err := c.ListRoles(ctx, &iam.ListRolesInput{MaxItems: aws.Int32(1001)}); return err }, validation},
		{"an alias in capitals", func() error {
			_, err := c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String("ACME")})
			return err
		}, validation},
		{"50 tags", func() error { _, err := c.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: tags(50)}); return err }, ok},
		{"50 tags again", func() error { _, err := c.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: tags(50)}); return err }, ok},
		{"the 51st tag", func() error {
			_, err := c.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: []types.Tag{{Key: none, Value: none}}})
			return err
		}, limit},
	} {
		if err := tc.do(); code(err) != tc.want {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestAtMostTenManagedPolicies(t *testing.T) {
	_, c := newBox(t)
	createRole(t, c, "r")
	for i := range 11 {
		name := fmt.Sprint("p", i)
		arn := must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(readBuckets)})).Policy.Arn
		_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: arn})
		if want := map[bool]string{true: "Conflict LimitExceeded"}[i == 10]; code(err) != want {
			t.Errorf("policy %d: %v, want %q", i+1, err, want)
		}
	}
}

// The table has every operation of the SDK's client, and the SDK's client gets
// NotImplemented from all that are not real.
func TestEveryOperationIsInTheTable(t *testing.T) {
	box, c := newBox(t)
	listed := make(map[string]bool)
	for _, operation := range iamapi.Operations() {
		listed[operation.Name] = operation.Real
	}
	methods := reflect.TypeOf(c)
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if name == "Options" {
			continue
		}
		if _, ok := listed[name]; !ok {
			t.Errorf("operation %s is not in the table", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("operation %s is in the table and not in the SDK", name)
	}

	if _, err := c.ListGroups(ctx, &iam.ListGroupsInput{}); code(err) != "Not Implemented NotImplemented" {
		t.Errorf("ListGroups: %v", err)
	}
	unsigned, err := http.PostForm(box.Serve(), map[string][]string{"Action": {"ListRoles"}, "Version": {"2010-05-08"}})
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Body.Close()
	if unsigned.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request: %s", unsigned.Status)
	}
}
