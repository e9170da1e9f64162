package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/sandbox"
)

func handingOut(o *api.Options) { o.HandOutCredentials = true }

// onboard takes a customer's role into use.
func (w *world) onboard(customer, account string) *crossaccount.IntegrationResponse {
	w.Helper()
	started := w.start(w.operator, customer)
	role := w.launch(account, started.LaunchURL)
	if _, err := w.operator.Complete(w.Context(), started.IntegrationID, &api.RoleRequest{CustomerID: customer, RoleARN: role}); err != nil {
		w.Fatal(err)
	}
	return started
}

func TestCredentials(t *testing.T) {
	w := newWorld(t, handingOut)
	started := w.onboard("one", oneID)
	issued, err := w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	if issued.AccountID != oneID || issued.CustomerID != "one" || issued.IntegrationID != started.IntegrationID || time.Until(issued.ExpiresAt) < 15*time.Minute {
		t.Errorf("credentials of %s, %s, %s until %s", issued.AccountID, issued.CustomerID, issued.IntegrationID, issued.ExpiresAt)
	}
	config := w.box.Config(sandbox.Credentials{AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey, SessionToken: issued.SessionToken})
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil || aws.ToString(who.Account) != oneID || !strings.HasSuffix(*who.Arn, "/"+issued.SessionName) {
		t.Fatalf("AWS knows them as %+v, %v", who, err)
	}
	there, err := w.operator.Identity(t.Context(), api.CredentialsRequest{CustomerID: "one"})
	if err != nil || there.ARN != *who.Arn || there.SessionName != issued.SessionName || there.ExpiresAt.IsZero() {
		t.Errorf("we are %+v, %v; want %s", there, err, *who.Arn)
	}
	ours, err := w.operator.Identity(t.Context(), api.CredentialsRequest{})
	if err != nil || ours.AccountID != vendorID || !ours.ExpiresAt.IsZero() {
		t.Errorf("we are %+v, %v", ours, err)
	}
	if text, _ := json.Marshal(there); strings.Contains(string(text), issued.SecretAccessKey) || strings.Contains(string(text), issued.SessionToken) {
		t.Error("the identity has a secret")
	}

	page, err := w.operator.Audit(t.Context(), "one", started.IntegrationID, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(page.Records, func(r crossaccount.AuditRecord) bool {
		return r.Action == crossaccount.ActionHandedOut && r.Actor == "operator" && r.Details["access_key_id"] == issued.AccessKeyID
	}) {
		t.Error("the hand-out was not audited")
	}

	// Secrets are in no log and are not printed by accident.
	slog.New(slog.NewTextHandler(w.log, nil)).Info("x", "credentials", *issued, "pointer", issued)
	for _, text := range []string{w.log.String(), fmt.Sprintf("%v %+v %s %#v", *issued, *issued, issued, issued)} {
		if strings.Contains(text, issued.SecretAccessKey) || strings.Contains(text, issued.SessionToken) || strings.Contains(text, started.ExternalID) {
			t.Error("a secret was printed")
		}
	}

	if _, err := w.operator.Revoke(t.Context(), "one", started.IntegrationID); err != nil {
		t.Fatal(err)
	}
	_, err = w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
	w.expect(err, crossaccount.CodeUnknownCustomer)
	_, err = w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one", IntegrationID: started.IntegrationID})
	w.expect(err, crossaccount.CodeNotVerified)
	_, err = w.operator.Identity(t.Context(), api.CredentialsRequest{CustomerID: "one", IntegrationID: started.IntegrationID})
	w.expect(err, crossaccount.CodeNotVerified)
}

func TestCredentialsAreNotForEverybody(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	_, err := w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
	w.expect(err, api.CodeNotHandedOut)
	if _, err := w.operator.Identity(t.Context(), api.CredentialsRequest{CustomerID: "one"}); err != nil {
		t.Errorf("identities are no secret: %v", err)
	}
	w.restart(handingOut)
	for name, client := range map[string]*api.Client{
		"tenant": w.tenant("one"), "confined operator": w.newClient(api.WithToken(operatorToken), api.WithCustomer("one")),
	} {
		_, err := client.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
		if crossaccount.CodeOf(err) != crossaccount.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
		_, err = client.Identity(t.Context(), api.CredentialsRequest{CustomerID: "one"})
		w.expect(err, crossaccount.CodeForbidden)
	}
	_, err = w.newClient(api.WithToken("another")).Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
	w.expect(err, api.CodeUnauthenticated)

	for name, tt := range map[string]struct {
		request api.CredentialsRequest
		want    crossaccount.Code
	}{
		"nobody":        {api.CredentialsRequest{CustomerID: "nobody"}, crossaccount.CodeUnknownCustomer},
		"no customer":   {api.CredentialsRequest{}, crossaccount.CodeInvalidRequest},
		"wrong id":      {api.CredentialsRequest{CustomerID: "one", IntegrationID: "none"}, crossaccount.CodeUnknownIntegration},
		"wrong purpose": {api.CredentialsRequest{CustomerID: "one", Purpose: "none"}, crossaccount.CodeInvalidRequest},
	} {
		_, err := w.operator.Credentials(t.Context(), &tt.request)
		if crossaccount.CodeOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		if name == "no customer" {
			continue
		}
		_, err = w.operator.Identity(t.Context(), tt.request)
		if crossaccount.CodeOf(err) != tt.want {
			t.Errorf("identity, %s: %v", name, err)
		}
	}
	_, err = w.operator.Identity(t.Context(), api.CredentialsRequest{Purpose: "none"})
	w.expect(err, crossaccount.CodeInvalidRequest)
}

// What cannot be written down is not handed out, although it is at hand.
func TestUnauditedCredentialsAreNotHandedOut(t *testing.T) {
	w := newWorld(t, handingOut)
	w.onboard("one", oneID)
	for range 2 {
		if _, err := w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"}); err != nil {
			t.Fatal(err)
		}
		w.store.fails.Store(true)
		issued, err := w.operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
		w.expect(err, crossaccount.CodeStorage)
		if issued != nil {
			t.Errorf("%s was handed out", issued)
		}
		w.store.fails.Store(false)
	}
}

// Neither the store of answers nor memory has credentials, whatever the key.
func TestCredentialsAreNotKept(t *testing.T) {
	w := newWorld(t, handingOut)
	w.onboard("one", oneID)
	const request = `{"customer_id":"one"}`
	for range 2 {
		response, body := w.request(http.MethodPost, "/v1/credentials", request, api.IdempotencyHeader, "the same")
		if response.StatusCode != http.StatusOK || response.Header.Get(api.ReplayedHeader) != "" || response.Header.Get("Cache-Control") != "no-store" || !strings.Contains(body, "session_token") {
			t.Errorf("%s %v", response.Status, response.Header)
		}
	}
}

func TestCredentialsDoNotTravelInClear(t *testing.T) {
	for url, refused := range map[string]bool{
		"http://connect.example.com": true, "http://10.0.0.1:8080": true, "https://connect.invalid": false, "http://127.0.0.1:1": false, "http://localhost:1": false, "http://[::1]:1": false,
	} {
		client, err := api.NewClient(url, api.WithHTTPClient(&http.Client{Transport: unreachable{}}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "one"})
		if got := crossaccount.CodeOf(err) == crossaccount.CodeInvalidConfig; got != refused {
			t.Errorf("%s: %v", url, err)
		}
	}
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, http.ErrServerClosed
}
