package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount/broker"
)

func TestHandOuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []broker.HandOut
		fails := false
		now := func() time.Time { return time.Now() }
		record := func(name string) (string, broker.TokenRecord) {
			token, record, err := broker.IssueToken(nil, now(), name, broker.TokenRecord{Customers: []string{"acme", "globex"}, Purposes: []string{""}, ExpiresAt: now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			return token, record
		}
		one, first := record("one")
		two, second := record("two")
		tokens, err := broker.NewTokens(first, second)
		if err != nil {
			t.Fatal(err)
		}
		e, err := broker.NewEndpoint(broker.EndpointConfig{
			Tokens: tokens, Now: now,
			Resolve: func(_ context.Context, customer, integration, purpose string) (broker.Source, error) {
				source := aSource(customer, integration, purpose)
				source.credentials.Expires = now().Add(time.Hour)
				return source, nil
			},
			HandedOut: func(_ context.Context, handOuts []broker.HandOut) error {
				mu.Lock()
				defer mu.Unlock()
				if fails {
					return errors.New("the database is away")
				}
				told = append(told, handOuts...)
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		endpoint := &testEndpoint{e, t}
		started := now().Truncate(time.Minute).UTC()
		wait := func() { time.Sleep(time.Minute); synctest.Wait() }
		expect := func(want ...broker.HandOut) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			ignored := cmpopts.IgnoreFields(broker.HandOut{}, "Subject.RoleARN", "Subject.Key", "TokenID", "Expires")
			sorted := cmpopts.SortSlices(func(a, b broker.HandOut) bool {
				return a.Minute.Before(b.Minute) || a.Minute.Equal(b.Minute) && a.Caller+a.AccessKeyID < b.Caller+b.AccessKeyID
			})
			if diff := cmp.Diff(want, told, ignored, sorted); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			told = nil
		}
		handOut := func(caller, customer string, minute, count int) broker.HandOut {
			return broker.HandOut{Subject: broker.Subject{Customer: customer}, Caller: caller, AccessKeyID: "ASIA" + customer,
				Minute: started.Add(time.Duration(minute) * time.Minute), Count: count}
		}

		for range 3 {
			endpoint.get(one, "/credentials/acme")
		}
		endpoint.get(two, "/credentials/acme")
		endpoint.get(one, "/credentials/globex")
		endpoint.get(one, "/credentials/initech") // refused
		endpoint.get("", "/credentials/acme")
		expect() // nothing before a minute is over
		wait()
		expect(handOut("one", "acme", 0, 3), handOut("two", "acme", 0, 1), handOut("one", "globex", 0, 1))

		mu.Lock()
		fails = true
		mu.Unlock()
		endpoint.get(one, "/credentials/acme")
		wait()
		mu.Lock()
		fails = false
		mu.Unlock()
		endpoint.get(one, "/credentials/acme")
		wait()
		expect(handOut("one", "acme", 1, 1), handOut("one", "acme", 2, 1))

		endpoint.get(two, "/credentials/globex")
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		expect(handOut("two", "globex", 3, 1))
		if got := endpoint.get(two, "/credentials/globex"); got.Code != 503 {
			t.Errorf("a closed endpoint answers %d", got.Code)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestEndpointCloseSaysWhatWasNotRecorded(t *testing.T) {
	token, record := issueToken(t, "acme")
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tell func(context.Context, []broker.HandOut) error
		want broker.Code
	}{
		"fails": {func(context.Context, []broker.HandOut) error { return errors.New("no") }, broker.CodeUnavailable},
		"hangs": {func(ctx context.Context, _ []broker.HandOut) error { <-ctx.Done(); return ctx.Err() }, broker.CodeCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := broker.NewEndpoint(broker.EndpointConfig{Tokens: tokens, Now: at(noon), HandedOut: test.tell,
					Resolve: func(context.Context, string, string, string) (broker.Source, error) {
						return aSource("acme", "", ""), nil
					}})
				if err != nil {
					t.Fatal(err)
				}
				(&testEndpoint{e, t}).get(token, "/credentials/acme")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := e.Close(ctx); broker.CodeOf(err) != test.want {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		})
	}
}

// What there is no room for is counted, and the log says how many hand-outs it was.
func TestHandOutsWithoutRoom(t *testing.T) {
	var log bytes.Buffer
	began, ready := make(chan struct{}), make(chan struct{})
	var told []int
	i := 0
	token, record := issueToken(t, "acme")
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	e, err := broker.NewEndpoint(broker.EndpointConfig{
		Tokens: tokens, Now: at(noon), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		TokenRate: broker.Rate{Burst: 1 << 30, Every: 1},
		Resolve: func(context.Context, string, string, string) (broker.Source, error) {
			source := aSource("acme", "", "")
			source.credentials.AccessKeyID = fmt.Sprint("ASIA", i)
			i++
			return source, nil
		},
		HandedOut: func(_ context.Context, handOuts []broker.HandOut) error {
			told = append(told, len(handOuts))
			if len(told) > 1 {
				return nil
			}
			close(began)
			<-ready
			return errors.New("the database is away")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(n int) { (&testEndpoint{e, t}).often(token, n) }
	ask(25_000) // so many are told early
	<-began
	ask(50_000 + 10) // fill what there is
	close(ready)     // and now the first come back
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int{25_000, 50_000}, told); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(log.String(), "lost=25010") {
		t.Errorf("the log says %s", log.String())
	}
}
