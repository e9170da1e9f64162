package world_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// accountDetails is what aws iam get-account-authorization-details prints, with
// one document URL-encoded as the API returns it.
var accountDetails = `{
  "UserDetailList": [{"Path": "/", "UserName": "ann", "UserId": "AIDAANNANNANNANNANNA", "Arn": "arn:aws:iam::111111111111:user/ann", "CreateDate": "2026-01-01T00:00:00+00:00",
    "GroupList": ["readers"], "AttachedManagedPolicies": [], "Tags": [{"Key": "team", "Value": "red"}],
    "PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": "arn:aws:iam::111111111111:policy/cap"}}],
  "GroupDetailList": [{"Path": "/", "GroupName": "readers", "GroupId": "AGPAREADERSREADERSRE", "Arn": "arn:aws:iam::111111111111:group/readers",
    "CreateDate": "2026-01-01T00:00:00+00:00", "GroupPolicyList": [{"PolicyName": "read", "PolicyDocument": {"Version": "2012-10-17",
      "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}}], "AttachedManagedPolicies": []}],
  "RoleDetailList": [{"Path": "/", "RoleName": "app", "RoleId": "AROAAPPAPPAPPAPPAPPA", "Arn": "arn:aws:iam::111111111111:role/app", "CreateDate": "2026-01-01T00:00:00+00:00",
    "AssumeRolePolicyDocument": "` + url.QueryEscape(trustEC2) + `", "InstanceProfileList": [], "RolePolicyList": [],
    "AttachedManagedPolicies": [{"PolicyName": "ReadOnlyAccess", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}], "RoleLastUsed": {}}],
  "Policies": [{"PolicyName": "cap", "PolicyId": "ANPA1", "Arn": "arn:aws:iam::111111111111:policy/cap", "Path": "/", "DefaultVersionId": "v2", "AttachmentCount": 0,
    "PermissionsBoundaryUsageCount": 1, "IsAttachable": true, "PolicyVersionList": [
      {"VersionId": "v2", "IsDefaultVersion": true, "Document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}},
      {"VersionId": "v1", "IsDefaultVersion": false, "Document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}]}]}`

func quote(document string) string { return `"` + strings.ReplaceAll(document, `"`, `\"`) + `"` }

