// Package eventsapi is the sandbox's EventBridge: event buses with their
// policies, and rules that hand events to queues, functions and other buses.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/Welcome.html
package eventsapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const servicePrincipal = "events.amazonaws.com"

// A Service is the EventBridge of all accounts and regions of a sandbox. It is
// safe for concurrent use.
type Service struct {
	options Options

	mu    sync.Mutex
	buses map[string]*bus // by ARN
}

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	SQS       *sqsapi.Service
	Lambda    *lambdaapi.Service
	Random    io.Reader
}

// New returns a service with every account's default bus.
func New(o Options) *Service { return &Service{options: o, buses: make(map[string]*bus)} }

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of EventBridge that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "events", Target: "AWSEvents", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("CreateEventBus", "no encryption, logs and partner sources", (*Service).CreateEventBus),
	awsjson.Real("DeleteEventBus", "", (*Service).DeleteEventBus),
	awsjson.Real("DeleteRule", "", (*Service).DeleteRule),
	awsjson.Real("DescribeEventBus", "", (*Service).DescribeEventBus),
	awsjson.Real("DescribeRule", "", (*Service).DescribeRule),
	awsjson.Real("DisableRule", "", (*Service).DisableRule),
	awsjson.Real("EnableRule", "", (*Service).EnableRule),
	awsjson.Real("ListEventBuses", "one page", (*Service).ListEventBuses),
	awsjson.Real("ListRules", "one page", (*Service).ListRules),
	awsjson.Real("ListTargetsByRule", "one page", (*Service).ListTargetsByRule),
	awsjson.Real("ListTagsForResource", "of buses", (*Service).ListTagsForResource),
	awsjson.Real("PutEvents", "deliveries are tried once", (*Service).PutEvents),
	awsjson.Real("PutPermission", "", (*Service).PutPermission),
	awsjson.Real("PutRule", "on buses of the caller's account; patterns of exact values of account, detail-type, region and source; no schedules", (*Service).PutRule),
	awsjson.Real("PutTargets", "queues, functions, and buses with a role; events as they are", (*Service).PutTargets),
	awsjson.Real("RemovePermission", "", (*Service).RemovePermission),
	awsjson.Real("RemoveTargets", "", (*Service).RemoveTargets),
	awsjson.Real("TagResource", "buses", (*Service).TagResource),
	awsjson.Real("UntagResource", "buses", (*Service).UntagResource),
}, awsjson.Missing[*Service](`ActivateEventSource CancelReplay CreateApiDestination CreateArchive CreateConnection CreateEndpoint
	CreatePartnerEventSource DeactivateEventSource DeauthorizeConnection DeleteApiDestination DeleteArchive DeleteConnection
	DeleteEndpoint DeletePartnerEventSource DescribeApiDestination DescribeArchive DescribeConnection DescribeEndpoint
	DescribeEventSource DescribePartnerEventSource DescribeReplay ListApiDestinations ListArchives ListConnections ListEndpoints
	ListEventSources ListPartnerEventSourceAccounts ListPartnerEventSources ListReplays ListRuleNamesByTarget
	PutPartnerEvents StartReplay TestEventPattern UpdateApiDestination UpdateArchive UpdateConnection
	UpdateEndpoint UpdateEventBus`)...)}

type bus struct {
	account     iam.AccountID
	region      string
	name        string
	arn         string
	description string
	tags        []directory.Tag
	policy      *directory.Document
	rules       []*rule
	arrived     int // events
}

func (s *Service) busARN(account iam.AccountID, region, name string) string {
	partition := "aws"
	if a, ok := s.options.Directory.Account(account); ok {
		partition = a.Partition
	}
	return "arn:" + partition + ":events:" + region + ":" + string(account) + ":event-bus/" + name
}

// lookup finds a bus by name or ARN, empty for the default one, which every
// account has. The bus is nil if there is none. The caller holds the lock.
func (s *Service) lookup(c *authz.Call, name string) (*bus, string, error) {
	account, region := c.Account(), c.Region
	if name == "" {
		name = "default"
	}
	if strings.HasPrefix(name, "arn:") {
		arn, err := iam.ParseARN(name)
		rest, ok := strings.CutPrefix(arn.Resource, "event-bus/")
		if err != nil || arn.Service != "events" || !ok {
			return nil, "", invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", wire.Clip(name))
		}
		account, region, name = iam.AccountID(arn.Account), arn.Region, rest
	}
	arn := s.busARN(account, region, name)
	if b := s.buses[arn]; b != nil {
		return b, arn, nil
	}
	if _, exists := s.options.Directory.Account(account); name == "default" && exists {
		b := &bus{account: account, region: region, name: name, arn: arn}
		s.buses[arn] = b
		return b, arn, nil
	}
	return nil, arn, nil
}

// find is lookup with authorisation of the action. A bus that does not exist is
// reported only to those who might have used it.
func (s *Service) find(c *authz.Call, name, action string, more func(*authz.Query)) (*bus, error) {
	b, arn, err := s.lookup(c, name)
	if err != nil {
		return nil, err
	}
	q := authz.Query{Action: "events:" + action, Resource: arn}
	if b != nil {
		q.ResourceTags = b.tags
		if b.policy != nil {
			q.ResourcePolicy = b.policy.Compiled
		}
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if b == nil {
		return nil, notFound("Event bus %s does not exist.", arn[strings.LastIndexByte(arn, '/')+1:])
	}
	return b, nil
}

func invalid(format string, args ...any) error {
	return wire.BadRequest("ValidationException", format, args...)
}

func notFound(format string, args ...any) error {
	return wire.BadRequest("ResourceNotFoundException", format, args...)
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.options.Random) }

// Overview shows the buses that were used.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Event buses", Columns: []string{"Bus", "Rules", "Events", "Policy"}}
	for _, b := range s.buses {
		policy := "no"
		if b.policy != nil {
			policy = "yes"
		}
		section.Rows = append(section.Rows, []string{b.arn, fmt.Sprint(len(b.rules)), fmt.Sprint(b.arrived), policy})
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
