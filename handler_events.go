package crossaccount

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Limits of streams of events in this process. A browser has six connections to
// a server at most; a page that gets no stream reloads itself instead.
const (
	maxStreams     = 2000
	maxStreamsEach = 10 // of one customer
)

// restartDelay is when a browser connects again after the process has ended, in
// milliseconds.
const restartDelay = "3000"

// streams counts the streams of events.
type streams struct {
	closing chan struct{} // closed when they shall end

	mu    sync.Mutex
	total int
	each  map[string]int // :: customer id → its streams
}

// enter lets a stream begin. The result must be called at its end.
func (s *streams) enter(customerID string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return nil, shuttingDown()
	default:
	}
	switch {
	case s.each[customerID] >= maxStreamsEach:
		return nil, NewError(CodeRateLimited, fmt.Sprintf("more than %d pages of this customer follow a verification", maxStreamsEach), "close some of them, or reload this one from time to time", nil)
	case s.total >= maxStreams:
		return nil, NewError(CodeRateLimited, "too many pages follow a verification", "reload this one from time to time", nil)
	}
	s.total++
	s.each[customerID]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.each[customerID]--; s.each[customerID] == 0 {
			delete(s.each, customerID)
		}
	}, nil
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
}

// followTime is how long one stream of events lasts; the browser then opens
// another. pollTime is how often the record is looked at for a verification that
// goes on elsewhere.
const (
	followTime = 2 * time.Minute
	pollTime   = 2 * time.Second
)

// serveEvents tells a page how the verification of its integration goes on, as
// server-sent events: "steps" with all steps, and "done" when the page has
// something else to show. When the process is about to end, the last event is
// "restart", and the browser connects again a little later; the page then says
// where things stand.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (c *Client) serveEvents(w http.ResponseWriter, r *http.Request, query url.Values) {
	customerID, err := c.caller(r, query.Get("customer_id"))
	var integration *Integration
	var id string
	if err == nil {
		id, err = confined(r.Context(), query.Get("events"))
	}
	if err == nil {
		integration, err = c.storage.Get(r.Context(), customerID, id)
	}
	leave := func() {}
	if err == nil {
		leave, err = c.page.streams.enter(customerID)
	}
	if err != nil {
		problem, status := c.problemOf(err)
		if problem.Retryable() {
			w.Header().Set("Retry-After", retryAfter)
		}
		writeJSON(w, status, problem)
		return
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // for proxies that would keep it back
	control := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	control.Flush() //nolint:errcheck // so that the browser knows; the first event may take a while
	send := func(event string, data []byte) bool {
		// The server's own limit is for answers, not for streams.
		control.SetWriteDeadline(time.Now().Add(requestTime)) //nolint:errcheck // such a server has no limit, or keeps it
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		return err == nil && control.Flush() == nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), followTime)
	defer cancel()
	version := integration.Version
	following := query.Has("running") // the page shows a run; it may be over by now
	for {
		more, ended := make(<-chan struct{}), make(<-chan struct{})
		run := c.page.runs.of(integration)
		if run != nil {
			over, _, _ := run.outcome()
			_, _, more = run.progress()
			ended, following = run.done, following || !over
			if following && !send("steps", c.live(integration, run).Event()) { // also the last ones
				return
			}
			if over {
				run = nil
			}
		}
		if run == nil && (following || integration.State != StateVerifying || integration.Version != version) {
			send("done", []byte("{}"))
			return
		}
		timer := time.NewTimer(pollTime)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.page.streams.closing:
			timer.Stop()
			send("restart", []byte("{}\nretry: "+restartDelay))
			return
		case <-more:
		case <-ended:
		case <-timer.C:
		}
		timer.Stop()
		if now, err := c.storage.Get(ctx, customerID, integration.ID); err == nil {
			integration = now
		}
	}
}
