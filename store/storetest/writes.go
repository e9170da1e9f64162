package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
)

// everyField fails if a field of the struct is zero: a field that is added to a
// record must be added to the suite's examples too, or nothing would show that
// a storage keeps it.
func everyField(t *testing.T, record any) {
	t.Helper()
	v := reflect.Indirect(reflect.ValueOf(record))
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the suite's example of %s has no %s", v.Type(), v.Type().Field(i).Name)
		}
	}
}

func (s suite) everyFieldIsKept() {
	t := s.t
	i := full()
	s.create(t, i) // sets the version; [suite.values] compares
	everyField(t, i)
	everyField(t, i.Candidate)
	everyField(t, auditRecord("acme", "aud-1", start))
	everyField(t, event("evt-1"))
}

// elsewhere is a time zone that is not UTC.
var elsewhere = time.FixedZone("elsewhere", -5*3600)

func (s suite) times() {
	t := s.t
	i := full()
	times := func(i *crossaccount.Integration) map[string]*time.Time {
		return map[string]*time.Time{
			"linked_at": &i.LinkedAt, "created_at": &i.CreatedAt, "updated_at": &i.UpdatedAt, "activated_at": &i.ActivatedAt, "checked_at": &i.CheckedAt,
			"verification.started_at": &i.Verification.StartedAt, "verification.finished_at": &i.Verification.FinishedAt,
			"candidate.presented_at": &i.Candidate.PresentedAt, "candidate.report.started_at": &i.Candidate.Report.StartedAt,
		}
	}
	wanted := make(map[string]time.Time)
	for name, at := range times(i) {
		wanted[name] = *at
		*at = at.In(elsewhere)
	}
	record := auditRecord("acme", "aud-1", start.In(elsewhere))
	happened := event("evt-1")
	happened.Time = start.In(elsewhere)
	s.create(t, i, crossaccount.Change{Audit: []crossaccount.AuditRecord{record}, Events: []crossaccount.Event{happened}})
	check := func(name string, got, want time.Time) {
		if !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s is %v, want %v in UTC", name, got, want)
		}
	}
	for name, at := range times(s.get(t, i.CustomerID, i.ID)) {
		check(name, *at, wanted[name])
	}
	check("time of an audit record", s.auditOf(t, "acme")[0].Time, start)
	check("time of an event", s.events(t, 1)[0].Time, start)

	never := record0()
	s.create(t, never)
	if read := s.get(t, never.CustomerID, never.ID); !read.CheckedAt.IsZero() || !read.LinkedAt.IsZero() || !read.CreatedAt.IsZero() {
		t.Errorf("times that were never set are %v, %v and %v", read.CheckedAt, read.LinkedAt, read.CreatedAt)
	}
	fine := s.get(t, i.CustomerID, i.ID)
	fine.CreatedAt = fine.CreatedAt.Add(time.Nanosecond / 2) // the same microsecond
	s.update(t, fine)
}

// record0 returns a record with nothing but what it must have.
func record0() *crossaccount.Integration {
	return &crossaccount.Integration{CustomerID: "bare", ID: "int-0", State: crossaccount.StatePending}
}

func (s suite) auditOf(t *testing.T, customer string) []crossaccount.AuditRecord {
	t.Helper()
	page, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: customer})
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
}

