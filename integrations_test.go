package crossaccount_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

func TestACustomerMayHaveSeveralAccounts(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	first := w.only("one")
	second := w.start("one") // the first is complete, so this is another
	if second.IntegrationID == first.ID || second.ExternalID == "" {
		t.Fatalf("a second account continued the first: %+v", second)
	}
	role := w.launch(twoID, second.LaunchURL)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	_, err := w.client.AssumeCustomerRole(t.Context(), "one")
	wantCode(t, err, crossaccount.CodeAmbiguousIntegration)
	for id, account := range map[string]string{first.ID: oneID, second.IntegrationID: twoID} {
		config, err := w.client.AssumeIntegrationRole(t.Context(), "one", id)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err != nil || aws.ToString(who.Account) != account {
			t.Errorf("integration %s gives account %s (%v), want %s", id, aws.ToString(who.Account), err, account)
		}
	}
	// A role is matched by its account.
	again := w.box.Account(twoID).Role("again", trustWith("StringEquals", second.ExternalID), nil)
	if report := w.verify("one", again); report.IntegrationID != second.IntegrationID || report.Result != crossaccount.Passed {
		t.Errorf("a role of the second account was verified for %s: %s", report.IntegrationID, report.Message)
	}
	// A third account needs a third integration.
	report, err := w.client.Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: "arn:aws:iam::444444444444:role/x"})
	if err == nil {
		err = report.Err()
	}
	wantCode(t, err, crossaccount.CodeWrongAccount)
}

func TestIntegrationIDsAndAccountsMayBeDeclared(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	start := func(id, account string) (*crossaccount.IntegrationResponse, error) {
		return w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", IntegrationID: id, AccountID: account})
	}
	a, err := start("prod", "")
	if err != nil || a.IntegrationID != "prod" {
		t.Fatalf("%+v, %v", a, err)
	}
	b, err := start("", oneID) // continues "prod", which has no account yet
	if err != nil || b.IntegrationID != "prod" {
		t.Fatalf("%+v, %v", b, err)
	}
	c, err := start("", twoID)
	if err != nil || c.IntegrationID == "prod" || c.ExternalID == a.ExternalID {
		t.Fatalf("%+v, %v", c, err)
	}
	if again, err := start("", oneID); err != nil || again.IntegrationID != "prod" || again.ExternalID != a.ExternalID {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = start("prod", twoID)
	wantCode(t, err, crossaccount.CodeWrongAccount)
	_, err = start("", "")
	wantCode(t, err, crossaccount.CodeAmbiguousIntegration)
	for _, bad := range [][2]string{{"has space", ""}, {strings.Repeat("x", 65), ""}, {"-", ""}, {"", "12"}, {"", vendorID}} {
		_, err = start(bad[0], bad[1])
		wantCode(t, err, crossaccount.CodeInvalidRequest)
	}
	_, err = w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", Region: "mars-1"})
	wantCode(t, err, crossaccount.CodeInvalidRequest)
	_, err = w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", Region: "us-gov-west-1"})
	wantCode(t, err, crossaccount.CodeInvalidRequest)
}

func TestNilAndEmptyRequestsAreRefused(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.client.GenerateIntegrationURL(ctx, nil)
	wantCode(t, err, crossaccount.CodeInvalidRequest)
	wantCode(t, w.client.VerifyIntegration(ctx, nil), crossaccount.CodeInvalidRequest)
	wantCode(t, w.client.StoreCustomerCredentials(ctx, nil), crossaccount.CodeInvalidRequest)
	wantCode(t, w.client.VerifyIntegration(ctx, &crossaccount.VerificationRequest{}), crossaccount.CodeInvalidRequest)
	wantCode(t, w.client.VerifyIntegration(ctx, &crossaccount.VerificationRequest{CustomerID: "one"}), crossaccount.CodeInvalidRequest)
	wantCode(t, w.client.VerifyIntegration(ctx, &crossaccount.VerificationRequest{CustomerID: "nobody", RoleARN: "arn:aws:iam::" + oneID + ":role/x"}), crossaccount.CodeUnknownCustomer)
	_, err = w.client.AssumeCustomerRole(ctx, "nobody")
	wantCode(t, err, crossaccount.CodeUnknownCustomer)
	_, err = w.client.AssumeCustomerRole(ctx, "")
	wantCode(t, err, crossaccount.CodeInvalidRequest)
	_, err = w.client.Check(ctx, "one", "int-x")
	wantCode(t, err, crossaccount.CodeUnknownIntegration)
}

func TestStoringNeedsAFreshVerification(t *testing.T) {
	now := time.Now()
	w := newWorld(t, crossaccount.WithClock(func() time.Time { return now }))
	role := w.launch(oneID, w.start("one").LaunchURL)
	w.verify("one", role)
	store := func() (probes int) {
		t.Helper()
		before := len(w.box.Calls())
		if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
			t.Fatal(err)
		}
		for _, call := range w.box.Calls()[before:] {
			if call.Operation == "AssumeRole" {
				probes++
			}
		}
		return probes
	}
	now = now.Add(14 * time.Minute)
	if probes := store(); probes != 0 {
		t.Errorf("a report of 14 minutes ago was not used: %d calls", probes)
	}
	now = now.Add(2 * time.Minute)
	if probes := store(); probes < 6 {
		t.Errorf("a report of 16 minutes ago was used: %d calls", probes)
	}
}

