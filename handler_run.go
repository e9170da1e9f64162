package crossaccount

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Limits of verifications that go on without a request. A new role is refused
// for up to propagationTime; a run gives AWS a little longer.
const (
	runTime     = propagationTime + 2*time.Minute
	maxRuns     = 200              // at the same time, in this process
	rememberRun = 15 * time.Minute // how long the outcome of a run can be looked up
)

// runs are the verifications that go on in this process, one per integration,
// and those that ended a short while ago. The zero value is ready for use.
type runs struct {
	going sync.WaitGroup

	mu     sync.Mutex
	closed bool
	m      map[string]*run // :: customer id NUL integration id → its latest run
}

// A run is one verification of which somebody may watch the steps. Methods of a
// nil run do nothing.
type run struct {
	integrationID string
	roleARN       string // "" for a check of the role in use
	cancel        context.CancelFunc
	done          chan struct{} // closed when it ended

	mu      sync.Mutex
	changed chan struct{} // closed when what follows changed, and replaced
	steps   []Step
	asked   bool // AWS was asked
	waiting bool // for a role that AWS does not know yet
	endedAt time.Time

	report *Report // after done was closed; may be nil
	err    error   // likewise
}

type runKey struct{}

func watcherOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

func (r *run) change(apply func()) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	apply()
	close(r.changed)
	r.changed = make(chan struct{})
}

// begins is told that AWS is asked now, and what was found out before that.
func (r *run) begins(steps []Step) {
	r.change(func() { r.asked, r.steps = true, slices.Clone(steps) })
}

func (r *run) found(step Step) {
	r.change(func() {
		if r.asked { // else begins repeats it
			r.steps, r.waiting = append(r.steps, step), false
		}
	})
}

func (r *run) tries(step string, wait time.Duration) {
	r.change(func() { r.waiting = wait > 0 })
}

// progress returns what was found out so far, and a channel that is closed when
// there is more.
func (r *run) progress() (steps []Step, waiting bool, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.steps), r.waiting, r.changed
}

// outcome reports whether the run has ended, whether AWS was asked, and why the
// role is not in use then.
func (r *run) outcome() (ended, asked bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return true, r.asked, r.err
	default:
		return false, r.asked, nil
	}
}

// wait waits for the end of the run, but not long.
func (r *run) wait(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// of returns the integration's latest run, or nil.
func (s *runs) of(integration *Integration) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[integration.CustomerID+"\x00"+integration.ID]
}

// begin returns the run of the integration that verifies the same role, or
// starts one. A run for another role is given up.
func (s *runs) begin(ctx context.Context, c *Client, integration *Integration, roleARN string, do func(context.Context) (*Report, error)) (*run, error) {
	key := integration.CustomerID + "\x00" + integration.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, shuttingDown()
	}
	if s.m == nil {
		s.m = make(map[string]*run)
	}
	now, going := c.now(), 0
	for k, r := range s.m {
		if ended, _, _ := r.outcome(); !ended {
			going++
		} else if now.Sub(r.endedAt) > rememberRun {
			delete(s.m, k)
		}
	}
	if r := s.m[key]; r != nil {
		if ended, _, _ := r.outcome(); !ended {
			if r.roleARN == roleARN {
				return r, nil
			}
			r.cancel()
			going--
		}
	}
	if going >= maxRuns {
		return nil, NewError(CodeRateLimited, "too many verifications go on at the moment", "try again in a minute", nil)
	}
	r := &run{integrationID: integration.ID, roleARN: roleARN, done: make(chan struct{}), changed: make(chan struct{})}
	// The request's values stay, its end does not matter any more.
	ctx, r.cancel = context.WithTimeout(context.WithoutCancel(ctx), runTime)
	ctx = context.WithValue(ctx, runKey{}, r)
	s.m[key] = r
	s.going.Go(func() {
		defer r.cancel()
		report, err := do(ctx)
		if err == nil {
			err = report.Err()
		}
		r.change(func() {
			r.report, r.err, r.endedAt = report, err, c.now()
			close(r.done)
		})
	})
	return r, nil
}

func shuttingDown() *Error {
	return NewError(CodeShuttingDown, "this server is about to be restarted", "try again in a moment", nil)
}

// close refuses new runs and waits for those that go on. Those that still do
// when the context ends are cancelled.
func (s *runs) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.going.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for _, r := range s.m {
		r.cancel()
	}
	s.mu.Unlock()
	<-ended // AWS calls have deadlines and obey the context
	return NewError(CodeCancelled, "verifications were cut off", "they continue when the role is presented again", ctx.Err())
}

// Close ends what the setup page and the handler do in the background, for the
// end of the process: call it before the HTTP server is shut down. Streams of
// events end at once and tell their pages to come back, new verifications are
// refused, and those under way are waited for until the context ends. Then they
// are cut off, which is an error with the code cancelled; the next process
// continues them when they are asked for again. Customers' credentials are no
// longer renewed or handed out. Everything else keeps working.
func (c *Client) Close(ctx context.Context) error {
	c.page.streams.close()
	err := c.page.runs.close(ctx)
	c.mu.Lock()
	b := c.broker
	c.brokerClosed = true
	c.mu.Unlock()
	if b != nil {
		if closing := b.Close(ctx); err == nil && closing != nil {
			err = NewError(CodeCancelled, "calls of STS were cut off", "", closing)
		}
	}
	return err
}

// beginRun verifies a presented role and takes it into use if it passes. What
// can be refused without AWS is refused now.
func (c *Client) beginRun(ctx context.Context, request VerificationRequest) (*run, error) {
	integration, arn, err := c.presented(ctx, request)
	if err != nil {
		return nil, err
	}
	request.IntegrationID, request.RoleARN = integration.ID, arn
	return c.page.runs.begin(ctx, c, integration, arn, func(ctx context.Context) (*Report, error) {
		report, err := c.verifyUntilClear(ctx, &request)
		if err != nil || report.Err() != nil {
			return report, err
		}
		store := StoreCredentialsRequest(request)
		return report, c.StoreCustomerCredentials(ctx, &store)
	})
}

// verifyUntilClear verifies again while the answer may still be IAM's delay.
// Between two tries it waits as long as the limiter makes it.
func (c *Client) verifyUntilClear(ctx context.Context, request *VerificationRequest) (*Report, error) {
	for {
		report, err := c.Verify(ctx, request)
		if err != nil || report.Code != CodePropagating {
			return report, err
		}
		watcherOf(ctx).tries("", verificationInterval)
		if err := c.wait(ctx, verificationInterval); err != nil {
			return report, nil
		}
	}
}

// beginCheck verifies the role in use again.
func (c *Client) beginCheck(ctx context.Context, customerID, integrationID string) (*run, error) {
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	if err != nil {
		return nil, err
	}
	if err := c.mayCheck(customerID); err != nil {
		return nil, err
	}
	return c.page.runs.begin(ctx, c, integration, "", func(ctx context.Context) (*Report, error) {
		return c.check(ctx, customerID, integrationID)
	})
}
