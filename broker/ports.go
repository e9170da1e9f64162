package broker

import (
	"context"
	"time"
)

// A Subject is whom a record or an event is about.
type Subject struct {
	Customer    string
	Integration string
	Purpose     string
	RoleARN     string // the role assumed, the last of the chain unless an earlier one was
	SessionName string
	Key         Key
}

// An Issuance is one session that STS issued to us.
type Issuance struct {
	Subject
	// AccessKeyID is what joins this record with the customer's CloudTrail.
	AccessKeyID string
	Expires     time.Time
	IssuedAt    time.Time
	Region      string // of the STS endpoint
	RequestID   string // of STS
	// PackedPolicySize is the percentage of their limit that session policies
	// and tags use, and SessionTokenUtilization that of the largest token, as
	// STS reports them; 0 if it does not.
	PackedPolicySize        int
	SessionTokenUtilization int
}

// EventKind says what happened. Its text is stable.
type EventKind string

const (
	// EventRefused means that AWS refused and no valid credentials are at hand.
	EventRefused EventKind = "refused"
	// EventSuspected means that AWS refused while valid credentials are at hand. It will
	// be asked once more before anything is done.
	EventSuspected EventKind = "suspected"
	// EventWithdrawn means that AWS refused again; the customer no longer trusts us. The
	// credentials were dropped or, with [Drain], are used up.
	EventWithdrawn EventKind = "withdrawn"
	// EventRestored means that AWS issued credentials again after one of the above.
	EventRestored EventKind = "restored"
	// EventFailing means that renewing failed for a reason that passes; credentials that
	// are still valid are handed out.
	EventFailing EventKind = "failing"
	// EventLapsed means that nobody read the entry for two sessions; its credentials
	// were dropped.
	EventLapsed EventKind = "lapsed"
	// EventOwnIdentity means that so many customers refuse at once that it is rather our
	// own identity, or its policies, that changed. As long as that lasts no
	// credentials are dropped. It has no subject.
	EventOwnIdentity EventKind = "own_identity"
	// EventRegionDown means that the circuit breaker of a region opened. It has
	// no subject.
	EventRegionDown EventKind = "region_down"
	// EventRegionUp means that it closed.
	EventRegionUp EventKind = "region_up"
)

// An Event is something an operator may have to know.
type Event struct {
	Kind    EventKind
	At      time.Time
	Subject Subject
	Region  string
	Code    Code      // of the failure, if one
	Expires time.Time // of the credentials at hand, zero if none
}

// A Call is one request to STS, for metrics.
type Call struct {
	Region  string
	Code    string // "" if it succeeded, else the error code of STS, or "timeout", "connection" and the like
	Took    time.Duration
	Hedge   bool // it was a second request for the same session
	Renewal bool // valid credentials were at hand
}

// An Observer is told what the broker does. Its methods are called from the
// goroutines that call STS, never from [Handle.Retrieve]; they may be called at
// the same time and should be quick.
type Observer interface {
	// Issued records one session. If it returns an error the session is not
	// used: what cannot be audited is not handed out.
	Issued(ctx context.Context, issuance Issuance) error
	// Happened reports an event.
	Happened(event Event)
	// Called reports a call of STS.
	Called(call Call)
}

// A Sealer encrypts credentials for a [SharedStore] and decrypts them. Both are
// authenticated together with the associated data, which Open must be given
// unchanged.
type Sealer interface {
	Seal(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	Open(ctx context.Context, sealed, associatedData []byte) ([]byte, error)
}

// Sealed is one session as a [SharedStore] holds it.
type Sealed struct {
	Expires time.Time // to the second, UTC; part of the associated data
	Data    []byte
}

// A SharedStore lets several brokers of the same identity share sessions, and
// one that restarts find those it had. It holds nothing that can be read
// without the [Sealer]. Losing it, or its content, costs calls of STS and
// nothing else: the broker never fails because of it and waits for it only
// briefly, so its methods must obey the context's deadline.
type SharedStore interface {
	// Get returns what Put stored last under the key, and false if there is
	// nothing or it has expired.
	Get(ctx context.Context, key Key) (Sealed, bool, error)
	// Put stores the entry until entry.Expires, replaces what was there, and
	// ends the claim of the key, whoever holds it.
	Put(ctx context.Context, key Key, entry Sealed) error
	// Claim makes owner the one that calls STS for the key until the lease
	// passes or Put is called. It returns false if another owner holds it; it
	// succeeds for the owner that already does. Claims of one key are
	// linearizable: of several owners at once one wins.
	Claim(ctx context.Context, key Key, owner string, lease time.Duration) (bool, error)
	// Release ends the owner's claim without a Put; it is no error if the owner
	// holds none.
	Release(ctx context.Context, key Key, owner string) error
	// Delete removes the entry and any claim.
	Delete(ctx context.Context, key Key) error
}
