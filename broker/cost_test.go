package broker_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
)

func TestRetrieveAllocatesNothing(t *testing.T) {
	for _, coarse := range []time.Duration{0, 5 * time.Millisecond} {
		fake := newFake(t)
		fake.always(reply{})
		c := fake.config()
		c.CoarseClock = coarse
		h := handle(t, start(t, c), access("acme"))
		ctx := context.Background()
		var provider aws.CredentialsProvider = h
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := provider.Retrieve(ctx); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("Retrieve allocates %v times", n)
		}
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := h.RetrieveLasting(ctx, 15*time.Minute); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("RetrieveLasting allocates %v times", n)
		}
	}
}

// secrets is how many bytes STS sends us for a session.
var secrets = len("ASIA0000000000000000") + len(secret) + len(token)

// A customer costs memory and nothing else, and little of that.
func TestMemoryPerCustomer(t *testing.T) {
	if testing.Short() {
		t.Skip("obtains sessions for 20,000 customers")
	}
	const customers = 20_000
	fake := newFake(t)
	fake.always(reply{})
	c := fake.config()
	c.MaxPerSecond = 1e9
	b := start(t, c)
	measure := func() (heap uint64, goroutines, descriptors int) {
		fake.count()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil && runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		return m.HeapAlloc, runtime.NumGoroutine(), len(files)
	}
	get(t, handle(t, b, access("first")))
	heap, goroutines, descriptors := measure()
	for i := range customers {
		// Each text of its own, as it comes from a database.
		r := access(fmt.Sprintf("customer-%08d", i))
		r.Chain[0].ExternalID = strings.Clone(externalID)
		h, err := b.For(r)
		if err == nil {
			_, err = h.Retrieve(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			fake.count()
		}
	}
	after, more, files := measure()
	each := int(after-heap) / customers
	t.Logf("%d bytes per customer, of which %d are what STS sent", each, secrets)
	if each > secrets+600 {
		t.Errorf("%d bytes per customer; want at most %d", each, secrets+600)
	}
	if more > goroutines || files > descriptors {
		t.Errorf("%d more goroutines, %d more descriptors", more-goroutines, files-descriptors)
	}
	if s := b.Stats(); s.Warm != customers+1 {
		t.Errorf("%d customers have credentials", s.Warm)
	}
	runtime.KeepAlive(b)
}

func BenchmarkRetrieve(b *testing.B) {
	for name, coarse := range map[string]time.Duration{"exact": 0, "coarse": 5 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			t := &testing.T{}
			fake := newFake(t)
			fake.always(reply{})
			c := fake.config()
			c.CoarseClock = coarse
			made, err := broker.New(c)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = made.Close(context.Background()) }()
			h, err := made.For(access("acme"))
			if err != nil {
				b.Fatal(err)
			}
			benchmarkProvider(b, h)
		})
	}
	b.Run("aws.CredentialsCache", func(b *testing.B) {
		benchmarkProvider(b, aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: secret, SessionToken: token, CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
		})))
	})
}

func benchmarkProvider(b *testing.B, p aws.CredentialsProvider) {
	ctx := context.Background()
	if _, err := p.Retrieve(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Retrieve(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFor(b *testing.B) {
	fake := newFake(&testing.T{})
	made, err := broker.New(fake.config())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = made.Close(context.Background()) }()
	r := access("acme")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := made.For(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRetrieveByKey(b *testing.B) {
	fake := newFake(&testing.T{})
	fake.always(reply{})
	c := fake.config()
	c.CoarseClock = 5 * time.Millisecond
	made, err := broker.New(c)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = made.Close(context.Background()) }()
	h, err := made.For(access("acme"))
	if err != nil {
		b.Fatal(err)
	}
	key, ctx := h.Key(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		h, ok := made.Lookup(key)
		if !ok {
			b.Fatal("not found")
		}
		if _, err := h.Retrieve(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
