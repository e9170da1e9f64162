package dynamodbapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A stream keeps the changes of a table's items for a day. It has one shard.
type stream struct {
	place
	partition  string
	table      string
	label      string
	view       string // KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES
	key        key
	created    time.Time
	ended      time.Time // zero while the table still writes to it
	encryption *encryption
	policy     policy
	trimmed    int // records that are gone
	records    []*StreamRecord
}

// retention is how long changes can be read.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
const retention = 24 * time.Hour

const shardID = "shardId-00000000000000000001-00000001"

func (x *stream) arn() string {
	return "arn:" + x.partition + ":dynamodb:" + x.region + ":" + string(x.account) + ":table/" + x.table + "/stream/" + x.label
}

// sequence numbers are long, as they are with AWS, and sort as texts.
func sequence(n int) string { return fmt.Sprintf("%021d", n+100) }

// setStream turns a table's stream on or off. Each time it is turned on it is
// another stream.
func (s *Service) setStream(c *authz.Call, t *table, in *StreamSpecification) error {
	if in == nil {
		return nil
	}
	if err := oneOf("streamSpecification.streamViewType", in.StreamViewType, "KEYS_ONLY", "NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE"); err != nil {
		return err
	}
	switch {
	case in.StreamEnabled && t.stream != nil:
		return invalid("Table already has an enabled stream: TableName: %s", t.name)
	case in.StreamEnabled && in.StreamViewType == "":
		return invalid("One or more parameter values were invalid: StreamViewType must be specified when StreamEnabled is true")
	case !in.StreamEnabled && in.StreamViewType != "":
		return invalid("One or more parameter values were invalid: StreamViewType must not be specified when StreamEnabled is false")
	case !in.StreamEnabled:
		t.endStream(c.Now)
		return nil
	}
	at := c.Now.UTC().Truncate(time.Millisecond)
	label := func() string { return at.Format("2006-01-02T15:04:05.000") }
	for slices.ContainsFunc(s.streams[t.place], func(o *stream) bool { return o.table == t.name && o.label == label() }) {
		at = at.Add(time.Millisecond)
	}
	t.stream = &stream{
		place: t.place, partition: t.partition, table: t.name, label: label(), view: in.StreamViewType,
		key: t.order.key, created: c.Now, encryption: t.encryption,
	}
	s.streams[t.place] = append(s.streams[t.place], t.stream)
	return nil
}

func (t *table) endStream(now time.Time) {
	if t.stream != nil {
		t.stream.ended = now
		t.stream = nil
	}
}

// A StreamRecord is a change of an item.
type StreamRecord struct {
	EventID      string          `json:"eventID"`
	EventName    string          `json:"eventName"` // INSERT, MODIFY or REMOVE
	EventVersion string          `json:"eventVersion"`
	EventSource  string          `json:"eventSource"`
	Region       string          `json:"awsRegion"`
	UserIdentity *StreamIdentity `json:"userIdentity,omitempty"` // of expiry
	Change       StreamChange    `json:"dynamodb"`
	arrived      time.Time
}

// A StreamIdentity is DynamoDB, where it has deleted an item.
type StreamIdentity struct {
	PrincipalID string `json:"PrincipalId"`
	Type        string
}

// A StreamChange has as much of an item before and after as the stream shows.
type StreamChange struct {
	ApproximateCreationDateTime *wire.Timestamp
	Keys                        Item
	NewImage                    Item `json:",omitempty"`
	OldImage                    Item `json:",omitempty"`
	SequenceNumber              string
	SizeBytes                   int
	StreamViewType              string
}

// add notes a change. A nil stream notes nothing, and so does a change that
// changes nothing.
func (x *stream) add(now time.Time, k key, before, after Item, expired bool) {
	if x == nil || before == nil && after == nil || before != nil && after != nil && same(before, after) {
		return
	}
	n := x.trimmed + len(x.records)
	sum := sha256.Sum256([]byte(x.arn() + sequence(n)))
	r := &StreamRecord{
		EventID: fmt.Sprintf("%x", sum[:16]), EventName: "MODIFY", EventVersion: "1.1", EventSource: "aws:dynamodb", Region: x.region, arrived: now,
		Change: StreamChange{ApproximateCreationDateTime: wire.At(now.Truncate(time.Second)), SequenceNumber: sequence(n), StreamViewType: x.view},
	}
	r.Change.Keys = k.of(after)
	switch {
	case before == nil:
		r.EventName = "INSERT"
	case after == nil:
		r.EventName, r.Change.Keys = "REMOVE", k.of(before)
	}
	if expired {
		r.UserIdentity = &StreamIdentity{"dynamodb.amazonaws.com", "Service"}
	}
	if strings.HasPrefix(x.view, "NEW") {
		r.Change.NewImage = after
	}
	if strings.HasSuffix(x.view, "OLD_IMAGES") || x.view == "OLD_IMAGE" {
		r.Change.OldImage = before
	}
	r.Change.SizeBytes = r.Change.Keys.Size() + r.Change.NewImage.Size() + r.Change.OldImage.Size()
	x.records = append(x.records, r)
}

