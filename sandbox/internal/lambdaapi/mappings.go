package lambdaapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A mapping hands what arrives in a stream or queue to a function. What it
// holds of a shard is touched only by the one that advances.
type mapping struct {
	id       string
	arn      string
	account  iam.AccountID
	region   string
	source   string // ARN
	service  string // of the source
	function string // ARN
	starting string
	batch    int
	enabled  bool
	shards   map[string]*position // by id

	changed   time.Time
	processed time.Time
	result    string
}

// A position is where reading a shard goes on.
type position struct {
	iterator string
	renewed  time.Time // when the iterator was given
	last     string    // sequence number read last

	from kinesisapi.StartingPosition // of a stream consumer, instead of the iterator
}

// fanOut reports whether the source is a stream consumer.
func (m *mapping) fanOut() bool { return strings.Contains(m.source, "/consumer/") }

// MappingInput is the input of CreateEventSourceMapping.
type MappingInput struct {
	EventSourceARN            string `json:"EventSourceArn"`
	FunctionName              string
	Enabled                   *bool
	BatchSize                 *int
	StartingPosition          string
	StartingPositionTimestamp *wire.Timestamp
	Unsupported               // nothing of it
}

// Unsupported is what mappings of AWS have and those of the sandbox have not.
type Unsupported struct {
	FilterCriteria, DestinationConfig, ScalingConfig, FunctionResponseTypes, SourceAccessConfigurations json.RawMessage
	SelfManagedEventSource, Topics, Queues, Tags, ProvisionedPollerConfig, MetricsConfig                json.RawMessage
	MaximumBatchingWindowInSeconds, ParallelizationFactor, MaximumRecordAgeInSeconds                    *int
	MaximumRetryAttempts, TumblingWindowInSeconds                                                       *int
	BisectBatchOnFunctionError                                                                          *bool
	KMSKeyARN                                                                                           string `json:"KMSKeyArn"`
}

func (u *Unsupported) check(operation string) error {
	for name, value := range map[string]json.RawMessage{
		"FilterCriteria": u.FilterCriteria, "DestinationConfig": u.DestinationConfig, "ScalingConfig": u.ScalingConfig, "FunctionResponseTypes": u.FunctionResponseTypes,
		"SourceAccessConfigurations": u.SourceAccessConfigurations, "SelfManagedEventSource": u.SelfManagedEventSource, "Topics": u.Topics, "Queues": u.Queues,
		"Tags": u.Tags, "ProvisionedPollerConfig": u.ProvisionedPollerConfig, "MetricsConfig": u.MetricsConfig,
	} {
		if text := string(value); text != "" && text != "null" && text != "[]" && text != "{}" {
			return wire.NotImplemented("lambda", operation+" with "+name)
		}
	}
	// Zero windows, one batch at a time, retries without end: what there is.
	for name, value := range map[string]struct {
		given *int
		usual int
	}{
		"MaximumBatchingWindowInSeconds": {u.MaximumBatchingWindowInSeconds, 0}, "ParallelizationFactor": {u.ParallelizationFactor, 1},
		"MaximumRecordAgeInSeconds": {u.MaximumRecordAgeInSeconds, -1}, "MaximumRetryAttempts": {u.MaximumRetryAttempts, -1}, "TumblingWindowInSeconds": {u.TumblingWindowInSeconds, 0},
	} {
		if value.given != nil && *value.given != value.usual {
			return wire.NotImplemented("lambda", operation+" with "+name)
		}
	}
	if u.KMSKeyARN != "" || u.BisectBatchOnFunctionError != nil && *u.BisectBatchOnFunctionError {
		return wire.NotImplemented("lambda", operation+" with KMSKeyArn or BisectBatchOnFunctionError")
	}
	return nil
}

// Mapping describes an event source mapping.
type Mapping struct {
	UUID                  string
	EventSourceMappingARN string `json:"EventSourceMappingArn"`
	EventSourceARN        string `json:"EventSourceArn"`
	FunctionARN           string `json:"FunctionArn"`
	State                 string
	StateTransitionReason string
	BatchSize             int
	StartingPosition      string `json:",omitempty"`
	LastModified          *wire.Timestamp
	LastProcessingResult  string
}

func (m *mapping) shown() *Mapping {
	state := "Enabled"
	if !m.enabled {
		state = "Disabled"
	}
	return &Mapping{m.id, m.arn, m.source, m.function, state, "USER_INITIATED", m.batch, m.starting, wire.At(m.changed), m.result}
}

func (s *Service) serveCreateMapping(c *authz.Call, r *request) (*answer, error) {
	var in MappingInput
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	out, err := s.CreateEventSourceMapping(c, &in)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusAccepted, body: out}, nil
}

