package sqlite_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// The first answer counts until it expires; only then another may be kept.
func TestAnswers(t *testing.T) {
	store, path := open(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	until := now.Add(time.Hour)
	key := []byte("key")
	keep := func(sealed string, now, until time.Time) {
		t.Helper()
		if err := store.KeepAnswer(t.Context(), key, []byte(sealed), now, until); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, now time.Time, want string) {
		t.Helper()
		if got, err := store.Answer(t.Context(), key, now); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", when, got, err, want)
		}
	}
	want("before", now, "")
	keep("first", now, until)
	keep("second", now.Add(time.Minute), until.Add(time.Minute))
	want("kept twice", now.Add(time.Minute), "first")
	want("a moment before the end", until.Add(-time.Microsecond), "first")
	want("at the end", until, "")
	if got, err := store.Answer(t.Context(), []byte("another"), now); got != nil || err != nil {
		t.Errorf("another key: %q, %v", got, err)
	}
	keep("third", until, until.Add(time.Hour))
	want("kept after the end", until, "third")
	if got, err := reopen(t, path).Answer(t.Context(), key, until); err != nil || string(got) != "third" {
		t.Errorf("opened again: %q, %v", got, err)
	}
}

// Forgetting removes all that has expired, in however many steps, and nothing
// else.
func TestForgetAnswers(t *testing.T) {
	store, path := open(t)
	db := raw(t, path)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	transaction, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2500 {
		if _, err := transaction.ExecContext(t.Context(), "INSERT INTO answers (key, until, sealed) VALUES (?, ?, ?)",
			binary.BigEndian.AppendUint32(nil, uint32(n)), now.UnixMicro(), []byte("expired")); err != nil {
			t.Fatal(err)
		}
	}
	if err := transaction.Commit(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := store.KeepAnswer(t.Context(), fmt.Append(nil, "valid ", n), []byte("valid"), now, now.Add(time.Microsecond)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.ForgetAnswers(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if left := number(t, db, "SELECT count(*) FROM answers"); left != 3 {
		t.Errorf("%d answers are left, want the 3 that have not expired", left)
	}
}
