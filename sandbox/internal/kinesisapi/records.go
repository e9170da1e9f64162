package kinesisapi

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // how Kinesis maps partition keys to shards
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type shard struct {
	number      int
	first, last *big.Int // hash keys
	trimmed     int      // records that are too old and gone
	records     []*record
}

type record struct {
	data         []byte
	partitionKey string
	arrived      time.Time
	dataKey      []byte // of an encrypted stream, as KMS encrypted it
}

func (h *shard) id() string { return fmt.Sprintf("shardId-%012d", h.number) }

// sequence is the number of the n-th record of a shard, in the 56 digits of
// AWS's.
func (h *shard) sequence(n int) string {
	return fmt.Sprintf("4960%012d%040d", h.number, n+1)
}

// index is the opposite of sequence; false for a number of another shard.
func (h *shard) index(sequence string) (int, bool) {
	prefix := fmt.Sprintf("4960%012d", h.number)
	if len(sequence) != 56 || sequence[:16] != prefix {
		return 0, false
	}
	n, ok := new(big.Int).SetString(sequence[16:], 10)
	if !ok || !n.IsInt64() || n.Sign() <= 0 {
		return 0, false
	}
	return int(n.Int64() - 1), true
}

// trim forgets records older than the retention period.
func (h *shard) trim(now time.Time) {
	for len(h.records) > 0 && now.Sub(h.records[0].arrived) > retentionHours*time.Hour {
		h.records = h.records[1:]
		h.trimmed++
	}
}

// ShardEntry is a shard in a list.
type ShardEntry struct {
	ShardID             string `json:"ShardId"`
	HashKeyRange        struct{ StartingHashKey, EndingHashKey string }
	SequenceNumberRange struct{ StartingSequenceNumber string }
}

func (x *stream) entries() []ShardEntry {
	var list []ShardEntry
	for _, h := range x.shards {
		e := ShardEntry{ShardID: h.id()}
		e.HashKeyRange.StartingHashKey, e.HashKeyRange.EndingHashKey = h.first.String(), h.last.String()
		e.SequenceNumberRange.StartingSequenceNumber = h.sequence(-1)
		list = append(list, e)
	}
	return list
}

// ListShardsInput names a stream.
type ListShardsInput struct {
	named
	NextToken   string
	ShardFilter *struct{}
	MaxResults  int
}

// ListShardsOutput has a stream's shards.
type ListShardsOutput struct{ Shards []ShardEntry }

// ListShards lists a stream's shards.
func (s *Service) ListShards(c *authz.Call, in *ListShardsInput) (*ListShardsOutput, error) {
	if in.ShardFilter != nil || in.NextToken != "" {
		return nil, wire.NotImplemented("kinesis", "ListShards with ShardFilter or NextToken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "ListShards", nil)
	if err != nil {
		return nil, err
	}
	return &ListShardsOutput{x.entries()}, nil
}

// A Put is a record to be written. Data has at most 1 MiB.
type Put struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey string
}

// PutRecordInput is the input of PutRecord.
type PutRecordInput struct {
	named
	Put
	SequenceNumberForOrdering string
}

// A PutResult says where a record went.
type PutResult struct {
	ShardID        string `json:"ShardId,omitempty"`
	SequenceNumber string `json:",omitempty"`
	EncryptionType string `json:",omitempty"`
}

const maxData = 1 << 20

// PutRecord writes a record.
func (s *Service) PutRecord(c *authz.Call, in *PutRecordInput) (*PutResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "PutRecord", nil)
	if err != nil {
		return nil, err
	}
	return s.put(c, x, in.Put)
}

func (s *Service) put(c *authz.Call, x *stream, in Put) (*PutResult, error) {
	if len(in.Data) > maxData || in.PartitionKey == "" || len([]rune(in.PartitionKey)) > 256 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: data has at most %d bytes, and partitionKey 1 to 256 characters", maxData)
	}
	sum := md5.Sum([]byte(in.PartitionKey)) //nolint:gosec // see the import
	hash := new(big.Int).SetBytes(sum[:])
	if in.ExplicitHashKey != "" {
		var ok bool
		if hash, ok = new(big.Int).SetString(in.ExplicitHashKey, 10); !ok || hash.Sign() < 0 || hash.BitLen() > 128 {
			return nil, invalidArgument("ExplicitHashKey must be a number below 2 to the power of 128")
		}
	}
	r := &record{data: in.Data, partitionKey: in.PartitionKey, arrived: c.Now}
	if err := s.seal(c, x, r); err != nil {
		return nil, err
	}
	for _, h := range x.shards {
		if hash.Cmp(h.last) > 0 {
			continue
		}
		h.trim(c.Now)
		h.records = append(h.records, r)
		out := &PutResult{ShardID: h.id(), SequenceNumber: h.sequence(h.trimmed + len(h.records) - 1), EncryptionType: "NONE"}
		if x.keyID != "" {
			out.EncryptionType = "KMS"
		}
		return out, nil
	}
	return nil, fmt.Errorf("no shard for hash key %s", hash) // the shards cover all keys
}

