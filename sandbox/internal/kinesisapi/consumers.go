package kinesisapi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// ConsumerInput names a consumer: by its ARN, or by stream and name.
type ConsumerInput struct {
	StreamARN, ConsumerName, ConsumerARN string
}

// ConsumerEntry describes a consumer.
type ConsumerEntry struct {
	ConsumerName, ConsumerARN, ConsumerStatus string
	ConsumerCreationTimestamp                 *wire.Timestamp
	StreamARN                                 string `json:",omitempty"`
}

func (x *stream) entry(k *consumer, withStream bool) ConsumerEntry {
	e := ConsumerEntry{k.name, x.consumerARN(k), "ACTIVE", wire.At(k.created), ""}
	if withStream {
		e.StreamARN = x.arn()
	}
	return e
}

// ConsumerOutput shows a consumer.
type ConsumerOutput struct{ Consumer ConsumerEntry }

// RegisterStreamConsumer makes a consumer, active at once. It is authorised on
// the stream.
func (s *Service) RegisterStreamConsumer(c *authz.Call, in *ConsumerInput) (*ConsumerOutput, error) {
	if !namePattern.MatchString(in.ConsumerName) {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'consumerName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, named{StreamARN: in.StreamARN}, "RegisterStreamConsumer", nil)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(x.consumers, func(k *consumer) bool { return k.name == in.ConsumerName }) {
		return nil, wire.BadRequest("ResourceInUseException", "Consumer %s already exists in stream %s.", in.ConsumerName, x.name)
	}
	if len(x.consumers) == 20 {
		return nil, wire.BadRequest("LimitExceededException", "a stream has at most 20 consumers")
	}
	k := &consumer{name: in.ConsumerName, created: c.Now}
	x.consumers = append(x.consumers, k)
	return &ConsumerOutput{x.entry(k, false)}, nil
}

// consumerARN is the ARN a request means. By stream and name it works in the
// caller's own account only, as the ARN is what other accounts are admitted by.
func (s *Service) consumerARN(c *authz.Call, in *ConsumerInput) (string, error) {
	if in.ConsumerARN != "" {
		return in.ConsumerARN, nil
	}
	account, region, name, err := parseARN(in.StreamARN)
	if err != nil {
		return "", err
	}
	if account != c.Account() {
		return "", invalidArgument("ConsumerARN must be provided for a consumer of another account")
	}
	if x := s.streams[place{account, region}][name]; x != nil {
		for _, k := range x.consumers {
			if k.name == in.ConsumerName {
				return x.consumerARN(k), nil
			}
		}
	}
	return in.StreamARN + "/consumer/" + in.ConsumerName + ":0", nil
}

// DescribeStreamConsumerOutput shows a consumer.
type DescribeStreamConsumerOutput struct{ ConsumerDescription ConsumerEntry }

// DescribeStreamConsumer shows a consumer.
func (s *Service) DescribeStreamConsumer(c *authz.Call, in *ConsumerInput) (*DescribeStreamConsumerOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn, err := s.consumerARN(c, in)
	if err != nil {
		return nil, err
	}
	x, k, err := s.findConsumer(c, arn, "DescribeStreamConsumer")
	if err != nil {
		return nil, err
	}
	return &DescribeStreamConsumerOutput{x.entry(k, true)}, nil
}

// DeregisterStreamConsumer deletes a consumer.
func (s *Service) DeregisterStreamConsumer(c *authz.Call, in *ConsumerInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn, err := s.consumerARN(c, in)
	if err != nil {
		return nil, err
	}
	x, k, err := s.findConsumer(c, arn, "DeregisterStreamConsumer")
	if err != nil {
		return nil, err
	}
	x.consumers = slices.DeleteFunc(x.consumers, func(o *consumer) bool { return o == k })
	return nil, nil
}

// ListStreamConsumersOutput has a stream's consumers.
type ListStreamConsumersOutput struct{ Consumers []ConsumerEntry }