// CreateEventSourceMapping makes a mapping. Whether the execution role can read
// the source is tried at once, as AWS does; a source of another account must
// admit it in its own policy.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
func (s *Service) CreateEventSourceMapping(c *authz.Call, in *MappingInput) (*Mapping, error) {
	if err := in.check("CreateEventSourceMapping"); err != nil {
		return nil, err
	}
	source, err := iam.ParseARN(in.EventSourceARN)
	if err != nil {
		return nil, invalid("Unrecognized event source.")
	}
	arn, err := s.functionARN(c, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	m := &mapping{
		id: id, arn: s.newARN(c.Account(), c.Region, "event-source-mapping:"+id), account: c.Account(), region: c.Region, source: in.EventSourceARN, service: source.Service,
		starting: in.StartingPosition, enabled: in.Enabled == nil || *in.Enabled, changed: c.Now, result: "No records processed", shards: make(map[string]*position),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.Authorize(authz.Query{Action: "lambda:CreateEventSourceMapping", Resource: "*", Context: withFunction(arn)}); err != nil {
		return nil, err
	}
	f := s.functions[arn]
	if f == nil || f.account != c.Account() {
		return nil, notFound("Function not found: %s", arn)
	}
	m.function = arn
	if source.Region != c.Region {
		return nil, invalid("The event source and the function must be in the same region.")
	}
	for _, other := range s.mappings {
		if other.source == m.source && other.function == arn {
			return nil, conflict("The event source arn (\" %s \") and function (\" %s \") provided mapping already exists. Please update or delete the existing mapping with UUID %s", m.source, f.name, other.id)
		}
	}
	as, err := s.executionRole(c, f)
	if err != nil {
		return nil, err
	}
	if err := s.open(as, m, in); err != nil {
		return nil, err
	}
	s.mappings = append(s.mappings, m)
	return m.shown(), nil
}

// open tries the source and finds where reading begins.
func (s *Service) open(as *authz.Call, m *mapping, in *MappingInput) error {
	var err error
	switch m.service {
	case "sqs":
		if in.StartingPosition != "" {
			return invalid("StartingPosition is not valid for SQS event sources.")
		}
		if m.batch, err = batchSize(in.BatchSize, 10, 10); err != nil {
			return err
		}
		for _, action := range []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} {
			if err := s.options.SQS.Check(as, m.source, action); err != nil {
				e := wire.BadRequest("InvalidParameterValueException", "The provided execution role does not have permissions to call %s on SQS", action)
				e.Cause = err
				return e
			}
		}
		return nil
	case "kinesis":
		if m.batch, err = batchSize(in.BatchSize, 100, 10000); err != nil {
			return err
		}
		switch in.StartingPosition {
		case "LATEST", "TRIM_HORIZON", "AT_TIMESTAMP":
		default:
			return invalid("StartingPosition is one of TRIM_HORIZON, LATEST and AT_TIMESTAMP for Kinesis event sources.")
		}
		if m.fanOut() {
			if err := s.openConsumer(as, m, in); err != nil {
				e := wire.BadRequest("InvalidParameterValueException", "Cannot access stream consumer %s. Please ensure the role can perform the SubscribeToShard, DescribeStreamConsumer and ListShards Actions on your stream and consumer in Kinesis.", m.source)
				e.Cause = err
				return e
			}
			return nil
		}
		if err := s.openStream(as, m, in); err != nil {
			e := wire.BadRequest("InvalidParameterValueException", "Cannot access stream %s. Please ensure the role can perform the GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams Actions on your stream in Kinesis.", m.source)
			e.Cause = err
			return e
		}
		return nil
	case "dynamodb", "kafka", "mq", "docdb":
		return wire.NotImplemented("lambda", "event source mappings of "+m.service)
	}
	return invalid("Unrecognized event source.")
}

// openStream makes the calls that reading needs, and throws away what the trial
// reads.
func (s *Service) openStream(as *authz.Call, m *mapping, in *MappingInput) error {
	describe := &kinesisapi.DescribeStreamInput{}
	describe.StreamARN = m.source
	if _, err := s.options.Kinesis.DescribeStream(as, describe); err != nil {
		return err
	}
	list := &kinesisapi.ListShardsInput{}
	list.StreamARN = m.source
	listed, err := s.options.Kinesis.ListShards(as, list)
	if err != nil {
		return err
	}
	for _, shard := range listed.Shards {
		begin := &kinesisapi.GetShardIteratorInput{ShardID: shard.ShardID, ShardIteratorType: in.StartingPosition, Timestamp: in.StartingPositionTimestamp}
		begin.StreamARN = m.source
		out, err := s.options.Kinesis.GetShardIterator(as, begin)
		if err != nil {
			return err
		}
		if _, err := s.options.Kinesis.GetRecords(as, &kinesisapi.GetRecordsInput{ShardIterator: out.ShardIterator, Limit: 1, StreamARN: m.source}); err != nil {
			return err
		}
		m.shards[shard.ShardID] = &position{iterator: out.ShardIterator, renewed: as.Now}
	}
	return nil
}

// openConsumer is openStream for a stream consumer. Its ARN begins with the
// stream's.
func (s *Service) openConsumer(as *authz.Call, m *mapping, in *MappingInput) error {
	list := &kinesisapi.ListShardsInput{}
	list.StreamARN, _, _ = strings.Cut(m.source, "/consumer/")
	listed, err := s.options.Kinesis.ListShards(as, list)
	if err != nil {
		return err
	}
	for _, shard := range listed.Shards {
		from := kinesisapi.StartingPosition{Type: in.StartingPosition, Timestamp: in.StartingPositionTimestamp}
		event, err := s.options.Kinesis.Subscribe(as, &kinesisapi.SubscribeToShardInput{ConsumerARN: m.source, ShardID: shard.ShardID, StartingPosition: from})
		if err != nil {
			return err
		}
		if from.Type == "LATEST" { // of now, not of the next subscription
			from = kinesisapi.StartingPosition{Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: event.ContinuationSequenceNumber}
		}
		m.shards[shard.ShardID] = &position{from: from}
	}
	return nil
}

func withFunction(arn string) func(*iam.Context) {
	return func(ctx *iam.Context) { ctx.Set("lambda:FunctionArn", arn) }
}

// findMapping returns a mapping of the caller's account after authorising the
// action on it. The caller holds the lock.
func (s *Service) findMapping(c *authz.Call, id, action string) (*mapping, error) {
	q := authz.Query{Action: "lambda:" + action, Resource: s.newARN(c.Account(), c.Region, "event-source-mapping:"+id)}
	var found *mapping
	for _, m := range s.mappings {
		if m.id == id && m.account == c.Account() && m.region == c.Region {
			found = m
			q.Context = withFunction(m.function)
		}
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, notFound("The resource you requested does not exist.")
	}
	return found, nil
}

func (s *Service) serveGetMapping(c *authz.Call, r *request) (*answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.findMapping(c, r.name, "GetEventSourceMapping")
	if err != nil {
		return nil, err
	}
	return ok(m.shown())
}

// UpdateMappingInput is the input of UpdateEventSourceMapping.
type UpdateMappingInput struct {
	UUID         string
	Enabled      *bool
	BatchSize    *int
	FunctionName string
	Unsupported
}

func (s *Service) serveUpdateMapping(c *authz.Call, r *request) (*answer, error) {
	var in UpdateMappingInput
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	in.UUID = r.name
	out, err := s.UpdateEventSourceMapping(c, &in)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusAccepted, body: out}, nil
}