// seal asks KMS for a data key, if the stream is encrypted: producers need
// kms:GenerateDataKey. The data itself stays as it is; it never leaves memory.
func (s *Service) seal(c *authz.Call, x *stream, r *record) error {
	if x.keyID == "" {
		return nil
	}
	keyID := x.keyID
	if keyID == "alias/aws/kinesis" {
		var err error
		if keyID, err = s.kms.ManagedKey(c, x.account, "kinesis"); err != nil {
			return err
		}
	}
	made, err := s.kms.GenerateDataKey(c.Forward(forwardedBy), &kmsapi.GenerateDataKeyInput{KeyID: keyID, KeySpec: "AES_256", EncryptionContext: x.encryptionContext()})
	if err != nil {
		return keyFailure(err)
	}
	r.dataKey = made.CiphertextBlob
	return nil
}

func (x *stream) encryptionContext() map[string]string {
	return map[string]string{"aws:kinesis:arn": x.arn()}
}

func (s *Service) open(c *authz.Call, x *stream, r *record) error {
	if r.dataKey == nil {
		return nil
	}
	_, err := s.kms.Decrypt(c.Forward(forwardedBy), &kmsapi.DecryptInput{CiphertextBlob: r.dataKey, EncryptionContext: x.encryptionContext()})
	if err != nil {
		return keyFailure(err)
	}
	return nil
}

func keyFailure(err error) error {
	e := *wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		e.Code = "KMSAccessDeniedException"
	case "DisabledException":
		e.Code = "KMSDisabledException"
	case "NotFoundException":
		e.Code = "KMSNotFoundException"
	}
	e.Status = 400
	return &e
}

// PutRecordsInput is the input of PutRecords: 1 to 500 records.
type PutRecordsInput struct {
	named
	Records []Put
}

// PutRecordsOutput says how each record fared.
type PutRecordsOutput struct {
	FailedRecordCount int
	Records           []PutResult
	EncryptionType    string
}

// PutRecords writes several records.
func (s *Service) PutRecords(c *authz.Call, in *PutRecordsInput) (*PutRecordsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "PutRecords", nil)
	if err != nil {
		return nil, err
	}
	if len(in.Records) < 1 || len(in.Records) > 500 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length between 1 and 500")
	}
	out := &PutRecordsOutput{Records: []PutResult{}, EncryptionType: x.description().EncryptionType}
	for _, p := range in.Records {
		put, err := s.put(c, x, p)
		if err != nil {
			return nil, err // what is wrong with one is wrong with the request
		}
		out.Records = append(out.Records, *put)
	}
	return out, nil
}

// A position is what a shard iterator stands for.
type position struct {
	ARN     string
	Shard   int
	Next    int // index of the next record, counted from the stream's beginning
	Expires time.Time
}

// iteratorLife is how long a shard iterator may be used.
const iteratorLife = 5 * time.Minute

// iterator makes an opaque token of a position. It is authenticated: what can
// be read with it is authorised anew, but nobody should depend on its form.
func (s *Service) iterator(p position) string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write(data)
	return base64.StdEncoding.EncodeToString(append(mac.Sum(nil), data...))
}

func (s *Service) position(token string) (p position, err error) {
	data, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(data) < sha256.Size {
		return p, invalidArgument("Invalid ShardIterator.")
	}
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write(data[sha256.Size:])
	if !hmac.Equal(mac.Sum(nil), data[:sha256.Size]) || json.Unmarshal(data[sha256.Size:], &p) != nil {
		return p, invalidArgument("Invalid ShardIterator.")
	}
	return p, nil
}

// A StartingPosition says where reading begins.
type StartingPosition struct {
	Type           string
	SequenceNumber string
	Timestamp      *wire.Timestamp
}

// GetShardIteratorInput is the input of GetShardIterator.
type GetShardIteratorInput struct {
	named
	ShardID                string `json:"ShardId"`
	ShardIteratorType      string
	StartingSequenceNumber string
	Timestamp              *wire.Timestamp
}

// GetShardIteratorOutput is a shard iterator.
type GetShardIteratorOutput struct{ ShardIterator string }

