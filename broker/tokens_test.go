package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/broker"
)

// issueToken makes a token for customers, for the whole role, until noon tomorrow.
func issueToken(t testing.TB, customers ...string) (string, broker.TokenRecord) {
	t.Helper()
	token, record, err := broker.IssueToken(nil, noon, "worker", broker.TokenRecord{
		Customers: customers, Purposes: []string{""}, ExpiresAt: noon.Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token, record
}

func TestIssueToken(t *testing.T) {
	token, record := issueToken(t, "acme")
	other, _ := issueToken(t, "acme")
	if token == other {
		t.Error("two tokens are the same")
	}
	if len(token) != 64 || !strings.HasPrefix(token, "xab_"+record.ID+"_") {
		t.Errorf("the token %q does not have its form", token)
	}
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token[len("xab_")+16:]) {
		t.Error("the record has the token's secret")
	}
	if !record.IssuedAt.Equal(noon) {
		t.Errorf("issued at %s", record.IssuedAt)
	}
	record.Revoked = true // a token like one that was revoked
	if _, again, err := broker.IssueToken(nil, noon, "worker", record); err != nil || again.Revoked || again.ID == record.ID {
		t.Errorf("got %+v, %v", again, err)
	}
}

func TestIssueTokenRefuses(t *testing.T) {
	good := broker.TokenRecord{Customers: []string{"acme"}, Purposes: []string{"backup"}, ExpiresAt: noon.Add(time.Hour)}
	for _, test := range []struct {
		name   string
		change func(*broker.TokenRecord)
		says   string
	}{
		{"no customer", func(r *broker.TokenRecord) { r.Customers = nil }, "must not be empty"},
		{"no purpose", func(r *broker.TokenRecord) { r.Purposes = nil }, "must not be empty"},
		{"an empty customer", func(r *broker.TokenRecord) { r.Customers = []string{"acme", ""} }, "empty name"},
		{"an empty integration", func(r *broker.TokenRecord) { r.Integrations = []string{""} }, "empty name"},
		{"every customer", func(r *broker.TokenRecord) { r.Customers = []string{"*"} }, "wildcards"},
		{"every purpose", func(r *broker.TokenRecord) { r.Purposes = []string{"*"} }, "wildcards"},
		{"every integration", func(r *broker.TokenRecord) { r.Integrations = []string{"*"} }, "wildcards"},
		{"no end", func(r *broker.TokenRecord) { r.ExpiresAt = time.Time{} }, "expires_at"},
		{"expired", func(r *broker.TokenRecord) { r.ExpiresAt = noon }, "expires_at"},
		{"too long", func(r *broker.TokenRecord) { r.ExpiresAt = noon.Add(broker.MaxTokenLifetime + time.Second) }, "400 days"},
	} {
		record := good
		test.change(&record)
		if token, _, err := broker.IssueToken(nil, noon, "worker", record); broker.CodeOf(err) != broker.CodeInvalidRequest || !strings.Contains(err.Error(), test.says) || token != "" {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
	if _, _, err := broker.IssueToken(nil, noon, "", good); broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("no name: got %v", err)
	}
	if _, _, err := broker.IssueToken(strings.NewReader("too little"), noon, "worker", good); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("no randomness: got %v", err)
	}
}

func TestTokensReplaceAllOrNothing(t *testing.T) {
	token, record := issueToken(t, "acme")
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens})
	_, newer := issueToken(t, "acme")
	for name, change := range map[string]func(*broker.TokenRecord){
		"upper case id": func(r *broker.TokenRecord) { r.ID = "ABCDEF0123456789" },
		"short id":      func(r *broker.TokenRecord) { r.ID = "abcd" },
		"no hash":       func(r *broker.TokenRecord) { r.SHA256 = "" },
		"short hash":    func(r *broker.TokenRecord) { r.SHA256 = "abcd" },
		"twice":         func(r *broker.TokenRecord) { r.ID = newer.ID },
	} {
		wrong := record
		change(&wrong)
		if err := tokens.Replace([]broker.TokenRecord{newer, wrong}); broker.CodeOf(err) != broker.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
		if got := e.get(token, "/credentials/acme"); got.Code != http.StatusOK {
			t.Errorf("%s: the old token gets %d", name, got.Code)
		}
	}
	if err := tokens.Replace([]broker.TokenRecord{newer}); err != nil {
		t.Fatal(err)
	}
	if got := e.get(token, "/credentials/acme"); got.Code != http.StatusUnauthorized {
		t.Errorf("a token that was removed gets %d", got.Code)
	}
}

func TestUpdateTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	_, first := issueToken(t, "acme")
	_, second := issueToken(t, "globex")
	for _, record := range []broker.TokenRecord{first, second} {
		err := broker.UpdateTokens(t.Context(), path, func(all []broker.TokenRecord) ([]broker.TokenRecord, error) { return append(all, record), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the registry has the mode %s", info.Mode())
	}
	seen := func() (all []broker.TokenRecord) {
		err := broker.UpdateTokens(t.Context(), path, func(records []broker.TokenRecord) ([]broker.TokenRecord, error) {
			all = records
			return nil, errors.New("do not write")
		})
		if err == nil || err.Error() != "do not write" {
			t.Errorf("got %v", err)
		}
		return all
	}
	if diff := cmp.Diff([]broker.TokenRecord{first, second}, seen()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	err = broker.UpdateTokens(t.Context(), path, func(all []broker.TokenRecord) ([]broker.TokenRecord, error) { all[0].Purposes = nil; return all, nil })
	if broker.CodeOf(err) != broker.CodeInvalidRequest || len(seen()[0].Purposes) != 1 {
		t.Errorf("a wrong record was written: %v", err)
	}
	if _, err := broker.OpenTokens(path); err != nil {
		t.Error(err)
	}
}

// Several operators issue tokens at once; none may be lost.
func TestUpdateTokensAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	var wait sync.WaitGroup
	for i := range 8 {
		_, record := issueToken(t, fmt.Sprint("customer ", i))
		wait.Go(func() {
			err := broker.UpdateTokens(t.Context(), path, func(all []broker.TokenRecord) ([]broker.TokenRecord, error) { return append(all, record), nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	count := 0
	err := broker.UpdateTokens(t.Context(), path, func(all []broker.TokenRecord) ([]broker.TokenRecord, error) { count = len(all); return all, nil })
	if err != nil || count != 8 {
		t.Errorf("%d tokens, %v; want 8", count, err)
	}
}

func TestTokenFilesRefused(t *testing.T) {
	_, record := issueToken(t, "acme")
	encoded, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	good := `{"version": 1, "tokens": [` + string(encoded) + `]}`
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		says          string // "" if it is accepted
	}{
		{"good", good, 0o600, ""},
		{"others may read hashes", good, 0o644, ""},
		{"the group may write", good, 0o620, "only its owner can write"},
		{"others may write", good, 0o602, "only its owner can write"},
		{"empty", "", 0o600, "not the JSON"},
		{"an unknown field", strings.Replace(good, `"name"`, `"revokd": true, "name"`, 1), 0o600, "not the JSON"},
		{"something after", good + `{}`, 0o600, "after its end"},
		{"a newer version", strings.Replace(good, `1`, `2`, 1), 0o600, "version 2"},
		{"a wrong record", strings.Replace(good, `["acme"]`, `[]`, 1), 0o600, "customers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokens.json")
			if err := errors.Join(os.WriteFile(path, []byte(test.content), 0o600), os.Chmod(path, test.mode)); err != nil {
				t.Fatal(err)
			}
			_, err := broker.OpenTokens(path)
			if test.says == "" && err == nil {
				return
			}
			if broker.CodeOf(err) != broker.CodeInvalidRequest || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
	if _, err := broker.OpenTokens(filepath.Join(t.TempDir(), "none")); broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("no file: got %v", err)
	}
	tokens, err := broker.NewTokens()
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Reload(); broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("reload without a file: got %v", err)
	}
}

func TestTokensWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	set := func(records ...broker.TokenRecord) {
		t.Helper()
		if err := broker.UpdateTokens(t.Context(), path, func([]broker.TokenRecord) ([]broker.TokenRecord, error) { return records, nil }); err != nil {
			t.Fatal(err)
		}
	}
	token, record := issueToken(t, "acme")
	set(record)
	tokens, err := broker.OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var troubles []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			tokens.Watch(ctx, time.Second, func(err error) { troubles = append(troubles, err.Error()) })
		}()
		pass := func() { time.Sleep(time.Second); synctest.Wait() }
		status := func(want int) {
			t.Helper()
			if got := e.get(token, "/credentials/acme"); got.Code != want {
				t.Errorf("got %d, want %d", got.Code, want)
			}
		}
		status(http.StatusOK)
		if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		pass()
		pass()
		status(http.StatusOK)
		if len(troubles) != 1 || !strings.Contains(troubles[0], "not the JSON") {
			t.Errorf("trouble was reported as %q, want once", troubles)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		record.Revoked = true
		set(record)
		pass()
		status(http.StatusUnauthorized)
		record.Revoked = false
		set(record)
		pass()
		status(http.StatusOK)
		valid := record.ExpiresAt
		record.ExpiresAt = noon.Add(-time.Hour) // the file has as many bytes as before
		set(record)
		pass()
		status(http.StatusUnauthorized)
		record.ExpiresAt = valid
		set(record)
		pass()
		status(http.StatusOK)
		if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		pass()
		pass()
		if len(troubles) != 2 || troubles[1] != troubles[0] {
			t.Errorf("trouble that came back was reported as %q, want once more", troubles)
		}
		cancel()
		<-done
	})
}

func TestRecordsAreThoseOfTheFile(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "tokens.json")
	for i, name := range []string{"first", "second"} {
		_, record, err := broker.IssueToken(nil, now.Add(time.Duration(i)*time.Minute), name,
			broker.TokenRecord{Customers: []string{"acme"}, Purposes: []string{"b", "a"}, ExpiresAt: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		// The later ones are written first.
		if err := broker.UpdateTokens(t.Context(), path, func(records []broker.TokenRecord) ([]broker.TokenRecord, error) {
			return append([]broker.TokenRecord{record}, records...), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	tokens, err := broker.OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	records := tokens.Records()
	if len(records) != 2 || records[0].Name != "first" || records[1].Name != "second" {
		t.Fatalf("%+v", records)
	}
	records[0].Customers[0] = "globex"
	if again := tokens.Records(); again[0].Customers[0] != "acme" {
		t.Error("the records can be changed from outside")
	}
}
