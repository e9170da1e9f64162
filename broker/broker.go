package broker

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/iam"
)

// A Config says how a broker works. Only AWSConfig is needed.
//
// What is given here to be called, including the credentials provider and the HTTP
// client of AWSConfig, is called by goroutines of the broker, many at the same time.
// No lock is held, so it may use the broker and its handles; only not Close, which
// waits for it. It must return when its context ends: until then the entry it is
// called for gets no credentials, and one of MaxConcurrent is taken. If it panics
// the process ends, as it does with any goroutine; the broker does not go on with
// what could not be authorized, audited or stored. Now is the exception: it is
// called under locks and must not use the broker.
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
	// withdrew its trust; Stop if not given. When most customers seem to do so
	// at once, it is not believed ([EventOwnIdentity]).
	Withdrawn Withdrawal

	// MaxPerSecond limits the calls of STS per region, 300 if 0. AWS allows 600
	// per account and region by default, for all callers of the account.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	MaxPerSecond float64
	// CustomerRate limits the calls of STS for one integration: Burst at once
	// and one every Every after that; 10 and 5 s if zero.
	CustomerRate Rate
	// MaxConcurrent limits the calls of STS under way, 64 if 0, which is 300 a
	// second of 200 ms each.
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
//
// It has goroutines and renews credentials until it is closed, whether somebody
// still refers to it or not.
type Broker struct {
	config    Config
	partition string
	purposes  map[string]*Purpose // :: name → purpose
	ground    encoded             // what all keys have in common
	owner     string              // our name in the shared store

	clock     clock
	base      *aws.CredentialsCache
	regions   []*region // home first
	customers *customerBudget
	hedges    hedgeBudget
	fleet     fleet
	shards    [shards]shard
	schedule  *schedule
	lapses    lapses
	revoked   revocations
	counts    counts

	random struct {
		sync.Mutex
		*rand.Rand
	}

	context context.Context // of everything in the background
	cancel  context.CancelFunc
	closed  atomic.Bool
	flying  sync.WaitGroup // goroutines
}

// New returns a broker. It calls nobody: a wrong configuration is an error, a
// wrong identity shows with the first handle. It must be closed with
// [Broker.Close].
func New(config Config) (*Broker, error) {
	config, err := checkedConfig(config)
	if err != nil {
		return nil, err
	}
	config.Regions = slices.Clone(config.Regions)
	config.AWSConfig = config.AWSConfig.Copy()
	config.AWSConfig.Region = config.Regions[0]
	config.AWSConfig.HTTPClient = sharedClient(config.AWSConfig.HTTPClient)
	var elapsed func() time.Duration
	if config.Now == nil {
		began := time.Now()
		config.Now, elapsed = time.Now, func() time.Duration { return time.Since(began) }
	}
	if config.Random == nil {
		config.Random = cryptorand.Reader
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	var seed [48]byte
	if _, err := io.ReadFull(config.Random, seed[:]); err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: "the source of randomness failed", cause: err}
	}
	partition, _ := iam.PartitionOfRegion(config.Regions[0])
	b := &Broker{
		config:    config,
		partition: partition.ID,
		purposes:  map[string]*Purpose{},
		ground:    encode(partition.ID, config.BaseIdentity, &Role{}),
		owner:     hex.EncodeToString(seed[:16]),
		customers: newCustomerBudget(config.CustomerRate),
		schedule:  newSchedule(),
	}
	b.hedges.perSecond = config.MaxPerSecond / 10
	b.random.Rand = rand.New(rand.NewChaCha8([32]byte(seed[16:])))
	b.clock.source, b.clock.elapsed = config.Now, elapsed
	b.clock.settle()
	for _, p := range config.Purposes {
		p.PolicyARNs = slices.Clone(p.PolicyARNs)
		b.purposes[p.Name] = &p
	}
	for i := range b.shards {
		b.shards[i].entries = map[uint64]*Handle{}
	}
	cache, ok := config.AWSConfig.Credentials.(*aws.CredentialsCache)
	if !ok {
		cache = aws.NewCredentialsCache(config.AWSConfig.Credentials)
	}
	b.base = cache
	for i := range config.Regions {
		b.regions = append(b.regions, newRegion(&b.config, i))
	}
	b.context, b.cancel = context.WithCancel(context.Background())
	b.flying.Go(func() { b.run(b.context) })
	if config.CoarseClock > 0 {
		b.clock.coarse.Store(b.clock.now())
		b.flying.Go(func() { b.tick(b.context) })
	}
	return b, nil
}

