package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

func record(customer, id string) *crossaccount.Integration {
	return &crossaccount.Integration{CustomerID: customer, ID: id, State: crossaccount.StatePending, ExternalIDIndex: []byte(customer + id)}
}

func TestOnlyTheOwnerCanReadTheFiles(t *testing.T) {
	store, path := open(t)
	if err := store.Create(t.Context(), record("acme", "int-1"), crossaccount.Change{}); err != nil {
		t.Fatal(err)
	}
	backup := path + ".backup"
	if err := store.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", backup} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// A database that others could use is not used until that was mended, nor one
// whose log they could use.
func TestFilesThatOthersCanUseAreRefused(t *testing.T) {
	for _, suffix := range []string{"", "-wal"} {
		for _, mode := range []os.FileMode{0o644, 0o640, 0o660, 0o602} {
			store, path := open(t)
			if err := store.Create(t.Context(), record("acme", "int-1"), crossaccount.Change{}); err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(t.TempDir(), "copied.db") // as after a crash, with a log
			for _, s := range []string{"", "-wal"} {
				copyFile(t, path+s, copied+s)
			}
			if err := os.Chmod(copied+suffix, mode); err != nil {
				t.Fatal(err)
			}
			_, err := sqlite.Open(t.Context(), copied, sqlite.Options{})
			wantCode(t, "mode "+mode.String(), err, crossaccount.CodeInvalidConfig)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s has mode %04o", copied+suffix, mode)) || !strings.Contains(err.Error(), "chmod 0600 "+copied+suffix) {
				t.Errorf("mode %04o: %v", mode, err)
			}
			if err := os.Chmod(copied+suffix, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := reopen(t, copied).Get(t.Context(), "acme", "int-1"); err != nil {
				t.Errorf("after mending: %v", err)
			}
		}
	}
}

func TestWritesSurviveClosing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?#% name.db")
	store := reopen(t, path)
	want := record("acme", "int-1")
	if err := store.Create(t.Context(), want, crossaccount.Change{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("closing did not merge the log: %v", err)
	}
	again := reopen(t, path)
	got, err := again.Get(t.Context(), "acme", "int-1")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("after opening again (%v, -want +got):\n%s", err, diff)
	}
	if err := store.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	for what, call := range map[string]func() error{
		"create": func() error { return store.Create(t.Context(), record("acme", "int-2"), crossaccount.Change{}) },
		"backup": func() error { return store.Backup(t.Context(), path+".backup") },
		"get":    func() error { _, err := store.Get(t.Context(), "acme", "int-1"); return err },
		"list": func() error {
			_, err := store.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
			return err
		},
	} {
		wantCode(t, what+" after closing", call(), crossaccount.CodeStorage)
	}
}

