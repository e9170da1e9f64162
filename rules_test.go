package crossaccount_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam/reference"
)

func TestRule1_ExternalIDsAreOursRandomAndForEver(t *testing.T) {
	w := newWorld(t)
	shape := regexp.MustCompile(`^acme-analytics-[0-9a-f]{40}$`)
	seen := map[string]bool{}
	for n := range 200 {
		id := w.start(fmt.Sprint("customer-", n)).ExternalID
		if !shape.MatchString(id) || seen[id] || reference.CheckExternalID(id) != nil {
			t.Fatalf("external ID of customer %d is %q (seen before: %v)", n, id, seen[id])
		}
		if random := id[len("acme-analytics-"):]; !strings.ContainsAny(random, "abcdef") {
			t.Errorf("the random part of %q has no letter to flip", id)
		}
		seen[id] = true
	}

	for name, random := range map[string]io.Reader{
		"failing":  iotest.ErrReader(errors.New("no entropy")),
		"short":    strings.NewReader("short"),
		"all zero": zeroes{},
	} {
		client := w.newClient(crossaccount.WithRandom(random))
		_, err := client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "unlucky"})
		wantCode(t, err, crossaccount.CodeRandom)
		if strings.Contains(w.dump(), "unlucky") {
			t.Errorf("with a random source that is %s, something was stored", name)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRule1_AskingAgainGivesTheSameExternalID(t *testing.T) {
	w := newWorld(t)
	first := w.start("one")
	if again := w.start("one"); again.ExternalID != first.ExternalID || again.IntegrationID != first.IntegrationID || again.LaunchURL != first.LaunchURL {
		t.Errorf("asking again gave %+v, want %+v", again, first)
	}
	var group sync.WaitGroup
	ids := make([]string, 8)
	for n := range ids {
		group.Go(func() {
			response, err := w.newClient().GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "two"})
			if err != nil {
				t.Error(err)
				return
			}
			ids[n] = response.ExternalID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("concurrent calls gave %d external IDs: %q", len(ids), ids)
			break
		}
	}
	w.only("two")
}

func TestRule1_TheCustomerCannotChooseTheExternalID(t *testing.T) {
	w := newWorld(t)
	response := w.start("one")
	role := w.launch(oneID, response.LaunchURL)
	for _, repeated := range []string{"chosen-by-the-customer", strings.ToUpper(response.ExternalID), response.ExternalID + "x", " ", "\x00"} {
		err := w.client.VerifyIntegration(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role, ExternalID: repeated})
		wantCode(t, err, crossaccount.CodeExternalIDMismatch)
		err = w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role, ExternalID: repeated})
		wantCode(t, err, crossaccount.CodeExternalIDMismatch)
	}
	if i := w.only("one"); i.State != crossaccount.StatePending {
		t.Errorf("after refused requests the integration is %s", i.State)
	}
	err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role, ExternalID: response.ExternalID})
	if err != nil {
		t.Errorf("repeating the right external ID: %v", err)
	}
}

// look are roles that look right when they are assumed with the external ID.
func TestRule2_RolesThatDoNotRequireTheExternalIDAreRefused(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	for _, test := range []struct {
		name, trust string
		code        crossaccount.Code
		step        string
	}{
		{"no-condition", trustWith("", ""), crossaccount.CodeExternalIDNotRequired, crossaccount.StepMissing},
		{"everybody", anyone, crossaccount.CodeExternalIDNotRequired, crossaccount.StepMissing},
		{"if-exists", trustWith("StringEqualsIfExists", id), crossaccount.CodeExternalIDNotRequired, crossaccount.StepMissing},
		{"not-another", trustWith("StringNotEquals", "another"), crossaccount.CodeExternalIDNotRequired, crossaccount.StepMissing},
		{"any-id", trustWith("StringLike", "*"), crossaccount.CodeExternalIDNotRequired, crossaccount.StepWrong},
		{"prefix", trustWith("StringLike", "acme-analytics-*"), crossaccount.CodeExternalIDNotRequired, crossaccount.StepWrong},
		{"same-length", trustWith("StringLike", "acme-analytics-"+strings.Repeat("?", 40)), crossaccount.CodeExternalIDNotRequired, crossaccount.StepWrong},
		{"ignores-case", trustWith("StringEqualsIgnoreCase", id), crossaccount.CodeExternalIDNotRequired, crossaccount.StepCaseFlipped},
		{"another-id", trustWith("StringEquals", "acme-analytics-"+strings.Repeat("0a", 20)), crossaccount.CodePropagating, crossaccount.StepAssume},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := newVerification(t, w, "one", w.box.Account(oneID).Role(test.name, test.trust, nil))
			if report.Result == crossaccount.Passed || report.Code != test.code {
				t.Fatalf("got %s with code %q, want %q", report.Result, report.Code, test.code)
			}
			for _, step := range report.Steps {
				if (step.Result == crossaccount.Failed || step.Result == crossaccount.Inconclusive) != (step.Name == test.step) {
					t.Errorf("step %s: %s (%s)", step.Name, step.Result, step.Detail)
				}
			}
			if err := report.Err(); err == nil || report.Remedy == "" {
				t.Errorf("the error says not what to do: %v", err)
			}
			i := w.only("one")
			if i.RoleARN != "" || i.Verification != nil || i.State.Usable() || i.AccountID != "" {
				t.Errorf("a refused role was taken into use: %+v", i)
			}
			_, err := w.client.AssumeCustomerRole(t.Context(), "one")
			wantCode(t, err, crossaccount.CodeNotVerified)
		})
	}
	exact := w.box.Account(oneID).Role("exact", trustWith("StringEquals", id), nil)
	if report := newVerification(t, w, "one", exact); report.Result != crossaccount.Passed || !report.Controlled {
		t.Errorf("the right role: %s (%s), controlled %v", report.Result, report.Message, report.Controlled)
	}
}

