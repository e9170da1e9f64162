package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendorID   = "111111111111"
	customerID = "222222222222"
	strangerID = "333333333333"

	allowAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	allowAssume = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}}`
	externalID  = "Demo-0f9a51c2d4e8b7361f9a51c2d4e8b736"
)

// trust is a trust policy for everybody in an account whom their own policies
// allow. Conditions is the JSON of a Condition element, empty for none.
func trust(account, actions, conditions string) string {
	if conditions != "" {
		conditions = `,"Condition":` + conditions
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":%s%s}}`, account, actions, conditions)
}

const (
	onlyAssume  = `"sts:AssumeRole"`
	everyAction = `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	needsID     = `{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}`
)

// codeOf returns AWS's error code and message, or the error's text if it is
// not one of AWS.
func codeOf(err error) (code, message string) {
	var api smithy.APIError
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &api):
		return api.ErrorCode(), api.ErrorMessage()
	}
	return "not an API error", err.Error()
}

func assume(cfg aws.Config, role string, options ...func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("session")}
	for _, option := range options {
		option(in)
	}
	return sts.NewFromConfig(cfg, func(o *sts.Options) { o.RetryMaxAttempts = 1 }).AssumeRole(context.Background(), in)
}

func withExternalID(id string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.ExternalId = &id }
}

func withTags(tags ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) {
		for i := 0; i < len(tags); i += 2 {
			in.Tags = append(in.Tags, types.Tag{Key: &tags[i], Value: &tags[i+1]})
		}
	}
}

func withTransitive(keys ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.TransitiveTagKeys = keys }
}

func withSource(identity string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.SourceIdentity = &identity }
}

func withDuration(seconds int32) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.DurationSeconds = &seconds }
}

func withPolicy(policy string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.Policy = &policy }
}

func withPolicyARNs(arns ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) {
		for _, arn := range arns {
			in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: &arn})
		}
	}
}

func withName(name string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.RoleSessionName = &name }
}

// The bare refusal is one and the same for everything that a customer's role
// could differ in.
func TestAssumeRoleRefusalsLookTheSame(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID, strangerID)
	vendor := box.Account(vendorID).User("broker", allowAssume)
	powerless := box.Account(vendorID).User("powerless")
	stranger := box.Account(strangerID).User("broker", allowAssume)
	customer := box.Account(customerID)
	guarded := customer.Role("guarded", trust(vendorID, onlyAssume, needsID), nil)
	denying := customer.Role("denying", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"},
		{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`, nil)
	nested := customer.Role("nested", trust(vendorID, onlyAssume, needsID), nil, func(in *iam.CreateRoleInput) { in.Path = aws.String("/team/") })

	tests := []struct {
		name   string
		caller aws.Config
		role   string
		id     string
	}{
		{"no external ID", vendor, guarded, ""},
		{"wrong external ID", vendor, guarded, externalID + "x"},
		{"external ID in another case", vendor, guarded, strings.ToUpper(externalID)},
		{"role does not exist", vendor, "arn:aws:iam::222222222222:role/missing", externalID},
		{"role of the caller's own account does not exist", vendor, "arn:aws:iam::111111111111:role/missing", ""},
		{"account does not exist", vendor, "arn:aws:iam::999999999999:role/guarded", externalID},
		{"other partition", vendor, "arn:aws-cn:iam::222222222222:role/guarded", externalID},
		{"path left out", vendor, "arn:aws:iam::222222222222:role/nested", externalID},
		{"path added", vendor, "arn:aws:iam::222222222222:role/team/guarded", externalID},
		{"name in another case", vendor, "arn:aws:iam::222222222222:role/Guarded", externalID},
		{"trust policy denies", vendor, denying, ""},
		{"principal is not trusted", stranger, guarded, externalID},
		{"caller has no permission", powerless, guarded, externalID},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var options []func(*sts.AssumeRoleInput)
			if test.id != "" {
				options = append(options, withExternalID(test.id))
			}
			_, err := assume(test.caller, test.role, options...)
			who, _ := sts.NewFromConfig(test.caller).GetCallerIdentity(context.Background(), nil)
			want := "User: " + *who.Arn + " is not authorized to perform: sts:AssumeRole on resource: " + test.role
			if code, message := codeOf(err); code != "AccessDenied" || message != want {
				t.Errorf("got %s: %s\nwant AccessDenied: %s", code, message, want)
			}
		})
	}
	for _, role := range []string{guarded, nested} {
		if _, err := assume(vendor, role, withExternalID(externalID)); err != nil {
			t.Errorf("the right external ID for %s: %v", role, err)
		}
	}
	for _, call := range box.Calls() {
		for _, d := range call.Decisions {
			if strings.Contains(strings.ToLower(d.Explain().String()+d.Deciding()), strings.ToLower(externalID[5:])) {
				t.Fatalf("the record of %s shows an external ID", call.RequestID)
			}
		}
	}
}

