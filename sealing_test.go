package crossaccount_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount"
)

func newKeys(t *testing.T) *crossaccount.KeySet {
	t.Helper()
	keys, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newEncryptor(t *testing.T, keys *crossaccount.KeySet) *crossaccount.AESEncryptor {
	t.Helper()
	e, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var home = crossaccount.Binding{CustomerID: "acme", IntegrationID: "int-1", Field: "external_id"}

func TestFault16_SealedValuesOpenOnlyWhereTheyBelong(t *testing.T) {
	keys := newKeys(t)
	e, ctx := newEncryptor(t, keys), t.Context()
	secret := []byte("acme-0123456789abcdef")
	sealed, err := e.Seal(ctx, secret, home)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := e.Seal(ctx, secret, home); bytes.Equal(again, sealed) {
		t.Error("the same value sealed twice is the same")
	}
	if bytes.Contains(sealed, secret[5:12]) {
		t.Error("the sealed value shows the secret")
	}
	if opened, err := e.Open(ctx, sealed, home); err != nil || !bytes.Equal(opened, secret) {
		t.Errorf("opened %q, %v", opened, err)
	}
	for name, b := range map[string]crossaccount.Binding{
		"another customer":    {CustomerID: "globex", IntegrationID: "int-1", Field: "external_id"},
		"another integration": {CustomerID: "acme", IntegrationID: "int-2", Field: "external_id"},
		"another field":       {CustomerID: "acme", IntegrationID: "int-1", Field: "token"},
		"moved boundary":      {CustomerID: "acmei", IntegrationID: "nt-1", Field: "external_id"},
		"nothing":             {},
	} {
		opened, err := e.Open(ctx, sealed, b)
		wantCode(t, err, crossaccount.CodeDecrypt)
		if opened != nil || err == nil || !strings.Contains(err.Error(), "does not belong to this record") {
			t.Errorf("%s: opened %q, %v", name, opened, err)
		}
	}
	for n := range sealed {
		altered := bytes.Clone(sealed)
		altered[n] ^= 1
		if _, err := e.Open(ctx, altered, home); crossaccount.CodeOf(err) != crossaccount.CodeDecrypt {
			t.Errorf("with byte %d altered: %v", n, err)
		}
		if _, err := e.Open(ctx, sealed[:n], home); crossaccount.CodeOf(err) != crossaccount.CodeDecrypt {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
	other := newKeys(t)
	_, err = newEncryptor(t, other).Open(ctx, sealed, home)
	if crossaccount.CodeOf(err) != crossaccount.CodeDecrypt || !strings.Contains(err.Error(), "key that is not configured") {
		t.Errorf("with another key: %v", err)
	}

	// The same key in another installation.
	exported, err := keys.Export()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := crossaccount.ParseKeySet(exported)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Installation = "elsewhere"
	_, err = newEncryptor(t, elsewhere).Open(ctx, sealed, home)
	wantCode(t, err, crossaccount.CodeDecrypt)
}

func TestFault16_KeysRotate(t *testing.T) {
	keys, ctx := newKeys(t), t.Context()
	old := newEncryptor(t, keys)
	sealed, err := old.Seal(ctx, []byte("secret"), home)
	if err != nil {
		t.Fatal(err)
	}
	before := keys.KeyIDs()
	if err := keys.Rotate(nil); err != nil {
		t.Fatal(err)
	}
	if ids := keys.KeyIDs(); len(ids) != 2 || ids[0] == before[0] || ids[1] != before[0] {
		t.Errorf("key ids went from %v to %v", before, ids)
	}
	rotated := newEncryptor(t, keys)
	if opened, err := rotated.Open(ctx, sealed, home); err != nil || string(opened) != "secret" {
		t.Errorf("an old value after rotation: %q, %v", opened, err)
	}
	fresh, err := rotated.Seal(ctx, []byte("secret"), home)
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.Open(ctx, fresh, home)
	wantCode(t, err, crossaccount.CodeDecrypt)
	first, _ := old.BlindIndex(ctx, "external_id", []byte("value"))
	second, _ := rotated.BlindIndex(ctx, "external_id", []byte("value"))
	if !bytes.Equal(first, second) {
		t.Error("the blind index changed with the key, so uniqueness is lost")
	}
	for what, args := range map[string][2]string{"value": {"external_id", "other"}, "purpose": {"token", "value"}, "boundary": {"external_idv", "alue"}} {
		if other, _ := rotated.BlindIndex(ctx, args[0], []byte(args[1])); bytes.Equal(first, other) {
			t.Errorf("the blind index does not depend on the %s", what)
		}
	}
	if other, _ := newEncryptor(t, newKeys(t)).BlindIndex(ctx, "external_id", []byte("value")); bytes.Equal(first, other) {
		t.Error("the blind index does not depend on the key")
	}
}

func TestSealingRoundTrip(t *testing.T) {
	e := newEncryptor(t, newKeys(t))
	rapid.Check(t, func(t *rapid.T) {
		b := crossaccount.Binding{CustomerID: rapid.String().Draw(t, "customer"), IntegrationID: rapid.String().Draw(t, "integration"), Field: rapid.String().Draw(t, "field")}
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := e.Seal(t.Context(), plain, b)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := e.Open(t.Context(), sealed, b); err != nil || !bytes.Equal(opened, plain) {
			t.Fatalf("opened %q, %v", opened, err)
		}
		other := b
		other.CustomerID += rapid.StringN(1, 3, 9).Draw(t, "more")
		if _, err := e.Open(t.Context(), sealed, other); err == nil {
			t.Fatal("opened for another customer")
		}
	})
}

func FuzzOpenSealed(f *testing.F) {
	keys, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		f.Fatal(err)
	}
	e, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := e.Seal(f.Context(), []byte("secret"), home)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		if opened, err := e.Open(t.Context(), data, home); err == nil && !bytes.Equal(data, sealed) {
			t.Errorf("a made-up value opened as %q", opened)
		}
	})
}

func TestFault16_RecordsSwappedBetweenCustomersAreDetected(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	w.onboard("two", twoID)
	one, two := w.only("one"), w.only("two")
	// Somebody with access to the storage gives customer two the ID of one.
	two.SealedExternalID = one.SealedExternalID
	if err := w.store.Update(t.Context(), two, crossaccount.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err := w.client.AssumeCustomerRole(t.Context(), "two")
	wantCode(t, err, crossaccount.CodeDecrypt)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("the other customer: %v", err)
	}
}

func TestFault16_KeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := crossaccount.ReadKeyFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading a missing file: %v", err)
	}
	made, err := crossaccount.OpenKeyFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v (%v)", info.Mode(), err)
	}
	again, err := crossaccount.OpenKeyFile(path, iotest.ErrReader(errors.New("must not be read")))
	if err != nil || fmt.Sprint(again.KeyIDs()) != fmt.Sprint(made.KeyIDs()) {
		t.Errorf("opening again: %v, %v", again, err)
	}
	if err := again.Rotate(nil); err != nil {
		t.Fatal(err)
	}
	if err := crossaccount.WriteKeyFile(path, again); err != nil {
		t.Fatal(err)
	}
	if read, err := crossaccount.ReadKeyFile(path); err != nil || len(read.KeyIDs()) != 2 {
		t.Errorf("after rotation: %v, %v", read, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err = crossaccount.ReadKeyFile(path)
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), "chmod 0600") {
			t.Errorf("mode %v: %v", mode, err)
		}
		if _, err := crossaccount.OpenKeyFile(path, nil); err == nil {
			t.Errorf("mode %v: opened", mode)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { return string(data), name == "KEYS" }
	if set, err := crossaccount.KeysFromEnvironment(lookup, "KEYS"); err != nil || len(set.KeyIDs()) != 2 {
		t.Errorf("from the environment: %v, %v", set, err)
	}
	_, err = crossaccount.KeysFromEnvironment(lookup, "OTHER")
	wantCode(t, err, crossaccount.CodeInvalidConfig)

	for name, text := range map[string]string{
		"empty":         ``,
		"not JSON":      `sixteen-byte-key`,
		"empty object":  `{}`,
		"no keys":       `{"installation":"a","index_key":"` + strings.Repeat("A", 43) + `=","keys":[]}`,
		"short key":     `{"installation":"a","index_key":"` + strings.Repeat("A", 43) + `=","keys":["c2hvcnQ="]}`,
		"no index key":  `{"installation":"a","keys":["` + strings.Repeat("A", 43) + `="]}`,
		"secret as int": `{"installation":"a","index_key":12345678,"keys":[]}`,
	} {
		_, err := crossaccount.ParseKeySet([]byte(text))
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || strings.Contains(fmt.Sprint(err), "12345678") || strings.Contains(fmt.Sprint(err), "sixteen") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRule5_KeysAreNotPrinted(t *testing.T) {
	keys := newKeys(t)
	exported, err := keys.Export()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		IndexKey string   `json:"index_key"`
		Keys     []string `json:"keys"`
	}
	if err := json.Unmarshal(exported, &file); err != nil || len(file.Keys) != 1 {
		t.Fatal(string(exported), err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "pointer", keys, "value", *keys)
	slog.New(slog.NewTextHandler(&log, nil)).Info("keys", "pointer", keys, "value", *keys)
	encoded, _ := json.Marshal(keys)
	printed := fmt.Sprintf("%v %+v %#v %s %x %v %+v %#v", keys, keys, keys, keys, keys, *keys, *keys, *keys) + log.String() + string(encoded)
	for _, secret := range append(file.Keys, file.IndexKey) {
		if strings.Contains(printed, secret) || strings.Contains(printed, secret[:16]) {
			t.Errorf("a secret was printed: %s", printed)
		}
	}
	if !strings.Contains(printed, keys.KeyIDs()[0]) {
		t.Errorf("the key's id is not shown: %s", printed)
	}
}
