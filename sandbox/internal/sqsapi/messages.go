package sqsapi

import (
	"crypto/md5" //nolint:gosec // SQS's checksum for transport, not a protection
	"encoding/binary"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// forwardedBy is the service principal that calls KMS for callers.
const forwardedBy = "sqs.amazonaws.com"

type message struct {
	id         string
	body       string
	attributes map[string]Attribute
	sender     string
	sent       time.Time
	visible    time.Time // not handed out before
	received   int
	first      time.Time // when it was first handed out
	receipt    string    // of the last time it was handed out
	dataKey    []byte    // of an encrypted queue, as KMS encrypted it
	expires    time.Time
}

// An Attribute is a message attribute.
type Attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

func (q *queue) expire(now time.Time) {
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return !now.Before(m.expires) })
}

func (q *queue) counts(now time.Time) (visible, delayed, inFlight int) {
	for _, m := range q.messages {
		switch {
		case !now.Before(m.visible):
			visible++
		case m.received == 0:
			delayed++
		default:
			inFlight++
		}
	}
	return visible, delayed, inFlight
}

// SendMessageInput is the input of SendMessage.
type SendMessageInput struct {
	QueueURL                string `json:"QueueUrl"`
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]Attribute
	MessageSystemAttributes map[string]Attribute
	MessageGroupID          string `json:"MessageGroupId"`
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
}

// SendMessageOutput says what was sent.
type SendMessageOutput struct {
	MessageID              string `json:"MessageId"`
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
}

// SendMessage puts a message into a queue.
func (s *Service) SendMessage(c *authz.Call, in *SendMessageInput) (*SendMessageOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "SendMessage", nil)
	if err != nil {
		return nil, err
	}
	return s.send(c, q, in)
}

func (s *Service) send(c *authz.Call, q *queue, in *SendMessageInput) (*SendMessageOutput, error) {
	delay := q.number("DelaySeconds")
	if in.DelaySeconds != nil {
		delay = *in.DelaySeconds
	}
	size := len(in.MessageBody)
	for name, a := range in.MessageAttributes {
		size += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			size += len(*a.StringValue)
		}
		if !attributePattern.MatchString(a.DataType) {
			return nil, wire.BadRequest("InvalidParameterValue", "The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", wire.Clip(name))
		}
	}
	switch limit := q.number("MaximumMessageSize"); {
	case in.MessageBody == "":
		return nil, wire.BadRequest("MissingParameter", "The request must contain the parameter MessageBody.")
	case size > limit:
		return nil, wire.BadRequest("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	case delay < 0 || delay > 900:
		return nil, wire.BadRequest("InvalidParameterValue", "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay)
	case len(in.MessageAttributes) > 10:
		return nil, wire.BadRequest("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [10].", len(in.MessageAttributes))
	case in.MessageDeduplicationID != "":
		return nil, wire.BadRequest("InvalidParameterValue", "The request include parameter MessageDeduplicationId which is not valid for this queue type")
	case in.MessageGroupID != "" || len(in.MessageSystemAttributes) > 0:
		return nil, wire.NotImplemented("sqs", "SendMessage with MessageGroupId or MessageSystemAttributes")
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	m := &message{
		id: id, body: in.MessageBody, attributes: in.MessageAttributes, sender: c.Caller.UserID, sent: c.Now,
		visible: c.Now.Add(time.Duration(delay) * time.Second),
		expires: c.Now.Add(time.Duration(q.number("MessageRetentionPeriod")) * time.Second),
	}
	if m.sender == "" {
		m.sender = c.CallerName()
	}
	if err := s.seal(c, q, m); err != nil {
		return nil, err
	}
	q.messages = append(q.messages, m)
	close(q.arrived)
	q.arrived = make(chan struct{})
	return &SendMessageOutput{m.id, digest([]byte(m.body)), digestAttributes(m.attributes)}, nil
}

var attributePattern = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)

// seal asks KMS for a data key, if the queue has a KMS key: senders need
// kms:GenerateDataKey. The body itself stays as it is; it never leaves memory.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
func (s *Service) seal(c *authz.Call, q *queue, m *message) error {
	keyID := q.attributes["KmsMasterKeyId"]
	if keyID == "" {
		return nil
	}
	if keyID == "alias/aws/sqs" {
		var err error
		if keyID, err = s.kms.ManagedKey(c, q.account, "sqs"); err != nil {
			return err
		}
	}
	made, err := s.kms.GenerateDataKey(c.Forward(forwardedBy), &kmsapi.GenerateDataKeyInput{
		KeyID: keyID, KeySpec: "AES_256", EncryptionContext: q.encryptionContext(),
	})
	if err != nil {
		return keyFailure(err)
	}
	m.dataKey = made.CiphertextBlob
	return nil
}

func (q *queue) encryptionContext() map[string]string {
	return map[string]string{"aws:sqs:arn": q.arn()}
}

// open asks KMS for the data key again: receivers need kms:Decrypt.
func (s *Service) open(c *authz.Call, q *queue, m *message) error {
	if m.dataKey == nil {
		return nil
	}
	_, err := s.kms.Decrypt(c.Forward(forwardedBy), &kmsapi.DecryptInput{CiphertextBlob: m.dataKey, EncryptionContext: q.encryptionContext()})
	if err != nil {
		return keyFailure(err)
	}
	return nil
}

func keyFailure(err error) error {
	e := *wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		e.Code = "KmsAccessDenied"
	case "DisabledException":
		e.Code = "KmsDisabled"
	case "NotFoundException":
		e.Code = "KmsNotFound"
	case "KMSInvalidStateException":
		e.Code = "KmsInvalidState"
	}
	e.Status = 400
	return &e
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.random) }

