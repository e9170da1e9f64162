package dynamodbapi

import (
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An IndexUpdate makes, changes or deletes a global secondary index.
type IndexUpdate struct {
	Create *IndexInput
	Update *IndexInput
	Delete *struct{ IndexName string }
}

// UpdateTableInput is the input of UpdateTable. What is absent stays.
type UpdateTableInput struct {
	TableName                   string
	AttributeDefinitions        []AttributeDefinition
	BillingMode                 string
	ProvisionedThroughput       *Throughput
	GlobalSecondaryIndexUpdates []IndexUpdate
	StreamSpecification         *StreamSpecification
	SSESpecification            *EncryptionSpecification
	TableClass                  string
	DeletionProtectionEnabled   *bool
	unsupported
}

// UpdateTable changes a table, at once and as a whole or not at all.
func (s *Service) UpdateTable(c *authz.Call, in *UpdateTableInput) (*TableOutput, error) {
	if err := in.refused(); err != nil {
		return nil, err
	}
	if err := oneOf("billingMode", in.BillingMode, "PROVISIONED", "PAY_PER_REQUEST"); err != nil {
		return nil, err
	}
	if err := oneOf("tableClass", in.TableClass, "STANDARD", "STANDARD_INFREQUENT_ACCESS"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.TableName, action: "UpdateTable"})
	if err != nil {
		return nil, err
	}
	changed := *t
	changed.indexes = slices.Clone(t.indexes)
	changed.definitions = maps.Clone(t.definitions)
	if in.AttributeDefinitions != nil {
		if changed.definitions, err = readDefinitions(in.AttributeDefinitions); err != nil {
			return nil, err
		}
	}
	if in.BillingMode != "" || in.ProvisionedThroughput != nil {
		onDemand := in.BillingMode == "PAY_PER_REQUEST" || in.BillingMode == "" && t.billing.onDemand
		if changed.billing, err = readBilling(onDemand, in.ProvisionedThroughput, "the table"); err != nil {
			return nil, err
		}
	}
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if err := changed.updateIndex(u); err != nil {
			return nil, err
		}
	}
	if err := changed.checkDefinitions(); err != nil {
		return nil, err
	}
	if in.SSESpecification != nil {
		if changed.encryption, err = s.newEncryption(c, t, in.SSESpecification); err != nil {
			return nil, err
		}
	}
	if in.StreamSpecification != nil {
		if err := s.setStream(c, &changed, in.StreamSpecification); err != nil {
			return nil, err
		}
	}
	if in.TableClass != "" {
		changed.class = in.TableClass
	}
	if in.DeletionProtectionEnabled != nil {
		changed.protected = *in.DeletionProtectionEnabled
	}
	*t = changed
	return &TableOutput{t.description()}, nil
}

func (t *table) updateIndex(u IndexUpdate) error {
	switch {
	case u.Create != nil && u.Update == nil && u.Delete == nil:
		return t.addIndex(*u.Create, false)
	case u.Delete != nil && u.Create == nil && u.Update == nil:
		if x := t.index(u.Delete.IndexName); x == nil || x.local {
			return invalid("The table does not have the specified index: %s", wire.Clip(u.Delete.IndexName))
		}
		t.indexes = slices.DeleteFunc(t.indexes, func(x *index) bool { return x.name == u.Delete.IndexName })
		used := make(map[string]bool)
		for _, x := range append(t.indexes, &index{order: t.order}) {
			for _, name := range x.key.names() {
				used[name] = true
			}
		}
		maps.DeleteFunc(t.definitions, func(name string, _ expression.Type) bool { return !used[name] })
		return nil
	case u.Update != nil && u.Create == nil && u.Delete == nil:
		x := t.index(u.Update.IndexName)
		if x == nil || x.local {
			return invalid("The table does not have the specified index: %s", wire.Clip(u.Update.IndexName))
		}
		capacity, err := readBilling(t.billing.onDemand, u.Update.ProvisionedThroughput, "index "+x.name)
		if err != nil {
			return err
		}
		renewed := *x
		renewed.billing = capacity
		t.indexes[slices.Index(t.indexes, x)] = &renewed
		return nil
	}
	return invalid("One or more parameter values were invalid: each of GlobalSecondaryIndexUpdates must have one of Create, Update and Delete")
}