// events returns the outbox, which must have so many events.
func (s suite) events(t *testing.T, count int) []crossaccount.Event {
	t.Helper()
	events, err := s.Outbox(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != count {
		t.Fatalf("the outbox has %d events, want %d", len(events), count)
	}
	return events
}

func (s suite) sharesNothing() {
	t := s.t
	i, a, e := full(), auditRecord("acme", "aud-1", start), event("evt-1")
	change := crossaccount.Change{Audit: []crossaccount.AuditRecord{a}, Events: []crossaccount.Event{e}}
	s.create(t, i, change)
	spoil := func(i *crossaccount.Integration, a []crossaccount.AuditRecord, e []crossaccount.Event) {
		i.ExternalIDIndex[0] ^= 1
		i.Candidate.RoleARN = "spoiled"
		i.Verification.Permissions[0].Actions[0] = "spoiled"
		a[0].Details["k"], e[0].Details["k"] = "spoiled", "spoiled"
	}
	list := func() *crossaccount.Integration {
		page, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
		if err != nil || len(page.Integrations) != 1 {
			t.Fatalf("listing: %v, %v", page, err)
		}
		return page.Integrations[0]
	}
	spoil(i, change.Audit, change.Events)
	for range 2 {
		for _, read := range []*crossaccount.Integration{list(), s.get(t, "acme", "int-full")} {
			a, e := s.auditOf(t, "acme"), s.events(t, 1)
			if read.ExternalIDIndex[0] != full().ExternalIDIndex[0] || read.Candidate.RoleARN == "spoiled" || read.Verification.Permissions[0].Actions[0] == "spoiled" ||
				a[0].Details["k"] == "spoiled" || e[0].Details["k"] == "spoiled" {
				t.Fatal("a change to what was written or read changed the storage")
			}
			spoil(read, a, e)
		}
	}
}

// A write that fails leaves nothing behind, not even a part of its claims.
func (s suite) failedWrites() {
	t := s.t
	s.create(t, active("acme", "int-1", roleARN))
	mine := active("globex", "int-1", roleARN+"2")
	mine.PendingKey = "open"
	s.create(t, mine)
	before := s.get(t, "globex", "int-1")
	lost := crossaccount.Change{Audit: []crossaccount.AuditRecord{auditRecord("globex", "aud-lost", start)}, Events: []crossaccount.Event{event("evt-lost")}}

	for what, test := range map[string]struct {
		spoil func(*crossaccount.Integration)
		code  crossaccount.Code
	}{
		"a role that is taken":          {func(i *crossaccount.Integration) { i.RoleARN = roleARN }, crossaccount.CodeRoleTaken},
		"an external ID that is taken":  {func(i *crossaccount.Integration) { i.ExternalIDIndex = []byte("index acmeint-1") }, crossaccount.CodeConflict},
		"a state that cannot be":        {func(i *crossaccount.Integration) { i.State = crossaccount.StatePending }, crossaccount.CodeIllegalState},
		"another creation time":         {func(i *crossaccount.Integration) { i.CreatedAt = start.Add(time.Hour) }, crossaccount.CodeInvalidRequest},
		"another id":                    {func(i *crossaccount.Integration) { i.ID = "int-9" }, crossaccount.CodeUnknownIntegration},
		"an old version":                {func(i *crossaccount.Integration) { i.Version = 0 }, crossaccount.CodeConflict},
		"an unknown state":              {func(i *crossaccount.Integration) { i.State = "" }, crossaccount.CodeInvalidRequest},
		"a role that is none":           {func(i *crossaccount.Integration) { i.RoleARN = "role" }, crossaccount.CodeInvalidRole},
		"a role without regard to case": {func(i *crossaccount.Integration) { i.RoleARN = "arn:aws:iam::111122223333:role/ACCESS" }, crossaccount.CodeRoleTaken},
	} {
		failing := s.get(t, "globex", "int-1")
		failing.CustomerName, failing.PendingKey, failing.ExternalIDIndex = "changed", "changed", []byte("index of nobody")
		failing.RoleARN = roleARN + "3"
		test.spoil(failing)
		version := failing.Version
		want(t, "an update with "+what, s.Update(t.Context(), failing, lost), test.code)
		if failing.Version != version {
			t.Errorf("a failed update with %s set the version to %d", what, failing.Version)
		}
		if test.code == crossaccount.CodeRoleTaken || failing.ExternalIDIndex[0] == 'i' && test.code == crossaccount.CodeConflict && failing.Version > 0 {
			created := *failing
			created.ID, created.Version = "int-new", 0
			want(t, "creating with "+what, s.Create(t.Context(), &created, lost), test.code)
		}
	}
	after := s.get(t, "globex", "int-1")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("failed updates changed the record from\n%+v to\n%+v", before, after)
	}
	if len(s.auditOf(t, "globex")) > 0 {
		t.Error("failed writes left audit records")
	}
	s.events(t, 0)
	if got := s.owner(t, roleARN+"2") + s.owner(t, roleARN+"3"); got != "globex/int-1/" {
		t.Errorf("after failed updates the roles belong to %s", got)
	}
	// What failed has claimed nothing.
	heir := active("heir", "int-1", roleARN+"3")
	heir.ExternalIDIndex = []byte("index of nobody")
	s.create(t, heir)
	s.create(t, pending("globex", "int-2", "changed"))
	want(t, "the pending key of the record that was not changed", s.Create(t.Context(), pending("globex", "int-3", "open"), crossaccount.Change{}), crossaccount.CodeConflict)
}

func (s suite) concurrentCreates() {
	t := s.t
	if n := contest(t, crossaccount.CodeConflict, func(n int) error {
		i := record("acme", "int-1")
		i.ExternalIDIndex = fmt.Append(nil, "index ", n)
		return s.Create(context.WithoutCancel(t.Context()), i, crossaccount.Change{})
	}); n != 1 {
		t.Errorf("%d integrations have the same id, want 1", n)
	}
}

