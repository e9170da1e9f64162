package server_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// crashVariable is how many customers TestKilledServer onboards, for more than a
// normal run: CROSSACCOUNT_TEST_CRASH_CUSTOMERS=3000.
const crashVariable = "CROSSACCOUNT_TEST_CRASH_CUSTOMERS"

// TestKilledServer kills `crossaccount serve` with SIGKILL, again and again at
// random points, while many customers onboard through its API. A request that
// got no answer is sent again with its idempotency key. In the end everybody is
// connected, exactly once, with what they were told.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	customers, atOnce := 60, 30
	if testing.Short() {
		customers = 30
	}
	if text := os.Getenv(crashVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		customers, atOnce = n, 500
	}
	folder := t.TempDir()
	w, err := servetest.NewWorld(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	c := &crashing{T: t, world: w, address: freeAddress(t), answered: make(chan struct{}, 64)}
	transport := servetest.Transport(atOnce)
	transport.ResponseHeaderTimeout = 30 * time.Second
	if c.client, err = api.NewClient("http://"+c.address, api.WithToken(servetest.Token), api.WithHTTPClient(&http.Client{Transport: transport})); err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan struct{}), make(chan int)
	process := serve(t, w, "CROSSACCOUNT_LISTEN="+c.address)
	go func() { ended <- c.killAndRestart(process, customers/12, done) }()
	all := make([]*onboarding, customers)
	numbers := make(chan int, customers)
	for n := range customers {
		numbers <- n
	}
	close(numbers)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for n := range numbers {
				all[n] = c.onboard(n)
			}
		})
	}
	workers.Wait()
	close(done)
	kills := <-ended
	c.check(all)
	if err := errors.Join(c.process.Interrupt(), c.process.Wait()); err != nil {
		t.Errorf("%v\n%s", err, c.process.Log())
	}
	checkDatabase(t, filepath.Join(folder, "crossaccount.db"), customers)
	t.Logf("%d kills, %d customers, %d requests sent again", kills, customers, c.again.Load())
	if kills < 3 || c.again.Load() == 0 {
		t.Error("that is too little to show anything")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// crashing is a server that is killed while customers use it.
type crashing struct {
	*testing.T
	world    *servetest.World
	address  string
	client   *api.Client
	process  *servetest.Process // the last one, after killAndRestart
	answered chan struct{}      // one for every answer
	again    atomic.Int64       // requests that were sent again
}

// killAndRestart kills the server whenever it has given about so many answers,
// until done is closed, and leaves one running.
func (c *crashing) killAndRestart(process *servetest.Process, about int, done <-chan struct{}) (kills int) {
	seed := uint64(time.Now().UnixNano())
	c.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for {
		for range random.IntN(2 * max(about, 1)) {
			select {
			case <-c.answered:
			case <-done:
				c.process = process
				return kills
			}
		}
		if err := process.Kill(); err != nil {
			c.Error(err)
		}
		kills++
		process = serve(c.T, c.world, "CROSSACCOUNT_LISTEN="+c.address)
	}
}

// An onboarding is what a customer was told.
type onboarding struct {
	customer string
	started  *crossaccount.IntegrationResponse
	role     string
}

func (c *crashing) onboard(n int) *onboarding {
	o := &onboarding{customer: servetest.CustomerID(n)}
	c.insist(o.customer+" start", func(ctx context.Context) (err error) {
		o.started, err = c.client.Start(ctx, &api.StartRequest{CustomerID: o.customer})
		return err
	})
	if o.started == nil {
		return o
	}
	var err error
	if o.role, err = c.world.Launch(c.Context(), servetest.AccountID(n), o.started.LaunchURL); err != nil {
		c.Error(err)
		return o
	}
	request := &api.RoleRequest{CustomerID: o.customer, RoleARN: o.role}
	c.insist(o.customer+" verify", func(ctx context.Context) error {
		report, err := c.client.Verify(ctx, o.started.IntegrationID, request)
		if err != nil {
			return err
		}
		return report.Err()
	})
	c.insist(o.customer+" complete", func(ctx context.Context) error {
		_, err := c.client.Complete(ctx, o.started.IntegrationID, request)
		return err
	})
	return o
}

// insist sends a request with its key until it has an answer that is final.
func (c *crashing) insist(key string, send func(context.Context) error) {
	ctx, cancel := context.WithTimeout(api.WithIdempotencyKey(c.Context(), key2header(key)), 8*time.Minute)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := send(ctx)
		if err == nil {
			select {
			case c.answered <- struct{}{}:
			default:
			}
			return
		}
		var ours *crossaccount.Error
		if ctx.Err() != nil || !errors.As(err, &ours) || !api.Retryable(ours.Code) {
			c.Errorf("%s: %v (%v)", key, err, crossaccount.CodeOf(err))
			return
		}
		c.again.Add(1)
		select { // as a client would
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// key2header makes an idempotency key of a text with spaces.
func key2header(key string) string { return fmt.Sprintf("%x", key) }

// check compares what there is with what customers were told, and sends every
// start once more: the key still means the same integration.
func (c *crashing) check(all []*onboarding) {
	found := make(map[string]*api.Integration)
	ctx := c.Context()
	for i, err := range c.client.All(ctx, api.ListRequest{}) {
		if err != nil {
			c.Fatal(err)
		}
		if found[i.CustomerID] != nil {
			c.Errorf("%s has two integrations", i.CustomerID)
		}
		found[i.CustomerID] = i
	}
	externalIDs := make(map[string]bool)
	for _, o := range all {
		i := found[o.customer]
		switch {
		case o.started == nil:
			continue // reported already
		case i == nil:
			c.Errorf("%s was lost", o.customer)
			continue
		case i.ID != o.started.IntegrationID || i.State != crossaccount.StateActive || i.RoleARN != o.role || i.Verification == nil || i.Candidate != nil:
			c.Errorf("%s is %+v; it was told %s with role %s", o.customer, i, o.started.IntegrationID, o.role)
		case externalIDs[o.started.ExternalID]:
			c.Errorf("%s shares its external ID", o.customer)
		}
		externalIDs[o.started.ExternalID] = true
		again, err := c.client.Start(api.WithIdempotencyKey(ctx, key2header(o.customer+" start")), &api.StartRequest{CustomerID: o.customer})
		if err != nil || *again != *o.started {
			c.Errorf("the key of %s means %+v now, %v; it meant %+v", o.customer, again, err, o.started)
		}
	}
}

// checkDatabase looks for half states: every write of an integration carries its
// audit record and its event.
func checkDatabase(t *testing.T, path string, customers int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for what, query := range map[string]string{
		"damages":           `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
		"broken references": `SELECT count(*) FROM pragma_foreign_key_check`,
		"integrations without their claim on the external ID": `SELECT count(*) FROM (SELECT external_id_index, customer_id, id FROM integrations EXCEPT
			SELECT external_id_index, customer_id, integration_id FROM external_ids)`,
		"external IDs beyond one for each customer": fmt.Sprintf(`SELECT max(0, count(*) - %d) FROM external_ids`, customers),
		"integrations whose start or activation is not in the audit exactly once": `SELECT count(*) FROM integrations i WHERE
			1 <> (SELECT count(*) FROM audit WHERE customer_id = i.customer_id AND integration_id = i.id AND action = 'integration.started') OR
			1 <> (SELECT count(*) FROM audit WHERE customer_id = i.customer_id AND integration_id = i.id AND action = 'integration.activated')`,
		"writes without an audit record": `SELECT count(*) FROM integrations i WHERE
			version > (SELECT count(*) FROM audit WHERE customer_id = i.customer_id AND integration_id = i.id)`,
		"writes without an event": `SELECT count(*) FROM integrations i WHERE
			version > (SELECT count(*) FROM outbox WHERE customer_id = i.customer_id AND integration_id = i.id)`,
	} {
		var n int
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}
