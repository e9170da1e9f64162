package snsapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An Attribute is a message attribute. BinaryValue is in base64.
type Attribute struct {
	DataType    string
	StringValue *string
	BinaryValue string
}

// A Message is what is published.
type Message struct {
	Message                string
	Subject                string
	MessageStructure       string
	MessageAttributes      map[string]Attribute
	MessageGroupId         string
	MessageDeduplicationId string
}

// PublishInput is the input of Publish.
type PublishInput struct {
	TopicArn    string
	TargetArn   string
	PhoneNumber string
	Message
}

// PublishOutput names what was published.
type PublishOutput struct{ MessageId string }

const maxMessage = 256 << 10 // bytes, of a batch too

// Publish publishes a message to a topic. That it was accepted says nothing
// about deliveries: those that are refused show in the sandbox's record only.
func (s *Service) Publish(c *authz.Call, in *PublishInput) (*PublishOutput, error) {
	arn := in.TopicArn
	if arn == "" {
		arn = in.TargetArn
	}
	if in.PhoneNumber != "" || arn == "" {
		return nil, wire.NotImplemented("sns", "Publish to anything but a topic")
	}
	s.mu.Lock()
	t, err := s.find(c, arn, "Publish", nil)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	d, err := s.accept(c, t, &in.Message)
	to := t.confirmed()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, sub := range to {
		s.deliver(c, &sub, *d)
	}
	return &PublishOutput{d.id}, nil
}

// confirmed returns copies of the subscriptions that messages go to.
func (t *topic) confirmed() []subscription {
	var list []subscription
	for _, sub := range t.subscriptions {
		if sub.token == "" {
			list = append(list, *sub)
		}
	}
	return list
}

// A delivery is a message on its way to subscriptions.
type delivery struct {
	id         string
	topic      string
	region     string
	texts      map[string]string // by protocol; under "default" for the others
	note       map[string]any    // the text comes in this, unless it is delivered raw
	attributes map[string]sqsapi.Attribute
	always     bool // in the note, whatever the subscription says
}

func (d *delivery) text(protocol string) string {
	if text, ok := d.texts[protocol]; ok {
		return text
	}
	return d.texts["default"]
}

func (d *delivery) envelope(protocol string) []byte {
	note := maps.Clone(d.note)
	note["Message"] = d.text(protocol)
	text, _ := json.Marshal(note) // strings always marshal
	return text
}

var attributePattern = regexp.MustCompile(`^(String|String\.Array|Number|Binary)$`)

