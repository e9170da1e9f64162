package world_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/world"
)

// The forms of messages are those of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
// and of the services that deviate from it.
func TestParseDenialOfMessages(t *testing.T) {
	const john, bucket = "arn:aws:iam::123456789012:user/JohnDoe", "arn:aws:s3:::b/k"
	for message, want := range map[string]string{
		"User: " + john + " is not authorized to perform: codecommit:ListRepositories because no service control policy allows the codecommit:ListRepositories action": john + " codecommit:ListRepositories  | implicit service control policy | missing resource",
		"User: " + john + " is not authorized to perform: codecommit:ListRepositories with an explicit deny in a service control policy":                               john + " codecommit:ListRepositories  | explicit service control policy | missing resource",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " because no resource control policy allows the s3:GetObject action":  john + " s3:GetObject " + bucket + " | implicit resource control policy",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " with an explicit deny in a resource control policy":                 john + " s3:GetObject " + bucket + " | explicit resource control policy",
		"User: " + john + " is not authorized to perform: s3:GetObject because no VPC endpoint policy allows the s3:GetObject action":                                  john + " s3:GetObject  | implicit VPC endpoint policy | missing resource",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " with an explicit deny in a VPC endpoint policy":                     john + " s3:GetObject " + bucket + " | explicit VPC endpoint policy",
		"User: " + john + " is not authorized to perform: s3:GetObject because no permissions boundary allows the s3:GetObject action":                                 john + " s3:GetObject  | implicit permissions boundary | missing resource",
		"User: " + john + " is not authorized to perform: s3:GetObject with an explicit deny in a permissions boundary":                                                john + " s3:GetObject  | explicit permissions boundary | missing resource",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " because no session policy allows the s3:GetObject action":           john + " s3:GetObject " + bucket + " | implicit session policy",
		"User: " + john + " is not authorized to perform: sns:Publish on resource: arn:aws:sns:us-east-1:123456789012:t with an explicit deny in a session policy":     john + " sns:Publish arn:aws:sns:us-east-1:123456789012:t | explicit session policy",
		"User: " + john + " is not authorized to perform: secretsmanager:GetSecretValue because no resource-based policy allows the secretsmanager:GetSecretValue action": john +
			" secretsmanager:GetSecretValue  | implicit resource policy | missing resource",
		"User: " + john + " is not authorized to perform: sts:AssumeRole because no role trust policy allows the sts:AssumeRole action":                                 john + " sts:AssumeRole  | implicit resource policy | missing resource",
		"User: " + john + " is not authorized to perform: sts:AssumeRole with an explicit deny in the role trust policy":                                                john + " sts:AssumeRole  | explicit resource policy | missing resource",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: \"" + bucket + "\" because no identity-based policy allows the s3:GetObject action": john + " s3:GetObject " + bucket + " | implicit identity policy",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " with an explicit deny in an identity-based policy":                   john + " s3:GetObject " + bucket + " | explicit identity policy",
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " with an explicit deny in a service control policy: arn:aws:organizations::999999999999:policy/o-abcd/service_control_policy/p-12345678": john +
			" s3:GetObject " + bucket + " | explicit service control policy arn:aws:organizations::999999999999:policy/o-abcd/service_control_policy/p-12345678",
		"An error occurred (AccessDenied) when calling the AssumeRole operation: User: arn:aws:sts::111111111111:assumed-role/broker/s is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/customer": "arn:aws:sts::111111111111:assumed-role/broker/s sts:AssumeRole arn:aws:iam::222222222222:role/customer | ",
		"operation error Lambda: Invoke, https response error StatusCode: 403, RequestID: 1, api error AccessDeniedException: User: " + john + " is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:123456789012:function:f because no identity-based policy allows the lambda:InvokeFunction action, next": john +
			" lambda:InvokeFunction arn:aws:lambda:us-east-1:123456789012:function:f | implicit identity policy",
		"User: " + john + " is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:us-east-1:123456789012:instance/* with an explicit deny": john + " ec2:RunInstances arn:aws:ec2:us-east-1:123456789012:instance/* | explicit none",
		// The policy's ARN counts also where words and not a colon lead to it.
		"User: " + john + " is not authorized to perform: s3:GetObject on resource: " + bucket + " with an explicit deny in a service control policy with ARN arn:aws:organizations::999999999999:policy/o-abcd/service_control_policy/p-12345678": john +
			" s3:GetObject " + bucket + " | explicit service control policy arn:aws:organizations::999999999999:policy/o-abcd/service_control_policy/p-12345678",
		"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********9012:abc/prod/GET/": "anonymous execute-api:Invoke  |  | missing resource",
	} {
		d, err := world.ParseDenial([]byte(message))
		if err != nil {
			t.Errorf("%s: %v", message, err)
			continue
		}
		reason := ""
		if d.Reason.Known {
			reason = map[bool]string{true: "explicit ", false: "implicit "}[d.Reason.Explicit] + strings.TrimSpace(d.Reason.Layer.String()+" "+d.Reason.Policy)
		}
		got := fmt.Sprintf("%s %s %s | %s", d.Question.Principal, d.Question.Action, d.Question.Resource, reason)
		if len(d.Missing) > 0 {
			got += " | missing " + strings.Join(d.Missing, " ")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", message, diff)
		}
	}
	for _, text := range []string{"", "AccessDenied", "{", "You are not authorized to perform this operation. Encoded authorization failure message: abc"} {
		if _, err := world.ParseDenial([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if _, err := world.ParseDenial([]byte("Encoded authorization failure message: abc")); err == nil || !strings.Contains(err.Error(), "decode-authorization-message") {
		t.Errorf("encoded message: %v", err)
	}
}

const trailEvent = `{"eventVersion": "1.09", "eventTime": "2026-11-22T01:02:03Z", "eventSource": "s3.amazonaws.com", "eventName": "HeadObject",
  "awsRegion": "eu-west-1", "sourceIPAddress": "10.0.0.7", "userAgent": "[aws-cli/2]", "errorCode": "AccessDenied", "errorMessage": "Access Denied",
  "vpcEndpointId": "vpce-1", "recipientAccountId": "222222222222", "tlsDetails": {"tlsVersion": "TLSv1.3"},
  "requestParameters": {"bucketName": "data", "key": "a/b.txt"},
  "userIdentity": {"type": "AssumedRole", "principalId": "AROAX:s", "arn": "arn:aws:sts::222222222222:assumed-role/vendor-access/s", "accountId": "222222222222",
    "sessionContext": {"attributes": {"mfaAuthenticated": "false"}}},
  "resources": [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::data/a/b.txt"}, {"accountId": "222222222222", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::data"}]}`

func TestParseDenialOfEvents(t *testing.T) {
	d, err := world.ParseDenial([]byte(trailEvent))
	if err != nil {
		t.Fatal(err)
	}
	q := d.Question
	if q.Principal != "arn:aws:sts::222222222222:assumed-role/vendor-access/s" || q.Action != "s3:GetObject" || q.Resource != "arn:aws:s3:::data/a/b.txt" ||
		q.ResourceAccount != "222222222222" || d.Reason.Known || len(d.Missing) > 0 {
		t.Errorf("%+v", d)
	}
	for key, want := range map[string]string{
		"aws:SourceVpce": "vpce-1", "aws:VpcSourceIp": "10.0.0.7", "aws:SourceIp": "absent", "aws:RequestedRegion": "eu-west-1", "aws:UserAgent": "aws-cli/2",
		"aws:SecureTransport": "true", "aws:MultiFactorAuthPresent": "false", "aws:ViaAWSService": "false", "aws:CurrentTime": "2026-11-22T01:02:03Z",
	} {
		values, _, state := q.Context.Lookup(key)
		if state == iam.KeyGiven && values[0] != want || state != iam.KeyGiven && want != "absent" {
			t.Errorf("%s: %v, want %s", key, values, want)
		}
	}
	w := compile(t, twoAccounts)
	if a, err := w.Can(q); err != nil || a.Verdict().String() != "Allowed" {
		t.Errorf("the event's question: %v %v", a, err)
	}

	list := `{"Records": [{"eventName": "GetObject", "eventSource": "s3.amazonaws.com"}, ` + trailEvent + `]}`
	if d, err := world.ParseDenial([]byte(list)); err != nil || d.Question.Action != "s3:GetObject" {
		t.Errorf("of several events the refused one: %v %v", d, err)
	}
	for text, want := range map[string]string{
		`{"Records": [` + trailEvent + `, ` + trailEvent + `]}`: "2 events here were refused",
		`{"Records": []}`:  "there is no refused event here",
		`{"a": 1}`:         "there is no refused event here",
		`{"eventName": 3}`: "this is no CloudTrail event",
	} {
		if _, err := world.ParseDenial([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}

	assume := `{"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole", "awsRegion": "us-east-1", "sourceIPAddress": "203.0.113.9", "errorCode": "AccessDenied",
		"errorMessage": "User: arn:aws:sts::111111111111:assumed-role/broker/i-1 is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/vendor-access",
		"requestParameters": null, "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/broker/i-1", "accountId": "111111111111"}}`
	d, err = world.ParseDenial([]byte(assume))
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Can(d.Question)
	if err != nil {
		t.Fatal(err)
	}
	if a.Verdict().String() != "Depends" || strings.Join(a.Unknown(), " ") != "sts:ExternalId" {
		t.Errorf("%v %v", a.Verdict(), a.Unknown())
	}
	if text := a.Explain().String() + fmt.Sprint(a.Requirements()); strings.Contains(text, "sesame") {
		t.Errorf("the external ID is shown:\n%s", text)
	}
}

func FuzzParseDenial(f *testing.F) {
	f.Add([]byte(trailEvent))
	f.Add([]byte("User: arn:aws:iam::123456789012:user/a is not authorized to perform: s3:GetObject on resource: \"arn:aws:s3:::b\" with an explicit deny in an identity-based policy"))
	w := compile(f, twoAccounts)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := world.ParseDenial(data)
		if err != nil {
			return
		}
		if len(d.Missing) == 0 {
			_, _ = w.Can(d.Question) // must not panic
		}
	})
}
