package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// This file is about what arrives on a connection, before net/http made a request
// of it.

// wire serves an endpoint and returns what says something on a new connection and
// returns the status of the answer, 0 if there is none, and all of it.
func wire(t *testing.T, e *testEndpoint) (address string, say func(text string) (int, string)) {
	t.Helper()
	listener, err := broker.ListenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, e, listener)
	address = listener.Addr().String()
	return address, func(text string) (int, string) {
		t.Helper()
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
		go func() { _, _ = io.WriteString(connection, text) }() // the server may stop reading
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
}

func TestEndpointOnTheWire(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{}, "acme")
	_, say := wire(t, e)
	get := func(path string, headers ...string) string {
		return "GET " + path + " HTTP/1.1\r\nConnection: close\r\nAuthorization: " + token + "\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	}
	const here = "Host: 127.0.0.1:9911"
	for name, test := range map[string]struct {
		text string
		want int
	}{
		"as it should be":                   {get("/credentials/acme", here), 200},
		"names in any case":                 {get("/credentials/acme", "hOsT: localhost"), 200},
		"no host":                           {get("/credentials/acme"), 400},
		"no host in HTTP/1.0":               {"GET /credentials/acme HTTP/1.0\r\nAuthorization: " + token + "\r\n\r\n", 403},
		"an empty host":                     {get("/credentials/acme", "Host:"), 403},
		"two hosts":                         {get("/credentials/acme", here, "Host: evil.example"), 400},
		"two hosts, the good one last":      {get("/credentials/acme", "Host: evil.example", here), 400},
		"a host with a path":                {get("/credentials/acme", "Host: evil.example/127.0.0.1"), 400},
		"a host after spaces":               {get("/credentials/acme", "Host:   evil.example"), 403},
		"a trailing dot":                    {get("/credentials/acme", "Host: localhost."), 403},
		"another host in the target":        {get("http://evil.example/credentials/acme", here), 403},
		"user information in the target":    {get("http://127.0.0.1@evil.example/credentials/acme", here), 403},
		"a target with a double slash":      {get("//credentials/acme", here), 404},
		"dots in the target":                {get("/credentials/acme/../acme", here), 403},
		"an escaped slash in the target":    {get("/credentials%2Facme", here), 404},
		"a fragment in the target":          {get("/credentials/acme#globex", here), 403},
		"an empty query":                    {get("/credentials/acme?", here), 200},
		"forwarded in lower case":           {get("/credentials/acme", here, "x-forwarded-for: 1.2.3.4"), 403},
		"forwarded in upper case":           {get("/credentials/acme", here, "X-FORWARDED-PROTO: http"), 403},
		"forwarded, empty":                  {get("/credentials/acme", here, "Forwarded:"), 403},
		"forwarded, folded":                 {get("/credentials/acme", here, "X-A: b\r\n X-Forwarded-For: c"), 200}, // part of X-A
		"a space before the colon":          {get("/credentials/acme", here, "X-Forwarded-For : 1.2.3.4"), 400},
		"a token with a folded line":        {strings.Replace(get("/credentials/acme", here), token, token+"\r\n more", 1), 401},
		"two tokens":                        {get("/credentials/acme", here, "authorization: x"), 401},
		"a length":                          {get("/credentials/acme", here, "Content-Length: 5", "", "hello"), 400},
		"a length of nothing":               {get("/credentials/acme", here, "Content-Length: 0"), 200},
		"chunks":                            {get("/credentials/acme", here, "Transfer-Encoding: chunked", "", "0", ""), 400},
		"length and chunks":                 {get("/credentials/acme", here, "Transfer-Encoding: chunked", "Content-Length: 5", "", "0", ""), 400},
		"a length that is promised":         {get("/credentials/acme", here, "Content-Length: 5", "Expect: 100-continue"), 400},
		"OPTIONS *":                         {"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 405},
		"CONNECT":                           {"CONNECT 127.0.0.1:9911 HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nConnection: close\r\n\r\n", 405},
		"HTTP/2 without being asked":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405},
		"huge header":                       {get("/credentials/acme", here, "X-A: "+strings.Repeat("a", 1<<20)), 431},
		"many headers":                      {get("/credentials/acme", here, strings.TrimSuffix(strings.Repeat("X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 10000), "\r\n")), 431},
		"huge target":                       {get("/credentials/"+strings.Repeat("a", 1<<20), here), 431},
		"a method that is a header's value": {"GET  /credentials/acme HTTP/1.1\r\n" + here + "\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := say(test.text)
			if status != test.want {
				t.Errorf("got %d %q, want %d", status, body, test.want)
			}
			if status != 200 && strings.Contains(body, "a secret") {
				t.Errorf("%d has the secret: %s", status, body)
			}
		})
	}
}

// Whoever is slow to ask or to read keeps nobody else waiting, and is left alone
// in the end.
func TestEndpointDoesNotWaitForSlowClients(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{TokenRate: broker.Rate{Burst: 1 << 20, Every: 1}}, "acme")
	address, say := wire(t, e)
	for _, beginning := range []string{"", "GET /cred", "GET /credentials/acme HTTP/1.1\r\nHost: localhost\r\nX: "} {
		for range 50 {
			connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, beginning); err != nil {
				t.Fatal(err)
			}
		}
	}
	// This one asks and asks and reads nothing.
	greedy, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer greedy.Close()
	request := "GET /credentials/acme HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + token + "\r\n\r\n"
	_ = greedy.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err == nil {
		_, err = io.WriteString(greedy, strings.Repeat(request, 100))
	}
	if status, body := say(strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)); status != 200 {
		t.Errorf("got %d %s", status, body)
	}
	s := e.Server()
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("a limit of time is missing: %+v", s)
	}
}

