package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// conditional allows iam:ListRoles under one condition, and everything needed
// to assume roles without any.
func conditional(operator, key, value string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{%q:{%q:%q}}},
		{"Effect":"Allow","Action":["sts:*"],"Resource":"*"}]}`, operator, key, value)
}

// Each row is one condition on a call of iam:ListRoles and who it holds for.
func TestConditionKeys(t *testing.T) {
	at := func(offset time.Duration) string { return time.Now().Add(offset).UTC().Format(time.RFC3339) }
	const (
		user, session, both, nobody = "user", "session", "user and session", "nobody"
	)
	tests := []struct {
		operator, key, value string
		holds                string
	}{
		{"StringEquals", "aws:PrincipalArn", "arn:aws:iam::111111111111:user/dev/probe", user},
		{"StringEquals", "aws:PrincipalArn", "arn:aws:iam::111111111111:role/deep/path/probe", session},
		{"StringLike", "aws:PrincipalArn", "*assumed-role*", nobody},
		{"StringEquals", "aws:PrincipalAccount", vendorID, both},
		{"StringEquals", "aws:PrincipalType", "User", user},
		{"StringEquals", "aws:PrincipalType", "AssumedRole", session},
		{"StringLike", "aws:userid", "AIDA*", user},
		{"StringLike", "aws:userid", "AROA*:session", session},
		{"StringEquals", "aws:username", "probe", user},
		{"Null", "aws:username", "true", session},
		{"StringEquals", "aws:PrincipalTag/team", "blue", user},
		{"StringEquals", "aws:PrincipalTag/team", "red", session}, // the session's tag overrides the role's
		{"StringEquals", "aws:PrincipalTag/Stage", "prod", session},
		{"StringEquals", "aws:PrincipalOrgID", "o-vendor", both},
		{"StringEquals", "aws:ResourceOrgID", "o-vendor", both},
		{"StringEquals", "aws:ResourceAccount", vendorID, both},
		{"IpAddress", "aws:SourceIp", "127.0.0.1/32", both},
		{"IpAddress", "aws:SourceIp", "10.0.0.0/8", nobody},
		{"Bool", "aws:SecureTransport", "true", both},
		{"Bool", "aws:ViaAWSService", "false", both},
		{"Null", "aws:CalledVia", "true", both},
		{"DateLessThan", "aws:CurrentTime", at(time.Hour), both},
		{"DateGreaterThan", "aws:CurrentTime", at(time.Hour), nobody},
		{"NumericLessThan", "aws:EpochTime", fmt.Sprint(time.Now().Add(time.Hour).Unix()), both},
		{"StringEquals", "aws:RequestedRegion", "us-east-1", both},
		{"StringLike", "aws:UserAgent", "aws-sdk-go-v2/*", both},
		{"Null", "aws:TokenIssueTime", "true", user},
		{"DateGreaterThan", "aws:TokenIssueTime", at(-time.Hour), session},
		{"Null", "aws:MultiFactorAuthPresent", "true", user},
		{"Bool", "aws:MultiFactorAuthPresent", "false", session},
		{"StringEquals", "aws:SourceIdentity", "alice", session},
		{"Bool", "aws:PrincipalIsAWSService", "false", both},
	}
	for _, test := range tests {
		t.Run(test.operator+" "+test.key+" "+test.value, func(t *testing.T) {
			box := sandboxtest.New(t, vendorID)
			account := box.Account(vendorID)
			account.JoinOrganization("o-vendor")
			policy := conditional(test.operator, test.key, test.value)
			userConfig := probeUser(t, box, policy)
			account.Role("probe", trust(vendorID, everyAction, ""), []string{policy}, func(in *iam.CreateRoleInput) {
				in.Path = aws.String("/deep/path/")
				in.Tags = []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("blue")}, {Key: aws.String("stage"), Value: aws.String("prod")}}
			})
			out, err := assume(userConfig, "arn:aws:iam::111111111111:role/deep/path/probe", withTags("Team", "red"), withSource("alice"))
			if err != nil {
				t.Fatal(err)
			}
			for who, cfg := range map[string]aws.Config{user: userConfig, session: box.Config(credentialsOf(out.Credentials))} {
				_, err := iam.NewFromConfig(cfg).ListRoles(context.Background(), nil)
				if allowed, want := err == nil, strings.Contains(test.holds, who); allowed != want {
					t.Errorf("%s: allowed %v, want %v (%v)", who, allowed, want, err)
				}
			}
		})
	}
}

func probeUser(t *testing.T, box *sandboxtest.Sandbox, policy string) aws.Config {
	t.Helper()
	ctx, name := context.Background(), "probe"
	client := iam.NewFromConfig(box.Account(vendorID).Config())
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{
		UserName: &name, Path: aws.String("/dev/"), Tags: []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("blue")}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
	key, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return box.Config(sandbox.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey})
}

// What a served sandbox sees of the connection.
func TestConnectionKeys(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	account := box.Account(vendorID)
	secure := account.User("secure", conditional("Bool", "aws:SecureTransport", "true"))
	near := account.User("near", conditional("IpAddress", "aws:SourceIp", "192.0.2.0/24"))
	plain := "http://127.0.0.1:1"
	for name, test := range map[string]struct {
		cfg     aws.Config
		allowed bool
	}{"plain HTTP is not secure": {secure, false}, "the client's address": {near, true}} {
		test.cfg.BaseEndpoint = &plain
		test.cfg.HTTPClient = &http.Client{Transport: handler{box}} // calls from 192.0.2.1
		_, err := iam.NewFromConfig(test.cfg).ListRoles(context.Background(), nil)
		if allowed := err == nil; allowed != test.allowed {
			t.Errorf("%s: allowed %v (%v)", name, allowed, err)
		}
	}
}

const roleTemplate = `{"Resources":{"Role":{"Type":"AWS::IAM::Role","Properties":{"RoleName":"made","AssumeRolePolicyDocument":
	{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}}}}}`

// A stack calls other services on its caller's behalf, which policies can tell
// from direct calls, or with a role that trusts CloudFormation.
func TestCallsThroughCloudFormation(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	account := box.Account(vendorID)
	ctx := context.Background()
	serviceTrust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"cloudformation.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	trusting := account.Role("trusting", serviceTrust, []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"Null":{"aws:CalledVia":"true"},"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/trusting"}}}}`})
	distrusting := account.Role("distrusting", strings.Replace(serviceTrust, "cloudformation", "ec2", 1), []string{allowAll})

	stacks := `{"Effect":"Allow","Action":["cloudformation:*","iam:PassRole"],"Resource":"*"}`
	via := func(condition string) aws.Config {
		return account.User("user-"+strconv.Itoa(len(box.Calls())), `{"Version":"2012-10-17","Statement":[`+stacks+`,{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":`+condition+`}]}`)
	}
	tests := []struct {
		name    string
		cfg     aws.Config
		role    string
		created bool
	}{
		{"CalledVia", via(`{"ForAnyValue:StringEquals":{"aws:CalledVia":"cloudformation.amazonaws.com"}}`), "", true},
		{"CalledViaFirst and Last", via(`{"StringEquals":{"aws:CalledViaFirst":"cloudformation.amazonaws.com","aws:CalledViaLast":"cloudformation.amazonaws.com"},"Bool":{"aws:ViaAWSService":"true"}}`), "", true},
		{"only direct calls", via(`{"Bool":{"aws:ViaAWSService":"false"}}`), "", false},
		{"only from an address", via(`{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}`), "", false},
		{"service role", via(`{"Bool":{"aws:ViaAWSService":"false"}}`), trusting, true},
		{"role that does not trust the service", via(`{"Bool":{"aws:ViaAWSService":"false"}}`), distrusting, false},
	}
	for i, test := range tests {
		client := cloudformation.NewFromConfig(test.cfg)
		in := &cloudformation.CreateStackInput{
			StackName: aws.String("stack-" + strconv.Itoa(i)), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
			TemplateBody: aws.String(strings.Replace(roleTemplate, "made", "made-"+strconv.Itoa(i), 1)),
		}
		if test.role != "" {
			in.RoleARN = &test.role
		}
		_, err := client.CreateStack(ctx, in)
		_, missing := iam.NewFromConfig(account.Config()).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("made-" + strconv.Itoa(i))})
		if created := missing == nil; created != test.created {
			t.Errorf("%s: created %v, want %v (%v)", test.name, created, test.created, err)
		}
	}
}

