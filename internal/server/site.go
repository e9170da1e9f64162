package server

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

// Version is what Go stamped into the binary.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v = "devel " + s.Value
		}
	}
	return v
}

// SiteOptions are what a [Site] needs besides its client.
type SiteOptions struct {
	Authenticate api.Authenticator

	// LoopbackNamesOnly refuses requests for other host names than those of the
	// loopback interface. Where nobody is authenticated, it keeps a page in a
	// browser from reaching the server under a name of its own that resolves to
	// 127.0.0.1.
	LoopbackNamesOnly bool

	// Answers and Encryptor keep the answers to requests with idempotency keys;
	// see [api.Options].
	Answers   api.AnswerStore
	Encryptor crossaccount.Encryptor

	// HandOutCredentials is that of [api.Options].
	HandOutCredentials bool

	// PublicURL returns where customers' browsers reach the site, without a
	// slash at the end, or "" if that is not known; then there are no setup
	// links.
	PublicURL func() string

	TLS     bool // the site is served with TLS by us
	Logger  *slog.Logger
	Version string
}

// A Site is the API and the customer's page, with what both need: request ids,
// security headers and an access log.
//
//	/v1/…, /openapi.json, /healthz, /readyz   the API
//	/metrics                                  counts, for operators
//	/connect                                  asks an operator for the customer
//	/connect/CUSTOMER                         the customer's page
//	/connect?link=TOKEN                       opens a setup link
//
// The page is for operators, for services in front that send the operator token
// and the header Crossaccount-Customer for the customer they authenticated, whose
// page is /connect, and for customers who were sent a setup link.
type Site struct {
	options SiteOptions
	client  *crossaccount.Client
	api     *api.Handler
	mux     *http.ServeMux

	started  time.Time
	answered [6]atomic.Uint64 // :: class of status, such as 4 → answers
}

// NewSite makes the site of a client, which must have been made with
// [PageCustomer] as its tenant resolver.
func NewSite(client *crossaccount.Client, options SiteOptions) (*Site, error) {
	handler, err := api.New(client, api.Options{
		Authenticate: options.Authenticate, Logger: options.Logger, Version: options.Version,
		Answers: options.Answers, Encryptor: options.Encryptor, SetupPage: setupPage(options.PublicURL),
		HandOutCredentials: options.HandOutCredentials,
	})
	if err != nil {
		return nil, err
	}
	s := &Site{options: options, client: client, api: handler, mux: http.NewServeMux(), started: time.Now()}
	page := s.linked(s.authenticated(http.HandlerFunc(client.ServeSetupUI)))
	s.mux.Handle("/", handler)
	s.mux.HandleFunc("GET /metrics", s.operators(s.metrics))
	s.mux.Handle("GET /{$}", http.RedirectHandler("/connect", http.StatusSeeOther))
	s.mux.Handle("/connect", s.opensLinks(s.authenticated(askCustomer(client))))
	s.mux.Handle("/connect/{customer}", page)
	return s, nil
}

// Close ends what goes on in the background: pages that follow a verification
// are told to come back, and verifications of the API and of pages are waited for
// until the context ends, and then cut off.
func (s *Site) Close(ctx context.Context) error {
	pages := make(chan error, 1)
	go func() { pages <- s.client.Close(ctx) }()
	return errors.Join(s.api.Close(ctx), <-pages)
}

// bodyTimeout is how long a body may take that nobody wants.
const bodyTimeout = 10 * time.Second

// givenID is a request id that a proxy in front may have given.
var givenID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ServeHTTP answers a request and logs it.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	id := r.Header.Get("X-Request-Id")
	if !givenID.MatchString(id) {
		id = api.NewRequestID()
	}
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; style-src 'unsafe-inline'") // pages set their own
	if s.options.TLS {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	counted := &countedResponse{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		s.answered[min(counted.status/100, 5)].Add(1)
		// Neither the query nor a body is logged: they name customers.
		path := r.URL.Path
		if len(path) > 200 {
			path = path[:200] + "…"
		}
		s.options.Logger.Info("request", "id", id, "method", r.Method, "path", path, "status", counted.status,
			"bytes", counted.bytes, "duration", time.Since(started).Round(time.Microsecond).String(), "remote", r.RemoteAddr)
	}()
	if s.options.LoopbackNamesOnly && !isLoopback(hostname(r.Host)) {
		http.Error(counted, "without an operator token this server answers to localhost and 127.0.0.1 only", http.StatusMisdirectedRequest)
		return
	}
	if r.Body != http.NoBody {
		// Who reads the body sets another deadline. Before answering anybody
		// else the server waits for the body, and not for ever.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // other servers have their own limits
	}
	s.mux.ServeHTTP(counted, r)
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// countedResponse remembers what was sent, for the log.
type countedResponse struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *countedResponse) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] reach the connection.
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }

type customerKey struct{}

// authenticated lets operators and confined operators reach a page. Browsers ask
// for the token, as the password of any user.
func (s *Site) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		principal, err := s.options.Authenticate(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="crossaccount: the password is the operator token", charset="UTF-8"`)
			http.Error(w, "the operator token is missing or wrong", http.StatusUnauthorized)
			return
		}
		customer := r.PathValue("customer")
		if !principal.Operator {
			if customer != "" && customer != principal.CustomerID {
				http.Error(w, "the page is another customer's than the one you act for", http.StatusForbidden)
				return
			}
			customer = principal.CustomerID
		}
		ctx := context.WithValue(r.Context(), customerKey{}, customer)
		next.ServeHTTP(w, r.WithContext(crossaccount.WithActor(ctx, principal.Name+" on the setup page")))
	})
}

// PageCustomer is the tenant resolver of the page: the customer that
// authenticated found.
func PageCustomer(r *http.Request) (string, error) {
	if customer, _ := r.Context().Value(customerKey{}).(string); customer != "" {
		return customer, nil
	}
	return "", errors.New("server: the request names no customer")
}

// askCustomer serves the page of a confined operator's customer, and asks other
// operators whose page they want.
func askCustomer(client *crossaccount.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := PageCustomer(r); err == nil {
			client.ServeSetupUI(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if customer := strings.TrimSpace(r.URL.Query().Get("customer_id")); customer != "" && customer != "." && customer != ".." {
			http.Redirect(w, r, "/connect/"+url.PathEscape(customer), http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_ = askPage.Execute(w, nil) // the connection is gone
	})
}

var askPage = template.Must(template.New("ask").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Connect a customer</title>
<style>
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif }
body { max-width: 34rem; margin: 4rem auto; padding: 0 1rem }
input, button { font: inherit; padding: .5rem .75rem; box-sizing: border-box }
input { display: block; width: 100%; margin: .25rem 0 1rem }
</style>
<main>
<h1>Connect a customer</h1>
<p>You are an operator. The next page is the one your customer sees.</p>
<form method="get" action="/connect">
<label for="customer_id">Customer's id in your service</label>
<input id="customer_id" name="customer_id" required maxlength="256" autocomplete="off">
<button>Open the page</button>
</form>
</main>
</html>
`))
