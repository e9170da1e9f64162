package kinesisapi

import (
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// maxShards bounds what a test can ask for; AWS allows more, on request.
const maxShards = 200

// StreamMode is ON_DEMAND or PROVISIONED.
type StreamMode struct{ StreamMode string }

// CreateStreamInput is the input of CreateStream.
type CreateStreamInput struct {
	StreamName        string
	ShardCount        *int
	StreamModeDetails *StreamMode
	Tags              map[string]string
}

// CreateStream makes a stream, active at once.
func (s *Service) CreateStream(c *authz.Call, in *CreateStreamInput) (*struct{}, error) {
	if !namePattern.MatchString(in.StreamName) {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
	}
	onDemand := in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode == "ON_DEMAND"
	count := 4
	switch {
	case in.ShardCount != nil && onDemand:
		return nil, wire.BadRequest("ValidationException", "ShardCount must not be provided for streams in ON_DEMAND mode")
	case in.ShardCount != nil:
		count = *in.ShardCount
	case !onDemand:
		return nil, wire.BadRequest("ValidationException", "ShardCount is required for streams in PROVISIONED mode")
	}
	if count < 1 || count > maxShards {
		return nil, wire.BadRequest("LimitExceededException", "ShardCount must be between 1 and %d here", maxShards)
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	x := &stream{place: here(c), partition: s.directory.Partition(c.Account()), name: in.StreamName, created: c.Now, onDemand: onDemand, tags: tags, shards: newShards(count)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.Authorize(authz.Query{Action: "kinesis:CreateStream", Resource: x.arn(), RequestTags: tags}); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "kinesis:AddTagsToStream", Resource: x.arn(), RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if _, exists := s.streams[x.place][x.name]; exists {
		return nil, wire.BadRequest("ResourceInUseException", "Stream %s under account %s already exists.", x.name, x.account)
	}
	if s.streams[x.place] == nil {
		s.streams[x.place] = make(map[string]*stream)
	}
	s.streams[x.place][x.name] = x
	return nil, nil
}

// newShards divides the 128 bits of hash keys evenly.
func newShards(count int) []*shard {
	all := new(big.Int).Lsh(big.NewInt(1), 128)
	var shards []*shard
	for i := range count {
		first := new(big.Int).Div(new(big.Int).Mul(all, big.NewInt(int64(i))), big.NewInt(int64(count)))
		next := new(big.Int).Div(new(big.Int).Mul(all, big.NewInt(int64(i+1))), big.NewInt(int64(count)))
		shards = append(shards, &shard{number: i, first: first, last: next.Sub(next, big.NewInt(1))})
	}
	return shards
}

// DeleteStreamInput names a stream.
type DeleteStreamInput struct {
	named
	EnforceConsumerDeletion bool
}

// DeleteStream deletes a stream with its records.
func (s *Service) DeleteStream(c *authz.Call, in *DeleteStreamInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "DeleteStream", nil)
	if err != nil {
		return nil, err
	}
	if len(x.consumers) > 0 && !in.EnforceConsumerDeletion {
		return nil, wire.BadRequest("ResourceInUseException", "Stream %s has consumers; deregister them, or set EnforceConsumerDeletion.", x.name)
	}
	delete(s.streams[x.place], x.name)
	return nil, nil
}

// Description is what DescribeStream shows.
type Description struct {
	StreamName, StreamARN, StreamStatus string
	StreamModeDetails                   StreamMode
	Shards                              []ShardEntry `json:",omitempty"`
	HasMoreShards                       bool
	RetentionPeriodHours                int
	StreamCreationTimestamp             *wire.Timestamp
	EnhancedMonitoring                  []struct{}
	EncryptionType                      string
	KeyID                               string `json:"KeyId,omitempty"`
	OpenShardCount                      int    `json:",omitempty"`
	ConsumerCount                       int
}

const retentionHours = 24

func (x *stream) description() *Description {
	d := &Description{
		StreamName: x.name, StreamARN: x.arn(), StreamStatus: "ACTIVE", RetentionPeriodHours: retentionHours,
		StreamCreationTimestamp: wire.At(x.created), EnhancedMonitoring: []struct{}{}, EncryptionType: "NONE", KeyID: x.keyID,
		StreamModeDetails: StreamMode{"PROVISIONED"},
	}
	if x.onDemand {
		d.StreamModeDetails.StreamMode = "ON_DEMAND"
	}
	if x.keyID != "" {
		d.EncryptionType = "KMS"
	}
	return d
}

// DescribeStreamInput pages through the shards.
type DescribeStreamInput struct {
	named
	Limit                 int
	ExclusiveStartShardID string `json:"ExclusiveStartShardId"`
}

// DescribeStreamOutput shows a stream with its shards.
type DescribeStreamOutput struct{ StreamDescription *Description }

// DescribeStream shows a stream.
func (s *Service) DescribeStream(c *authz.Call, in *DescribeStreamInput) (*DescribeStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "DescribeStream", nil)
	if err != nil {
		return nil, err
	}
	d := x.description()
	shards, next, err := awsjson.Page(x.entries(), in.Limit, 100, 10000, in.ExclusiveStartShardID, func(e ShardEntry) string { return e.ShardID })
	if err != nil {
		return nil, err
	}
	d.Shards, d.HasMoreShards = shards, next != ""
	return &DescribeStreamOutput{d}, nil
}

// StreamInput names a stream.
type StreamInput struct{ named }

// DescribeStreamSummaryOutput shows a stream without its shards.
type DescribeStreamSummaryOutput struct{ StreamDescriptionSummary *Description }

// DescribeStreamSummary shows a stream without its shards.
func (s *Service) DescribeStreamSummary(c *authz.Call, in *StreamInput) (*DescribeStreamSummaryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "DescribeStreamSummary", nil)
	if err != nil {
		return nil, err
	}
	d := x.description()
	d.OpenShardCount, d.ConsumerCount = len(x.shards), len(x.consumers)
	return &DescribeStreamSummaryOutput{d}, nil
}

