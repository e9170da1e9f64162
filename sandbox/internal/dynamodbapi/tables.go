package dynamodbapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A KeyElement is an attribute of a key: KeyType is HASH or RANGE.
type KeyElement struct{ AttributeName, KeyType string }

// An AttributeDefinition is the type of a key attribute: S, N or B.
type AttributeDefinition struct{ AttributeName, AttributeType string }

// Throughput is provisioned capacity.
type Throughput struct{ ReadCapacityUnits, WriteCapacityUnits int }

// Projection says what an index keeps of items.
type Projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

// An IndexInput is an index to make.
type IndexInput struct {
	IndexName             string
	KeySchema             []KeyElement
	Projection            *Projection
	ProvisionedThroughput *Throughput
	OnDemandThroughput    any
	WarmThroughput        any
}

// StreamSpecification turns a table's stream on or off.
type StreamSpecification struct {
	StreamEnabled  bool
	StreamViewType string `json:",omitempty"`
}

// EncryptionSpecification says with which key a table is encrypted.
type EncryptionSpecification struct {
	Enabled        bool
	SSEType        string
	KMSMasterKeyID string `json:"KMSMasterKeyId"`
}

// unsupported are parameters of tables that the sandbox does not have.
type unsupported struct {
	OnDemandThroughput, WarmThroughput, GlobalTableSourceArn, GlobalTableSettingsReplicationMode any
	ReplicaUpdates, MultiRegionConsistency, GlobalTableWitnessUpdates                            any
}

func (u unsupported) refused() error {
	for name, value := range map[string]any{
		"OnDemandThroughput": u.OnDemandThroughput, "WarmThroughput": u.WarmThroughput, "GlobalTableSourceArn": u.GlobalTableSourceArn,
		"GlobalTableSettingsReplicationMode": u.GlobalTableSettingsReplicationMode, "ReplicaUpdates": u.ReplicaUpdates,
		"MultiRegionConsistency": u.MultiRegionConsistency, "GlobalTableWitnessUpdates": u.GlobalTableWitnessUpdates,
	} {
		if value != nil {
			return notIncluded(name, "leave it out")
		}
	}
	return nil
}

// CreateTableInput is the input of CreateTable.
type CreateTableInput struct {
	TableName                 string
	KeySchema                 []KeyElement
	AttributeDefinitions      []AttributeDefinition
	BillingMode               string
	ProvisionedThroughput     *Throughput
	GlobalSecondaryIndexes    []IndexInput
	LocalSecondaryIndexes     []IndexInput
	StreamSpecification       *StreamSpecification
	SSESpecification          *EncryptionSpecification
	TableClass                string
	DeletionProtectionEnabled bool
	ResourcePolicy            string
	Tags                      []Tag
	unsupported
}

// TableOutput shows a table.
type TableOutput struct{ TableDescription *Description }

