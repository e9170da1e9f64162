// Package sfnapi is the sandbox's Step Functions: state machines whose
// executions call the sandbox's own services with sessions of their execution
// roles, and of the roles that tasks name in Credentials.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/Welcome.html
package sfnapi

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const servicePrincipal = "states.amazonaws.com"

// A Service is the Step Functions of all accounts and regions of a sandbox. It
// is safe for concurrent use.
type Service struct {
	options Options

	advancing sync.Mutex // held by the one that moves executions on; never waited for

	mu         sync.Mutex
	machines   map[string]*machine   // by ARN
	executions map[string]*execution // by ARN; of Standard machines, and of Express ones while they run
	running    []*execution          // that were started asynchronously
	ended      []string              // ARNs of Standard executions, oldest first
}

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	Engine    *authz.Engine
	Clock     func() time.Time
	Random    io.Reader

	// Request sends a request of a task to another service of the sandbox, by
	// its signing name. The call says who asks.
	Request func(c *authz.Call, service string, r *http.Request) *Answer
}

// An Answer is what a service answered to a task.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// New returns a service without state machines.
func New(o Options) *Service {
	return &Service{options: o, machines: make(map[string]*machine), executions: make(map[string]*execution)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of Step Functions that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "states", Target: "AWSStepFunctions", Version: "1.0", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("CreateStateMachine", "JSONPath; Map states are inline; no versions, no KMS keys; logs are not written", (*Service).CreateStateMachine),
	awsjson.Real("DeleteStateMachine", "at once; running executions are aborted", (*Service).DeleteStateMachine),
	awsjson.Real("DescribeExecution", "the last 1,000 that have ended", (*Service).DescribeExecution),
	awsjson.Real("DescribeStateMachine", "", (*Service).DescribeStateMachine),
	awsjson.Real("GetExecutionHistory", "", (*Service).GetExecutionHistory),
	awsjson.Real("ListExecutions", "", (*Service).ListExecutions),
	awsjson.Real("ListStateMachines", "", (*Service).ListStateMachines),
	awsjson.Real("ListTagsForResource", "state machines", (*Service).ListTagsForResource),
	awsjson.Real("StartExecution", "runs when the sandbox is called again or advanced; 1,000 at a time", (*Service).StartExecution),
	awsjson.Real("StartSyncExecution", "", (*Service).StartSyncExecution),
	awsjson.Real("StopExecution", "", (*Service).StopExecution),
	awsjson.Real("TagResource", "state machines", (*Service).TagResource),
	awsjson.Real("UntagResource", "state machines", (*Service).UntagResource),
	awsjson.Real("UpdateStateMachine", "takes effect at once; no versions, no KMS keys", (*Service).UpdateStateMachine),
	awsjson.Real("ValidateStateMachineDefinition", "other wording than AWS's in part", (*Service).ValidateStateMachineDefinition),
}, awsjson.Missing[*Service](`CreateActivity CreateStateMachineAlias DeleteActivity DeleteStateMachineAlias DeleteStateMachineVersion DescribeActivity
	DescribeMapRun DescribeStateMachineAlias DescribeStateMachineForExecution GetActivityTask ListActivities ListMapRuns
	ListStateMachineAliases ListStateMachineVersions PublishStateMachineVersion RedriveExecution SendTaskFailure SendTaskHeartbeat
	SendTaskSuccess TestState UpdateMapRun UpdateStateMachineAlias`)...)}

type machine struct {
	account    iam.AccountID
	region     string
	name       string
	arn        string
	kind       asl.Kind
	definition string
	parsed     *asl.Machine
	role       string
	logging    Logging
	tracing    Tracing
	created    time.Time
	revision   string // "" before the first update
	tags       []directory.Tag
}

// Logging is where an execution's events go, and whether with data.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
type Logging struct {
	Level                string        `json:"level,omitempty"`
	IncludeExecutionData bool          `json:"includeExecutionData"`
	Destinations         []Destination `json:"destinations,omitempty"`
}

// A Destination is a log group.
type Destination struct {
	Group struct {
		ARN string `json:"logGroupArn"`
	} `json:"cloudWatchLogsLogGroup"`
}

// Tracing says whether X-Ray is used.
type Tracing struct {
	Enabled bool `json:"enabled"`
}

// A Tag is a tag in this API.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// badName is what names of machines and executions must not contain.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
var badName = regexp.MustCompile("[\\s<>{}\\[\\]?*\"#%\\\\^|~`$&,;:/\\x00-\\x1f\\x7f-\\x9f]")

func checkName(name string) error {
	if name == "" || len([]rune(name)) > 80 || badName.MatchString(name) {
		return wire.BadRequest("InvalidName", "Invalid Name: '%s'", wire.Clip(name))
	}
	return nil
}

func (s *Service) machineARN(c *authz.Call, name string) string {
	partition := "aws"
	if a, ok := s.options.Directory.Account(c.Account()); ok {
		partition = a.Partition
	}
	return "arn:" + partition + ":states:" + c.Region + ":" + string(c.Account()) + ":stateMachine:" + name
}

// find returns a state machine after authorising the action on it. One that does
// not exist is reported only to those who might have used it; state machines of
// other accounts and regions do not exist. The caller holds the lock.
func (s *Service) find(c *authz.Call, arn, action string, more func(*authz.Query)) (*machine, error) {
	if err := awsjson.Required("StateMachineArn", arn); err != nil {
		return nil, err
	}
	parsed, err := iam.ParseARN(arn)
	name, ok := strings.CutPrefix(parsed.Resource, "stateMachine:")
	if err != nil || parsed.Service != "states" || !ok || name == "" {
		return nil, wire.BadRequest("InvalidArn", "Invalid Arn: '%s'", wire.Clip(arn))
	}
	if strings.ContainsAny(name, ":/") {
		return nil, wire.NotImplemented("states", "versions, aliases and Map runs of state machines")
	}
	m := s.machines[arn]
	if m != nil && (m.account != c.Account() || m.region != c.Region) {
		m = nil
	}
	q := authz.Query{Action: "states:" + action, Resource: arn}
	if m != nil {
		q.ResourceTags = m.tags
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, wire.BadRequest("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", wire.Clip(arn))
	}
	return m, nil
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.options.Random) }

// Overview shows the state machines. Their definitions, and the data of their
// executions, may be secret.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[*machine]int)
	for _, e := range s.executions {
		counts[e.machine]++
	}
	section := overview.Section{Title: "State machines", Columns: []string{"State machine", "Type", "Role", "Executions"}}
	for _, m := range s.machines {
		section.Rows = append(section.Rows, []string{m.arn, string(m.kind), m.role, fmt.Sprint(counts[m])})
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
