// Package storetest is the law of [crossaccount.CredentialStorage] as a test
// suite. Every implementation passes it:
//
//	func TestStorage(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) crossaccount.CredentialStorage { return open(t) })
//	}
//
// The suite says nothing about durability, which an implementation tests by
// itself.
package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
)

// Run runs the suite. Open is called once for each test and returns an empty
// storage; it closes it with t.Cleanup if that is needed.
func Run(t *testing.T, open func(t *testing.T) crossaccount.CredentialStorage) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(suite)
	}{
		// Values: opaque bytes, every field, no shared memory, times in UTC.
		{"Values", suite.values},
		{"EveryFieldIsKept", suite.everyFieldIsKept},
		{"Times", suite.times},
		{"Isolation", suite.isolation},
		{"SharesNothing", suite.sharesNothing},
		// Atomicity: all of a write or nothing, visible to everybody.
		{"Atomicity", suite.atomicity},
		{"FailedWrites", suite.failedWrites},
		// Optimistic concurrency.
		{"Versions", suite.versions},
		{"ConcurrentUpdates", suite.concurrentUpdates},
		// Tenant scope.
		{"TenantScope", suite.tenantScope},
		{"Identity", suite.identity},
		{"ForeignCursors", suite.foreignCursors},
		// Uniqueness: ids, external IDs, roles, pending keys.
		{"ConcurrentCreates", suite.concurrentCreates},
		{"ExternalIDs", suite.externalIDs},
		{"ConcurrentExternalIDs", suite.concurrentExternalIDs},
		{"Roles", suite.roles},
		{"ConcurrentRoles", suite.concurrentRoles},
		{"PendingKeys", suite.pendingKeys},
		{"ConcurrentPendingKeys", suite.concurrentPendingKeys},
		{"ClaimsInEveryState", suite.claimsInEveryState},
		// State.
		{"States", suite.states},
		// Audit records and events.
		{"AppendOnly", suite.appendOnly},
		{"Audit", suite.audit},
		{"Outbox", suite.outbox},
		{"ConcurrentEvents", suite.concurrentEvents},
		// Listings.
		{"List", suite.list},
		{"Filters", suite.filters},
		{"AuditFilters", suite.auditFilters},
		{"ListWhileWriting", suite.listWhileWriting},
		{"Limits", suite.limits},
		// The context, and errors.
		{"Refusals", suite.refusals},
		{"Ended", suite.ended},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(suite{open(t), t}) })
	}
}

type suite struct {
	crossaccount.CredentialStorage
	t *testing.T
}

// start is when the suite's records begin; microseconds must be kept.
var start = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

// record returns a new integration whose other values follow from its id.
func record(customer, id string) *crossaccount.Integration {
	return &crossaccount.Integration{
		ID: id, CustomerID: customer, State: crossaccount.StatePending,
		SealedExternalID: []byte("sealed " + customer + id), ExternalIDIndex: []byte("index " + customer + id),
		CreatedAt: start, UpdatedAt: start,
	}
}

// full returns an integration with every field set.
func full() *crossaccount.Integration {
	i := record("acme", "int-full")
	i.CustomerName, i.State, i.PendingKey = "Acme ✓ GmbH", crossaccount.StateVerifying, "open"
	i.SealedExternalID = []byte{0, 1, 255, '"', '\\'}
	i.AccountID, i.Region, i.StackName = "111122223333", "eu-central-1", "svc-acme"
	i.TemplateKey, i.TemplateSHA256, i.LinkedAt = "svc/abc/template.json", "abc", start.Add(time.Hour)
	i.RoleARN = "arn:aws:iam::111122223333:role/svc/access"
	i.Verification = &crossaccount.Report{
		CustomerID: "acme", IntegrationID: "int-full", RoleARN: i.RoleARN, Result: crossaccount.Passed, Controlled: true,
		Steps:       []crossaccount.Step{{Name: "assume", Expectation: "e", Result: crossaccount.Passed, Detail: "d", Remedy: "r"}},
		Permissions: []crossaccount.PermissionCheck{{Sid: "Read", Actions: []string{"s3:GetObject"}, State: crossaccount.PermissionPresent}},
		StartedAt:   start, FinishedAt: start.Add(time.Second),
	}
	i.Candidate = &crossaccount.Candidate{RoleARN: "arn:aws:iam::111122223333:role/other", PresentedAt: start, Attempts: 3,
		Report: &crossaccount.Report{Result: crossaccount.Inconclusive, Code: crossaccount.CodePropagating, StartedAt: start, FinishedAt: start.Add(time.Minute)}}
	i.DegradedReason = crossaccount.CodeRoleRefused
	i.ActivatedAt, i.CheckedAt = start.Add(2*time.Hour), start.Add(3*time.Hour)
	return i
}

func (s suite) create(t *testing.T, i *crossaccount.Integration, change ...crossaccount.Change) *crossaccount.Integration {
	t.Helper()
	if err := s.Create(t.Context(), i, one(change)); err != nil {
		t.Fatalf("create %s/%s: %v", i.CustomerID, i.ID, err)
	}
	return i
}

