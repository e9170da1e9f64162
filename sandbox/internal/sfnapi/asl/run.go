package asl

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// A Host does the tasks of a run and keeps its events. A run calls it from
// [Run.Advance] and [Run.Stop], one call at a time.
type Host interface {
	// Begin starts a task. The job may be done at once.
	Begin(t *Task) Job
	// Record keeps an event. It may do nothing.
	Record(e *Event)
}

// A Task is work of a Task state.
type Task struct {
	State    string
	Resource string // an ARN
	Input    any
	Role     string // Credentials.RoleArn, or ""

	// Budget is that of the run, for runs that are part of this one.
	Budget *Budget
}

// A Job is a task at work.
type Job interface {
	// Poll returns the result if there is one. If there is none yet, it says
	// when to ask again.
	Poll(now time.Time) (result *Result, again time.Time)
	// Stop ends a job whose result is not wanted any more.
	Stop()
}

// A Result is what a task ended with.
type Result struct {
	Output  any
	Failure *Failure // nil if it succeeded
}

// Done is a job that is done.
type Done Result

// Poll returns the result.
func (d *Done) Poll(time.Time) (*Result, time.Time) { return (*Result)(d), time.Time{} }

// Stop does nothing.
func (d *Done) Stop() {}

// An Event is an entry of an execution's history.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
type Event struct {
	ID, Previous int
	Time         time.Time
	Type         string         // "TaskStateEntered"
	Detail       string         // the member of the fields, or "": "stateEnteredEventDetails"
	Fields       map[string]any // input, output and parameters are JSON texts
}

// A Status is how a run is.
type Status string

// The statuses of executions.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// Options are what a run begins with.
type Options struct {
	Machine *Machine
	Kind    Kind
	Input   any
	Context map[string]any // Execution and StateMachine of the context object
	Role    string         // the execution role, for the first event
	Region  string         // for the events of tasks
	Host    Host
	Random  io.Reader // UUIDs, random numbers and jitter
	Now     time.Time
	Limit   time.Duration // how long a run may take, besides the machine's own limit
	Budget  *Budget       // of the run around; nil for a new one

	// Halted reports whether the run is to stand still, because it will be
	// stopped. It may be nil.
	Halted func() bool
}

// A Budget is what one run may cost the process, with the runs that it waits
// for. AWS limits the events of a Standard execution and the time of an Express
// one; here a clock may stand still.
type Budget struct {
	events  int
	data    int // bytes of inputs, outputs and arguments
	visits  int // of values by paths
	history int // bytes of data in events
}

// NewBudget returns the budget of one run.
func NewBudget() *Budget {
	return &Budget{events: 100_000, data: 256 << 20, visits: 50_000_000, history: 32 << 20}
}

// A Run is one execution of a machine. It is not safe for concurrent use.
type Run struct {
	options  Options
	now      time.Time
	deadline time.Time
	root     *thread
	events   int

	Status  Status
	Output  any      // if it succeeded
	Failure *Failure // if it did not
	Ended   time.Time
}

// Start makes a run. Nothing happens before [Run.Advance].
func Start(o Options) *Run {
	if o.Budget == nil {
		o.Budget = NewBudget()
	}
	r := &Run{options: o, now: o.Now, Status: Running}
	limit := o.Limit
	if own := o.Machine.Timeout; own > 0 && own < limit {
		limit = own
	}
	r.deadline = o.Now.Add(limit)
	r.root = &thread{machine: o.Machine, at: o.Machine.StartAt, raw: o.Input, variables: map[string]any{}}
	r.event(r.root, "ExecutionStarted", "executionStartedEventDetails", map[string]any{
		"input": payload{o.Input}, "inputDetails": complete, "roleArn": o.Role,
	})
	r.root.last = 0 // the first state's event follows nothing, as in AWS
	return r
}

// complete says of data in events that it is all there.
var complete = map[string]any{"truncated": false}

// A payload is written as JSON when an event is kept.
type payload struct{ value any }

// Advance moves the run on as far as it gets by a time, which does not go back.
func (r *Run) Advance(now time.Time) {
	for r.Status == Running {
		r.run(r.root)
		if r.halted() {
			return
		}
		r.settle()
		if r.Status != Running {
			return
		}
		due := r.Due()
		if due.After(now) {
			return
		}
		if !due.After(r.now) { // a job that has nothing to say must not keep the run busy
			if due = r.now.Add(time.Second); due.After(now) {
				return
			}
		}
		r.now = due
		if !r.now.Before(r.deadline) {
			r.end(TimedOut, nil, &Failure{ErrTimeout, ""})
			return
		}
	}
}

