package asl

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A thread is one way through a machine: the execution itself, a branch of a
// Parallel state or an iteration of a Map state.
type thread struct {
	machine   *Machine
	at        string // the state
	raw       any    // its input; after the end, the output
	variables map[string]any
	item      map[string]any // of the Map state around, for the context object
	last      int            // the id of the last event

	phase     phase
	state     *State
	entered   time.Time
	enteredID int
	attempts  []int // by retrier
	retried   int
	until     time.Time // waiting
	in        any       // of a waiting state, after InputPath
	job       Job
	limit     time.Time // of the job; zero means none
	fork      *fork

	done    bool
	failure *Failure
}

type phase int

const (
	entering phase = iota
	beginning
	waiting  // of a Wait state
	pausing  // before a retry
	tasking  // for a job
	forked   // for threads
	finished // of any kind
)

// A fork is the threads of a Parallel or Map state.
type fork struct {
	of      *thread
	inputs  []any            // of all threads
	items   []map[string]any // of a Map state
	running []*thread        // by index; nil if not started, or done
	results []any
	next    int // not started yet
	most    int // at a time
	left    int
	started int // id of the event
}

// due lowers at to the time when the thread has something to do.
func (t *thread) due(at *time.Time) {
	lower := func(d time.Time) {
		if !d.IsZero() && d.Before(*at) {
			*at = d
		}
	}
	switch t.phase {
	case waiting, pausing:
		lower(t.until)
	case tasking:
		lower(t.until)
		lower(t.limit)
	case forked:
		for _, child := range t.fork.running {
			if child != nil {
				child.due(at)
			}
		}
	default:
	}
}

// stop ends the jobs of a thread and its children.
func (t *thread) stop() {
	if t.job != nil {
		t.job.Stop()
		t.job = nil
	}
	if t.fork != nil {
		for _, child := range t.fork.running {
			if child != nil {
				child.stop()
			}
		}
		t.fork = nil
	}
	t.phase = finished
}

// run moves a thread on until it waits or ends.
func (r *Run) run(t *thread) {
	for t.phase != finished && !r.halted() {
		if f := r.exhausted(); f != nil {
			t.stop()
			t.failure = f
			return
		}
		var err error
		switch t.phase {
		case entering:
			r.enter(t)
		case beginning:
			err = r.begin(t)
		case waiting:
			if r.now.Before(t.until) {
				return
			}
			err = r.finish(t, t.in)
		case pausing:
			if r.now.Before(t.until) {
				return
			}
			t.phase = beginning
		case tasking:
			if !r.poll(t) {
				return
			}
		case forked:
			if !r.join(t) {
				return
			}
		case finished:
		}
		if err != nil {
			r.fail(t, r.asFailure(t, err))
		}
	}
}

func (r *Run) enter(t *thread) {
	t.state = t.machine.States[t.at]
	t.entered, t.attempts, t.retried = r.now, make([]int, len(t.state.retry)), 0
	t.enteredID = r.event(t, t.state.Type+"StateEntered", "stateEnteredEventDetails", map[string]any{
		"input": payload{t.raw}, "inputDetails": complete, "name": t.state.Name,
	})
	t.phase = beginning
}

// begin does the work of a state, or begins it.
func (r *Run) begin(t *thread) error {
	s := t.state
	env := r.environment(t, t.raw)
	if s.Type == "Fail" {
		return r.failState(t, env)
	}
	in, err := filtered(s.input, env)
	if err != nil {
		return err
	}
	env = r.environment(t, in)
	work := in
	if s.parameters != nil && s.Type != "Map" {
		if work, err = s.parameters.get(env); err != nil {
			return err
		}
		if !r.charge(work, MaxData) {
			return tooLarge(s)
		}
	}
	switch s.Type {
	case "Pass":
		if s.hasFixed {
			work = s.fixed
		}
		return r.finish(t, work)
	case "Succeed":
		return r.finish(t, in)
	case "Choice":
		return r.choose(t, env, in)
	case "Wait":
		t.in, t.phase = in, waiting
		t.until, err = s.wakeup(env, r.now)
		return err
	case "Task":
		return r.beginTask(t, env, work)
	case "Parallel":
		inputs := make([]any, len(s.branches))
		for i := range inputs {
			inputs[i] = work
		}
		r.fork(t, inputs, nil, 0)
		return nil
	}
	return r.beginMap(t, env)
}

