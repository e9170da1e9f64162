package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// durable lets answers survive the handler.
func durable(t *testing.T, path string, now func() time.Time) func(*api.Options) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *api.Options) { o.Answers, o.Encryptor, o.Now = store, encryptor, now }
}

// A client that repeats a request after a crash gets the answer that was given
// before it, whatever happened since, and never begins a second onboarding.
func TestIdempotencyKeysSurviveRestarts(t *testing.T) {
	now := time.Now()
	path := filepath.Join(t.TempDir(), "answers.db")
	w := newWorld(t, durable(t, path, func() time.Time { return now }))
	const begin, body = "/v1/integrations", `{"customer_id":"one"}`
	_, first := w.request("POST", begin, body, api.IdempotencyHeader, "first")
	_, joined := w.request("POST", begin, body, api.IdempotencyHeader, "joined")
	if first != joined {
		t.Fatalf("a second start did not continue the pending onboarding: %s, %s", first, joined)
	}
	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(first), &started); err != nil {
		t.Fatal(err)
	}
	complete, role := begin+"/"+started.IntegrationID+"/complete", `{"customer_id":"one","role_arn":"`+w.launch(oneID, started.LaunchURL)+`"}`
	response, completed := w.request("POST", complete, role, api.IdempotencyHeader, "complete")
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, completed)
	}

	w.restart()
	for key, want := range map[string]struct{ path, body, answer string }{
		"first": {begin, body, first}, "joined": {begin, body, first}, "complete": {complete, role, completed},
	} {
		response, answer := w.request("POST", want.path, want.body, api.IdempotencyHeader, key)
		if answer != want.answer || response.Header.Get(api.ReplayedHeader) != "true" || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %v: %s, want %s", key, response.Status, response.Header, answer, want.answer)
		}
		response, answer = w.request("POST", want.path, strings.Replace(want.body, "one", "two", 1), api.IdempotencyHeader, key)
		if response.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s for another request: %s: %s", key, response.Status, answer)
		}
		// Keys of different callers have nothing to do with each other.
		if response, _ := w.request("POST", want.path, want.body, api.IdempotencyHeader, key, "Authorization", "", tenantHeader, "two"); response.Header.Get(api.ReplayedHeader) != "" {
			t.Errorf("%s of another caller was answered from memory", key)
		}
	}
	stored, err := os.ReadFile(path + "-wal")
	if err != nil || len(stored) == 0 {
		t.Fatal(err)
	}
	for _, secret := range []string{started.ExternalID, "joined", oneID} {
		if bytes.Contains(stored, []byte(secret)) {
			t.Errorf("%s is stored in the clear", secret)
		}
	}

	// Whoever crashed before the answer was kept knows the integration by the
	// key alone.
	w.restart(func(o *api.Options) { o.Answers = nil })
	response, answer := w.request("POST", begin, body, api.IdempotencyHeader, "first")
	var again crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(answer), &again); err != nil || again.IntegrationID != started.IntegrationID || again.ExternalID != started.ExternalID || response.Header.Get(api.ReplayedHeader) != "" {
		t.Errorf("without the kept answer: %s: %s", response.Status, answer)
	}
	page, err := w.operator.Integrations(t.Context(), api.ListRequest{CustomerID: "one"})
	if err != nil || len(page.Integrations) != 1 {
		t.Errorf("there are %d integrations, %v", len(page.Integrations), err)
	}

	// After a day the key is free.
	now = now.Add(25 * time.Hour)
	w.restart()
	if _, answer = w.request("POST", begin, `{"customer_id":"two"}`, api.IdempotencyHeader, "joined"); !strings.Contains(answer, `"integration_id"`) {
		t.Errorf("after a day: %s", answer)
	}
}

// After a crash in the middle of a verification the API says so, and the same
// request with the same key continues.
func TestInterruptedVerification(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "one")
	role := w.launch(oneID, started.LaunchURL)
	verify, body := "/v1/integrations/"+started.IntegrationID+"/verify", `{"customer_id":"one","role_arn":"`+role+`"}`
	w.aws.mu.Lock()
	response, answer := w.request("POST", verify, body, api.IdempotencyHeader, "v", "Prefer", "respond-async")
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	<-w.aws.arrived
	w.restart()
	shown, err := w.operator.Integration(t.Context(), "one", started.IntegrationID)
	if err != nil || shown.State != crossaccount.StateVerifying || shown.Operation == nil || shown.Operation.Running ||
		shown.Operation.Problem == nil || shown.Operation.Problem.Code != api.CodeInterrupted || !shown.Operation.Problem.Retryable {
		t.Errorf("%+v, %v", shown, err)
	}
	w.aws.mu.Unlock()
	response, answer = w.request("POST", verify, body, api.IdempotencyHeader, "v")
	if response.StatusCode != http.StatusOK || !strings.Contains(answer, `"result":"passed"`) {
		t.Errorf("%s: %s", response.Status, answer)
	}
	if _, err := w.operator.Complete(t.Context(), started.IntegrationID, &api.RoleRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Error(err)
	}
}
