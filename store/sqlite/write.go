package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/crossaccount/crossaccount"
)

// Statements of the writer.
var (
	insertIntegration = "INSERT INTO integrations (" + columns + ", version) VALUES (" + placeholders(columns) + ", 1)"

	// The new state is allowed from the states in the last parameter, so that
	// one statement decides about version, creation time and transition. The key
	// is not assigned, not even to itself: that would make SQLite look for
	// external IDs that refer to the old one.
	updateIntegration = "UPDATE integrations SET (" + otherColumns + ", version) = (" + placeholders(otherColumns) + `, version + 1)
		WHERE customer_id = ? AND id = ? AND version = ? AND created_at = ? AND state IN (SELECT value FROM json_each(?))`
)

func placeholders(columns string) string {
	return "?" + strings.Repeat(", ?", strings.Count(columns, ","))
}

const (
	whyNotUpdated = `SELECT state, version FROM integrations WHERE customer_id = ? AND id = ?`

	roleHeldByOther = `SELECT EXISTS (SELECT 1 FROM integrations
		WHERE role_key = ? AND role_key <> '' AND state <> 'revoked' AND NOT (customer_id = ? AND id = ?))`

	claimExternalID = `INSERT INTO external_ids (external_id_index, customer_id, integration_id) VALUES (?, ?, ?)
		ON CONFLICT (external_id_index) DO NOTHING`

	ownsExternalID = `SELECT EXISTS (SELECT 1 FROM external_ids
		WHERE external_id_index = ? AND customer_id = ? AND integration_id = ?)`

	insertAudit = `INSERT INTO audit (id, time, customer_id, integration_id, actor, action, outcome, role_arn, session_name, request_id, details)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

	insertEvent = `INSERT INTO outbox (id, time, type, customer_id, integration_id, details)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

	deleteEvents = `DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?))`
)

// prepare prepares the statements of the writer. Later there would be no
// connection to do it with, because the only one is in a transaction.
func (s *Store) prepare(ctx context.Context) error {
	for _, text := range []string{
		insertIntegration, updateIntegration, whyNotUpdated, roleHeldByOther, claimExternalID, ownsExternalID,
		insertAudit, insertEvent, deleteEvents, insertAnswer, deleteAnswers,
		insertSession, deleteSession, insertClaim, deleteClaim, deleteOwnClaim, pruneSessions, pruneClaims,
	} {
		statement, err := s.writer.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with the database
		if err != nil {
			return s.problem(ctx, err)
		}
		s.prepared[text] = statement
	}
	return nil
}

// Create implements [crossaccount.CredentialStorage].
func (s *Store) Create(ctx context.Context, integration *crossaccount.Integration, change crossaccount.Change) error {
	row, extra, err := encode(ctx, integration, change)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(t *transaction) error {
		if _, err := t.exec(insertIntegration, row.values...); err != nil {
			return t.whyRefused(row, err)
		}
		return t.store(row, extra)
	})
	if err == nil {
		integration.Version = 1
	}
	return err
}

// Update implements [crossaccount.CredentialStorage].
func (s *Store) Update(ctx context.Context, integration *crossaccount.Integration, change crossaccount.Change) error {
	row, extra, err := encode(ctx, integration, change)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(t *transaction) error {
		updated, err := t.exec(updateIntegration, append(row.values[2:], row.customerID, row.id, row.version, row.createdAt, predecessors[row.state])...)
		switch {
		case err != nil:
			return t.whyRefused(row, err)
		case updated == 0:
			return t.whyNotUpdated(row)
		}
		return t.store(row, extra)
	})
	if err == nil {
		integration.Version = row.version + 1
	}
	return err
}

// predecessors holds, for every state, those that may become it, as JSON.
var predecessors = func() map[crossaccount.State]string {
	all := make(map[crossaccount.State]string)
	for _, to := range crossaccount.States() {
		var from []crossaccount.State
		for _, state := range crossaccount.States() {
			if state.CanBecome(to) {
				from = append(from, state)
			}
		}
		data, _ := json.Marshal(from)
		all[to] = string(data)
	}
	return all
}()