func tooLarge(s *State) error {
	return &Failure{ErrDataLimit, fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", s.Name)}
}

// filtered applies InputPath or OutputPath.
func filtered(p *Path, env *environment) (any, error) {
	if p == nil {
		return map[string]any{}, nil
	}
	v, err := p.Get(env.Scope)
	if err != nil {
		return nil, runtimeFailure("Invalid path '%s': %s", clip(p.text), err)
	}
	return v, nil
}

func (r *Run) failState(t *thread, env *environment) error {
	f := &Failure{}
	for _, part := range []struct {
		from *Expression
		to   *string
	}{{t.state.errorName, &f.Name}, {t.state.cause, &f.Cause}} {
		if part.from == nil {
			continue
		}
		v, err := part.from.get(env)
		if err != nil {
			return err
		}
		s, ok := v.(string)
		if !ok {
			return runtimeFailure("the expression '%s' selects %s, not a string", clip(part.from.text), typeName(v))
		}
		*part.to = s
	}
	t.stop()
	t.failure = f
	return nil
}

func (s *State) wakeup(env *environment, now time.Time) (time.Time, error) {
	switch {
	case s.seconds.set:
		n, err := s.seconds.get(env)
		if err == nil && n > 99999999 {
			err = runtimeFailure("a Wait state waits for 99999999 seconds at most")
		}
		return now.Add(time.Duration(n) * time.Second), err
	case s.timestamp == nil:
		return s.until, nil
	}
	v, err := s.timestamp.get(env)
	if err != nil {
		return now, err
	}
	at, ok := timestamp(v)
	if !ok {
		return now, runtimeFailure("the path '%s' does not select a timestamp", clip(s.timestamp.text))
	}
	return at, nil
}

func (r *Run) choose(t *thread, env *environment, in any) error {
	for i := range t.state.choices {
		c := &t.state.choices[i]
		ok, err := c.matches(env)
		if err != nil {
			return err
		}
		if ok {
			if err := r.assign(t, c.assign, in); err != nil {
				return err
			}
			return r.exit(t, in, c.next)
		}
	}
	if t.state.defaultsTo == "" {
		return &Failure{ErrNoChoice, fmt.Sprintf("No choice of the state '%s' matches, and it has no Default", t.state.Name)}
	}
	if err := r.assign(t, t.state.assign, in); err != nil {
		return err
	}
	return r.exit(t, in, t.state.defaultsTo)
}

// finish takes the result of a state: ResultSelector, Assign, ResultPath.
func (r *Run) finish(t *thread, result any) error {
	s := t.state
	if s.selector != nil {
		var err error
		if result, err = s.selector.get(r.environment(t, result)); err != nil {
			return err
		}
	}
	if err := r.assign(t, s.assign, result); err != nil {
		return err
	}
	out := result
	switch s.Type {
	case "Pass", "Task", "Parallel", "Map":
		var err error
		if out, err = combined(s.result, t.raw, result); err != nil {
			return err
		}
	}
	return r.exit(t, out, s.Next)
}

// combined applies ResultPath.
func combined(p *Path, raw, result any) (any, error) {
	if p == nil {
		return raw, nil
	}
	out, err := p.Put(raw, result)
	if err != nil {
		return nil, &Failure{ErrResultPath, fmt.Sprintf("Unable to apply ResultPath '%s' to the input: %s", clip(p.text), err)}
	}
	return out, nil
}

// assign sets variables. All expressions see the values from before.
func (r *Run) assign(t *thread, template *Template, input any) error {
	if template == nil {
		return nil
	}
	v, err := template.get(r.environment(t, input))
	if err != nil {
		return err
	}
	if !r.charge(v, MaxData) {
		return tooLarge(t.state)
	}
	changed := make(map[string]any, len(t.variables)+1)
	for name, old := range t.variables {
		changed[name] = old
	}
	for name, value := range v.(map[string]any) {
		changed[name] = value
	}
	t.variables = changed
	return nil
}

// exit applies OutputPath and leaves the state, for another or for good.
func (r *Run) exit(t *thread, out any, next string) error {
	out, err := filtered(t.state.output, r.environment(t, out))
	if err != nil {
		return err
	}
	return r.leave(t, out, next)
}

func (r *Run) leave(t *thread, out any, next string) error {
	if !r.charge(out, MaxData) {
		return tooLarge(t.state)
	}
	r.event(t, t.state.Type+"StateExited", "stateExitedEventDetails", map[string]any{
		"name": t.state.Name, "output": payload{out}, "outputDetails": complete,
	})
	t.job, t.fork, t.raw = nil, nil, out
	if next == "" {
		t.phase, t.done = finished, true
		return nil
	}
	t.at, t.phase = next, entering
	return nil
}

// fail tries the retriers and the catchers of a state. If none matches, the
// thread has failed.
func (r *Run) fail(t *thread, f *Failure) {
	s := t.state
	t.job, t.fork = nil, nil
	for i := range s.retry {
		entry := &s.retry[i]
		if !matches(entry.errors, f) {
			continue
		}
		if t.attempts[i] >= entry.attempts {
			break
		}
		t.until = r.now.Add(r.delay(entry, t.attempts[i]))
		t.attempts[i]++
		t.retried++
		t.phase = pausing
		return
	}
	for i := range s.catch {
		c := &s.catch[i]
		if !matches(c.errors, f) {
			continue
		}
		output := map[string]any{"Error": f.Name, "Cause": f.Cause}
		err := r.assign(t, c.assign, output)
		var out any
		if err == nil {
			out, err = combined(c.result, t.raw, output)
		}
		if err == nil {
			err = r.leave(t, out, c.next)
		}
		if err == nil {
			return
		}
		f = r.asFailure(t, err)
		break
	}
	t.phase, t.failure = finished, f
}

// matches reports whether a list of error names has a failure's. Faults of the
// definition cannot be caught, and data that is too large only by name.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
func matches(names []string, f *Failure) bool {
	if f.Name == ErrRuntime {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool {
		switch name {
		case ErrAll:
			return f.Name != ErrDataLimit
		case ErrTaskFailed:
			return f.Name != ErrTimeout && f.Name != ErrDataLimit
		}
		return name == f.Name
	})
}

func (r *Run) delay(entry *retrier, attempt int) time.Duration {
	const most = 99999999.0
	seconds := min(float64(entry.interval)*math.Pow(entry.rate, float64(attempt)), most)
	if entry.maxDelay > 0 {
		seconds = min(seconds, float64(entry.maxDelay))
	}
	if entry.fullyJitter {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err == nil {
			seconds *= float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
		}
	}
	return time.Duration(seconds * float64(time.Second))
}
