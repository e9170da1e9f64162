package sqlite

import (
	"encoding/json"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

// columns are those of table integrations that hold a record, in the order of
// [scan] and of [row.values]: the key, and the rest.
const columns = keyColumns + ", " + otherColumns

const keyColumns = "customer_id, id"

const otherColumns = `customer_name, state, sealed_external_id, external_id_index, pending_key,
	account_id, region, stack_name, template_key, template_sha256, linked_at, role_arn, role_key,
	verification, candidate, degraded_reason, created_at, updated_at, activated_at, checked_at`

// A row is a record in the form in which it is written. It shares no memory
// with the record that changes after the call.
type row struct {
	customerID, id      string
	state               crossaccount.State
	externalIDIndex     []byte
	roleKey, pendingKey string
	createdAt           int64
	version             int64 // the one the caller has read
	values              []any // in the order of columns
}

func newRow(i *crossaccount.Integration) (*row, error) {
	r := &row{
		customerID:      i.CustomerID,
		id:              i.ID,
		state:           i.State,
		externalIDIndex: blob(i.ExternalIDIndex),
		pendingKey:      i.PendingKey,
		createdAt:       micros(i.CreatedAt),
		version:         i.Version,
	}
	if role, err := iam.ParseRoleARN(i.RoleARN); err == nil {
		r.roleKey = crossaccount.RoleKey(role)
	}
	verification, err := document(i.Verification, i.Verification == nil)
	if err != nil {
		return nil, err
	}
	candidate, err := document(i.Candidate, i.Candidate == nil)
	if err != nil {
		return nil, err
	}
	r.values = []any{
		i.CustomerID, i.ID, i.CustomerName, string(i.State), blob(i.SealedExternalID), r.externalIDIndex, i.PendingKey,
		i.AccountID, i.Region, i.StackName, i.TemplateKey, i.TemplateSHA256, micros(i.LinkedAt), i.RoleARN, r.roleKey,
		verification, candidate, string(i.DegradedReason), r.createdAt, micros(i.UpdatedAt), micros(i.ActivatedAt), micros(i.CheckedAt),
	}
	return r, nil
}

// A scanner is a [sql.Row] or [sql.Rows].
type scanner interface{ Scan(...any) error }

// scan reads a record: columns and version.
func scan(from scanner) (*crossaccount.Integration, error) {
	i := new(crossaccount.Integration)
	var roleKey string
	var verification, candidate []byte
	var linked, created, updated, activated, checked int64
	err := from.Scan(
		&i.CustomerID, &i.ID, &i.CustomerName, &i.State, &i.SealedExternalID, &i.ExternalIDIndex, &i.PendingKey,
		&i.AccountID, &i.Region, &i.StackName, &i.TemplateKey, &i.TemplateSHA256, &linked, &i.RoleARN, &roleKey,
		&verification, &candidate, &i.DegradedReason, &created, &updated, &activated, &checked, &i.Version)
	if err != nil {
		return nil, err
	}
	i.LinkedAt, i.CreatedAt, i.UpdatedAt = moment(linked), moment(created), moment(updated)
	i.ActivatedAt, i.CheckedAt = moment(activated), moment(checked)
	if verification != nil {
		if err := json.Unmarshal(verification, &i.Verification); err != nil {
			return nil, err
		}
		inUTC(i.Verification)
	}
	if candidate != nil {
		if err := json.Unmarshal(candidate, &i.Candidate); err != nil {
			return nil, err
		}
		i.Candidate.PresentedAt = i.Candidate.PresentedAt.UTC()
		inUTC(i.Candidate.Report)
	}
	return i, nil
}

func inUTC(r *crossaccount.Report) {
	if r != nil {
		r.StartedAt, r.FinishedAt = r.StartedAt.UTC(), r.FinishedAt.UTC()
	}
}

// document is a value as JSON, or NULL.
func document(value any, absent bool) (any, error) {
	if absent {
		return nil, nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidRequest, "integration: a value cannot be stored", "its times must be in the years 1 to 9999", err)
	}
	return string(data), nil
}

// blob copies bytes; none at all are NULL.
func blob(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// Times are stored as microseconds since 1970. The zero time is a number like
// any other, and the smallest.

func micros(t time.Time) int64 { return t.UnixMicro() }

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// bound is the smallest stored time that is not before t.
func bound(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }
