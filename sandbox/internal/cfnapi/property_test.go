package cfnapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox"
)

type object = map[string]any

func document(t *rapid.T, label string) object {
	action := rapid.SampledFrom([]string{"s3:GetObject", "s3:PutObject", "iam:ListRoles"}).Draw(t, label)
	return object{"Version": "2012-10-17", "Statement": []object{{"Effect": "Allow", "Action": action, "Resource": "*"}}}
}

// anyTemplate draws a template of roles, users and policies that mention one
// another. Any of them may be absent.
func anyTemplate(t *rapid.T, label string) object {
	resources := object{}
	var policies, roles []string
	for _, name := range []string{"P1", "P2", "P3"} {
		if !rapid.Bool().Draw(t, label+name) {
			continue
		}
		policies = append(policies, name)
		properties := object{"PolicyDocument": document(t, label+name+"document")}
		if rapid.Bool().Draw(t, label+name+"described") {
			properties["Description"] = rapid.SampledFrom([]string{"one", "two"}).Draw(t, label+name+"description") // a change replaces
		}
		resources[name] = object{"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
	}
	refs := func(label string) []any {
		var list []any
		for _, p := range policies {
			if rapid.Bool().Draw(t, label+p) {
				list = append(list, object{"Ref": p})
			}
		}
		return append(list, "arn:aws:iam::aws:policy/ReadOnlyAccess")
	}
	for _, name := range []string{"R1", "R2", "U1"} {
		if !rapid.Bool().Draw(t, label+name) {
			continue
		}
		properties := object{
			"ManagedPolicyArns": refs(label + name),
			"Tags":              []object{{"Key": rapid.SampledFrom([]string{"a", "b"}).Draw(t, label+name+"tag"), "Value": "v"}},
		}
		var inline []object
		for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"i1", "i2"}), 0, 2, rapid.ID).Draw(t, label+name+"inline") {
			inline = append(inline, object{"PolicyName": p, "PolicyDocument": document(t, label+name+p)})
		}
		if len(inline) > 0 {
			properties["Policies"] = inline
		}
		if rapid.Bool().Draw(t, label+name+"bounded") {
			properties["PermissionsBoundary"] = "arn:aws:iam::aws:policy/AdministratorAccess"
		}
		kind := "AWS::IAM::User"
		if name[0] == 'R' {
			kind = "AWS::IAM::Role"
			roles = append(roles, name)
			properties["MaxSessionDuration"] = rapid.SampledFrom([]int{3600, 7200}).Draw(t, label+name+"duration")
			properties["Path"] = rapid.SampledFrom([]string{"/", "/x/"}).Draw(t, label+name+"path") // a change replaces
			properties["AssumeRolePolicyDocument"] = object{"Version": "2012-10-17", "Statement": []object{{
				"Effect": "Allow", "Action": "sts:AssumeRole",
				"Principal": object{"AWS": rapid.SampledFrom([]string{customer, vendor}).Draw(t, label+name+"trusts")},
			}}}
		}
		resources[name] = object{"Type": kind, "Properties": properties}
	}
	if len(roles) > 0 && rapid.Bool().Draw(t, label+"I1") {
		resources["I1"] = object{"Type": "AWS::IAM::Policy", "Properties": object{
			"PolicyName": rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, label+"I1name"), "PolicyDocument": document(t, label+"I1document"),
			"Roles": []any{object{"Ref": rapid.SampledFrom(roles).Draw(t, label+"I1role")}},
		}}
	}
	resources["Always"] = object{"Type": "AWS::IAM::ManagedPolicy", "Properties": object{"PolicyDocument": document(t, label+"always")}}
	return object{"Resources": resources}
}

func text(t *rapid.T, template object) string {
	data, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// state returns all that IAM has, with physical names replaced by logical ones
// and without what differs from one creation to the next.
func (b *bench) state(stack string) any {
	b.t.Helper()
	out, err := b.iam.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{MaxItems: aws.Int32(1000)})
	if err != nil {
		b.t.Fatal(err)
	}
	lines := []string{}
	add := func(kind, name string, details ...any) {
		data, err := json.Marshal(details)
		if err != nil {
			b.t.Fatal(err)
		}
		lines = append(lines, kind+" "+name+" "+string(data))
	}
	for _, p := range out.Policies {
		if strings.HasPrefix(*p.Arn, "arn:aws:iam::aws:") {
			continue
		}
		for _, v := range p.PolicyVersionList {
			if v.IsDefaultVersion {
				add("policy", *p.Arn, v.Document, p.AttachmentCount)
			}
		}
	}
	for _, r := range out.RoleDetailList {
		slices.SortFunc(r.AttachedManagedPolicies, byPolicyName)
		role, err := b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: r.RoleName})
		if err != nil {
			b.t.Fatal(err)
		}
		add("role", *r.Arn, r.AssumeRolePolicyDocument, r.AttachedManagedPolicies, r.RolePolicyList, r.PermissionsBoundary, tagNames(r.Tags), role.Role.MaxSessionDuration)
	}
	for _, u := range out.UserDetailList {
		slices.SortFunc(u.AttachedManagedPolicies, byPolicyName)
		add("user", *u.Arn, u.AttachedManagedPolicies, u.UserPolicyList, u.PermissionsBoundary, tagNames(u.Tags))
	}
	resources, err := b.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &stack})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range resources.StackResources {
		id := aws.ToString(r.PhysicalResourceId)
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], id[strings.LastIndex(id, "/")+1:], "<"+*r.LogicalResourceId+">")
		}
	}
	slices.Sort(lines)
	return lines
}

