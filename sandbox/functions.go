package sandbox

import (
	"context"

	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
)

// A Function is the code of a Lambda function. It is given the event and
// returns the answer, both JSON; an answer without bytes is null. An error, and
// a panic, is a function error: the caller gets it in Lambda's form.
//
// The context ends with the function's timeout. A Function may be called from
// several goroutines at a time, and may call the sandbox.
type Function func(ctx context.Context, in Invocation) ([]byte, error)

// An Invocation is one run of a function.
type Invocation struct {
	Payload     []byte // the event
	FunctionARN string
	RequestID   string
	Environment map[string]string // the function's variables; not to be changed
	Credentials Credentials       // a session of the execution role
}

// RegisterFunction says what the Lambda functions of this name do, in all
// accounts and regions. Given an ARN it says so of that function only, and wins
// over a name. The functions themselves are made as in AWS, with CreateFunction
// or a stack, before or after. A function that no code was registered for cannot
// be invoked, unless its handler is "sandbox.echo": then it answers with its
// event.
//
// Events and event source mappings run before the sandbox answers a request,
// whatever its service, and when [Sandbox.Advance] is called.
func (s *Sandbox) RegisterFunction(nameOrARN string, f Function) {
	s.lambda.Register(nameOrARN, func(ctx context.Context, in lambdaapi.Invocation) ([]byte, error) {
		session := in.Session
		return f(ctx, Invocation{
			Payload: in.Payload, FunctionARN: in.FunctionARN, RequestID: in.RequestID, Environment: in.Environment,
			Credentials: Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.Token},
		})
	})
}

// Advance does what is due without a request: steps of stacks, events that wait
// for functions, and one reading of every event source.
func (s *Sandbox) Advance() { s.advance(s.clock()) }
