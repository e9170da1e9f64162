package snsapi

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// Tag is a key and a value.
type Tag struct{ Key, Value string }

// CreateTopicInput is the input of CreateTopic.
type CreateTopicInput struct {
	Name                 string
	Attributes           map[string]string
	Tags                 []Tag
	DataProtectionPolicy string
}

// TopicInput names a topic.
type TopicInput struct{ TopicArn string }

// CreateTopic makes a topic. One that exists with the same attributes and tags
// is answered with its ARN.
func (s *Service) CreateTopic(c *authz.Call, in *CreateTopicInput) (*TopicInput, error) {
	switch {
	case strings.HasSuffix(in.Name, ".fifo") || in.Attributes["FifoTopic"] != "":
		return nil, wire.NotImplemented("sns", "CreateTopic of FIFO topics")
	case in.DataProtectionPolicy != "":
		return nil, wire.NotImplemented("sns", "CreateTopic with DataProtectionPolicy")
	case !namePattern.MatchString(in.Name):
		return nil, invalidParameter("Topic Name")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	t := &topic{account: c.Account(), region: c.Region, name: in.Name, tags: tags}
	t.arn = "arn:" + s.options.Directory.Partition(t.account) + ":sns:" + t.region + ":" + string(t.account) + ":" + t.name
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, action := range []string{"sns:CreateTopic", "sns:TagResource"} {
		if action == "sns:TagResource" && len(tags) == 0 {
			continue
		}
		if err := c.Authorize(authz.Query{Action: action, Resource: t.arn, RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if t.policy, err = s.parsePolicy(t, ""); err != nil {
		return nil, err
	}
	for name, value := range in.Attributes {
		if err := s.set(t, name, value); err != nil {
			return nil, err
		}
	}
	if old := s.topics[t.arn]; old != nil {
		if len(tags) > 0 && !slices.Equal(old.tags, tags) {
			return nil, invalidParameter("Tags Reason: Topic already exists with different tags")
		}
		for name := range in.Attributes {
			if s.attribute(old, name) != s.attribute(t, name) {
				return nil, invalidParameter("Attributes Reason: Topic already exists with different attributes")
			}
		}
		return &TopicInput{old.arn}, nil
	}
	s.topics[t.arn] = t
	return &TopicInput{t.arn}, nil
}

// set sets an attribute, or leaves the topic as it is.
func (s *Service) set(t *topic, name, value string) error {
	switch name {
	case "Policy":
		policy, err := s.parsePolicy(t, value)
		if err != nil {
			return err
		}
		t.policy = policy
	case "DisplayName":
		if len(value) > 100 {
			return invalidParameter("DisplayName has more than 100 characters")
		}
		t.displayName = value
	case "KmsMasterKeyId":
		t.keyID = value
	case "DeliveryPolicy", "TracingConfig", "SignatureVersion", "ArchivePolicy", "ContentBasedDeduplication", "FifoThroughputScope":
		return wire.NotImplemented("sns", "topics with "+name)
	default:
		return invalidParameter("AttributeName")
	}
	return nil
}

func (s *Service) attribute(t *topic, name string) string {
	switch name {
	case "Policy":
		return s.options.Directory.Latest().Text(t.policy)
	case "DisplayName":
		return t.displayName
	case "KmsMasterKeyId":
		return t.keyID
	}
	return ""
}

// SetTopicAttributesInput is the input of SetTopicAttributes.
type SetTopicAttributesInput struct {
	TopicArn       string
	AttributeName  string
	AttributeValue string
}

// SetTopicAttributes changes an attribute, such as the topic policy.
func (s *Service) SetTopicAttributes(c *authz.Call, in *SetTopicAttributesInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.TopicArn, "SetTopicAttributes", nil)
	if err != nil {
		return nil, err
	}
	return nil, s.set(t, in.AttributeName, in.AttributeValue)
}

// AttributesOutput has attributes.
type AttributesOutput struct{ Attributes map[string]string }

// GetTopicAttributes shows a topic's attributes.
func (s *Service) GetTopicAttributes(c *authz.Call, in *TopicInput) (*AttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.TopicArn, "GetTopicAttributes", nil)
	if err != nil {
		return nil, err
	}
	pending := 0
	for _, sub := range t.subscriptions {
		if sub.token != "" {
			pending++
		}
	}
	out := &AttributesOutput{map[string]string{
		"TopicArn": t.arn, "Owner": string(t.account), "Policy": s.attribute(t, "Policy"), "DisplayName": t.displayName,
		"SubscriptionsConfirmed": strconv.Itoa(len(t.subscriptions) - pending), "SubscriptionsPending": strconv.Itoa(pending),
		"SubscriptionsDeleted": strconv.Itoa(t.deleted),
	}}
	if t.keyID != "" {
		out.Attributes["KmsMasterKeyId"] = t.keyID
	}
	return out, nil
}

// DeleteTopic deletes a topic with its subscriptions. One that is not there
// does not matter.
func (s *Service) DeleteTopic(c *authz.Call, in *TopicInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.TopicArn, "DeleteTopic", nil)
	if err != nil {
		if wire.AsError(err).Code == "NotFound" {
			return nil, nil
		}
		return nil, err
	}
	delete(s.topics, t.arn)
	return nil, nil
}

// ListTopicsInput pages.
type ListTopicsInput struct{ NextToken string }

// ListTopicsOutput is a page of topics.
type ListTopicsOutput struct {
	Topics    []TopicInput
	NextToken string `wire:",omitempty"`
}

// ListTopics lists the account's topics.
func (s *Service) ListTopics(c *authz.Call, in *ListTopicsInput) (*ListTopicsOutput, error) {
	if err := c.Authorize(authz.Query{Action: "sns:ListTopics", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &ListTopicsOutput{Topics: []TopicInput{}}
	for _, t := range s.topics {
		if t.account == c.Account() && t.region == c.Region {
			out.Topics = append(out.Topics, TopicInput{t.arn})
		}
	}
	arn := func(t TopicInput) string { return t.TopicArn }
	slices.SortFunc(out.Topics, func(a, b TopicInput) int { return strings.Compare(arn(a), arn(b)) })
	var err error
	out.Topics, out.NextToken, err = awsjson.Page(out.Topics, 0, 100, 100, in.NextToken, arn)
	return out, err
}

const maxTags = 50

func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	seen := make(map[string]bool)
	for _, t := range tags {
		if t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256 || strings.HasPrefix(strings.ToLower(t.Key), "aws:") || seen[t.Key] {
			return nil, invalidParameter("Tags Reason: a tag has a key of 1 to 128 characters that is given once and does not begin with aws:, and a value of at most 256")
		}
		seen[t.Key] = true
		list = append(list, directory.Tag(t))
	}
	slices.SortFunc(list, func(a, b directory.Tag) int { return strings.Compare(a.Key, b.Key) })
	if len(list) > maxTags {
		return nil, wire.BadRequest("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
	}
	return list, nil
}

// TagResourceInput is the input of TagResource.
type TagResourceInput struct {
	ResourceArn string
	Tags        []Tag
}

func requestTags(tags []directory.Tag) func(*authz.Query) {
	return func(q *authz.Query) { q.RequestTags = tags }
}

// TagResource adds tags to a topic, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagResourceInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.ResourceArn, "TagResource", requestTags(tags))
	if err != nil {
		return nil, tagFailure(err)
	}
	var merged []Tag
	for _, old := range t.tags {
		if !slices.ContainsFunc(tags, func(n directory.Tag) bool { return n.Key == old.Key }) {
			merged = append(merged, Tag(old))
		}
	}
	all, err := checkTags(append(merged, in.Tags...))
	if err != nil {
		return nil, err
	}
	t.tags = all
	return &struct{}{}, nil
}

// UntagResourceInput is the input of UntagResource.
type UntagResourceInput struct {
	ResourceArn string
	TagKeys     []string
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *UntagResourceInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.ResourceArn, "UntagResource", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", in.TagKeys...) }
	})
	if err != nil {
		return nil, tagFailure(err)
	}
	t.tags = directory.RemoveTags(t.tags, in.TagKeys)
	return &struct{}{}, nil
}

// ListTagsForResourceInput names a topic.
type ListTagsForResourceInput struct{ ResourceArn string }

// ListTagsForResourceOutput has a topic's tags.
type ListTagsForResourceOutput struct{ Tags []Tag }

// ListTagsForResource lists a topic's tags.
func (s *Service) ListTagsForResource(c *authz.Call, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.ResourceArn, "ListTagsForResource", nil)
	if err != nil {
		return nil, tagFailure(err)
	}
	out := &ListTagsForResourceOutput{Tags: []Tag{}}
	for _, tag := range t.tags {
		out.Tags = append(out.Tags, Tag(tag))
	}
	return out, nil
}

// tagFailure gives a missing topic the code that operations on tags have for it.
func tagFailure(err error) error {
	e := *wire.AsError(err)
	if e.Code == "NotFound" {
		e.Code, e.Message = "ResourceNotFound", "Resource does not exist"
	}
	return &e
}
