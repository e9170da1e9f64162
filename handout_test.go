package crossaccount_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

func TestHandOutsAreAudited(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	credentials, err := w.client.Credentials(t.Context(), "one", crossaccount.OverHTTP())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	minute := time.Date(2026, 11, 22, 6, 30, 0, 0, time.UTC)
	handOut := broker.HandOut{
		Subject: credentials.Subject(), Caller: "operator", TokenID: "0123456789abcdef",
		AccessKeyID: issued.AccessKeyID, Expires: issued.Expires, Minute: minute, Count: 3,
	}
	if err := w.client.AuditHandOuts(t.Context(), []broker.HandOut{handOut}); err != nil {
		t.Fatal(err)
	}
	if err := w.client.AuditHandOuts(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	page, err := w.client.Audit(t.Context(), crossaccount.AuditQuery{CustomerID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	var found []crossaccount.AuditRecord
	for _, r := range page.Records {
		if r.Action == crossaccount.ActionHandedOut {
			found = append(found, r)
		}
	}
	if len(found) != 1 || found[0].Actor != "token operator" || found[0].RoleARN != credentials.Subject().RoleARN {
		t.Fatalf("audit records: %+v", found)
	}
	want := map[string]string{
		"access_key_id": issued.AccessKeyID, "count": "3", "minute": "2026-11-22T06:30:00Z", "token": "0123456789abcdef",
		"expires": issued.Expires.UTC().Format(time.RFC3339),
	}
	if diff := cmp.Diff(want, found[0].Details); diff != "" {
		t.Error(diff)
	}
}

func TestIdentities(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	ours, err := w.client.Identity(t.Context())
	if err != nil || ours.AccountID != vendorID || ours.SessionName() != "" {
		t.Errorf("we are %+v, %v", ours, err)
	}
	credentials, err := w.client.Credentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	there, err := credentials.Identity(t.Context())
	if err != nil || there.AccountID != oneID || there.SessionName() != credentials.Subject().SessionName || there.UserID == "" {
		t.Errorf("there we are %+v, %v", there, err)
	}
	if err := w.client.Revoke(t.Context(), "one", credentials.Subject().Integration); err != nil {
		t.Fatal(err)
	}
	if _, err := credentials.Identity(t.Context()); crossaccount.CodeOf(err) != crossaccount.CodeNotVerified || strings.Contains(err.Error(), "arn:") {
		t.Errorf("after the integration was revoked: %v", err)
	}
}

// Who was given a token, and when it ended, is in the audit records of the
// integrations it is for; the token is not.
func TestTokensAreAudited(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	w.onboard("two", twoID)
	token, record, err := broker.IssueToken(nil, time.Now(), "reports-job", broker.TokenRecord{
		Customers: []string{"one", "nobody"}, Purposes: []string{"inventory", ""}, ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := crossaccount.WithActor(t.Context(), "alice")
	for _, action := range []string{crossaccount.ActionTokenIssued, crossaccount.ActionTokenRevoked} {
		if err := w.client.AuditToken(ctx, action, record); err != nil {
			t.Fatal(err)
		}
	}
	bound := record
	bound.Customers, bound.Integrations = []string{"one", "two"}, []string{w.only("two").ID}
	if err := w.client.AuditToken(ctx, crossaccount.ActionTokenIssued, bound); err != nil {
		t.Fatal(err)
	}
	if err := w.client.AuditToken(ctx, crossaccount.ActionActivated, record); crossaccount.CodeOf(err) != crossaccount.CodeInvalidRequest {
		t.Errorf("another action: %v", err)
	}
	for customer, want := range map[string][]string{
		"one":    {"token.issued " + w.only("one").ID, "token.revoked " + w.only("one").ID, "token.issued "},
		"nobody": {"token.issued ", "token.revoked "},
		"two":    {"token.issued " + w.only("two").ID},
	} {
		page, err := w.client.Audit(t.Context(), crossaccount.AuditQuery{CustomerID: customer})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range page.Records {
			if !strings.HasPrefix(r.Action, "token.") {
				continue
			}
			got = append([]string{r.Action + " " + r.IntegrationID}, got...)
			details := map[string]string{"token": record.ID, "name": "reports-job", "purposes": "inventory, (whole role)", "expires": record.ExpiresAt.UTC().Format(time.RFC3339)}
			if diff := cmp.Diff(details, r.Details); diff != "" || r.Actor != "alice" || r.Outcome != "ok" {
				t.Errorf("%s: by %s, %s: %s", customer, r.Actor, r.Outcome, diff)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", customer, diff)
		}
	}
	if strings.Contains(w.dump(), token) || strings.Contains(w.log.String(), token) {
		t.Error("the token is in the storage or in the log")
	}
}

// What our own identity lacks is said so, instead of "try again later".
func TestMissingCredentialsAreNamed(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	refused := w.box.Account(vendorID).Role("elsewhere", strings.ReplaceAll(canaryTrust, vendorID, twoID), nil)
	for name, tt := range map[string]struct {
		provider aws.CredentialsProvider
		want     string
	}{
		"none": {aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no EC2 IMDS role found, operation error ec2imds: GetMetadata, request send failed")
		}), "this process has no AWS credentials, or cannot obtain those it is configured for; give it those of the service's account"},
		"refused": {stscreds.NewAssumeRoleProvider(sts.NewFromConfig(w.broker), refused), "AWS does not accept the credentials of this process, or does not let it assume the broker's role (AccessDenied)"},
		"no network": {aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("operation error STS: AssumeRole, request send failed, dial tcp")
		}), "try again later"},
	} {
		own := w.broker.Copy()
		own.Credentials = aws.NewCredentialsCache(tt.provider)
		config := *w.config
		config.AWSConfig = own
		client, err := crossaccount.New(&config, crossaccount.WithStorage(w.store), crossaccount.WithEncryption(testKeys(t)), crossaccount.WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.Background()) }) // nothing is under way
		_, err = client.Identity(t.Context())
		_, accessErr := client.AssumeCustomerRole(t.Context(), "one")
		for what, err := range map[string]error{"Identity": err, "AssumeCustomerRole": accessErr} {
			if crossaccount.CodeOf(err) != crossaccount.CodeAWS || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "elsewhere") {
				t.Errorf("%s, %s: %v; want %s", name, what, err, tt.want)
			}
		}
	}
}
