package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount"
)

// Limits of a request.
const (
	DefaultRequestTimeout = 30 * time.Second
	DefaultWait           = 5 * time.Second
	MaxBody               = 64 << 10 // bytes, far more than any request needs

	bodyTimeout     = 10 * time.Second
	requestIDHeader = "X-Request-Id"
)

// Options are what a [Handler] needs besides its client. Authenticate must be
// given; zero values elsewhere are what most programs want.
type Options struct {
	// Authenticate says who makes a request under /v1.
	Authenticate Authenticator

	// Logger gets what went wrong on our side; [slog.Default] if nil.
	Logger *slog.Logger

	// Version of the program, shown in the OpenAPI document.
	Version string

	// Now is [time.Now] if nil.
	Now func() time.Time

	// RequestTimeout bounds every request, DefaultRequestTimeout if 0. Wait is
	// how long a request waits for a verification before it is answered with
	// 202, DefaultWait if 0, and never more than half of the timeout.
	RequestTimeout, Wait time.Duration

	// Answers keeps the answers to requests with idempotency keys beyond the
	// life of the process, sealed with Encryptor, which must then be given.
	// Without it they are kept in memory.
	Answers   AnswerStore
	Encryptor crossaccount.Encryptor

	// SetupPage returns the URL of a page that opens setup links, which come as
	// its query parameter SetupLinkParameter, or "" if there is none. Nil means
	// that there is none.
	SetupPage func() string

	// HandOutCredentials lets operators get credentials of customers' roles. Without
	// it an operator token is not worth any customer's access.
	HandOutCredentials bool

	// Ready is asked by /readyz besides the storage; nil means always ready.
	Ready func(context.Context) error
}

// A Handler serves the API. It is safe for concurrent use.
type Handler struct {
	client  *crossaccount.Client
	options Options
	mux     *http.ServeMux

	operations  *operations
	answers     *answerCache
	crossOrigin *http.CrossOriginProtection
	openAPI     []byte // JSON
}

// New makes the handler of a client's API. [Handler.Close] ends it.
func New(client *crossaccount.Client, options Options) (*Handler, error) {
	switch {
	case client == nil:
		return nil, invalidOptions("the client is nil")
	case options.Authenticate == nil:
		return nil, invalidOptions("Authenticate is nil, so nobody could be let in")
	case options.RequestTimeout < 0 || options.Wait < 0:
		return nil, invalidOptions("RequestTimeout and Wait must not be negative")
	case options.Answers != nil && options.Encryptor == nil:
		return nil, invalidOptions("Answers needs an Encryptor, because answers contain external IDs")
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.RequestTimeout == 0 {
		options.RequestTimeout = DefaultRequestTimeout
	}
	if options.Wait == 0 {
		options.Wait = DefaultWait
	}
	options.Wait = min(options.Wait, options.RequestTimeout/2)
	h := &Handler{
		client:      client,
		options:     options,
		mux:         http.NewServeMux(),
		operations:  newOperations(options.Now),
		answers:     newAnswerCache(options),
		crossOrigin: http.NewCrossOriginProtection(),
	}
	return h, h.routes()
}

func invalidOptions(what string) error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, "api: "+what, "", nil)
}

// Close stops taking on operations, which /readyz then says, and waits for those
// that run. Those that still run when the context ends are cancelled; they can
// be continued by the next process.
func (h *Handler) Close(ctx context.Context) error { return h.operations.close(ctx) }

// OpenAPI returns the description of the API, OpenAPI 3.1 in JSON.
func (h *Handler) OpenAPI() []byte { return bytes.Clone(h.openAPI) }

