package sqsapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// numbers are the attributes that are whole numbers, with their limits and
// what they are unless set.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var numbers = map[string]struct{ least, most, usual int }{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1024, 1 << 20, 1 << 20},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, 43200, 30},
	"KmsDataKeyReusePeriodSeconds":  {60, 86400, 300},
}

// CreateQueueInput is the input of CreateQueue.
type CreateQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

// QueueURLOutput is a queue's URL.
type QueueURLOutput struct {
	QueueURL string `json:"QueueUrl"`
}

// CreateQueue makes a queue. One that exists with the same attributes is
// answered with its URL.
func (s *Service) CreateQueue(c *authz.Call, in *CreateQueueInput) (*QueueURLOutput, error) {
	switch {
	case strings.HasSuffix(in.QueueName, ".fifo") || in.Attributes["FifoQueue"] != "":
		return nil, wire.NotImplemented("sqs", "CreateQueue of FIFO queues")
	case !namePattern.MatchString(in.QueueName):
		return nil, wire.BadRequest("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	q := &queue{
		place: here(c), partition: s.directory.Partition(c.Account()), name: in.QueueName, created: c.Now, changed: c.Now,
		attributes: make(map[string]string), tags: tags, arrived: make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.Authorize(authz.Query{Action: "sqs:CreateQueue", Resource: q.arn(), RequestTags: tags}); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "sqs:TagQueue", Resource: q.arn(), RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if err := s.set(q, in.Attributes); err != nil {
		return nil, err
	}
	if old := s.queues[q.place][q.name]; old != nil {
		for name, value := range in.Attributes {
			if s.attribute(old, name) != s.attribute(q, name) {
				return nil, wire.BadRequest("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s (%s)", name, wire.Clip(value))
			}
		}
		return &QueueURLOutput{old.url()}, nil
	}
	if s.queues[q.place] == nil {
		s.queues[q.place] = make(map[string]*queue)
	}
	s.queues[q.place][q.name] = q
	return &QueueURLOutput{q.url()}, nil
}

// set checks attributes and sets them all, or none.
func (s *Service) set(q *queue, attributes map[string]string) error {
	changed, policy := maps.Clone(q.attributes), q.policy
	for name, value := range attributes {
		switch limits, isNumber := numbers[name]; {
		case isNumber:
			n, err := strconv.Atoi(value)
			if err != nil || n < limits.least || n > limits.most {
				return wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
			}
			changed[name] = value
		case name == "Policy":
			var err error
			if policy, err = s.parsePolicy(q, value); err != nil {
				return err
			}
		case name == "KmsMasterKeyId":
			changed[name] = value
		case name == "SqsManagedSseEnabled" && (value == "true" || value == "false"):
			changed[name] = value
		case name == "SqsManagedSseEnabled":
			return wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
		case name == "RedrivePolicy", name == "RedriveAllowPolicy":
			return wire.NotImplemented("sqs", "queues with "+name)
		default:
			return wire.BadRequest("InvalidAttributeName", "Unknown Attribute %s.", wire.Clip(name))
		}
	}
	q.attributes, q.policy = changed, policy
	return nil
}

// Limits of queue policies.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
const (
	maxPolicySize       = 8192 // bytes
	maxPolicyStatements = 20
	maxPolicyActions    = 7 // per statement
	maxPolicyPrincipals = 50
)

// parsePolicy checks a queue policy as SQS does when it is set; empty takes it
// away.
func (s *Service) parsePolicy(q *queue, text string) (*directory.Document, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxPolicySize {
		return nil, wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter Policy. It has %d bytes, and at most %d are allowed.", len(text), maxPolicySize)
	}
	d, err := s.directory.Latest().NewResourceDocument(text, iam.KindResource, "queue policy of "+q.name)
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code, e.Message = "InvalidAttributeValue", "Invalid value for the parameter Policy. "+e.Message
		}
		return nil, &e
	}
	statements := d.Compiled.Source().Statements
	if len(statements) > maxPolicyStatements {
		return nil, overLimit("%d statements are requested; %d are allowed", len(statements), maxPolicyStatements)
	}
	principals := 0
	for _, st := range statements {
		if n := len(st.Action) + len(st.NotAction); n > maxPolicyActions {
			return nil, overLimit("%d Actions are requested in one statement; %d are allowed", n, maxPolicyActions)
		}
		if st.Principal != nil {
			principals += len(st.Principal.AWS) + len(st.Principal.Service)
		}
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "sqs:") {
				return nil, wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter Policy. The action %s is none of SQS.", wire.Clip(action))
			}
		}
		for _, resource := range slices.Concat(st.Resource, st.NotResource) {
			if !iam.MatchWildcard(resource, q.arn()) {
				return nil, wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter Policy. The resource %s is not this queue.", wire.Clip(resource))
			}
		}
	}
	if principals > maxPolicyPrincipals {
		return nil, overLimit("%d principals are requested; %d are allowed", principals, maxPolicyPrincipals)
	}
	return d, nil
}

