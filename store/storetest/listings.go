package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

func mustRole(t *testing.T, arn string) iam.RoleARN {
	t.Helper()
	role, err := iam.ParseRoleARN(arn)
	if err != nil {
		t.Fatal(err)
	}
	return role
}

// filters compares every combination of filters with the plainest
// implementation there is: looking at each record.
func (s suite) filters() {
	t := s.t
	random := rand.New(rand.NewPCG(1, 2))
	customers := []string{"a", "A", "a%", "b"}
	accounts := []string{"", "111122223333", "444455556666"}
	var all []*crossaccount.Integration
	for n := range 80 {
		i := record(customers[random.IntN(len(customers))], fmt.Sprintf("int-%d", n))
		i.State = crossaccount.States()[random.IntN(len(crossaccount.States()))]
		i.AccountID = accounts[random.IntN(len(accounts))]
		if hours := random.IntN(6); hours > 0 {
			i.CheckedAt = start.Add(time.Duration(hours) * time.Hour)
		}
		all = append(all, s.create(t, i))
	}
	states := [][]crossaccount.State{
		nil, {crossaccount.StateActive}, {crossaccount.StateDegraded, crossaccount.StateActive, crossaccount.StateDegraded},
		crossaccount.States(), {"unknown"}, {"unknown", crossaccount.StatePending},
	}
	for _, customer := range append(customers, "", "nobody") {
		for _, chosen := range states {
			for _, account := range append(accounts, "999999999999") {
				for _, before := range []time.Time{{}, start.Add(3 * time.Hour), start.Add(3*time.Hour + 1), start.Add(3*time.Hour + time.Microsecond)} {
					q := crossaccount.IntegrationQuery{
						CustomerID: customer, AllCustomers: customer == "", States: chosen, AccountID: account, CheckedBefore: before,
						Limit: []int{0, 3, 7}[random.IntN(3)],
					}
					var want []string
					for _, i := range all {
						if (customer == "" || i.CustomerID == customer) && (len(chosen) == 0 || slices.Contains(chosen, i.State)) &&
							(account == "" || i.AccountID == account) && (before.IsZero() || i.CheckedAt.Before(before)) {
							want = append(want, i.CustomerID+"/"+i.ID)
						}
					}
					slices.Sort(want) // "/" sorts before everything in these ids but "%"
					got := s.ids(t, q)
					if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, want) {
						t.Errorf("%+v:\ngot  %v\nwant %v", q, got, want)
					}
					s.ordered(t, got)
				}
			}
		}
	}
}

// ordered fails unless "customer/id" pairs are in the order of listings.
func (s suite) ordered(t *testing.T, pairs []string) {
	t.Helper()
	split := func(pair string) (customer, id string) {
		n := len(pair) - 1
		for pair[n] != '/' {
			n--
		}
		return pair[:n], pair[n+1:]
	}
	if !slices.IsSortedFunc(pairs, func(a, b string) int {
		ac, ai := split(a)
		bc, bi := split(b)
		switch {
		case ac < bc || ac == bc && ai < bi:
			return -1
		case ac == bc && ai == bi:
			return 0
		}
		return 1
	}) {
		t.Errorf("a listing is not ordered by customer and id: %v", pairs)
	}
}

// auditFilters does the same for audit records, of which several have the same
// time and some have ids that do not sort by it.
func (s suite) auditFilters() {
	t := s.t
	random := rand.New(rand.NewPCG(3, 4))
	customers, integrations := []string{"a", "A", "b"}, []string{"", "int-1", "int-2"}
	var all []crossaccount.AuditRecord
	for n := range 60 {
		r := auditRecord(customers[random.IntN(3)], fmt.Sprintf("aud-%02d", (n*37)%60), start.Add(time.Duration(random.IntN(8))*time.Hour))
		r.IntegrationID = integrations[random.IntN(3)]
		all = append(all, r)
	}
	if err := s.AppendAudit(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b crossaccount.AuditRecord) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		if a.ID > b.ID {
			return -1
		}
		return 1
	})
	moments := []time.Time{{}, start.Add(2 * time.Hour), start.Add(2*time.Hour + 1), start.Add(5 * time.Hour), start.Add(5*time.Hour + time.Microsecond)}
	for _, customer := range append(customers, "", "nobody") {
		for _, integration := range integrations {
			for _, from := range moments {
				for _, until := range moments {
					q := crossaccount.AuditQuery{
						CustomerID: customer, AllCustomers: customer == "", IntegrationID: integration, From: from, Until: until,
						Limit: []int{0, 2, 5}[random.IntN(3)],
					}
					var got, want []string
					for _, r := range all {
						if (customer == "" || r.CustomerID == customer) && (integration == "" || r.IntegrationID == integration) &&
							(from.IsZero() || !r.Time.Before(from)) && (until.IsZero() || r.Time.Before(until)) {
							want = append(want, r.ID)
						}
					}
					for page := q; ; {
						found, err := s.ListAudit(t.Context(), page)
						if err != nil {
							t.Fatal(err)
						}
						for _, r := range found.Records {
							got = append(got, r.ID)
						}
						if page.Cursor = found.Next; found.Next == "" {
							break
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%+v:\ngot  %v\nwant %v", q, got, want)
					}
				}
			}
		}
	}
}

