package crossaccount_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
)

// A gatekeeper holds calls back until it is opened, and counts them.
type gatekeeper struct {
	next    aws.HTTPClient
	arrived chan struct{} // one for every call
	opened  chan struct{}
	calls   atomic.Int32
}

func (g *gatekeeper) Do(r *http.Request) (*http.Response, error) {
	g.calls.Add(1)
	g.arrived <- struct{}{}
	select {
	case <-g.opened:
		return g.next.Do(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// Of many onboardings that begin at the same time, one publishes the template.
// If its caller goes away, another one does it.
func TestManyAtOncePublishOnce(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	gate := &gatekeeper{next: w.box.Client(), arrived: make(chan struct{}, 100), opened: make(chan struct{})}
	client := w.operator(func(*crossaccount.Config) {}, crossaccount.WithHTTPClient(gate))
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := publish(ctx, client)
		first <- err
	}()
	<-gate.arrived
	var others sync.WaitGroup
	for n := range 20 {
		others.Go(func() {
			if _, err := client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: fmt.Sprint("customer-", n)}); err != nil {
				t.Error(err)
			}
		})
	}
	leave()
	if err := <-first; err == nil {
		t.Error("a call ended well although its caller had gone away")
	}
	<-gate.arrived // another one has taken over
	close(gate.opened)
	others.Wait()
	if calls := gate.calls.Load(); calls > 3 { // two attempts, of which one may look at what is there
		t.Errorf("S3 was called %d times", calls)
	}
}
