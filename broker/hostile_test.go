package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/broker"
)

// This file is about answers that are not those of STS, and about observers
// that do not do their part.

// raw is an answer in place of that of the fake.
type raw struct {
	status int
	body   string
	header http.Header
}

// rawConfig is a configuration whose STS gives these answers, or the fake's if nil.
func rawConfig(f *fakeSTS, answer func(region string) *raw) broker.Config {
	c := f.config()
	c.AWSConfig.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		a := answer(r.URL.Host)
		if a == nil {
			return f.RoundTrip(r)
		}
		h := a.header.Clone()
		if h == nil {
			h = http.Header{}
		}
		if h.Get("Date") == "" {
			h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		}
		return &http.Response{StatusCode: a.status, Request: r, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Header: h}, nil
	})}
	return c
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func issuedXML(key, secret, token, expiration string) string {
	return fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, key, secret, token, expiration)
}

// What is no usable answer of STS says nothing about the customer, gives no
// credentials, and is worth another try.
func TestGarbage(t *testing.T) {
	for name, a := range map[string]raw{
		"empty body":    {200, "", nil},
		"not XML":       {200, "<<<", nil},
		"half":          {200, issuedXML("ASIA1", "s", "t", "2100-01-01T00:00:00Z")[:200], nil},
		"HTML":          {200, "<html><body>log in</body></html>", nil},
		"no key":        {200, issuedXML("", "secret", "token", "2000-01-01T01:00:00Z"), nil},
		"no secret":     {200, issuedXML("ASIA1", "", "token", "2000-01-01T01:00:00Z"), nil},
		"no token":      {200, issuedXML("ASIA1", "secret", "", "2000-01-01T01:00:00Z"), nil},
		"no expiration": {200, issuedXML("ASIA1", "secret", "token", ""), nil},
		"expired":       {200, issuedXML("ASIA1", "secret", "token", "1999-12-31T23:59:59Z"), nil},
		"in 9999":       {200, issuedXML("ASIA1", "secret", "token", "9999-12-31T23:59:59Z"), nil},
		"redirect":      {302, "", http.Header{"Location": {"https://evil.example/"}}},
		"HTML 403":      {403, "<html><head><title>Forbidden</title></head><body><p>proxy</p></body></html>", nil},
		"HTML 404":      {404, "<html></html>", nil},
		"HTML 502":      {502, "<html></html>", nil},
		"empty 403":     {403, "", nil},
		"JSON 403":      {403, `{"message":"x"}`, nil},
		"XML no code":   {403, `<ErrorResponse><Error></Error></ErrorResponse>`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				b := start(t, rawConfig(f, func(string) *raw { return &a }))
				h := handle(t, b, access("acme"))
				c, err := h.Retrieve(context.Background())
				if err == nil {
					t.Fatalf("got %q %q %q until %s", c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires)
				}
				if broker.CodeOf(err) != broker.CodeUnavailable {
					t.Errorf("%s: %v", broker.CodeOf(err), err)
				}
			})
		})
	}
}

// The clock of something that is not STS must not be believed.
func TestDateOfAProxy(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			var proxy *raw
			b := start(t, rawConfig(f, func(string) *raw { return proxy }))
			h := handle(t, b, access("acme"))
			get(t, h)
			time.Sleep(time.Millisecond)
			proxy = &raw{503, "<html>bad gateway</html>", http.Header{"Date": {time.Now().Add(off).UTC().Format(http.TimeFormat)}}}
			_ = handle(t, b, access("other")).Recheck(context.Background())
			if s := h.Status(); s.State != broker.StateWarm {
				t.Errorf("off %s: state %s", off, s.State)
			}
			issued := time.Now()
			for time.Since(issued) < 70*time.Minute {
				_, err := h.Retrieve(context.Background())
				if age := time.Since(issued); err == nil != (age < time.Hour-time.Second) {
					t.Fatalf("off %s: with credentials issued %s ago: %v", off, age, err)
				}
				time.Sleep(time.Minute)
			}
		})
	}
}

// The home region is slow, and the hedge answers what says nothing.
func TestHedgeDoesNotSpoil(t *testing.T) {
	for _, r := range []reply{
		{after: 10 * time.Millisecond, code: "InvalidClientTokenId"},
		{after: 10 * time.Millisecond, code: "Throttling", status: 400},
		{after: 10 * time.Millisecond, code: "RegionDisabledException"},
		{after: 10 * time.Millisecond, code: "AccessDenied"},
		{after: 10 * time.Millisecond, code: "ValidationError", status: 400},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.do(func(c call) reply {
				if c.region == "us-east-1" {
					return reply{after: 450 * time.Millisecond}
				}
				return r
			})
			c := f.config()
			c.Regions = []string{"us-east-1", "us-west-2"}
			b := start(t, c)
			if _, err := handle(t, b, access("acme")).Retrieve(context.Background()); err != nil {
				t.Errorf("%s: %v", r.code, err)
			}
		})
	}
}