func policyFor(principal, action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"` + action + `","Resource":"` + resource + `"}]}`
}

// outputs are the outputs that Add knows, with their subject and owner.
var outputs = []struct{ name, output, subject, owner string }{
	{"iam get-account-authorization-details", accountDetails, "", ""},
	{"s3api get-bucket-policy", `{"Policy": ` + quote(policyFor("222222222222", "s3:GetObject", "arn:aws:s3:::data/*")) + `}`, "arn:aws:s3:::data", "111111111111"},
	{"s3api get-bucket-tagging", `{"TagSet": [{"Key": "stage", "Value": "prod"}]}`, "arn:aws:s3:::data", ""},
	{"sqs get-queue-attributes", `{"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:111111111111:q", "Policy": ` + quote(policyFor("222222222222", "sqs:SendMessage", "*")) +
		`, "KmsMasterKeyId": "arn:aws:kms:eu-west-1:111111111111:key/k"}}`, "", ""},
	{"sns get-topic-attributes", `{"Attributes": {"TopicArn": "arn:aws:sns:eu-west-1:111111111111:t", "Owner": "111111111111", "Policy": ` + quote(policyFor("222222222222", "sns:Publish", "*")) + `}}`,
		"arn:aws:sns:eu-west-1:111111111111:t", ""},
	{"kms get-key-policy", `{"Policy": ` + quote(policyFor("arn:aws:iam::111111111111:root", "kms:*", "*")) + `, "PolicyName": "default"}`, "arn:aws:kms:eu-west-1:111111111111:key/k", ""},
	{"secretsmanager get-resource-policy", `{"ARN": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:s-AbCdEf", "Name": "s", "ResourcePolicy": ` +
		quote(policyFor("222222222222", "secretsmanager:GetSecretValue", "*")) + `}`, "", ""},
	{"lambda get-policy", `{"Policy": ` + quote(policyFor("222222222222", "lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:111111111111:function:f")) + `, "RevisionId": "1"}`,
		"arn:aws:lambda:eu-west-1:111111111111:function:f", ""},
	{"ecr get-repository-policy", `{"registryId": "111111111111", "repositoryName": "r", "policyText": ` +
		quote(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"ecr:BatchGetImage"}]}`) + `}`,
		"arn:aws:ecr:eu-west-1:111111111111:repository/r", ""},
	{"dynamodb get-resource-policy", `{"Policy": ` + quote(policyFor("222222222222", "dynamodb:GetItem", "*")) + `, "RevisionId": "1"}`, "arn:aws:dynamodb:eu-west-1:111111111111:table/t", ""},
	{"a bare document", policyFor("222222222222", "kinesis:GetRecords", "*"), "arn:aws:kinesis:eu-west-1:111111111111:stream/s", ""},
	{"ec2 describe-vpc-endpoints", `{"VpcEndpoints": [{"VpcEndpointId": "vpce-1", "VpcId": "vpc-1", "OwnerId": "111111111111", "PolicyDocument": ` +
		quote(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}]}`) + `}]}`, "", ""},
	{"organizations list-roots", `{"Roots": [{"Id": "r-abcd", "Arn": "arn:aws:organizations::999999999999:root/o-abcdefghij/r-abcd", "Name": "Root"}]}`, "", ""},
	{"organizations list-organizational-units-for-parent", `{"OrganizationalUnits": [{"Id": "ou-abcd-12345678", "Arn": "x", "Name": "Work"}]}`, "r-abcd", ""},
	{"organizations list-accounts-for-parent", `{"Accounts": [{"Id": "111111111111", "Arn": "x", "Name": "one"}]}`, "ou-abcd-12345678", ""},
	{"organizations list-policies-for-target", `{"Policies": [{"Id": "p-FullAWSAccess", "Name": "FullAWSAccess", "Type": "SERVICE_CONTROL_POLICY", "AwsManaged": true}]}`, "ou-abcd-12345678", ""},
	{"organizations list-policies-for-target of an account", `{"Policies": [{"Id": "p-FullAWSAccess", "Type": "SERVICE_CONTROL_POLICY"}, {"Id": "p-12345678", "Type": "SERVICE_CONTROL_POLICY"}]}`,
		"111111111111", ""},
	{"organizations describe-policy", `{"Policy": {"PolicySummary": {"Id": "p-12345678", "Name": "guard", "Type": "SERVICE_CONTROL_POLICY", "AwsManaged": false}, "Content": ` +
		quote(`{"Version":"2012-10-17","Statement":[{"Sid":"NoKMS","Effect":"Deny","Action":"kms:*","Resource":"*"}]}`) + `}}`, "", ""},
	{"organizations describe-organization", `{"Organization": {"Id": "o-abcdefghij", "MasterAccountId": "999999999999"}}`, "", ""},
}

