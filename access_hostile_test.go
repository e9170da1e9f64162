package crossaccount_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// Accesses that are asked for once and never again do not stay in memory.
func TestAccessesThatLapsedAreNotKept(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	all, err := w.client.Integrations(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	id := all[0].ID
	ask := func(n int) *crossaccount.RoleCredentials {
		t.Helper()
		credentials, err := w.client.Credentials(t.Context(), "one", crossaccount.Lasting(15*time.Minute+time.Duration(n)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return credentials
	}
	for i := range 127 {
		ask(i)
	}
	if n := w.client.Accesses("one", id); n != 127+1 && n != 127 {
		t.Fatalf("%d accesses are remembered, and all are in use", n)
	}
	kept := ask(0)
	w.client.ForgetSessions("one")
	for i := range 3 {
		ask(1000 + i)
	}
	if n := w.client.Accesses("one", id); n > 10 {
		t.Errorf("%d accesses are remembered, and three are in use", n)
	}
	if _, err := kept.Retrieve(t.Context()); err != nil {
		t.Errorf("credentials that were kept do not work any more: %v", err)
	}
}

// Accesses that differ only in whether a role on the way is shared do not share
// an entry: one is recorded as the customer's and the other as nobody's.
func TestSharedRolesOnTheWayAreAnotherAccess(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	hub := broker.Role{ARN: "arn:aws:iam::" + oneID + ":role/hub"}
	last := broker.Role{ARN: "arn:aws:iam::" + oneID + ":role/last"}
	plain, err := w.client.Credentials(t.Context(), "one", crossaccount.Through(hub, last))
	if err != nil {
		t.Fatal(err)
	}
	hub.Shared = true
	shared, err := w.client.Credentials(t.Context(), "one", crossaccount.Through(hub, last))
	if err != nil {
		t.Fatal(err)
	}
	if plain.Subject().Key == shared.Subject().Key || plain == shared {
		t.Error("both are the same entry")
	}
}

// Session names are legal whatever customers and services are called.
func TestSessionNamesAreLegal(t *testing.T) {
	for _, id := range []string{"a", "ümläut", strings.Repeat("x", 512), "a/b c\n", "日本", "a+b"} {
		for _, service := range []string{"s", strings.Repeat("Very Long ", 20), "é"} {
			name := crossaccount.SessionName(service, id+"+"+id)
			if len(name) < 2 || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") != "" {
				t.Errorf("%q of %q gives the session name %q", service, id, name)
			}
		}
	}
}

// Whatever two accesses differ in, they are two, so that neither gets what the
// other asked for.
func TestAccessesThatDifferAreTwo(t *testing.T) {
	w := newWorld(t, crossaccount.WithPurposes(broker.Purpose{Name: "a", Policy: listOnly}, broker.Purpose{Name: "b", Policy: listOnly}))
	started := w.start("one")
	marked := strings.Replace(trustWith("StringEquals", started.ExternalID), `"Statement":[`,
		`"Statement":[{"Effect":"Allow","Principal":{"AWS":"`+vendorID+`"},"Action":["sts:TagSession","sts:SetSourceIdentity"]},`, 1)
	role := w.box.Account(oneID).Role("marked", marked, nil)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	managed := "arn:aws:iam::aws:policy/"
	last := broker.Role{ARN: "arn:aws:iam::" + oneID + ":role/last"}
	keys := map[broker.Key]string{}
	for name, options := range map[string][]crossaccount.AccessOption{
		"plain":                  nil,
		"purpose a":              {crossaccount.ForPurpose("a")},
		"purpose b":              {crossaccount.ForPurpose("b")},
		"policy":                 {crossaccount.NarrowedBy(listOnly)},
		"another policy":         {crossaccount.NarrowedBy(strings.Replace(listOnly, "ListBucket", "GetObject", 1))},
		"managed policy":         {crossaccount.NarrowedBy("", managed+"ReadOnlyAccess")},
		"another managed policy": {crossaccount.NarrowedBy("", managed+"SecurityAudit")},
		"tag":                    {crossaccount.WithSessionTags(map[string]string{"job": "1"})},
		"another tag":            {crossaccount.WithSessionTags(map[string]string{"job": "2"})},
		"source identity":        {crossaccount.WithSourceIdentity("alice")},
		"another one":            {crossaccount.WithSourceIdentity("bob")},
		"duration":               {crossaccount.Lasting(20 * time.Minute)},
		"chain":                  {crossaccount.Through(last)},
		"chain, policy":          {crossaccount.Through(last), crossaccount.NarrowedBy(listOnly)},
		"chain, managed policy":  {crossaccount.Through(last), crossaccount.NarrowedBy("", managed+"SecurityAudit")},
	} {
		credentials, err := w.client.Credentials(t.Context(), "one", options...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, taken := keys[credentials.Subject().Key]; taken {
			t.Errorf("%s and %s are the same entry", name, other)
		}
		keys[credentials.Subject().Key] = name
	}
}

// An integration that is not in use is refused by name as well, before anything
// is made for it.
func TestNamedIntegrationsMustBeInUse(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	pending := w.start("two").IntegrationID
	revoked := w.only("one").ID
	if err := w.client.Revoke(t.Context(), "one", revoked); err != nil {
		t.Fatal(err)
	}
	for id, customer := range map[string]string{pending: "two", revoked: "one"} {
		_, err := w.client.Credentials(t.Context(), customer, crossaccount.ForIntegration(id))
		wantCode(t, err, crossaccount.CodeNotVerified)
	}
	_, err := w.client.Credentials(t.Context(), "two", crossaccount.ForIntegration(revoked))
	wantCode(t, err, crossaccount.CodeUnknownIntegration)
}