// An entry forgotten during a call must not come back from the store.
func TestForgottenDuringACallIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.always(reply{after: 500 * time.Millisecond})
		store := broker.NewMemoryStore(nil)
		sealer, err := broker.NewAESSealer(nil, bytes.Repeat([]byte{1}, 32))
		if err != nil {
			t.Fatal(err)
		}
		c := f.config()
		c.SharedStore, c.Sealer = store, sealer
		b := start(t, c)
		h := handle(t, b, access("acme"))
		go h.Retrieve(context.Background())
		time.Sleep(100 * time.Millisecond)
		b.Revoke("acme", "")
		time.Sleep(2 * time.Second)
		if store.Len() != 0 {
			t.Error("the revoked session is in the store")
		}
	})
}

// No session lasts longer than was asked for, whatever the answer says.
func TestLongerThanAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, rawConfig(newFake(t), func(string) *raw {
			return &raw{200, issuedXML("ASIA1", "secret", "token", time.Now().Add(72*time.Hour).UTC().Format(time.RFC3339)), nil}
		}))
		if c := get(t, handle(t, b, access("acme"))); time.Until(c.Expires) > time.Hour {
			t.Errorf("a session of an hour lasts %s", time.Until(c.Expires))
		}
	})
}

// badObserver blocks when it is to record a session.
type badObserver struct{ block chan struct{} }

func (o badObserver) Issued(ctx context.Context, _ broker.Issuance) error { <-o.block; return nil }
func (o badObserver) Happened(broker.Event)                               {}
func (o badObserver) Called(broker.Call)                                  {}

// A reader does not wait for ever for an observer that ignores its context.
func TestBlockingObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.config()
		o := badObserver{make(chan struct{})}
		c.Observer = o
		b := start(t, c)
		h := handle(t, b, access("acme"))
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		_, err := h.Retrieve(ctx)
		if broker.CodeOf(err) != broker.CodeUnavailable || time.Since(began) > 10*time.Second {
			t.Errorf("a reader waited %s for an observer that blocks: %v", time.Since(began), err)
		}
		close(o.block)
	})
}

// lapsedBlocks blocks when it is told of a lapsed entry.
type lapsedBlocks struct{ badObserver }

func (o lapsedBlocks) Issued(ctx context.Context, _ broker.Issuance) error { return nil }
func (o lapsedBlocks) Happened(e broker.Event) {
	if e.Kind == broker.EventLapsed {
		<-o.block
	}
}

// An observer that blocks on the event of a lapsed entry stops the scheduler.
func TestObserverOfLapsesBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.config()
		o := lapsedBlocks{badObserver{make(chan struct{})}}
		c.Observer = o
		b := start(t, c)
		get(t, handle(t, b, access("acme")))
		time.Sleep(3 * time.Hour)
		h := handle(t, b, access("other"))
		if _, err := h.Retrieve(context.Background()); err != nil {
			t.Errorf("%v", err)
		}
		close(o.block)
	})
}

// Everything at once, with every kind of answer, in real time. The race detector
// watches.
func TestEverythingAtOnce(t *testing.T) {
	watched(t, func() { everythingAtOnce(t) })
}

func everythingAtOnce(t *testing.T) {
	f := newFake(t)
	f.do(func(c call) reply {
		switch c.number % 9 {
		case 0:
			return denied
		case 1:
			return down
		case 2:
			return reply{hang: true}
		}
		return reply{after: time.Millisecond, lifetime: 900 * time.Millisecond}
	})
	c := f.config()
	c.CustomerRate = broker.Rate{Burst: 1000, Every: time.Millisecond}
	c.MaxPerSecond = 5000
	c.SharedStore = broker.NewMemoryStore(nil)
	c.Sealer, _ = broker.NewAESSealer(nil, bytes.Repeat([]byte{1}, 32))
	c.CoarseClock = 0
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	time.AfterFunc(time.Second, func() { close(stop) })
	var wg sync.WaitGroup
	keys := map[string]string{}
	var mu sync.Mutex
	for g := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprint("c", (g*7+i)%20)
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				h, err := b.For(access(name))
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				switch i % 11 {
				case 0:
					b.Forget(name, "")
				case 1:
					b.Revoke(name, "int-"+name)
				case 2:
					_ = h.Recheck(ctx)
				case 3:
					_ = b.Prewarm(ctx, []broker.Request{access(name), access("c1"), access("c1")})
				case 4:
					h.Status()
					b.Stats()
					h.Invalidate(h.Status().AccessKeyID)
				case 5:
					_, _ = h.RetrieveLasting(ctx, time.Second)
				default:
					if cr, err := h.Retrieve(ctx); err == nil {
						if cr.Expires.Before(time.Now().Add(-200 * time.Millisecond)) {
							t.Error("expired", time.Since(cr.Expires))
						}
						mu.Lock()
						if was, ok := keys[cr.AccessKeyID]; ok && was != name {
							t.Errorf("%s has the credentials of %s", name, was)
						}
						keys[cr.AccessKeyID] = name
						mu.Unlock()
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := b.Stats(); s.Flights != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := broker.CheckBroker(b); err != nil {
		t.Error(err)
	}
}

// Two customers, or two external IDs, never share an entry, whatever else is equal.
func TestOneRoleOfTwoCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := start(t, f.config())
		r1, r2, r3 := access("a"), access("a"), access("a")
		r2.Chain[0].ExternalID += "x"
		r3.Customer = "b"
		seen := map[string]bool{}
		for _, r := range []broker.Request{r1, r2, r3} {
			seen[get(t, handle(t, b, r)).AccessKeyID] = true
		}
		if len(seen) != 3 {
			t.Error(seen)
		}
	})
}