// newVerification verifies with a new client, whose limits are fresh.
func newVerification(t *testing.T, w *world, customer, role string) *crossaccount.Report {
	t.Helper()
	report, err := w.newClient().Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: role})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRule2_StoringVerifiesEvenIfNobodyAskedToVerify(t *testing.T) {
	w := newWorld(t)
	w.start("one")
	open := w.box.Account(oneID).Role("open", trustWith("", ""), nil)
	err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: open})
	wantCode(t, err, crossaccount.CodeExternalIDNotRequired)
	if i := w.only("one"); i.State != crossaccount.StateRejected || i.RoleARN != "" {
		t.Errorf("the integration is %s with role %q", i.State, i.RoleARN)
	}
}

func TestRule3_OnlyCustomersRolesAreAccepted(t *testing.T) {
	w := newWorld(t)
	w.start("one")
	for _, arn := range []string{
		"arn:aws:iam::" + vendorID + ":role/canary",
		"arn:aws-us-gov:iam::" + oneID + ":role/access",
		"arn:aws-cn:iam::" + oneID + ":role/access",
		"arn:aws:iam::" + oneID + ":role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport",
		"arn:aws:iam::" + oneID + ":role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin",
		"arn:aws:iam::" + oneID + ":user/access",
		"arn:aws:sts::" + oneID + ":assumed-role/access/session",
		"arn:aws:iam::" + oneID + ":role/*",
		"arn:aws:iam::" + oneID + ":role/",
		"arn:aws:iam::2222:role/access",
		"arn:aws:s3:::bucket",
		"not an ARN",
		"arn:aws:iam::" + oneID + ":role/" + strings.Repeat("x", 65),
		"arn:aws:iam::" + oneID + ":role/access\u200b",
	} {
		report, err := w.newClient().Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: arn})
		switch {
		case crossaccount.CodeOf(err) == crossaccount.CodeInvalidRequest:
		case err != nil:
			t.Errorf("%q: %v", arn, err)
		case report.Code != crossaccount.CodeInvalidRole || report.Step(crossaccount.StepRole).Result != crossaccount.Failed:
			t.Errorf("%q: %s with code %q", arn, report.Result, report.Code)
		}
	}
	if i := w.only("one"); i.State != crossaccount.StatePending || i.Candidate != nil {
		t.Errorf("after illegal roles the integration is %s with candidate %v", i.State, i.Candidate)
	}
	for _, call := range w.box.Calls() {
		if call.Operation == "AssumeRole" {
			t.Errorf("AWS was asked about an illegal role: %+v", call)
		}
	}
}

