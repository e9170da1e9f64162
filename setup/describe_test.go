package setup

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
)

func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		statement iam.Statement
		want      Permission
	}{
		{iam.Statement{Sid: "ReadS3Reports", Effect: iam.Allow, Action: []string{"s3:GetObject", "S3:listbucket"}, Resource: []string{"arn:aws:s3:::a", "arn:aws:s3:::a/*"}},
			Permission{Title: "Read S3 reports", Level: "read", Sentences: []string{"Read data and list what exists in Amazon S3"}, Resources: []string{"arn:aws:s3:::a", "arn:aws:s3:::a/*"}}},
		{iam.Statement{Effect: iam.Allow, Action: []string{"ec2:DescribeInstances", "ec2:CreateTags"}, Resource: []string{"*"}},
			Permission{Level: "write", Sentences: []string{"List what exists and change tags in Amazon EC2"}, Anywhere: true}},
		{iam.Statement{Sid: "Admin", Effect: iam.Allow, Action: []string{"iam:PutRolePolicy"}, Resource: []string{"*"}},
			Permission{Title: "Admin", Level: "permissions", Sentences: []string{"Change permissions in IAM"}, Anywhere: true}},
		{iam.Statement{Effect: iam.Deny, Action: []string{"kms:Decrypt"}, Resource: []string{"*"}, Conditions: []iam.Condition{{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}}}},
			Permission{Deny: true, Level: "write", Sentences: []string{"Create, change and delete in Key Management Service"}, Anywhere: true, Conditions: true}},
		{iam.Statement{Effect: iam.Allow, Action: []string{"newservice:DoThings"}, Resource: []string{"1", "2", "3", "4", "5", "6"}},
			Permission{Level: "write", Sentences: []string{"Use newservice:DoThings"}, Resources: []string{"1", "2", "3", "4"}, More: 2}},
		{iam.Statement{Effect: iam.Allow, Action: []string{"backup-gateway:ListGateways"}, Resource: []string{"arn:" + iam.Symbol("AWS::Partition") + ":x"}},
			Permission{Level: "read", Sentences: []string{"Read data in backup-gateway"}, Resources: []string{"arn:${AWS::Partition}:x"}}},
	} {
		if diff := cmp.Diff(test.want, Describe(test.statement)); diff != "" {
			t.Errorf("%v: (-want +got)\n%s", test.statement.Action, diff)
		}
	}
	everything := Describe(iam.Statement{Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"}})
	if everything.Level != "permissions" || len(everything.Sentences) != 1 {
		t.Errorf("everything: %+v", everything)
	}
}

func TestSpaced(t *testing.T) {
	for sid, want := range map[string]string{
		"": "", "Read": "Read", "ReadCostReports": "Read cost reports", "UseEC2": "Use EC2", "readOnly": "read only", "S3": "S3", "KMSDecrypt": "KMS decrypt",
	} {
		if got := spaced(sid); got != want {
			t.Errorf("spaced(%q) = %q, want %q", sid, got, want)
		}
	}
}

func TestSetupIsMore(t *testing.T) {
	read, write := Phase{Permissions: []Permission{{Level: levelRead}}}, Phase{Permissions: []Permission{{Level: levelWrite}, {Level: levelPermissions, Deny: true}}}
	for _, test := range []struct {
		grants Grants
		want   bool
		level  string
	}{
		{Grants{Ongoing: read, Setup: write}, true, "read"}, {Grants{Ongoing: write, Setup: read}, false, "write"}, {Grants{Setup: read}, true, ""}, {Grants{}, false, ""},
	} {
		if test.grants.SetupIsMore() != test.want || test.grants.Ongoing.Level() != test.level {
			t.Errorf("%+v: %v %q", test.grants, test.grants.SetupIsMore(), test.grants.Ongoing.Level())
		}
	}
}
