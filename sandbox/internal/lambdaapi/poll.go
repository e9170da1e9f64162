package lambdaapi

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Advance runs the events that wait and polls the event sources. If that is
// being done already, by another request or by one that a function makes, it
// returns at once.
func (s *Service) Advance(now time.Time) {
	if !s.advancing.TryLock() {
		return
	}
	defer s.advancing.Unlock()
	s.runEvents(now)
	s.mu.Lock()
	mappings := append([]*mapping(nil), s.mappings...)
	s.mu.Unlock()
	for _, m := range mappings {
		s.poll(now, m)
	}
}

// ownCall is a call that Lambda makes by itself, with a record of its own.
func (s *Service) ownCall(now time.Time, region, operation string) (*authz.Call, error) {
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	c := s.options.Engine.NewCall(authz.Call{Context: context.Background(), Service: "lambda", Operation: operation, Region: region, RequestID: id, Now: now, Secure: true})
	return c, nil
}

func (s *Service) remember(c *authz.Call, region, code string) {
	if c == nil {
		return
	}
	status := 200
	if code != "" {
		status = 400
	}
	s.options.Engine.Remember(authz.Record{
		Time: c.Now, RequestID: c.RequestID, Service: "lambda", Operation: c.Operation, Region: region, Caller: servicePrincipal, Status: status, Code: code,
	}, c)
}

// maxBatches bounds what one mapping does at a time, so that no request waits
// for all of a long backlog.
const maxBatches = 10

// poll reads batches from a mapping's source, with the execution role's own
// permissions, and hands them to its function.
func (s *Service) poll(now time.Time, m *mapping) {
	for range maxBatches {
		s.mu.Lock()
		enabled, before := m.enabled, m.result
		s.mu.Unlock()
		if !enabled {
			return
		}
		c, err := s.ownCall(now, m.region, "poll")
		if err != nil {
			return
		}
		count, err := s.pollOnce(c, m)
		result, code := "No records processed", ""
		switch {
		case err != nil:
			code = wire.AsError(err).Code
			result = "PROBLEM: " + code
		case count > 0:
			result = "OK"
		}
		s.mu.Lock()
		if err != nil || count > 0 {
			m.result, m.processed = result, now
		}
		s.mu.Unlock()
		// A mapping that cannot read says so once, not at every request.
		if count > 0 || err != nil && result != before {
			s.remember(c, m.region, code)
		}
		if count == 0 || err != nil {
			return
		}
	}
}

// A turn is one reading of a mapping's source. It needs no lock.
type turn struct {
	*mapping             // what of it never changes, and the shards
	as       *authz.Call // the execution role
	c        *authz.Call // Lambda
	role     string
	batch    int
}

func (s *Service) pollOnce(c *authz.Call, m *mapping) (int, error) {
	s.mu.Lock()
	f := s.functions[m.function]
	if f == nil {
		s.mu.Unlock()
		return 0, notFound("Function not found: %s", m.function)
	}
	as, err := s.executionRole(c, f)
	t := turn{m, as, c, f.role, m.batch}
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if m.service == "sqs" {
		return s.pollQueue(t)
	}
	if m.fanOut() {
		return s.pollConsumer(t)
	}
	return s.pollStream(t)
}

// call runs the function with a batch.
func (s *Service) call(t turn, records []any) error {
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return err
	}
	s.mu.Lock()
	f := s.functions[t.function]
	if f == nil {
		s.mu.Unlock()
		return notFound("Function not found: %s", t.function)
	}
	run, err := s.prepare(t.c, f, payload)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if _, failed := run.do(t.c.Context); failed {
		return wire.BadRequest("FunctionError", "the function failed")
	}
	return nil
}

