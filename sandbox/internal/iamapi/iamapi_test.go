package iamapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendor   = "111122223333"
	customer = "444455556666"

	trustVendor = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
	readBuckets = `{"Version":"2012-10-17","Statement":[{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}`
	readOnly    = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

var ctx = context.Background()

// newBox returns a sandbox with two accounts and the IAM client of the
// customer's root user.
func newBox(t testing.TB) (*sandboxtest.Sandbox, *iam.Client) {
	t.Helper()
	box := sandboxtest.New(t, vendor, customer)
	return box, client(box.Account(customer).Config())
}

// client returns a client that shows errors at once instead of trying again.
func client(config aws.Config) *iam.Client {
	return iam.NewFromConfig(config, func(o *iam.Options) { o.Retryer = aws.NopRetryer{} })
}

// code returns status and code of an AWS error, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var response *smithyhttp.ResponseError
	var api smithy.APIError
	if !errors.As(err, &response) || !errors.As(err, &api) {
		return "not an AWS error: " + err.Error()
	}
	return http.StatusText(response.HTTPStatusCode()) + " " + api.ErrorCode()
}

func message(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorMessage()
}

// must returns v and fails the test for an error.
func must[T any](t rapid.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func decode(t rapid.TB, document *string) string {
	t.Helper()
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func createRole(t testing.TB, c *iam.Client, name string, options ...func(*iam.CreateRoleInput)) *types.Role {
	t.Helper()
	in := &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustVendor)}
	for _, option := range options {
		option(in)
	}
	return must[*iam.CreateRoleOutput](t)(c.CreateRole(ctx, in)).Role
}

func TestRoleFromCreationToDeletion(t *testing.T) {
	_, c := newBox(t)
	policy := must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("limit"), Path: aws.String("/team/"), PolicyDocument: aws.String(readBuckets), Description: aws.String("a limit"),
	})).Policy

	created := createRole(t, c, "Reader", func(in *iam.CreateRoleInput) {
		in.Path, in.Description = aws.String("/app/"), aws.String("reads")
		in.MaxSessionDuration = aws.Int32(7200)
		in.PermissionsBoundary = policy.Arn
		in.Tags = []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}, {Key: aws.String("empty"), Value: aws.String("")}}
	})
	if got := aws.ToString(created.Arn); got != "arn:aws:iam::444455556666:role/app/Reader" {
		t.Errorf("ARN %s", got)
	}
	if decode(t, created.AssumeRolePolicyDocument) != trustVendor || len(created.Tags) != 2 || aws.ToInt32(created.MaxSessionDuration) != 7200 {
		t.Errorf("created %+v", created)
	}

	must[*iam.PutRolePolicyOutput](t)(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: created.RoleName, PolicyName: aws.String("inline"), PolicyDocument: aws.String("{\n" + readBuckets[1:]),
	}))
	must[*iam.AttachRolePolicyOutput](t)(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: created.RoleName, PolicyArn: aws.String(readOnly)}))
	must[*iam.AttachRolePolicyOutput](t)(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: created.RoleName, PolicyArn: policy.Arn}))
	must[*iam.TagRoleOutput](t)(c.TagRole(ctx, &iam.TagRoleInput{RoleName: created.RoleName, Tags: []types.Tag{{Key: aws.String("owner"), Value: aws.String("you")}}}))
	must[*iam.UntagRoleOutput](t)(c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: created.RoleName, TagKeys: []string{"EMPTY", "none"}}))
	must[*iam.UpdateRoleOutput](t)(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: created.RoleName, Description: aws.String("reads more")}))

	got := must[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("rEADER")})).Role
	if aws.ToString(got.RoleId) != aws.ToString(created.RoleId) || aws.ToString(got.RoleName) != "Reader" {
		t.Errorf("got %+v", got)
	}
	if aws.ToString(got.Description) != "reads more" || aws.ToInt32(got.MaxSessionDuration) != 3600 {
		t.Errorf("after UpdateRole: description %q, duration %d", aws.ToString(got.Description), aws.ToInt32(got.MaxSessionDuration))
	}
	if aws.ToString(got.PermissionsBoundary.PermissionsBoundaryArn) != aws.ToString(policy.Arn) || got.RoleLastUsed == nil {
		t.Errorf("boundary %+v, last used %+v", got.PermissionsBoundary, got.RoleLastUsed)
	}
	if len(got.Tags) != 1 || aws.ToString(got.Tags[0].Key) != "owner" || aws.ToString(got.Tags[0].Value) != "you" {
		t.Errorf("tags %+v", got.Tags)
	}
	inline := must[*iam.GetRolePolicyOutput](t)(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: created.RoleName, PolicyName: aws.String("inline")}))
	if got := decode(t, inline.PolicyDocument); got != "{\n"+readBuckets[1:] {
		t.Errorf("the inline policy reads %q", got)
	}
	attached := must[*iam.ListAttachedRolePoliciesOutput](t)(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: created.RoleName, PathPrefix: aws.String("/team/")}))
	if len(attached.AttachedPolicies) != 1 || aws.ToString(attached.AttachedPolicies[0].PolicyName) != "limit" {
		t.Errorf("attached on /team/: %+v", attached.AttachedPolicies)
	}
	read := must[*iam.GetPolicyOutput](t)(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policy.Arn})).Policy
	if aws.ToInt32(read.AttachmentCount) != 1 || aws.ToInt32(read.PermissionsBoundaryUsageCount) != 1 || aws.ToString(read.Description) != "a limit" {
		t.Errorf("the policy is used %d and %d times", aws.ToInt32(read.AttachmentCount), aws.ToInt32(read.PermissionsBoundaryUsageCount))
	}
	entities := must[*iam.ListEntitiesForPolicyOutput](t)(c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: policy.Arn}))
	if len(entities.PolicyRoles) != 1 || aws.ToString(entities.PolicyRoles[0].RoleId) != aws.ToString(created.RoleId) {
		t.Errorf("entities %+v", entities.PolicyRoles)
	}
	if out := must[*iam.ListInstanceProfilesForRoleOutput](t)(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: created.RoleName})); len(out.InstanceProfiles) != 0 || out.IsTruncated {
		t.Errorf("instance profiles %+v", out)
	}

	remove := func(want string) {
		t.Helper()
		if _, err := c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: created.RoleName}); code(err) != want {
			t.Errorf("DeleteRole: %v, want %q", err, want)
		}
	}
	remove("Conflict DeleteConflict")
	must[*iam.DetachRolePolicyOutput](t)(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: created.RoleName, PolicyArn: aws.String(readOnly)}))
	must[*iam.DetachRolePolicyOutput](t)(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: created.RoleName, PolicyArn: policy.Arn}))
	remove("Conflict DeleteConflict")
	must[*iam.DeleteRolePolicyOutput](t)(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: created.RoleName, PolicyName: aws.String("inline")}))
	if _, err := c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: policy.Arn}); code(err) != "Conflict DeleteConflict" {
		t.Errorf("deleting a boundary in use: %v", err)
	}
	must[*iam.DeleteRolePermissionsBoundaryOutput](t)(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: created.RoleName}))
	must[*iam.DeletePolicyOutput](t)(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: policy.Arn}))
	remove("")
	remove("Not Found NoSuchEntity")
}

