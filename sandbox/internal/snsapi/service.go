// Package snsapi is the sandbox's SNS: standard topics that deliver to the
// sandbox's queues and functions, and topic policies that are enforced.
//
// https://docs.aws.amazon.com/sns/latest/api/welcome.html
package snsapi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const version = "2010-03-31"

// servicePrincipal delivers to endpoints, and calls KMS for publishers.
const servicePrincipal = "sns.amazonaws.com"

// A Service is the SNS of all accounts and regions of a sandbox. It is safe
// for concurrent use.
type Service struct {
	options Options

	mu     sync.Mutex
	topics map[string]*topic // by ARN
}

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	KMS       *kmsapi.Service
	SQS       *sqsapi.Service
	Lambda    *lambdaapi.Service
	Random    io.Reader
}

// New returns a service without topics.
func New(o Options) *Service { return &Service{options: o, topics: make(map[string]*topic)} }

// An operation decodes the parameters, does its work and returns the result.
type operation struct {
	overview.Operation
	serve func(*Service, *authz.Call, url.Values) (any, error)
}

// operations is the one table of what this SNS does. Rows without a function
// are operations of SNS that answer NotImplemented.
var operations = append([]operation{
	served("ConfirmSubscription", "", (*Service).ConfirmSubscription),
	served("CreateTopic", "standard topics", (*Service).CreateTopic),
	served("DeleteTopic", "", (*Service).DeleteTopic),
	served("GetSubscriptionAttributes", "", (*Service).GetSubscriptionAttributes),
	served("GetTopicAttributes", "", (*Service).GetTopicAttributes),
	served("ListSubscriptions", "", (*Service).ListSubscriptions),
	served("ListSubscriptionsByTopic", "", (*Service).ListSubscriptionsByTopic),
	served("ListTagsForResource", "", (*Service).ListTagsForResource),
	served("ListTopics", "", (*Service).ListTopics),
	served("Publish", "to topics; deliveries are tried once and are not signed", (*Service).Publish),
	served("PublishBatch", "as Publish", (*Service).PublishBatch),
	served("SetSubscriptionAttributes", "RawMessageDelivery", (*Service).SetSubscriptionAttributes),
	served("SetTopicAttributes", "Policy, DisplayName and KmsMasterKeyId", (*Service).SetTopicAttributes),
	served("Subscribe", "of queues and functions in the topic's region; no filter, redrive and delivery policies", (*Service).Subscribe),
	served("TagResource", "", (*Service).TagResource),
	served("Unsubscribe", "", (*Service).Unsubscribe),
	served("UntagResource", "", (*Service).UntagResource),
}, missing(`AddPermission CheckIfPhoneNumberIsOptedOut CreatePlatformApplication CreatePlatformEndpoint
	CreateSMSSandboxPhoneNumber DeleteEndpoint DeletePlatformApplication DeleteSMSSandboxPhoneNumber
	GetDataProtectionPolicy GetEndpointAttributes GetPlatformApplicationAttributes GetSMSAttributes
	GetSMSSandboxAccountStatus ListEndpointsByPlatformApplication ListOriginationNumbers ListPhoneNumbersOptedOut
	ListPlatformApplications ListSMSSandboxPhoneNumbers OptInPhoneNumber PutDataProtectionPolicy RemovePermission
	SetEndpointAttributes SetPlatformApplicationAttributes SetSMSAttributes VerifySMSSandboxPhoneNumber`)...)

// Operations lists all operations of SNS that the sandbox knows of.
func Operations() []overview.Operation {
	list := make([]overview.Operation, len(operations))
	for i, op := range operations {
		list[i] = op.Operation
	}
	return list
}

func served[In, Out any](name, note string, method func(*Service, *authz.Call, *In) (*Out, error)) operation {
	return operation{overview.Operation{Name: name, Real: true, Note: note}, func(s *Service, c *authz.Call, form url.Values) (any, error) {
		var in In
		if err := wire.DecodeQuery(form, &in); err != nil {
			return nil, err
		}
		out, err := method(s, c, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

func missing(names string) []operation {
	var list []operation
	for _, name := range strings.Fields(names) {
		list = append(list, operation{Operation: overview.Operation{Name: name}})
	}
	return list
}

// ServeAPI answers one request, whose signature the sandbox has verified and
// whose form it has parsed.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	action := r.Form.Get("Action")
	out, err := s.dispatch(c, action, r.Form)
	if err != nil {
		wire.WriteQueryError(w, wire.NamespaceSNS, c.RequestID, refusal(err))
		return
	}
	wire.WriteQuery(w, action, wire.NamespaceSNS, c.RequestID, out)
}

// refusal words an error as SNS does, which has a name of its own for denials.
func refusal(err error) *wire.Error {
	e := wire.AsError(err)
	if e.Code != "AccessDenied" {
		return e
	}
	denied := *e
	denied.Code = "AuthorizationError"
	return &denied
}

func (s *Service) dispatch(c *authz.Call, action string, form url.Values) (any, error) {
	for _, op := range operations {
		if op.Name != action || form.Get("Version") != version {
			continue
		}
		c.Operation = action
		if op.serve == nil {
			return nil, wire.NotImplemented("sns", action)
		}
		return op.serve(s, c, form)
	}
	return nil, wire.BadRequest("InvalidAction", "Could not find operation %s for version %s", wire.Clip(action), wire.Clip(form.Get("Version")))
}

type topic struct {
	account       iam.AccountID
	arn           string
	region        string
	name          string
	displayName   string
	keyID         string // empty: not encrypted
	policy        *directory.Document
	tags          []directory.Tag
	subscriptions []*subscription
	deleted       int // subscriptions that were
}

// find returns a topic after authorising the action on it. A topic that does
// not exist is reported only to those who might have used it. The caller holds
// the lock.
func (s *Service) find(c *authz.Call, arn, action string, more func(*authz.Query)) (*topic, error) {
	parsed, err := iam.ParseARN(arn)
	if err != nil || parsed.Service != "sns" || parsed.Region == "" || !namePattern.MatchString(parsed.Resource) {
		return nil, invalidParameter("TopicArn Reason: An ARN must have at least 6 elements, not %d", strings.Count(arn, ":")+1)
	}
	t := s.topics[arn]
	if parsed.Region != c.Region {
		return nil, invalidParameter("TopicArn")
	}
	q := authz.Query{Action: "sns:" + action, Resource: arn, ResourceAccount: iam.AccountID(parsed.Account)}
	if t != nil {
		q.ResourceTags = t.tags
		if t.policy != nil && validActions[strings.ToLower(action)] {
			q.ResourcePolicy = t.policy.Compiled
		}
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, wire.Errorf(http.StatusNotFound, "NotFound", "Topic does not exist")
	}
	return t, nil
}

func invalidParameter(format string, args ...any) error {
	return wire.BadRequest("InvalidParameter", "Invalid parameter: "+format, args...)
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.options.Random) }

// timestamp is a time as SNS writes it into messages.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Overview shows the topics and their subscriptions.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Topics", Columns: []string{"Topic", "Subscriptions"}}
	for _, t := range s.topics {
		section.Rows = append(section.Rows, []string{t.arn, fmt.Sprint(len(t.subscriptions))})
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