func TestRule3_AnImpostorCannotUseAnotherCustomersRole(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	stolen := w.only("one")
	w.start("two")
	present := func(arn string) (*crossaccount.Report, error) {
		report := w.verify("two", arn)
		return report, w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "two", RoleARN: arn})
	}
	// What is said of a role that does not exist is said of the victim's.
	nobodys := strings.Replace(role, "role/", "role/nobodys-", 1)
	none, noneErr := present(nobodys)
	wantCode(t, noneErr, crossaccount.CodePropagating)
	for _, arn := range []string{role, strings.Replace(role, "Acme-Analytics-one", "ACME-ANALYTICS-ONE", 1)} {
		report, err := present(arn)
		if diff := cmp.Diff(none, report, cmpopts.IgnoreFields(crossaccount.Report{}, "RoleARN", "StartedAt", "FinishedAt")); diff != "" {
			t.Errorf("%s is told from a role that does not exist (-none +taken):\n%s", arn, diff)
		}
		if err == nil || err.Error() != noneErr.Error() {
			t.Errorf("%s: storing it says %v, of a role that does not exist %v", arn, err, noneErr)
		}
	}
	if i := w.only("two"); i.State.Usable() || i.RoleARN != "" {
		t.Errorf("the impostor's integration is %s with %q", i.State, i.RoleARN)
	}
	if i := w.only("one"); i.State != crossaccount.StateActive || i.Version != stolen.Version {
		t.Errorf("the victim's integration changed: %s, version %d", i.State, i.Version)
	}

	// Who can change the role's trust policy may know that it is in use, not by whom.
	name, trust := aws.String(role[strings.LastIndex(role, "/")+1:]), trustWith("", "")
	if _, err := iam.NewFromConfig(w.box.Account(oneID).Config()).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	report, err := present(role)
	if report.Code != crossaccount.CodeRoleTaken || report.Step(crossaccount.StepOwner).Result != crossaccount.Failed {
		t.Errorf("a role that admits the impostor: code %q, want role_taken", report.Code)
	}
	wantCode(t, err, crossaccount.CodeRoleTaken)
	if strings.Contains(err.Error(), `"one"`) || strings.Contains(err.Error(), stolen.ID) {
		t.Errorf("the error names the owner: %v", err)
	}

	// A victim that has not completed yet: the impostor's external ID differs.
	w = newWorld(t)
	victims := w.launch(oneID, w.start("one").LaunchURL)
	w.start("two")
	if report := w.verify("two", victims); report.Result == crossaccount.Passed {
		t.Error("the impostor passed with the role of a customer who had not completed")
	}
}

func TestRule3_TheRoleMustBeInTheDeclaredAccount(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	response, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", AccountID: oneID})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := w.box.Account(twoID).Role("elsewhere", trustWith("StringEquals", response.ExternalID), nil)
	if report := w.verify("one", elsewhere); report.Code != crossaccount.CodeWrongAccount {
		t.Errorf("a role of another account: code %q, want wrong_account", report.Code)
	}
	if report := w.verify("one", w.launch(oneID, response.LaunchURL)); report.Result != crossaccount.Passed {
		t.Errorf("a role of the declared account: %s", report.Message)
	}
}

func TestRule4_AFailedCheckDegradesAndNothingElse(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	before := w.only("one")
	customer := iam.NewFromConfig(w.box.Account(oneID).Config())
	name := aws.String(role[strings.LastIndex(role, "/")+1:])
	setTrust := func(trust string) {
		t.Helper()
		if _, err := customer.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &trust}); err != nil {
			t.Fatal(err)
		}
	}
	check := func() *crossaccount.Report {
		t.Helper()
		report, err := w.client.Check(t.Context(), "one", before.ID)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	credentials, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}

	setTrust(trustWith("", ""))
	if report := check(); report.Code != crossaccount.CodeExternalIDNotRequired {
		t.Errorf("a role that became open: code %q", report.Code)
	}
	i := w.only("one")
	if i.State != crossaccount.StateDegraded || i.DegradedReason != crossaccount.CodeExternalIDNotRequired {
		t.Errorf("after a failed check the integration is %s because of %q", i.State, i.DegradedReason)
	}
	if i.RoleARN != before.RoleARN || string(i.SealedExternalID) != string(before.SealedExternalID) || i.AccountID != before.AccountID {
		t.Error("a failed check changed what the integration works with")
	}
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("a degraded integration does not work: %v", err)
	}

	setTrust(trustWith("StringEquals", "somebody-else"))
	if report := check(); report.Code != crossaccount.CodeRoleRefused {
		t.Errorf("a role that no longer trusts us: code %q", report.Code)
	}
	if i := w.only("one"); i.State != crossaccount.StateDegraded || i.DegradedReason != crossaccount.CodeRoleRefused || i.RoleARN != role {
		t.Errorf("after a second failure: %s, %s, %s", i.State, i.DegradedReason, i.RoleARN)
	}

	setTrust(trustWith("StringEquals", credentials.ExternalID))
	if report := check(); report.Result != crossaccount.Passed {
		t.Errorf("the repaired role: %s", report.Message)
	}
	if i := w.only("one"); i.State != crossaccount.StateActive || i.DegradedReason != "" {
		t.Errorf("after the repair the integration is %s (%s)", i.State, i.DegradedReason)
	}
	events, err := w.store.Outbox(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	if list := strings.Join(types, " "); strings.Count(list, "integration.degraded") != 1 || strings.Count(list, "integration.recovered") != 1 {
		t.Errorf("events: %s", list)
	}
}