func TestUserAndAccessKeys(t *testing.T) {
	box, root := newBox(t)
	allowIAM := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
	alice := client(box.Account(customer).User("alice", allowIAM))

	self := must[*iam.GetUserOutput](t)(alice.GetUser(ctx, &iam.GetUserInput{})).User
	if aws.ToString(self.Arn) != "arn:aws:iam::444455556666:user/alice" {
		t.Errorf("alice is %s", aws.ToString(self.Arn))
	}
	if out := must[*iam.GetUserOutput](t)(root.GetUser(ctx, &iam.GetUserInput{})).User; aws.ToString(out.Arn) != "arn:aws:iam::444455556666:root" {
		t.Errorf("root is %s", aws.ToString(out.Arn))
	}
	keys := must[*iam.ListAccessKeysOutput](t)(alice.ListAccessKeys(ctx, &iam.ListAccessKeysInput{})).AccessKeyMetadata
	if len(keys) != 1 || keys[0].Status != types.StatusTypeActive {
		t.Fatalf("keys %+v", keys)
	}
	used := must[*iam.GetAccessKeyLastUsedOutput](t)(root.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: keys[0].AccessKeyId}))
	if aws.ToString(used.UserName) != "alice" || aws.ToString(used.AccessKeyLastUsed.ServiceName) != "iam" {
		t.Errorf("last used %+v", used.AccessKeyLastUsed)
	}

	second := must[*iam.CreateAccessKeyOutput](t)(alice.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})).AccessKey
	must[*iam.UpdateAccessKeyOutput](t)(root.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: keys[0].AccessKeyId, Status: types.StatusTypeInactive}))
	if _, err := alice.GetUser(ctx, &iam.GetUserInput{}); !strings.Contains(code(err), "InvalidClientTokenId") {
		t.Errorf("with an inactive key: %v", err)
	}
	for _, key := range []*string{keys[0].AccessKeyId, second.AccessKeyId} {
		must[*iam.DeleteAccessKeyOutput](t)(root.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: key}))
	}
	if out := must[*iam.ListGroupsForUserOutput](t)(root.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: aws.String("alice")})); len(out.Groups) != 0 {
		t.Errorf("groups %+v", out.Groups)
	}
	must[*iam.DeleteUserPolicyOutput](t)(root.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("policy-1")}))
	must[*iam.DeleteUserOutput](t)(root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("alice")}))
}