func (s suite) update(t *testing.T, i *crossaccount.Integration, change ...crossaccount.Change) {
	t.Helper()
	if err := s.Update(t.Context(), i, one(change)); err != nil {
		t.Fatalf("update %s/%s: %v", i.CustomerID, i.ID, err)
	}
}

func one(change []crossaccount.Change) crossaccount.Change {
	if len(change) == 0 {
		return crossaccount.Change{}
	}
	return change[0]
}

func (s suite) get(t *testing.T, customer, id string) *crossaccount.Integration {
	t.Helper()
	i, err := s.Get(t.Context(), customer, id)
	if err != nil {
		t.Fatalf("get %s/%s: %v", customer, id, err)
	}
	return i
}

// want fails unless err has the code.
func want(t *testing.T, what string, err error, code crossaccount.Code) {
	t.Helper()
	if crossaccount.CodeOf(err) != code {
		t.Errorf("%s: got error %v, want one with the code %s", what, err, code)
	}
}

func (s suite) values() {
	t := s.t
	for _, created := range []*crossaccount.Integration{record("acme", "int-plain"), full()} {
		s.create(t, created)
		if created.Version != 1 {
			t.Errorf("version after create is %d, want 1", created.Version)
		}
		if diff := cmp.Diff(created, s.get(t, created.CustomerID, created.ID)); diff != "" {
			t.Errorf("what was created is not what is read (-created +read):\n%s", diff)
		}
	}
	changed := s.get(t, "acme", "int-plain")
	other := full()
	other.ID, other.CreatedAt, other.ExternalIDIndex, other.PendingKey, other.RoleARN = changed.ID, changed.CreatedAt, changed.ExternalIDIndex, "", ""
	other.Version = changed.Version
	s.update(t, other)
	if diff := cmp.Diff(other, s.get(t, "acme", "int-plain")); diff != "" {
		t.Errorf("what was updated is not what is read (-updated +read):\n%s", diff)
	}
	east := record("zoned", "int-1")
	east.CreatedAt = start.In(time.FixedZone("east", 3600))
	s.create(t, east)
	if read := s.get(t, "zoned", "int-1"); !read.CreatedAt.Equal(start) || read.CreatedAt.Location() != time.UTC {
		t.Errorf("created_at is %v, want %v in UTC", read.CreatedAt, start)
	}
}

func (s suite) isolation() {
	t := s.t
	mine := full()
	s.create(t, mine)
	mine.SealedExternalID[0] ^= 1
	mine.Verification.Steps[0].Name = "changed"
	read := s.get(t, "acme", "int-full")
	if read.SealedExternalID[0] == mine.SealedExternalID[0] || read.Verification.Steps[0].Name == "changed" {
		t.Error("a change to a record after it was stored changed the storage")
	}
	read.SealedExternalID[0] ^= 1
	if again := s.get(t, "acme", "int-full"); again.SealedExternalID[0] == read.SealedExternalID[0] {
		t.Error("a change to a record that was read changed the storage")
	}
}

