package broker_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/broker"
)

func newKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func newSealer(t testing.TB, keys ...[]byte) *broker.AESSealer {
	t.Helper()
	sealer, err := broker.NewAESSealer(nil, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func TestAESSealer(t *testing.T) {
	sealer := newSealer(t, newKey(1))
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		bound := rapid.SliceOf(rapid.Byte()).Draw(r, "bound")
		sealed, err := sealer.Seal(t.Context(), plain, bound)
		if err != nil {
			r.Fatal(err)
		}
		if len(plain) > 4 && bytes.Contains(sealed, plain) {
			r.Error("what was sealed shows")
		}
		got, err := sealer.Open(t.Context(), sealed, bound)
		if err != nil || !bytes.Equal(got, plain) {
			r.Errorf("got %q %v, want %q", got, err, plain)
		}
	})
}

func TestAESSealerOpensOnlyWhatItSealed(t *testing.T) {
	mine := newSealer(t, newKey(1))
	same := func(sealed []byte) []byte { return sealed }
	flip := func(i int) func([]byte) []byte {
		return func(sealed []byte) []byte { sealed[(i+len(sealed))%len(sealed)] ^= 1; return sealed }
	}
	cut := func(n int) func([]byte) []byte {
		return func(sealed []byte) []byte { return sealed[:(n+len(sealed))%len(sealed)] }
	}
	for _, test := range []struct {
		name   string
		sealer *broker.AESSealer
		change func([]byte) []byte
		bound  string
		want   bool
	}{
		{"unchanged", mine, same, "place", true},
		{"another place", mine, same, "other", false},
		{"no place", mine, same, "", false},
		{"version", mine, flip(0), "place", false},
		{"id of the key", mine, flip(1), "place", false},
		{"salt", mine, flip(9), "place", false},
		{"nonce", mine, flip(21), "place", false},
		{"content", mine, flip(33), "place", false},
		{"tag", mine, flip(-1), "place", false},
		{"cut off", mine, cut(-1), "place", false},
		{"header alone", mine, cut(33), "place", false},
		{"half a header", mine, cut(20), "place", false},
		{"empty", mine, cut(0), "place", false},
		{"another key", newSealer(t, newKey(2)), same, "place", false},
		{"a new key", newSealer(t, newKey(2), newKey(1)), same, "place", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			sealed, err := mine.Seal(t.Context(), []byte("a session"), []byte("place"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := test.sealer.Open(t.Context(), test.change(sealed), []byte(test.bound))
			if (err == nil) != test.want {
				t.Fatalf("got %v, want it to open: %t", err, test.want)
			}
			if err != nil && got != nil {
				t.Error("something came with the error")
			}
		})
	}
}

func TestNewAESSealerRefuses(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "short": {make([]byte, 16)}, "a short old one": {newKey(1), nil}} {
		if _, err := broker.NewAESSealer(nil, keys...); broker.CodeOf(err) != broker.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
	sealer, err := broker.NewAESSealer(strings.NewReader("too little"), newKey(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(t.Context(), nil, nil); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("without randomness: got %v", err)
	}
}

// Equal sessions must not look equal, and no salt and nonce may be used twice.
func TestAESSealerIsRandom(t *testing.T) {
	sealer := newSealer(t, newKey(1))
	seen := map[string]bool{}
	for range 100 {
		sealed, err := sealer.Seal(t.Context(), []byte("same"), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(sealed[9:21])] = true
		seen[string(sealed[21:33])] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d salts and nonces, want 200", len(seen))
	}
}

// The layout is on disks, so it must stay.
func TestAESSealerKeepsItsFormat(t *testing.T) {
	random := bytes.Repeat([]byte("salt and "), 100)
	sealer, err := broker.NewAESSealer(bytes.NewReader(random), newKey(7))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealer.Seal(t.Context(), []byte("a session"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "01f8c676dac03a53e373616c7420616e642073616c7420616e642073616c742061df38c43518b5e1b4781de2bd6fc032e9b1bf9a51afe16a6a59"
	if diff := cmp.Diff(want, hex.EncodeToString(sealed)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkAESSealer(b *testing.B) {
	sealer := newSealer(b, newKey(1))
	plain := bytes.Repeat([]byte("x"), 900)
	sealed, err := sealer.Seal(b.Context(), plain, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := sealer.Seal(b.Context(), plain, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := sealer.Open(b.Context(), sealed, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