func TestPolicyVersions(t *testing.T) {
	_, c := newBox(t)
	arn := must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(readBuckets)})).Policy.Arn
	version := func(asDefault bool) (*iam.CreatePolicyVersionOutput, error) {
		return c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(readBuckets), SetAsDefault: asDefault})
	}
	for range 4 {
		must[*iam.CreatePolicyVersionOutput](t)(version(true))
	}
	if _, err := version(true); code(err) != "Conflict LimitExceeded" {
		t.Errorf("a sixth version: %v", err)
	}
	remove := func(id, want string) {
		t.Helper()
		if _, err := c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &id}); code(err) != want {
			t.Errorf("deleting %s: %v, want %q", id, err, want)
		}
	}
	remove("v5", "Conflict DeleteConflict")
	remove("v9", "Not Found NoSuchEntity")
	remove("v2", "")
	if out := must[*iam.CreatePolicyVersionOutput](t)(version(false)); aws.ToString(out.PolicyVersion.VersionId) != "v6" || out.PolicyVersion.IsDefaultVersion {
		t.Errorf("the version after a deletion is %+v", out.PolicyVersion)
	}
	must[*iam.SetDefaultPolicyVersionOutput](t)(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))

	var ids []string
	pages := iam.NewListPolicyVersionsPaginator(c, &iam.ListPolicyVersionsInput{PolicyArn: arn, MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, v := range must[*iam.ListPolicyVersionsOutput](t)(pages.NextPage(ctx)).Versions {
			id := aws.ToString(v.VersionId)
			if v.IsDefaultVersion {
				id += " default"
			}
			ids = append(ids, id)
		}
	}
	if diff := cmp.Diff([]string{"v6", "v5", "v4", "v3", "v1 default"}, ids); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	document := must[*iam.GetPolicyVersionOutput](t)(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
	if got := decode(t, document.PolicyVersion.Document); got != readBuckets {
		t.Errorf("the document reads %s", got)
	}
}

// The trust policy follows the role it names, and not another one of its name.
func TestTrustNamesARoleNotItsName(t *testing.T) {
	box, c := newBox(t)
	const arn = "arn:aws:iam::111122223333:role/broker"
	trust := strings.Replace(trustVendor, "arn:aws:iam::111122223333:root", arn, 1)
	_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: &trust})
	if code(err) != "Bad Request MalformedPolicyDocument" || message(err) != `Invalid principal in policy: "AWS":"`+arn+`"` {
		t.Errorf("a trusted role that does not exist: %v", err)
	}
	v := client(box.Account(vendor).Config())
	broker := createRole(t, v, "broker")
	createRole(t, c, "r", func(in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = &trust })
	read := func() string {
		return decode(t, must[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("r")})).Role.AssumeRolePolicyDocument)
	}
	if got := read(); got != trust {
		t.Errorf("the trust policy reads %s", got)
	}
	must[*iam.DeleteRoleOutput](t)(v.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("broker")}))
	createRole(t, v, "broker")
	if got := read(); !strings.Contains(got, `"AWS":"`+aws.ToString(broker.RoleId)+`"`) {
		t.Errorf("after the trusted role was made anew the policy reads %s, want the old role's id", got)
	}
}

