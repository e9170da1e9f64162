package snsapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A subscription belongs to whoever made it. One whose endpoint is in another
// account waits until that account confirms it with the token it was sent.
type subscription struct {
	arn      string
	owner    iam.AccountID
	protocol string
	endpoint string
	raw      bool
	token    string // empty once confirmed
}

// SubscribeInput is the input of Subscribe.
type SubscribeInput struct {
	TopicArn              string
	Protocol              string
	Endpoint              string
	Attributes            map[string]string
	ReturnSubscriptionArn bool
}

// SubscriptionInput names a subscription.
type SubscriptionInput struct{ SubscriptionArn string }

const pending = "pending confirmation"

// Subscribe subscribes a queue or a function. If the queue is in the caller's account the
// subscription works at once; otherwise its owner must confirm it, with the
// token in a message to the queue.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-send-message-to-sqs-cross-account.html
func (s *Service) Subscribe(c *authz.Call, in *SubscribeInput) (*SubscriptionInput, error) {
	s.mu.Lock()
	t, err := s.find(c, in.TopicArn, "Subscribe", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) {
			ctx.Set("sns:Protocol", in.Protocol)
			if in.Endpoint != "" {
				ctx.Set("sns:Endpoint", in.Endpoint)
			}
		}
	})
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	sub, err := s.newSubscription(c, t, in)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	for _, old := range t.subscriptions {
		if old.protocol != sub.protocol || old.endpoint != sub.endpoint {
			continue
		}
		defer s.mu.Unlock()
		if len(in.Attributes) > 0 && old.raw != sub.raw {
			return nil, invalidParameter("Attributes Reason: Subscription already exists with different attributes")
		}
		return old.answer(in.ReturnSubscriptionArn), nil
	}
	t.subscriptions = append(t.subscriptions, sub)
	out := sub.answer(in.ReturnSubscriptionArn)
	confirmation, waiting := s.confirmation(c, t, sub), sub.token != ""
	s.mu.Unlock()
	if waiting {
		s.deliver(c, sub, confirmation)
	}
	return out, nil
}

func (sub *subscription) answer(always bool) *SubscriptionInput {
	if sub.token != "" && !always {
		return &SubscriptionInput{pending}
	}
	return &SubscriptionInput{sub.arn}
}

