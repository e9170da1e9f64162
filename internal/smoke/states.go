package smoke

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/grant"
)

// stateCalls are those of state machines. Running one does what it does, so that
// takes --write; following and stopping are tried with an execution that does not
// exist, which Step Functions says only to those who may.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
var stateCalls = &service{
	calls: []call{
		startCall("StartSyncExecution", "sync-states").writing(),
		startCall("StartExecution", "states").writing(),
		executionCall("DescribeExecution"), executionCall("StopExecution"),
		machineCall("DescribeStateMachine", "states"), machineCall("ListExecutions", "states", "StateMachineTypeNotSupported"),
	},
	others: []string{"states:DescribeStateMachine", "states:ListExecutions"},
}

const noMachine = "StateMachineDoesNotExist"

// syncLimit is how long a workflow may run that is waited for.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
const syncLimit = 5*time.Minute + callTimeout

func machineCall(operation, prefix string, passed ...string) call {
	c := jsonCall("states:"+operation, prefix, "1.0", "AWSStepFunctions", func(t *target) map[string]any {
		return map[string]any{"stateMachineArn": t.resource}
	}, passed...)
	c.absent = noMachine
	return c
}

// startCall runs a state machine with an empty input, under a name that AWS
// chooses: names of Standard workflows cannot be used again for months.
func startCall(operation, prefix string) call {
	c := machineCall(operation, prefix)
	make := c.request
	c.request = func(t *target) (*request, string) {
		r, why := make(t)
		r.limit = syncLimit
		return r, why
	}
	return c
}

func executionCall(operation string) call {
	return jsonCall("states:"+operation, "states", "1.0", "AWSStepFunctions", func(t *target) map[string]any {
		return map[string]any{"executionArn": t.resource}
	}, "ExecutionDoesNotExist")
}

// absentMachine tries to run a state machine that does not exist, but whose name
// begins like the one that is granted. Whoever may run it is told that it does
// not exist.
func (y *trying) absentMachine(ctx context.Context, user, action, pattern string) {
	arn := sample(pattern) + "-" + probeName
	if y.granted(ctx, user, action, arn) {
		return
	}
	y.attempt(ctx, Attempt{Case: "another state machine", Principal: user, Action: action, Resource: arn, Want: Refused, absent: true}, "", y.trial)
}

// What the cause of an execution says that failed because a task's role could not
// be assumed, and because that role may not run the workflow.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html
const (
	cannotAssume = "is not authorized to assume the task state's role"
	cannotRun    = "is not authorized to perform: states:StartSyncExecution"
)

// workflow tries a grant whose role only Step Functions can assume, for one state
// machine of the consumer: by running that state machine, if the plan creates it
// and it is allowed, and by assuming the role as somebody else, which must be
// refused.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html
func (y *trying) workflow(ctx context.Context) {
	t := y.trial
	assume := Attempt{Case: "declared", Principal: t.Principal, Action: "sts:AssumeRole", Resource: t.Given.Assume, Want: Allowed}
	switch {
	case !t.Caller:
		assume.Outcome, assume.Reason = NotTried, fmt.Sprintf("only Step Functions may do it, for %s, which the plan does not create: run that to try it", t.Workflow)
		y.result.Attempts = append(y.result.Attempts, assume)
	case !y.Write:
		assume.Outcome, assume.Reason = NotTried, fmt.Sprintf("only Step Functions may do it, for %s; --write runs that", t.Workflow)
		y.result.Attempts = append(y.result.Attempts, assume)
	default:
		start := Attempt{Case: "declared", Principal: t.Given.Assume, Action: "states:StartSyncExecution", Resource: t.Given.ARN, Want: Allowed}
		y.patiently(ctx, func() { y.runCaller(ctx, &assume, &start) }, &assume, &start)
		y.result.Attempts = append(y.result.Attempts, assume, start)
	}
	if base := y.base.arn; !wide(t) && !y.granted(ctx, base, "sts:AssumeRole", t.Given.Assume) {
		// The external ID is the ARN of a state machine, which is no secret: the
		// role must ask who it is, too.
		other := Attempt{Case: "another principal of the account", Principal: base, Action: "sts:AssumeRole", Resource: t.Given.Assume, Want: Refused}
		y.patiently(ctx, func() { y.assume(ctx, &other, y.base, t.ExternalID) }, &other)
		y.result.Attempts = append(y.result.Attempts, other)
	}
}

// runCaller runs the consumer's state machine and judges by what became of it
// whether its task could assume the role and run the workflow. What the workflow
// returned is not looked at.
func (y *trying) runCaller(ctx context.Context, assume, start *Attempt) {
	t := y.trial
	inconclusive := func(reason string, args ...any) {
		assume.Outcome, assume.Reason = Inconclusive, fmt.Sprintf(reason, args...)
		start.Outcome, start.Reason = NotTried, "it follows on the role"
	}
	machine := y.target(&Attempt{Resource: t.Workflow}, "", t)
	machine.owner = t.Consumer
	machine.owner.Region = machine.arn.Region
	request, _ := callOf("states:StartSyncExecution", machine).request(machine)
	answer, err := y.base.send(ctx, request, machine.owner.Region, suffixOf(t.Consumer.Partition))
	switch {
	case err != nil:
		inconclusive("%s", err)
		return
	case answer.status != http.StatusOK:
		inconclusive("%s could not run %s (%s), whose task assumes the role", y.base.arn, t.Workflow, answer.code)
		return
	}
	name, cause := field(answer.body, "error"), field(answer.body, "cause")
	switch status := field(answer.body, "status"); {
	case status == "SUCCEEDED", name == grant.WorkflowFailed:
		assume.Outcome, start.Outcome = Allowed, Allowed
	case strings.Contains(cause, cannotAssume) && strings.Contains(cause, t.Given.Assume):
		assume.Outcome, assume.Denial = Refused, denial(assume, "")
		start.Outcome, start.Reason = NotTried, "it follows on the role"
	case strings.Contains(cause, cannotRun):
		assume.Outcome, start.Outcome, start.Denial = Allowed, Refused, denial(start, cause)
	default:
		inconclusive("%s ended with %s %s: look at what became of its task", t.Workflow, status, name)
	}
}
