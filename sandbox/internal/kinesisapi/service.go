// Package kinesisapi is the sandbox's Kinesis Data Streams: streams that keep
// records in order, consumers with enhanced fan-out, and the resource policies
// of both.
//
// https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html
package kinesisapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// forwardedBy is the service principal that calls KMS for callers.
const forwardedBy = "kinesis.amazonaws.com"

// A Service is the Kinesis of all accounts and regions of a sandbox. It is
// safe for concurrent use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service
	secret    [32]byte // authenticates shard iterators

	mu      sync.Mutex
	streams map[place]map[string]*stream // by name
}

type place struct {
	account iam.AccountID
	region  string
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// New returns a service without streams.
func New(d *directory.Directory, kms *kmsapi.Service, random io.Reader) *Service {
	s := &Service{directory: d, kms: kms, streams: make(map[place]map[string]*stream)}
	if _, err := io.ReadFull(random, s.secret[:]); err != nil {
		panic(fmt.Sprintf("kinesisapi: reading randomness: %v", err))
	}
	return s
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	if name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), table.Target+"."); ok && name == "SubscribeToShard" {
		s.serveSubscription(w, r, c)
		return
	}
	table.Serve(s, w, r, c)
}

// Operations lists all operations of Kinesis that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "kinesis", Target: "Kinesis_20131202", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("AddTagsToStream", "", (*Service).AddTagsToStream),
	awsjson.Real("CreateStream", "the shards it begins with stay; records are never throttled", (*Service).CreateStream),
	awsjson.Real("DeleteResourcePolicy", "", (*Service).DeleteResourcePolicy),
	awsjson.Real("DeleteStream", "at once", (*Service).DeleteStream),
	awsjson.Real("DeregisterStreamConsumer", "at once", (*Service).DeregisterStreamConsumer),
	awsjson.Real("DescribeStream", "", (*Service).DescribeStream),
	awsjson.Real("DescribeStreamConsumer", "", (*Service).DescribeStreamConsumer),
	awsjson.Real("DescribeStreamSummary", "", (*Service).DescribeStreamSummary),
	awsjson.Real("GetRecords", "", (*Service).GetRecords),
	awsjson.Real("GetResourcePolicy", "", (*Service).GetResourcePolicy),
	awsjson.Real("GetShardIterator", "", (*Service).GetShardIterator),
	awsjson.Real("ListShards", "no filters; one page", (*Service).ListShards),
	awsjson.Real("ListStreamConsumers", "one page", (*Service).ListStreamConsumers),
	awsjson.Real("ListStreams", "", (*Service).ListStreams),
	awsjson.Real("ListTagsForStream", "one page", (*Service).ListTagsForStream),
	awsjson.Real("PutRecord", "", (*Service).PutRecord),
	awsjson.Real("PutRecords", "", (*Service).PutRecords),
	awsjson.Real("PutResourcePolicy", "", (*Service).PutResourcePolicy),
	awsjson.Real("RegisterStreamConsumer", "active at once", (*Service).RegisterStreamConsumer),
	awsjson.Real("RemoveTagsFromStream", "", (*Service).RemoveTagsFromStream),
	awsjson.Real("StartStreamEncryption", "", (*Service).StartStreamEncryption),
	awsjson.Real("StopStreamEncryption", "", (*Service).StopStreamEncryption),
	awsjson.Real("SubscribeToShard", "what is there is sent, then the subscription ends; AWS keeps it for five minutes", (*Service).subscribeElsewhere),
}, awsjson.Missing[*Service](`DecreaseStreamRetentionPeriod DescribeLimits DisableEnhancedMonitoring EnableEnhancedMonitoring
	IncreaseStreamRetentionPeriod ListTagsForResource MergeShards SplitShard TagResource UntagResource
	UpdateMaxRecordSize UpdateShardCount UpdateStreamMode UpdateStreamWarmThroughput DescribeAccountSettings UpdateAccountSettings`)...)}

type stream struct {
	place
	partition string
	name      string
	created   time.Time
	onDemand  bool
	keyID     string // empty: not encrypted
	shards    []*shard
	consumers []*consumer
	policy    *directory.Document
	tags      []directory.Tag
}

type consumer struct {
	name    string
	created time.Time
	policy  *directory.Document
}