func (s *Service) newSubscription(c *authz.Call, t *topic, in *SubscribeInput) (*subscription, error) {
	switch in.Protocol {
	case "sqs", "lambda":
	case "http", "https", "email", "email-json", "sms", "application", "firehose":
		return nil, wire.NotImplemented("sns", "Subscribe with protocol "+in.Protocol)
	default:
		return nil, invalidParameter("Amazon SNS does not support this protocol string: %s", wire.Clip(in.Protocol))
	}
	endpoint, err := iam.ParseARN(in.Endpoint)
	switch _, bad := sqsapi.URLOf(in.Endpoint); {
	case err != nil, in.Protocol == "sqs" && bad != nil:
		return nil, invalidParameter("SQS endpoint ARN")
	case in.Protocol == "lambda" && (endpoint.Service != "lambda" || !strings.HasPrefix(endpoint.Resource, "function:")):
		return nil, invalidParameter("Lambda endpoint ARN")
	case in.Protocol == "lambda" && iam.AccountID(endpoint.Account) != c.Account():
		return nil, wire.NotImplemented("sns", "Subscribe of a function by another account than its own")
	}
	if endpoint.Region != t.region {
		return nil, wire.NotImplemented("sns", "Subscribe of an endpoint in another region")
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	sub := &subscription{arn: t.arn + ":" + id, owner: c.Account(), protocol: in.Protocol, endpoint: in.Endpoint}
	for name, value := range in.Attributes {
		if err := sub.set(name, value); err != nil {
			return nil, err
		}
	}
	if iam.AccountID(endpoint.Account) != c.Account() {
		first, err := s.newID()
		if err != nil {
			return nil, err
		}
		second, err := s.newID()
		if err != nil {
			return nil, err
		}
		sub.token = strings.ReplaceAll(first+second, "-", "")
	}
	return sub, nil
}

func (sub *subscription) set(name, value string) error {
	switch name {
	case "RawMessageDelivery":
		raw, err := strconv.ParseBool(value)
		if err != nil {
			return invalidParameter("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", wire.Clip(value))
		}
		sub.raw = raw
	case "FilterPolicy", "FilterPolicyScope", "DeliveryPolicy", "RedrivePolicy", "ReplayPolicy", "SubscriptionRoleArn":
		return wire.NotImplemented("sns", "subscriptions with "+name)
	default:
		return invalidParameter("AttributeName")
	}
	return nil
}

// confirmation is the message that asks the owner of an endpoint to confirm.
func (s *Service) confirmation(c *authz.Call, t *topic, sub *subscription) delivery {
	return delivery{topic: t.arn, region: t.region, always: true, texts: map[string]string{
		"default": "You have chosen to subscribe to the topic " + t.arn + ".\nTo confirm the subscription, call ConfirmSubscription with the Token included in this message.",
	}, note: map[string]any{
		"Type": "SubscriptionConfirmation", "MessageId": strings.TrimPrefix(sub.arn, t.arn+":"), "Token": sub.token, "TopicArn": t.arn,
		"Timestamp": timestamp(c.Now),
	}}
}

// ConfirmSubscriptionInput is the input of ConfirmSubscription.
type ConfirmSubscriptionInput struct {
	TopicArn                  string
	Token                     string
	AuthenticateOnUnsubscribe string
}

// ConfirmSubscription confirms a subscription with the token its endpoint was
// sent. Knowing the token is what counts: no policy of the topic has to agree.
func (s *Service) ConfirmSubscription(c *authz.Call, in *ConfirmSubscriptionInput) (*SubscriptionInput, error) {
	err := c.Authorize(authz.Query{Action: "sns:ConfirmSubscription", Resource: in.TopicArn, ResourceAccount: c.Account()})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[in.TopicArn]
	if t == nil {
		return nil, wire.Errorf(http.StatusNotFound, "NotFound", "Topic does not exist")
	}
	for _, sub := range t.subscriptions {
		if sub.token != "" && sub.token == in.Token {
			sub.token = ""
			return &SubscriptionInput{sub.arn}, nil
		}
	}
	return nil, invalidParameter("Token")
}

// own returns a subscription to its owner or the topic's, after authorising the
// action. Policies do not know subscriptions as resources.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
func (s *Service) own(c *authz.Call, arn, action string) (*topic, *subscription, error) {
	if err := c.Authorize(authz.Query{Action: "sns:" + action, Resource: "*"}); err != nil {
		return nil, nil, err
	}
	end := strings.LastIndexByte(arn, ':')
	if end < 0 {
		return nil, nil, invalidParameter("SubscriptionArn Reason: An ARN must have at least 6 elements, not 1")
	}
	if t := s.topics[arn[:end]]; t != nil {
		for _, sub := range t.subscriptions {
			if sub.arn != arn {
				continue
			}
			if c.Account() != sub.owner && c.Account() != t.account {
				return nil, nil, wire.Errorf(http.StatusForbidden, "AuthorizationError", "Access Denied")
			}
			return t, sub, nil
		}
	}
	return nil, nil, wire.Errorf(http.StatusNotFound, "NotFound", "Subscription does not exist")
}

// Unsubscribe ends a subscription. One that is gone does not matter.
func (s *Service) Unsubscribe(c *authz.Call, in *SubscriptionInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, sub, err := s.own(c, in.SubscriptionArn, "Unsubscribe")
	if err != nil {
		if wire.AsError(err).Code == "NotFound" {
			return nil, nil
		}
		return nil, err
	}
	t.subscriptions = slices.DeleteFunc(t.subscriptions, func(x *subscription) bool { return x == sub })
	t.deleted++
	return nil, nil
}

// GetSubscriptionAttributes shows a subscription.
func (s *Service) GetSubscriptionAttributes(c *authz.Call, in *SubscriptionInput) (*AttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, sub, err := s.own(c, in.SubscriptionArn, "GetSubscriptionAttributes")
	if err != nil {
		return nil, err
	}
	return &AttributesOutput{map[string]string{
		"SubscriptionArn": sub.arn, "TopicArn": t.arn, "Owner": string(sub.owner), "Protocol": sub.protocol, "Endpoint": sub.endpoint,
		"RawMessageDelivery": strconv.FormatBool(sub.raw), "PendingConfirmation": strconv.FormatBool(sub.token != ""),
		"ConfirmationWasAuthenticated": strconv.FormatBool(sub.token == ""),
	}}, nil
}

// SetSubscriptionAttributesInput is the input of SetSubscriptionAttributes.
type SetSubscriptionAttributesInput struct {
	SubscriptionArn string
	AttributeName   string
	AttributeValue  string
}

// SetSubscriptionAttributes changes a subscription.
func (s *Service) SetSubscriptionAttributes(c *authz.Call, in *SetSubscriptionAttributesInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, sub, err := s.own(c, in.SubscriptionArn, "SetSubscriptionAttributes")
	if err != nil {
		return nil, err
	}
	return nil, sub.set(in.AttributeName, in.AttributeValue)
}

// ListSubscriptionsByTopicInput pages.
type ListSubscriptionsByTopicInput struct {
	TopicArn  string
	NextToken string
}

// SubscriptionEntry is a subscription in a list.
type SubscriptionEntry struct {
	SubscriptionArn string
	Owner           string
	Protocol        string
	Endpoint        string
	TopicArn        string
}

// ListSubscriptionsOutput is a page of subscriptions.
type ListSubscriptionsOutput struct {
	Subscriptions []SubscriptionEntry
	NextToken     string `wire:",omitempty"`
}

// ListSubscriptionsByTopic lists a topic's subscriptions.
func (s *Service) ListSubscriptionsByTopic(c *authz.Call, in *ListSubscriptionsByTopicInput) (*ListSubscriptionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, in.TopicArn, "ListSubscriptionsByTopic", nil)
	if err != nil {
		return nil, err
	}
	return page(t.entries(func(*subscription) bool { return true }), in.NextToken)
}

