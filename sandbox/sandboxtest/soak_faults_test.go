package sandboxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
)

// faults is the way to an AWS on a bad day: one request in twelve goes wrong.
type faults struct {
	to   http.RoundTripper
	off  atomic.Bool
	made tally
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.off.Load() {
		return f.to.RoundTrip(r)
	}
	switch rand.IntN(60) {
	case 0:
		f.made.add("throttled")
		return answer(r, http.StatusBadRequest, "Throttling", "Rate exceeded")
	case 1:
		f.made.add("503")
		return answer(r, http.StatusServiceUnavailable, "ServiceUnavailable", "Please reduce your request rate.")
	case 2:
		f.made.add("500 without a body that makes sense")
		return answer(r, http.StatusInternalServerError, "", "<html>")
	case 3:
		f.made.add("answer lost")
		response, err := f.to.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return nil, errors.Join(errors.New("connection reset by peer"), response.Body.Close())
	case 4:
		f.made.add("slow")
		pause(r.Context(), time.Duration(rand.IntN(500))*time.Millisecond)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
	}
	return f.to.RoundTrip(r)
}

func (f *faults) Close() {
	if c, ok := f.to.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// answer is an error as STS and IAM, or S3, write it.
func answer(r *http.Request, status int, code, message string) (*http.Response, error) {
	body := message
	if code != "" {
		body = "<Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>"
		if !strings.Contains(r.URL.Host, "s3") {
			body = "<ErrorResponse>" + body + "<RequestId>fault</RequestId></ErrorResponse>"
		}
	}
	if r.Body != nil {
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		Status: fmt.Sprint(status, " ", http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// A tally counts by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[name]++
}

func (c *tally) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		lines = append(lines, fmt.Sprintf("%7d  %s", c.counts[name], name))
	}
	return strings.Join(lines, "\n")
}

// A watchedStorage counts audit records and looks for secrets in everything
// that is stored.
type watchedStorage struct {
	*crossaccount.MemoryStorage
	t       *testing.T
	written atomic.Int64
}

func (s *watchedStorage) Create(ctx context.Context, i *crossaccount.Integration, c crossaccount.Change) error {
	s.look(i, c.Events, c.Audit)
	return s.MemoryStorage.Create(ctx, i, c)
}

func (s *watchedStorage) Update(ctx context.Context, i *crossaccount.Integration, c crossaccount.Change) error {
	s.look(i, c.Events, c.Audit)
	return s.MemoryStorage.Update(ctx, i, c)
}

func (s *watchedStorage) AppendAudit(ctx context.Context, records ...crossaccount.AuditRecord) error {
	s.look(nil, nil, records)
	return s.MemoryStorage.AppendAudit(ctx, records...)
}

func (s *watchedStorage) look(i *crossaccount.Integration, events []crossaccount.Event, records []crossaccount.AuditRecord) {
	s.written.Add(int64(len(records)))
	text, err := json.Marshal([]any{i, events, records})
	if err != nil || hasSecret(string(text)) {
		s.t.Errorf("an external ID is stored in the clear (%v): %s", err, text)
	}
	if i != nil && hasSecret(string(i.SealedExternalID)+string(i.ExternalIDIndex)) {
		s.t.Errorf("the external ID of %s is not sealed", i.ID)
	}
}

// A secretFinder is a log that nobody reads but for secrets.
type secretFinder struct{ t *testing.T }

func (f *secretFinder) Write(line []byte) (int, error) {
	if hasSecret(string(line)) {
		f.t.Errorf("the log shows an external ID: %s", line)
	}
	return len(line), nil
}

// hasSecret finds external IDs, also those whose case was changed.
func hasSecret(text string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(soakSecret))
}

// pause waits for the time or the end of the context.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// heap returns how much memory is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// settledGoroutines counts goroutines, when those that are about to end have.
func settledGoroutines(want int) int {
	for range 100 {
		if runtime.NumGoroutine() <= want {
			break
		}
		pause(context.Background(), 50*time.Millisecond)
	}
	return runtime.NumGoroutine()
}