func addAll(t testing.TB, s *world.Snapshot) string {
	t.Helper()
	for _, o := range outputs {
		if err := s.Add([]byte(o.output), o.subject, iam.AccountID(o.owner)); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
	}
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAddOutputs(t *testing.T) {
	s := &world.Snapshot{}
	once := addAll(t, s)
	if diff := cmp.Diff(once, addAll(t, s)); diff != "" {
		t.Errorf("adding everything again changes the world: %s", diff)
	}
	w, err := world.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		principal, action, resource, endpoint string
		want                                  eval.Verdict
	}{
		{"arn:aws:iam::111111111111:user/ann", "s3:GetObject", "arn:aws:s3:::data/x", "", eval.Allowed},
		{"arn:aws:iam::111111111111:user/ann", "s3:GetObject", "arn:aws:s3:::data/x", "vpce-1", eval.ImplicitlyDenied},
		{"arn:aws:iam::111111111111:user/ann", "s3:PutObject", "arn:aws:s3:::data/x", "", eval.ImplicitlyDenied}, // the boundary's version v2
		{"arn:aws:iam::111111111111:role/app", "s3:GetObject", "arn:aws:s3:::data/x", "", eval.Depends},          // ReadOnlyAccess is not here
		{"arn:aws:iam::111111111111:root", "kms:Decrypt", "arn:aws:kms:eu-west-1:111111111111:key/k", "", eval.ExplicitlyDenied},
		{"222222222222", "sqs:SendMessage", "arn:aws:sqs:eu-west-1:111111111111:q", "", eval.Depends},
		{"333333333333", "sqs:SendMessage", "arn:aws:sqs:eu-west-1:111111111111:q", "", eval.ImplicitlyDenied},
		{"222222222222", "dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:111111111111:table/t", "", eval.Depends},
		{"222222222222", "ecr:BatchGetImage", "arn:aws:ecr:eu-west-1:111111111111:repository/r", "", eval.Depends},
		{"ec2.amazonaws.com", "sts:AssumeRole", "arn:aws:iam::111111111111:role/app", "", eval.Allowed},
	} {
		q := world.Question{Principal: test.principal, Action: test.action, Resource: test.resource}
		if test.endpoint != "" {
			q.Context.Set("aws:SourceVpce", test.endpoint)
		}
		a, err := w.Can(q)
		if err != nil {
			t.Errorf("%v: %v", test, err)
			continue
		}
		if a.Verdict() != test.want {
			t.Errorf("%v: %v\n%s", test, a.Verdict(), a.Explain())
		}
	}
	if _, err := w.Can(world.Question{Principal: "arn:aws:iam::111111111111:role/gone", Action: "s3:GetObject", Resource: "*"}); err == nil {
		t.Error("a role that does not exist was asked about")
	}
}