// A role and a pending key are held in every state but revoked.
func (s suite) claimsInEveryState() {
	t := s.t
	for n, state := range crossaccount.States() {
		arn := fmt.Sprintf("arn:aws:iam::111122223333:role/r%d", n)
		i := active("acme", fmt.Sprint("int-", n), arn)
		i.State, i.PendingKey = state, arn
		s.create(t, i)
		role := active("globex", fmt.Sprint("int-", n), arn)
		key := pending("acme", fmt.Sprint("int-key-", n), arn)
		if state == crossaccount.StateRevoked {
			s.create(t, role)
			s.create(t, key)
			continue
		}
		want(t, fmt.Sprintf("the role of one that is %s", state), s.Create(t.Context(), role, crossaccount.Change{}), crossaccount.CodeRoleTaken)
		want(t, fmt.Sprintf("the pending key of one that is %s", state), s.Create(t.Context(), key, crossaccount.Change{}), crossaccount.CodeConflict)
	}
}

func (s suite) appendOnly() {
	t := s.t
	first, second := auditRecord("acme", "aud-1", start), auditRecord("acme", "aud-2", start)
	i := s.create(t, record("acme", "int-1"), crossaccount.Change{Audit: []crossaccount.AuditRecord{first}, Events: []crossaccount.Event{event("evt-1"), event("evt-1")}})
	forged := first
	forged.Outcome, forged.CustomerID = "forged", "evil"
	if err := s.AppendAudit(t.Context(), forged, second, second); err != nil {
		t.Fatal(err)
	}
	again := event("evt-1")
	again.Type = "forged"
	s.update(t, i, crossaccount.Change{Audit: []crossaccount.AuditRecord{forged}, Events: []crossaccount.Event{again, event("evt-2")}})
	if got := s.auditOf(t, "acme"); len(got) != 2 || got[0].ID != "aud-2" || !reflect.DeepEqual(got[1], first) {
		t.Errorf("audit records are %+v, want aud-2 and aud-1 as they were first", got)
	}
	if got := s.auditOf(t, "evil"); len(got) != 0 {
		t.Errorf("a record was moved to another customer: %+v", got)
	}
	if got := s.events(t, 2); !reflect.DeepEqual(got[0], event("evt-1")) || got[1].ID != "evt-2" {
		t.Errorf("events are %+v, want evt-1 as it was first and evt-2", got)
	}
	if err := s.AppendAudit(t.Context()); err != nil {
		t.Errorf("appending nothing: %v", err)
	}
}

// Events of writers who know of each other keep their order; none is lost or
// doubled.
func (s suite) concurrentEvents() {
	t := s.t
	const writers, writes = 6, 5
	if n := contest(t, crossaccount.CodeConflict, func(n int) error {
		if n >= writers {
			return nil
		}
		ctx := context.WithoutCancel(t.Context())
		i := record("acme", fmt.Sprint("int-", n))
		for version := range writes {
			e := event(fmt.Sprintf("evt-%d-%d", n, version))
			e.IntegrationID = i.ID
			write := s.Update
			if version == 0 {
				write = s.Create
			}
			if err := write(ctx, i, crossaccount.Change{Events: []crossaccount.Event{e}}); err != nil {
				return err
			}
		}
		return nil
	}); n < writers {
		t.Fatalf("only %d writers succeeded", n)
	}
	order := make(map[string][]string)
	for _, e := range s.events(t, writers*writes) {
		order[e.IntegrationID] = append(order[e.IntegrationID], e.ID)
	}
	for id, events := range order {
		if !slices.IsSorted(events) || len(events) != writes {
			t.Errorf("the events of %s are %v", id, events)
		}
	}
}

func (s suite) ended() {
	t := s.t
	i := s.create(t, record("acme", "int-1"), crossaccount.Change{Events: []crossaccount.Event{event("evt-1")}})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	role := mustRole(t, roleARN)
	for what, call := range map[string]func() error{
		"Create":      func() error { return s.Create(ended, record("acme", "int-2"), crossaccount.Change{}) },
		"Update":      func() error { return s.Update(ended, i, crossaccount.Change{}) },
		"Get":         func() error { _, err := s.Get(ended, "acme", "int-1"); return err },
		"List":        func() error { _, err := s.List(ended, crossaccount.IntegrationQuery{CustomerID: "acme"}); return err },
		"RoleOwner":   func() error { _, _, err := s.RoleOwner(ended, role); return err },
		"AppendAudit": func() error { return s.AppendAudit(ended, auditRecord("acme", "aud-1", start)) },
		"ListAudit":   func() error { _, err := s.ListAudit(ended, crossaccount.AuditQuery{CustomerID: "acme"}); return err },
		"Outbox":      func() error { _, err := s.Outbox(ended, 1); return err },
		"Acknowledge": func() error { return s.Acknowledge(ended, "evt-1") },
	} {
		want(t, what+" after the end", call(), crossaccount.CodeCancelled)
	}
	if i.Version != 1 || len(s.auditOf(t, "acme")) > 0 {
		t.Error("something was written after the end")
	}
	s.events(t, 1)
}