func same(a, b Item) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if w, ok := b[name]; !ok || !v.Equal(w) {
			return false
		}
	}
	return true
}

func (x *stream) trim(now time.Time) {
	for len(x.records) > 0 && now.Sub(x.records[0].arrived) > retention {
		x.records = x.records[1:]
		x.trimmed++
	}
}

func (x *stream) gone(now time.Time) bool { return !x.ended.IsZero() && now.Sub(x.ended) > retention }

// findStream returns a stream after authorising the action on it. The policy
// that counts is the stream's own, not the table's.
func (s *Service) findStream(c *authz.Call, text, action string) (*stream, error) {
	if err := awsjson.Required("StreamArn", text); err != nil {
		return nil, err
	}
	arn, err := iam.ParseARN(text)
	rest, ok := strings.CutPrefix(arn.Resource, "table/")
	name, label, isStream := strings.Cut(rest, "/stream/")
	if err != nil || arn.Service != "dynamodb" || !ok || !isStream || strings.Contains(label, "/") {
		return nil, invalid("Invalid StreamArn: %s", wire.Clip(text))
	}
	p := place{iam.AccountID(arn.Account), arn.Region}
	var found *stream
	for _, x := range s.streams[p] {
		if x.table == name && x.label == label && p.region == c.Region && !x.gone(c.Now) {
			found = x
		}
	}
	if t := s.tables[p][name]; t != nil && p.region == c.Region {
		t.expire(c.Now)
	}
	if err := c.Authorize(found.query(text, p.account, action)); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "Requested resource not found: Stream: %s not found", wire.Clip(text))
	}
	found.trim(c.Now)
	return found, nil
}

// query asks about a stream that may be nil.
func (x *stream) query(arn string, owner iam.AccountID, action string) authz.Query {
	q := authz.Query{Action: "dynamodb:" + action, Resource: arn, ResourceAccount: owner}
	if x != nil {
		q.ResourcePolicy = x.policy.compiled()
	}
	return q
}

// DescribeStreamInput names a stream.
type DescribeStreamInput struct {
	StreamArn             string
	Limit                 int
	ExclusiveStartShardID string `json:"ExclusiveStartShardId"`
}

// DescribeStreamOutput shows a stream.
type DescribeStreamOutput struct{ StreamDescription StreamDescription }

// A StreamDescription shows a stream.
type StreamDescription struct {
	StreamArn, StreamLabel, StreamStatus, StreamViewType string
	TableName                                            string
	CreationRequestDateTime                              *wire.Timestamp
	KeySchema                                            []KeyElement
	Shards                                               []Shard
}

// A Shard is a shard of a stream.
type Shard struct {
	ShardID             string `json:"ShardId"`
	SequenceNumberRange struct {
		StartingSequenceNumber string
		EndingSequenceNumber   string `json:",omitempty"`
	}
}

// DescribeStream shows a stream and its shard.
func (s *Service) DescribeStream(c *authz.Call, in *DescribeStreamInput) (*DescribeStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.findStream(c, in.StreamArn, "DescribeStream")
	if err != nil {
		return nil, err
	}
	d := StreamDescription{
		StreamArn: x.arn(), StreamLabel: x.label, StreamStatus: "ENABLED", StreamViewType: x.view, TableName: x.table,
		CreationRequestDateTime: wire.At(x.created), KeySchema: x.key.schema(), Shards: []Shard{},
	}
	shard := Shard{ShardID: shardID}
	shard.SequenceNumberRange.StartingSequenceNumber = sequence(-1)
	if !x.ended.IsZero() {
		d.StreamStatus = "DISABLED"
		shard.SequenceNumberRange.EndingSequenceNumber = sequence(x.trimmed + len(x.records))
	}
	if in.ExclusiveStartShardID < shardID {
		d.Shards = append(d.Shards, shard)
	}
	return &DescribeStreamOutput{d}, nil
}

// ListStreamsInput pages, and may name a table.
type ListStreamsInput struct {
	TableName               string
	Limit                   int
	ExclusiveStartStreamArn string
}

// ListStreamsOutput is a page of streams.
type ListStreamsOutput struct {
	Streams                []StreamEntry
	LastEvaluatedStreamArn string `json:",omitempty"`
}

// A StreamEntry is a stream in a list.
type StreamEntry struct{ StreamArn, StreamLabel, TableName string }

