package sqsapi

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// URLOf returns the URL of the queue with an ARN, by which services that know
// queues by their ARNs call this one. The queue need not exist.
func URLOf(arn string) (string, error) {
	parsed, err := iam.ParseARN(arn)
	if err != nil || parsed.Service != "sqs" || !namePattern.MatchString(parsed.Resource) {
		return "", wire.BadRequest("InvalidAddress", "%s is not the ARN of a queue", wire.Clip(arn))
	}
	q := queue{place: place{iam.AccountID(parsed.Account), parsed.Region}, name: parsed.Resource}
	return q.url(), nil
}

// Deliver sends a message to the queue with an ARN. The call's region must be
// the queue's.
func (s *Service) Deliver(c *authz.Call, arn string, in *SendMessageInput) error {
	url, err := URLOf(arn)
	if err != nil {
		return err
	}
	message := *in
	message.QueueURL = url
	_, err = s.SendMessage(c, &message)
	return err
}

// Check authorises an action ("ReceiveMessage") on the queue with an ARN and
// does nothing else, for services that make sure of their permissions early.
func (s *Service) Check(c *authz.Call, arn, action string) error {
	url, err := URLOf(arn)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.find(c, url, action, nil)
	return err
}