// AWS accepts an external ID that the role does not ask for, which is why a
// successful call alone proves nothing about a role.
func TestUnaskedExternalIDIsAccepted(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", allowAssume)
	open := box.Account(customerID).Role("open", trust(vendorID, onlyAssume, ""), nil)
	for _, options := range [][]func(*sts.AssumeRoleInput){nil, {withExternalID("whatever")}} {
		if _, err := assume(vendor, open, options...); err != nil {
			t.Error(err)
		}
	}
}

func TestAssumeRoleValidation(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", allowAll)
	customer := box.Account(customerID)
	role := customer.Role("role", trust(vendorID, everyAction, ""), []string{allowAll})
	long := customer.Role("long", trust(vendorID, everyAction, ""), nil, func(in *iam.CreateRoleInput) { in.MaxSessionDuration = aws.Int32(7200) })

	tests := []struct {
		name    string
		role    string
		option  func(*sts.AssumeRoleInput)
		code    string
		message string // a part of it
	}{
		{"external ID too short", role, withExternalID("x"), "ValidationError", "at 'externalId' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"external ID too long", role, withExternalID(strings.Repeat("x", 1225)), "ValidationError", "length less than or equal to 1224"},
		{"external ID, longest", role, withExternalID(strings.Repeat("x", 1224)), "", ""},
		{"external ID with a space", role, withExternalID("a b"), "ValidationError", `satisfy regular expression pattern: [\w+=,.@:\/-]*`},
		{"external ID, all characters", role, withExternalID("aZ09_+=,.@:/-"), "", ""},
		{"session name too short", role, withName("x"), "ValidationError", "1 validation error detected: Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"session name too long", role, withName(strings.Repeat("x", 65)), "ValidationError", "length less than or equal to 64"},
		{"session name with a slash", role, withName("a/b"), "ValidationError", `pattern: [\w+=,.@-]*`},
		{"two errors", role, func(in *sts.AssumeRoleInput) { withName("a/")(in); withSource("b c")(in) }, "ValidationError", "2 validation errors detected: "},
		{"duration too short", role, withDuration(899), "ValidationError", "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		{"duration too long for any role", role, withDuration(43201), "ValidationError", "less than or equal to 43200"},
		{"duration too long for this role", role, withDuration(3601), "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"duration this role allows", long, withDuration(7200), "", ""},
		{"not a role", "arn:aws:iam::222222222222:user/somebody", func(*sts.AssumeRoleInput) {}, "ValidationError", "Request ARN is invalid"},
		{"no ARN", strings.Repeat("x", 30), func(*sts.AssumeRoleInput) {}, "ValidationError", "Request ARN is invalid"},
		{"source identity reserved", role, withSource("aws:x"), "ValidationError", "sourceIdentity"},
		{"policy broken", role, withPolicy("{"), "MalformedPolicyDocument", ""},
		{"policy with a principal", role, withPolicy(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`), "MalformedPolicyDocument", ""},
		{"policy too long", role, withPolicy(sized(2049)), "ValidationError", "length less than or equal to 2048"},
		{"policy, longest", role, withPolicy(sized(2048)), "", ""},
		{"policy and ARN too long together", role, func(in *sts.AssumeRoleInput) {
			withPolicy(sized(2040))(in)
			withPolicyARNs("arn:aws:iam::aws:policy/ReadOnlyAccess")(in)
		}, "PackedPolicyTooLarge", "Packed policy consumes 101% of allotted space, please use smaller policy."},
		{"eleven policies", role, withPolicyARNs(strings.Fields(strings.Repeat("arn:aws:iam::aws:policy/ReadOnlyAccess ", 11))...), "ValidationError", "'policyArns'"},
		{"policy does not exist", role, withPolicyARNs("arn:aws:iam::222222222222:policy/missing"), "ValidationError", "does not exist"},
		{"policy of another account", role, withPolicyARNs("arn:aws:iam::111111111111:policy/other"), "ValidationError", "does not exist"},
		{"tags too large", role, withTags("T1", strings.Repeat("a", 250), "T2", strings.Repeat("a", 250)), "PackedPolicyTooLarge", "Packed size of session tags consumes 110% of allotted space."},
		{"tag key too long", role, withTags(strings.Repeat("k", 129), "v"), "ValidationError", "length less than or equal to 128"},
		{"tag twice", role, withTags("Team", "a", "team", "b"), "ValidationError", "be unique"},
		{"tag reserved", role, withTags("aws:x", "a"), "ValidationError", "reserved"},
		{"transitive key that is no tag", role, withTransitive("Team"), "InvalidParameterValue", "must be included in the requested tags"},
		{"MFA", role, func(in *sts.AssumeRoleInput) {
			in.SerialNumber, in.TokenCode = aws.String("arn:aws:iam::111111111111:mfa/x"), aws.String("123456")
		}, "AccessDenied", "MultiFactorAuthentication failed"},
		{"contexts", role, func(in *sts.AssumeRoleInput) {
			in.ProvidedContexts = []types.ProvidedContext{{ProviderArn: aws.String("arn:aws:iam::aws:contextProvider/x"), ContextAssertion: aws.String("xxxx")}}
		}, "NotImplemented", "AssumeRole"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := assume(vendor, test.role, test.option)
			if code, message := codeOf(err); code != test.code || !strings.Contains(message, test.message) {
				t.Errorf("got %s: %s\nwant %s: …%s…", code, message, test.code, test.message)
			}
		})
	}
	t.Run("root user", func(t *testing.T) {
		_, err := assume(box.Account(vendorID).Config(), role)
		if code, message := codeOf(err); code != "AccessDenied" || message != "Roles may not be assumed by root accounts." {
			t.Errorf("got %s: %s", code, message)
		}
	})
	t.Run("an invalid external ID is not repeated", func(t *testing.T) {
		_, err := assume(vendor, role, withExternalID("secret value"))
		if strings.Contains(err.Error(), "secret value") {
			t.Error(err)
		}
	})
}

// sized returns a valid policy of exactly n characters.
func sized(n int) string {
	const frame = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::"}}`
	return strings.Replace(frame, "s3:::", "s3:::"+strings.Repeat("x", n-len(frame)), 1)
}

func TestAssumeRoleAnswer(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", allowAll)
	role := box.Account(customerID).Role("deep", trust(vendorID, everyAction, ""), []string{allowAll}, func(in *iam.CreateRoleInput) { in.Path = aws.String("/a/b/") })
	before := time.Now()
	out, err := assume(vendor, role, withSource("alice"), withTags("Team", "blue"), withPolicy(allowAll), withDuration(900))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *out.AssumedRoleUser.Arn, "arn:aws:sts::222222222222:assumed-role/deep/session"; got != want {
		t.Errorf("ARN %s, want %s without the path", got, want)
	}
	if id := *out.AssumedRoleUser.AssumedRoleId; !strings.HasPrefix(id, "AROA") || !strings.HasSuffix(id, ":session") {
		t.Errorf("id %s", id)
	}
	if !strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA") || len(*out.Credentials.SessionToken) < 100 {
		t.Errorf("credentials %+v", out.Credentials)
	}
	if left := out.Credentials.Expiration.Sub(before); left < 898*time.Second || left > 905*time.Second {
		t.Errorf("expires in %s", left)
	}
	if *out.SourceIdentity != "alice" || *out.SessionTokenSize != int32(len(*out.Credentials.SessionToken)) || *out.SessionTokenUtilization != 6 {
		t.Errorf("source identity %v, token of %d bytes (%d%%)", *out.SourceIdentity, *out.SessionTokenSize, *out.SessionTokenUtilization)
	}
	plain, err := assume(vendor, role, func(in *sts.AssumeRoleInput) { in.MinimumSessionTokenSize = aws.Int32(4096) })
	if err != nil || plain.SourceIdentity != nil || *plain.SessionTokenUtilization != 100 {
		t.Fatalf("largest token: %+v, %v", plain, err)
	}
	if _, err := sts.NewFromConfig(box.Config(credentialsOf(plain.Credentials))).GetCallerIdentity(context.Background(), nil); err != nil {
		t.Errorf("the largest token does not work: %v", err)
	}
}

// Tags and source identities need permissions of their own on both sides.
func TestTagAndSourcePermissions(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	all := box.Account(vendorID).User("all", allowAssume)
	plain := box.Account(vendorID).User("plain", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	open := box.Account(customerID).Role("open", trust(vendorID, everyAction, ""), nil)
	closed := box.Account(customerID).Role("closed", trust(vendorID, onlyAssume, ""), nil)
	for name, test := range map[string]struct {
		option func(*sts.AssumeRoleInput)
		action string
	}{
		"tags":            {withTags("Team", "blue"), "sts:TagSession"},
		"source identity": {withSource("alice"), "sts:SetSourceIdentity"},
	} {
		if _, err := assume(all, open, test.option); err != nil {
			t.Errorf("%s, both sides allow: %v", name, err)
		}
		for side, c := range map[string]struct {
			caller aws.Config
			role   string
		}{"caller": {plain, open}, "role": {all, closed}} {
			_, err := assume(c.caller, c.role, test.option)
			if code, message := codeOf(err); code != "AccessDenied" || !strings.Contains(message, "perform: "+test.action+" on resource: "+c.role) {
				t.Errorf("%s, %s does not allow: %s: %s", name, side, code, message)
			}
		}
	}
}

func TestRoleChaining(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID)
	user := vendor.User("user", allowAssume)
	hop := vendor.Role("hop", trust(vendorID, everyAction, ""), []string{allowAssume})
	tagged := `{"StringEquals":{"aws:PrincipalTag/Team":"blue","aws:SourceIdentity":"alice","sts:SourceIdentity":"alice","aws:RequestTag/Team":"blue"},"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":["Team"]}}`
	target := box.Account(customerID).Role("target", trust(vendorID, everyAction, tagged), nil, func(in *iam.CreateRoleInput) { in.MaxSessionDuration = aws.Int32(43200) })
	plainTarget := box.Account(customerID).Role("plain", trust(vendorID, onlyAssume, ""), nil)

	session := box.Assume(user, hop, withTags("Team", "blue", "Local", "x"), withTransitive("Team"), withSource("alice"))
	out, err := assume(session, target)
	if err != nil {
		t.Fatalf("tags and source identity were not inherited: %v", err)
	}
	if *out.SourceIdentity != "alice" {
		t.Errorf("source identity %s", *out.SourceIdentity)
	}

	_, err = assume(session, target, withDuration(3601))
	if code, message := codeOf(err); code != "ValidationError" || message != "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining" {
		t.Errorf("more than an hour: %s: %s", code, message)
	}
	if _, err := assume(session, target, withDuration(3600)); err != nil {
		t.Errorf("an hour: %v", err)
	}
	if code, _ := codeOf(second(assume(session, target, withTags("team", "red")))); code != "InvalidParameterValue" {
		t.Errorf("overriding an inherited tag: %s", code)
	}
	if code, _ := codeOf(second(assume(session, target, withSource("bob")))); code != "AccessDenied" {
		t.Errorf("changing the source identity: %s", code)
	}
	// What is inherited needs its permission from every role on the way.
	_, err = assume(session, plainTarget)
	if code, message := codeOf(err); code != "AccessDenied" || !strings.Contains(message, "sts:TagSession") {
		t.Errorf("role that does not allow tags: %s: %s", code, message)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSessionPolicies(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", allowAll)
	customer := box.Account(customerID)
	role := customer.Role("role", trust(vendorID, everyAction, ""), []string{allowAll})
	onlyRoles := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*"}}`
	onlyUsers := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}}`
	managed, err := iam.NewFromConfig(customer.Config()).CreatePolicy(context.Background(), &iam.CreatePolicyInput{
		PolicyName: aws.String("users"), PolicyDocument: &onlyUsers,
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name                  string
		options               []func(*sts.AssumeRoleInput)
		roles, users, account bool
	}{
		{"none", nil, true, true, true},
		{"inline", []func(*sts.AssumeRoleInput){withPolicy(onlyRoles)}, true, false, false},
		{"managed", []func(*sts.AssumeRoleInput){withPolicyARNs(*managed.Policy.Arn)}, false, true, false},
		{"both", []func(*sts.AssumeRoleInput){withPolicy(onlyRoles), withPolicyARNs(*managed.Policy.Arn)}, true, true, false},
	}
	for _, test := range tests {
		client := iam.NewFromConfig(box.Assume(vendor, role, test.options...))
		_, roles := client.ListRoles(context.Background(), nil)
		_, users := client.ListUsers(context.Background(), nil)
		_, account := client.ListAccountAliases(context.Background(), nil)
		for what, got := range map[string]struct {
			err  error
			want bool
		}{"ListRoles": {roles, test.roles}, "ListUsers": {users, test.users}, "ListAccountAliases": {account, test.account}} {
			code, message := codeOf(got.err)
			if got.want && got.err != nil || !got.want && (code != "AccessDenied" || !strings.HasSuffix(message, "because no session policy allows the iam:"+what+" action")) {
				t.Errorf("%s: %s: %v", test.name, what, got.err)
			}
		}
	}
}

func TestGetAccessKeyInfo(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	key := box.Account(customerID).Root().AccessKeyID
	client := sts.NewFromConfig(box.Account(vendorID).User("user", allowAll))
	out, err := client.GetAccessKeyInfo(context.Background(), &sts.GetAccessKeyInfoInput{AccessKeyId: &key})
	if err != nil || *out.Account != customerID {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = client.GetAccessKeyInfo(context.Background(), &sts.GetAccessKeyInfoInput{AccessKeyId: aws.String("AKIA0000000000000000")})
	if code, _ := codeOf(err); code != "ValidationError" {
		t.Errorf("impossible key: %v", err)
	}
	powerless := sts.NewFromConfig(box.Account(vendorID).User("powerless"))
	_, err = powerless.GetAccessKeyInfo(context.Background(), &sts.GetAccessKeyInfoInput{AccessKeyId: &key})
	if code, message := codeOf(err); code != "AccessDenied" || !strings.HasSuffix(message, "because no identity-based policy allows the sts:GetAccessKeyInfo action") {
		t.Errorf("without permission: %v", err)
	}
}

func TestGetSessionToken(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	user := box.Account(vendorID).User("user", allowAll)
	role := box.Account(customerID).Role("role", trust(vendorID, everyAction, ""), nil)
	out, err := sts.NewFromConfig(user).GetSessionToken(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	session := box.Config(credentialsOf(out.Credentials))
	who, err := sts.NewFromConfig(session).GetCallerIdentity(context.Background(), nil)
	if err != nil || *who.Arn != "arn:aws:iam::111111111111:user/user" {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := assume(session, role); err != nil {
		t.Errorf("AssumeRole: %v", err)
	}
	for what, err := range map[string]error{
		"GetSessionToken": second(sts.NewFromConfig(session).GetSessionToken(context.Background(), nil)),
		"IAM":             second(iam.NewFromConfig(session).ListRoles(context.Background(), nil)),
	} {
		if code, _ := codeOf(err); code != "AccessDenied" && code != "InvalidClientTokenId" {
			t.Errorf("%s with a session token of a user: %v", what, err)
		}
	}
}

func TestUnimplementedOperationsSaySo(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	client := sts.NewFromConfig(box.Account(vendorID).Config(), func(o *sts.Options) { o.RetryMaxAttempts = 1 })
	_, err := client.GetFederationToken(context.Background(), &sts.GetFederationTokenInput{Name: aws.String("name")})
	if code, message := codeOf(err); code != "NotImplemented" || !strings.Contains(message, "sts:GetFederationToken") {
		t.Errorf("got %s: %s", code, message)
	}
	_, err = client.AssumeRoleWithSAML(context.Background(), &sts.AssumeRoleWithSAMLInput{
		RoleArn: aws.String("arn:aws:iam::111111111111:role/r"), PrincipalArn: aws.String("arn:aws:iam::111111111111:saml-provider/p"), SAMLAssertion: aws.String("assertion"),
	})
	if code, _ := codeOf(err); code != "NotImplemented" {
		t.Errorf("unsigned: %v", err)
	}
}