// Tokens are exchanged all the time while requests run: whoever has a token that
// is in both registries is always served, whoever has one that is in neither never
// is, and one that was revoked is refused from then on.
func TestTokensRotateWhileRequestsRun(t *testing.T) {
	const many = 500
	var records []broker.TokenRecord
	var texts []string
	for i := range many {
		token, record := issueToken(t, fmt.Sprint("c", i))
		texts, records = append(texts, token), append(records, record)
	}
	stranger, _ := issueToken(t, "c0")
	tokens, err := broker.NewTokens(records...)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens, TokenRate: broker.Rate{Burst: 1 << 20, Every: 1}})
	var stop atomic.Bool
	var revoked [many]atomic.Bool // from when on a request must be refused
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := 0; !stop.Load(); n++ {
				i := (n*7 + g) % many
				was := revoked[i].Load()
				got := e.get(texts[i], fmt.Sprint("/credentials/c", i)).Code
				if was && got != 401 || i%2 == 0 && got != 200 {
					t.Errorf("token %d: got %d, and it was revoked: %t", i, got, was)
				}
				if got := e.get(texts[i], fmt.Sprint("/credentials/c", (i+1)%many)).Code; got == 200 {
					t.Errorf("token %d reads what is another's", i)
				}
				if got := e.get(stranger, "/credentials/c0").Code; got != 401 {
					t.Errorf("a token that nobody knows: got %d", got)
				}
			}
		})
	}
	for i := 1; i < many; i += 10 {
		records[i].Revoked = true
		if err := tokens.Replace(records); err != nil {
			t.Error(err)
		}
		revoked[i].Store(true)
		if err := tokens.Replace(append([]broker.TokenRecord{{ID: "wrong"}}, records...)); err == nil {
			t.Error("a wrong registry was taken")
		}
	}
	stop.Store(true)
	all.Wait()
}

// A source of somebody else may use the endpoint, and fail in any way it likes.
type reentrant struct {
	constant
	use func()
}

func (r *reentrant) Subject() broker.Subject { r.use(); return r.subject }

func TestSourcesAreCalledUnderNoLock(t *testing.T) {
	watched(t, func() {
		var e *testEndpoint
		var token string
		inner := aSource("acme", "inner", "")
		outer := &reentrant{constant: *aSource("acme", "outer", "")}
		outer.use = func() { e.get(token, "/credentials/acme/-/inner") }
		bad := &reentrant{constant: *aSource("acme", "bad", "")}
		bad.use = func() { panic(http.ErrAbortHandler) }
		sources := map[string]broker.Source{"inner": inner, "outer": outer, "bad": bad}
		e, token = withToken(t, broker.EndpointConfig{
			Resolve: func(_ context.Context, _, integration, _ string) (broker.Source, error) {
				return sources[integration], nil
			},
			HandedOut: func(context.Context, []broker.HandOut) error { return nil },
		}, "acme")
		if got := e.get(token, "/credentials/acme/-/outer"); got.Code != 200 {
			t.Errorf("got %d", got.Code)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			e.get(token, "/credentials/acme/-/bad")
		}()
		if got := e.get(token, "/credentials/acme/-/outer"); got.Code != 200 {
			t.Errorf("after a panic: got %d", got.Code)
		}
	})
}

// While hand-outs cannot be recorded and there are many, it is tried again after
// a pause, not at every request.
func TestHandOutsAreNotToldWithoutPause(t *testing.T) {
	var told atomic.Int64
	fails := atomic.Bool{}
	fails.Store(true)
	i := 0
	e, token := withToken(t, broker.EndpointConfig{
		TokenRate: broker.Rate{Burst: 1 << 30, Every: 1},
		Resolve: func(context.Context, string, string, string) (broker.Source, error) {
			source := aSource("acme", "", "")
			i++
			source.credentials.AccessKeyID = fmt.Sprint("ASIA", i)
			return source, nil
		},
		HandedOut: func(context.Context, []broker.HandOut) error {
			told.Add(1)
			if fails.Load() {
				return errors.New("the database is away")
			}
			return nil
		},
	}, "acme")
	e.often(token, 25_000+3_000)
	if n := told.Load(); n > 1 {
		t.Errorf("told %d times", n)
	}
	fails.Store(false)
}