// ListSubscriptions lists the account's own subscriptions, to whose topics
// whatever.
func (s *Service) ListSubscriptions(c *authz.Call, in *ListTopicsInput) (*ListSubscriptionsOutput, error) {
	if err := c.Authorize(authz.Query{Action: "sns:ListSubscriptions", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []SubscriptionEntry
	for _, t := range s.topics {
		if t.region == c.Region {
			list = append(list, t.entries(func(sub *subscription) bool { return sub.owner == c.Account() })...)
		}
	}
	return page(list, in.NextToken)
}

func (t *topic) entries(keep func(*subscription) bool) []SubscriptionEntry {
	var list []SubscriptionEntry
	for _, sub := range t.subscriptions {
		if !keep(sub) {
			continue
		}
		e := SubscriptionEntry{sub.arn, string(sub.owner), sub.protocol, sub.endpoint, t.arn}
		if sub.token != "" {
			e.SubscriptionArn = "PendingConfirmation"
		}
		list = append(list, e)
	}
	return list
}

func page(list []SubscriptionEntry, token string) (*ListSubscriptionsOutput, error) {
	key := func(e SubscriptionEntry) string { return e.TopicArn + " " + e.Endpoint }
	slices.SortFunc(list, func(a, b SubscriptionEntry) int { return strings.Compare(key(a), key(b)) })
	page, next, err := awsjson.Page(list, 0, 100, 100, token, key)
	if page == nil {
		page = []SubscriptionEntry{}
	}
	return &ListSubscriptionsOutput{page, next}, err
}