// ListStreamsInput pages.
type ListStreamsInput struct {
	Limit                               int
	ExclusiveStartStreamName, NextToken string
}

// ListStreamsOutput is a page of streams.
type ListStreamsOutput struct {
	StreamNames     []string
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
	StreamSummaries []*Description
}

// ListStreams lists the account's streams.
func (s *Service) ListStreams(c *authz.Call, in *ListStreamsInput) (*ListStreamsOutput, error) {
	if err := c.Authorize(authz.Query{Action: "kinesis:ListStreams", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	after := in.NextToken
	if after == "" {
		after = in.ExclusiveStartStreamName
	}
	names := slices.Sorted(maps.Keys(s.streams[here(c)]))
	names, next, err := awsjson.Page(names, in.Limit, 100, 10000, after, func(n string) string { return n })
	if err != nil {
		return nil, err
	}
	out := &ListStreamsOutput{StreamNames: []string{}, HasMoreStreams: next != "", NextToken: next, StreamSummaries: []*Description{}}
	for _, name := range names {
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, s.streams[here(c)][name].description())
	}
	return out, nil
}

// EncryptionInput says with which key a stream is encrypted.
type EncryptionInput struct {
	named
	EncryptionType string
	KeyID          string `json:"KeyId"`
}

// StartStreamEncryption lets KMS protect records from now on: producers then
// need kms:GenerateDataKey and consumers kms:Decrypt.
//
// https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
func (s *Service) StartStreamEncryption(c *authz.Call, in *EncryptionInput) (*struct{}, error) {
	if in.EncryptionType != "KMS" || in.KeyID == "" {
		return nil, invalidArgument("EncryptionType must be KMS, and KeyId is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "StartStreamEncryption", nil)
	if err != nil {
		return nil, err
	}
	x.keyID = in.KeyID
	return nil, nil
}

// StopStreamEncryption ends that for new records.
func (s *Service) StopStreamEncryption(c *authz.Call, in *EncryptionInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "StopStreamEncryption", nil)
	if err != nil {
		return nil, err
	}
	x.keyID = ""
	return nil, nil
}

const maxTags = 50

func checkTags(tags map[string]string) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len([]rune(key)) > 128 || len([]rune(tags[key])) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalidArgument("a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: key, Value: tags[key]})
	}
	if len(list) > maxTags {
		return nil, wire.BadRequest("LimitExceededException", "a stream has at most %d tags", maxTags)
	}
	return list, nil
}

// AddTagsToStreamInput is the input of AddTagsToStream.
type AddTagsToStreamInput struct {
	named
	Tags map[string]string
}

// AddTagsToStream adds tags to a stream, or changes them.
func (s *Service) AddTagsToStream(c *authz.Call, in *AddTagsToStreamInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "AddTagsToStream", tags)
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(x.tags, tags)
	if len(merged) > maxTags {
		return nil, wire.BadRequest("LimitExceededException", "a stream has at most %d tags", maxTags)
	}
	x.tags = merged
	return nil, nil
}

