package sfnapi

import (
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// beginExecution starts another state machine, and waits for it where the
// integration says so.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
func (e *execution) beginExecution(c *authz.Call, r *resource, t *asl.Task) asl.Job {
	in, f := startInput(t.Input, r.old.integration != nil)
	if f != nil {
		return failed(f)
	}
	if e.depth >= maxNested {
		return failed(broken("more than %d executions wait for one another, which the sandbox does not allow", maxNested))
	}
	if r.action == "startSyncExecution" {
		inner, err := e.service.startSync(c, in, &around{e, t.Budget})
		e.service.remember(c, codeOf(err))
		if err != nil {
			return failed(refusal(r, c, err))
		}
		return &nested{inner: inner}
	}
	started, err := e.service.StartExecution(c, in)
	e.service.remember(c, codeOf(err))
	if err != nil {
		return failed(refusal(r, c, err))
	}
	if !strings.Contains(r.action, ".sync") {
		members, err := asMembers(started)
		if err != nil {
			return failed(fault(err))
		}
		if r.old.integration == nil {
			return succeeded(dated(members, true))
		}
		return succeeded(withMetadata(members, 200, c.RequestID))
	}
	return &followed{e: e, r: r, role: t.Role, arn: started.ARN}
}

// around is the execution that waits for another.
type around struct {
	*execution
	budget *asl.Budget
}

// startInput reads the parameters of a start. The Input of the optimized
// integration is JSON, and may be a string of JSON.
func startInput(input any, optimized bool) (*StartInput, *asl.Failure) {
	members, ok := input.(map[string]any)
	if !ok {
		return nil, broken("The Parameters of the task must be an object")
	}
	in := &StartInput{}
	for name, v := range members {
		text, ok := v.(string)
		switch {
		case name == "Input" && (optimized || ok):
			if !ok {
				text = asl.Encode(v)
			}
			in.Input = &text
		case name == "Input":
			return nil, broken("The Input of the task must be a string, such as States.JsonToString makes")
		case name == "StateMachineArn" && ok:
			in.ARN = text
		case name == "Name" && ok:
			in.Name = text
		case name == "TraceHeader" && ok:
		default:
			return nil, broken("The field '%s' is not supported by Step Functions", clip(name))
		}
	}
	return in, nil
}

// nested is an Express execution that a task waits for.
type nested struct{ inner *execution }

// Poll moves the execution on, by the time of the one that waits.
func (n *nested) Poll(now time.Time) (*asl.Result, time.Time) {
	n.inner.advance(now)
	if n.inner.status() == asl.Running {
		return nil, n.inner.due()
	}
	members, err := asMembers(n.inner.result())
	if err != nil {
		return &asl.Result{Failure: fault(err)}, time.Time{}
	}
	// An execution that failed is a success of the API, whose Status tells.
	return &asl.Result{Output: dated(members, true)}, time.Time{}
}

// Stop aborts the execution: nobody waits for it.
func (n *nested) Stop() { n.inner.stop(n.inner.service.options.Clock(), nil) }

// followed is a Standard execution that a task asks about until it ends, with
// the permissions of the task.
type followed struct {
	e    *execution
	r    *resource
	role string
	arn  string
}

// Poll describes the execution.
func (w *followed) Poll(now time.Time) (*asl.Result, time.Time) {
	c, f := w.e.session.as("states", "DescribeExecution", w.role)
	if f != nil {
		return &asl.Result{Failure: f}, time.Time{}
	}
	out, err := w.e.service.DescribeExecution(c, &ExecutionInput{ARN: w.arn})
	if err != nil {
		w.e.service.remember(c, wire.AsError(err).Code)
		return &asl.Result{Failure: refusal(w.r, c, err)}, time.Time{}
	}
	if out.Status == asl.Running {
		return nil, now.Add(time.Second)
	}
	w.e.service.remember(c, "")
	members, err := asMembers(out)
	if err != nil {
		return &asl.Result{Failure: fault(err)}, time.Time{}
	}
	if out.Status != asl.Succeeded {
		return &asl.Result{Failure: &asl.Failure{Name: asl.ErrTaskFailed, Cause: asl.Encode(members)}}, time.Time{}
	}
	if strings.HasSuffix(w.r.action, ":2") {
		if members["Output"], err = asl.Decode([]byte(out.Output)); err != nil {
			return &asl.Result{Failure: fault(err)}, time.Time{}
		}
	}
	return &asl.Result{Output: members}, time.Time{}
}

// Stop stops the execution, if the task may.
func (w *followed) Stop() {
	c, f := w.e.session.as("states", "StopExecution", w.role)
	if f != nil {
		return
	}
	_, err := w.e.service.StopExecution(c, &StopInput{ARN: w.arn})
	w.e.service.remember(c, codeOf(err))
}
