package lambdaapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Limits of events, in bytes.
//
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxPayload = 6 << 20
	maxEvent   = 1 << 20 // of asynchronous invocations
)

func (s *Service) serveInvoke(c *authz.Call, r *request) (*answer, error) {
	if _, err := s.functionARN(c, r.name, r.URL.Query().Get("Qualifier")); err != nil {
		return nil, err
	}
	for _, header := range []string{"X-Amz-Client-Context", "X-Amz-Durable-Execution-Name"} {
		if r.Header.Get(header) != "" {
			return nil, wire.NotImplemented("lambda", "Invoke with "+header)
		}
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		return nil, wire.NotImplemented("lambda", "Invoke with LogType Tail")
	}
	if len(r.body) > 0 && !json.Valid(r.body) {
		return nil, wire.BadRequest("InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json")
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		return s.invoke(c, r)
	case "Event":
		if err := s.Enqueue(c, r.name, r.body); err != nil {
			return nil, err
		}
		return &answer{status: http.StatusAccepted, body: []byte(nil)}, nil
	case "DryRun":
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err := s.find(c, r.name, "InvokeFunction", nil); err != nil {
			return nil, err
		}
		return nothing()
	default:
		return nil, invalid("Invocation type %s is none of RequestResponse, Event and DryRun", wire.Clip(kind))
	}
}

func (s *Service) invoke(c *authz.Call, r *request) (*answer, error) {
	payload, failed, err := s.Call(c, r.name, r.body)
	if err != nil {
		return nil, err
	}
	out := &answer{status: http.StatusOK, header: map[string]string{"X-Amz-Executed-Version": "$LATEST"}, body: payload}
	if failed {
		out.header["X-Amz-Function-Error"] = "Unhandled"
	}
	return out, nil
}

// Call invokes a function and waits for its answer. Failed says that the answer
// is an error of the function.
func (s *Service) Call(c *authz.Call, reference string, event []byte) (answer []byte, failed bool, err error) {
	if len(event) > maxPayload {
		return nil, false, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", maxPayload)
	}
	s.mu.Lock()
	f, err := s.find(c, reference, "InvokeFunction", nil)
	if err != nil {
		s.mu.Unlock()
		return nil, false, err
	}
	run, err := s.prepare(c, f, event)
	s.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	answer, failed = run.do(c.Context)
	return answer, failed, nil
}

// A run is a function about to be called. It needs no lock.
type run struct {
	code    Code
	in      Invocation
	timeout time.Duration
}

// sessionLife is how long Lambda uses a session of an execution role.
const sessionLife = 30 * time.Minute

// prepare finds a function's code and begins a session of its execution role.
// A function nobody has registered code for cannot be called. The caller holds
// the lock.
func (s *Service) prepare(c *authz.Call, f *function, payload []byte) (*run, error) {
	code := s.code[f.arn]
	if code == nil {
		code = s.code[f.name]
	}
	if code == nil && f.settings.Handler == EchoHandler {
		code = echo
	}
	if code == nil {
		return nil, wire.NotImplemented("lambda", fmt.Sprintf("the code of function %s: register it with Sandbox.RegisterFunction, or give the function the handler %s", f.name, EchoHandler))
	}
	session, err := s.executionRole(c, f)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	in := Invocation{Payload: payload, FunctionARN: f.arn, RequestID: c.RequestID, Session: session.Caller.Session}
	if f.settings.Environment != nil {
		in.Environment = f.settings.Environment.Variables
	}
	f.runs++
	return &run{code, in, time.Duration(f.settings.Timeout) * time.Second}, nil
}

