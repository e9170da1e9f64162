package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func newKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func newSealer(t testing.TB, keys ...[]byte) *AESSealer {
	t.Helper()
	sealer, err := NewAESSealer(nil, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

var sealedAt = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func aSession() storedSession {
	return storedSession{
		Credentials: aws.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "a secret", SessionToken: strings.Repeat("token", 160),
			AccountID: "222222222222", CanExpire: true, Expires: sealedAt.Add(time.Hour),
		},
		IssuedAt: sealedAt,
	}
}

func TestSealedSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		session := storedSession{
			Credentials: aws.Credentials{
				AccessKeyID: "A" + text.Draw(t, "id"), SecretAccessKey: "s" + text.Draw(t, "secret"),
				SessionToken: text.Draw(t, "token"), AccountID: text.Draw(t, "account"),
				CanExpire: true, Expires: sealedAt.Add(time.Duration(rapid.IntRange(1, 43200).Draw(t, "seconds")) * time.Second),
			},
			IssuedAt: sealedAt.Add(time.Duration(rapid.Int32().Draw(t, "issued"))),
		}
		sealer, err := NewAESSealer(nil, newKey(1))
		if err != nil {
			t.Fatal(err)
		}
		entry, err := sealSession(context.Background(), sealer, Key{7}, session)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(entry.Data, []byte(session.Credentials.SecretAccessKey)) && len(session.Credentials.SecretAccessKey) > 4 {
			t.Error("the sealed entry shows the secret")
		}
		got, err := openSession(context.Background(), sealer, Key{7}, entry, sealedAt)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(session, got); diff != "" {
			t.Errorf("(-sealed +opened):\n%s", diff)
		}
	})
}

// Whoever can write to the store can do nothing but make us ask STS.
func TestSealedSessionsOpenOnlyInTheirPlace(t *testing.T) {
	mine := newSealer(t, newKey(1))
	for _, test := range []struct {
		name   string
		sealer Sealer
		key    Key
		change func(entry *Sealed)
		now    time.Time
		want   bool
	}{
		{"unchanged", mine, Key{7}, func(*Sealed) {}, sealedAt, true},
		{"another key's", mine, Key{8}, func(*Sealed) {}, sealedAt, false},
		{"a later expiry", mine, Key{7}, func(e *Sealed) { e.Expires = e.Expires.Add(time.Second) }, sealedAt, false},
		{"an earlier expiry", mine, Key{7}, func(e *Sealed) { e.Expires = e.Expires.Add(-time.Second) }, sealedAt, false},
		{"expired", mine, Key{7}, func(*Sealed) {}, sealedAt.Add(time.Hour), false},
		{"first byte", mine, Key{7}, func(e *Sealed) { e.Data[0]++ }, sealedAt, false},
		{"id of the key", mine, Key{7}, func(e *Sealed) { e.Data[1]++ }, sealedAt, false},
		{"salt", mine, Key{7}, func(e *Sealed) { e.Data[9]++ }, sealedAt, false},
		{"nonce", mine, Key{7}, func(e *Sealed) { e.Data[sealingHeader-1]++ }, sealedAt, false},
		{"content", mine, Key{7}, func(e *Sealed) { e.Data[sealingHeader]++ }, sealedAt, false},
		{"last byte", mine, Key{7}, func(e *Sealed) { e.Data[len(e.Data)-1]++ }, sealedAt, false},
		{"cut off", mine, Key{7}, func(e *Sealed) { e.Data = e.Data[:len(e.Data)-1] }, sealedAt, false},
		{"header alone", mine, Key{7}, func(e *Sealed) { e.Data = e.Data[:sealingHeader] }, sealedAt, false},
		{"empty", mine, Key{7}, func(e *Sealed) { e.Data = nil }, sealedAt, false},
		{"another sealer", newSealer(t, newKey(2)), Key{7}, func(*Sealed) {}, sealedAt, false},
		{"a sealer with a new key", newSealer(t, newKey(2), newKey(1)), Key{7}, func(*Sealed) {}, sealedAt, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			entry, err := sealSession(t.Context(), mine, Key{7}, aSession())
			if err != nil {
				t.Fatal(err)
			}
			test.change(&entry)
			got, err := openSession(t.Context(), test.sealer, test.key, entry, test.now)
			if (err == nil) != test.want {
				t.Fatalf("got %v, want it to open: %t", err, test.want)
			}
			if err != nil && got != (storedSession{}) {
				t.Error("something came with the error")
			}
		})
	}
}

// A sealer of another kind may return anything.
type forged []byte

func (f forged) Seal(context.Context, []byte, []byte) ([]byte, error) { return nil, nil }
func (f forged) Open(context.Context, []byte, []byte) ([]byte, error) { return f, nil }

func TestSealedSessionsOfAnotherForm(t *testing.T) {
	for name, plaintext := range map[string]string{
		"empty":              "",
		"time alone":         "12345678",
		"one field":          "12345678\x01A",
		"a length too large": "12345678\x01A\x01s\x01t\x09a",
		"no end of a length": "12345678\x01A\x01s\x01t\xff",
		"a huge length":      "12345678\x01A\x01s\x01t\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"more behind":        "12345678\x01A\x01s\x01t\x01a.",
		"no keys":            "12345678\x00\x00\x00\x00",
	} {
		if _, err := openSession(t.Context(), forged(plaintext), Key{}, Sealed{Expires: sealedAt.Add(1)}, sealedAt); !errors.Is(err, errMalformedSession) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNewAESSealerRefuses(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "short": {make([]byte, 16)}, "a short old one": {newKey(1), nil}} {
		if _, err := NewAESSealer(nil, keys...); CodeOf(err) != CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
	sealer, err := NewAESSealer(strings.NewReader("too little"), newKey(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(t.Context(), nil, nil); CodeOf(err) != CodeUnavailable {
		t.Errorf("without randomness: got %v", err)
	}
}

// Equal sessions must not look equal.
func TestAESSealerIsRandom(t *testing.T) {
	sealer := newSealer(t, newKey(1))
	seen := map[string]bool{}
	for range 100 {
		sealed, err := sealer.Seal(t.Context(), []byte("same"), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(sealed[9:sealingHeader])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d salts and nonces, want 100", len(seen))
	}
}

func FuzzOpenSession(f *testing.F) {
	sealer := newSealer(f, newKey(1))
	entry, err := sealSession(context.Background(), sealer, Key{7}, aSession())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(entry.Data, []byte("12345678\x01A\x01s\x01t\x01a"))
	f.Fuzz(func(t *testing.T, data, plaintext []byte) {
		if _, err := openSession(t.Context(), sealer, Key{7}, Sealed{entry.Expires, data}, sealedAt); err == nil && !bytes.Equal(data, entry.Data) {
			t.Error("a forged entry opens")
		}
		session, err := openSession(t.Context(), forged(plaintext), Key{7}, entry, sealedAt)
		if err == nil && !session.Credentials.HasKeys() {
			t.Error("a session without keys")
		}
	})
}

func BenchmarkSealSession(b *testing.B) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		b.Fatal(err)
	}
	sealer := newSealer(b, key)
	session := aSession()
	for b.Loop() {
		if _, err := sealSession(b.Context(), sealer, Key{7}, session); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSession(b *testing.B) {
	sealer := newSealer(b, newKey(1))
	entry, err := sealSession(b.Context(), sealer, Key{7}, aSession())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := openSession(b.Context(), sealer, Key{7}, entry, sealedAt); err != nil {
			b.Fatal(err)
		}
	}
}
