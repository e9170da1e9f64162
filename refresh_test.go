package crossaccount_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func TestFault14_CredentialsRefreshThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		config, err := w.client.AssumeCustomerRole(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		client := sts.NewFromConfig(config)
		keys := map[string]bool{}
		for range 30 {
			if _, err := client.GetCallerIdentity(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			own, err := config.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(own.Expires); left > time.Hour || left < 4*time.Minute {
				t.Errorf("credentials expire in %v", left) // they are renewed with 8 to 14 % left
			}
			keys[own.AccessKeyID] = true
			time.Sleep(10 * time.Minute)
		}
		if len(keys) < 5 || len(keys) > 7 {
			t.Errorf("in five hours there were %d sets of credentials", len(keys))
		}
	})
}

func TestFault14_TroubleWhileRefreshingIsRiddenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		var down atomic.Bool
		aws := &interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
			if down.Load() && form.Get("Action") == "AssumeRole" {
				return stsError(503, "ServiceUnavailable"), nil
			}
			return nil, nil
		}}
		w.client = w.newClient(crossaccount.WithHTTPClient(aws))
		config, err := w.client.AssumeCustomerRole(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		down.Store(true)
		time.Sleep(56 * time.Minute) // past the time of renewal, before the end
		if _, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err != nil {
			t.Errorf("valid credentials were not used while STS was down: %v", err)
		}
		time.Sleep(5 * time.Minute)
		_, err = config.Credentials.Retrieve(t.Context())
		if err == nil {
			t.Error("expired credentials were handed out")
		}
		down.Store(false)
		time.Sleep(40 * time.Second) // a region that failed is left alone for half a minute
		if _, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err != nil {
			t.Errorf("after the trouble: %v", err)
		}
	})
}

func TestFault14_WhatWasRevokedIsNotRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		role := w.onboard("one", oneID)
		config, err := w.client.AssumeCustomerRole(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		customer := iam.NewFromConfig(w.box.Account(oneID).Config())
		name, trust := role[strings.LastIndex(role, "/")+1:], trustWith("StringEquals", "other-id")
		if _, err := customer.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(56 * time.Minute)
		_, err = config.Credentials.Retrieve(t.Context())
		var ours *crossaccount.Error
		if !errors.As(err, &ours) || ours.Code != crossaccount.CodeRoleRefused {
			t.Errorf("a role that does not trust us any more: %v", err)
		}
	})
}

func TestFault18_ChainedSessionsAskForNoMoreThanAnHour(t *testing.T) {
	w := newWorld(t)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"}]}`
	brokerRole := w.box.Account(vendorID).Role("broker", trust, []string{brokerPolicy})
	w.config.SessionDuration = 4 * time.Hour
	w.config.AWSConfig = w.box.Assume(w.probe, brokerRole)
	w.client = w.newClient()
	w.onboard("one", oneID)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("from a role's session: %v", err)
	}
	for _, call := range w.box.Calls() {
		if call.Operation == "AssumeRole" && call.Code == "ValidationError" {
			t.Error("AWS was asked for more than it gives to a role's session")
		}
	}
	w.config.AWSConfig = w.broker
	w.client = w.newClient()
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	own, err := config.Credentials.Retrieve(t.Context())
	if err != nil || time.Until(own.Expires) < 3*time.Hour {
		t.Errorf("from a user, credentials live until %v (%v), want about four hours", own.Expires, err)
	}

	// A role made by hand allows one hour.
	started := w.start("two")
	byHand := w.box.Account(twoID).Role("by-hand", trustWith("StringEquals", started.ExternalID), nil)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "two", RoleARN: byHand}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.AssumeCustomerRole(t.Context(), "two"); err != nil {
		t.Errorf("a role that allows less than is configured: %v", err)
	}
}

