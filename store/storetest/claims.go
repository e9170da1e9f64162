package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
)

const roleARN = "arn:aws:iam::111122223333:role/svc/Access"

// active returns an integration that uses the role.
func active(customer, id, arn string) *crossaccount.Integration {
	i := record(customer, id)
	i.State, i.RoleARN, i.AccountID = crossaccount.StateActive, arn, "111122223333"
	return i
}

func (s suite) owner(t *testing.T, arn string) string {
	t.Helper()
	customer, id, err := s.RoleOwner(t.Context(), mustRole(t, arn))
	if err != nil {
		t.Fatal(err)
	}
	return customer + "/" + id
}

func (s suite) roles() {
	t := s.t
	if got := s.owner(t, roleARN); got != "/" {
		t.Errorf("a role that nobody uses belongs to %s", got)
	}
	mine := s.create(t, active("acme", "int-1", roleARN))
	for _, same := range []string{roleARN, "arn:aws:iam::111122223333:role/access", "arn:aws:iam::111122223333:role/other/ACCESS"} {
		if got := s.owner(t, same); got != "acme/int-1" {
			t.Errorf("%s belongs to %q, want acme/int-1", same, got)
		}
		want(t, "another customer using "+same, s.Create(t.Context(), active("evil", "int-1", same), crossaccount.Change{}), crossaccount.CodeRoleTaken)
		want(t, "another integration using "+same, s.Create(t.Context(), active("acme", "int-2", same), crossaccount.Change{}), crossaccount.CodeRoleTaken)
	}
	for _, other := range []string{"arn:aws:iam::111122223333:role/svc/Access2", "arn:aws:iam::444455556666:role/svc/Access", "arn:aws-us-gov:iam::111122223333:role/svc/Access"} {
		if got := s.owner(t, other); got != "/" {
			t.Errorf("%s belongs to %s", other, got)
		}
	}

	candidate := record("evil", "int-3")
	candidate.Candidate = &crossaccount.Candidate{RoleARN: roleARN}
	s.create(t, candidate)
	if got := s.owner(t, roleARN); got != "acme/int-1" {
		t.Errorf("a candidate took the role away: it belongs to %s", got)
	}

	mine.RoleARN = "arn:aws:iam::111122223333:role/svc/New"
	s.update(t, mine)
	theirs := s.create(t, active("globex", "int-1", roleARN))
	mine.RoleARN = roleARN
	want(t, "taking back a role that was given up", s.Update(t.Context(), mine, crossaccount.Change{}), crossaccount.CodeRoleTaken)

	theirs.State = crossaccount.StateRevoked
	s.update(t, theirs)
	if got := s.owner(t, roleARN); got != "/" {
		t.Errorf("the role of a revoked integration belongs to %s", got)
	}
	s.update(t, mine)
	theirs.CustomerName = "changed after the end"
	s.update(t, theirs)
	if got := s.owner(t, roleARN); got != "acme/int-1" {
		t.Errorf("writing a revoked integration moved its old role to %s", got)
	}
}

func (s suite) concurrentRoles() {
	t := s.t
	for n := range 8 {
		s.create(t, record(fmt.Sprint("customer-", n), "int-1"))
	}
	if n := contest(t, crossaccount.CodeRoleTaken, func(n int) error {
		i, err := s.Get(context.WithoutCancel(t.Context()), fmt.Sprint("customer-", n), "int-1")
		if err != nil {
			return err
		}
		i.RoleARN, i.State = roleARN, crossaccount.StateVerifying
		return s.Update(context.WithoutCancel(t.Context()), i, crossaccount.Change{})
	}); n != 1 {
		t.Errorf("%d integrations use the same role, want 1", n)
	}
}

func pending(customer, id, key string) *crossaccount.Integration {
	i := record(customer, id)
	i.PendingKey = key
	return i
}

func (s suite) pendingKeys() {
	t := s.t
	first := s.create(t, pending("acme", "int-1", "open"))
	want(t, "a second integration with the key", s.Create(t.Context(), pending("acme", "int-2", "open"), crossaccount.Change{}), crossaccount.CodeConflict)
	s.create(t, pending("acme", "int-3", "account 111122223333"))
	s.create(t, pending("globex", "int-1", "open"))
	s.create(t, pending("acme", "int-4", ""))
	s.create(t, pending("acme", "int-5", ""))
	s.update(t, first) // keeps its own key
	first.PendingKey = ""
	s.update(t, first)
	next := s.create(t, pending("acme", "int-6", "open"))
	next.State = crossaccount.StateRevoked
	s.update(t, next)
	s.create(t, pending("acme", "int-7", "open"))
}

func (s suite) concurrentPendingKeys() {
	t := s.t
	if n := contest(t, crossaccount.CodeConflict, func(n int) error {
		return s.Create(context.WithoutCancel(t.Context()), pending("acme", fmt.Sprint("int-", n), "open"), crossaccount.Change{})
	}); n != 1 {
		t.Errorf("%d pending integrations were made, want 1", n)
	}
	page, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
	if err != nil || len(page.Integrations) != 1 {
		t.Errorf("%d integrations are listed, want 1 (%v)", len(page.Integrations), err)
	}
}