func (r *Run) halted() bool { return r.options.Halted != nil && r.options.Halted() }

// Due returns when there is something to do next. It is the zero time once the
// run has ended.
func (r *Run) Due() time.Time {
	if r.Status != Running {
		return time.Time{}
	}
	due := r.deadline
	r.root.due(&due)
	return due
}

// Stop aborts the run.
func (r *Run) Stop(now time.Time, f *Failure) {
	if r.Status == Running {
		r.now = now
		r.end(Aborted, nil, f)
	}
}

// settle ends a run whose root thread has ended.
func (r *Run) settle() {
	switch t := r.root; {
	case r.Status != Running:
	case t.failure != nil:
		r.end(Failed, nil, t.failure)
	case t.done:
		r.end(Succeeded, t.raw, nil)
	}
}

var endEvents = map[Status]struct{ name, detail string }{
	Succeeded: {"ExecutionSucceeded", "executionSucceededEventDetails"},
	Failed:    {"ExecutionFailed", "executionFailedEventDetails"},
	TimedOut:  {"ExecutionTimedOut", "executionTimedOutEventDetails"},
	Aborted:   {"ExecutionAborted", "executionAbortedEventDetails"},
}

func (r *Run) end(status Status, output any, f *Failure) {
	r.root.stop()
	fields := map[string]any{}
	if status == Succeeded {
		fields["output"], fields["outputDetails"] = payload{output}, complete
	}
	if f != nil {
		fields = f.fields()
	}
	r.event(r.root, endEvents[status].name, endEvents[status].detail, fields)
	r.Status, r.Output, r.Failure, r.Ended = status, output, f, r.now
}

func (f *Failure) fields() map[string]any {
	fields := map[string]any{}
	if f.Name != "" {
		fields["error"] = f.Name
	}
	if f.Cause != "" {
		fields["cause"] = f.Cause
	}
	return fields
}

// event records an event of a thread and returns its id.
func (r *Run) event(t *thread, name, detail string, fields map[string]any) int {
	r.events++
	r.options.Budget.events--
	e := &Event{ID: r.events, Previous: t.last, Time: r.now, Type: name, Detail: detail, Fields: fields}
	t.last = e.ID
	for field, v := range fields {
		if p, ok := v.(payload); ok && r.options.Kind != Express {
			text := Encode(p.value)
			r.options.Budget.history -= len(text)
			fields[field] = text
		}
	}
	if r.options.Kind != Express { // whose events go to logs only
		r.options.Host.Record(e)
	}
	return e.ID
}

// exhausted returns why the run must end, or nil.
func (r *Run) exhausted() *Failure {
	switch b := r.options.Budget; {
	case r.options.Kind != Express && r.events >= MaxEvents-1:
		return &Failure{ErrRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", MaxEvents)}
	case b.events < 0:
		return &Failure{ErrRuntime, "the execution takes more steps than the sandbox allows to one execution"}
	case b.data < 0 || b.history < 0 || b.visits < 0:
		return &Failure{ErrRuntime, "the execution handles more data than the sandbox allows to one execution"}
	}
	return nil
}

// charge accounts for handled data, which must not be larger than limit.
func (r *Run) charge(v any, limit int) bool {
	left := limit
	ok := measure(v, &left)
	r.options.Budget.data -= limit - max(left, 0)
	return ok
}

func (r *Run) environment(t *thread, input any) *environment {
	state := map[string]any{"EnteredTime": t.entered.UTC().Format(timeFormat), "Name": t.state.Name, "RetryCount": Number(t.retried)}
	context := map[string]any{"State": state}
	for name, v := range r.options.Context {
		context[name] = v
	}
	if t.item != nil {
		context["Map"] = map[string]any{"Item": t.item}
	}
	return &environment{Scope{input, context, t.variables, &r.options.Budget.visits}, r}
}

// Read makes the run the source of randomness of its expressions.
func (r *Run) Read(p []byte) (int, error) { return io.ReadFull(r.options.Random, p) }

const timeFormat = "2006-01-02T15:04:05.000Z"

// asFailure returns the failure that an error is. Faults of paths are told with
// the state they happened in.
func (r *Run) asFailure(t *thread, err error) *Failure {
	var f *Failure
	if !errors.As(err, &f) {
		f = &Failure{ErrRuntime, err.Error()}
	}
	if f.Name == ErrRuntime || f.Name == ErrIntrinsic {
		return &Failure{f.Name, fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", t.state.Name, t.enteredID, f.Cause)}
	}
	return f
}
