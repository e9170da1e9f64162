package crossaccount_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// events remembers what a broker's observer is told.
type events struct {
	mu   sync.Mutex
	seen map[broker.EventKind]int
}

func (e *events) Issued(context.Context, broker.Issuance) error { return nil }
func (e *events) Called(broker.Call)                            {}
func (e *events) Happened(event broker.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = map[broker.EventKind]int{}
	}
	e.seen[event.Kind]++
}

func (e *events) count(kind broker.EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[kind]
}

// When our own identity may no longer assume roles, every customer seems to
// withdraw its trust. There are so many that five of them do before the first one
// is asked again, 30 s later. Nobody loses anything for it: the log says what it is and
// what to do, once, and credentials are used until they expire.
func TestOurOwnIdentityIsNotTheCustomersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(events)
		w := newWorld(t)
		w.config.SessionDuration = 15 * time.Minute // renewed within a minute
		w.client = w.newClient(crossaccount.WithBrokerObserver(seen))
		configs := map[string]aws.Config{}
		for i := range 40 {
			customer := fmt.Sprint("customer-", i)
			started := w.start(customer)
			role := w.box.Account(oneID).Role(customer, trustWith("StringEquals", started.ExternalID), nil)
			if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: customer, RoleARN: role}); err != nil {
				t.Fatal(err)
			}
			config, err := w.client.AssumeCustomerRole(t.Context(), customer)
			if err != nil {
				t.Fatal(err)
			}
			configs[customer] = config
		}
		time.Sleep(broker.Patience)
		ours := iam.NewFromConfig(w.box.Account(vendorID).Config())
		deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}]}`
		name := "denied"
		if _, err := ours.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("secret-broker-name"), PolicyName: &name, PolicyDocument: &deny}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12*time.Minute + 30*time.Second) // renewals are over, sessions are not
		synctest.Wait()
		for customer, config := range configs {
			if _, err := config.Credentials.Retrieve(t.Context()); err != nil {
				t.Errorf("%s lost credentials that AWS accepts: %v", customer, err)
			}
			if i := w.only(customer); i.State != crossaccount.StateActive {
				t.Errorf("%s is %s for %q, and it is our fault", customer, i.State, i.DegradedReason)
			}
		}
		if seen.count(broker.EventOwnIdentity) == 0 || seen.count(broker.EventWithdrawn) > 0 {
			t.Errorf("the observer was told %v", seen.seen)
		}
		const message = "which points at our own identity"
		log := w.log.String()
		if n := strings.Count(log, message); n != seen.count(broker.EventOwnIdentity) || !strings.Contains(log, "check that the broker's role exists and that its own policies allow sts:AssumeRole") {
			t.Errorf("the log says it %d times, the observer was told %d times", n, seen.count(broker.EventOwnIdentity))
		}
		for line := range strings.Lines(log) {
			if strings.Contains(line, message) && !strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("not an error in the log: %s", line)
			}
		}

		// Mended before they expire, nobody noticed.
		if _, err := ours.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: aws.String("secret-broker-name"), PolicyName: &name}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		for customer, config := range configs {
			if _, err := config.Credentials.Retrieve(t.Context()); err != nil {
				t.Errorf("after it was mended, %s: %v", customer, err)
			}
		}
	})
}

// An observer hears everything, and what it does not take note of is not used.
func TestObserversHaveASay(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	seen := &stubborn{refuses: true}
	client := w.newClient(crossaccount.WithBrokerObserver(seen))
	if _, err := client.AssumeCustomerRole(t.Context(), "one"); err == nil {
		t.Error("a session is used that the observer did not take note of")
	}
	if calls, issued := seen.counts(); calls == 0 || issued == 0 {
		t.Errorf("the observer heard of %d calls and %d sessions", calls, issued)
	}
	client = w.newClient(crossaccount.WithBrokerObserver(new(stubborn)))
	if _, err := client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Error(err)
	}
}

type stubborn struct {
	events
	refuses       bool
	calls, issued int // guarded by events.mu
}

func (s *stubborn) counts() (calls, issued int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.issued
}

func (s *stubborn) Called(broker.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
}

func (s *stubborn) Issued(context.Context, broker.Issuance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	if s.refuses {
		return errors.New("the collector is full")
	}
	return nil
}

// A single refusal may be IAM's delay: the integration is checked only when it was
// confirmed.
func TestASuspicionDegradesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(events)
		w := newWorld(t, crossaccount.WithBrokerObserver(seen))
		role := w.onboard("one", oneID)
		config, err := w.client.Config(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		arnOf(t, config)
		time.Sleep(broker.Patience)
		customer := iam.NewFromConfig(w.box.Account(oneID).Config())
		name := role[strings.LastIndex(role, "/")+1:]
		made, err := customer.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name})
		if err != nil {
			t.Fatal(err)
		}
		before, err := url.QueryUnescape(*made.Role.AssumeRolePolicyDocument)
		if err != nil {
			t.Fatal(err)
		}
		trust := func(policy string) {
			if _, err := customer.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &policy}); err != nil {
				t.Fatal(err)
			}
		}
		trust(trustWith("StringEquals", "another"))
		for i := 0; seen.count(broker.EventSuspected) == 0 && i < 3600; i++ {
			time.Sleep(time.Second)
		}
		trust(before)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if seen.count(broker.EventSuspected) == 0 || seen.count(broker.EventWithdrawn) > 0 {
			t.Errorf("the observer was told %v", seen.seen)
		}
		if i := w.only("one"); i.State != crossaccount.StateActive {
			t.Errorf("the integration is %s", i.State)
		}
		for _, record := range w.audit("one") {
			if strings.HasPrefix(record, crossaccount.ActionDegraded) || strings.HasPrefix(record, crossaccount.ActionRecovered) {
				t.Errorf("after a suspicion: %s", record)
			}
		}
	})
}

// A role that was taken into use a moment ago and is refused may be one that IAM
// has not spread yet.
func TestNewRolesAreGivenTime(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	name, trust := role[strings.LastIndex(role, "/")+1:], trustWith("StringEquals", "another")
	if _, err := iam.NewFromConfig(w.box.Account(oneID).Config()).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	_, err := w.client.AssumeCustomerRole(t.Context(), "one")
	wantCode(t, err, crossaccount.CodePropagating)
}

// Whoever can write the shared store cannot give one customer's session to another.
func TestSharedSessionsAreBoundToTheirEntry(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	w.onboard("two", twoID)
	store := broker.NewMemoryStore(time.Now)
	client := w.newClient(crossaccount.WithSharedSessions(store, nil))
	keys := map[string]broker.Key{}
	for _, customer := range []string{"one", "two"} {
		credentials, err := client.Credentials(t.Context(), customer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := credentials.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys[customer] = credentials.Subject().Key
	}
	var swapped [2]broker.Sealed
	for i, customer := range []string{"one", "two"} {
		sealed, ok, err := store.Get(t.Context(), keys[customer])
		if err != nil || !ok {
			t.Fatalf("%s: there is no session, %v", customer, err)
		}
		swapped[1-i] = sealed
	}
	for i, customer := range []string{"one", "two"} {
		if err := store.Put(t.Context(), keys[customer], swapped[i]); err != nil {
			t.Fatal(err)
		}
	}
	for customer, account := range map[string]string{"one": oneID, "two": twoID} {
		config, err := w.newClient(crossaccount.WithSharedSessions(store, nil)).AssumeCustomerRole(t.Context(), customer)
		if err != nil {
			t.Fatal(err)
		}
		if arn := arnOf(t, config); !strings.Contains(arn, account) {
			t.Errorf("the credentials of %s are %s", customer, arn)
		}
	}
}