// GetShardIterator returns where GetRecords begins.
func (s *Service) GetShardIterator(c *authz.Call, in *GetShardIteratorInput) (*GetShardIteratorOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "GetShardIterator", nil)
	if err != nil {
		return nil, err
	}
	h, err := x.shard(in.ShardID)
	if err != nil {
		return nil, err
	}
	h.trim(c.Now)
	next, err := h.start(StartingPosition{in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp})
	if err != nil {
		return nil, err
	}
	return &GetShardIteratorOutput{s.iterator(position{x.arn(), h.number, next, c.Now.Add(iteratorLife)})}, nil
}

func (x *stream) shard(id string) (*shard, error) {
	for _, h := range x.shards {
		if h.id() == id {
			return h, nil
		}
	}
	return nil, wire.BadRequest("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist", wire.Clip(id), x.name, x.account)
}

// start returns the index of the first record to read.
func (h *shard) start(at StartingPosition) (int, error) {
	switch at.Type {
	case "TRIM_HORIZON":
		return h.trimmed, nil
	case "LATEST":
		return h.trimmed + len(h.records), nil
	case "AT_TIMESTAMP":
		if at.Timestamp == nil {
			return 0, invalidArgument("Must specify timestampForAtTimestampIterator when requesting an AT_TIMESTAMP iterator.")
		}
		for i, r := range h.records {
			if !r.arrived.Before(at.Timestamp.Time) {
				return h.trimmed + i, nil
			}
		}
		return h.trimmed + len(h.records), nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		n, ok := h.index(at.SequenceNumber)
		if at.SequenceNumber == h.sequence(-1) {
			return h.trimmed, nil
		}
		if !ok || n >= h.trimmed+len(h.records) {
			return 0, invalidArgument("the sequence number is none of this shard")
		}
		if at.Type == "AFTER_SEQUENCE_NUMBER" {
			n++
		}
		return max(n, h.trimmed), nil
	}
	return 0, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
}

// GetRecordsInput is the input of GetRecords.
type GetRecordsInput struct {
	ShardIterator string
	Limit         int
	StreamARN     string
}

// GetRecordsOutput has records, and the iterator to go on with.
type GetRecordsOutput struct {
	Records            []Record
	NextShardIterator  string
	MillisBehindLatest int64
}

// A Record is one that was read.
type Record struct {
	SequenceNumber              string
	ApproximateArrivalTimestamp *wire.Timestamp
	Data                        []byte
	PartitionKey                string
	EncryptionType              string
}

// maxRead bounds the data of one answer, in bytes.
const maxRead = 10 << 20

// GetRecords reads records of a shard.
func (s *Service) GetRecords(c *authz.Call, in *GetRecordsInput) (*GetRecordsOutput, error) {
	if err := awsjson.Required("ShardIterator", in.ShardIterator); err != nil {
		return nil, err
	}
	if in.Limit < 0 || in.Limit > 10000 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must be between 1 and 10000")
	}
	p, err := s.position(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	if in.StreamARN != "" && in.StreamARN != p.ARN {
		return nil, invalidArgument("the ShardIterator is not one of StreamARN")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, named{StreamARN: p.ARN}, "GetRecords", nil)
	if err != nil {
		return nil, err
	}
	if c.Now.After(p.Expires) {
		return nil, wire.BadRequest("ExpiredIteratorException", "Iterator expired.")
	}
	if p.Shard >= len(x.shards) {
		return nil, wire.BadRequest("ResourceNotFoundException", "the shard does not exist any more")
	}
	limit := in.Limit
	if limit == 0 {
		limit = 10000
	}
	h := x.shards[p.Shard]
	records, next, err := s.read(c, x, h, p.Next, limit)
	if err != nil {
		return nil, err
	}
	p.Next, p.Expires = next, c.Now.Add(iteratorLife)
	return &GetRecordsOutput{records, s.iterator(p), h.behind(next, c.Now)}, nil
}

// read returns at most limit records from an index on, and the index to go on
// with.
func (s *Service) read(c *authz.Call, x *stream, h *shard, from, limit int) ([]Record, int, error) {
	h.trim(c.Now)
	next, size := max(from, h.trimmed), 0
	records := []Record{}
	for next < h.trimmed+len(h.records) && len(records) < limit && size < maxRead {
		r := h.records[next-h.trimmed]
		if err := s.open(c, x, r); err != nil {
			return nil, 0, err
		}
		kind := "NONE"
		if r.dataKey != nil {
			kind = "KMS"
		}
		records = append(records, Record{h.sequence(next), wire.At(r.arrived), r.data, r.partitionKey, kind})
		size += len(r.data)
		next++
	}
	return records, next, nil
}

// behind is how old the next record to read is, in milliseconds.
func (h *shard) behind(next int, now time.Time) int64 {
	if next >= h.trimmed+len(h.records) {
		return 0
	}
	return max(0, now.Sub(h.records[next-h.trimmed].arrived).Milliseconds())
}