func (x *stream) arn() string {
	return "arn:" + x.partition + ":kinesis:" + x.region + ":" + string(x.account) + ":stream/" + x.name
}

// consumerARN ends in the second the consumer was made, so nobody knows it
// before.
func (x *stream) consumerARN(c *consumer) string {
	return x.arn() + "/consumer/" + c.name + ":" + strconv.FormatInt(c.created.Unix(), 10)
}

// A named request says which stream it means: by ARN, or by name in the
// caller's own account.
type named struct{ StreamName, StreamARN string }

// find returns the stream after authorising the action on it. The caller holds
// the lock. A stream that does not exist is reported only to those who might
// have used it.
func (s *Service) find(c *authz.Call, in named, action string, requestTags []directory.Tag) (*stream, error) {
	p, name := here(c), in.StreamName
	switch {
	case in.StreamARN != "":
		account, region, rest, err := parseARN(in.StreamARN)
		if err != nil {
			return nil, err
		}
		p, name = place{account, region}, rest
		if in.StreamName != "" && in.StreamName != name {
			return nil, invalidArgument("StreamName and StreamARN do not name the same stream")
		}
		if strings.Contains(name, "/") {
			return nil, invalidArgument("StreamARN is the ARN of a stream, not of a consumer")
		}
	case name == "":
		return nil, invalidArgument("Either StreamName or StreamARN must be provided")
	}
	var x *stream
	if p.region == c.Region {
		x = s.streams[p][name]
	}
	q := authz.Query{Action: "kinesis:" + action, ResourceAccount: p.account, RequestTags: requestTags,
		Resource: "arn:" + s.directory.Partition(p.account) + ":kinesis:" + p.region + ":" + string(p.account) + ":stream/" + name}
	if x != nil {
		q.ResourceTags = x.tags
		if x.policy != nil {
			q.ResourcePolicy = x.policy.Compiled
		}
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if x == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "Stream %s under account %s not found.", wire.Clip(name), p.account)
	}
	return x, nil
}

// findConsumer does the same for a consumer, whose policy is its own.
func (s *Service) findConsumer(c *authz.Call, arn, action string) (*stream, *consumer, error) {
	account, region, name, err := parseARN(arn)
	if err != nil {
		return nil, nil, err
	}
	streamName, _, ok := strings.Cut(name, "/consumer/")
	if !ok {
		return nil, nil, invalidArgument("ConsumerARN is the ARN of a consumer")
	}
	q := authz.Query{Action: "kinesis:" + action, Resource: arn, ResourceAccount: account}
	x := s.streams[place{account, region}][streamName]
	var found *consumer
	if x != nil && region == c.Region {
		for _, k := range x.consumers {
			if x.consumerARN(k) == arn {
				found = k
			}
		}
	}
	if found != nil && found.policy != nil {
		q.ResourcePolicy = found.policy.Compiled
	}
	if err := c.Authorize(q); err != nil {
		return nil, nil, err
	}
	if found == nil {
		return nil, nil, wire.BadRequest("ResourceNotFoundException", "Consumer %s not found.", wire.Clip(arn))
	}
	return x, found, nil
}

// parseARN takes an ARN of a stream or consumer apart; name is what follows
// "stream/".
func parseARN(text string) (account iam.AccountID, region, name string, err error) {
	arn, parseErr := iam.ParseARN(text)
	name, ok := strings.CutPrefix(arn.Resource, "stream/")
	if parseErr != nil || arn.Service != "kinesis" || !ok || name == "" {
		return "", "", "", invalidArgument("%s is not the ARN of a stream or consumer", wire.Clip(text))
	}
	return iam.AccountID(arn.Account), arn.Region, name, nil
}

func invalidArgument(format string, args ...any) error {
	return wire.BadRequest("InvalidArgumentException", format, args...)
}

// Overview shows the streams and how many records they hold.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Streams", Columns: []string{"Stream", "Shards", "Records", "Consumers", "Resource policy"}}
	for _, streams := range s.streams {
		for _, x := range streams {
			records, policy := 0, "no"
			for _, shard := range x.shards {
				records += len(shard.records)
			}
			if x.policy != nil {
				policy = "yes"
			}
			section.Rows = append(section.Rows, []string{x.arn(), fmt.Sprint(len(x.shards)), fmt.Sprint(records), fmt.Sprint(len(x.consumers)), policy})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