func overLimit(format string, args ...any) error {
	e := wire.BadRequest("OverLimit", format, args...)
	e.Status = 403
	return e
}

// attribute returns the value of a settable attribute as it is now, "" if it is
// not set.
func (s *Service) attribute(q *queue, name string) string {
	if name == "Policy" {
		if q.policy == nil {
			return ""
		}
		return s.directory.Latest().Text(q.policy)
	}
	if value, ok := q.attributes[name]; ok {
		return value
	}
	switch limits, isNumber := numbers[name]; {
	case name == "KmsDataKeyReusePeriodSeconds" && q.attributes["KmsMasterKeyId"] == "":
	case isNumber:
		return strconv.Itoa(limits.usual)
	case name == "SqsManagedSseEnabled":
		return strconv.FormatBool(q.attributes["KmsMasterKeyId"] == "")
	}
	return ""
}

func (q *queue) number(name string) int {
	if n, err := strconv.Atoi(q.attributes[name]); err == nil {
		return n
	}
	return numbers[name].usual
}

// QueueInput names a queue.
type QueueInput struct {
	QueueURL string `json:"QueueUrl"`
}

// GetQueueURLInput names a queue of an account, the caller's own unless given.
type GetQueueURLInput struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

// GetQueueURL returns a queue's URL.
func (s *Service) GetQueueURL(c *authz.Call, in *GetQueueURLInput) (*QueueURLOutput, error) {
	if err := awsjson.Required("QueueName", in.QueueName); err != nil {
		return nil, err
	}
	p := here(c)
	if in.QueueOwnerAWSAccountID != "" {
		id, err := iam.ParseAccountID(in.QueueOwnerAWSAccountID)
		if err != nil {
			return nil, wire.BadRequest("InvalidParameterValue", "QueueOwnerAWSAccountId must be an account id of 12 digits")
		}
		p.account = id
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.named(c, p, in.QueueName, "GetQueueUrl", nil)
	if err != nil {
		return nil, err
	}
	return &QueueURLOutput{q.url()}, nil
}

// ListQueuesInput pages.
type ListQueuesInput struct {
	QueueNamePrefix string
	MaxResults      int
	NextToken       string
}

// ListQueuesOutput is a page of queues.
type ListQueuesOutput struct {
	QueueURLs []string `json:"QueueUrls,omitempty"`
	NextToken string   `json:",omitempty"`
}

// ListQueues lists the account's queues.
func (s *Service) ListQueues(c *authz.Call, in *ListQueuesInput) (*ListQueuesOutput, error) {
	all := "arn:" + s.directory.Partition(c.Account()) + ":sqs:" + c.Region + ":" + string(c.Account()) + ":"
	if err := c.Authorize(authz.Query{Action: "sqs:ListQueues", Resource: all}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &ListQueuesOutput{}
	for name, q := range s.queues[here(c)] {
		if strings.HasPrefix(name, in.QueueNamePrefix) {
			out.QueueURLs = append(out.QueueURLs, q.url())
		}
	}
	slices.Sort(out.QueueURLs)
	var err error
	out.QueueURLs, out.NextToken, err = awsjson.Page(out.QueueURLs, in.MaxResults, 1000, 1000, in.NextToken, func(u string) string { return u })
	return out, err
}

// GetQueueAttributesInput names attributes, or All.
type GetQueueAttributesInput struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

// GetQueueAttributesOutput has the attributes that are set.
type GetQueueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

// GetQueueAttributes shows a queue's attributes.
func (s *Service) GetQueueAttributes(c *authz.Call, in *GetQueueAttributesInput) (*GetQueueAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "GetQueueAttributes", nil)
	if err != nil {
		return nil, err
	}
	q.expire(c.Now)
	visible, delayed, inFlight := q.counts(c.Now)
	all := map[string]string{
		"QueueArn": q.arn(), "CreatedTimestamp": strconv.FormatInt(q.created.Unix(), 10), "LastModifiedTimestamp": strconv.FormatInt(q.changed.Unix(), 10),
		"ApproximateNumberOfMessages": strconv.Itoa(visible), "ApproximateNumberOfMessagesDelayed": strconv.Itoa(delayed),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
	}
	for _, name := range append(slices.Collect(maps.Keys(numbers)), "Policy", "KmsMasterKeyId", "SqsManagedSseEnabled") {
		if value := s.attribute(q, name); value != "" {
			all[name] = value
		}
	}
	out := &GetQueueAttributesOutput{Attributes: make(map[string]string)}
	for _, name := range in.AttributeNames {
		if name == "All" {
			return &GetQueueAttributesOutput{all}, nil
		}
		if value, ok := all[name]; ok {
			out.Attributes[name] = value
			continue
		}
		if !settable(name) {
			return nil, wire.BadRequest("InvalidAttributeName", "Unknown Attribute %s.", wire.Clip(name))
		}
	}
	return out, nil
}

func settable(name string) bool {
	_, isNumber := numbers[name]
	return isNumber || slices.Contains([]string{"Policy", "KmsMasterKeyId", "SqsManagedSseEnabled", "RedrivePolicy", "RedriveAllowPolicy", "FifoQueue"}, name)
}

// SetQueueAttributesInput is the input of SetQueueAttributes.
type SetQueueAttributesInput struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

// SetQueueAttributes changes attributes, the queue policy among them.
func (s *Service) SetQueueAttributes(c *authz.Call, in *SetQueueAttributesInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "SetQueueAttributes", nil)
	if err != nil {
		return nil, err
	}
	if err := s.set(q, in.Attributes); err != nil {
		return nil, err
	}
	q.changed = c.Now
	return nil, nil
}

