// Package dynamodbapi is the sandbox's DynamoDB: tables with indexes, items and
// expressions, resource policies that are enforced, encryption with keys of
// KMS, expiry, and change streams.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/Welcome.html
package dynamodbapi

import (
	"encoding/hex"
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
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// forwardedBy is the service principal that calls KMS for callers.
const forwardedBy = "dynamodb.amazonaws.com"

// Shorter names for what everything here is about.
type (
	// An Item is an item, or the key of one.
	Item = expression.Item
	// A Value is an attribute value.
	Value = expression.Value
)

// A Service is the DynamoDB of all accounts and regions of a sandbox. It is
// safe for concurrent use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service
	random    io.Reader
	secret    [32]byte // authenticates shard iterators

	mu           sync.Mutex
	tables       map[place]map[string]*table // by name
	streams      map[place][]*stream         // oldest first, also of tables that are gone
	transactions map[string]transaction      // by account and token
	revisions    int64                       // of policies
}

type place struct {
	account iam.AccountID
	region  string
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// New returns a service without tables. Random must be safe for concurrent
// use.
func New(d *directory.Directory, kms *kmsapi.Service, random io.Reader) *Service {
	s := &Service{
		directory: d, kms: kms, random: random,
		tables: make(map[place]map[string]*table), streams: make(map[place][]*stream), transactions: make(map[string]transaction),
	}
	if _, err := io.ReadFull(random, s.secret[:]); err != nil {
		panic(fmt.Sprintf("dynamodbapi: reading randomness: %v", err))
	}
	return s
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), streamOperations.Target+".") {
		streamOperations.Serve(s, w, r, c)
		return
	}
	operations.Serve(s, w, r, c)
}

// Operations lists all operations of DynamoDB that the sandbox knows of.
func Operations() []overview.Operation { return operations.List() }

// StreamOperations lists those of DynamoDB Streams.
func StreamOperations() []overview.Operation { return streamOperations.List() }

const writeNote = "no legacy parameters, no consumed capacity"

var operations = awsjson.Table[*Service]{Service: "dynamodb", Target: "DynamoDB_20120810", Version: "1.0", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("BatchGetItem", writeNote, (*Service).BatchGetItem),
	awsjson.Real("BatchWriteItem", writeNote, (*Service).BatchWriteItem),
	awsjson.Real("CreateTable", "active at once; throughput is kept and never throttles; no replicas", (*Service).CreateTable),
	awsjson.Real("DeleteItem", writeNote, (*Service).DeleteItem),
	awsjson.Real("DeleteResourcePolicy", "", (*Service).DeleteResourcePolicy),
	awsjson.Real("DeleteTable", "at once", (*Service).DeleteTable),
	awsjson.Real("DescribeContinuousBackups", "they are always disabled", (*Service).DescribeContinuousBackups),
	awsjson.Real("DescribeTable", "", (*Service).DescribeTable),
	awsjson.Real("DescribeTimeToLive", "", (*Service).DescribeTimeToLive),
	awsjson.Real("GetItem", writeNote, (*Service).GetItem),
	awsjson.Real("GetResourcePolicy", "", (*Service).GetResourcePolicy),
	awsjson.Real("ListTables", "", (*Service).ListTables),
	awsjson.Real("ListTagsOfResource", "one page", (*Service).ListTagsOfResource),
	awsjson.Real("PutItem", writeNote, (*Service).PutItem),
	awsjson.Real("PutResourcePolicy", "may be repeated at once; AWS wants 15 seconds between", (*Service).PutResourcePolicy),
	awsjson.Real("Query", writeNote, (*Service).Query),
	awsjson.Real("Scan", writeNote, (*Service).Scan),
	awsjson.Real("TagResource", "", (*Service).TagResource),
	awsjson.Real("TransactGetItems", "", (*Service).TransactGetItems),
	awsjson.Real("TransactWriteItems", "", (*Service).TransactWriteItems),
	awsjson.Real("UntagResource", "", (*Service).UntagResource),
	awsjson.Real("UpdateItem", writeNote, (*Service).UpdateItem),
	awsjson.Real("UpdateTable", "no replicas", (*Service).UpdateTable),
	awsjson.Real("UpdateTimeToLive", "items are gone as soon as they expire; AWS takes up to days", (*Service).UpdateTimeToLive),
}, awsjson.Missing[*Service](`BatchExecuteStatement CreateBackup CreateGlobalTable DeleteBackup DescribeBackup DescribeContributorInsights
	DescribeEndpoints DescribeExport DescribeGlobalTable DescribeGlobalTableSettings DescribeImport DescribeKinesisStreamingDestination
	DescribeLimits DescribeTableReplicaAutoScaling DisableKinesisStreamingDestination EnableKinesisStreamingDestination ExecuteStatement
	ExecuteTransaction ExportTableToPointInTime ImportTable ListBackups ListContributorInsights ListExports ListGlobalTables ListImports
	RestoreTableFromBackup RestoreTableToPointInTime UpdateContinuousBackups UpdateContributorInsights UpdateGlobalTable
	UpdateGlobalTableSettings UpdateKinesisStreamingDestination UpdateTableReplicaAutoScaling`)...)}

var streamOperations = awsjson.Table[*Service]{Service: "dynamodb", Target: "DynamoDBStreams_20120810", Version: "1.0", Operations: []awsjson.Operation[*Service]{
	awsjson.Real("DescribeStream", "one shard, which stays", (*Service).DescribeStream),
	awsjson.Real("GetRecords", "", (*Service).GetRecords),
	awsjson.Real("GetShardIterator", "", (*Service).GetShardIterator),
	awsjson.Real("ListStreams", "", (*Service).ListStreams),
}}

func invalid(format string, args ...any) error { return expression.Invalid(format, args...) }

// notIncluded refuses a parameter that the sandbox does not have.
func notIncluded(parameter, instead string) error {
	return wire.Errorf(http.StatusNotImplemented, "NotImplemented", "the sandbox does not implement %s of DynamoDB; %s", parameter, instead)
}

// oneOf checks a member that has a few values. Empty is allowed.
func oneOf(member, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", wire.Clip(value), member, strings.Join(values, ", "))
}

// uuid makes a random id of the form that TableId has.
func (s *Service) uuid() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), nil
}

// revision names a new version of a policy.
func (s *Service) revision(now time.Time) string {
	s.revisions++
	return strconv.FormatInt(now.UnixMilli()*1000+s.revisions%1000, 10)
}

// Overview shows the tables and how many items they hold.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Tables", Columns: []string{"Table", "Items", "Indexes", "Stream", "Resource policy"}}
	yes := func(there bool) string {
		if there {
			return "yes"
		}
		return "no"
	}
	for _, tables := range s.tables {
		for _, t := range tables {
			section.Rows = append(section.Rows, []string{t.arn(), strconv.Itoa(len(t.items)), strconv.Itoa(len(t.indexes)), yes(t.stream != nil), yes(t.policy.document != nil)})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