func TestFault22_VerificationIsLimitedPerCustomerAndAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start("one")
		w.start("two")
		missing := "arn:aws:iam::" + oneID + ":role/missing"
		try := func(customer, role string) crossaccount.Code {
			t.Helper()
			report, err := w.client.Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: role})
			if err != nil {
				return crossaccount.CodeOf(err)
			}
			return report.Code
		}
		limited := 0
		for limited < 30 && try("one", missing) != crossaccount.CodeRateLimited {
			limited++
		}
		if limited != 10 {
			t.Errorf("%d verifications were let through at once, want 10", limited)
		}
		// Whose account it is we do not know: "one" must not be able to keep "two"
		// out, however long it goes on.
		for range 30 {
			if code := try("two", missing); code == crossaccount.CodeRateLimited {
				t.Fatal("another customer is limited because of the first")
			}
			time.Sleep(time.Minute)
			for n := range 10 {
				if code := try("one", missing); code == crossaccount.CodeRateLimited {
					t.Fatalf("limited after a minute and %d verifications", n)
				}
			}
		}
		// Many customers together cannot search an account.
		time.Sleep(time.Hour)
		let := 0
		for n := range 25 {
			customer := fmt.Sprint("sybil-", n)
			w.start(customer)
			for range 10 {
				if try(customer, missing) != crossaccount.CodeRateLimited {
					let++
				}
			}
		}
		if let != 200 {
			t.Errorf("%d verifications for one account were let through at once, want 200", let)
		}
		// Whoever was refused for the account's sake has used up nothing.
		for n := range 10 {
			if code := try("sybil-24", "arn:aws:iam::"+twoID+":role/missing"); code == crossaccount.CodeRateLimited {
				t.Fatalf("limited in another account after %d verifications", n)
			}
		}
	})
}

// An unaudited storage cannot keep audit records that stand alone.
type unaudited struct{ *crossaccount.MemoryStorage }

func (unaudited) AppendAudit(context.Context, ...crossaccount.AuditRecord) error {
	return crossaccount.NewError(crossaccount.CodeStorage, "the disk is full", "", nil)
}

func TestCredentialsThatCannotBeAuditedAreNotHandedOut(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	client := w.newClient(crossaccount.WithStorage(unaudited{w.store}))
	_, err := client.AssumeCustomerRole(t.Context(), "one")
	wantCode(t, err, crossaccount.CodeStorage)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("with working storage: %v", err)
	}
}

func TestTheDefaultChainIsLoadedAtFirstUse(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	sandboxtest.ClearEnvironment(t)
	w.config.AWSConfig = aws.Config{}
	client := w.newClient(crossaccount.WithHTTPClient(w.box.Client()))
	_, err := client.AssumeCustomerRole(t.Context(), "one")
	wantCode(t, err, crossaccount.CodeAWS)

	broker, err := w.broker.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", broker.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", broker.SecretAccessKey)
	client = w.newClient(crossaccount.WithHTTPClient(w.box.Client()))
	config, err := client.AssumeCustomerRole(t.Context(), "one")
	if err != nil || config.Region != crossaccount.DefaultRegion {
		t.Errorf("with credentials in the environment: region %q, %v", config.Region, err)
	}
}

func TestConfigurationsAreForTheRegionOfTheStack(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	ask := func(region string) *crossaccount.IntegrationResponse {
		t.Helper()
		response, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", AccountID: oneID, Region: region})
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	role := w.launch(oneID, ask("eu-central-1").LaunchURL)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	if again := ask(""); again.Region != "eu-central-1" {
		t.Errorf("asking again moved the integration to %s", again.Region)
	}
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil || config.Region != "eu-central-1" {
		t.Errorf("region %q, %v", config.Region, err)
	}
}

func TestConcurrentCallersShareOneAssumption(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	before := len(w.box.Calls())
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if calls := len(w.box.Calls()) - before; calls != 1 {
		t.Errorf("20 callers made %d calls to AWS, want 1", calls)
	}

	// Everything at once: nothing is lost and nobody sees half of a change.
	id := w.only("one").ID
	for range 4 {
		group.Go(func() {
			if report, err := w.newClient().Verify(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role}); err != nil || report.Result != crossaccount.Passed {
				t.Errorf("verify: %v, %v", report, err)
			}
		})
		group.Go(func() {
			if report, err := w.client.Check(t.Context(), "one", id); err != nil || report.Result != crossaccount.Passed {
				t.Errorf("check: %v, %v", report, err)
			}
		})
		group.Go(func() {
			if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
				t.Errorf("store: %v", err)
			}
		})
		group.Go(func() {
			if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
				t.Errorf("assume: %v", err)
			}
		})
	}
	group.Wait()
	if i := w.only("one"); i.State != crossaccount.StateActive || i.RoleARN != role {
		t.Errorf("the integration is %s with %s", i.State, i.RoleARN)
	}
}
