package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// childOf names the database in the environment of a process that onboards
// customers until it is killed; runOf is how often that happened before.
const (
	childOf = "CROSSACCOUNT_TEST_CRASH_DATABASE"
	runOf   = "CROSSACCOUNT_TEST_CRASH_RUN"
)

// TestCrash kills a process with SIGKILL, again and again, while it onboards
// customers, and looks at what is left. The kernel survives, so what this shows
// is atomicity, and that nothing is acknowledged before it is written. Lost
// writes are played by [TestTornLog].
func TestCrash(t *testing.T) {
	if path := os.Getenv(childOf); path != "" {
		onboardUntilKilled(t, path, os.Getenv(runOf))
		return
	}
	testenv.IsolateAWS(t)
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kills := 10
	if testing.Short() {
		kills = 3
	}
	path := filepath.Join(t.TempDir(), "crash.db")
	acknowledged := &ledger{externalIDs: make(map[string]string), roles: make(map[string]string)}
	for run := range kills {
		acknowledged.runChild(t, path, run, random.IntN(1200))
	}
	store := reopen(t, path)
	db := raw(t, path)
	checkWhole(t, db)
	client, encryptor := newClient(t, store, path)
	stored := acknowledged.check(t, store, encryptor)
	checkDump(t, path, stored)

	continued := continueAll(t, client, stored)
	t.Logf("%d kills, %d integrations, %d acknowledged, %d with an acknowledged role, %d continued",
		kills, len(stored), len(acknowledged.externalIDs), len(acknowledged.roles), continued)
	if len(acknowledged.externalIDs) < 100*kills || continued == 0 || len(acknowledged.roles) == 0 {
		t.Error("that is too little to show anything")
	}
}

// continueAll continues every onboarding that is open and returns how many.
func continueAll(t *testing.T, client *crossaccount.Client, stored []storedIntegration) (continued int) {
	t.Helper()
	open := make(chan storedIntegration)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := range open {
				response, err := client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: i.CustomerID})
				if err != nil {
					t.Errorf("continuing %s: %v", i.CustomerID, err)
				} else if response.IntegrationID != i.ID || response.ExternalID != i.externalID {
					t.Errorf("customer %s continues %s with another external ID or integration than before", i.CustomerID, i.ID)
				}
			}
		})
	}
	for _, i := range stored {
		if i.State.Open() {
			open <- i
			continued++
		}
	}
	close(open)
	workers.Wait()
	return continued
}

// A ledger is what the killed processes have acknowledged.
type ledger struct {
	externalIDs map[string]string // :: customer/integration → external ID
	roles       map[string]string // :: customer/integration → role in use
}

// runChild starts a process and kills it after it has acknowledged so many
// onboardings.
func (l *ledger) runChild(t *testing.T, path string, run, after int) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrash$", "-test.v")
	child.Env = append(os.Environ(), childOf+"="+path, runOf+"="+fmt.Sprint(run))
	child.ExtraFiles = []*os.File{write}
	var output strings.Builder
	child.Stdout, child.Stderr = &output, &output
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewScanner(read)
	for count := 0; lines.Scan(); count++ {
		if count == after+1 {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		l.note(t, lines.Text())
	}
	read.Close()
	err = child.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed but ended by itself: %v\n%s", err, output.String())
	}
}

func (l *ledger) note(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) != 3 {
		t.Fatalf("the process wrote %q", line)
	}
	what, key, value := words[0], words[1], words[2]
	into := l.externalIDs
	if what == "role" {
		into = l.roles
	}
	if before, known := into[key]; known && before != value {
		t.Errorf("%s was acknowledged with two values for its %s", key, what)
	}
	into[key] = value
}