// executionRole returns a call made with a session of a function's execution
// role. The caller holds the lock.
func (s *Service) executionRole(c *authz.Call, f *function) (*authz.Call, error) {
	if f.session == nil || c.Now.Sub(f.sessions) > sessionLife {
		session, err := c.AsServiceRole(f.role, servicePrincipal, f.name)
		if err != nil {
			e := wire.Errorf(http.StatusForbidden, "AccessDeniedException", "The role defined for the function cannot be assumed by Lambda.")
			e.Cause = err
			return nil, e
		}
		f.session, f.sessions = session, c.Now
	}
	own := *c
	own.Caller, own.Via, own.SourceIP, own.SourceARN, own.Secure = f.session.Caller, nil, "", "", true
	return &own, nil
}

func echo(_ context.Context, in Invocation) ([]byte, error) { return in.Payload, nil }

// errTimeout is that a function took longer than it may.
var errTimeout = errors.New("task timed out")

// do calls the function. An error of it becomes the payload, as in AWS, and is
// reported by the second result.
func (r *run) do(ctx context.Context) (payload []byte, failed bool) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.timeout, errTimeout)
	defer cancel()
	out, err := r.call(ctx)
	if err == nil && len(out) == 0 {
		out = []byte("null")
	}
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return functionError("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %s seconds", r.in.RequestID, strconv.FormatFloat(r.timeout.Seconds(), 'f', 2, 64))), true
	case err != nil:
		return functionError(fmt.Sprintf("%T", err), err.Error()), true
	case !json.Valid(out):
		return functionError("Runtime.MarshalError", "the function's result is not JSON"), true
	case len(out) > maxPayload:
		return functionError("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload)), true
	}
	return out, false
}

// call turns a panic of the function into an error of it.
func (r *run) call(ctx context.Context) (out []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			out, err = nil, fmt.Errorf("the function panicked: %v", fault)
		}
	}()
	return r.code(ctx, r.in)
}

func functionError(kind, message string) []byte {
	text, _ := json.Marshal(map[string]string{"errorMessage": message, "errorType": kind}) // strings always marshal
	return text
}

// An event is an asynchronous invocation that waits.
type event struct {
	function string // ARN
	payload  []byte
	due      time.Time
	attempt  int
}

// Enqueue invokes a function asynchronously: it is authorised now and runs when
// the sandbox advances.
func (s *Service) Enqueue(c *authz.Call, reference string, payload []byte) error {
	if len(payload) > maxEvent {
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", maxEvent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, reference, "InvokeFunction", nil)
	if err != nil {
		return err
	}
	s.events = append(s.events, &event{function: f.arn, payload: payload, due: c.Now})
	return nil
}

// retryAfter is how long Lambda waits before it tries an event again; after the
// last time the event is dropped.
//
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
var retryAfter = []time.Duration{time.Minute, 2 * time.Minute}

// runEvents runs the events that are due.
func (s *Service) runEvents(now time.Time) {
	s.mu.Lock()
	var due, later []*event
	for _, e := range s.events {
		if e.due.After(now) {
			later = append(later, e)
		} else {
			due = append(due, e)
		}
	}
	s.events = later
	s.mu.Unlock()
	for _, e := range due {
		if s.runEvent(now, e) || e.attempt >= len(retryAfter) {
			continue
		}
		e.due = now.Add(retryAfter[e.attempt])
		e.attempt++
		s.mu.Lock()
		s.events = append(s.events, e)
		s.mu.Unlock()
	}
}

// runEvent reports whether the event is done with.
func (s *Service) runEvent(now time.Time, e *event) bool {
	s.mu.Lock()
	f := s.functions[e.function]
	if f == nil {
		s.mu.Unlock()
		return true
	}
	c, err := s.ownCall(now, f.region, "Invoke")
	var run *run
	if err == nil {
		run, err = s.prepare(c, f, e.payload)
	}
	s.mu.Unlock()
	if err != nil {
		s.remember(c, f.region, wire.AsError(err).Code)
		return false
	}
	_, failed := run.do(c.Context)
	code := ""
	if failed {
		code = "FunctionError"
	}
	s.remember(c, f.region, code)
	return !failed
}
