package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crossaccount/crossaccount"
)

// When there is no space left, writes that share a commit fail together, say
// why, and leave nothing behind; with space again the store goes on.
func TestFullDisk(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "full.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var pages int
	if err := s.readers.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		if _, err := s.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	// One record after the other: a page is never enough for more than some.
	limit(pages + 12)
	var mu sync.Mutex
	stored, refused := 0, 0
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := range 20 {
				id := fmt.Sprintf("int-%d-%d", w, n)
				err := s.Create(t.Context(), &crossaccount.Integration{
					CustomerID: "acme", ID: id, State: crossaccount.StatePending, CustomerName: strings.Repeat("x", 1000),
				}, crossaccount.Change{
					Audit:  []crossaccount.AuditRecord{{ID: "aud-" + id, CustomerID: "acme", IntegrationID: id}},
					Events: []crossaccount.Event{{ID: "evt-" + id, CustomerID: "acme", IntegrationID: id}},
				})
				mu.Lock()
				if err == nil {
					stored++
				} else if refused++; crossaccount.CodeOf(err) != crossaccount.CodeStorage || !strings.Contains(err.Error(), "no space left") {
					t.Errorf("a write to a full disk: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	if refused == 0 {
		t.Fatal("the disk was never full")
	}
	for _, table := range []string{"integrations", "audit", "outbox"} {
		var count int
		if err := s.readers.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&count); err != nil || count != stored {
			t.Errorf("%d rows in %s, %d writes succeeded (%v)", count, table, stored, err)
		}
	}
	limit(1 << 30)
	if err := s.Create(t.Context(), &crossaccount.Integration{CustomerID: "acme", ID: "int-later", State: crossaccount.StatePending}, crossaccount.Change{}); err != nil {
		t.Errorf("with space again: %v", err)
	}
	t.Log(stored, "stored,", refused, "refused")
}
