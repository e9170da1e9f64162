package sandboxtest_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	soakTenants  = 12                     // accounts of customers
	soakUsers    = 3                      // goroutines that use each customer's role
	soakIAMDelay = 200 * time.Millisecond // until changes of IAM have an effect
	soakSecret   = "SoakSecret"           // what every external ID begins with
)

// TestSoak lets a vendor onboard customers, use their roles from many
// goroutines, notice roles that their owners spoil and mend, and offboard
// customers, for as long as CROSSACCOUNT_SOAK says. AWS is slow to apply
// changes, throttles, fails, loses requests and answers; callers give up.
// Meanwhile nobody may ever see another customer's data, no log or error may
// show a secret, and every change of state must be legal. In the end nothing
// may be left behind: no goroutine, no growing memory.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("CROSSACCOUNT_SOAK"))
	if err != nil {
		t.Skip("this test takes long: run `make soak`, or set CROSSACCOUNT_SOAK to a duration such as 10m")
	}
	goroutines, memory := runtime.NumGoroutine(), heap()
	s := newSoak(t)

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var working sync.WaitGroup
	for _, tenant := range s.tenants {
		working.Go(func() { tenant.own(ctx) })
		for range soakUsers {
			working.Go(func() { tenant.use(ctx) })
		}
	}
	relaying, stopRelay := context.WithCancel(t.Context())
	var relay sync.WaitGroup
	relay.Go(func() { s.relay(relaying) })

	growth := s.watchMemory(ctx, length)
	working.Wait()
	s.faults.off.Store(true)
	for _, tenant := range s.tenants {
		tenant.settle(t.Context())
	}
	stopRelay()
	relay.Wait()

	s.checkEnd(t.Context())
	s.report(length)
	if growth > 24<<10 {
		t.Errorf("memory grows by %d bytes for every audit record, which is more than what is kept for it", growth)
	}
	s.faults.Close()
	*s = soak{T: t}
	if left := settledGoroutines(goroutines); left > goroutines {
		var stacks bytes.Buffer
		err := pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		t.Errorf("%d goroutines before, %d after (%v):\n%s", goroutines, left, err, &stacks)
	}
	if left := heap(); left > memory+8<<20 {
		t.Errorf("%d kB of memory before, %d kB after everything was dropped", memory>>10, left>>10)
	} else {
		t.Logf("%d kB of memory before, %d kB after", memory>>10, left>>10)
	}
}

// A soak is what the tenants share.
type soak struct {
	*testing.T
	box     *sandboxtest.Sandbox
	store   *watchedStorage
	faults  *faults
	config  *crossaccount.Config
	options []crossaccount.Option
	tenants []*tenant

	// Two instances of the service share the storage. Now and then one of them
	// is replaced, as in a deployment.
	mu        sync.Mutex
	instances [2]*crossaccount.Client

	states sync.Map // of integrations by id, replayed from the outbox
	moves  tally
	seen   tally // what the calls gave
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	accounts := []string{vendorID}
	for i := range soakTenants {
		accounts = append(accounts, fmt.Sprintf("2%011d", i))
	}
	logger := slog.New(slog.NewJSONHandler(&secretFinder{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	box := sandboxtest.NewWith(t, sandbox.Options{IAMDelay: soakIAMDelay, StackStep: 10 * time.Millisecond, Logger: logger}, accounts...)
	s := &soak{T: t, box: box, store: &watchedStorage{MemoryStorage: crossaccount.NewMemoryStorage(), t: t}, faults: &faults{to: box.RoundTripper()}}

	vendor := box.Account(vendorID)
	broker := vendor.User("broker", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::soak-templates/*"}]}`)
	probe := vendor.User("probe", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	canary := vendor.Role("canary", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+vendorID+`"},"Action":"sts:AssumeRole"}]}`, nil)

	keys, err := crossaccount.GenerateKeySet(strings.NewReader(strings.Repeat("keys of the soak, not random. ", 10)))
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	s.config = &crossaccount.Config{
		ServiceName: "Soak", ServiceAccountID: vendorID, AWSConfig: vendor.Config(), TemplateS3Bucket: "soak-templates", ExternalIDPrefix: soakSecret,
		OngoingPermissions: []crossaccount.Permission{{Sid: "Read", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::data-*/*"}}},
	}
	operator, err := crossaccount.New(s.config, crossaccount.WithLogger(logger))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.config.AWSConfig = broker
	s.options = []crossaccount.Option{
		crossaccount.WithStorage(s.store), crossaccount.WithEncryption(encryptor), crossaccount.WithLogger(logger),
		crossaccount.WithProbe(probe), crossaccount.WithCanaryRole(canary), crossaccount.WithPatience(2 * time.Second),
		crossaccount.WithHTTPClient(&http.Client{Transport: s.faults}),
	}
	pause(t.Context(), soakIAMDelay) // until the broker's access key works
	s.deploy(0)
	s.deploy(1)
	for _, id := range accounts[1:] {
		tenant := &tenant{soak: s, account: id, admin: box.Account(id).Config(), content: "of " + id}
		client := s3.NewFromConfig(tenant.admin)
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: tenant.bucket()}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: tenant.bucket(), Key: aws.String("report"), Body: strings.NewReader(tenant.content)}); err != nil {
			t.Fatal(err)
		}
		s.tenants = append(s.tenants, tenant)
	}
	return s
}