// CreateTable makes a table, active at once.
func (s *Service) CreateTable(c *authz.Call, in *CreateTableInput) (*TableOutput, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	name := in.TableName
	if prefix := "arn:" + s.directory.Partition(c.Account()) + ":dynamodb:" + c.Region + ":" + string(c.Account()) + ":table/"; strings.HasPrefix(name, prefix) {
		name = name[len(prefix):]
	}
	t := &table{place: here(c), partition: s.directory.Partition(c.Account()), name: name, created: c.Now, protected: in.DeletionProtectionEnabled, items: make(map[string]Item)}
	if err := checkName(t.name); err != nil {
		return nil, err
	}
	if err := t.describedBy(in); err != nil {
		return nil, err
	}
	var err error
	if t.tags, err = checkTags(in.Tags); err != nil {
		return nil, err
	}
	if t.id, err = s.uuid(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	actions := []string{"CreateTable"}
	if len(t.tags) > 0 {
		actions = append(actions, "TagResource")
	}
	if in.ResourcePolicy != "" {
		actions = append(actions, "PutResourcePolicy")
	}
	for _, action := range actions {
		if err := c.Authorize(authz.Query{Action: "dynamodb:" + action, Resource: t.arn(), RequestTags: t.tags}); err != nil {
			return nil, err
		}
	}
	if s.tables[t.place][t.name] != nil {
		return nil, wire.BadRequest("ResourceInUseException", "Table already exists: %s", t.name)
	}
	if in.ResourcePolicy != "" {
		if t.policy, err = s.parsePolicy(c, in.ResourcePolicy, t.arn()); err != nil {
			return nil, err
		}
	}
	if t.encryption, err = s.newEncryption(c, t, in.SSESpecification); err != nil {
		return nil, err
	}
	if err := s.setStream(c, t, in.StreamSpecification); err != nil {
		return nil, err
	}
	if s.tables[t.place] == nil {
		s.tables[t.place] = make(map[string]*table)
	}
	s.tables[t.place][t.name] = t
	return &TableOutput{t.description()}, nil
}

// describedBy takes over keys, indexes and capacity from a request.
func (t *table) describedBy(in *CreateTableInput) error {
	var err error
	if t.definitions, err = readDefinitions(in.AttributeDefinitions); err != nil {
		return err
	}
	if t.order.key, err = t.readKey(in.KeySchema); err != nil {
		return err
	}
	if err := oneOf("billingMode", in.BillingMode, "PROVISIONED", "PAY_PER_REQUEST"); err != nil {
		return err
	}
	if err := oneOf("tableClass", in.TableClass, "STANDARD", "STANDARD_INFREQUENT_ACCESS"); err != nil {
		return err
	}
	t.class = in.TableClass
	onDemand := in.BillingMode == "PAY_PER_REQUEST"
	if t.billing, err = readBilling(onDemand, in.ProvisionedThroughput, "the table"); err != nil {
		return err
	}
	for local, list := range map[bool][]IndexInput{true: in.LocalSecondaryIndexes, false: in.GlobalSecondaryIndexes} {
		for _, x := range list {
			if err := t.addIndex(x, local); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(t.indexes, func(a, b *index) int { return strings.Compare(a.name, b.name) })
	return t.checkDefinitions()
}

func readDefinitions(list []AttributeDefinition) (map[string]expression.Type, error) {
	definitions := make(map[string]expression.Type)
	for _, d := range list {
		if err := oneOf("attributeDefinitions.member.attributeType", d.AttributeType, "B", "N", "S"); err != nil || d.AttributeType == "" {
			return nil, invalid("1 validation error detected: Value '%s' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]", wire.Clip(d.AttributeType))
		}
		if _, twice := definitions[d.AttributeName]; twice {
			return nil, invalid("Cannot have two attributes with the same name")
		}
		definitions[d.AttributeName] = expression.Type(d.AttributeType)
	}
	return definitions, nil
}

// checkDefinitions refuses definitions of attributes that no key uses.
func (t *table) checkDefinitions() error {
	used := make(map[string]bool)
	for _, name := range t.order.key.names() {
		used[name] = true
	}
	for _, x := range t.indexes {
		for _, name := range x.key.names() {
			used[name] = true
		}
	}
	if len(used) != len(t.definitions) {
		return invalid("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return nil
}

func (t *table) readKey(schema []KeyElement) (key, error) {
	var k key
	for i, e := range schema {
		want := []string{"HASH", "RANGE"}
		if i >= len(want) || e.KeyType != want[i] {
			return k, invalid("Invalid KeySchema: The first KeySchemaElement is a HASH key, and the second, if there is one, a RANGE key")
		}
		if _, ok := t.definitions[e.AttributeName]; !ok {
			return k, invalid("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
				wire.Clip(e.AttributeName), wire.Clip(strings.Join(slices.Sorted(maps.Keys(t.definitions)), ", ")))
		}
		if i == 0 {
			k.partition = e.AttributeName
		} else {
			k.sort = e.AttributeName
		}
	}
	if k.partition == "" || k.partition == k.sort {
		return k, invalid("Invalid KeySchema: a key has one HASH attribute and at most one other attribute as RANGE")
	}
	return k, nil
}

func readBilling(onDemand bool, given *Throughput, of string) (billing, error) {
	switch {
	case onDemand && given != nil && (given.ReadCapacityUnits != 0 || given.WriteCapacityUnits != 0):
		return billing{}, invalid("One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case onDemand:
		return billing{onDemand: true}, nil
	case given == nil:
		return billing{}, invalid("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED: %s", of)
	case given.ReadCapacityUnits < 1 || given.WriteCapacityUnits < 1:
		return billing{}, invalid("1 validation error detected: Value at 'provisionedThroughput' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	return billing{read: given.ReadCapacityUnits, write: given.WriteCapacityUnits}, nil
}

// The most indexes a table may have.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-secondary-indexes
const (
	maxGlobalIndexes = 20
	maxLocalIndexes  = 5
)

// addIndex makes an index and fills it.
func (t *table) addIndex(in IndexInput, local bool) error {
	if in.OnDemandThroughput != nil || in.WarmThroughput != nil {
		return notIncluded("OnDemandThroughput and WarmThroughput", "leave them out")
	}
	if err := checkName(in.IndexName); err != nil {
		return err
	}
	if t.index(in.IndexName) != nil {
		return invalid("One or more parameter values were invalid: Duplicate index name: %s", in.IndexName)
	}
	k, err := t.readKey(in.KeySchema)
	if err != nil {
		return err
	}
	if local && (k.partition != t.order.key.partition || k.sort == "" || t.order.key.sort == "") {
		return invalid("One or more parameter values were invalid: Table KeySchema does not have a range key, or index %s does not have the table's hash key and a range key, which local secondary indexes need", in.IndexName)
	}
	x := &index{order: order{key: k}, name: in.IndexName, local: local}
	if in.Projection == nil {
		return invalid("One or more parameter values were invalid: Unknown ProjectionType: null")
	}
	if err := oneOf("projection.projectionType", in.Projection.ProjectionType, "ALL", "INCLUDE", "KEYS_ONLY"); err != nil {
		return err
	}
	x.projection, x.include = in.Projection.ProjectionType, in.Projection.NonKeyAttributes
	if x.projection == "" {
		return invalid("One or more parameter values were invalid: Unknown ProjectionType: null")
	}
	if (x.projection == "INCLUDE") != (len(x.include) > 0) {
		return invalid("One or more parameter values were invalid: ProjectionType is %s, and NonKeyAttributes must be specified with INCLUDE and no other", x.projection)
	}
	if !local {
		if x.billing, err = readBilling(t.billing.onDemand, in.ProvisionedThroughput, "index "+x.name); err != nil {
			return err
		}
	}
	count := 0
	for _, other := range t.indexes {
		if other.local == local {
			count++
		}
	}
	if most := map[bool]int{true: maxLocalIndexes, false: maxGlobalIndexes}[local]; count >= most {
		return invalid("One or more parameter values were invalid: the table would have more than %d indexes of this kind", most)
	}
	for primary, i := range t.items {
		if !slices.ContainsFunc(k.names(), func(name string) bool { return i[name].Type != t.definitions[name] }) {
			x.insert(primary, i) // others cannot be in it
		}
	}
	t.indexes = append(t.indexes, x)
	return nil
}

// TableInput names a table, by name or ARN.
type TableInput struct{ TableName string }

// DescribeTableOutput shows a table.
type DescribeTableOutput struct{ Table *Description }

// DescribeTable shows a table.
func (s *Service) DescribeTable(c *authz.Call, in *TableInput) (*DescribeTableOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.TableName, action: "DescribeTable"})
	if err != nil {
		return nil, err
	}
	return &DescribeTableOutput{t.description()}, nil
}

// DeleteTable deletes a table with its items, at once. What is in its stream
// can still be read for a day.
func (s *Service) DeleteTable(c *authz.Call, in *TableInput) (*TableOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.TableName, action: "DeleteTable"})
	if err != nil {
		return nil, err
	}
	if t.protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	t.endStream(c.Now)
	delete(s.tables[t.place], t.name)
	d := t.description()
	d.TableStatus = "DELETING"
	return &TableOutput{d}, nil
}

// ListTablesInput pages.
type ListTablesInput struct {
	ExclusiveStartTableName string
	Limit                   int
}

// ListTablesOutput is a page of names.
type ListTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

// ListTables lists the names of the account's tables.
func (s *Service) ListTables(c *authz.Call, in *ListTablesInput) (*ListTablesOutput, error) {
	if err := c.Authorize(authz.Query{Action: "dynamodb:ListTables", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.tables[here(c)]))
	page, next, err := awsjson.Page(names, in.Limit, 100, 100, in.ExclusiveStartTableName, func(name string) string { return name })
	if err != nil {
		return nil, err
	}
	return &ListTablesOutput{append([]string{}, page...), next}, nil
}

// Tag is a tag as DynamoDB writes it.
type Tag struct{ Key, Value string }

const maxTags = 50

func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		switch {
		case t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256:
			return nil, invalid("a tag has a key of 1 to 128 characters and a value of at most 256")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalid("tag keys that begin with aws: are AWS's")
		case slices.ContainsFunc(list, func(o directory.Tag) bool { return o.Key == t.Key }):
			return nil, invalid("Tags contains a duplicate key: %s", t.Key)
		}
		list = append(list, directory.Tag{Key: t.Key, Value: t.Value})
	}
	if len(list) > maxTags {
		return nil, invalid("a table has at most %d tags", maxTags)
	}
	return list, nil
}

// TagsInput names a table by its ARN, and brings tags or keys of tags.
type TagsInput struct {
	ResourceArn string
	Tags        []Tag
	TagKeys     []string
}

// TagResource adds tags to a table, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.ResourceArn, action: "TagResource", requestTags: tags})
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(t.tags, tags)
	if len(merged) > maxTags {
		return nil, invalid("a table has at most %d tags", maxTags)
	}
	t.tags = merged
	return nil, nil
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var removed []directory.Tag // for aws:TagKeys
	for _, k := range in.TagKeys {
		removed = append(removed, directory.Tag{Key: k})
	}
	t, err := s.find(c, reference{table: in.ResourceArn, action: "UntagResource", requestTags: removed})
	if err != nil {
		return nil, err
	}
	t.tags = directory.RemoveTags(t.tags, in.TagKeys)
	return nil, nil
}

// ListTagsOutput has a table's tags.
type ListTagsOutput struct{ Tags []Tag }

// ListTagsOfResource lists a table's tags.
func (s *Service) ListTagsOfResource(c *authz.Call, in *TagsInput) (*ListTagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.ResourceArn, action: "ListTagsOfResource"})
	if err != nil {
		return nil, err
	}
	out := &ListTagsOutput{Tags: []Tag{}}
	for _, tag := range t.tags {
		out.Tags = append(out.Tags, Tag{tag.Key, tag.Value})
	}
	return out, nil
}
