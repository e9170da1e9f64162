package crossaccount_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// The numbers are those of the list of typical faults of such software; the
// rules' tests show many of them too.

func TestFault1_ExternalIDsDependOnNothingButRandomness(t *testing.T) {
	frozen := crossaccount.WithClock(func() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) })
	ids := map[string]bool{}
	for range 20 {
		w := newWorld(t, frozen)
		ids[w.start("one").ExternalID] = true
	}
	if len(ids) != 20 {
		t.Errorf("20 installations with the same clock, host, service and customer made %d external IDs", len(ids))
	}
}

func TestFault2_AVictimsRoleAndExternalIDAreNoUseToAnother(t *testing.T) {
	w := newWorld(t)
	victim := w.start("one")
	role := w.launch(oneID, victim.LaunchURL) // not completed yet
	w.start("two")
	err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "two", RoleARN: role, ExternalID: victim.ExternalID})
	wantCode(t, err, crossaccount.CodeExternalIDMismatch)
	err = w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "two", RoleARN: role, IntegrationID: victim.IntegrationID, ExternalID: victim.ExternalID})
	wantCode(t, err, crossaccount.CodeUnknownIntegration)
	err = w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "two", RoleARN: role})
	if err == nil {
		t.Error("the attacker connected the victim's role")
	}
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Errorf("the victim afterwards: %v", err)
	}
}

func TestFault3_AVerificationIsMoreThanOnePositiveCall(t *testing.T) {
	w := newWorld(t)
	role := w.launch(oneID, w.start("one").LaunchURL)
	before := len(w.box.Calls())
	w.verify("one", role)
	var calls []string
	for _, call := range w.box.Calls()[before:] {
		if call.Service == "sts" {
			who := call.Caller[strings.LastIndexAny(call.Caller, ":/")+1:]
			calls = append(calls, strings.TrimSpace(call.Operation+" by "+who+" "+call.Code))
		}
	}
	want := []string{
		"AssumeRole by secret-broker-name",
		"GetCallerIdentity by Acme-Analytics@one",
		"AssumeRole by secret-probe-name", // the canary
		"AssumeRole by secret-probe-name AccessDenied",
		"AssumeRole by secret-probe-name AccessDenied",
		"AssumeRole by secret-probe-name AccessDenied",
		"AssumeRole by secret-probe-name",
		"AssumeRole by secret-broker-name", // source identity
		"AssumeRole by secret-broker-name", // session tags
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls:\n%s\nwant:\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
}

func TestFault4_TheExternalIDFitsItsParameterAndIsShown(t *testing.T) {
	w := newWorld(t)
	w.config.ExternalIDPrefix = strings.Repeat("p", 64)
	w.client = w.newClient()
	response := w.start("one")
	w.launch(oneID, response.LaunchURL)
	shown := w.output(cloudformation.NewFromConfig(w.box.Account(oneID).Config()), response.StackName, crossaccount.OutputExternalID)
	if shown != response.ExternalID || len(shown) != 64+1+40 {
		t.Errorf("the stack shows external ID %q, want %q", shown, response.ExternalID)
	}
}

func TestFault5_TheTrustIsNarrowedToBrokerAndProbe(t *testing.T) {
	w := newWorld(t)
	trust := trustWith("", "")
	vendor := w.box.Account(vendorID)
	brokerRole, probeRole := vendor.Role("broker", trust, []string{brokerPolicy}), vendor.Role("probe", trust, []string{probePolicy})
	w.config.AWSConfig = w.box.Assume(w.probe, brokerRole)
	w.client = w.newClient(crossaccount.WithBrokerRole(brokerRole), crossaccount.WithProbeRole(probeRole), crossaccount.WithProbe(w.box.Assume(w.probe, probeRole)))
	role := w.onboard("one", oneID)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if !w.only("one").Verification.Controlled {
		t.Error("the verification was not controlled")
	}
	credentials, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	// Another principal of the vendor's account that knows the external ID.
	_, err = sts.NewFromConfig(w.probe).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: &role, ExternalId: &credentials.ExternalID, RoleSessionName: aws.String("thief"),
	})
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("another principal of the vendor's account: %v", err)
	}
}

func TestFault6_CausesQuoteNothingOfAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		role := w.onboard("one", oneID)
		w.config.AWSConfig = w.box.Account(vendorID).User("powerless")
		w.client = w.newClient()
		time.Sleep(broker.Patience + 5*time.Second) // what was onboarded now may not have spread in IAM
		_, err := w.client.AssumeCustomerRole(t.Context(), "one")
		var ours *crossaccount.Error
		if !errors.As(err, &ours) || ours.Code != crossaccount.CodeRoleRefused || ours.Cause() == nil {
			t.Fatalf("got %v", err)
		}
		for _, text := range []string{ours.Error(), ours.Cause().Error(), w.log.String()} {
			if strings.Contains(text, "powerless") || strings.Contains(text, "not authorized") {
				t.Errorf("AWS is quoted: %s", text)
			}
		}
		if cause := ours.Cause().Error(); !strings.Contains(cause, "AccessDenied") || !strings.Contains(cause, "request ") {
			t.Errorf("the cause does not help to find the call: %s", cause)
		}
		if errors.Unwrap(error(ours)) != nil {
			t.Error("the cause can be unwrapped, and so be shown to customers by accident")
		}
		if !slices.Contains(w.audit("one"), "role.assumed role_refused") {
			t.Errorf("the failure was not audited: %v", w.audit("one"))
		}
		_ = role
	})
}

func TestFault7_NamesCannotChangeTheTemplate(t *testing.T) {
	w := newWorld(t)
	w.config.ServiceName = "Acme\": {}, \"x\": {\"Fn::Sub\": \"${AWS::AccountId}\n- ' # {{evil}}"[:40]
	w.config.ServiceName = strings.ReplaceAll(w.config.ServiceName, "\n", " ")
	w.client = w.newClient()
	template, err := w.client.GenerateCloudFormationTemplate()
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Resources map[string]struct{ Type string }
	}
	if err := json.Unmarshal([]byte(template), &parsed); err != nil {
		t.Fatal(err)
	}
	for id, resource := range parsed.Resources {
		if resource.Type != "AWS::IAM::Role" && resource.Type != "AWS::IAM::ManagedPolicy" {
			t.Errorf("resource %s is a %s", id, resource.Type)
		}
	}
	w.onboard("one", oneID)
}

func TestFault8_ConfiguredPermissionsAreGrantedAndNoOthers(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	admin := s3.NewFromConfig(w.box.Account(oneID).Config())
	data := aws.String("customer-data")
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: data}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.PutObject(t.Context(), &s3.PutObjectInput{Bucket: data, Key: aws.String("report"), Body: strings.NewReader("42")}); err != nil {
		t.Fatal(err)
	}
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(config)
	if _, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: data, Key: aws.String("report")}); err != nil {
		t.Errorf("what was configured: %v", err)
	}
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: data, Key: aws.String("report"), Body: strings.NewReader("43")}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("what was not configured: %v", err)
	}
}

// endSetup does what the stack's NextSteps say.
func (w *world) endSetup(account, stack string) {
	w.Helper()
	client := cloudformation.NewFromConfig(w.box.Account(account).Config())
	parameters := []cfntypes.Parameter{{ParameterKey: aws.String(crossaccount.ParameterSetupPhase), ParameterValue: aws.String("false")}}
	for _, kept := range []string{crossaccount.ParameterExternalID, crossaccount.ParameterPreviousExternalID, crossaccount.ParameterRoleName} {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(kept), UsePreviousValue: aws.Bool(true)})
	}
	if _, err := client.UpdateStack(w.Context(), &cloudformation.UpdateStackInput{
		StackName: &stack, UsePreviousTemplate: aws.Bool(true), Parameters: parameters, Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		w.Fatal(err)
	}
}

func TestFault12_RemovalOfSetupPermissionsIsSeenNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	i := w.only("one")
	if got := i.Verification.SetupPermissions[0].State; got != crossaccount.PermissionPresent {
		t.Errorf("during setup the setup permission is %s", got)
	}
	w.endSetup(oneID, i.StackName)
	report, err := w.client.Check(t.Context(), "one", i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.SetupPermissions[0]; got.State != crossaccount.PermissionRemoved {
		t.Errorf("after setup the setup permission is %+v", got)
	}
	for _, p := range report.Permissions {
		if p.State != crossaccount.PermissionPresent {
			t.Errorf("after setup the permission %s is %s (%s)", p.Sid, p.State, p.Reason)
		}
	}
	if report.Result != crossaccount.Passed || !strings.Contains(w.dump(), `"removed"`) {
		t.Errorf("the check %s and was not stored", report.Result)
	}
}

func TestFault15_AnIntegrationDoesNotExpire(t *testing.T) {
	now := time.Now()
	w := newWorld(t, crossaccount.WithClock(func() time.Time { return now }))
	role := w.onboard("one", oneID)
	w.start("two")
	now = now.AddDate(1, 0, 0)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("after a year: %v", err)
	}
	if i := w.only("one"); i.State != crossaccount.StateActive || i.RoleARN != role {
		t.Errorf("after a year the integration is %s", i.State)
	}

	// One that was never completed does, and comes back with the same ID.
	_, err := w.client.Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: "two", RoleARN: "arn:aws:iam::" + twoID + ":role/x"})
	wantCode(t, err, crossaccount.CodeIllegalState)
	expired := w.only("two")
	if expired.State != crossaccount.StateExpired {
		t.Errorf("an onboarding of last year is %s", expired.State)
	}
	response := w.start("two")
	if i := w.only("two"); i.State != crossaccount.StatePending || i.ID != expired.ID || string(i.ExternalIDIndex) != string(expired.ExternalIDIndex) {
		t.Errorf("reopened, it is %s", i.State)
	}
	if report := w.verify("two", w.launch(twoID, response.LaunchURL)); report.Result != crossaccount.Passed {
		t.Errorf("reopened: %s", report.Message)
	}
}