// encode makes everything that is written, before anything is. The caller may
// be gone when it is written, and its memory with it.
func encode(ctx context.Context, integration *crossaccount.Integration, change crossaccount.Change) (*row, statements, error) {
	if ctx.Err() != nil {
		return nil, nil, cancelled(ctx.Err())
	}
	if err := integration.Validate(); err != nil {
		return nil, nil, err
	}
	row, err := newRow(integration)
	if err != nil {
		return nil, nil, err
	}
	extra, err := encodeAudit(change.Audit)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range change.Events {
		details, err := document(e.Details, len(e.Details) == 0)
		if err != nil {
			return nil, nil, err
		}
		extra = append(extra, statement{insertEvent, []any{e.ID, micros(e.Time), e.Type, e.CustomerID, e.IntegrationID, details}})
	}
	return row, extra, nil
}

func encodeAudit(records []crossaccount.AuditRecord) (statements, error) {
	var encoded statements
	for _, r := range records {
		details, err := document(r.Details, len(r.Details) == 0)
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, statement{insertAudit, []any{
			r.ID, micros(r.Time), r.CustomerID, r.IntegrationID, r.Actor, r.Action, r.Outcome, r.RoleARN, r.SessionName, r.RequestID, details,
		}})
	}
	return encoded, nil
}

// AppendAudit implements [crossaccount.CredentialStorage].
func (s *Store) AppendAudit(ctx context.Context, records ...crossaccount.AuditRecord) error {
	encoded, err := encodeAudit(records)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *transaction) error { return t.all(encoded) })
}

// Acknowledge implements [crossaccount.CredentialStorage].
func (s *Store) Acknowledge(ctx context.Context, eventIDs ...string) error {
	ids, err := json.Marshal(eventIDs)
	if err != nil {
		return failed("the ids of events cannot be encoded", err)
	}
	return s.write(ctx, func(t *transaction) error {
		_, err := t.exec(deleteEvents, string(ids))
		return err
	})
}

// A statement is one of the writer's with its parameters.
type statement struct {
	text string
	args []any
}

type statements []statement

// A transaction is what a write sees.
type transaction struct {
	context.Context
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

func (t *transaction) exec(text string, args ...any) (changed int64, err error) {
	done, err := t.tx.StmtContext(t, t.prepared[text]).ExecContext(t, args...) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (t *transaction) query(text string, args ...any) *sql.Row {
	return t.tx.StmtContext(t, t.prepared[text]).QueryRowContext(t, args...) //nolint:sqlclosecheck // closed with the transaction
}

func (t *transaction) all(list statements) error {
	for _, s := range list {
		if _, err := t.exec(s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// store writes what belongs to a record that was written.
func (t *transaction) store(r *row, extra statements) error {
	if r.externalIDIndex != nil {
		claimed, err := t.exec(claimExternalID, r.externalIDIndex, r.customerID, r.id)
		if err != nil {
			return err
		}
		if claimed == 0 {
			var ours bool
			if err := t.query(ownsExternalID, r.externalIDIndex, r.customerID, r.id).Scan(&ours); err != nil {
				return err
			}
			if !ours {
				return conflict("the external ID was used before")
			}
		}
	}
	return t.all(extra)
}

// whyRefused explains a record that a unique index has refused. Nothing can
// have changed since, because nobody else writes during the transaction.
func (t *transaction) whyRefused(r *row, err error) error {
	if !taken(err) {
		return err
	}
	if r.state != crossaccount.StateRevoked {
		var held bool
		if err := t.query(roleHeldByOther, r.roleKey, r.customerID, r.id).Scan(&held); err != nil {
			return err
		}
		if held {
			return crossaccount.RoleTaken()
		}
	}
	return conflict("the customer already has an integration with this id, or a pending one")
}

// whyNotUpdated explains an update that found nothing to change.
func (t *transaction) whyNotUpdated(r *row) error {
	var state crossaccount.State
	var version int64
	switch err := t.query(whyNotUpdated, r.customerID, r.id).Scan(&state, &version); {
	case errors.Is(err, sql.ErrNoRows):
		return crossaccount.UnknownIntegration()
	case err != nil:
		return err
	case version != r.version:
		return conflict("the integration was changed in the meantime")
	case !state.CanBecome(r.state):
		return crossaccount.IllegalMove(state, r.state)
	}
	return crossaccount.NewError(crossaccount.CodeInvalidRequest, "created_at: cannot be changed", "", nil)
}
