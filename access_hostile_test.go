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
