package sqlite

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

const (
	selectIntegration = "SELECT " + columns + ", version FROM integrations WHERE customer_id = ? AND id = ?"

	selectRoleOwner = `SELECT customer_id, id FROM integrations
		WHERE role_key = ? AND role_key <> '' AND state <> 'revoked'`

	// Limits are written "? + 0" in this package: SQLite looks at the value of a
	// plain parameter when it plans, and so plans again for every call.
	selectOutbox = `SELECT id, time, type, customer_id, integration_id, details FROM outbox ORDER BY number LIMIT ? + 0`
)

// reader returns a statement of the readers. There are as many as there are
// kinds of queries.
func (s *Store) reader(ctx context.Context, text string) (*sql.Stmt, error) {
	if ctx.Err() != nil {
		return nil, cancelled(ctx.Err())
	}
	if known, ok := s.reads.Load(text); ok {
		return known.(*sql.Stmt), nil
	}
	statement, err := s.readers.PrepareContext(ctx, text)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if first, loaded := s.reads.LoadOrStore(text, statement); loaded {
		defer statement.Close()
		return first.(*sql.Stmt), nil
	}
	return statement, nil
}

// rows runs a query and calls each for every row of its result.
func (s *Store) rows(ctx context.Context, text string, args []any, each func(scanner) error) error {
	statement, err := s.reader(ctx, text) //nolint:sqlclosecheck // kept for the next call
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return s.problem(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return s.problem(ctx, err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.problem(ctx, err)
	}
	return nil
}

// Get implements [crossaccount.CredentialStorage].
func (s *Store) Get(ctx context.Context, customerID, integrationID string) (*crossaccount.Integration, error) {
	statement, err := s.reader(ctx, selectIntegration) //nolint:sqlclosecheck // kept for the next call
	if err != nil {
		return nil, err
	}
	integration, err := scan(statement.QueryRowContext(ctx, customerID, integrationID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, crossaccount.UnknownIntegration()
	case err != nil:
		return nil, s.problem(ctx, err)
	}
	return integration, nil
}

// RoleOwner implements [crossaccount.CredentialStorage].
func (s *Store) RoleOwner(ctx context.Context, role iam.RoleARN) (customerID, integrationID string, err error) {
	statement, err := s.reader(ctx, selectRoleOwner) //nolint:sqlclosecheck // kept for the next call
	if err != nil {
		return "", "", err
	}
	err = statement.QueryRowContext(ctx, crossaccount.RoleKey(role)).Scan(&customerID, &integrationID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", "", nil
	case err != nil:
		return "", "", s.problem(ctx, err)
	}
	return customerID, integrationID, nil
}

// Outbox implements [crossaccount.CredentialStorage].
func (s *Store) Outbox(ctx context.Context, limit int) ([]crossaccount.Event, error) {
	var events []crossaccount.Event
	err := s.rows(ctx, selectOutbox, []any{pageLimit(limit)}, func(from scanner) error {
		var e crossaccount.Event
		var at int64
		var details []byte
		if err := from.Scan(&e.ID, &at, &e.Type, &e.CustomerID, &e.IntegrationID, &details); err != nil {
			return err
		}
		e.Time = moment(at)
		events = append(events, e)
		return decodeDetails(details, &events[len(events)-1].Details)
	})
	return events, err
}

// ListAudit implements [crossaccount.CredentialStorage].
func (s *Store) ListAudit(ctx context.Context, query crossaccount.AuditQuery) (*crossaccount.AuditPage, error) {
	if err := query.Validate(); err != nil {
		return nil, err
	}
	text, args, err := auditQuery(&query)
	if err != nil {
		return nil, err
	}
	page := &crossaccount.AuditPage{}
	err = s.rows(ctx, text, args, func(from scanner) error {
		var r crossaccount.AuditRecord
		var at int64
		var details []byte
		if err := from.Scan(&r.ID, &at, &r.CustomerID, &r.IntegrationID, &r.Actor, &r.Action, &r.Outcome,
			&r.RoleARN, &r.SessionName, &r.RequestID, &details); err != nil {
			return err
		}
		r.Time = moment(at)
		page.Records = append(page.Records, r)
		return decodeDetails(details, &page.Records[len(page.Records)-1].Details)
	})
	if err != nil {
		return nil, err
	}
	if limit := pageLimit(query.Limit); len(page.Records) > limit {
		page.Records = page.Records[:limit]
		last := page.Records[limit-1]
		page.Next = encodeCursor(auditCursor{micros(last.Time), last.ID})
	}
	return page, nil
}

// An auditCursor is the position after which a listing of audit records
// continues.
type auditCursor struct {
	Time int64  `json:"t"`
	ID   string `json:"i"`
}

func auditQuery(q *crossaccount.AuditQuery) (text string, args []any, err error) {
	c := new(conditions)
	index := "audit_time"
	switch {
	case q.CustomerID != "" && q.IntegrationID != "":
		index = "audit_integration"
	case q.CustomerID != "":
		index = "audit_customer"
	case q.IntegrationID != "":
		index = "audit_integration_time"
		c.add("integration_id <> ''")
	}
	if q.CustomerID != "" {
		c.add("customer_id = ?", q.CustomerID)
	}
	if q.IntegrationID != "" {
		c.add("integration_id = ?", q.IntegrationID)
	}
	if !q.From.IsZero() {
		c.add("time >= ?", bound(q.From))
	}
	// Of two upper bounds SQLite would search with either, and pass over
	// everything before the other again for every page.
	before := auditCursor{Time: math.MaxInt64}
	if !q.Until.IsZero() {
		before.Time = bound(q.Until)
	}
	if q.Cursor != "" {
		var after auditCursor
		if err := decodeCursor(q.Cursor, &after); err != nil {
			return "", nil, err
		}
		if after.Time < before.Time {
			before = after
		}
	}
	c.add("(time, id) < (?, ?)", before.Time, before.ID)
	text = `SELECT id, time, customer_id, integration_id, actor, action, outcome, role_arn, session_name, request_id, details
		FROM audit INDEXED BY ` + index + c.where() + ` ORDER BY time DESC, id DESC LIMIT ? + 0`
	return text, append(c.args, pageLimit(q.Limit)+1), nil
}

func decodeDetails(data []byte, into *map[string]string) error {
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

func pageLimit(limit int) int {
	if limit <= 0 || limit > crossaccount.MaxPage {
		return crossaccount.MaxPage
	}
	return limit
}

func encodeCursor(position any) string {
	data, _ := json.Marshal(position) // strings and numbers only
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeCursor(cursor string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return unknownCursor()
	}
	return nil
}
