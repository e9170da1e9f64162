package sqlite

import (
	"context"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount"
)

// List implements [crossaccount.CredentialStorage].
func (s *Store) List(ctx context.Context, query crossaccount.IntegrationQuery) (*crossaccount.IntegrationPage, error) {
	if err := query.Validate(); err != nil {
		return nil, err
	}
	l, err := newListing(&query)
	if err != nil {
		return nil, err
	}
	if l.sweep {
		if l.few, err = s.fewDue(ctx, l); err != nil {
			return nil, err
		}
	}
	text, args := l.query()
	page := &crossaccount.IntegrationPage{}
	err = s.rows(ctx, text, args, func(from scanner) error {
		integration, err := scan(from)
		page.Integrations = append(page.Integrations, integration)
		return err
	})
	if err != nil {
		return nil, err
	}
	if limit := pageLimit(query.Limit); len(page.Integrations) > limit {
		page.Integrations = page.Integrations[:limit]
		last := page.Integrations[limit-1]
		page.Next = encodeCursor(listCursor{last.CustomerID, last.ID})
	}
	return page, nil
}

// A listCursor is the record after which a listing of integrations continues.
type listCursor struct {
	CustomerID string `json:"c"`
	ID         string `json:"i"`
}

// A listing is a query with the way to answer it. Every way finds the records
// by an index that has them in the order of the listing already:
//
//   - by account, if there is one; an account has few integrations,
//   - by state, if states are asked for or the time of the last check matters;
//     each state by itself, and the first records of all of them merged,
//   - by customer and id.
//
// The exception are sweeps, which look for what was last checked before some
// time across all customers. If much is due, going through the order of the
// listing finds a page quickly. If little is due, that would look at everything
// to find it; then the index by time is used and the result is sorted.
type listing struct {
	*crossaccount.IntegrationQuery
	after  listCursor
	states []crossaccount.State // to look through one by one; nil: all together
	sweep  bool                 // for what is due, of all customers
	few    bool                 // little is due
}

func newListing(q *crossaccount.IntegrationQuery) (*listing, error) {
	l := &listing{IntegrationQuery: q}
	if q.Cursor != "" {
		if err := decodeCursor(q.Cursor, &l.after); err != nil {
			return nil, err
		}
		if l.after.ID == "" || q.CustomerID != "" && l.after.CustomerID != q.CustomerID {
			return nil, unknownCursor()
		}
	}
	for _, state := range q.States {
		if !slices.Contains(l.states, state) {
			l.states = append(l.states, state)
		}
	}
	// More states than there are would be parameters without end.
	l.states = slices.DeleteFunc(l.states, func(s crossaccount.State) bool { return !slices.Contains(crossaccount.States(), s) })
	switch {
	case len(q.States) > 0 && len(l.states) == 0:
		l.states = []crossaccount.State{"none"} // only unknown ones were asked for
	case len(q.States) == 0 && !q.CheckedBefore.IsZero() && q.AccountID == "":
		l.states = crossaccount.States()
	}
	l.sweep = q.AllCustomers && !q.CheckedBefore.IsZero() && q.AccountID == ""
	return l, nil
}

// fewLimit is how many records are sorted rather than found in order. Sorting
// so many keys takes some milliseconds.
const fewLimit = 10_000

// fewDue reports whether fewer than fewLimit records are due.
func (s *Store) fewDue(ctx context.Context, l *listing) (bool, error) {
	text, args := l.countQuery()
	due := 0
	err := s.rows(ctx, text, args, func(from scanner) error { return from.Scan(&due) })
	return due < fewLimit, err
}

func (l *listing) countQuery() (text string, args []any) {
	var parts []string
	for _, state := range l.states {
		parts = append(parts, "SELECT 1 FROM integrations INDEXED BY integrations_checked WHERE state = ? AND checked_at < ?")
		args = append(args, string(state), bound(l.CheckedBefore))
	}
	return "SELECT count(*) FROM (" + strings.Join(parts, " UNION ALL ") + " LIMIT ? + 0)", append(args, fewLimit)
}

// query returns one statement, so that a page is of one moment.
func (l *listing) query() (text string, args []any) {
	const selected = "SELECT " + columns + ", version FROM integrations "
	const ordered = " ORDER BY customer_id, id"
	limit := pageLimit(l.Limit) + 1
	if len(l.states) == 0 || l.AccountID != "" {
		index := "sqlite_autoindex_integrations_1"
		if l.AccountID != "" {
			index = "integrations_account"
		}
		c := l.conditions("")
		return selected + "INDEXED BY " + index + c.where() + ordered + " LIMIT ? + 0", append(c.args, limit)
	}
	index := "integrations_state"
	if l.few {
		index = "integrations_checked"
	}
	var parts []string
	for _, state := range l.states {
		c := l.conditions(state)
		parts = append(parts, "SELECT * FROM (SELECT rowid AS r, customer_id, id FROM integrations INDEXED BY "+index+c.where()+ordered+" LIMIT ? + 0)")
		args = append(append(args, c.args...), limit)
	}
	keys := strings.Join(parts, " UNION ALL ")
	return selected + "WHERE rowid IN (SELECT r FROM (" + keys + ")" + ordered + " LIMIT ? + 0)" + ordered, append(args, limit)
}

// conditions select the records of a listing that are in the state, or in any
// of its states.
func (l *listing) conditions(state crossaccount.State) *conditions {
	c := new(conditions)
	if l.AccountID != "" {
		c.add("account_id = ? AND account_id <> ''", l.AccountID)
		if len(l.states) > 0 {
			args := make([]any, len(l.states))
			for i, state := range l.states {
				args[i] = string(state)
			}
			c.add("state IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
		}
	}
	if state != "" {
		c.add("state = ?", string(state))
	}
	if l.CustomerID != "" {
		c.add("customer_id = ? AND id > ?", l.CustomerID, l.after.ID)
	} else {
		c.add("(customer_id, id) > (?, ?)", l.after.CustomerID, l.after.ID)
	}
	if !l.CheckedBefore.IsZero() {
		c.add("checked_at < ?", bound(l.CheckedBefore))
	}
	return c
}

// conditions are parts of a WHERE clause that must all hold, with their
// parameters.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(part string, args ...any) {
	c.parts = append(c.parts, part)
	c.args = append(c.args, args...)
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}