// pollQueue receives messages, and deletes those that the function was called
// with and did not fail. The others appear again after the queue's visibility
// timeout.
func (s *Service) pollQueue(t turn) (int, error) {
	url, err := sqsapi.URLOf(t.source)
	if err != nil {
		return 0, err
	}
	most, wait := min(t.batch, 10), 0
	got, err := s.options.SQS.ReceiveMessage(t.as, &sqsapi.ReceiveMessageInput{
		QueueURL: url, MaxNumberOfMessages: &most, WaitTimeSeconds: &wait, AttributeNames: []string{"All"}, MessageAttributeNames: []string{"All"},
	})
	if err != nil || len(got.Messages) == 0 {
		return 0, err
	}
	var records []any
	for _, message := range got.Messages {
		attributes := make(map[string]any)
		for name, a := range message.MessageAttributes {
			attributes[name] = map[string]any{"dataType": a.DataType, "stringValue": a.StringValue, "binaryValue": a.BinaryValue, "stringListValues": []string{}, "binaryListValues": []string{}}
		}
		records = append(records, map[string]any{
			"messageId": message.MessageID, "receiptHandle": message.ReceiptHandle, "body": message.Body, "attributes": message.Attributes,
			"messageAttributes": attributes, "md5OfBody": message.MD5OfBody, "eventSource": "aws:sqs", "eventSourceARN": t.source, "awsRegion": t.region,
		})
	}
	if err := s.call(t, records); err != nil {
		return 0, err
	}
	for _, message := range got.Messages {
		if _, err := s.options.SQS.DeleteMessage(t.as, &sqsapi.DeleteMessageInput{QueueURL: url, ReceiptHandle: message.ReceiptHandle}); err != nil {
			return 0, err
		}
	}
	return len(records), nil
}

// pollStream reads every shard once. A batch that the function fails with is
// tried again the next time, as AWS does until the records expire.
func (s *Service) pollStream(t turn) (int, error) {
	total := 0
	for shard, next := range t.shards {
		out, err := s.options.Kinesis.GetRecords(t.as, &kinesisapi.GetRecordsInput{ShardIterator: next.iterator, Limit: t.batch, StreamARN: t.source})
		if err != nil && wire.AsError(err).Code == "ExpiredIteratorException" {
			if next.iterator, err = s.renew(t, shard, next); err == nil {
				out, err = s.options.Kinesis.GetRecords(t.as, &kinesisapi.GetRecordsInput{ShardIterator: next.iterator, Limit: t.batch, StreamARN: t.source})
			}
		}
		if err != nil {
			return total, err
		}
		if len(out.Records) == 0 {
			next.iterator, next.renewed = out.NextShardIterator, t.c.Now
			continue
		}
		records := t.records(shard, out.Records)
		if err := s.call(t, records); err != nil {
			return total, err
		}
		next.iterator, next.renewed, next.last = out.NextShardIterator, t.c.Now, out.Records[len(out.Records)-1].SequenceNumber
		total += len(records)
	}
	return total, nil
}

// records are what the function is given of a stream's records.
func (t turn) records(shard string, from []kinesisapi.Record) []any {
	records := make([]any, len(from))
	for i, r := range from {
		records[i] = map[string]any{
			"kinesis": map[string]any{
				"kinesisSchemaVersion": "1.0", "partitionKey": r.PartitionKey, "sequenceNumber": r.SequenceNumber, "data": r.Data,
				"approximateArrivalTimestamp": r.ApproximateArrivalTimestamp,
			},
			"eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": shard + ":" + r.SequenceNumber, "eventName": "aws:kinesis:record",
			"invokeIdentityArn": t.role, "awsRegion": t.region, "eventSourceARN": t.source,
		}
	}
	return records
}

// pollConsumer is pollStream with enhanced fan-out: what is in a shard arrives
// through the stream consumer and is handed over in batches.
func (s *Service) pollConsumer(t turn) (int, error) {
	total := 0
	for shard, next := range t.shards {
		event, err := s.options.Kinesis.Subscribe(t.as, &kinesisapi.SubscribeToShardInput{ConsumerARN: t.source, ShardID: shard, StartingPosition: next.from})
		if err != nil {
			return total, err
		}
		for batch := range slices.Chunk(event.Records, t.batch) {
			if err := s.call(t, t.records(shard, batch)); err != nil {
				return total, err
			}
			next.from = kinesisapi.StartingPosition{Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: batch[len(batch)-1].SequenceNumber}
			total += len(batch)
		}
	}
	return total, nil
}

// renew gets a shard iterator again after one has expired. If nothing was read
// yet, everything since the last iterator is still to be read.
func (s *Service) renew(t turn, shard string, at *position) (string, error) {
	in := &kinesisapi.GetShardIteratorInput{ShardID: shard, ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: at.last}
	if at.last == "" {
		in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp = "AT_TIMESTAMP", "", wire.At(at.renewed)
	}
	in.StreamARN = t.source
	out, err := s.options.Kinesis.GetShardIterator(t.as, in)
	if err != nil {
		return "", err
	}
	return out.ShardIterator, nil
}

// batchSize reads how many records a batch may have.
func batchSize(given *int, usual, most int) (int, error) {
	if given == nil {
		return usual, nil
	}
	if *given < 1 || *given > most {
		return 0, invalid("BatchSize %s is not between 1 and %d", strconv.Itoa(*given), most)
	}
	return *given, nil
}