// What an account no longer has is gone after its details are read again.
func TestAddRemovesWhatIsGone(t *testing.T) {
	s := &world.Snapshot{}
	addAll(t, s)
	w, err := world.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	later := `{"UserDetailList": [], "GroupDetailList": [], "Policies": [], "RoleDetailList": [{"RoleName": "new", "RoleId": "AROANEWNEWNEWNEWNEWN",
		"Arn": "arn:aws:iam::111111111111:role/new", "AssumeRolePolicyDocument": ` + trustEC2 + `}]}`
	if err := s.Add([]byte(later), "", ""); err != nil {
		t.Fatal(err)
	}
	if len(s.Users) != 0 || len(s.Roles) != 1 || len(s.Policies) != 0 || len(s.Resources) < 5 {
		t.Errorf("%d users, %d roles, %d policies, %d resources", len(s.Users), len(s.Roles), len(s.Policies), len(s.Resources))
	}
	patch := &world.Snapshot{}
	if err := patch.Add([]byte(later), "", ""); err != nil {
		t.Fatal(err)
	}
	if err := w.Update(patch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Can(world.Question{Principal: "arn:aws:iam::111111111111:user/ann", Action: "s3:GetObject", Resource: "arn:aws:s3:::data/x"}); err == nil {
		t.Error("ann is still in the world")
	}
	page := `{"UserDetailList": [], "GroupDetailList": [], "Policies": [], "RoleDetailList": [], "IsTruncated": true, "Marker": "m"}`
	if err := s.Add([]byte(page), "", ""); err != nil || len(s.Roles) != 1 {
		t.Errorf("one page of several: %v, %d roles", err, len(s.Roles))
	}
}

// An account that moves takes along what is attached to itself, in the snapshot
// and in the world.
func TestAccountMoves(t *testing.T) {
	s := &world.Snapshot{}
	addAll(t, s)
	w, err := world.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	patch := &world.Snapshot{Format: world.Format, Organizations: []world.Organization{{
		ID: "o-abcdefghij", Root: world.Node{ID: "r-abcd", Units: []world.Node{{ID: "ou-abcd-87654321", Accounts: []world.Member{{ID: "111111111111"}}}}},
	}}}
	if err := w.Update(patch); err != nil {
		t.Fatal(err)
	}
	s.Merge(patch)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	merged, err := world.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*world.World{w, merged} {
		a, err := w.Can(world.Question{Principal: "arn:aws:iam::111111111111:root", Action: "kms:Decrypt", Resource: "arn:aws:kms:eu-west-1:111111111111:key/k"})
		if err != nil {
			t.Fatal(err)
		}
		if a.Verdict() != eval.ExplicitlyDenied || a.Decision.Layer != eval.LayerServiceControl {
			t.Errorf("after the move: %v", a.Verdict())
		}
		paths, _, _ := a.Input().Request.Context.Lookup("aws:PrincipalOrgPaths")
		if diff := cmp.Diff([]string{"o-abcdefghij/r-abcd/ou-abcd-87654321/"}, paths); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	for name, test := range map[string]struct{ output, subject, owner, want string }{
		"no JSON":           {`Policy`, "", "", "the output is no JSON object"},
		"another command":   {`{"Buckets": []}`, "", "", "the output is of no command this version reads: it has the fields Buckets"},
		"no subject":        {`{"Policy": "{}"}`, "", "", "name its ARN"},
		"another subject":   {`{"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:111111111111:q"}}`, "arn:aws:sqs:eu-west-1:111111111111:p", "", "the output is about arn:aws:sqs:eu-west-1:111111111111:q, not about"},
		"no owner":          {`{"Policy": ` + quote(policyFor("222222222222", "s3:GetObject", "*")) + `}`, "arn:aws:s3:::data", "", "account: must be given"},
		"no policy":         {`{"Policy": "{}"}`, "arn:aws:sqs:eu-west-1:111111111111:q", "", "Statement"},
		"identity policy":   {`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`, "arn:aws:sqs:eu-west-1:111111111111:q", "", "Principal"},
		"unknown parent":    {`{"Accounts": [{"Id": "111111111111"}]}`, "ou-abcd-12345678", "", "add the outputs from the top"},
		"broken role":       {`{"RoleDetailList": [{"Arn": "arn:aws:iam::111111111111:role/app", "AssumeRolePolicyDocument": {"Version": "2012-10-17"}}]}`, "", "", "RoleDetailList[0] (arn:aws:iam::111111111111:role/app): AssumeRolePolicyDocument"},
		"other repository":  {`{"repositoryName": "r", "policyText": "{}"}`, "arn:aws:ecr:eu-west-1:111111111111:repository/x", "", "the output is about the repository r"},
		"tag policy":        {`{"Policies": [{"Id": "p-12345678", "Type": "TAG_POLICY"}]}`, "111111111111", "", "does not bear on access"},
		"two organisations": {`{"Organization": {"Id": "o-zzzzzzzzzz", "MasterAccountId": "999999999999"}}`, "", "", "add the output of list-roots"},
	} {
		s := &world.Snapshot{}
		err := s.Add([]byte(test.output), test.subject, iam.AccountID(test.owner))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if diff := cmp.Diff(&world.Snapshot{}, s, cmp.AllowUnexported(world.Document{})); diff != "" {
			t.Errorf("%s: the snapshot was changed: %s", name, diff)
		}
	}
}

func FuzzAdd(f *testing.F) {
	for _, o := range outputs {
		f.Add([]byte(o.output), o.subject, o.owner)
	}
	f.Fuzz(func(t *testing.T, output []byte, subject, owner string) {
		s := &world.Snapshot{}
		addAll(t, s)
		before := addAll(t, s)
		if err := s.Add(output, subject, iam.AccountID(owner)); err != nil {
			var after bytes.Buffer
			if err := s.Write(&after); err != nil || after.String() != before {
				t.Fatalf("a refused output changed the world (%v)", err)
			}
			return
		}
		var once, twice bytes.Buffer
		if err := s.Write(&once); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(output, subject, iam.AccountID(owner)); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if err := s.Write(&twice); err != nil || once.String() != twice.String() {
			t.Fatalf("adding again changed the world (%v): %s", err, cmp.Diff(once.String(), twice.String()))
		}
	})
}
