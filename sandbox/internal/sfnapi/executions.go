package sfnapi

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Bounds of executions. The first two are AWS's; the others keep the process
// from being filled or kept busy.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const (
	standardLimit = 365 * 24 * time.Hour
	expressLimit  = 5 * time.Minute
	maxRunning    = 1000
	maxEnded      = 1000
	maxNested     = 20 // executions that wait for one another
)

// An execution is one run of a state machine.
type execution struct {
	service *Service
	machine *machine
	arn     string
	name    string
	input   string
	started time.Time
	depth   int

	running sync.Mutex // held while the execution moves on, and so while its tasks run
	run     *asl.Run
	session *session // of the execution role

	// What others may ask at any time, also a function that a task of the
	// execution has called.
	state    atomic.Pointer[state]
	stopping atomic.Pointer[order]
	events   sync.Mutex
	history  []*asl.Event
}

// A state is how an execution was when it last stood still.
type state struct {
	status  asl.Status
	ended   time.Time
	output  any
	failure *asl.Failure
}

// An order is that an execution is to be stopped.
type order struct {
	at  time.Time
	why *asl.Failure
}

// advance moves the execution on.
func (e *execution) advance(now time.Time) {
	e.running.Lock()
	defer e.running.Unlock()
	e.obey()
	e.run.Advance(now)
	e.obey()
}

// obey carries out an order to stop, and notes how the execution is.
func (e *execution) obey() {
	if o := e.stopping.Load(); o != nil {
		e.run.Stop(o.at, o.why)
	}
	e.state.Store(&state{e.run.Status, e.run.Ended, e.run.Output, e.run.Failure})
}

// stop aborts the execution: at once, or after the task that it is about.
func (e *execution) stop(now time.Time, why *asl.Failure) {
	e.stopping.CompareAndSwap(nil, &order{now, why})
	if e.running.TryLock() {
		defer e.running.Unlock()
		e.obey()
	}
}

func (e *execution) status() asl.Status { return e.state.Load().status }

// Record keeps an event of the history.
func (e *execution) Record(event *asl.Event) {
	e.events.Lock()
	defer e.events.Unlock()
	e.history = append(e.history, event)
}