func TestPermissionsAreComparedWithTheRole(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	inspect := `{"Effect":"Allow","Action":["iam:GetRole","iam:ListAttachedRolePolicies","iam:ListRolePolicies","iam:GetRolePolicy","iam:GetPolicy","iam:GetPolicyVersion"],"Resource":"*"}`
	policy := func(statements ...string) []string {
		return []string{`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`}
	}
	const (
		read     = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::customer-data/*"}`
		list     = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::customer-data","Condition":{"StringLike":{"s3:prefix":["public/*"]}}}`
		listAll  = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::customer-data"}`
		listElse = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::customer-data","Condition":{"StringLike":{"s3:prefix":["private/*"]}}}`
		wide     = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
		narrow   = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::customer-data/public/*"}`
		deny     = `{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}`
		simulate = `{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"*"}`
	)
	type state = crossaccount.PermissionState
	const (
		present, missing, removed, unchecked = crossaccount.PermissionPresent, crossaccount.PermissionMissing, crossaccount.PermissionRemoved, crossaccount.PermissionNotChecked
	)
	for _, test := range []struct {
		name              string
		policies          []string
		read, list, setup state
	}{
		{"as-declared", policy(inspect, read, list), present, present, removed},
		{"wider", policy(inspect, wide), present, present, present},
		{"wider-list", policy(inspect, read, listAll), present, present, removed},
		{"other-condition", policy(inspect, read, listElse), present, missing, removed},
		{"narrower", policy(inspect, narrow, list), missing, present, removed},
		{"denied", policy(inspect, read, list, deny), missing, present, removed},
		{"nothing", policy(inspect), missing, missing, removed},
		{"unreadable", policy(read, list), unchecked, unchecked, unchecked},
		{"simulated", policy(simulate, read, list), present, unchecked, removed},
	} {
		t.Run(test.name, func(t *testing.T) {
			role := w.box.Account(oneID).Role(test.name, trustWith("StringEquals", id), test.policies)
			report := newVerification(t, w, "one", role)
			if report.Result != crossaccount.Passed {
				t.Fatalf("%s: %s", report.Result, report.Message)
			}
			got := []state{report.Permissions[0].State, report.Permissions[1].State, report.SetupPermissions[0].State}
			if want := []state{test.read, test.list, test.setup}; got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
				t.Errorf("got %v, want %v: %+v %+v", got, want, report.Permissions, report.SetupPermissions)
			}
			for _, p := range report.Permissions {
				if p.State != present && p.Reason == "" {
					t.Errorf("%s is %s without a reason", p.Sid, p.State)
				}
			}
			if report.SourceIdentity || report.SessionTags {
				t.Error("the trust policy allows no source identity and no tags, but the report says so")
			}
			if err := w.newClient().StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.newClient().AssumeCustomerRole(t.Context(), "one"); err != nil {
				t.Errorf("without source identity and tags: %v", err)
			}
		})
	}
}

func TestPartsOfPermissionsAreNotTakenForTheWhole(t *testing.T) {
	const (
		inspect  = `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`
		simulate = `{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"*"}`
		first    = `{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],"Resource":"arn:aws:s3:::one/*"}`
		second   = `{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],"Resource":"arn:aws:s3:::two/*"}`
		insecure = `{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
		secret   = `{"Effect":"Deny","Action":"s3:GetObject*","Resource":"arn:aws:s3:::two/secret/*"}`
		writes   = `{"Effect":"Deny","Action":"s3:Put*","Resource":"*"}`
		others   = `{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::three/*"}`
	)
	w := newWorld(t)
	w.config.OngoingPermissions = []crossaccount.Permission{
		{Sid: "Read", Actions: []string{"s3:GetObject", "s3:GetObjectTagging"}, Resources: []string{"arn:aws:s3:::one/*", "arn:aws:s3:::two/*"}},
	}
	w.config.SetupPermissions = nil
	id := w.start("one").ExternalID
	for _, test := range []struct {
		name, statements string
		state            crossaccount.PermissionState
		reason           string // "" for none
	}{
		{"simulated-both", simulate + "," + first + "," + second, crossaccount.PermissionPresent, "by simulation"},
		{"simulated-one", simulate + "," + first, crossaccount.PermissionMissing, "lacks s3:GetObject, s3:GetObjectTagging"},
		{"simulated-none", simulate, crossaccount.PermissionMissing, "none of it"},
		{"both", inspect + "," + first + "," + second, crossaccount.PermissionPresent, ""},
		{"one", inspect + "," + first, crossaccount.PermissionMissing, "lacks s3:GetObject, s3:GetObjectTagging"},
		{"conditional-deny", inspect + "," + first + "," + second + "," + insecure, crossaccount.PermissionPresent, "a Deny"},
		{"partial-deny", inspect + "," + first + "," + second + "," + secret, crossaccount.PermissionPresent, "a Deny"},
		{"other-denies", inspect + "," + first + "," + second + "," + writes + "," + others, crossaccount.PermissionPresent, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			role := w.box.Account(oneID).Role(test.name, trustWith("StringEquals", id), []string{`{"Version":"2012-10-17","Statement":[` + test.statements + `]}`})
			report := newVerification(t, w, "one", role)
			if len(report.Permissions) != 1 {
				t.Fatalf("%s: %s", report.Result, report.Message)
			}
			got := report.Permissions[0]
			if got.State != test.state || (test.reason == "") != (got.Reason == "") || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("%s because of %q, want %s because of %q", got.State, got.Reason, test.state, test.reason)
			}
		})
	}
}

func TestARoleThatDisappearsIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.start("one").ExternalID
		role := w.box.Account(oneID).Role("gone", trustWith("StringEquals", id), nil)
		if report := w.verify("one", role); report.Result != crossaccount.Passed {
			t.Fatal(report.Message)
		}
		if _, err := iam.NewFromConfig(w.box.Account(oneID).Config()).DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("gone")}); err != nil {
			// Roles with inline policies cannot be deleted; this one has none.
			t.Fatal(err)
		}
		// The report is fresh, so the role is taken into use, as decided; the first
		// use and the next check say what is wrong.
		if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
			t.Fatal(err)
		}
		_, err := w.client.AssumeCustomerRole(t.Context(), "one")
		wantCode(t, err, crossaccount.CodePropagating) // it may be IAM's delay, so soon
		time.Sleep(broker.Patience + 5*time.Second)
		_, err = w.client.AssumeCustomerRole(t.Context(), "one")
		wantCode(t, err, crossaccount.CodeRoleRefused)
		report, err := w.client.Check(t.Context(), "one", w.only("one").ID)
		if err != nil || report.Code != crossaccount.CodeRoleRefused || w.only("one").State != crossaccount.StateDegraded {
			t.Errorf("the check: %+v, %v; the integration is %s", report, err, w.only("one").State)
		}
	})
}

// A meddler changes the record between two reads of it.
type meddler struct {
	*crossaccount.MemoryStorage
	meddle func()
}

func (m *meddler) Get(ctx context.Context, customerID, id string) (*crossaccount.Integration, error) {
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return m.MemoryStorage.Get(ctx, customerID, id)
}

func TestNothingComesBetweenVerifyingAndStoring(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	good := w.box.Account(oneID).Role("good", trustWith("StringEquals", id), nil)
	open := w.box.Account(oneID).Role("open", trustWith("", ""), nil)
	if report := w.verify("one", good); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	client := w.newClient(crossaccount.WithStorage(&meddler{w.store, func() { w.verify("one", open) }}))
	err := client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: good})
	wantCode(t, err, crossaccount.CodeNotVerified)
	if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
		t.Errorf("the integration is %s with %q", i.State, i.RoleARN)
	}
}
