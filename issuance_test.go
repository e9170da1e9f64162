package crossaccount_test

import (
	"context"
	"fmt"
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
