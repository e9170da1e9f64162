package crossaccount_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
)

// verifyingWorld has customer "one", whose role AWS does not know for a while.
func verifyingWorld(t *testing.T) (w *world, role, integrationID string) {
	t.Helper()
	const delay = 45 * time.Second
	w = newWorldIn(t, sandbox.Options{IAMDelay: delay})
	time.Sleep(delay)
	started := w.start("one")
	w.client = w.newClient(crossaccount.WithTenantResolver(signedIn), crossaccount.WithPatience(20*time.Second))
	return w, w.launch(oneID, started.LaunchURL), started.IntegrationID
}

// Streams of events are for a few pages of each customer, so that nobody uses up
// the server's connections.
func TestStreamsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, role, id := verifyingWorld(t)
		h := w.client.Handler()
		go send(h, "one", "POST", "/api/integration/complete", `{"role_arn": "`+role+`"}`)
		synctest.Wait()
		var open sync.WaitGroup
		for range 10 {
			open.Go(func() { send(h, "one", "GET", "/integrate?events="+id, "") })
		}
		synctest.Wait()
		refused := send(h, "one", "GET", "/integrate?events="+id, "")
		if refused.Code != http.StatusTooManyRequests || refused.Header().Get("Retry-After") == "" || !strings.Contains(refused.Body.String(), `"rate_limited"`) {
			t.Errorf("the eleventh: %d %v: %s", refused.Code, refused.Header(), refused.Body)
		}
		open.Wait() // the verification ends, and with it the streams
		if again := send(h, "one", "GET", "/integrate?events="+id, ""); again.Code != http.StatusOK {
			t.Errorf("afterwards: %d: %s", again.Code, again.Body)
		}
	})
}

func TestStreamsAreCappedInTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
		h, now := w.client.Handler(), time.Now()
		stream := func(n int) (string, string) {
			customer := fmt.Sprint("customer-", n/10)
			if n%10 == 0 {
				i := &crossaccount.Integration{ID: "int-1", CustomerID: customer, State: crossaccount.StateVerifying, CreatedAt: now, LinkedAt: now}
				if err := w.store.Create(t.Context(), i, crossaccount.Change{}); err != nil {
					t.Fatal(err)
				}
			}
			return customer, "/integrate?events=int-1"
		}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		var open sync.WaitGroup
		for n := range 2000 {
			customer, path := stream(n)
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
			r.Header.Set("X-Customer", customer)
			open.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
		}
		synctest.Wait()
		customer, path := stream(2000)
		if refused := send(h, customer, "GET", path, ""); refused.Code != http.StatusTooManyRequests {
			t.Errorf("one more: %d: %s", refused.Code, refused.Body)
		}
		leave() // all these pages are closed, so there is room for others
		open.Wait()
		open.Go(func() {
			if again := send(h, customer, "GET", path, ""); again.Code != http.StatusOK {
				t.Errorf("afterwards: %d: %s", again.Code, again.Body)
			}
		})
		synctest.Wait()
		if err := w.client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		open.Wait()
	})
}

// At the end of a process, pages are told to come back at once, and what goes on
// is finished.
func TestCloseFinishesVerifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, role, id := verifyingWorld(t)
		h := w.client.Handler()
		go send(h, "one", "POST", "/api/integration/complete", `{"role_arn": "`+role+`"}`)
		synctest.Wait()
		streamed := make(chan string)
		go func() { streamed <- send(h, "one", "GET", "/integrate?events="+id, "").Body.String() }()
		synctest.Wait()
		began, closed := time.Now(), make(chan error)
		go func() { closed <- w.client.Close(context.Background()) }()
		if said := <-streamed; !strings.HasSuffix(said, "event: restart\ndata: {}\nretry: 3000\n\n") || time.Since(began) > 0 {
			t.Errorf("the stream ended after %s with %q", time.Since(began), said)
		}
		for what, answer := range map[string]int{
			"a stream":       send(h, "one", "GET", "/integrate?events="+id, "").Code,
			"a verification": send(h, "one", "POST", "/api/integration/complete", `{"role_arn": "`+role+`"}`).Code,
		} {
			if answer != http.StatusServiceUnavailable {
				t.Errorf("%s while closing: status %d", what, answer)
			}
		}
		if page := visitAt(w.client, "one", "", nil); page.Code != http.StatusOK {
			t.Errorf("the page while closing: %d", page.Code)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if i := w.only("one"); i.State != crossaccount.StateActive || i.RoleARN != role {
			t.Errorf("closing has not waited: the integration is %s", i.State)
		}
	})
}

// What is not finished in time is cut off, says so, and goes on in the next
// process.
func TestCloseCutsVerificationsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, role, _ := verifyingWorld(t)
		h, answered := w.client.Handler(), make(chan string)
		go func() {
			answered <- send(h, "one", "POST", "/api/integration/complete", `{"role_arn": "`+role+`"}`).Body.String()
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, w.client.Close(ctx), crossaccount.CodeCancelled)
		if said := <-answered; !strings.Contains(said, `"retryable":true`) {
			t.Errorf("the one who waited was told %s", said)
		}
		if i := w.only("one"); i.State != crossaccount.StateVerifying || i.Candidate.RoleARN != role {
			t.Errorf("the integration is %+v", i)
		}
		w.client = w.newClient(crossaccount.WithTenantResolver(signedIn))
		page := visitAt(w.client, "one", "", nil)
		if !strings.Contains(page.Body.String(), "Continue it where it stopped") {
			t.Fatalf("the page of the next process:\n%s", page.Body)
		}
		time.Sleep(time.Minute)
		if page = visit(w.client, "one", fill(t, page, "complete", nil)); !strings.Contains(page.Body.String(), "Your account is connected") {
			t.Errorf("continued:\n%s", page.Body)
		}
	})
}

// Checking asks AWS as verifying does, and counts against the same limit.
func TestChecksAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		w.onboard("two", twoID)
		id, other := w.only("one").ID, w.only("two").ID
		time.Sleep(time.Hour)
		var err error
		passed := 0
		for ; err == nil; passed++ {
			_, err = w.client.Check(t.Context(), "one", id)
		}
		wantCode(t, err, crossaccount.CodeRateLimited)
		if passed != 11 {
			t.Errorf("%d checks at once", passed-1)
		}
		if _, err := w.client.Check(t.Context(), "two", other); err != nil {
			t.Errorf("another customer: %v", err)
		}
		time.Sleep(6 * time.Second)
		if _, err := w.client.Check(t.Context(), "one", id); err != nil {
			t.Errorf("a little later: %v", err)
		}
	})
}
