package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	brokers "github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/store/storetest"
)

// Each process opens the database by itself.
func TestSessions(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T, now func() time.Time) func() brokers.SharedStore {
		path := filepath.Join(t.TempDir(), "crossaccount.db")
		return func() brokers.SharedStore { return reopen(t, path).Sessions(now) }
	})
}

// What has expired leaves the database as others come.
func TestSessionsArePruned(t *testing.T) {
	store, path := open(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	sessions := store.Sessions(func() time.Time { return now })
	put := func(name byte) {
		t.Helper()
		if err := sessions.Put(t.Context(), brokers.Key{name}, brokers.Sealed{Expires: now.Add(time.Hour), Data: []byte("sealed")}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(8) {
		put(i)
		if ok, err := sessions.Claim(t.Context(), brokers.Key{100 + i}, "me", time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	now = now.Add(2 * time.Hour)
	put(50)
	put(51)
	for table, want := range map[string]int{"broker_sessions": 2, "broker_claims": 0} {
		if got := count(t, path, table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
}

func count(t *testing.T, path, table string) (rows int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows); err != nil { //nolint:gosec // names of this file
		t.Fatal(err)
	}
	return rows
}