// DeleteQueue deletes a queue with its messages.
func (s *Service) DeleteQueue(c *authz.Call, in *QueueInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "DeleteQueue", nil)
	if err != nil {
		return nil, err
	}
	delete(s.queues[q.place], q.name)
	return nil, nil
}

// PurgeQueue deletes the messages.
func (s *Service) PurgeQueue(c *authz.Call, in *QueueInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "PurgeQueue", nil)
	if err != nil {
		return nil, err
	}
	q.messages = nil
	return nil, nil
}

const maxTags = 50

func checkTags(tags map[string]string) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len([]rune(key)) > 128 || len([]rune(tags[key])) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, wire.BadRequest("InvalidParameterValue", "a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: key, Value: tags[key]})
	}
	if len(list) > maxTags {
		return nil, overLimit("a queue has at most %d tags", maxTags)
	}
	return list, nil
}

// TagQueueInput is the input of TagQueue.
type TagQueueInput struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}

// TagQueue adds tags to a queue, or changes them.
func (s *Service) TagQueue(c *authz.Call, in *TagQueueInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "TagQueue", tags)
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(q.tags, tags)
	if len(merged) > maxTags {
		return nil, overLimit("a queue has at most %d tags", maxTags)
	}
	q.tags = merged
	return nil, nil
}

// UntagQueueInput is the input of UntagQueue.
type UntagQueueInput struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}

// UntagQueue removes tags. Those that are not there do not matter.
func (s *Service) UntagQueue(c *authz.Call, in *UntagQueueInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "UntagQueue", nil)
	if err != nil {
		return nil, err
	}
	q.tags = directory.RemoveTags(q.tags, in.TagKeys)
	return nil, nil
}

// ListQueueTagsOutput has a queue's tags.
type ListQueueTagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

// ListQueueTags lists a queue's tags.
func (s *Service) ListQueueTags(c *authz.Call, in *QueueInput) (*ListQueueTagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "ListQueueTags", nil)
	if err != nil {
		return nil, err
	}
	out := &ListQueueTagsOutput{Tags: make(map[string]string)}
	for _, t := range q.tags {
		out.Tags[t.Key] = t.Value
	}
	return out, nil
}
