package broker_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crossaccount/crossaccount/broker"
)

// A discarding response writer costs nothing itself.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header { return d.header }

func (d *discarding) WriteHeader(int) {}

func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }

// steady returns a request that is served again and again.
func steady(t testing.TB) func() {
	t.Helper()
	source := aSource("acme", "", "")
	source.credentials.SessionToken = string(bytes.Repeat([]byte("t"), 800))
	e, token := withToken(t, broker.EndpointConfig{
		TokenRate: broker.Rate{Burst: 1 << 30, Every: 1},
		Resolve:   func(context.Context, string, string, string) (broker.Source, error) { return source, nil },
		HandedOut: func(context.Context, []broker.HandOut) error { return nil },
	}, "acme")
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9911/credentials/acme", nil)
	r.Header.Set("Authorization", token)
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47")
	r.Header.Set("Accept-Encoding", "gzip")
	w := &discarding{make(http.Header)}
	return func() { e.ServeHTTP(w, r) }
}

// often asks for the credentials of acme, and does not look at the answers.
func (e *testEndpoint) often(token string, times int) {
	r := httptest.NewRequestWithContext(e.t.Context(), "GET", "http://127.0.0.1:9911/credentials/acme", nil)
	r.Header.Set("Authorization", token)
	w := &discarding{make(http.Header)}
	for range times {
		e.ServeHTTP(w, r)
	}
}

func TestEndpointAllocatesNothing(t *testing.T) {
	serve := steady(t)
	serve()
	if got := testing.AllocsPerRun(100, serve); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkEndpoint(b *testing.B) {
	serve := steady(b)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