func digest(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // what SQS answers
	return hex.EncodeToString(sum[:])
}

// digestAttributes is the checksum that SDKs compare.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func digestAttributes(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	add := func(text []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text))) //nolint:gosec // at most a megabyte
		b = append(b, text...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add([]byte(name))
		add([]byte(a.DataType))
		if a.StringValue != nil {
			b = append(b, 1)
			add([]byte(*a.StringValue))
		} else {
			b = append(b, 2)
			add(a.BinaryValue)
		}
	}
	return digest(b)
}

// ReceiveMessageInput is the input of ReceiveMessage.
type ReceiveMessageInput struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
}

// ReceiveMessageOutput has the messages handed out.
type ReceiveMessageOutput struct {
	Messages []Message `json:",omitempty"`
}

// A Message is one that was handed out.
type Message struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string    `json:",omitempty"`
	MD5OfMessageAttributes string               `json:",omitempty"`
	MessageAttributes      map[string]Attribute `json:",omitempty"`
}

// ReceiveMessage hands out up to ten messages, waiting up to 20 seconds for
// the first, and hides them for the visibility timeout.
func (s *Service) ReceiveMessage(c *authz.Call, in *ReceiveMessageInput) (*ReceiveMessageOutput, error) {
	most := 1
	if in.MaxNumberOfMessages != nil {
		most = *in.MaxNumberOfMessages
	}
	if most < 1 || most > 10 {
		return nil, wire.BadRequest("InvalidParameterValue", "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "ReceiveMessage", nil)
	if err != nil {
		return nil, err
	}
	hide, wait := q.number("VisibilityTimeout"), q.number("ReceiveMessageWaitTimeSeconds")
	if in.VisibilityTimeout != nil {
		hide = *in.VisibilityTimeout
	}
	if in.WaitTimeSeconds != nil {
		wait = *in.WaitTimeSeconds
	}
	if hide < 0 || hide > 43200 || wait < 0 || wait > 20 {
		return nil, wire.BadRequest("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200, WaitTimeSeconds between 0 and 20")
	}
	timeout := time.NewTimer(time.Duration(wait) * time.Second)
	defer timeout.Stop()
	for {
		out, err := s.handOut(c, q, in, most, time.Duration(hide)*time.Second)
		if err != nil || len(out.Messages) > 0 || wait == 0 {
			return out, err
		}
		arrived := q.arrived
		s.mu.Unlock()
		over := false
		select {
		case <-arrived:
		case <-timeout.C:
			over = true
		case <-c.Context.Done():
			over = true
		}
		s.mu.Lock()
		if over {
			return out, nil
		}
	}
}

func (s *Service) handOut(c *authz.Call, q *queue, in *ReceiveMessageInput, most int, hide time.Duration) (*ReceiveMessageOutput, error) {
	now := s.clock()
	q.expire(now)
	out := &ReceiveMessageOutput{}
	for _, m := range q.messages {
		if len(out.Messages) == most {
			break
		}
		if now.Before(m.visible) {
			continue
		}
		if err := s.open(c, q, m); err != nil {
			return nil, err
		}
		receipt, err := s.newID()
		if err != nil {
			return nil, err
		}
		if m.received++; m.received == 1 {
			m.first = now
		}
		m.receipt, m.visible = receipt, now.Add(hide)
		out.Messages = append(out.Messages, m.shown(in))
	}
	return out, nil
}

func (m *message) shown(in *ReceiveMessageInput) Message {
	shown := Message{MessageID: m.id, ReceiptHandle: m.receipt, MD5OfBody: digest([]byte(m.body)), Body: m.body}
	system := map[string]string{
		"SenderId": m.sender, "SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10),
		"ApproximateReceiveCount": strconv.Itoa(m.received), "ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
	}
	for _, name := range slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames) {
		for key, value := range system {
			if name == "All" || name == key {
				if shown.Attributes == nil {
					shown.Attributes = make(map[string]string)
				}
				shown.Attributes[key] = value
			}
		}
	}
	for name, a := range m.attributes {
		if slices.ContainsFunc(in.MessageAttributeNames, func(asked string) bool { return asked == "All" || asked == ".*" || asked == name }) {
			if shown.MessageAttributes == nil {
				shown.MessageAttributes = make(map[string]Attribute)
			}
			shown.MessageAttributes[name] = a
		}
	}
	shown.MD5OfMessageAttributes = digestAttributes(shown.MessageAttributes)
	return shown
}

// DeleteMessageInput names a message by the receipt it was handed out with.
type DeleteMessageInput struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}