// onboardUntilKilled is the process that is killed. It writes a line into its
// fourth file when an external ID was handed out, and when a role was taken
// into use.
func onboardUntilKilled(t *testing.T, path, run string) {
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := newClient(t, store, path)
	acknowledge := os.NewFile(3, "acknowledged")
	var counter atomic.Int64
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for {
				// Two workers onboard each customer, so that they compete.
				n := counter.Add(1)
				if err := onboard(t.Context(), client, store, acknowledge, fmt.Sprintf("run%s-customer%d", run, n/2), n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

func onboard(ctx context.Context, client *crossaccount.Client, store *sqlite.Store, acknowledge io.Writer, customer string, n int64) error {
	response, err := client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: customer})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(acknowledge, "external-id %s/%s %s\n", customer, response.IntegrationID, response.ExternalID); err != nil {
		return err
	}
	if n%8 != 0 { // the others stay pending
		return nil
	}
	arn := fmt.Sprintf("arn:aws:iam::222222222222:role/shared-%d", n/16) // several customers want it
	for _, state := range []crossaccount.State{crossaccount.StateVerifying, crossaccount.StateActive} {
		i, err := store.Get(ctx, customer, response.IntegrationID)
		if err != nil {
			return err
		}
		i.State, i.RoleARN = state, arn
		if state == crossaccount.StateActive {
			i.PendingKey = ""
		}
		id := fmt.Sprintf("%s-%s-%s", customer, i.ID, state)
		err = store.Update(ctx, i, crossaccount.Change{
			Audit:  []crossaccount.AuditRecord{{ID: "aud-" + id, Time: time.Now(), CustomerID: customer, IntegrationID: i.ID, Action: "test", Outcome: "ok"}},
			Events: []crossaccount.Event{{ID: "evt-" + id, Time: time.Now(), Type: "test", CustomerID: customer, IntegrationID: i.ID}},
		})
		switch crossaccount.CodeOf(err) {
		case crossaccount.CodeRoleTaken, crossaccount.CodeConflict:
			return nil
		}
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(acknowledge, "role %s/%s %s\n", customer, response.IntegrationID, arn)
	return err
}

// checkWhole looks for half states: here every write of a record carries one
// audit record and one event, so all three must be equally many.
func checkWhole(t *testing.T, db *sql.DB) {
	t.Helper()
	differs := func(table string) string {
		return `SELECT count(*) FROM (SELECT customer_id, id, version FROM integrations EXCEPT
			SELECT customer_id, integration_id, count(*) FROM ` + table + ` GROUP BY customer_id, integration_id)`
	}
	orphans := func(table string) string {
		return `SELECT count(*) FROM (SELECT customer_id, integration_id FROM ` + table + ` EXCEPT SELECT customer_id, id FROM integrations)`
	}
	for what, query := range map[string]string{
		"integrations with too few or too many audit records": differs("audit"),
		"integrations with too few or too many events":        differs("outbox"),
		"audit records of nothing":                            orphans("audit"),
		"events of nothing":                                   orphans("outbox"),
		"integrations without their claim on the external ID": `SELECT count(*) FROM (SELECT external_id_index, customer_id, id FROM integrations EXCEPT
			SELECT external_id_index, customer_id, integration_id FROM external_ids)`,
		"roles used twice":                        `SELECT count(*) FROM (SELECT 1 FROM integrations WHERE role_key <> '' AND state <> 'revoked' GROUP BY role_key HAVING count(*) > 1)`,
		"customers with two pending integrations": `SELECT count(*) FROM (SELECT 1 FROM integrations WHERE pending_key <> '' GROUP BY customer_id HAVING count(*) > 1)`,
		"broken references":                       `SELECT count(*) FROM pragma_foreign_key_check`,
		"damages":                                 `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
	} {
		if n := number(t, db, query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// A storedIntegration is one with its external ID in the clear.
type storedIntegration struct {
	*crossaccount.Integration
	externalID string
}

// check compares what is stored with what was acknowledged.
func (l *ledger) check(t *testing.T, store *sqlite.Store, encryptor crossaccount.Encryptor) (stored []storedIntegration) {
	t.Helper()
	owners, roles := make(map[string]string), make(map[string]string)
	found := make(map[string]string)
	query := crossaccount.IntegrationQuery{AllCustomers: true}
	for {
		page, err := store.List(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Integrations {
			key := i.CustomerID + "/" + i.ID
			opened, err := encryptor.Open(t.Context(), i.SealedExternalID, crossaccount.Binding{CustomerID: i.CustomerID, IntegrationID: i.ID, Field: "external_id"})
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if owner, twice := owners[string(opened)]; twice {
				t.Errorf("%s and %s have the same external ID", owner, key)
			}
			owners[string(opened)], found[key] = key, string(opened)
			stored = append(stored, storedIntegration{i, string(opened)})
			if i.RoleARN == "" {
				continue
			}
			role, err := iam.ParseRoleARN(i.RoleARN)
			if err != nil {
				t.Fatal(err)
			}
			if owner, twice := roles[crossaccount.RoleKey(role)]; twice {
				t.Errorf("%s and %s use the same role", owner, key)
			}
			roles[crossaccount.RoleKey(role)] = key
			if arn, acknowledged := l.roles[key]; acknowledged && (arn != i.RoleARN || i.State != crossaccount.StateActive) {
				t.Errorf("%s is %s with %s; %s was acknowledged", key, i.State, i.RoleARN, arn)
			}
		}
		if query.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	for key, externalID := range l.externalIDs {
		if found[key] != externalID {
			t.Errorf("the acknowledged external ID of %s was lost", key)
		}
	}
	return stored
}

// TestTornLog plays a power failure while the log is written: it is there up to
// some byte, and what follows is missing or garbage. The database must open, be
// whole, and hold every change before that byte.
func TestTornLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "torn.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil { // the tables are in the file, the log is empty
		t.Fatal(err)
	}
	store = reopen(t, path)
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var ends []int64 // of the log, after each change
	for n := range 40 {
		i := &crossaccount.Integration{CustomerID: "acme", ID: fmt.Sprint("int-", n), State: crossaccount.StatePending, ExternalIDIndex: fmt.Append(nil, n)}
		if err := store.Create(t.Context(), i, crossaccount.Change{
			Audit:  []crossaccount.AuditRecord{{ID: fmt.Sprint("aud-", n), CustomerID: "acme", IntegrationID: i.ID}},
			Events: []crossaccount.Event{{ID: fmt.Sprint("evt-", n), CustomerID: "acme", IntegrationID: i.ID}},
		}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, size())
	}
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		at := random.IntN(len(log))
		torn := append([]byte(nil), log[:at]...)
		if n%2 == 0 {
			for len(torn) < len(log) {
				torn = append(torn, byte(random.Uint32()))
			}
		}
		folder := t.TempDir()
		copied := filepath.Join(folder, "copy.db")
		for name, data := range map[string][]byte{copied: database, copied + "-wal": torn} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		after, err := sqlite.Open(t.Context(), copied, sqlite.Options{})
		if err != nil {
			t.Fatalf("with a log torn at byte %d: %v", at, err)
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		db := raw(t, copied)
		checkWhole(t, db)
		whole := 0
		for _, end := range ends {
			if end <= int64(at) {
				whole++
			}
		}
		if got := number(t, db, "SELECT count(*) FROM integrations"); got != whole {
			t.Errorf("with a log torn at byte %d there are %d integrations, want %d", at, got, whole)
		}
	}
}
