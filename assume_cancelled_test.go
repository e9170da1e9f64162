package crossaccount_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/crossaccount/crossaccount"
)

// A caller that gives up while credentials are on their way is told so, and not
// that AWS failed.
func TestAssumeCancelledByTheCaller(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan struct{})
	// A new client has no credentials yet.
	client := w.newClient(crossaccount.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel()
		<-answered // AWS is slower than the caller is patient
		return w.box.RoundTripper().RoundTrip(r)
	})}))
	_, err := client.AssumeCustomerRole(ctx, "one")
	close(answered)
	wantCode(t, err, crossaccount.CodeCancelled)
	if _, err := client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Errorf("the next caller: %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