func TestPages(t *testing.T) {
	_, c := newBox(t)
	for _, name := range []string{"d", "B", "a", "C", "e"} {
		createRole(t, c, name, func(in *iam.CreateRoleInput) { in.Path = aws.String("/x/") })
		must[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))
		must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(readBuckets)}))
		must[*iam.PutRolePolicyOutput](t)(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("d"), PolicyName: &name, PolicyDocument: aws.String(readBuckets)}))
		must[*iam.TagRoleOutput](t)(c.TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String("d"), Tags: []types.Tag{{Key: &name, Value: &name}}}))
		must[*iam.AttachRolePolicyOutput](t)(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("d"), PolicyArn: aws.String("arn:aws:iam::444455556666:policy/" + name)}))
	}
	createRole(t, c, "other")
	two := aws.Int32(2)
	for name, list := range map[string]func() string{
		"ListRoles a B C d e": func() (all string) {
			p := iam.NewListRolesPaginator(c, &iam.ListRolesInput{MaxItems: two, PathPrefix: aws.String("/x/")})
			for p.HasMorePages() {
				for _, r := range must[*iam.ListRolesOutput](t)(p.NextPage(ctx)).Roles {
					all += " " + *r.RoleName
				}
			}
			return all
		},
		"ListUsers a B C d e": func() (all string) {
			p := iam.NewListUsersPaginator(c, &iam.ListUsersInput{MaxItems: two})
			for p.HasMorePages() {
				for _, u := range must[*iam.ListUsersOutput](t)(p.NextPage(ctx)).Users {
					all += " " + *u.UserName
				}
			}
			return all
		},
		"ListPolicies a B C d e": func() (all string) {
			p := iam.NewListPoliciesPaginator(c, &iam.ListPoliciesInput{MaxItems: two, OnlyAttached: true})
			for p.HasMorePages() {
				for _, x := range must[*iam.ListPoliciesOutput](t)(p.NextPage(ctx)).Policies {
					all += " " + *x.PolicyName
				}
			}
			return all
		},
		"ListRolePolicies B C a d e": func() (all string) {
			p := iam.NewListRolePoliciesPaginator(c, &iam.ListRolePoliciesInput{MaxItems: two, RoleName: aws.String("d")})
			for p.HasMorePages() {
				all += " " + strings.Join(must[*iam.ListRolePoliciesOutput](t)(p.NextPage(ctx)).PolicyNames, " ")
			}
			return all
		},
		"ListAttachedRolePolicies B C a d e": func() (all string) {
			p := iam.NewListAttachedRolePoliciesPaginator(c, &iam.ListAttachedRolePoliciesInput{MaxItems: two, RoleName: aws.String("d")})
			for p.HasMorePages() {
				for _, x := range must[*iam.ListAttachedRolePoliciesOutput](t)(p.NextPage(ctx)).AttachedPolicies {
					all += " " + *x.PolicyName
				}
			}
			return all
		},
		"ListRoleTags B C a d e": func() (all string) {
			var marker *string
			for {
				out := must[*iam.ListRoleTagsOutput](t)(c.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: aws.String("d"), MaxItems: two, Marker: marker}))
				for _, tag := range out.Tags {
					all += " " + *tag.Key
				}
				if marker = out.Marker; !out.IsTruncated {
					return all
				}
			}
		},
		"GetAccountAuthorizationDetails a B C d e a B C d e other a B C d e": func() (all string) {
			p := iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{MaxItems: two})
			for p.HasMorePages() {
				out := must[*iam.GetAccountAuthorizationDetailsOutput](t)(p.NextPage(ctx))
				for _, x := range out.UserDetailList {
					all += " " + *x.UserName
				}
				for _, x := range out.RoleDetailList {
					all += " " + *x.RoleName
				}
				for _, x := range out.Policies {
					all += " " + *x.PolicyName
				}
			}
			return all
		},
	} {
		operation, want, _ := strings.Cut(name, " ")
		if got := strings.TrimSpace(list()); got != want {
			t.Errorf("%s gives %q, want %q", operation, got, want)
		}
	}

	all := must[*iam.ListPoliciesOutput](t)(c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws})).Policies
	if len(all) < 10 {
		t.Errorf("there are %d AWS managed policies", len(all))
	}
	if _, err := c.ListRoles(ctx, &iam.ListRolesInput{Marker: aws.String("nonsense")}); code(err) != "Bad Request ValidationError" {
		t.Errorf("an invalid marker: %v", err)
	}
}

func TestAccount(t *testing.T) {
	_, c := newBox(t)
	must[*iam.CreateAccountAliasOutput](t)(c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String("acme")}))
	if out := must[*iam.ListAccountAliasesOutput](t)(c.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})); !cmp.Equal(out.AccountAliases, []string{"acme"}) {
		t.Errorf("aliases %q", out.AccountAliases)
	}
	must[*iam.DeleteAccountAliasOutput](t)(c.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("acme")}))
	createRole(t, c, "r")
	if out := must[*iam.GetAccountSummaryOutput](t)(c.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})); out.SummaryMap["Roles"] != 1 || out.SummaryMap["PolicySizeQuota"] != 6144 {
		t.Errorf("summary %+v", out.SummaryMap)
	}
}
