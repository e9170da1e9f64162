package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

// million is how many integrations the benchmarks have; fewer with -short.
func million() int {
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

const benchCustomers = 200_000 // at most five integrations each at a million

// benchStore is made once and only if a benchmark runs. Nine of ten
// integrations are active, one in ten is degraded, and one in a thousand was
// never checked.
var benchStore = sync.OnceValues(func() (*Store, error) {
	folder, err := os.MkdirTemp("", "crossaccount-bench-")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(folder, "bench.db"), Options{})
	if err != nil {
		return nil, err
	}
	const together = 5000
	for from := 0; from < million(); from += together {
		if err := s.write(ctx, func(t *transaction) error {
			for n := from; n < from+together; n++ {
				row, extra, err := encode(ctx, benchIntegration(n), benchChange(n))
				if err == nil {
					_, err = t.exec(insertIntegration, row.values...)
				}
				if err == nil {
					err = t.store(row, extra)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, errors.Join(err, err.(*crossaccount.Error).Cause()) //nolint:errorlint // write returns it as it is
		}
	}
	return s, nil
})

// TestMain removes the database of the benchmarks.
func TestMain(m *testing.M) {
	code := m.Run()
	if made.Load() {
		if s, err := benchStore(); err == nil {
			s.Close()
			os.RemoveAll(filepath.Dir(s.path))
		}
	}
	os.Exit(code)
}

var made atomic.Bool

func bench(b *testing.B) *Store {
	b.Helper()
	made.Store(true)
	s, err := benchStore()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

func benchARN(n int) string {
	return fmt.Sprintf("arn:aws:iam::%012d:role/svc/acme-access-%d", 100000000000+n, n)
}

func benchIntegration(n int) *crossaccount.Integration {
	at := time.Unix(1_800_000_000+int64(n), 0)
	i := &crossaccount.Integration{
		CustomerID: fmt.Sprintf("customer-%06d", n%benchCustomers), ID: fmt.Sprintf("int-%032x", n), CustomerName: "A customer",
		State: crossaccount.StateActive, AccountID: fmt.Sprintf("%012d", 100000000000+n), RoleARN: benchARN(n), Region: "eu-central-1",
		SealedExternalID: make([]byte, 120), ExternalIDIndex: binary.BigEndian.AppendUint64(make([]byte, 24), uint64(n)),
		StackName: "acme-access", TemplateKey: "acme/0123456789abcdef/template.json", TemplateSHA256: fmt.Sprintf("%064x", 7),
		CreatedAt: at, UpdatedAt: at, LinkedAt: at, ActivatedAt: at, CheckedAt: at,
		Verification: &crossaccount.Report{Result: crossaccount.Passed, Controlled: true, RoleARN: benchARN(n), StartedAt: at, FinishedAt: at},
	}
	for _, step := range []string{crossaccount.StepAssume, crossaccount.StepIdentity, crossaccount.StepMissing, crossaccount.StepWrong, crossaccount.StepCaseFlipped} {
		i.Verification.Steps = append(i.Verification.Steps, crossaccount.Step{Name: step, Expectation: "what should happen", Result: crossaccount.Passed, Detail: "what happened"})
	}
	if n%10 == 0 {
		i.State = crossaccount.StateDegraded
	}
	if n%1000 == 0 {
		i.CheckedAt = time.Time{}
	}
	return i
}

func benchChange(n int) crossaccount.Change {
	customer, id := fmt.Sprintf("customer-%06d", n%benchCustomers), fmt.Sprintf("int-%032x", n)
	return crossaccount.Change{
		Audit:  []crossaccount.AuditRecord{{ID: fmt.Sprintf("aud_%032x", n), Time: time.Unix(1_800_000_000+int64(n), 0), CustomerID: customer, IntegrationID: id, Actor: "system", Action: crossaccount.ActionActivated, Outcome: "ok", RoleARN: benchARN(n)}},
		Events: []crossaccount.Event{{ID: fmt.Sprintf("evt_%032x", n), Time: time.Unix(1_800_000_000, 0), Type: crossaccount.ActionActivated, CustomerID: customer, IntegrationID: id}},
	}
}

// scattered visits all records in an order without locality.
func scattered(n int) int { return int(uint64(n) * 2654435761 % uint64(million())) }

func BenchmarkGet(b *testing.B) {
	s := bench(b)
	for n := 0; b.Loop(); n++ {
		k := scattered(n)
		if _, err := s.Get(b.Context(), fmt.Sprintf("customer-%06d", k%benchCustomers), fmt.Sprintf("int-%032x", k)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoleOwner(b *testing.B) {
	s := bench(b)
	for n := 0; b.Loop(); n++ {
		role, err := iam.ParseRoleARN(benchARN(scattered(n)))
		if err != nil {
			b.Fatal(err)
		}
		if customer, _, err := s.RoleOwner(b.Context(), role); err != nil || customer == "" {
			b.Fatal(customer, err)
		}
	}
}

func BenchmarkListPage(b *testing.B) {
	type query = crossaccount.IntegrationQuery
	degraded := []crossaccount.State{crossaccount.StateDegraded}
	live := []crossaccount.State{crossaccount.StateActive, crossaccount.StateDegraded}
	for _, test := range []struct {
		name  string
		query func(n int) query
	}{
		{"Customer", func(n int) query { return query{CustomerID: fmt.Sprintf("customer-%06d", scattered(n)%benchCustomers)} }},
		{"First", func(int) query { return query{AllCustomers: true} }},
		{"Middle", func(n int) query {
			return query{AllCustomers: true, Cursor: encodeCursor(listCursor{fmt.Sprintf("customer-%06d", scattered(n)%benchCustomers), "int-"})}
		}},
		{"State", func(n int) query {
			return query{AllCustomers: true, States: degraded, Cursor: encodeCursor(listCursor{fmt.Sprintf("customer-%06d", scattered(n)%(benchCustomers/2)), "int-"})}
		}},
		{"Account", func(n int) query {
			return query{AllCustomers: true, AccountID: fmt.Sprintf("%012d", 100000000000+scattered(n))}
		}},
		{"SweepMuchDue", func(int) query {
			return query{AllCustomers: true, States: live, CheckedBefore: time.Unix(1_800_000_000+int64(million()/2), 0)}
		}},
		{"SweepLittleDue", func(int) query {
			return query{AllCustomers: true, States: live, CheckedBefore: time.Unix(1_800_000_050, 0)}
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := bench(b)
			for n := 0; b.Loop(); n++ {
				page, err := s.List(b.Context(), test.query(n))
				if err != nil || len(page.Integrations) == 0 {
					b.Fatal(page, err)
				}
			}
		})
	}
}

func BenchmarkListAuditPage(b *testing.B) {
	s := bench(b)
	for n := 0; b.Loop(); n++ {
		page, err := s.ListAudit(b.Context(), crossaccount.AuditQuery{CustomerID: fmt.Sprintf("customer-%06d", scattered(n)%benchCustomers)})
		if err != nil || len(page.Records) == 0 {
			b.Fatal(page, err)
		}
	}
}

// added counts what the benchmarks have created.
var added atomic.Int64

func createOne(b *testing.B, s *Store) {
	b.Helper()
	n := million() + int(added.Add(1))
	if err := s.Create(b.Context(), benchIntegration(n), benchChange(n)); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCreate waits for the disk each time.
func BenchmarkCreate(b *testing.B) {
	s := bench(b)
	for b.Loop() {
		createOne(b, s)
	}
}

// BenchmarkCreateTogether has 64 callers at once for each processor, whose
// writes share commits.
func BenchmarkCreateTogether(b *testing.B) {
	s := bench(b)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			createOne(b, s)
		}
	})
}
