package broker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// An EndpointConfig says how an [Endpoint] works. Tokens and Resolve are needed.
type EndpointConfig struct {
	// Tokens are those the endpoint accepts.
	Tokens *Tokens

	// Resolve finds what a request asks for. It is called for every request, so
	// that it has the last word on who may still have credentials, and should
	// answer from memory.
	Resolve Resolver

	// Hosts are the values of the Host header that are answered, with a port or
	// for any port. Empty means localhost and the addresses 127.0.0.0/8 and ::1.
	// A page in a browser that was made to resolve a name of its own to this
	// address sends that name, and gets nothing.
	Hosts []string

	// TokenRate limits the requests of each token: Burst at once and one every
	// Every after that, 60 and 1 s if zero. An SDK asks about once per session.
	TokenRate Rate

	// MinimumLeft is how long credentials should last when they are handed out,
	// 15 minutes if 0. SDKs renew what lasts shorter, some at every call.
	MinimumLeft time.Duration
	// RefreshWait is how long a request waits for others when the credentials
	// at hand are valid but last shorter, 700 ms if 0: the SDK for JavaScript
	// gives up after a second.
	RefreshWait time.Duration

	// HandedOut, if not nil, is told once a minute which credentials were handed
	// out to whom and how often, from a goroutine of the endpoint. What it
	// returns an error for is told again with the next ones.
	HandedOut func(ctx context.Context, handOuts []HandOut) error

	Now    func() time.Time // time.Now if nil
	Logger *slog.Logger     // discards if nil
}

// A Resolver returns the source of credentials of a customer for a purpose, "" for
// the whole role. The integration may be "": then it is the customer's only one.
// Which of those the token may ask for has been decided before.
//
// An error with [CodeInvalidRequest] tells the caller that there is no such
// thing. The text of an [Error] is shown to the caller, that of others is not.
type Resolver func(ctx context.Context, customer, integration, purpose string) (Source, error)

// A Source has credentials; a [Handle] is one.
type Source interface {
	RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error)
	Subject() Subject
}

var _ Source = (*Handle)(nil)

// An Endpoint hands out credentials over HTTP, in the form that all AWS SDKs and
// the aws command understand: the container credentials protocol. A program is
// pointed at it with two variables,
//
//	AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/credentials/acme
//	AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/run/secrets/crossaccount-token
//
// and needs to know neither roles nor external IDs. [CredentialsPath] makes the
// paths.
//
// SDKs accept plain HTTP from loopback addresses only, so that is where to listen
// ([ListenLoopback]); [ListenUnix] is for programs of our own. [Endpoint.Server]
// makes the server.
//
// # What is refused
//
// Everything but GET, and every request that another host name, a browser or a
// proxy had a hand in: a Host that is not allowed; an Origin, Referer, Cookie or
// Sec-Fetch header; Forwarded, X-Forwarded, Via and the like. The latter show
// that the endpoint is reachable through something that was not meant to be
// there. There are no CORS headers, and no cache may keep an answer. Tokens that
// are unknown, wrong, expired or revoked are not told apart, nor are customers
// that do not exist from those a token is not for.
//
// # Errors
//
// They have the SDKs' form, {"code": …, "message": …}, and the same with capitals,
// as the SDK for JavaScript reads it. Those that a retry cannot mend have a status
// of 400 to 405; 429 and 503, which SDKs retry, have a Retry-After header if it is
// known how long.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
type Endpoint struct {
	config   EndpointConfig
	encoded  encodedCache
	handOuts *handOuts // nil if nobody wants to know
	closed   atomic.Bool
	stats    [outcomes]atomic.Uint64
}

