package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

func TestSchemaVersion(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	current, newest, err := sqlite.SchemaVersion(t.Context(), "a.db")
	if err != nil || current != newest || current < 1 {
		t.Errorf("version %d of %d, %v", current, newest, err)
	}
	empty := filepath.Join(folder, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if current, _, err := sqlite.SchemaVersion(t.Context(), empty); err != nil || current != 0 {
		t.Errorf("an empty file: version %d, %v", current, err)
	}
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, []byte("this is no database, although it is long enough to be one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sqlite.SchemaVersion(t.Context(), text); crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig {
		t.Errorf("a text file: %v", err)
	}
	if info, err := os.Stat(empty); err != nil || info.Size() != 0 {
		t.Errorf("the empty file was changed: %v, %v", info, err)
	}
}
