package broker

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// nobodyThere is an STS that must not be needed.
type nobodyThere struct{}

func (nobodyThere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("STS was called")
}

// BenchmarkRestart starts a service with 100,000 customers from a snapshot:
// "ready" reads it, after which every session is found when it is asked for;
// "warm" then asks for all of them at once, as Prewarm does.
func BenchmarkRestart(b *testing.B) {
	const customers = 100_000
	path := filepath.Join(b.TempDir(), "snapshot")
	sealer, err := NewAESSealer(nil, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		b.Fatal(err)
	}
	start := func(store SharedStore) *Broker {
		b.Helper()
		made, err := New(Config{
			AWSConfig: aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: nobodyThere{}},
				Credentials: credentials.NewStaticCredentialsProvider("AKIABASE000000000000", "base", "")},
			BaseIdentity: "vendor", SharedStore: store, Sealer: sealer,
		})
		if err != nil {
			b.Fatal(err)
		}
		return made
	}
	requests := make([]Request, customers)
	store := NewMemoryStore(nil)
	first := start(store)
	now := time.Now().UnixNano()
	for i := range requests {
		role := fmt.Sprint("customer-", i)
		requests[i] = Request{Customer: role, Chain: []Role{{ARN: "arn:aws:iam::222222222222:role/" + role, ExternalID: "xid-9f8e7d6c5b4a3928", SessionName: "inventory"}}}
		h, err := first.For(requests[i])
		if err != nil {
			b.Fatal(err)
		}
		s := newSession("222222222222", fmt.Sprintf("ASIA%016d", i), strings.Repeat("s", 40), strings.Repeat("t", 800), now, now+int64(time.Hour))
		first.toStore(h, s, false)
	}
	if err := first.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if n, err := store.WriteSnapshot(path); n != customers || err != nil {
		b.Fatal(n, err)
	}
	read := func() *MemoryStore {
		b.Helper()
		store := NewMemoryStore(nil)
		if n, err := store.ReadSnapshot(path); n != customers || err != nil {
			b.Fatal(n, err)
		}
		return store
	}
	b.Run("ready", func(b *testing.B) {
		for b.Loop() {
			read()
		}
	})
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			made := start(read())
			if err := made.Prewarm(b.Context(), requests); err != nil {
				b.Fatal(err)
			}
			if s := made.Stats(); s.Calls != 0 || s.Warm != customers {
				b.Fatalf("%+v", s)
			}
			if err := made.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