// Close ends renewing and waits for calls of STS under way, which it cancels,
// at most until the context ends. Handles return an error with [CodeClosed]
// from then on.
func (b *Broker) Close(ctx context.Context) error {
	if !b.closed.Swap(true) {
		b.cancel()
		for i := range b.shards {
			sh := &b.shards[i]
			sh.Lock()
			for _, h := range sh.entries {
				for ; h != nil; h = h.next {
					h.current.Store(nil)
					b.schedule.remove(h)
					if f := h.flight; f != nil {
						h.flight = nil
						f.end(nil, errClosed)
					}
				}
			}
			sh.Unlock()
		}
	}
	done := make(chan struct{})
	go func() {
		b.flying.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return &Error{Code: CodeCanceled, Message: "calls of STS are still under way", cause: context.Cause(ctx)}
	}
}

// Prewarm obtains credentials for the requests in the background, as fast as the
// budget of calls allows and after those that callers wait for, and waits for
// them until the context ends. It returns the errors of those that failed,
// joined, and asks for none if one of the requests is invalid.
func (b *Broker) Prewarm(ctx context.Context, requests []Request) error {
	handles := make([]*Handle, len(requests))
	var failed []error
	for i, r := range requests {
		h, err := b.For(r)
		if err != nil {
			failed = append(failed, fmt.Errorf("request %d: %w", i+1, err))
		}
		handles[i] = h
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	flights := make([]*flight, len(handles))
	for i, h := range handles {
		f, err := b.prewarm(h)
		if err != nil {
			failed = append(failed, fmt.Errorf("request %d: %w", i+1, err))
		}
		flights[i] = f
	}
	for i, f := range flights {
		if f == nil {
			continue
		}
		select {
		case <-f.done:
			if f.err != nil {
				failed = append(failed, fmt.Errorf("request %d: %w", i+1, f.err))
			}
		case <-ctx.Done():
			failed = append(failed, &Error{Code: CodeCanceled, Message: "not all credentials could be obtained in time; the rest are still being obtained", cause: context.Cause(ctx)})
			return errors.Join(failed...)
		}
	}
	return errors.Join(failed...)
}

// prewarm returns the flight of an entry that has no valid credentials.
func (b *Broker) prewarm(h *Handle) (*flight, *Error) {
	sh := b.shardOf(h.key)
	sh.Lock()
	if other := h.adopt(sh); other != nil { // it was forgotten a moment ago
		sh.Unlock()
		return b.prewarm(other)
	}
	defer sh.Unlock()
	now := b.clock.now()
	h.lastRead.Store(now)
	if s, err := h.atHand(now, 0); s != nil || err != nil {
		return nil, err
	}
	return b.join(h, now, atLeisure(now))
}

// spread returns a random number from 0 up to 1.
func (b *Broker) spread() float64 {
	b.random.Lock()
	defer b.random.Unlock()
	return b.random.Float64()
}

// between returns a random duration, in nanoseconds.
func (b *Broker) between(low, high time.Duration) int64 {
	return int64(low) + int64(b.spread()*float64(high-low))
}

// counts are what Stats adds up.
type counts struct {
	waiting                        atomic.Int64
	waits, calls, hedges, failures atomic.Uint64
	issued, shared, storeFailures  atomic.Uint64
}
