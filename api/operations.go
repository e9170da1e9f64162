package api

import (
	"context"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount"
)

// Bounds of what a process does in the background. A verification makes about
// ten calls of STS, each some ten milliseconds long, so more of them at work
// would only share the vendor's 600 calls per second among themselves. The others
// wait for their turn.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxAtWork        = 64
	maxRunning       = 10_000 // with those that wait
	maxRemembered    = 10_000
	operationTimeout = 15 * time.Minute // more than any verification's patience
	rememberedFor    = 15 * time.Minute
)

// operations runs what may take longer than a request: at most one at a time
// for each integration.
type operations struct {
	now    func() time.Time
	base   context.Context // ends when the handler is closed in haste
	cancel context.CancelFunc
	group  sync.WaitGroup
	turns  chan struct{} // holds one for each operation at work

	mu      sync.Mutex
	closed  bool
	running int
	latest  map[string]*operation // :: operationKey → the last one
}

// An operation is written by its goroutine until done is closed.
type operation struct {
	kind, roleARN string
	started       time.Time
	done          chan struct{}

	finished time.Time
	report   *crossaccount.Report
	err      error
}

func newOperations(now func() time.Time) *operations {
	o := &operations{now: now, turns: make(chan struct{}, maxAtWork), latest: make(map[string]*operation)}
	o.base, o.cancel = context.WithCancel(context.Background())
	return o
}

func operationKey(customerID, integrationID string) string {
	return customerID + "\x00" + integrationID
}

// start begins an operation, or returns the same one if it runs already. The
// operation outlives the context that is given, of which it keeps the actor.
func (o *operations) start(ctx context.Context, customerID, integrationID, kind, roleARN string, run func(context.Context) (*crossaccount.Report, error)) (*operation, *Problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := operationKey(customerID, integrationID)
	if last := o.latest[key]; last != nil && last.isRunning() {
		if last.kind == kind && last.roleARN == roleARN {
			return last, nil
		}
		return nil, newProblem(crossaccount.CodeConflict, "something else is being done with this integration", "wait until it is finished; the integration shows what runs")
	}
	switch {
	case o.closed:
		return nil, newProblem(CodeNotReady, "the server is shutting down", "try again")
	case o.running >= maxRunning:
		return nil, newProblem(CodeBusy, "too many verifications are under way", "try again later")
	}
	o.forget()
	op := &operation{kind: kind, roleARN: roleARN, started: o.now().UTC(), done: make(chan struct{})}
	o.latest[key] = op
	o.running++
	o.group.Add(1)
	base := crossaccount.WithActor(o.base, principalOf(ctx).Name)
	go func() {
		defer o.group.Done()
		ctx, cancel := context.WithTimeout(base, operationTimeout)
		defer cancel()
		report, err := o.inTurn(ctx, run)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.running--
		op.report, op.err, op.finished = report, err, o.now().UTC()
		close(op.done)
	}()
	return op, nil
}

// inTurn runs an operation when it is its turn.
func (o *operations) inTurn(ctx context.Context, run func(context.Context) (*crossaccount.Report, error)) (*crossaccount.Report, error) {
	select {
	case o.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, crossaccount.NewError(crossaccount.CodeCancelled, "it did not begin in time", "ask again", ctx.Err())
	}
	defer func() { <-o.turns }()
	return run(ctx)
}

// forget drops what ended long ago, and anything that ended if there is too
// much.
func (o *operations) forget() {
	if len(o.latest) < maxRemembered/2 {
		return
	}
	before := o.now().Add(-rememberedFor)
	for key, op := range o.latest {
		if !op.isRunning() && (op.finished.Before(before) || len(o.latest) >= maxRemembered) {
			delete(o.latest, key)
		}
	}
}

func (op *operation) isRunning() bool {
	select {
	case <-op.done:
		return false
	default:
		return true
	}
}

// wait waits for the end of the operation, but not longer than the limit or the
// context. It reports whether the operation has ended.
func (op *operation) wait(ctx context.Context, limit time.Duration) bool {
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-op.done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return !op.isRunning()
}

// shown returns what is known about the integration's last operation, or nil.
func (o *operations) shown(customerID, integrationID string) *Operation {
	o.mu.Lock()
	op := o.latest[operationKey(customerID, integrationID)]
	o.mu.Unlock()
	if op == nil {
		return nil
	}
	if op.isRunning() {
		return &Operation{Kind: op.kind, Running: true, StartedAt: op.started}
	}
	if o.now().Sub(op.finished) > rememberedFor {
		return nil
	}
	shown := &Operation{Kind: op.kind, StartedAt: op.started, FinishedAt: op.finished, Report: op.report}
	if op.err != nil {
		shown.Problem = problemOf(op.err)
	}
	return shown
}

func (o *operations) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		o.group.Wait()
		close(ended)
	}()
	defer o.cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		o.cancel()
		<-ended // AWS calls have deadlines and obey the context
		return ctx.Err()
	}
}

func (o *operations) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}