// ListStreams lists the account's streams.
func (s *Service) ListStreams(c *authz.Call, in *ListStreamsInput) (*ListStreamsOutput, error) {
	if err := c.Authorize(authz.Query{Action: "dynamodb:ListStreams", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []StreamEntry
	for _, x := range s.streams[here(c)] {
		if !x.gone(c.Now) && (in.TableName == "" || in.TableName == x.table) {
			entries = append(entries, StreamEntry{x.arn(), x.label, x.table})
		}
	}
	slices.SortFunc(entries, func(a, b StreamEntry) int { return strings.Compare(a.StreamArn, b.StreamArn) })
	page, next, err := awsjson.Page(entries, in.Limit, 100, 100, in.ExclusiveStartStreamArn, func(e StreamEntry) string { return e.StreamArn })
	if err != nil {
		return nil, err
	}
	return &ListStreamsOutput{append([]StreamEntry{}, page...), next}, nil
}

// A position is what a shard iterator stands for.
type position struct {
	ARN     string
	Next    int // index of the next record, counted from the stream's beginning
	Expires time.Time
}

// iteratorLife is how long a shard iterator may be used.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
const iteratorLife = 15 * time.Minute

func (s *Service) iterator(p position) string {
	data, _ := json.Marshal(p) // strings and numbers always marshal
	return base64.StdEncoding.EncodeToString(append(s.sign(data), data...))
}

func (s *Service) sign(data []byte) []byte {
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write(data)
	return mac.Sum(nil)
}

func (s *Service) position(token string) (p position, err error) {
	data, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(data) < sha256.Size || !hmac.Equal(s.sign(data[sha256.Size:]), data[:sha256.Size]) {
		return p, invalid("Invalid ShardIterator")
	}
	return p, json.Unmarshal(data[sha256.Size:], &p)
}

// GetShardIteratorInput is the input of GetShardIterator.
type GetShardIteratorInput struct {
	StreamArn         string
	ShardID           string `json:"ShardId"`
	ShardIteratorType string
	SequenceNumber    string
}

// GetShardIteratorOutput is a shard iterator.
type GetShardIteratorOutput struct{ ShardIterator string }

// GetShardIterator returns where GetRecords begins.
func (s *Service) GetShardIterator(c *authz.Call, in *GetShardIteratorInput) (*GetShardIteratorOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.findStream(c, in.StreamArn, "GetShardIterator")
	if err != nil {
		return nil, err
	}
	if in.ShardID != shardID {
		return nil, wire.BadRequest("ResourceNotFoundException", "Requested resource not found: Shard does not exist")
	}
	next := x.trimmed
	switch in.ShardIteratorType {
	case "TRIM_HORIZON":
	case "LATEST":
		next += len(x.records)
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		if in.SequenceNumber == sequence(-1) {
			break
		}
		at := slices.IndexFunc(x.records, func(r *StreamRecord) bool { return r.Change.SequenceNumber == in.SequenceNumber })
		if at < 0 {
			return nil, wire.BadRequest("TrimmedDataAccessException", "The operation attempted to read past the oldest stream record in a shard, or the sequence number is none of this shard.")
		}
		if next += at; in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER" {
			next++
		}
	default:
		return nil, invalid("1 validation error detected: Value '%s' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]", wire.Clip(in.ShardIteratorType))
	}
	return &GetShardIteratorOutput{s.iterator(position{x.arn(), next, c.Now.Add(iteratorLife)})}, nil
}

// GetRecordsInput is the input of GetRecords.
type GetRecordsInput struct {
	ShardIterator string
	Limit         int
}

// GetRecordsOutput has changes, and the iterator to go on with; none if the
// stream has ended.
type GetRecordsOutput struct {
	Records           []*StreamRecord
	NextShardIterator string `json:",omitempty"`
}

// maxRecords and maxRead bound one answer, in records and in bytes.
const (
	maxRecords = 1000
	maxRead    = 1 << 20
)

// GetRecords reads changes.
func (s *Service) GetRecords(c *authz.Call, in *GetRecordsInput) (*GetRecordsOutput, error) {
	if err := awsjson.Required("ShardIterator", in.ShardIterator); err != nil {
		return nil, err
	}
	if in.Limit < 0 || in.Limit > maxRecords {
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must be between 1 and %d", in.Limit, maxRecords)
	}
	p, err := s.position(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.findStream(c, p.ARN, "GetRecords")
	if err != nil {
		return nil, err
	}
	if c.Now.After(p.Expires) {
		return nil, wire.BadRequest("ExpiredIteratorException", "Iterator expired.")
	}
	if p.Next < x.trimmed {
		return nil, wire.BadRequest("TrimmedDataAccessException", "The operation attempted to read past the oldest stream record in a shard.")
	}
	if err := s.unlock(c, x.encryption); err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = maxRecords
	}
	out, size := &GetRecordsOutput{Records: []*StreamRecord{}}, 0
	for p.Next < x.trimmed+len(x.records) && len(out.Records) < limit && size < maxRead {
		r := x.records[p.Next-x.trimmed]
		out.Records = append(out.Records, r)
		size += r.Change.SizeBytes
		p.Next++
	}
	if x.ended.IsZero() || p.Next < x.trimmed+len(x.records) {
		p.Expires = c.Now.Add(iteratorLife)
		out.NextShardIterator = s.iterator(p)
	}
	return out, nil
}