// DeleteMessage deletes a message. One that is gone is a success; a receipt
// that was never given is not.
func (s *Service) DeleteMessage(c *authz.Call, in *DeleteMessageInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "DeleteMessage", nil)
	if err != nil {
		return nil, err
	}
	return nil, q.remove(in.ReceiptHandle)
}

func (q *queue) remove(receipt string) error {
	if len(receipt) != 36 {
		return invalidReceipt(receipt)
	}
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return m.receipt == receipt })
	return nil
}

func invalidReceipt(receipt string) error {
	return wire.BadRequest("ReceiptHandleIsInvalid", "The input receipt handle %q is not a valid receipt handle.", wire.Clip(receipt))
}

// ChangeMessageVisibilityInput is the input of ChangeMessageVisibility.
type ChangeMessageVisibilityInput struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

// ChangeMessageVisibility hides a message in flight for longer or shorter.
func (s *Service) ChangeMessageVisibility(c *authz.Call, in *ChangeMessageVisibilityInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "ChangeMessageVisibility", nil)
	if err != nil {
		return nil, err
	}
	if in.VisibilityTimeout == nil || *in.VisibilityTimeout < 0 || *in.VisibilityTimeout > 43200 {
		return nil, wire.BadRequest("InvalidParameterValue", "VisibilityTimeout is required and must be between 0 and 43200")
	}
	for _, m := range q.messages {
		if m.receipt == in.ReceiptHandle && m.receipt != "" {
			if !c.Now.Before(m.visible) {
				return nil, wire.BadRequest("MessageNotInflight", "The specified message isn't in flight.")
			}
			m.visible = c.Now.Add(time.Duration(*in.VisibilityTimeout) * time.Second)
			return nil, nil
		}
	}
	return nil, invalidReceipt(in.ReceiptHandle)
}