// deploy replaces an instance of the service.
func (s *soak) deploy(i int) {
	client, err := crossaccount.New(s.config, s.options...)
	if err != nil {
		s.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[i] = client
}

// client returns one of the instances, as a load balancer would.
func (s *soak) client() *crossaccount.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[rand.IntN(len(s.instances))]
}

func (s *soak) everyInstance() [2]*crossaccount.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances
}

// noted counts the outcome of a call of ours, and looks at its error: it must
// have a code, be understandable to a program, and keep secrets.
func (s *soak) noted(what string, err error, legal ...crossaccount.Code) error {
	code := crossaccount.CodeOf(err)
	switch {
	case err == nil:
		s.seen.add(what + ": done")
		return nil
	case code == "":
		s.Errorf("%s: the error has no code: %v", what, err)
	case !code.Retryable() && !slices.Contains(legal, code):
		s.Errorf("%s: unexpected %s: %v", what, code, err)
	}
	if hasSecret(fmt.Sprintf("%v %+v %#v", err, err, err)) {
		s.Errorf("%s: the error shows an external ID", what)
	}
	s.seen.add(what + ": " + string(code))
	return err
}

// relay takes events from the outbox, as other parts of a product do, and
// replays the integrations' states from them. Nothing else looks at the order
// in which things happened.
func (s *soak) relay(ctx context.Context) {
	next := map[string]crossaccount.State{
		crossaccount.ActionStarted: crossaccount.StatePending, crossaccount.ActionRejected: crossaccount.StateRejected,
		crossaccount.ActionActivated: crossaccount.StateActive, crossaccount.ActionDegraded: crossaccount.StateDegraded,
		crossaccount.ActionRecovered: crossaccount.StateActive, crossaccount.ActionDisconnected: crossaccount.StateDisconnected,
		crossaccount.ActionRevoked: crossaccount.StateRevoked, crossaccount.ActionExpired: crossaccount.StateExpired,
	}
	for last := false; !last; {
		last = ctx.Err() != nil // what is there now is all there will be
		for {
			events, err := s.store.Outbox(context.WithoutCancel(ctx), 100)
			if err != nil {
				s.Error(err)
				return
			}
			if len(events) == 0 {
				break
			}
			for _, event := range events {
				known, started := s.states.Load(event.IntegrationID)
				state, _ := known.(crossaccount.State)
				to, moves := next[event.Type]
				if event.Type == crossaccount.ActionVerifying && state.Open() {
					to, moves = crossaccount.StateVerifying, true
				}
				switch {
				case !started && event.Type != crossaccount.ActionStarted:
					s.Errorf("%s is the first event of %s", event.Type, event.IntegrationID)
				case moves && started && !state.CanBecome(to):
					s.Errorf("%s became %s after it was %s", event.IntegrationID, to, state)
				}
				if moves {
					s.states.Store(event.IntegrationID, to)
					s.moves.add(string(state) + " → " + string(to))
				}
				if err := s.store.Acknowledge(context.WithoutCancel(ctx), event.ID); err != nil {
					s.Error(err)
				}
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// watchMemory waits for the end and returns by how many bytes the memory grew
// for every audit record, once everything was warm. Memory storage keeps audit
// records for ever, and most stand for something that the sandbox keeps too,
// such as a session.
func (s *soak) watchMemory(ctx context.Context, length time.Duration) int64 {
	var memory, records []int64
	for range 6 {
		pause(ctx, length/6)
		memory, records = append(memory, heap()), append(records, s.store.written.Load())
		s.Logf("%d kB of memory, %d audit records", memory[len(memory)-1]>>10, records[len(records)-1])
	}
	<-ctx.Done()
	return (memory[5] - memory[1]) / max(1, records[5]-records[1])
}

// checkEnd looks at every integration that there is.
func (s *soak) checkEnd(ctx context.Context) {
	owners, indexes := map[string]string{}, map[string]bool{}
	query := crossaccount.IntegrationQuery{AllCustomers: true}
	count := 0
	for {
		page, err := s.store.List(ctx, query)
		if err != nil {
			s.Fatal(err)
		}
		for _, i := range page.Integrations {
			count++
			if replayed, _ := s.states.Load(i.ID); replayed != i.State {
				s.Errorf("%s is %s, and its events say %v", i.ID, i.State, replayed)
			}
			if index := string(i.ExternalIDIndex); index == "" || indexes[index] {
				s.Errorf("%s has the external ID of another integration, or none", i.ID)
			}
			indexes[string(i.ExternalIDIndex)] = true
			if i.RoleARN != "" && i.State != crossaccount.StateRevoked {
				if owners[i.RoleARN] != "" {
					s.Errorf("%s has the role of %s", i.ID, owners[i.RoleARN])
				}
				owners[i.RoleARN] = i.ID
			}
			account, _, _ := strings.Cut(strings.TrimPrefix(i.CustomerID, "customer-"), "-")
			if i.State.Usable() && (i.AccountID != account || i.Verification == nil || !strings.Contains(i.RoleARN, account)) {
				s.Errorf("%s of %s is %s with %q in account %q", i.ID, i.CustomerID, i.State, i.RoleARN, i.AccountID)
			}
		}
		if page.Next == "" {
			break
		}
		query.Cursor = page.Next
	}
	if count < soakTenants {
		s.Errorf("only %d integrations were started", count)
	}
	for _, call := range s.box.Calls() {
		for _, d := range call.Decisions {
			if hasSecret(d.Explain().String() + d.Deciding()) {
				s.Errorf("the sandbox's record of %s shows an external ID", call.RequestID)
			}
		}
	}
}

// report logs what happened and fails if next to nothing did.
func (s *soak) report(length time.Duration) {
	for _, part := range []struct {
		name  string
		tally *tally
	}{{"calls", &s.seen}, {"changes of state", &s.moves}, {"faults", &s.faults.made}} {
		s.Logf("%s:\n%s", part.name, part.tally)
	}
	must := []string{"store: done", "assume: done", "read: done", "write: AccessDenied"}
	if length >= 30*time.Second {
		must = append(must, "check: done", "revoke: done", "assume: cancelled", "spoiled: noticed", "mended: noticed")
	}
	for _, what := range must {
		if s.seen.of(what) == 0 {
			s.Errorf("%q never happened, so this soak showed little", what)
		}
	}
}
