package dynamodbapi

import (
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Description is what DescribeTable shows.
type Description struct {
	TableName, TableArn, TableStatus string
	TableID                          string `json:"TableId"`
	CreationDateTime                 *wire.Timestamp
	AttributeDefinitions             []AttributeDefinition
	KeySchema                        []KeyElement
	ItemCount, TableSizeBytes        int
	ProvisionedThroughput            ThroughputDescription
	BillingModeSummary               *BillingModeSummary  `json:",omitempty"`
	GlobalSecondaryIndexes           []IndexDescription   `json:",omitempty"`
	LocalSecondaryIndexes            []IndexDescription   `json:",omitempty"`
	StreamSpecification              *StreamSpecification `json:",omitempty"`
	LatestStreamArn                  string               `json:",omitempty"`
	LatestStreamLabel                string               `json:",omitempty"`
	SSEDescription                   *SSEDescription      `json:",omitempty"`
	TableClassSummary                *TableClassSummary   `json:",omitempty"`
	DeletionProtectionEnabled        bool
}

// ThroughputDescription is the capacity of a table or index; zero on demand.
type ThroughputDescription struct {
	NumberOfDecreasesToday, ReadCapacityUnits, WriteCapacityUnits int
}

// BillingModeSummary is there for tables on demand.
type BillingModeSummary struct{ BillingMode string }

// TableClassSummary is there for tables whose class was chosen.
type TableClassSummary struct{ TableClass string }

// SSEDescription is there for tables that KMS encrypts.
type SSEDescription struct{ Status, SSEType, KMSMasterKeyArn string }

// IndexDescription is an index of a table.
type IndexDescription struct {
	IndexName, IndexArn       string
	IndexStatus               string `json:",omitempty"`
	KeySchema                 []KeyElement
	Projection                Projection
	ItemCount, IndexSizeBytes int
	ProvisionedThroughput     *ThroughputDescription `json:",omitempty"`
}

func (k key) schema() []KeyElement {
	schema := []KeyElement{{k.partition, "HASH"}}
	if k.sort != "" {
		schema = append(schema, KeyElement{k.sort, "RANGE"})
	}
	return schema
}

func (t *table) description() *Description {
	d := &Description{
		TableName: t.name, TableArn: t.arn(), TableStatus: "ACTIVE", TableID: t.id, CreationDateTime: wire.At(t.created),
		KeySchema: t.order.key.schema(), ItemCount: len(t.items), TableSizeBytes: t.size(),
		ProvisionedThroughput: ThroughputDescription{0, t.billing.read, t.billing.write}, DeletionProtectionEnabled: t.protected,
	}
	for _, name := range slices.Sorted(maps.Keys(t.definitions)) {
		d.AttributeDefinitions = append(d.AttributeDefinitions, AttributeDefinition{name, string(t.definitions[name])})
	}
	if t.billing.onDemand {
		d.BillingModeSummary = &BillingModeSummary{"PAY_PER_REQUEST"}
	}
	if t.class != "" {
		d.TableClassSummary = &TableClassSummary{t.class}
	}
	if t.encryption != nil {
		d.SSEDescription = &SSEDescription{"ENABLED", "KMS", t.encryption.keyARN}
	}
	if t.stream != nil {
		d.StreamSpecification = &StreamSpecification{true, t.stream.view}
		d.LatestStreamArn, d.LatestStreamLabel = t.stream.arn(), t.stream.label
	}
	for _, x := range t.indexes {
		shown := IndexDescription{
			IndexName: x.name, IndexArn: t.indexARN(x.name), KeySchema: x.key.schema(),
			Projection: Projection{x.projection, x.include}, ItemCount: len(x.entries),
		}
		keeps := t.projects(x)
		for _, e := range x.entries {
			shown.IndexSizeBytes += keeps.Apply(e.item).Size()
		}
		if x.local {
			d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, shown)
			continue
		}
		shown.IndexStatus = "ACTIVE"
		shown.ProvisionedThroughput = &ThroughputDescription{0, x.billing.read, x.billing.write}
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, shown)
	}
	return d
}

// ContinuousBackupsOutput says that there are no backups.
type ContinuousBackupsOutput struct {
	ContinuousBackupsDescription struct {
		ContinuousBackupsStatus        string
		PointInTimeRecoveryDescription struct{ PointInTimeRecoveryStatus string }
	}
}

// DescribeContinuousBackups says that there are no backups.
func (s *Service) DescribeContinuousBackups(c *authz.Call, in *TableInput) (*ContinuousBackupsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(c, reference{table: in.TableName, action: "DescribeContinuousBackups"}); err != nil {
		return nil, err
	}
	out := &ContinuousBackupsOutput{}
	out.ContinuousBackupsDescription.ContinuousBackupsStatus = "DISABLED"
	out.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus = "DISABLED"
	return out, nil
}
