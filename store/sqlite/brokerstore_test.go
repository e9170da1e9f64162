package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"time"

	brokers "github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
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

// Ten processes with a thousand callers each need one call of STS for a session
// that none of them has.
func TestBrokersShareADatabase(t *testing.T) {
	box := sandboxtest.New(t, vendorID, "222222222222")
	own := box.Account(vendorID).User("sharer", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	role := box.Account("222222222222").Role("shared", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+vendorID+`"},"Action":"sts:AssumeRole"}}`, nil)
	path := filepath.Join(t.TempDir(), "crossaccount.db")
	sealer, err := brokers.NewAESSealer(nil, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var started []*brokers.Broker
	for range 10 {
		b, err := brokers.New(brokers.Config{AWSConfig: own, BaseIdentity: "vendor", SharedStore: reopen(t, path).Sessions(nil), Sealer: sealer})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		started = append(started, b)
		for range 1000 {
			all.Go(func() {
				h, err := b.For(brokers.Request{Customer: "acme", Chain: []brokers.Role{{ARN: role, SessionName: "sharing"}}})
				if err == nil {
					_, err = h.Retrieve(context.Background())
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	calls := 0
	for _, call := range box.Calls() {
		if call.Operation == "AssumeRole" {
			calls++
		}
	}
	// A broker that the database keeps waiting for too long goes on without it.
	var alone int
	for _, b := range started {
		alone += int(b.Stats().StoreErrors)
	}
	if calls < 1 || calls > 1+alone {
		t.Errorf("%d calls of AssumeRole, want 1; the database did not answer %d times", calls, alone)
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