func TestOpenRefusesAndTouchesNothing(t *testing.T) {
	store, ours := open(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	newer := filepath.Join(folder, "newer.db")
	copyFile(t, ours, newer)
	if _, err := raw(t, newer).ExecContext(t.Context(), "INSERT INTO schema_versions (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(folder, "foreign.db")
	if _, err := raw(t, foreign).ExecContext(t.Context(), "CREATE TABLE notes (text TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		newer:                                    "written by a newer version of this program: its tables have version 99, this program knows 3",
		foreign:                                  "database of another program",
		text:                                     "not a SQLite database",
		folder:                                   "the database file cannot be read",
		filepath.Join(folder, "missing", "x.db"): "cannot be created",
		"":                                       "must name a file",
		":memory:":                               "NewMemoryStorage",
	} {
		before, _ := os.ReadFile(path)
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		wantCode(t, path, err, crossaccount.CodeInvalidConfig)
		if err == nil {
			store.Close()
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q does not say %q", path, err, says)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", path)
		}
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(folder, "negative.db"), sqlite.Options{Readers: -1})
	wantCode(t, "a negative option", err, crossaccount.CodeInvalidConfig)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Two programs that start at the same moment with no database share one.
func TestOpenAtTheSameTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	stores := make([]*sqlite.Store, 4)
	var opening sync.WaitGroup
	for n := range stores {
		opening.Go(func() {
			store, err := sqlite.Open(context.WithoutCancel(t.Context()), path, sqlite.Options{})
			if err != nil {
				t.Error(err, err.(*crossaccount.Error).Cause()) //nolint:errorlint // Open returns it as it is
				return
			}
			stores[n] = store
		})
	}
	opening.Wait()
	for n, store := range stores {
		if store == nil {
			continue
		}
		defer store.Close()
		if err := store.Create(t.Context(), record("acme", fmt.Sprint("int-", n)), crossaccount.Change{}); err != nil {
			t.Error(err)
		}
		page, err := stores[0].List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
		if err != nil || len(page.Integrations) != n+1 {
			t.Errorf("one store does not see what another wrote: %v, %v", page, err)
		}
	}
	clash := record("globex", "int-1")
	clash.ExternalIDIndex = []byte("acmeint-0")
	wantCode(t, "an external ID that another process used", stores[1].Create(t.Context(), clash, crossaccount.Change{}), crossaccount.CodeConflict)
}

func TestBackup(t *testing.T) {
	store, path := open(t)
	for n := range 20 {
		if err := store.Create(t.Context(), record("acme", fmt.Sprint("int-", n)), crossaccount.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(t.TempDir(), "it's a backup.db")
	if err := store.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), record("acme", "later"), crossaccount.Change{}); err != nil {
		t.Fatal(err)
	}
	restored := reopen(t, backup)
	page, err := restored.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
	if err != nil || len(page.Integrations) != 20 {
		t.Errorf("the backup has %d integrations, want 20 (%v)", len(page.Integrations), err)
	}
	thief := record("evil", "int-1")
	thief.ExternalIDIndex = []byte("acmeint-3")
	wantCode(t, "an external ID that the backup knows", restored.Create(t.Context(), thief, crossaccount.Change{}), crossaccount.CodeConflict)

	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a backup over the database itself", store.Backup(t.Context(), path), crossaccount.CodeInvalidConfig)
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the database was overwritten by its backup")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	unfinished := filepath.Join(t.TempDir(), "unfinished.db")
	wantCode(t, "a backup after the end", store.Backup(ended, unfinished), crossaccount.CodeCancelled)
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed backup left a file: %v", err)
	}
}

// The file refuses by itself what the law forbids, whoever asks for it.
func TestTheFileKeepsTheLaw(t *testing.T) {
	store, path := open(t)
	if err := store.Create(t.Context(), record("acme", "int-1"), crossaccount.Change{
		Audit: []crossaccount.AuditRecord{{ID: "aud-1", CustomerID: "acme"}},
	}); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	for _, statement := range []string{
		"DELETE FROM integrations", "DELETE FROM external_ids", "UPDATE external_ids SET customer_id = 'evil'",
		"DELETE FROM audit", "UPDATE audit SET outcome = 'ok'",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s: was allowed", statement)
		}
	}
}

// A write whose caller is gone is cancelled or whole, and the store goes on.
func TestCancelledWrites(t *testing.T) {
	store, path := open(t)
	var writers sync.WaitGroup
	for n := range 40 {
		writers.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			i := record("acme", fmt.Sprint("int-", n))
			err := store.Create(ctx, i, crossaccount.Change{
				Audit:  []crossaccount.AuditRecord{{ID: "aud-" + i.ID, CustomerID: "acme", IntegrationID: i.ID}},
				Events: []crossaccount.Event{{ID: "evt-" + i.ID, CustomerID: "acme", IntegrationID: i.ID}},
			})
			if err != nil {
				wantCode(t, "a cancelled write", err, crossaccount.CodeCancelled)
			} else if i.Version != 1 {
				t.Errorf("version %d after a write", i.Version)
			}
			// The record is the caller's again: the store must not look at it any
			// more, which the race detector would see.
			i.CustomerName = "changed"
			i.ExternalIDIndex[0] ^= 1
		})
	}
	writers.Wait()
	if err := store.Create(t.Context(), record("globex", "int-1"), crossaccount.Change{
		Audit:  []crossaccount.AuditRecord{{ID: "aud-last", CustomerID: "globex", IntegrationID: "int-1"}},
		Events: []crossaccount.Event{{ID: "evt-last", CustomerID: "globex", IntegrationID: "int-1"}},
	}); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, raw(t, path))
}

// While somebody else writes for too long, a write fails in good time and says
// what is wrong.
func TestLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locked.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	other, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	i := record("acme", "int-1")
	err = store.Create(t.Context(), i, crossaccount.Change{})
	wantCode(t, "a write while the database is locked", err, crossaccount.CodeStorage)
	if err == nil || !strings.Contains(err.Error(), "another process keeps the database locked") {
		t.Errorf("it says %v", err)
	}
	if _, err := store.List(t.Context(), crossaccount.IntegrationQuery{AllCustomers: true}); err != nil {
		t.Errorf("reading while the database is locked: %v", err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), i, crossaccount.Change{}); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}
