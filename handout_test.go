package crossaccount_test

import (
	"strings"
	"testing"
	"time"

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
