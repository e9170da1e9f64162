package crossaccount_test

import (
	"crypto/rand"
	"path/filepath"
	"slices"
	"testing"

	"github.com/crossaccount/crossaccount"
)

// A new key opens before it seals, so that processes can learn it one by one.
func TestPassiveKeys(t *testing.T) {
	keys, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := keys.KeyIDs()[0]
	next, err := keys.Add(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys.KeyIDs(), []string{old, next}) {
		t.Errorf("the keys are %v", keys.KeyIDs())
	}
	before := newEncryptor(t, keys) // a process that was restarted after Add
	binding := crossaccount.Binding{CustomerID: "one", Field: "test"}
	sealed, err := before.Seal(t.Context(), []byte("secret"), binding)
	if err != nil || crossaccount.KeyOf(sealed) != old {
		t.Errorf("sealed with %s, %v", crossaccount.KeyOf(sealed), err)
	}
	if err := keys.Activate(next); err != nil {
		t.Fatal(err)
	}
	after := newEncryptor(t, keys) // one that was restarted after Activate
	resealed, err := after.Seal(t.Context(), []byte("secret"), binding)
	if err != nil || crossaccount.KeyOf(resealed) != next {
		t.Errorf("sealed with %s, %v", crossaccount.KeyOf(resealed), err)
	}
	for _, encryptor := range []*crossaccount.AESEncryptor{before, after} {
		for _, value := range [][]byte{sealed, resealed} {
			if plain, err := encryptor.Open(t.Context(), value, binding); err != nil || string(plain) != "secret" {
				t.Errorf("opening: %q, %v", plain, err)
			}
		}
	}
	wantCode(t, keys.Remove(next), crossaccount.CodeInvalidRequest)
	wantCode(t, keys.Remove("unknown"), crossaccount.CodeInvalidRequest)
	wantCode(t, keys.Activate("unknown"), crossaccount.CodeInvalidRequest)
	if err := keys.Remove(old); err != nil || !slices.Equal(keys.KeyIDs(), []string{next}) {
		t.Errorf("%v, %v", keys.KeyIDs(), err)
	}
	for _, short := range []string{"", "\x01", "\x01\xff", "\x02\x01a"} {
		if id := crossaccount.KeyOf([]byte(short)); id != "" {
			t.Errorf("%q was sealed with %q", short, id)
		}
	}
}

// During makes something happen while random bytes are read.
type during func()

func (d during) Read(p []byte) (int, error) {
	d()
	return rand.Read(p)
}

// Of two processes that start at the same time, the second uses the keys that
// the first has made, although it had found none.
func TestKeysAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	var first *crossaccount.KeySet
	second, err := crossaccount.OpenKeyFile(path, during(func() {
		var err error
		if first != nil {
			return
		}
		if first, err = crossaccount.OpenKeyFile(path, nil); err != nil {
			t.Fatal(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := crossaccount.ReadKeyFile(path)
	if err != nil || kept.String() != first.String() || second.String() != first.String() {
		t.Errorf("the first has %v, the second %v, the file %v, %v", first, second, kept, err)
	}
}