// What an update leaves is what a creation from the same template makes; a
// failed update leaves what was; a deletion leaves nothing.
func TestUpdatesArriveWhereCreationsDo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first, second := anyTemplate(rt, "first "), anyTemplate(rt, "second ")
		updated, created := newBench(t), newBench(t)
		updated.create("s", text(rt, first))
		before := updated.state("s")

		// The update fails at its last resource.
		failing := object{}
		for name, r := range second["Resources"].(object) {
			failing[name] = r
		}
		var others []string
		for name := range failing {
			others = append(others, name)
		}
		slices.Sort(others)
		failing["Zz"] = object{"Type": "AWS::IAM::Role", "DependsOn": others, "Properties": object{"Path": "/x/"}}
		st := updated.update("s", text(rt, object{"Resources": failing}))
		if st.StackStatus != types.StackStatusUpdateRollbackComplete {
			rt.Fatalf("the failing update ended as %s:\n%s", st.StackStatus, strings.Join(updated.events("s"), "\n"))
		}
		if diff := cmp.Diff(before, updated.state("s")); diff != "" {
			rt.Fatalf("the failed update changed something (-before +after):\n%s\n%s", diff, strings.Join(updated.events("s"), "\n"))
		}

		if err := updated.tryUpdate("s", text(rt, second)); err != nil {
			if refusal(t, err) != "ValidationError: No updates are to be performed." || !cmp.Equal(first, second) {
				rt.Fatal(err)
			}
		}
		created.create("s", text(rt, second))
		if diff := cmp.Diff(created.state("s"), updated.state("s")); diff != "" {
			rt.Fatalf("(-created +updated):\n%s\n%s", diff, strings.Join(updated.events("s"), "\n"))
		}

		id := *updated.stack("s").StackId
		updated.delete("s")
		if left := updated.state(id); fmt.Sprint(left) != "[]" {
			rt.Fatalf("the deletion left %v", left)
		}
	})
}

// With fault injection in place of a template's own faults, see
// TestUpdatesArriveWhereCreationsDo: whoever loses a permission half-way gets a
// failed stack, never a panic or an operation without end.
func TestStacksEnd(t *testing.T) {
	actions := []string{
		"iam:CreateRole", "iam:CreatePolicy", "iam:AttachRolePolicy", "iam:PutRolePolicy", "iam:DeleteRole", "iam:DetachRolePolicy",
		"iam:DeletePolicy", "iam:CreatePolicyVersion", "iam:TagRole", "iam:CreateUser", "iam:DeleteUser", "iam:DeleteRolePolicy",
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := newBenchWith(t, sandbox.Options{})
		denied := rapid.SliceOfNDistinct(rapid.SampledFrom(actions), 0, 3, rapid.ID).Draw(rt, "denied")
		policy := allow(`{"Effect":"Allow","Action":"*","Resource":"*"}`)
		if len(denied) > 0 {
			policy = allow(`{"Effect":"Allow","Action":"*","Resource":"*"}`, `{"Effect":"Deny","Action":["`+strings.Join(denied, `","`)+`"],"Resource":"*"}`)
		}
		worker := b.as(b.Account(customer).User("worker", policy))
		if err := worker.tryCreate("s", text(rt, anyTemplate(rt, "first "))); err != nil {
			rt.Fatal(err)
		}
		worker.tryUpdate("s", text(rt, anyTemplate(rt, "second "))) // refused after a rollback
		status := string(b.stack("s").StackStatus)
		if strings.HasSuffix(status, "IN_PROGRESS") {
			rt.Fatalf("the stack is %s for ever:\n%s", status, strings.Join(b.events("s"), "\n"))
		}
		if status == "UPDATE_ROLLBACK_FAILED" || strings.Contains(strings.Join(b.events("s"), "\n"), "DELETE_FAILED") {
			return // what could not be cleaned up stays behind, as in AWS
		}
		// An administrator can clean up the rest.
		id := *b.stack("s").StackId
		b.delete("s")
		if got := b.stack(id).StackStatus; got != types.StackStatusDeleteComplete {
			rt.Fatalf("after the deletion %s:\n%s", got, strings.Join(b.events(id), "\n"))
		}
	})
}

func byPolicyName(a, b iamtypes.AttachedPolicy) int {
	return strings.Compare(*a.PolicyName, *b.PolicyName)
}

// tagNames returns the keys of the tags that the template gave.
func tagNames(tags []iamtypes.Tag) []string {
	var keys []string
	for _, t := range tags {
		if !strings.HasPrefix(*t.Key, "aws:") {
			keys = append(keys, *t.Key)
		}
	}
	slices.Sort(keys)
	return keys
}