func TestDenialsNameTheirReason(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	account := box.Account(vendorID)
	boundary := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	policy, err := iam.NewFromConfig(account.Config()).CreatePolicy(context.Background(), &iam.CreatePolicyInput{PolicyName: aws.String("boundary"), PolicyDocument: &boundary})
	if err != nil {
		t.Fatal(err)
	}
	account.Role("role", trust(vendorID, everyAction, ""), []string{allowAll})
	bounded := account.Role("bounded", trust(vendorID, everyAction, ""), []string{allowAll}, func(in *iam.CreateRoleInput) { in.PermissionsBoundary = policy.Policy.Arn })
	user := account.User("user", allowAssume)
	denied := account.User("denied", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iam:*","Resource":"*"}}`)
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iam:ListRoles","Resource":"*"}]}`
	tests := []struct {
		name   string
		cfg    aws.Config
		reason string
	}{
		{"identity, implicit", user, "because no identity-based policy allows the iam:ListRoles action"},
		{"identity, explicit", denied, "with an explicit deny in an identity-based policy"},
		{"boundary", box.Assume(user, bounded), "because no permissions boundary allows the iam:ListRoles action"},
		{"session, explicit", box.Assume(user, "arn:aws:iam::111111111111:role/role", withPolicy(deny)), "with an explicit deny in a session policy"},
	}
	for _, test := range tests {
		who, err := sts.NewFromConfig(test.cfg).GetCallerIdentity(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = iam.NewFromConfig(test.cfg).ListRoles(context.Background(), nil)
		code, message := codeOf(err)
		if !strings.HasPrefix(message, "User: "+*who.Arn+" is not authorized to perform: iam:ListRoles on resource: ") || !strings.HasSuffix(message, test.reason) || code != "AccessDenied" {
			t.Errorf("%s: %s: %s", test.name, code, message)
		}
	}
}
