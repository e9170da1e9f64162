package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/sqlite"
	"github.com/crossaccount/crossaccount/store/storetest"
)

// open opens a new database in a folder of the test.
func open(t testing.TB) (*sqlite.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	return reopen(t, path), path
}

func reopen(t testing.TB, path string) *sqlite.Store {
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
	return store
}

func TestStoreKeepsTheLaw(t *testing.T) {
	storetest.Run(t, func(t *testing.T) crossaccount.CredentialStorage {
		store, _ := open(t)
		return store
	})
}