func (s suite) states() {
	t := s.t
	n := 0
	for _, from := range crossaccount.States() {
		for _, to := range crossaccount.States() {
			n++
			i := record("acme", fmt.Sprint("int-", n))
			i.State = from
			s.create(t, i)
			i.State = to
			err := s.Update(t.Context(), i, crossaccount.Change{})
			if from.CanBecome(to) && err != nil {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if !from.CanBecome(to) {
				want(t, fmt.Sprintf("%s to %s", from, to), err, crossaccount.CodeIllegalState)
			}
		}
	}
	i := record("acme", "int-odd")
	i.State = "odd"
	want(t, "an unknown state", s.Create(t.Context(), i, crossaccount.Change{}), crossaccount.CodeInvalidRequest)
}

func auditRecord(customer, id string, at time.Time) crossaccount.AuditRecord {
	return crossaccount.AuditRecord{
		ID: id, Time: at, CustomerID: customer, IntegrationID: "int-1", Actor: "tester", Action: "test", Outcome: "ok",
		RoleARN: roleARN, SessionName: "session", RequestID: "request", Details: map[string]string{"k": "v"},
	}
}

func event(id string) crossaccount.Event {
	return crossaccount.Event{ID: id, Time: start, Type: "test", CustomerID: "acme", IntegrationID: "int-1", Details: map[string]string{"k": "v"}}
}

func (s suite) atomicity() {
	t := s.t
	written := crossaccount.Change{Audit: []crossaccount.AuditRecord{auditRecord("acme", "aud-1", start)}, Events: []crossaccount.Event{event("evt-1")}}
	first := s.create(t, record("acme", "int-1"), written)
	lost := crossaccount.Change{Audit: []crossaccount.AuditRecord{auditRecord("acme", "aud-2", start)}, Events: []crossaccount.Event{event("evt-2")}}
	want(t, "creating twice", s.Create(t.Context(), record("acme", "int-1"), lost), crossaccount.CodeConflict)
	first.Version = 9
	want(t, "updating from a wrong version", s.Update(t.Context(), first, lost), crossaccount.CodeConflict)

	page, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: "acme"})
	if err != nil || len(page.Records) != 1 || page.Records[0].ID != "aud-1" {
		t.Errorf("audit records after failed writes: %v (%v), want aud-1 alone", page.Records, err)
	}
	events, err := s.Outbox(t.Context(), 10)
	if err != nil || len(events) != 1 || events[0].ID != "evt-1" {
		t.Errorf("events after failed writes: %v (%v), want evt-1 alone", events, err)
	}
}

