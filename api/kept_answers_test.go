package api_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

const startPath, startOne = "/v1/integrations", `{"customer_id":"one"}`

// interfering does something before answers are looked up or kept.
type interfering struct {
	api.AnswerStore
	beforeAnswer func() error
	beforeKeep   func()
}

func (s *interfering) Answer(ctx context.Context, key []byte, now time.Time) ([]byte, error) {
	if err := s.beforeAnswer(); err != nil {
		return nil, err
	}
	return s.AnswerStore.Answer(ctx, key, now)
}

func (s *interfering) KeepAnswer(ctx context.Context, key, sealed []byte, now, until time.Time) error {
	s.beforeKeep()
	return s.AnswerStore.KeepAnswer(ctx, key, sealed, now, until)
}

func newInterfering(t *testing.T) (*world, *interfering) {
	t.Helper()
	durably := durable(t, filepath.Join(t.TempDir(), "answers.db"), time.Now)
	s := &interfering{beforeAnswer: func() error { return nil }, beforeKeep: func() {}}
	return newWorld(t, func(o *api.Options) {
		durably(o)
		s.AnswerStore, o.Answers = o.Answers, s
	}), s
}

// "Not yet" is not the answer for the rest of the day, and neither is a refusal
// that comes with a time to try again.
func TestRetryableAnswersAreNotStored(t *testing.T) {
	w, _ := newInterfering(t)
	id := w.start(w.operator, "one").IntegrationID
	role := `{"customer_id":"one","role_arn":"arn:aws:iam::` + oneID + `:role/not-there-yet"}`
	for range 2 {
		response, body := w.request("POST", startPath+"/"+id+"/complete", role, api.IdempotencyHeader, "c")
		if response.StatusCode != http.StatusConflict || response.Header.Get("Retry-After") == "" || response.Header.Get(api.ReplayedHeader) != "" {
			t.Errorf("propagating: %s %v: %s", response.Status, response.Header, body)
		}
		w.restart()
	}
}

// A request whose key could not be looked up was not carried out, and is not
// remembered as if it had been.
func TestTroubleWithKeptAnswersIsNotAnAnswer(t *testing.T) {
	w, store := newInterfering(t)
	store.beforeAnswer = func() error {
		return crossaccount.NewError(crossaccount.CodeStorage, "the disk is gone", "", nil)
	}
	if response, body := w.request("POST", startPath, startOne, api.IdempotencyHeader, "k"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the store: %s: %s", response.Status, body)
	}
	store.beforeAnswer = func() error { return nil }
	response, body := w.request("POST", startPath, startOne, api.IdempotencyHeader, "k")
	if response.StatusCode != http.StatusOK || response.Header.Get(api.ReplayedHeader) != "" || !strings.Contains(body, `"integration_id"`) {
		t.Errorf("with the store again: %s %v: %s", response.Status, response.Header, body)
	}
}

// What was carried out is kept, also if the caller went away in that moment.
func TestAnswersAreKeptForCallersThatAreGone(t *testing.T) {
	w, store := newInterfering(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	store.beforeKeep = leave
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, startPath, strings.NewReader(startOne))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+operatorToken)
	r.Header.Set(api.IdempotencyHeader, "k")
	unheard := httptest.NewRecorder()
	w.handler.ServeHTTP(unheard, r)
	if ctx.Err() == nil {
		t.Fatalf("no answer was kept: %d: %s", unheard.Code, unheard.Body)
	}
	w.restart()
	response, body := w.request("POST", startPath, startOne, api.IdempotencyHeader, "k")
	if response.Header.Get(api.ReplayedHeader) != "true" || body != unheard.Body.String() {
		t.Errorf("afterwards: %s %v: %s; want %s", response.Status, response.Header, body, unheard.Body)
	}
}

// Somebody who can write to the database cannot give the answer to one key to
// another, not even for an equal request.
func TestSwappedAnswersAreNotGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "answers.db")
	w := newWorld(t, durable(t, path, time.Now))
	begin := func(key string) (started crossaccount.IntegrationResponse) {
		t.Helper()
		_, body := w.request("POST", startPath, startOne, api.IdempotencyHeader, key)
		if err := json.Unmarshal([]byte(body), &started); err != nil || started.ExternalID == "" {
			t.Fatalf("%s, %v", body, err)
		}
		return started
	}
	first := begin("first")
	if err := w.client.Revoke(t.Context(), "one", first.IntegrationID); err != nil {
		t.Fatal(err)
	}
	second := begin("second")
	if first.ExternalID == second.ExternalID {
		t.Fatal("both are the same")
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT key, sealed FROM answers")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var keys, sealed [][]byte
	for rows.Next() {
		var k, s []byte
		if err := rows.Scan(&k, &s); err != nil {
			t.Fatal(err)
		}
		keys, sealed = append(keys, k), append(sealed, s)
	}
	if err := rows.Err(); err != nil || len(keys) != 2 {
		t.Fatalf("%d answers, %v", len(keys), err)
	}
	for i, key := range keys {
		if _, err := db.ExecContext(t.Context(), "UPDATE answers SET sealed = ? WHERE key = ?", sealed[1-i], key); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	response, body := w.request("POST", startPath, startOne, api.IdempotencyHeader, "second")
	if response.Header.Get(api.ReplayedHeader) != "" || strings.Contains(body, first.ExternalID) {
		t.Errorf("the answer of another key: %s: %s", response.Status, body)
	}
	if !strings.Contains(w.log.String(), "a kept answer cannot be opened") {
		t.Error("the log does not mention it")
	}
}