func TestRule7_TheExactBytesThatWereCheckedArePublished(t *testing.T) {
	w := newWorld(t)
	response := w.start("one")
	template, err := w.client.GenerateCloudFormationTemplate()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(template))
	if response.TemplateSHA256 != hex.EncodeToString(sum[:]) || !strings.Contains(response.TemplateURL, response.TemplateSHA256) {
		t.Errorf("the link is for template %s at %s, want %x", response.TemplateSHA256, response.TemplateURL, sum)
	}
	key := strings.TrimPrefix(response.TemplateURL, "https://"+bucket+".s3.us-east-1.amazonaws.com/")
	object, err := s3.NewFromConfig(w.broker).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := io.ReadAll(object.Body); err != nil || string(stored) != template {
		t.Errorf("the published object is not the template (%v)", err)
	}
}

func TestRule8_NamesStayWithinQuotasForEveryCustomer(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	for n, customer := range []string{
		strings.Repeat("x", 256), "with spaces and / slashes", "ünïcödé-客户", "a@b.example", "-", "_", "9", "'; drop table", strings.Repeat("é", 100),
	} {
		response, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: customer, CustomerName: customer})
		if err != nil {
			t.Errorf("%q: %v", customer, err)
			continue
		}
		if n >= 2 {
			continue // two accounts are enough to see that AWS accepts the names
		}
		account := []string{oneID, twoID}[n]
		role := w.launch(account, response.LaunchURL)
		if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: customer, RoleARN: role}); err != nil {
			t.Errorf("%q: %v", customer, err)
		}
		if _, err := w.client.AssumeCustomerRole(t.Context(), customer); err != nil {
			t.Errorf("%q: %v", customer, err)
		}
	}
	for _, customer := range []string{"", " ", strings.Repeat("x", 257), "a\nb", "a\x00b", "a\u202eb", "\xff"} {
		_, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: customer})
		wantCode(t, err, crossaccount.CodeInvalidRequest)
	}
}

// The probes cannot see what a trust policy allows to others; reading it can.
func TestRule2_AnotherWayInIsSeenInTheTrustPolicy(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	const inspect = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:GetRole","Resource":"*"}]}`
	required := `{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":["` + id + `"]}}}`
	for name, test := range map[string]struct {
		second string
		code   crossaccount.Code
	}{
		"nothing":         {`{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, ""},
		"tags":            {`{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:TagSession"}`, ""},
		"own-service":     {`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`, ""},
		"other-account":   {`{"Effect":"Allow","Principal":{"AWS":"` + twoID + `"},"Action":"sts:AssumeRole"}`, ""},
		"previous-id":     {`{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"previous"}}}`, crossaccount.CodeExternalIDNotRequired},
		"another-role":    {`{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::` + vendorID + `:role/support*"}}}`, crossaccount.CodeExternalIDNotRequired},
		"named-role":      {`{"Effect":"Allow","Principal":{"AWS":"` + canaryARN + `"},"Action":"sts:AssumeRole"}`, crossaccount.CodeExternalIDNotRequired},
		"from-an-address": {`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`, crossaccount.CodeExternalIDNotRequired},
	} {
		t.Run(name, func(t *testing.T) {
			role := w.box.Account(oneID).Role(name, `{"Version":"2012-10-17","Statement":[`+required+`,`+test.second+`]}`, []string{inspect})
			report := newVerification(t, w, "one", role)
			if report.Code != test.code || (test.code == "") != (report.Result == crossaccount.Passed) {
				t.Errorf("got %s with code %q, want %q: %+v", report.Result, report.Code, test.code, report.Step(crossaccount.StepTrustPolicy))
			}
			if step := report.Step(crossaccount.StepTrustPolicy); step == nil || (step.Result == crossaccount.Passed) != (test.code == "") {
				t.Errorf("step: %+v", step)
			}
			if step := report.Step(crossaccount.StepAssumeAgain); step.Result != crossaccount.Passed {
				t.Errorf("the probes already noticed: %+v", report.Steps)
			}
		})
	}
}
