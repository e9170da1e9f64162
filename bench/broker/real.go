package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
)

// coarse is the broker with the clock that is looked at every 5 ms.
var coarse = way{name: "broker, coarse clock", short: "coarse", open: func(p process) (*client, error) {
	p.change = func(c *broker.Config) { c.CoarseClock = 5 * time.Millisecond }
	return openBroker(p)
}}

// speeds are nanoseconds and allocations of an operation.
type speed struct {
	nanos  float64
	allocs int64
}

// pace measures operations side by side, in turns so short that few of them are
// interrupted, and returns the median of each.
func pace(turns int, operations ...func(times int)) []speed {
	all := make([][]float64, len(operations))
	out := make([]speed, len(operations))
	times := make([]int, len(operations)) // that take about 100 µs
	for i, do := range operations {
		do(100)
		began := time.Now()
		do(100)
		times[i] = max(10, int(100*100*time.Microsecond/max(1, time.Since(began))))
	}
	for range turns {
		for i, do := range operations {
			times := times[i]
			began := time.Now()
			do(times)
			all[i] = append(all[i], float64(time.Since(began).Nanoseconds())/float64(times))
		}
	}
	for i, do := range operations {
		slices.Sort(all[i])
		out[i] = speed{nanos: all[i][turns/2], allocs: int64(testing.AllocsPerRun(1000, func() { do(1) }))}
	}
	return out
}

// beside measures an operation of a way beside the same of CredentialsCache.
func beside(l *lab, w way, operation func(*client) (func(times int), error)) (mine, reference speed, err error) {
	var ops []func(int)
	for _, each := range []way{w, cached} {
		fake := stsfaults.New(nil)
		c, err := each.open(process{http: fake, lifetime: time.Hour})
		if err != nil {
			return mine, reference, err
		}
		defer c.close()
		do, err := operation(c)
		if err != nil {
			return mine, reference, err
		}
		ops = append(ops, do)
	}
	s := pace(l.pick(10_001, 2001), ops...)
	return s[0], s[1], nil
}

func hotRead(l *lab, w way) (result, error) {
	mine, other, err := beside(l, w, func(c *client) (func(int), error) {
		h, err := c.handle(1)
		if err != nil {
			return nil, err
		}
		ctx := context.Background()
		_, err = h.Retrieve(ctx)
		return func(times int) {
			for range times {
				_, _ = h.Retrieve(ctx)
			}
		}, err
	})
	ratio := other.nanos / mine.nanos
	return result{
		text: fmt.Sprintf("%.0f ns, %d allocations, %.1f × as fast", mine.nanos, mine.allocs, ratio),
		met:  mine.allocs == 0 && ratio >= 5, sound: mine.allocs == 0,
	}, err
}

func keyRead(l *lab, w way) (result, error) {
	mine, _, err := beside(l, w, func(c *client) (func(int), error) {
		ctx := context.Background()
		if _, err := c.get(ctx, 1); err != nil || c.broker == nil {
			return func(times int) {
				for range times {
					_, _ = c.get(ctx, 1)
				}
			}, err
		}
		h, err := c.handle(1)
		if err != nil {
			return nil, err
		}
		key := h.(*broker.Handle).Key()
		return func(times int) {
			for range times {
				h, _ := c.broker.Lookup(key)
				_, _ = h.Retrieve(ctx)
			}
		}, nil
	})
	return result{text: fmt.Sprintf("%.0f ns, %d allocations", mine.nanos, mine.allocs), met: mine.allocs == 0 && mine.nanos <= 150, sound: mine.allocs == 0}, err
}

// discard is a response nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// handler answers from a real broker's handle.
func handler(l *lab, w way) (r result, err error) {
	c, err := w.open(process{http: stsfaults.New(nil)})
	if err != nil {
		return r, err
	}
	defer c.close()
	h, err := c.handle(1)
	if err != nil {
		return r, err
	}
	now := time.Now()
	token, record, err := broker.IssueToken(nil, now, "bench", broker.TokenRecord{Customers: []string{"acme"}, Purposes: []string{""}, ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		return r, err
	}
	tokens, err := broker.NewTokens(record)
	if err != nil {
		return r, err
	}
	e, err := broker.NewEndpoint(broker.EndpointConfig{
		Tokens: tokens, TokenRate: broker.Rate{Burst: 1 << 30, Every: 1},
		Resolve:   func(context.Context, string, string, string) (broker.Source, error) { return h.(*broker.Handle), nil },
		HandedOut: func(context.Context, []broker.HandOut) error { return nil },
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Close(context.Background())) }()
	request := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/credentials/acme"}, RequestURI: "/credentials/acme", Host: "127.0.0.1:9911",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:50000", Body: http.NoBody,
		Header: http.Header{"Authorization": {token}, "User-Agent": {"aws-sdk-go-v2/1.47"}, "Accept-Encoding": {"gzip"}},
	}).WithContext(context.Background())
	response := &discard{header: http.Header{}}
	s := pace(l.pick(3001, 501), func(times int) {
		for range times {
			e.ServeHTTP(response, request)
		}
	})[0]
	if served := e.Count(broker.Served); response.status >= 300 || served < 1000 {
		return r, fmt.Errorf("the endpoint served %d requests, the last with status %d", served, response.status)
	}
	return result{text: fmt.Sprintf("%.0f ns, %d allocations", s.nanos, s.allocs), met: s.allocs == 0 && s.nanos <= 2000, sound: s.allocs == 0}, nil
}

// jump sets the clock ahead while the broker's goroutines do not get to run, as
// after a machine was suspended, and reads.
func jump(l *lab, w way) (r result, err error) {
	l.bubble(func() {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		fake := stsfaults.New(nil)
		fake.Clock(now)
		fake.Always(millis(20))
		var c *client
		if c, err = w.open(process{http: fake, now: now}); err != nil {
			return
		}
		defer c.close()
		handles := make([]aws.CredentialsProvider, 100)
		read := func(i int) error {
			got, err := handles[i].Retrieve(context.Background())
			if err != nil {
				return err
			}
			return stsfaults.Check(got, roleOf(i), now())
		}
		for i := range handles {
			if handles[i], err = c.handle(i); err == nil {
				err = read(i)
			}
			if err != nil {
				return
			}
		}
		expired, reads := 0, 0
		for range 5 {
			ahead.Add(int64(2 * time.Hour))
			for i := range handles {
				reads++
				if e := read(i); e != nil {
					expired++
					if broker.CodeOf(e) != "" {
						err = e
					}
				}
			}
		}
		r = result{text: fmt.Sprintf("%d of %d reads", expired, reads), met: expired == 0, sound: expired == 0}
	})
	return r, err
}

// numbersIn parses what a child printed: numbers by name, one a line.
func numbersIn(text string) (map[string]float64, error) {
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		var name string
		var number float64
		if _, err := fmt.Sscan(line, &name, &number); err != nil {
			return nil, fmt.Errorf("a child printed %q: %w", line, err)
		}
		out[name] = number
	}
	return out, nil
}