// ids follows cursors to the end and returns the ids of all integrations.
func (s suite) ids(t *testing.T, q crossaccount.IntegrationQuery) []string {
	t.Helper()
	var ids []string
	for range 100 {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(page.Integrations) > q.Limit {
			t.Errorf("a page has %d integrations, the limit is %d", len(page.Integrations), q.Limit)
		}
		for _, i := range page.Integrations {
			ids = append(ids, i.CustomerID+"/"+i.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
	t.Fatal("the cursors do not end")
	return nil
}

func (s suite) list() {
	t := s.t
	var all, acme []string
	for _, customer := range []string{"acme", "acme2", "globex"} {
		for n := range 5 {
			i := record(customer, fmt.Sprint("int-", n))
			if n == 1 {
				i.State, i.AccountID, i.CheckedAt = crossaccount.StateActive, "111122223333", start
			}
			if n == 2 {
				i.State = crossaccount.StateDegraded
			}
			s.create(t, i)
			all = append(all, customer+"/"+i.ID)
		}
	}
	acme = all[:5]
	type query = crossaccount.IntegrationQuery
	for name, test := range map[string]struct {
		query query
		want  []string
	}{
		"all":              {query{AllCustomers: true}, all},
		"all in pages":     {query{AllCustomers: true, Limit: 4}, all},
		"one by one":       {query{AllCustomers: true, Limit: 1}, all},
		"customer":         {query{CustomerID: "acme"}, acme},
		"customer in page": {query{CustomerID: "acme", Limit: 5}, acme},
		"nobody":           {query{CustomerID: "nobody"}, nil},
		"states": {query{AllCustomers: true, States: []crossaccount.State{crossaccount.StateActive, crossaccount.StateDegraded}, Limit: 2},
			[]string{"acme/int-1", "acme/int-2", "acme2/int-1", "acme2/int-2", "globex/int-1", "globex/int-2"}},
		"account":          {query{CustomerID: "globex", AccountID: "111122223333"}, []string{"globex/int-1"}},
		"never checked":    {query{CustomerID: "acme", CheckedBefore: start}, slices.Delete(slices.Clone(acme), 1, 2)},
		"checked a moment": {query{CustomerID: "acme", CheckedBefore: start.Add(time.Microsecond)}, acme},
	} {
		if got := s.ids(t, test.query); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func (s suite) audit() {
	t := s.t
	var records []crossaccount.AuditRecord
	for n := range 7 {
		records = append(records, auditRecord("acme", fmt.Sprintf("aud-%02d", n), start.Add(time.Duration(n)*time.Minute)))
	}
	records[3].IntegrationID = "int-2"
	if err := s.AppendAudit(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendAudit(t.Context(), records[0], auditRecord("globex", "aud-99", start)); err != nil {
		t.Fatal(err)
	}
	type query = crossaccount.AuditQuery
	for name, test := range map[string]struct {
		query query
		want  []int // indexes of records
	}{
		"newest first": {query{CustomerID: "acme"}, []int{6, 5, 4, 3, 2, 1, 0}},
		"in pages":     {query{CustomerID: "acme", Limit: 2}, []int{6, 5, 4, 3, 2, 1, 0}},
		"integration":  {query{CustomerID: "acme", IntegrationID: "int-2"}, []int{3}},
		"between":      {query{CustomerID: "acme", From: records[2].Time, Until: records[4].Time}, []int{3, 2}},
		"nobody":       {query{CustomerID: "nobody"}, nil},
	} {
		var got []string
		q := test.query
		for range 100 {
			page, err := s.ListAudit(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				got = append(got, fmt.Sprintf("%+v", r))
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		var wanted []string
		for _, n := range test.want {
			wanted = append(wanted, fmt.Sprintf("%+v", records[n]))
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, wanted)
		}
	}
	page, err := s.ListAudit(t.Context(), query{AllCustomers: true})
	if err != nil || len(page.Records) != 8 {
		t.Errorf("all customers have %d audit records (%v), want 8", len(page.Records), err)
	}
}

func (s suite) outbox() {
	t := s.t
	i := record("acme", "int-1")
	s.create(t, i, crossaccount.Change{Events: []crossaccount.Event{event("z"), event("y")}})
	s.update(t, i, crossaccount.Change{Events: []crossaccount.Event{event("x")}})
	s.update(t, i, crossaccount.Change{Events: []crossaccount.Event{event("a")}})
	ids := func(limit int) (ids []string) {
		events, err := s.Outbox(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.CustomerID != "acme" || e.IntegrationID != "int-1" || e.Type != "test" || !e.Time.Equal(start) || e.Details["k"] != "v" {
				t.Errorf("event %s lost something: %+v", e.ID, e)
			}
			ids = append(ids, e.ID)
		}
		return ids
	}
	if got := ids(3); !slices.Equal(got, []string{"z", "y", "x"}) {
		t.Errorf("the first three events are %v", got)
	}
	if err := s.Acknowledge(t.Context(), "y", "unknown", "x"); err != nil {
		t.Fatal(err)
	}
	if got := ids(10); !slices.Equal(got, []string{"z", "a"}) {
		t.Errorf("after acknowledging, the events are %v", got)
	}
	if err := s.Acknowledge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s suite) refusals() {
	t := s.t
	ctx := t.Context()
	_, err := s.List(ctx, crossaccount.IntegrationQuery{})
	want(t, "listing without a scope", err, crossaccount.CodeInvalidRequest)
	_, err = s.List(ctx, crossaccount.IntegrationQuery{CustomerID: "acme", AllCustomers: true})
	want(t, "listing with two scopes", err, crossaccount.CodeInvalidRequest)
	_, err = s.List(ctx, crossaccount.IntegrationQuery{CustomerID: "acme", Cursor: "!"})
	want(t, "listing from a made-up cursor", err, crossaccount.CodeInvalidRequest)
	_, err = s.ListAudit(ctx, crossaccount.AuditQuery{})
	want(t, "listing audit records without a scope", err, crossaccount.CodeInvalidRequest)
	_, err = s.ListAudit(ctx, crossaccount.AuditQuery{CustomerID: "acme", AllCustomers: true})
	want(t, "listing audit records with two scopes", err, crossaccount.CodeInvalidRequest)
	want(t, "creating without a customer", s.Create(ctx, record("", "int-1"), crossaccount.Change{}), crossaccount.CodeInvalidRequest)
	want(t, "creating without an id", s.Create(ctx, record("acme", ""), crossaccount.Change{}), crossaccount.CodeInvalidRequest)
	want(t, "creating with a malformed role", s.Create(ctx, active("acme", "int-1", "arn:aws:s3:::bucket"), crossaccount.Change{}), crossaccount.CodeInvalidRole)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	want(t, "creating after the end", s.Create(ended, record("acme", "int-1"), crossaccount.Change{}), crossaccount.CodeCancelled)
	_, err = s.Get(ended, "acme", "int-1")
	want(t, "reading after the end", err, crossaccount.CodeCancelled)
	_, err = s.Get(ctx, "acme", "int-1")
	want(t, "reading what was created after the end", err, crossaccount.CodeUnknownIntegration)
}
