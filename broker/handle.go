package broker

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Handle gives the credentials of one request. Its methods may be called at
// the same time.
type Handle struct{}

var _ aws.CredentialsProvider = (*Handle)(nil)

// Retrieve returns credentials that AWS accepts now. It blocks only when there
// are none, for at most a few seconds and not longer than the context lasts,
// and allocates nothing when there are.
func (h *Handle) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return h.RetrieveLasting(ctx, 0)
}

// RetrieveLasting is Retrieve for readers that keep the credentials: it returns
// some that last at least that long, unless they cannot be renewed, then what
// is still valid. Reading so makes the entry's class [HTTPRead].
func (h *Handle) RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	return aws.Credentials{}, &Error{Code: CodeUnavailable, Message: "not built yet"}
}

// Invalidate says that AWS did not accept the credentials with this access key.
// They are dropped and new ones obtained, unless they have been replaced
// already.
func (h *Handle) Invalidate(accessKeyID string) {}

// Recheck asks AWS anew, whatever was answered before, at most once a second,
// and returns its answer: nil if it issued credentials.
func (h *Handle) Recheck(ctx context.Context) error { return nil }

// Config returns a copy of the broker's own AWS configuration with this handle's
// credentials and the region, "" for the home region. All of them share one HTTP
// client. When AWS says that the credentials have expired, they are invalidated
// and the SDK tries again with others.
func (h *Handle) Config(region string) aws.Config { return aws.Config{} }

// Subject returns whom the handle is for.
func (h *Handle) Subject() Subject { return Subject{} }

// Key returns the key of the entry.
func (h *Handle) Key() Key { return Key{} }

// Status returns what is known without asking AWS.
func (h *Handle) Status() Status { return Status{} }

// A Status is the state of an entry.
type Status struct {
	State       State
	Class       Class
	AccessKeyID string // of the credentials at hand, "" if none
	Expires     time.Time
	RefreshAt   time.Time // when they will be renewed
	LastRead    time.Time
	Err         *Error // why the last call failed, nil if it did not
	RetryAt     time.Time
}

// State of an entry. Its text is stable.
type State string

const (
	StateCold      State = "cold"      // never read, or lapsed
	StateWarm      State = "warm"      // valid credentials, nothing wrong
	StateFailing   State = "failing"   // valid credentials, renewing fails
	StateSuspect   State = "suspect"   // valid credentials, AWS refused once
	StateDraining  State = "draining"  // valid credentials, trust withdrawn, used up
	StateWithdrawn State = "withdrawn" // none, trust withdrawn
	StateRefused   State = "refused"   // none, AWS refuses
	StateDown      State = "down"      // none, STS cannot be reached
	StateRevoked   State = "revoked"   // none, ended by us
)
