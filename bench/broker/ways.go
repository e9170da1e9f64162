package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/maypok86/otter/v2"

	"github.com/crossaccount/crossaccount/broker"
)

// A way is one way to get at the credentials of customers' roles.
type way struct {
	name  string
	short string
	heavy bool // every read is a call of STS
	open  func(process) (*client, error)
}

// A process is what a way finds when it starts.
type process struct {
	http     http.RoundTripper
	regions  []string      // nil is us-east-1; only the broker can use a second one
	lifetime time.Duration // of sessions, for those that have to be told
	class    broker.Class
	store    broker.SharedStore
	now      func() time.Time
	change   func(*broker.Config)
	endpoint string // of STS, if it is behind a real connection
}

// A client is a way at work.
type client struct {
	get    func(ctx context.Context, customer int) (aws.Credentials, error)
	handle func(customer int) (aws.CredentialsProvider, error) // what a program keeps
	close  func()
	broker *broker.Broker // nil of others
}

const (
	home       = "us-east-1"
	externalID = "xid-9f8e7d6c5b4a39281706f5e4d3c2b1a0"
)

// roleOf is a text of its own each time, as it comes from a database.
func roleOf(customer int) string {
	return fmt.Sprintf("arn:aws:iam::222222222222:role/customer-%07d", customer)
}

func (p *process) config() aws.Config {
	c := aws.Config{
		Region:      home,
		Credentials: credentials.NewStaticCredentialsProvider("AKIABASE000000000000", "base", ""),
		HTTPClient:  &http.Client{Transport: p.http},
	}
	if p.endpoint != "" {
		c.BaseEndpoint = &p.endpoint
	}
	return c
}

func requestOf(customer int, class broker.Class) broker.Request {
	return broker.Request{
		Customer: fmt.Sprintf("customer-%07d", customer), Integration: fmt.Sprintf("int-%07d", customer), Class: class,
		Chain: []broker.Role{{ARN: roleOf(customer), ExternalID: externalID, SessionName: "bench"}},
	}
}

func openBroker(p process) (*client, error) {
	c := broker.Config{
		AWSConfig: p.config(), Regions: p.regions, BaseIdentity: "bench", SharedStore: p.store, Now: p.now,
	}
	if p.store != nil {
		sealer, err := broker.NewAESSealer(nil, make([]byte, 32))
		if err != nil {
			return nil, err
		}
		c.Sealer = sealer
	}
	if p.change != nil {
		p.change(&c)
	}
	b, err := broker.New(c)
	if err != nil {
		return nil, err
	}
	var handles sync.Map
	handle := func(customer int) (aws.CredentialsProvider, error) {
		if h, ok := handles.Load(customer); ok {
			return h.(*broker.Handle), nil
		}
		h, err := b.For(requestOf(customer, p.class))
		if err != nil {
			return nil, err
		}
		handles.Store(customer, h)
		return h, nil
	}
	return &client{
		broker: b, handle: handle, get: through(handle),
		close: func() { _ = b.Close(context.Background()) },
	}, nil
}

func through(handle func(int) (aws.CredentialsProvider, error)) func(context.Context, int) (aws.Credentials, error) {
	return func(ctx context.Context, customer int) (aws.Credentials, error) {
		h, err := handle(customer)
		if err != nil {
			return aws.Credentials{}, err
		}
		return h.Retrieve(ctx)
	}
}

// assumeRole is the provider of the SDK.
func assumeRole(client *sts.Client, customer int, lifetime time.Duration) *stscreds.AssumeRoleProvider {
	return stscreds.NewAssumeRoleProvider(client, roleOf(customer), func(o *stscreds.AssumeRoleOptions) {
		o.ExternalID, o.RoleSessionName, o.Duration = aws.String(externalID), "bench", lifetime
	})
}

// openCache is an aws.CredentialsCache per customer. windowOf is the part of a
// session before its end at which it is renewed.
func openCache(windowOf float64) func(process) (*client, error) {
	return func(p process) (*client, error) {
		client1 := sts.NewFromConfig(p.config())
		var caches sync.Map
		handle := func(customer int) (aws.CredentialsProvider, error) {
			if c, ok := caches.Load(customer); ok {
				return c.(*aws.CredentialsCache), nil
			}
			c, _ := caches.LoadOrStore(customer, aws.NewCredentialsCache(assumeRole(client1, customer, time.Hour), func(o *aws.CredentialsCacheOptions) {
				if windowOf > 0 {
					o.ExpiryWindow, o.ExpiryWindowJitterFrac = time.Duration(windowOf*float64(p.lifetime)), 0.5
				}
			}))
			return c.(*aws.CredentialsCache), nil
		}
		return &client{handle: handle, get: through(handle), close: func() {}}, nil
	}
}

// openOtter is otter as its documentation uses it: entries expire with their
// credentials and are loaded anew, in the background, by the first read after 85
// % of their life.
func openOtter(p process) (*client, error) {
	service := sts.NewFromConfig(p.config())
	lifetime := p.lifetime
	cache, err := otter.New(&otter.Options[int, aws.Credentials]{
		ExpiryCalculator:  otter.ExpiryWriting[int, aws.Credentials](lifetime - time.Second),
		RefreshCalculator: otter.RefreshWriting[int, aws.Credentials](lifetime * 85 / 100),
		Logger:            quiet{},
	})
	if err != nil {
		return nil, err
	}
	load := otter.LoaderFunc[int, aws.Credentials](func(ctx context.Context, customer int) (aws.Credentials, error) {
		return assumeRole(service, customer, time.Hour).Retrieve(ctx)
	})
	get := func(ctx context.Context, customer int) (aws.Credentials, error) {
		return cache.Get(ctx, customer, load)
	}
	return &client{
		get: get,
		handle: func(customer int) (aws.CredentialsProvider, error) {
			return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) { return get(ctx, customer) }), nil
		},
		close: func() { cache.StopAllGoroutines() },
	}, nil
}

type quiet struct{}

func (quiet) Warn(context.Context, string, error)  {}
func (quiet) Error(context.Context, string, error) {}

// openNaive loads a configuration and calls AssumeRole every time.
func openNaive(p process) (*client, error) {
	base := p.config()
	return &client{
		get: func(ctx context.Context, customer int) (aws.Credentials, error) {
			options := []func(*config.LoadOptions) error{
				config.WithRegion(home), config.WithCredentialsProvider(base.Credentials),
			}
			if p.endpoint != "" {
				options = append(options, config.WithBaseEndpoint(p.endpoint))
			} else {
				options = append(options, config.WithHTTPClient(base.HTTPClient))
			}
			c, err := config.LoadDefaultConfig(ctx, options...)
			if err != nil {
				return aws.Credentials{}, err
			}
			return assumeRole(sts.NewFromConfig(c), customer, time.Hour).Retrieve(ctx)
		},
		close: func() {},
	}, nil
}

var (
	ours   = way{name: "broker", short: "broker", open: openBroker}
	cached = way{name: "aws.CredentialsCache", short: "cache", open: openCache(0)}
	// Five minutes of an hour.
	windowed = way{name: "CredentialsCache + ExpiryWindow 1/12, jitter 0.5", short: "window", open: openCache(1.0 / 12)}
	library  = way{name: "otter v2, refresh at 85 %", short: "otter", open: openOtter}
	naive    = way{name: "LoadDefaultConfig + AssumeRole per call", short: "naive", heavy: true, open: openNaive}

	ways = []way{ours, cached, windowed, library, naive}
)