// Records that exist throughout are listed exactly once, whatever happens to
// others between the pages.
func (s suite) listWhileWriting() {
	t := s.t
	var steady []string
	for n := range 20 {
		s.create(t, record("acme", fmt.Sprintf("int-%02d", n*10)))
		steady = append(steady, fmt.Sprintf("int-%02d", n*10))
	}
	count := make(map[string]int)
	q := crossaccount.IntegrationQuery{AllCustomers: true, Limit: 3}
	for page := 0; ; page++ {
		if page > 100 {
			t.Fatal("the cursors do not end")
		}
		found, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range found.Integrations {
			count[i.ID]++
			i.State = crossaccount.StateVerifying
			s.update(t, i)
		}
		if q.Cursor = found.Next; found.Next == "" {
			break
		}
		if page < 10 {
			s.create(t, record("aaa", fmt.Sprintf("int-before-%d", page)))
			s.create(t, record("acme", fmt.Sprintf("int-%02d", page*10+5)))
			s.create(t, record("zzz", fmt.Sprintf("int-after-%d", page)))
		}
	}
	for _, id := range steady {
		if count[id] != 1 {
			t.Errorf("%s was listed %d times", id, count[id])
		}
	}

	for n := range 10 {
		if err := s.AppendAudit(t.Context(), auditRecord("acme", fmt.Sprintf("aud-%02d", n), start)); err != nil {
			t.Fatal(err)
		}
	}
	listed := make(map[string]int)
	a := crossaccount.AuditQuery{CustomerID: "acme", Limit: 3}
	for page := 0; page < 100; page++ {
		found, err := s.ListAudit(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found.Records {
			listed[r.ID]++
		}
		if a.Cursor = found.Next; found.Next == "" {
			break
		}
		if err := s.AppendAudit(t.Context(), auditRecord("acme", fmt.Sprintf("aud-new-%d", page), start.Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		if id := fmt.Sprintf("aud-%02d", n); listed[id] != 1 {
			t.Errorf("%s was listed %d times", id, listed[id])
		}
	}
}

func (s suite) limits() {
	t := s.t
	var records []crossaccount.AuditRecord
	for n := range crossaccount.MaxPage + 5 {
		i := record("acme", fmt.Sprintf("int-%03d", n))
		s.create(t, i, crossaccount.Change{Events: []crossaccount.Event{event(fmt.Sprintf("evt-%03d", n))}})
		records = append(records, auditRecord("acme", fmt.Sprintf("aud-%03d", n), start))
	}
	if err := s.AppendAudit(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]int{-1: crossaccount.MaxPage, 0: crossaccount.MaxPage, 1: 1, crossaccount.MaxPage: crossaccount.MaxPage, 1000: crossaccount.MaxPage} {
		page, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme", Limit: limit})
		if err != nil || len(page.Integrations) != want || page.Next == "" {
			t.Errorf("limit %d: %d integrations, want %d and a cursor (%v)", limit, len(page.Integrations), want, err)
		}
		audit, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: "acme", Limit: limit})
		if err != nil || len(audit.Records) != want || audit.Next == "" {
			t.Errorf("limit %d: %d audit records, want %d and a cursor (%v)", limit, len(audit.Records), want, err)
		}
		events, err := s.Outbox(t.Context(), limit)
		if err != nil || len(events) != want {
			t.Errorf("limit %d: %d events, want %d (%v)", limit, len(events), want, err)
		}
	}
}

// A cursor is a position, never a permission.
func (s suite) foreignCursors() {
	t := s.t
	for _, customer := range []string{"acme", "evil", "zeta"} {
		for n := range 3 {
			s.create(t, record(customer, fmt.Sprint("int-", n)), crossaccount.Change{Audit: []crossaccount.AuditRecord{
				auditRecord(customer, fmt.Sprint("aud-", customer, n), start),
			}})
		}
	}
	for _, from := range []string{"acme", "zeta"} {
		page, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: from, Limit: 1})
		if err != nil || page.Next == "" {
			t.Fatalf("listing: %v, %v", page, err)
		}
		stolen, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "evil", Cursor: page.Next})
		if err != nil {
			want(t, "another customer's cursor", err, crossaccount.CodeInvalidRequest)
		} else {
			for _, i := range stolen.Integrations {
				if i.CustomerID != "evil" {
					t.Errorf("a cursor of %s gave evil a record of %s", from, i.CustomerID)
				}
			}
		}
		audit, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: from, Limit: 1})
		if err != nil || audit.Next == "" {
			t.Fatalf("listing audit records: %v, %v", audit, err)
		}
		records, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: "evil", Cursor: audit.Next})
		if err != nil {
			want(t, "another customer's audit cursor", err, crossaccount.CodeInvalidRequest)
			continue
		}
		for _, r := range records.Records {
			if r.CustomerID != "evil" {
				t.Errorf("a cursor of %s gave evil an audit record of %s", from, r.CustomerID)
			}
		}
	}
	for _, cursor := range []string{"!", "e30", "bnVsbA", "W10", "WyJhIl0", "\x00"} {
		if _, err := s.List(t.Context(), crossaccount.IntegrationQuery{AllCustomers: true, Cursor: cursor}); err != nil {
			want(t, "a made-up cursor", err, crossaccount.CodeInvalidRequest)
		}
		if _, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{AllCustomers: true, Cursor: cursor}); err != nil {
			want(t, "a made-up audit cursor", err, crossaccount.CodeInvalidRequest)
		}
	}
}
