package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
)

// Every query finds its records through an index, and lists them in the order
// the index has: nothing grows with the number of records but the depth of the
// trees.
func TestNoQueryScansATable(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "plan.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, q := range listings() {
		l, err := newListing(&q)
		if err != nil {
			t.Fatal(err)
		}
		text, args := l.query()
		s.checkPlan(t, "list "+name, text, args, "integrations")
		if l.sweep {
			text, args := l.countQuery()
			s.checkPlan(t, "count "+name, text, args, "integrations")
			l.few = true
			text, args = l.query()
			s.checkPlan(t, "few "+name, text, args, "integrations")
		}
	}
	for name, q := range auditListings() {
		text, args, err := auditQuery(&q)
		if err != nil {
			t.Fatal(err)
		}
		s.checkPlan(t, "audit "+name, text, args, "audit")
	}
	for text, parameters := range map[string]int{
		selectIntegration: 2, selectRoleOwner: 1, updateIntegration: 25, whyNotUpdated: 2, roleHeldByOther: 3,
		ownsExternalID: 3, deleteEvents: 1,
	} {
		s.checkPlan(t, strings.Join(strings.Fields(text)[:3], " "), text, make([]any, parameters), "integrations", "external_ids", "outbox")
	}
	// The outbox is read from its beginning, in its own order.
	if plan := s.plan(t, selectOutbox, []any{10}); len(plan) != 1 || plan[0] != "SCAN outbox" {
		t.Errorf("outbox: %q", plan)
	}
}

func (s *Store) plan(t *testing.T, text string, args []any) (plan []string) {
	t.Helper()
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return plan
}

// checkPlan fails if a table is read without searching in an index, or if more
// is sorted than a bounded number of keys.
func (s *Store) checkPlan(t *testing.T, name, text string, args []any, tables ...string) {
	t.Helper()
	plan := s.plan(t, text, args)
	searched := false
	for _, step := range plan {
		for _, table := range tables {
			if strings.HasPrefix(step, "SCAN "+table) {
				t.Errorf("%s: %s\n%s", name, step, strings.Join(plan, "\n"))
			}
			searched = searched || regexp.MustCompile("^SEARCH "+table+" USING (COVERING |PRIMARY |INTEGER PRIMARY )?(INDEX|KEY)").MatchString(step)
		}
	}
	if !searched {
		t.Errorf("%s: nothing is searched\n%s", name, strings.Join(plan, "\n"))
	}
	// A sort is allowed where at most a page of each state is merged, or where
	// little is due.
	sorts := strings.Count(strings.Join(plan, "\n"), "TEMP B-TREE FOR ORDER BY")
	allowed := 0
	if strings.Contains(text, "UNION ALL") || strings.Contains(text, "rowid IN") {
		allowed = 2
	}
	if strings.HasPrefix(name, "few ") {
		allowed += strings.Count(text, "INDEXED BY")
	}
	if sorts > allowed {
		t.Errorf("%s: %d sorts\n%s", name, sorts, strings.Join(plan, "\n"))
	}
}

// listings are all combinations of filters, on the first page and later.
func listings() map[string]crossaccount.IntegrationQuery {
	all := make(map[string]crossaccount.IntegrationQuery)
	for bits := range 32 {
		q := crossaccount.IntegrationQuery{CustomerID: "acme"}
		if bits&1 != 0 {
			q.CustomerID, q.AllCustomers = "", true
		}
		if bits&2 != 0 {
			q.States = []crossaccount.State{crossaccount.StateActive, crossaccount.StateDegraded}
		}
		if bits&4 != 0 {
			q.AccountID = "111122223333"
		}
		if bits&8 != 0 {
			q.CheckedBefore = time.Unix(1e9, 0)
		}
		if bits&16 != 0 {
			q.Cursor = encodeCursor(listCursor{"acme", "int-1"})
		}
		all[fmt.Sprintf("%+v", q)] = q
	}
	return all
}

func auditListings() map[string]crossaccount.AuditQuery {
	all := make(map[string]crossaccount.AuditQuery)
	for bits := range 32 {
		q := crossaccount.AuditQuery{CustomerID: "acme"}
		if bits&1 != 0 {
			q.CustomerID, q.AllCustomers = "", true
		}
		if bits&2 != 0 {
			q.IntegrationID = "int-1"
		}
		if bits&4 != 0 {
			q.From = time.Unix(1e9, 0)
		}
		if bits&8 != 0 {
			q.Until = time.Unix(2e9, 0)
		}
		if bits&16 != 0 {
			q.Cursor = encodeCursor(auditCursor{1, "aud_1"})
		}
		all[fmt.Sprintf("%+v", q)] = q
	}
	return all
}

// A sweep gives the same result whichever way it is answered.
func TestSweepsAgree(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "sweep.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	states := crossaccount.States()
	for n := range 60 {
		i := &crossaccount.Integration{CustomerID: fmt.Sprint("customer-", n%7), ID: fmt.Sprint("int-", n), State: states[n%len(states)]}
		if n%3 > 0 {
			i.CheckedAt = time.Unix(int64(n%10), 500)
		}
		if err := s.Create(ctx, i, crossaccount.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, chosen := range [][]crossaccount.State{nil, {crossaccount.StateActive}, {crossaccount.StateDegraded, crossaccount.StateActive, crossaccount.StateActive}} {
		for second := range 11 {
			var answers [2]string
			for way, few := range []bool{false, true} {
				q := crossaccount.IntegrationQuery{AllCustomers: true, States: chosen, CheckedBefore: time.Unix(int64(second), 0), Limit: 3}
				for {
					l, err := newListing(&q)
					if err != nil {
						t.Fatal(err)
					}
					l.few = few
					text, args := l.query()
					var last *crossaccount.Integration
					count := 0
					if err := s.rows(ctx, text, args, func(from scanner) error {
						i, err := scan(from)
						if count++; err == nil && count <= 3 {
							last = i
							answers[way] += i.CustomerID + "/" + i.ID + " "
						}
						return err
					}); err != nil {
						t.Fatal(err)
					}
					if count <= 3 {
						break
					}
					q.Cursor = encodeCursor(listCursor{last.CustomerID, last.ID})
				}
			}
			if answers[0] != answers[1] || second > 0 && answers[0] == "" {
				t.Errorf("%v before second %d:\nin order %s\nby time  %s", chosen, second, answers[0], answers[1])
			}
		}
	}
}