func TestFault17_CredentialsOfCustomersAreKeptApart(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	w.onboard("two", twoID)
	keys := map[string]string{}
	for customer, account := range map[string]string{"one": oneID, "two": twoID} {
		for range 3 {
			config, err := w.client.AssumeCustomerRole(t.Context(), customer)
			if err != nil {
				t.Fatal(err)
			}
			who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
			if err != nil || aws.ToString(who.Account) != account {
				t.Errorf("customer %s got credentials of account %s (%v)", customer, aws.ToString(who.Account), err)
			}
			own, err := config.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if keys[customer] != "" && keys[customer] != own.AccessKeyID {
				t.Errorf("customer %s got new credentials for every call", customer)
			}
			keys[customer] = own.AccessKeyID
		}
	}
	if keys["one"] == keys["two"] {
		t.Error("two customers share credentials")
	}
}

func TestFault20_AFailedVerificationDoesNotTouchAWorkingIntegration(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	before := w.only("one")
	open := w.box.Account(oneID).Role("open", trustWith("", ""), nil)
	if report := w.verify("one", open); report.Code != crossaccount.CodeExternalIDNotRequired {
		t.Errorf("the open role: %q", report.Code)
	}
	err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: open})
	wantCode(t, err, crossaccount.CodeExternalIDNotRequired)
	after := w.only("one")
	if after.State != crossaccount.StateActive || after.RoleARN != role || after.CheckedAt != before.CheckedAt || after.Verification.Result != crossaccount.Passed {
		t.Errorf("the integration is now %s with %s", after.State, after.RoleARN)
	}
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Error(err)
	}

	// A better role replaces it, and only then.
	credentials, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	better := w.box.Account(oneID).Role("better", trustWith("StringEquals", credentials.ExternalID), nil)
	if report := w.verify("one", better); report.Result != crossaccount.Passed || w.only("one").RoleARN != role {
		t.Errorf("verifying another role: %s, in use is %s", report.Result, w.only("one").RoleARN)
	}
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: better}); err != nil {
		t.Fatal(err)
	}
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil || !strings.Contains(aws.ToString(who.Arn), "/better/") {
		t.Errorf("after replacing the role we are %s (%v)", aws.ToString(who.Arn), err)
	}
}

func TestFault23_RevokingDoesWhatItSays(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	i := w.only("one")
	if err := w.client.Disconnect(t.Context(), "one", i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Credentials.Retrieve(t.Context()); err == nil {
		t.Error("a configuration that was handed out before still gets credentials")
	}
	if report, err := w.client.Check(t.Context(), "one", i.ID); err != nil || report.Result != crossaccount.Passed || w.only("one").State != crossaccount.StateActive {
		t.Errorf("a check did not bring back what was disconnected by mistake: %v, %v, %s", report, err, w.only("one").State)
	}
	if err := w.client.Revoke(t.Context(), "one", i.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.client.AssumeCustomerRole(t.Context(), "one")
	wantCode(t, err, crossaccount.CodeUnknownCustomer)
	_, err = w.client.AssumeIntegrationRole(t.Context(), "one", i.ID)
	wantCode(t, err, crossaccount.CodeNotVerified)
	_, err = w.client.Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role, IntegrationID: i.ID})
	wantCode(t, err, crossaccount.CodeIllegalState)
	_, err = w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", IntegrationID: i.ID})
	wantCode(t, err, crossaccount.CodeIllegalState)
	again := w.start("one")
	if again.IntegrationID == i.ID {
		t.Error("a revoked integration was continued")
	}
	if got := w.audit("one"); !slices.Contains(got, "integration.revoked ok") || !slices.Contains(got, "integration.disconnected ok") {
		t.Errorf("audit records: %v", got)
	}
}

func TestFault24_TheSandboxEnforcesExternalIDs(t *testing.T) {
	w := newWorld(t)
	role := w.box.Account(oneID).Role("strict", trustWith("StringEquals", "the-id"), nil)
	client := sts.NewFromConfig(w.probe)
	for id, allowed := range map[string]bool{"the-id": true, "THE-ID": false, "the-id2": false, "": false} {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("test")}
		if id != "" {
			in.ExternalId = &id
		}
		if _, err := client.AssumeRole(t.Context(), in); (err == nil) != allowed {
			t.Errorf("external ID %q: %v", id, err)
		}
	}
}
