package broker

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Config says how a broker works. Only AWSConfig is needed.
type Config struct {
	// AWSConfig has the credentials of the broker's own identity. Its region is
	// the home region unless Regions is given. Its HTTPClient, if one is set, is
	// used for STS and handed out in every configuration; otherwise one client
	// is made for all of them.
	AWSConfig aws.Config

	// Regions are those whose STS endpoints are used, the home region first, all
	// of one partition. A second one takes over when the first is down.
	Regions []string

	// BaseIdentity names the identity of AWSConfig, for example its role ARN.
	// It is part of every key, so that another identity (or generation of it)
	// never finds the sessions of this one in a shared store.
	BaseIdentity string

	// Purposes that requests may name.
	Purposes []Purpose

	// Withdrawn says what happens to valid credentials when the customer
	// withdrew its trust; Stop if not given.
	Withdrawn Withdrawal

	// MaxPerSecond limits the calls of STS per region, 300 if 0. AWS allows 600
	// per account and region by default, for all callers of the account.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	MaxPerSecond float64
	// CustomerRate limits the calls of STS for one integration: Burst at once
	// and one every Every after that; 10 and 5 s if zero.
	CustomerRate Rate
	// MaxConcurrent limits the calls of STS under way, 256 if 0.
	MaxConcurrent int

	// CoarseClock, if not 0, lets the hot path read a clock that is this old at
	// most while the process runs, instead of the time itself. That makes
	// [Handle.Retrieve] about five times as fast, at a price: when the process
	// was stopped for long (SIGSTOP, a suspended machine), a reader may get
	// credentials that expired meanwhile, until the clock is read anew, which
	// takes this long or a little longer. 0 is always right.
	CoarseClock time.Duration

	// Authorize, if not nil, is asked before every call of STS for a customer,
	// so that a revoked integration gets no new credentials wherever its handles
	// went. If the error it returns has the code [CodeRevoked] (see [Revoked])
	// the credentials at hand are dropped as well; any other error counts as
	// unavailable.
	Authorize func(ctx context.Context, subject Subject) error

	Observer    Observer    // nil observes nothing
	SharedStore SharedStore // nil shares nothing; needs Sealer
	Sealer      Sealer

	Now    func() time.Time // time.Now if nil
	Random io.Reader        // crypto/rand if nil
	Logger *slog.Logger     // discards if nil
}

// A Rate is a token bucket.
type Rate struct {
	Burst int
	Every time.Duration
}

// Withdrawal says what to do with credentials that are still valid when the
// customer's trust is gone.
type Withdrawal uint8

const (
	// Stop drops them: the customer said no.
	Stop Withdrawal = iota
	// Drain uses them until they expire.
	Drain
)

// A Broker keeps credentials ready. Its methods may be called at the same time.
type Broker struct {
	config Config
}

// New returns a broker. It calls nobody: a wrong configuration is an error, a
// wrong identity shows with the first handle. Close it when it is not needed.
func New(config Config) (*Broker, error) {
	return &Broker{config: config}, nil
}

// Close ends renewing and waits for calls of STS under way, at most until the
// context ends. Handles return an error with [CodeClosed] from then on.
func (b *Broker) Close(ctx context.Context) error { return nil }

// For returns the handle for a request. It makes no call: the first Retrieve
// does, or [Broker.Prewarm]. Equal requests get the same handle; keep it rather
// than ask each time, because For hashes the request.
func (b *Broker) For(request Request) (*Handle, error) {
	return nil, &Error{Code: CodeUnavailable, Message: "not built yet"}
}

// Prewarm obtains credentials for the requests in the background, as fast as the
// budget of calls allows, and waits for them until the context ends. It returns
// the errors of those that failed, joined.
func (b *Broker) Prewarm(ctx context.Context, requests []Request) error { return nil }

// Forget drops the credentials of an integration (of all of the customer's if
// integration is empty), here and in the shared store, and returns how many
// entries there were. Handles stay usable and obtain new ones.
func (b *Broker) Forget(customer, integration string) int { return 0 }

// Revoke is Forget, but handles that exist return an error with [CodeRevoked]
// for ever. A later [Broker.For] makes new ones.
func (b *Broker) Revoke(customer, integration string) int { return 0 }

// Stats returns counts since the broker was made, and what it holds now.
func (b *Broker) Stats() Stats { return Stats{} }

// Stats are counts for metrics.
type Stats struct {
	Entries     int // interned handles
	Warm        int // of them, those with valid credentials
	Queued      int // waiting for the budget of calls
	Flights     int // calls under way
	Waiting     int // callers that wait now
	Waits       uint64
	Calls       uint64 // to STS, all regions
	Hedges      uint64 // of them, second requests
	Failures    uint64 // of them, those without credentials
	Issued      uint64 // sessions from STS
	Shared      uint64 // sessions from the shared store
	OpenRegions int    // regions whose breaker is open
}