// Our own credentials end while customers' are in use.
func TestOwnCredentialsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.config()
		failing := false
		c.AWSConfig.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if failing {
				return aws.Credentials{}, errors.New("metadata is down")
			}
			return aws.Credentials{AccessKeyID: "AKIABASE", SecretAccessKey: "s", SessionToken: "t", CanExpire: true, Expires: time.Now().Add(10 * time.Minute)}, nil
		})
		b := start(t, c)
		h := handle(t, b, access("a"))
		get(t, h)
		failing = true
		for range 59 {
			get(t, h)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Minute)
		fails(t, h, broker.CodeUnavailable)
		failing = false
		time.Sleep(5 * time.Second)
		get(t, h)
	})
}

// Recheck asks AWS, not the store, which may have what a customer has long
// withdrawn.
func TestRecheckGoesPastTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.config()
		c.SharedStore = broker.NewMemoryStore(nil)
		sealer, err := broker.NewAESSealer(nil, bytes.Repeat([]byte{1}, 32))
		if err != nil {
			t.Fatal(err)
		}
		c.Sealer = sealer
		get(t, handle(t, start(t, c), access("acme")))
		f.always(denied)
		if err := handle(t, start(t, c), access("acme")).Recheck(context.Background()); broker.CodeOf(err) != broker.CodeRefused {
			t.Errorf("AWS refuses, and a recheck says %v", err)
		}
	})
}

// What was revoked stays so when it is forgotten later.
func TestRevokedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(t).config())
		old := handle(t, b, access("acme"))
		get(t, old)
		b.Revoke("acme", "")
		b.Forget("acme", "")
		fails(t, old, broker.CodeRevoked)
		get(t, handle(t, b, access("acme")))
		b.Forget("acme", "")
		fails(t, old, broker.CodeRevoked)
	})
}

// A configuration drops what AWS calls expired from the handle that is in use
// now, not from the one there was when it was made.
func TestConfigFollowsTheHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(t).config())
		current := handle(t, b, access("acme"))
		get(t, current)
		config := current.ConfigFollowing("", current, func() *broker.Handle { return current })
		b.Revoke("acme", "")
		next := access("acme")
		next.Chain[0].ExternalID += "x"
		current = handle(t, b, next)
		before := get(t, current)
		time.Sleep(time.Minute)
		if !config.Retryer().IsErrorRetryable(&smithy.GenericAPIError{Code: "ExpiredToken"}) {
			t.Error("the request is not tried again")
		}
		if after := get(t, current); after.AccessKeyID == before.AccessKeyID {
			t.Error("credentials that AWS calls expired are still in use")
		}
	})
}

// A role of our own on the way to customers' is used to its end when it is
// refused, whatever becomes of customers' roles then.
func TestSharedRoleIsUsedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := start(t, f.config())
		viaHub := func(customer string) broker.Request {
			r := access(customer)
			r.Chain = append([]broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub", Shared: true}}, r.Chain...)
			return r
		}
		get(t, handle(t, b, viaHub("acme")))
		f.do(func(c call) reply {
			if strings.HasSuffix(c.role(), ":role/hub") {
				return denied
			}
			return granted(c)
		})
		time.Sleep(57*time.Minute + 30*time.Second)
		get(t, handle(t, b, viaHub("other")))

		// When it is over, no customer withdrew anything.
		time.Sleep(5 * time.Minute)
		fails(t, handle(t, b, viaHub("third")), broker.CodeRefused)
	})
}

// A call that ends long after its time limit shows that this process did not get
// to run, and nothing about the region.
func TestLateTimeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake(t).config()
		c.AWSConfig.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(1300 * time.Millisecond)
			return nil, context.DeadlineExceeded
		})}
		b := start(t, c)
		for i := range 8 {
			fails(t, handle(t, b, access(fmt.Sprint("c", i))), broker.CodeUnavailable)
		}
		if b.Stats().OpenRegions != 0 {
			t.Error("the region counts as down")
		}
	})
}
