package server_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// A database with integrations is served with the keys that open it only. Where
// they are lost, no others are made in their place.
func TestKeysMustFitTheDatabase(t *testing.T) {
	testenv.IsolateAWS(t)
	t.Chdir(t.TempDir())
	config, err := read(t, `{`+service+`}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := func() error {
		s, err := server.New(t.Context(), config, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return s.Close()
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	keys, err := crossaccount.ReadKeyFile(config.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string, sealed []byte) {
		t.Helper()
		store, err := sqlite.Open(t.Context(), config.Database, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		record := &crossaccount.Integration{CustomerID: "acme", ID: id, State: crossaccount.StatePending, SealedExternalID: sealed, ExternalIDIndex: []byte(id)}
		if err := errors.Join(store.Create(t.Context(), record, crossaccount.Change{}), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := encryptor.Seal(t.Context(), []byte("acme-0123456789"), crossaccount.Binding{CustomerID: "acme", IntegrationID: "int-1", Field: "external_id"})
	if err != nil {
		t.Fatal(err)
	}
	add("int-1", sealed)
	if err := start(); err != nil {
		t.Errorf("with the right keys: %v", err)
	}

	if err := os.Remove(config.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := start(); crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), "restore the key file") {
		t.Errorf("without keys: %v", err)
	}
	if _, err := os.Stat(config.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("keys were made in the place of those that are lost: %v", err)
	}

	others, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := crossaccount.WriteKeyFile(config.KeyFile, others); err != nil {
		t.Fatal(err)
	}
	if err := start(); crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), "they do not open") {
		t.Errorf("with other keys: %v", err)
	}

	// One record that was altered does not keep the others from being served.
	if err := crossaccount.WriteKeyFile(config.KeyFile, keys); err != nil {
		t.Fatal(err)
	}
	add("int-2", []byte("altered"))
	if err := start(); err != nil {
		t.Errorf("with one altered record: %v", err)
	}
}
