// Package sqsapi is the sandbox's SQS: standard queues that really hold
// messages, queue policies that are enforced, and encryption with the sandbox's
// KMS keys.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
package sqsapi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Service is the SQS of all accounts and regions of a sandbox. It is safe
// for concurrent use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service
	clock     func() time.Time
	random    io.Reader

	mu     sync.Mutex
	queues map[place]map[string]*queue // by name
}

type place struct {
	account iam.AccountID
	region  string
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	KMS       *kmsapi.Service
	Clock     func() time.Time // for receivers that wait
	Random    io.Reader
}

// New returns a service without queues.
func New(o Options) *Service {
	return &Service{directory: o.Directory, kms: o.KMS, clock: o.Clock, random: o.Random, queues: make(map[place]map[string]*queue)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of SQS that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{
	Service: "sqs", Target: "AmazonSQS", Version: "1.0", DeniedStatus: http.StatusForbidden,
	QueryCodes: map[string]string{
		"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
		"QueueNameExists":              "QueueAlreadyExists",
		"AccessDeniedException":        "AccessDenied",
		"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
		"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
		"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
		"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
		"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	},
	Operations: append([]awsjson.Operation[*Service]{
		awsjson.Real("ChangeMessageVisibility", "", (*Service).ChangeMessageVisibility),
		awsjson.Real("CreateQueue", "standard queues, without redrive policies", (*Service).CreateQueue),
		awsjson.Real("DeleteMessage", "", (*Service).DeleteMessage),
		awsjson.Real("DeleteMessageBatch", "", (*Service).DeleteMessageBatch),
		awsjson.Real("DeleteQueue", "names may be used again at once", (*Service).DeleteQueue),
		awsjson.Real("GetQueueAttributes", "", (*Service).GetQueueAttributes),
		awsjson.Real("GetQueueUrl", "", (*Service).GetQueueURL),
		awsjson.Real("ListQueueTags", "", (*Service).ListQueueTags),
		awsjson.Real("ListQueues", "", (*Service).ListQueues),
		awsjson.Real("PurgeQueue", "at once", (*Service).PurgeQueue),
		awsjson.Real("ReceiveMessage", "", (*Service).ReceiveMessage),
		awsjson.Real("SendMessage", "", (*Service).SendMessage),
		awsjson.Real("SendMessageBatch", "", (*Service).SendMessageBatch),
		awsjson.Real("SetQueueAttributes", "", (*Service).SetQueueAttributes),
		awsjson.Real("TagQueue", "", (*Service).TagQueue),
		awsjson.Real("UntagQueue", "", (*Service).UntagQueue),
	}, awsjson.Missing[*Service](`AddPermission CancelMessageMoveTask ChangeMessageVisibilityBatch
		ListDeadLetterSourceQueues ListMessageMoveTasks RemovePermission StartMessageMoveTask`)...),
}

type queue struct {
	place
	partition  string
	name       string
	created    time.Time
	changed    time.Time
	attributes map[string]string // those that are set
	policy     *directory.Document
	tags       []directory.Tag
	messages   []*message
	arrived    chan struct{} // closed and replaced when messages arrive
}

func (q *queue) arn() string {
	return "arn:" + q.partition + ":sqs:" + q.region + ":" + string(q.account) + ":" + q.name
}

func (q *queue) url() string {
	suffix := "amazonaws.com"
	if p, ok := iam.PartitionOfRegion(q.region); ok {
		suffix = p.DNSSuffix
	}
	return "https://sqs." + q.region + "." + suffix + "/" + string(q.account) + "/" + q.name
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// find returns the queue of a URL after authorising the action on it. Only the
// URL's path says which queue it is, so that URLs with a local address work. A
// queue that does not exist is reported only to those who might have used it.
// The caller holds the lock.
func (s *Service) find(c *authz.Call, queueURL, action string, requestTags []directory.Tag) (*queue, error) {
	if queueURL == "" {
		return nil, wire.BadRequest("MissingParameter", "The request must contain the parameter QueueUrl.")
	}
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, invalidAddress(queueURL)
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	account, name := string(c.Account()), parts[len(parts)-1]
	if len(parts) >= 2 {
		account = parts[len(parts)-2]
	}
	id, err := iam.ParseAccountID(account)
	if err != nil || !namePattern.MatchString(strings.TrimSuffix(name, ".fifo")) {
		return nil, invalidAddress(queueURL)
	}
	return s.named(c, place{id, c.Region}, name, action, requestTags)
}

func invalidAddress(queueURL string) error {
	return wire.BadRequest("InvalidAddress", "The address %s is not valid for this endpoint.", wire.Clip(queueURL))
}

func (s *Service) named(c *authz.Call, p place, name, action string, requestTags []directory.Tag) (*queue, error) {
	q := s.queues[p][name]
	ask := authz.Query{Action: "sqs:" + action, ResourceAccount: p.account, RequestTags: requestTags}
	if q != nil {
		ask.Resource, ask.ResourceTags = q.arn(), q.tags
		if q.policy != nil {
			ask.ResourcePolicy = q.policy.Compiled
		}
		// What an account does with its queue as such, others cannot do,
		// whatever the policy says.
		if c.Account() != p.account && withinAccount(action) {
			ask.ResourcePolicy = nil
		}
	} else {
		ask.Resource = "arn:" + s.directory.Partition(p.account) + ":sqs:" + p.region + ":" + string(p.account) + ":" + name
	}
	if err := c.Authorize(ask); err != nil {
		return nil, err
	}
	if q == nil {
		return nil, wire.BadRequest("QueueDoesNotExist", "The specified queue does not exist.")
	}
	return q, nil
}

// withinAccount is sqs-using-identity-based-policies' list of operations that
// do not work across accounts.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html
func withinAccount(action string) bool {
	switch action {
	case "CreateQueue", "DeleteQueue", "ListQueues", "ListQueueTags", "SetQueueAttributes", "TagQueue", "UntagQueue":
		return true
	}
	return false
}

// Overview shows the queues and how many messages they hold.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Queues", Columns: []string{"Queue", "Messages", "Queue policy"}}
	for _, queues := range s.queues {
		for _, q := range queues {
			policy := "no"
			if q.policy != nil {
				policy = "yes"
			}
			section.Rows = append(section.Rows, []string{q.arn(), fmt.Sprint(len(q.messages)), policy})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