// ListStreamConsumers lists a stream's consumers.
func (s *Service) ListStreamConsumers(c *authz.Call, in *ConsumerInput) (*ListStreamConsumersOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, named{StreamARN: in.StreamARN}, "ListStreamConsumers", nil)
	if err != nil {
		return nil, err
	}
	out := &ListStreamConsumersOutput{Consumers: []ConsumerEntry{}}
	for _, k := range x.consumers {
		out.Consumers = append(out.Consumers, x.entry(k, false))
	}
	return out, nil
}

// SubscribeToShardInput is the input of SubscribeToShard.
type SubscribeToShardInput struct {
	ConsumerARN      string
	ShardID          string `json:"ShardId"`
	StartingPosition StartingPosition
}

// A SubscribeToShardEvent carries records of a subscription.
type SubscribeToShardEvent struct {
	Records                    []Record
	ContinuationSequenceNumber string
	MillisBehindLatest         int64
}

// subscribeElsewhere is the row of SubscribeToShard in the table, which shows
// that there is such an operation. Its answer is a stream of events, so
// ServeAPI does not come here.
func (s *Service) subscribeElsewhere(*authz.Call, *SubscribeToShardInput) (*SubscribeToShardEvent, error) {
	return nil, wire.BadRequest("UnknownOperationException", "SubscribeToShard answers a stream of events")
}

// serveSubscription sends what is in the shard as one event and ends the
// subscription. Clients subscribe again and go on at the continuation number,
// as they do when AWS ends a subscription after five minutes.
func (s *Service) serveSubscription(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	c.Operation = "SubscribeToShard"
	event, err := s.subscribe(r, c)
	if err != nil {
		wire.WriteJSONError(w, c.RequestID, table.Refusal(err))
		return
	}
	payload, err := json.Marshal(event)
	if err != nil {
		wire.WriteJSONError(w, c.RequestID, wire.AsError(err))
		return
	}
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.Header().Set("X-Amzn-Requestid", c.RequestID)
	for _, message := range [][]byte{
		eventMessage("initial-response", []byte("{}")),
		eventMessage("SubscribeToShardEvent", payload),
	} {
		if _, err := w.Write(message); err != nil {
			return // the client is gone
		}
	}
}

func (s *Service) subscribe(r *http.Request, c *authz.Call) (*SubscribeToShardEvent, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in SubscribeToShardInput
	if err := wire.DecodeJSON(body, &in); err != nil {
		return nil, err
	}
	return s.Subscribe(c, &in)
}

// Subscribe returns what is in a shard for a stream consumer.
func (s *Service) Subscribe(c *authz.Call, in *SubscribeToShardInput) (*SubscribeToShardEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, _, err := s.findConsumer(c, in.ConsumerARN, "SubscribeToShard")
	if err != nil {
		return nil, err
	}
	h, err := x.shard(in.ShardID)
	if err != nil {
		return nil, err
	}
	h.trim(c.Now)
	from, err := h.start(in.StartingPosition)
	if err != nil {
		return nil, err
	}
	records, next, err := s.read(c, x, h, from, 10000)
	if err != nil {
		return nil, err
	}
	return &SubscribeToShardEvent{records, h.sequence(next - 1), h.behind(next, c.Now)}, nil
}

// eventMessage encodes a message of an event stream: lengths, headers,
// payload and two checksums.
//
// https://smithy.io/2.0/aws/amazon-eventstream.html
func eventMessage(kind string, payload []byte) []byte {
	var headers bytes.Buffer
	for _, h := range [][2]string{{":message-type", "event"}, {":event-type", kind}, {":content-type", "application/json"}} {
		headers.WriteByte(byte(len(h[0])))
		headers.WriteString(h[0])
		headers.WriteByte(7) // a string follows
		_ = binary.Write(&headers, binary.BigEndian, uint16(len(h[1])))
		headers.WriteString(h[1])
	}
	const overhead = 16 // two lengths and two checksums
	message := binary.BigEndian.AppendUint32(nil, uint32(overhead+headers.Len()+len(payload)))
	message = binary.BigEndian.AppendUint32(message, uint32(headers.Len()))
	message = binary.BigEndian.AppendUint32(message, crc32.ChecksumIEEE(message))
	message = append(message, headers.Bytes()...)
	message = append(message, payload...)
	return binary.BigEndian.AppendUint32(message, crc32.ChecksumIEEE(message))
}