// NewEndpoint returns an endpoint. It must be closed with [Endpoint.Close]: it has a
// goroutine if hand-outs are recorded.
func NewEndpoint(config EndpointConfig) (*Endpoint, error) {
	switch {
	case config.Tokens == nil:
		return nil, invalid("EndpointConfig.Tokens is needed; an endpoint without tokens would serve everybody")
	case config.Resolve == nil:
		return nil, invalid("EndpointConfig.Resolve is needed")
	case config.MinimumLeft < 0 || config.RefreshWait < 0 || config.TokenRate.Burst < 0 || config.TokenRate.Every < 0:
		return nil, invalid("durations and rates of an EndpointConfig must not be negative")
	case slices.Contains(config.Hosts, "") || slices.Contains(config.Hosts, "*"):
		return nil, invalid("EndpointConfig.Hosts must be host names or addresses; there is no wildcard")
	}
	if config.TokenRate.Burst == 0 {
		config.TokenRate.Burst = 60
	}
	if config.TokenRate.Every == 0 {
		config.TokenRate.Every = time.Second
	}
	if config.MinimumLeft == 0 {
		config.MinimumLeft = 15 * time.Minute
	}
	if config.RefreshWait == 0 {
		config.RefreshWait = 700 * time.Millisecond
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{config: config}
	if config.HandedOut != nil {
		e.handOuts = newHandOuts(config.HandedOut, config.Logger)
	}
	return e, nil
}

// Close tells HandedOut what was not told yet, within the context. Shut the server
// down first: requests that come later get nothing, but those under way may no
// longer be recorded.
func (e *Endpoint) Close(ctx context.Context) error {
	e.closed.Store(true)
	if e.handOuts == nil {
		return nil
	}
	return e.handOuts.close(ctx)
}

// Server returns a server for the endpoint with limits of time and size that
// suit it. Serve with it on [ListenLoopback] or [ListenUnix], and shut it down as
// any other.
func (e *Endpoint) Server() *http.Server {
	return &http.Server{
		Handler:           e,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// Or OPTIONS * would be answered without looking at the Host.
		DisableGeneralOptionsHandler: true,

		ErrorLog: slog.NewLogLogger(e.config.Logger.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP implements [http.Handler].
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	if refusal := e.guard(r); refusal != nil {
		e.refuse(w, refusal)
		return
	}
	if e.closed.Load() {
		e.refuse(w, &closed)
		return
	}
	now := e.config.Now()
	token := e.authenticate(r, now)
	if token == nil {
		e.refuse(w, &unauthorized)
		return
	}
	if wait, ok := token.allow(now, e.config.TokenRate); !ok {
		e.refuse(w, &refusal{outcome: Limited, status: http.StatusTooManyRequests, code: "too_many_requests",
			message: "this token asks too often; keep the credentials until shortly before they expire", after: wait})
		return
	}
	customer, integration, purpose, ok := splitPath(r.URL)
	if !ok || r.URL.RawQuery != "" {
		e.refuse(w, &unknownPath)
		return
	}
	if !token.mayRead(customer, integration, purpose) {
		e.refuse(w, &forbidden)
		return
	}
	source, err := e.config.Resolve(r.Context(), customer, integration, purpose)
	if err != nil {
		e.refuse(w, refusalOf(err))
		return
	}
	credentials, err := e.lasting(r.Context(), source, now)
	if err != nil {
		e.refuse(w, refusalOf(err))
		return
	}
	answer := e.encoded.of(source, credentials)
	if e.handOuts != nil {
		e.handOuts.count(token, source, credentials, now)
	}
	e.stats[Served].Add(1)
	header["Content-Type"] = jsonType
	header["Content-Length"] = answer.length
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(answer.body) // a caller that went away asks again
}

// lasting returns credentials that last long enough for SDKs, if that is
// possible without waiting for long, and else those at hand.
func (e *Endpoint) lasting(ctx context.Context, source Source, now time.Time) (aws.Credentials, error) {
	credentials, err := source.RetrieveLasting(ctx, 0)
	if err != nil || !credentials.CanExpire || credentials.Expires.Sub(now) >= e.config.MinimumLeft {
		return credentials, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.config.RefreshWait)
	defer cancel()
	if longer, err := source.RetrieveLasting(ctx, e.config.MinimumLeft); err == nil && longer.Expires.After(credentials.Expires) {
		return longer, nil
	}
	return credentials, nil
}

// Header values are shared by all answers, which saves an allocation each.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	jsonType = []string{"application/json"}
)

// guard refuses what no SDK sends.
func (e *Endpoint) guard(r *http.Request) *refusal {
	if r.Method != http.MethodGet {
		return &wrongMethod
	}
	if !e.allowedHost(r.Host) {
		return &wrongHost
	}
	for name := range r.Header {
		if meddled(name) {
			return &wrongHeader
		}
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return &withBody
	}
	return nil
}

// meddled reports whether a header shows that a browser or a proxy had a hand in
// the request. The name is canonical.
//
// https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
func meddled(name string) bool {
	switch name {
	case "Forwarded", "Via", "Origin", "Referer", "Cookie", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "Access-Control-")
}

// allowedHost reports whether the Host header is one of ours.
func (e *Endpoint) allowedHost(host string) bool {
	name := withoutPort(host)
	if len(e.config.Hosts) == 0 {
		return loopback(name)
	}
	for _, allowed := range e.config.Hosts {
		if strings.EqualFold(allowed, host) || strings.EqualFold(allowed, name) {
			return true
		}
	}
	return false
}

// withoutPort removes the port of a Host header, if it has one, and leaves the
// brackets of an IPv6 address.
func withoutPort(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon <= strings.LastIndexByte(host, ']') || strings.IndexByte(host, ':') != colon && host[0] != '[' {
		return host
	}
	return host[:colon]
}

// loopback reports whether a name in a Host header can only be this machine.
func loopback(name string) bool {
	if strings.EqualFold(name, "localhost") {
		return true
	}
	if len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	} else if len(name) > len("127.255.255.255") || strings.IndexByte(name, ':') >= 0 {
		return false
	}
	if name == "" || (name[0] < '0' || name[0] > '9') && name[0] != ':' {
		return false // a name, whatever it resolves to
	}
	address, err := netip.ParseAddr(name)
	return err == nil && address.IsLoopback() && address.Zone() == ""
}

// authenticate returns the token of the request, or nil.
func (e *Endpoint) authenticate(r *http.Request, now time.Time) *token {
	authorization := r.Header["Authorization"]
	if len(authorization) != 1 {
		return nil
	}
	return e.config.Tokens.find(authorization[0], now)
}

// Outcome of a request to an [Endpoint].
type Outcome int

const (
	// Served means that credentials were handed out.
	Served Outcome = iota
	// Guarded means that the request was not one of an SDK.
	Guarded
	// Unauthorized means that it had no valid token.
	Unauthorized
	// Limited means that its token asked too often.
	Limited
	// Forbidden means that its token is not for what it asked, or that there is no
	// such thing.
	Forbidden
	// Refused means that AWS refuses, or that the integration is no longer in use.
	Refused
	// Unavailable means that there are no credentials now.
	Unavailable

	outcomes = int(Unavailable) + 1
)

var outcomeNames = [outcomes]string{"served", "guarded", "unauthorized", "limited", "forbidden", "refused", "unavailable"}

func (o Outcome) String() string { return outcomeNames[o] }

// Count returns how many requests had this outcome since the endpoint was made.
func (e *Endpoint) Count(o Outcome) uint64 { return e.stats[o].Load() }

// refusalOf translates an error of a resolver or of a source.
func refusalOf(err error) *refusal {
	var known *Error
	if !errors.As(err, &known) {
		return &refusal{outcome: Unavailable, status: http.StatusInternalServerError, code: "internal", message: "credentials could not be found"}
	}
	r := &refusal{code: string(known.Code), message: known.Message, after: known.RetryAfter}
	switch known.Code {
	case CodeInvalidRequest:
		r.outcome, r.status, r.after = Forbidden, http.StatusNotFound, 0
	case CodeRefused, CodeWithdrawn, CodeRevoked:
		r.outcome, r.status, r.after = Refused, http.StatusForbidden, 0 // SDKs must not retry
	case CodeThrottled:
		r.outcome, r.status = Unavailable, http.StatusTooManyRequests
	default:
		r.outcome, r.status = Unavailable, http.StatusServiceUnavailable
	}
	return r
}