// UpdateEventSourceMapping changes a mapping.
func (s *Service) UpdateEventSourceMapping(c *authz.Call, in *UpdateMappingInput) (*Mapping, error) {
	if err := in.check("UpdateEventSourceMapping"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.findMapping(c, in.UUID, "UpdateEventSourceMapping")
	if err != nil {
		return nil, err
	}
	if in.FunctionName != "" {
		if arn, err := s.functionARN(c, in.FunctionName, ""); err != nil || arn != m.function {
			return nil, wire.NotImplemented("lambda", "UpdateEventSourceMapping to another function")
		}
	}
	most := 10000
	if m.service == "sqs" {
		most = 10
	}
	if m.batch, err = batchSize(in.BatchSize, m.batch, most); err != nil {
		return nil, err
	}
	if in.Enabled != nil {
		m.enabled = *in.Enabled
	}
	m.changed = c.Now
	return m.shown(), nil
}

func (s *Service) serveDeleteMapping(c *authz.Call, r *request) (*answer, error) {
	out, err := s.DeleteEventSourceMapping(c, r.name)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusAccepted, body: out}, nil
}

// DeleteEventSourceMapping deletes a mapping, at once.
func (s *Service) DeleteEventSourceMapping(c *authz.Call, id string) (*Mapping, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.findMapping(c, id, "DeleteEventSourceMapping")
	if err != nil {
		return nil, err
	}
	m.enabled = false // for one that is polling it
	s.mappings = slices.DeleteFunc(s.mappings, func(o *mapping) bool { return o == m })
	shown := m.shown()
	shown.State = "Deleting"
	return shown, nil
}

func (s *Service) serveListMappings(c *authz.Call, r *request) (*answer, error) {
	q := r.URL.Query()
	if q.Get("Marker") != "" {
		return nil, wire.NotImplemented("lambda", "ListEventSourceMappings with Marker")
	}
	if err := c.Authorize(authz.Query{Action: "lambda:ListEventSourceMappings", Resource: "*"}); err != nil {
		return nil, err
	}
	arn := ""
	if name := q.Get("FunctionName"); name != "" {
		var err error
		if arn, err = s.functionARN(c, name, ""); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*Mapping{}
	for _, m := range s.mappings {
		if m.account == c.Account() && m.region == c.Region && (arn == "" || arn == m.function) && (q.Get("EventSourceArn") == "" || q.Get("EventSourceArn") == m.source) {
			list = append(list, m.shown())
		}
	}
	return ok(struct{ EventSourceMappings []*Mapping }{list})
}