// Advance moves executions on that were started asynchronously. If that is being
// done already, by another request or by one that a function makes, it returns
// at once.
func (s *Service) Advance(now time.Time) {
	if !s.advancing.TryLock() {
		return
	}
	defer s.advancing.Unlock()
	s.mu.Lock()
	running := slices.Clone(s.running)
	s.mu.Unlock()
	for _, e := range running {
		e.advance(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = slices.DeleteFunc(s.running, func(e *execution) bool {
		ended := e.status() != asl.Running
		if ended {
			s.keep(e)
		}
		return ended
	})
}

// keep remembers an execution that has ended, if AWS would show it. The caller
// holds the lock.
func (s *Service) keep(e *execution) {
	if e.machine.kind == asl.Express {
		delete(s.executions, e.arn)
		return
	}
	s.ended = append(s.ended, e.arn)
	for len(s.ended) > maxEnded {
		delete(s.executions, s.ended[0])
		s.ended = s.ended[1:]
	}
}

// StartInput is the input of StartExecution and StartSyncExecution.
type StartInput struct {
	ARN     string  `json:"stateMachineArn"`
	Name    string  `json:"name"`
	Input   *string `json:"input"`
	Tracing string  `json:"traceHeader"`
}

// Started is the output of StartExecution.
type Started struct {
	ARN  string          `json:"executionArn"`
	Date *wire.Timestamp `json:"startDate"`
}

// StartExecution begins an execution, which runs when the sandbox advances.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
func (s *Service) StartExecution(c *authz.Call, in *StartInput) (*Started, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "StartExecution", nil)
	if err != nil {
		return nil, err
	}
	e, again, err := s.prepare(c, m, in, nil)
	if err != nil {
		return nil, err
	}
	if !again {
		if len(s.running) >= maxRunning {
			return nil, wire.BadRequest("ExecutionLimitExceeded", "The maximum number of running executions has been reached. Running executions must end or be stopped before a new execution can be started.")
		}
		s.executions[e.arn] = e
		s.running = append(s.running, e)
	}
	return &Started{e.arn, wire.At(e.started)}, nil
}

// prepare makes an execution, or finds the one that was started with the same
// name and input. By is the execution that waits for it, if any. The caller
// holds the lock.
func (s *Service) prepare(c *authz.Call, m *machine, in *StartInput, by *around) (e *execution, again bool, err error) {
	text := "{}"
	if in.Input != nil {
		text = *in.Input
	}
	if len(text) > asl.MaxData {
		return nil, false, invalid("Value at 'input' failed to satisfy constraint: Member must have length less than or equal to %d", asl.MaxData)
	}
	input, err := asl.Decode([]byte(text))
	if err != nil {
		return nil, false, wire.BadRequest("InvalidExecutionInput", "Invalid State Machine Execution Input: the input is not JSON")
	}
	id, err := s.newID()
	if err != nil {
		return nil, false, err
	}
	name := in.Name
	if name == "" {
		name = id
	}
	if err := checkName(name); err != nil {
		return nil, false, err
	}
	base := strings.Replace(m.arn, ":stateMachine:", ":execution:", 1) + ":" + name
	if m.kind == asl.Express {
		base = strings.Replace(m.arn, ":stateMachine:", ":express:", 1) + ":" + name + ":" + id
	}
	if old := s.executions[base]; old != nil {
		if old.input == text && old.status() == asl.Running {
			return old, true, nil
		}
		return nil, false, wire.BadRequest("ExecutionAlreadyExists", "Execution Already Exists: '%s'", base)
	}
	e = &execution{service: s, machine: m, arn: base, name: name, input: text, started: c.Now}
	var budget *asl.Budget
	if by != nil {
		e.depth, budget = by.depth+1, by.budget
	}
	e.session = &session{service: s, machine: m.arn, role: m.role, region: m.region}
	limit := standardLimit
	if m.kind == asl.Express {
		limit = expressLimit
	}
	started := c.Now.UTC().Format("2006-01-02T15:04:05.000Z")
	e.run = asl.Start(asl.Options{
		Machine: m.parsed, Kind: m.kind, Input: input, Role: m.role, Region: m.region, Host: e, Random: s.options.Random, Now: c.Now, Limit: limit, Budget: budget,
		Halted: func() bool { return e.stopping.Load() != nil },
		Context: map[string]any{
			"Execution":    map[string]any{"Id": e.arn, "Input": input, "Name": name, "RoleArn": m.role, "StartTime": started, "RedriveCount": asl.Number(0)},
			"StateMachine": map[string]any{"Id": m.arn, "Name": m.name},
		},
	})
	e.obey()
	return e, false, nil
}

// Included says that data is there.
type Included struct {
	Included bool `json:"included"`
}

// SyncResult is the output of StartSyncExecution.
type SyncResult struct {
	ARN        string          `json:"executionArn"`
	MachineARN string          `json:"stateMachineArn"`
	Name       string          `json:"name"`
	Start      *wire.Timestamp `json:"startDate"`
	Stop       *wire.Timestamp `json:"stopDate"`
	Status     asl.Status      `json:"status"`
	Error      string          `json:"error,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Input      string          `json:"input"`
	InputIs    Included        `json:"inputDetails"`
	Output     string          `json:"output,omitempty"`
	OutputIs   *Included       `json:"outputDetails,omitempty"`
	Billing    Billing         `json:"billingDetails"`
}

// Billing is what an Express execution is billed by.
type Billing struct {
	Memory   int   `json:"billedMemoryUsedInMB"`
	Duration int64 `json:"billedDurationInMilliseconds"`
}

// StartSyncExecution runs an Express workflow and waits for its end, for five
// minutes at most, by the sandbox's clock and by a real one.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
func (s *Service) StartSyncExecution(c *authz.Call, in *StartInput) (*SyncResult, error) {
	e, err := s.startSync(c, in, nil)
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(expressLimit)
	defer timeout.Stop()
	for {
		now := s.options.Clock()
		e.advance(now)
		if e.status() != asl.Running {
			return e.result(), nil
		}
		// A sandbox's clock may stand still until somebody else moves it, so
		// it is read again every second at least.
		wait := time.NewTimer(min(max(e.due().Sub(now), time.Millisecond), time.Second))
		select {
		case <-wait.C:
		case <-timeout.C:
			wait.Stop()
			e.advance(e.started.Add(expressLimit))
		case <-c.Context.Done():
			wait.Stop()
			e.stop(s.options.Clock(), nil)
			return nil, wire.Errorf(http.StatusServiceUnavailable, "ServiceUnavailable", "the caller has gone")
		}
	}
}

func (e *execution) due() time.Time {
	e.running.Lock()
	defer e.running.Unlock()
	return e.run.Due()
}

// startSync prepares an execution that somebody waits for and moves on.
func (s *Service) startSync(c *authz.Call, in *StartInput, by *around) (*execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "StartSyncExecution", nil)
	if err != nil {
		return nil, err
	}
	if m.kind != asl.Express {
		return nil, wire.BadRequest("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
	}
	e, _, err := s.prepare(c, m, in, by)
	return e, err
}

func (e *execution) result() *SyncResult {
	r := e.state.Load()
	out := &SyncResult{
		ARN: e.arn, MachineARN: e.machine.arn, Name: e.name, Start: wire.At(e.started), Stop: wire.At(r.ended), Status: r.status, Input: e.input, InputIs: Included{true},
		Billing: Billing{64, (r.ended.Sub(e.started).Milliseconds()/100 + 1) * 100},
	}
	if f := r.failure; f != nil {
		out.Error, out.Cause = f.Name, f.Cause
	}
	if r.status == asl.Succeeded {
		out.Output, out.OutputIs = asl.Encode(r.output), &Included{true}
	}
	return out
}

// findExecution returns an execution of a Standard state machine after
// authorising the action on it. The caller holds the lock.
func (s *Service) findExecution(c *authz.Call, arn, action string) (*execution, error) {
	if err := awsjson.Required("ExecutionArn", arn); err != nil {
		return nil, err
	}
	parsed, err := iam.ParseARN(arn)
	kind, name, _ := strings.Cut(parsed.Resource, ":")
	switch {
	case err != nil || parsed.Service != "states" || name == "":
		return nil, wire.BadRequest("InvalidArn", "Invalid Arn: '%s'", wire.Clip(arn))
	case kind != "execution":
		return nil, wire.BadRequest("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", wire.Clip(kind))
	}
	e := s.executions[arn]
	if e != nil && (e.machine.account != c.Account() || e.machine.region != c.Region) {
		e = nil
	}
	if err := c.Authorize(authz.Query{Action: "states:" + action, Resource: arn}); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, wire.BadRequest("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", wire.Clip(arn))
	}
	return e, nil
}

// ExecutionInput names an execution.
type ExecutionInput struct {
	ARN      string `json:"executionArn"`
	Included string `json:"includedData"`
}

// ExecutionDescription describes an execution.
type ExecutionDescription struct {
	ARN           string          `json:"executionArn"`
	MachineARN    string          `json:"stateMachineArn"`
	Name          string          `json:"name"`
	Status        asl.Status      `json:"status"`
	Start         *wire.Timestamp `json:"startDate"`
	Stop          *wire.Timestamp `json:"stopDate,omitempty"`
	Input         string          `json:"input,omitempty"`
	InputIs       *Included       `json:"inputDetails,omitempty"`
	Output        string          `json:"output,omitempty"`
	OutputIs      *Included       `json:"outputDetails,omitempty"`
	Error         string          `json:"error,omitempty"`
	Cause         string          `json:"cause,omitempty"`
	RedriveCount  int             `json:"redriveCount"`
	RedriveStatus string          `json:"redriveStatus"`
}

// DescribeExecution shows an execution.
func (s *Service) DescribeExecution(c *authz.Call, in *ExecutionInput) (*ExecutionDescription, error) {
	s.mu.Lock()
	e, err := s.findExecution(c, in.ARN, "DescribeExecution")
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return e.describe(in.Included != "METADATA_ONLY"), nil
}

func (e *execution) describe(data bool) *ExecutionDescription {
	r := e.state.Load()
	out := &ExecutionDescription{
		ARN: e.arn, MachineARN: e.machine.arn, Name: e.name, Status: r.status, Start: wire.At(e.started), Stop: wire.At(r.ended), RedriveStatus: "NOT_REDRIVABLE",
	}
	if data {
		out.Input, out.InputIs = e.input, &Included{true}
		if r.status == asl.Succeeded {
			out.Output, out.OutputIs = asl.Encode(r.output), &Included{true}
		}
	}
	if f := r.failure; f != nil {
		out.Error = f.Name
		if data {
			out.Cause = f.Cause
		}
	}
	return out
}

// StopInput is the input of StopExecution.
type StopInput struct {
	ARN   string `json:"executionArn"`
	Error string `json:"error"`
	Cause string `json:"cause"`
}

// Stopped is the output of StopExecution.
type Stopped struct {
	Date *wire.Timestamp `json:"stopDate"`
}

// StopExecution ends an execution of a Standard state machine. One that has
// ended stays as it is.
func (s *Service) StopExecution(c *authz.Call, in *StopInput) (*Stopped, error) {
	if len(in.Error) > 256 || len(in.Cause) > 32768 {
		return nil, invalid("an error has at most 256 characters, and a cause 32768")
	}
	s.mu.Lock()
	e, err := s.findExecution(c, in.ARN, "StopExecution")
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	e.stop(c.Now, &asl.Failure{Name: in.Error, Cause: in.Cause})
	if d := e.describe(false); d.Stop != nil {
		return &Stopped{d.Stop}, nil
	}
	return &Stopped{wire.At(c.Now)}, nil
}