// odd are customer ids that must not be mistaken for one another.
var odd = []string{"acme", "Acme", "ACME", "acme ", "acm", "acme/int-1", "acme%", "acme_", "*", "a:b", "ä", "a#b", "'; --", `"`, `\`}

func (s suite) tenantScope() {
	t := s.t
	for n, customer := range odd {
		i := record(customer, "int-1")
		i.CustomerName = fmt.Sprint(n)
		s.create(t, i)
	}
	for n, customer := range odd {
		if got := s.get(t, customer, "int-1").CustomerName; got != fmt.Sprint(n) {
			t.Errorf("customer %q got the record of %q", customer, odd[atoi(got)])
		}
		page, err := s.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: customer})
		if err != nil || len(page.Integrations) != 1 || page.Integrations[0].CustomerID != customer {
			t.Errorf("listing of %q: %v, %v", customer, page, err)
		}
	}
	s.create(t, record("acme", "int-secret"))
	_, missing := s.Get(t.Context(), "evil", "int-missing")
	_, foreign := s.Get(t.Context(), "evil", "int-secret")
	want(t, "reading a missing record", missing, crossaccount.CodeUnknownIntegration)
	want(t, "reading another customer's record", foreign, crossaccount.CodeUnknownIntegration)
	if missing != nil && foreign != nil && missing.Error() != foreign.Error() {
		t.Errorf("a foreign record (%v) can be told from a missing one (%v)", foreign, missing)
	}
	stolen := s.get(t, "acme", "int-secret")
	stolen.CustomerID = "evil"
	want(t, "updating another customer's record", s.Update(t.Context(), stolen, crossaccount.Change{}), crossaccount.CodeUnknownIntegration)
}

func atoi(s string) (n int) {
	n, _ = strconv.Atoi(s)
	return n
}

func (s suite) identity() {
	t := s.t
	s.create(t, record("acme", "int-1"))
	again := record("acme", "int-1")
	again.ExternalIDIndex = []byte("another")
	want(t, "creating an id twice", s.Create(t.Context(), again, crossaccount.Change{}), crossaccount.CodeConflict)
	if again.Version != 0 {
		t.Errorf("a failed create set the version to %d", again.Version)
	}
	s.create(t, record("globex", "int-1"))
	changed := s.get(t, "acme", "int-1")
	changed.CreatedAt = changed.CreatedAt.Add(time.Second)
	want(t, "changing created_at", s.Update(t.Context(), changed, crossaccount.Change{}), crossaccount.CodeInvalidRequest)
	want(t, "updating a missing record", s.Update(t.Context(), record("acme", "int-2"), crossaccount.Change{}), crossaccount.CodeUnknownIntegration)
}

func (s suite) versions() {
	t := s.t
	s.create(t, record("acme", "int-1"))
	first, second := s.get(t, "acme", "int-1"), s.get(t, "acme", "int-1")
	first.CustomerName = "first"
	s.update(t, first)
	if first.Version != 2 {
		t.Errorf("version after update is %d, want 2", first.Version)
	}
	second.CustomerName = "second"
	want(t, "updating from an old version", s.Update(t.Context(), second, crossaccount.Change{}), crossaccount.CodeConflict)
	if second.Version != 1 {
		t.Errorf("a failed update set the version to %d", second.Version)
	}
	if got := s.get(t, "acme", "int-1"); got.CustomerName != "first" || got.Version != 2 {
		t.Errorf("after a conflict the record is %q at version %d", got.CustomerName, got.Version)
	}
	future := s.get(t, "acme", "int-1")
	future.Version = 7
	want(t, "updating from a version that never was", s.Update(t.Context(), future, crossaccount.Change{}), crossaccount.CodeConflict)
}

// contest runs do concurrently and returns how many succeeded. Losers must have
// the code.
func contest(t *testing.T, code crossaccount.Code, do func(n int) error) (winners int) {
	t.Helper()
	const contestants = 8
	errs := make([]error, contestants)
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(contestants)
	for n := range contestants {
		done.Go(func() {
			ready.Done()
			<-gate
			errs[n] = do(n)
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	for _, err := range errs {
		if err == nil {
			winners++
		} else {
			want(t, "a loser", err, code)
		}
	}
	return winners
}

func (s suite) concurrentUpdates() {
	t := s.t
	s.create(t, record("acme", "int-1"))
	for round := range 5 {
		base := s.get(t, "acme", "int-1")
		if n := contest(t, crossaccount.CodeConflict, func(n int) error {
			mine := *base
			mine.CustomerName = fmt.Sprint(n)
			return s.Update(context.WithoutCancel(t.Context()), &mine, crossaccount.Change{Audit: []crossaccount.AuditRecord{
				{ID: fmt.Sprintf("aud-%d-%d", round, n), Time: start, CustomerID: "acme", Action: "test", Outcome: "ok"},
			}})
		}); n != 1 {
			t.Fatalf("%d of several concurrent updates succeeded, want 1", n)
		}
	}
	page, err := s.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: "acme"})
	if err != nil || len(page.Records) != 5 {
		t.Errorf("5 updates left %d audit records (%v)", len(page.Records), err)
	}
}

func (s suite) externalIDs() {
	t := s.t
	first := s.create(t, record("acme", "int-1"))
	original := first.ExternalIDIndex
	thief := func(id string) error {
		i := record("evil", id)
		i.ExternalIDIndex = original
		return s.Create(t.Context(), i, crossaccount.Change{})
	}
	want(t, "using another integration's external ID", thief("int-1"), crossaccount.CodeConflict)

	first.ExternalIDIndex = []byte("rotated")
	s.update(t, first)
	want(t, "using a replaced external ID", thief("int-2"), crossaccount.CodeConflict)

	first.State = crossaccount.StateRevoked
	s.update(t, first)
	want(t, "using a replaced external ID after offboarding", thief("int-3"), crossaccount.CodeConflict)
	late := record("evil", "int-4")
	late.ExternalIDIndex = []byte("rotated")
	want(t, "using the external ID of an integration that is over", s.Create(t.Context(), late, crossaccount.Change{}), crossaccount.CodeConflict)

	honest := s.create(t, record("evil", "int-5"))
	honest.ExternalIDIndex = original
	want(t, "changing to another integration's external ID", s.Update(t.Context(), honest, crossaccount.Change{}), crossaccount.CodeConflict)

	without := record("evil", "int-6")
	without.ExternalIDIndex, without.SealedExternalID = nil, nil
	s.create(t, without)
	more := record("evil", "int-7")
	more.ExternalIDIndex, more.SealedExternalID = nil, nil
	s.create(t, more)
}

func (s suite) concurrentExternalIDs() {
	t := s.t
	if n := contest(t, crossaccount.CodeConflict, func(n int) error {
		i := record(fmt.Sprint("customer-", n), "int-1")
		i.ExternalIDIndex = []byte("the same")
		return s.Create(context.WithoutCancel(t.Context()), i, crossaccount.Change{})
	}); n != 1 {
		t.Errorf("%d integrations have the same external ID, want 1", n)
	}
}