// RemoveTagsFromStreamInput is the input of RemoveTagsFromStream.
type RemoveTagsFromStreamInput struct {
	named
	TagKeys []string
}

// RemoveTagsFromStream removes tags. Those that are not there do not matter.
func (s *Service) RemoveTagsFromStream(c *authz.Call, in *RemoveTagsFromStreamInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "RemoveTagsFromStream", nil)
	if err != nil {
		return nil, err
	}
	x.tags = directory.RemoveTags(x.tags, in.TagKeys)
	return nil, nil
}

// A Tag is a tag as Kinesis lists it.
type Tag struct{ Key, Value string }

// ListTagsForStreamOutput has a stream's tags.
type ListTagsForStreamOutput struct {
	Tags        []Tag
	HasMoreTags bool
}

// ListTagsForStream lists a stream's tags.
func (s *Service) ListTagsForStream(c *authz.Call, in *StreamInput) (*ListTagsForStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.named, "ListTagsForStream", nil)
	if err != nil {
		return nil, err
	}
	out := &ListTagsForStreamOutput{Tags: []Tag{}}
	for _, t := range x.tags {
		out.Tags = append(out.Tags, Tag{t.Key, t.Value})
	}
	return out, nil
}

// PolicyInput names a stream or consumer, and brings its resource policy.
type PolicyInput struct {
	ResourceARN string
	Policy      string
}

// PolicyOutput is a resource policy.
type PolicyOutput struct{ Policy string }

// attached returns where the policy of a stream or consumer is kept, after
// authorising the action on it.
func (s *Service) attached(c *authz.Call, arn, action string) (**directory.Document, string, error) {
	if err := awsjson.Required("ResourceARN", arn); err != nil {
		return nil, "", err
	}
	if strings.Contains(arn, "/consumer/") {
		_, k, err := s.findConsumer(c, arn, action)
		if err != nil {
			return nil, "", err
		}
		return &k.policy, "consumer " + k.name, nil
	}
	x, err := s.find(c, named{StreamARN: arn}, action, nil)
	if err != nil {
		return nil, "", err
	}
	return &x.policy, "stream " + x.name, nil
}

// maxPolicySize is a guess: AWS does not document a limit.
const maxPolicySize = 20 << 10

// PutResourcePolicy replaces the resource policy of a stream or consumer.
func (s *Service) PutResourcePolicy(c *authz.Call, in *PolicyInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy, what, err := s.attached(c, in.ResourceARN, "PutResourcePolicy")
	if err != nil {
		return nil, err
	}
	if len(in.Policy) > maxPolicySize {
		return nil, invalidArgument("the policy has %d bytes, and at most %d are allowed", len(in.Policy), maxPolicySize)
	}
	d, err := s.directory.Latest().NewResourceDocument(in.Policy, iam.KindResource, "resource policy of "+what)
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code = "InvalidArgumentException"
		}
		return nil, &e
	}
	for _, st := range d.Compiled.Source().Statements {
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "kinesis:") {
				return nil, invalidArgument("the action %s is none of Kinesis", wire.Clip(action))
			}
		}
		for _, resource := range slices.Concat(st.Resource, st.NotResource) {
			if !iam.MatchWildcard(resource, in.ResourceARN) {
				return nil, invalidArgument("the resource %s is not %s", wire.Clip(resource), wire.Clip(in.ResourceARN))
			}
		}
	}
	*policy = d
	return nil, nil
}

// GetResourcePolicy shows the resource policy of a stream or consumer.
func (s *Service) GetResourcePolicy(c *authz.Call, in *PolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy, what, err := s.attached(c, in.ResourceARN, "GetResourcePolicy")
	if err != nil {
		return nil, err
	}
	if *policy == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "No policy is attached to %s.", what)
	}
	return &PolicyOutput{s.directory.Latest().Text(*policy)}, nil
}

// DeleteResourcePolicy takes the resource policy away.
func (s *Service) DeleteResourcePolicy(c *authz.Call, in *PolicyInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy, what, err := s.attached(c, in.ResourceARN, "DeleteResourcePolicy")
	if err != nil {
		return nil, err
	}
	if *policy == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "No policy is attached to %s.", what)
	}
	*policy = nil
	return nil, nil
}