// ServeHTTP answers a request. Every answer with a body is JSON except templates
// and openapi.yaml, and every error is a [Problem].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	if header.Get(requestIDHeader) == "" {
		header.Set(requestIDHeader, NewRequestID())
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
			h.options.Logger.Error("api: a handler panicked", "request", header.Get(requestIDHeader), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			newProblem(CodeInternal, "something went wrong", "the cause is in the server's log under the request's id").write(w)
		}
	}()
	if problem := h.serve(w, r); problem != nil {
		h.logProblem(header.Get(requestIDHeader), problem)
		problem.write(w)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) *Problem {
	if problem := h.checkRoute(r); problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.options.RequestTimeout)
	defer cancel()
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		h.mux.ServeHTTP(w, r.WithContext(ctx))
		return nil
	}
	if h.crossOrigin.Check(r) != nil {
		return newProblem(crossaccount.CodeForbidden, "the request was sent by a page of another site", "")
	}
	principal, err := h.options.Authenticate(r)
	if err != nil {
		return newProblem(CodeUnauthenticated, "the credentials are missing or wrong", "send the token as Authorization: Bearer TOKEN")
	}
	ctx = context.WithValue(ctx, principalKey{}, principal)
	ctx = crossaccount.WithActor(ctx, principal.Name)
	r = r.WithContext(ctx)
	if r.Method != http.MethodPost {
		h.mux.ServeHTTP(w, r)
		return nil
	}
	body, problem := readBody(w, r)
	if problem != nil {
		return problem
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Path == credentialsPath {
		h.mux.ServeHTTP(w, r)
		return nil
	}
	return h.answers.serve(w, r, principal, body, h.mux)
}

// checkRoute refuses what no route fits. The mux would answer in plain text, and
// redirect paths with dots in them.
func (h *Handler) checkRoute(r *http.Request) *Problem {
	notFound := newProblem(CodeNoSuchRoute, "there is nothing at this path", "the routes are in /openapi.json")
	if p := r.URL.Path; p != path.Clean(p) || strings.ContainsRune(p, 0) {
		return notFound
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return newProblem(crossaccount.CodeInvalidRequest, "the query cannot be read", "percent-encode its values")
	}
	handler, pattern := h.mux.Handler(r)
	if pattern != "" {
		return nil
	}
	var answer headerOnly
	handler.ServeHTTP(&answer, r)
	if answer.status != http.StatusMethodNotAllowed {
		return notFound
	}
	problem := newProblem(CodeMethodNotAllowed, "this path does not work with this method", "the routes are in /openapi.json")
	problem.header.Set("Allow", answer.Header().Get("Allow"))
	return problem
}

// headerOnly is a response whose body nobody wants.
type headerOnly struct {
	header http.Header
	status int
}

func (a *headerOnly) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *headerOnly) Write(p []byte) (int, error) { return len(p), nil }

func (a *headerOnly) WriteHeader(status int) { a.status = status }

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	controller := http.NewResponseController(w)
	limited := controller.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if limited && err == nil {
		// A deadline that stays would look as if the client were gone. Without
		// one the server would wait for the rest of a body before it answers.
		_ = controller.SetReadDeadline(time.Time{}) // it was possible to set one
	}
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, newProblem(CodeTooLarge, fmt.Sprintf("the body is larger than %d bytes", MaxBody), "")
	case errors.As(err, &network) && network.Timeout():
		return nil, newProblem(CodeTooSlow, "the body did not arrive in time", "")
	}
	return nil, newProblem(crossaccount.CodeInvalidRequest, "the body could not be read", "")
}

func (h *Handler) logProblem(requestID string, p *Problem) {
	if p.Status < http.StatusInternalServerError {
		return
	}
	cause := ""
	if p.cause != nil {
		cause = p.cause.Error()
	}
	h.options.Logger.Error("api: a request failed", "request", requestID, "code", p.Code, "detail", p.Detail, "cause", cause)
}

type principalKey struct{}

func principalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// NewRequestID returns an id for a request, which log entries and problems share.
func NewRequestID() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "unknown" // an id in a log is no secret
	}
	return hex.EncodeToString(b[:])
}