// accept checks a message and asks KMS for a data key, if the topic has a key:
// publishers need kms:GenerateDataKey and kms:Decrypt.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
func (s *Service) accept(c *authz.Call, t *topic, m *Message) (*delivery, error) {
	switch {
	case m.Message == "":
		return nil, invalidParameter("Empty message")
	case len(m.Message) > maxMessage:
		return nil, invalidParameter("Message too long")
	case len([]rune(m.Subject)) > 100:
		return nil, invalidParameter("Subject")
	case m.MessageDeduplicationId != "":
		return nil, invalidParameter("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	case m.MessageGroupId != "":
		return nil, wire.NotImplemented("sns", "Publish with MessageGroupId")
	}
	texts := map[string]string{"default": m.Message}
	if m.MessageStructure == "json" {
		texts = nil
		if err := json.Unmarshal([]byte(m.Message), &texts); err != nil {
			return nil, invalidParameter("Message Structure - JSON message body failed to parse")
		}
		if _, ok := texts["default"]; !ok {
			return nil, invalidParameter("Message Structure - No default entry in JSON message body")
		}
	} else if m.MessageStructure != "" {
		return nil, invalidParameter("MessageStructure")
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	d := &delivery{id: id, topic: t.arn, region: t.region, texts: texts, note: map[string]any{
		"Type": "Notification", "MessageId": id, "TopicArn": t.arn, "Timestamp": timestamp(c.Now),
	}}
	if m.Subject != "" {
		d.note["Subject"] = m.Subject
	}
	if len(m.MessageAttributes) > 0 {
		shown := make(map[string]map[string]string)
		d.attributes = make(map[string]sqsapi.Attribute)
		for name, a := range m.MessageAttributes {
			if !attributePattern.MatchString(a.DataType) {
				return nil, wire.BadRequest("ParameterValueInvalid", "The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", wire.Clip(name))
			}
			converted := sqsapi.Attribute{DataType: a.DataType, StringValue: a.StringValue}
			value := a.BinaryValue
			if a.StringValue != nil {
				value = *a.StringValue
			} else if converted.BinaryValue, err = base64.StdEncoding.DecodeString(a.BinaryValue); err != nil || value == "" {
				return nil, wire.BadRequest("ParameterValueInvalid", "The message attribute '%s' must contain non-empty message attribute value.", wire.Clip(name))
			}
			d.attributes[name] = converted
			shown[name] = map[string]string{"Type": a.DataType, "Value": value}
		}
		d.note["MessageAttributes"] = shown
	}
	return d, s.seal(c, t)
}

func (s *Service) seal(c *authz.Call, t *topic) error {
	if t.keyID == "" {
		return nil
	}
	keyID := t.keyID
	if keyID == "alias/aws/sns" {
		var err error
		if keyID, err = s.options.KMS.ManagedKey(c, t.account, "sns"); err != nil {
			return err
		}
	}
	about := map[string]string{"aws:sns:topicArn": t.arn}
	made, err := s.options.KMS.GenerateDataKey(c.Forward(servicePrincipal), &kmsapi.GenerateDataKeyInput{KeyID: keyID, KeySpec: "AES_256", EncryptionContext: about})
	if err == nil {
		_, err = s.options.KMS.Decrypt(c.Forward(servicePrincipal), &kmsapi.DecryptInput{CiphertextBlob: made.CiphertextBlob, EncryptionContext: about})
	}
	if err == nil {
		return nil
	}
	e := *wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		e.Code = "KMSAccessDenied"
	case "DisabledException":
		e.Code = "KMSDisabled"
	case "NotFoundException":
		e.Code = "KMSNotFound"
	case "KMSInvalidStateException":
		e.Code = "KMSInvalidState"
	}
	e.Status = 400
	return &e
}

// deliver hands a message to an endpoint in SNS's own name, for the topic. The
// endpoint's policies decide; a refusal is in the sandbox's record.
func (s *Service) deliver(c *authz.Call, sub *subscription, d delivery) {
	as := c.AsService(servicePrincipal, d.topic, d.region)
	if sub.protocol == "lambda" {
		// The publisher's request has succeeded, whatever becomes of this.
		_ = s.options.Lambda.Enqueue(as, sub.endpoint, d.event(sub))
		return
	}
	message := &sqsapi.SendMessageInput{MessageBody: string(d.envelope(sub.protocol))}
	if sub.raw && !d.always {
		message.MessageBody, message.MessageAttributes = d.text(sub.protocol), d.attributes
	}
	_ = s.options.SQS.Deliver(as, sub.endpoint, message)
}

// event is what a function gets.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
func (d *delivery) event(sub *subscription) []byte {
	event, _ := json.Marshal(map[string]any{"Records": []any{map[string]any{ // strings always marshal
		"EventVersion": "1.0", "EventSubscriptionArn": sub.arn, "EventSource": "aws:sns", "Sns": json.RawMessage(d.envelope(sub.protocol)),
	}}})
	return event
}

// PublishBatchInput is the input of PublishBatch.
type PublishBatchInput struct {
	TopicArn                   string
	PublishBatchRequestEntries []struct {
		Id string
		Message
	}
}

// PublishBatchOutput says how each entry fared.
type PublishBatchOutput struct {
	Successful []PublishedEntry
	Failed     []BatchFailure
}

// A PublishedEntry is a message of a batch that was published.
type PublishedEntry struct{ Id, MessageId string }

// A BatchFailure says why one entry of a batch failed.
type BatchFailure struct {
	Id          string
	Code        string
	Message     string
	SenderFault bool
}

var entryPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// PublishBatch publishes up to ten messages.
func (s *Service) PublishBatch(c *authz.Call, in *PublishBatchInput) (*PublishBatchOutput, error) {
	out := &PublishBatchOutput{[]PublishedEntry{}, []BatchFailure{}}
	var accepted []*delivery
	s.mu.Lock()
	t, err := s.find(c, in.TopicArn, "Publish", nil)
	if err == nil {
		err = checkBatch(in)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	for _, e := range in.PublishBatchRequestEntries {
		d, err := s.accept(c, t, &e.Message)
		if err != nil {
			refused := wire.AsError(err)
			out.Failed = append(out.Failed, BatchFailure{e.Id, refused.Code, refused.Message, refused.Status < 500})
			continue
		}
		accepted = append(accepted, d)
		out.Successful = append(out.Successful, PublishedEntry{e.Id, d.id})
	}
	to := t.confirmed()
	s.mu.Unlock()
	for _, d := range accepted {
		for _, sub := range to {
			s.deliver(c, &sub, *d)
		}
	}
	return out, nil
}

func checkBatch(in *PublishBatchInput) error {
	seen, size := make(map[string]bool), 0
	for _, e := range in.PublishBatchRequestEntries {
		switch {
		case seen[e.Id]:
			return wire.BadRequest("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id")
		case !entryPattern.MatchString(e.Id):
			return wire.BadRequest("InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification")
		}
		seen[e.Id] = true
		size += len(e.Message.Message)
	}
	switch {
	case len(seen) == 0:
		return wire.BadRequest("EmptyBatchRequest", "The batch request doesn't contain any entries")
	case len(seen) > 10:
		return wire.BadRequest("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible")
	case size > maxMessage:
		return wire.BadRequest("BatchRequestTooLong", "The length of all the batch messages put together is more than the limit")
	}
	return nil
}
