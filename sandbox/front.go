package sandbox

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
	"github.com/crossaccount/crossaccount/sandbox/internal/stsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxFormSize limits the body of a request, unless its service has a limit of
// its own. The largest that AWS accepts in the query protocol hold a template
// of 51,200 bytes, which form encoding may triple, and 200 parameters.
const maxFormSize = 2 << 20

// ServeHTTP answers a request to any of the services, and a browser's request
// for the root with a page about the sandbox.
//
// The service is the one in the signature's credential scope; for unsigned
// requests it is found by the host's name or by the API's version.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		sandbox: s,
		answer:  &noted{ResponseWriter: w},
		request: ownRequest(r),
		now:     s.clock(),
		id:      s.newRequestID(),
	}
	w.Header().Set("Date", x.now.UTC().Format(http.TimeFormat))
	defer x.finish()
	s.advance(x.now)
	if wantsPage(r) {
		x.page = true
		s.servePage(x.answer, r)
		return
	}
	if err := x.serve(); err != nil {
		x.refuse(wire.AsError(err))
	}
}

// ownRequest copies what verification changes: the request may be a client's.
func ownRequest(r *http.Request) *http.Request {
	own := *r
	own.Header = r.Header.Clone()
	if own.Header == nil {
		own.Header = http.Header{}
	}
	if own.Body == nil {
		own.Body = http.NoBody
	}
	return &own
}

// An exchange is one request on its way to its answer.
type exchange struct {
	sandbox *Sandbox
	answer  *noted
	request *http.Request
	now     time.Time
	id      string
	page    bool

	name    string   // of the service, once known
	service *service // nil if the sandbox does not have it
	call    *authz.Call
	region  string
	keyID   string
	failed  *wire.Error // what refuse answered
}

// serve authenticates the request and hands it to its service. The error is an
// answer that is still to be written.
func (x *exchange) serve() error {
	r := x.request
	signature, err := sigv4.Parse(r)
	if x.serveIssuer(signature) {
		return nil
	}
	if api, ok := x.apiAddress(signature); ok {
		return x.invoke(api, signature, err)
	}
	if packages, ok := x.packageEndpoint(signature); ok {
		x.servePackages(packages)
		return nil
	}
	if err := x.findService(signature); err != nil {
		return err
	}
	if err != nil {
		return x.refusal(err, signature)
	}
	if x.service == nil {
		return wire.Errorf(http.StatusNotImplemented, "NotImplemented",
			"the sandbox has no service %q; it has %s", x.name, strings.Join(slices.Sorted(maps.Keys(x.sandbox.services)), ", "))
	}
	var caller authz.Caller
	if signature == nil {
		switch {
		case x.name == "s3":
			if err := sigv4.DecodeAnonymous(r); err != nil {
				return x.refusal(err, nil)
			}
		case x.name == "sts" && x.parseForm() == nil && stsapi.Unsigned(r.Form.Get("Action")):
		default:
			return x.missingSignature()
		}
	} else if caller, err = x.authenticate(signature); err != nil {
		return x.refusal(err, signature)
	}
	x.call = x.newCall(caller)
	switch x.service.protocol {
	case storageProtocol:
		r.Body = &payload{r.Body, x}
	case queryProtocol:
		if err := x.parseForm(); err != nil {
			return err
		}
	case jsonProtocol:
		if r.Method != http.MethodPost {
			return wire.Errorf(http.StatusMethodNotAllowed, "UnknownOperationException", "requests to %s are made with POST", x.name)
		}
	case restProtocol:
	}
	x.service.handler.ServeAPI(x.answer, r, x.call)
	return nil
}

// newCall prepares the request for being authorized.
func (x *exchange) newCall(caller authz.Caller) *authz.Call {
	r := x.request
	return x.sandbox.engine.NewCall(authz.Call{
		Context:   r.Context(),
		Service:   x.name,
		Region:    x.region,
		RequestID: x.id,
		Caller:    caller,
		Now:       x.now,
		SourceIP:  sourceIP(r),
		UserAgent: r.UserAgent(),
		Referer:   r.Referer(),
		Secure:    r.TLS != nil,
	})
}

// findService says which service a request is for. A signed one says so
// itself; if the host is a name of AWS, both must agree.
func (x *exchange) findService(signature *sigv4.Signature) error {
	host, known := parseHost(x.request.Host)
	switch {
	case signature != nil:
		x.name, x.region, x.keyID = signature.Scope.Service, signature.Scope.Region, signature.AccessKeyID
	case known:
		x.name, x.region = host.service, host.region
	default:
		x.name = x.guessService()
	}
	if known {
		x.service = x.sandbox.services[host.service] // for the form of errors
	} else {
		x.service = x.sandbox.services[x.name]
	}
	if signature == nil {
		return nil
	}
	partition, ok := iam.PartitionOfRegion(x.region)
	switch {
	case known && host.service != x.name:
		x.name = host.service
		return x.wrongScope("service", host.service, signature.Scope.Service)
	case !ok, known && host.region != "" && host.region != x.region:
		expect := host.region
		if expect == "" {
			expect = "us-east-1"
		}
		return x.wrongScope("region", expect, x.region)
	case x.name == "iam" && known && partition.DefaultRegion != x.region:
		return x.wrongScope("region", partition.DefaultRegion, x.region)
	case x.name == "iam":
		// IAM is in one region of its partition. Clients that were given the
		// sandbox's address do not know and sign for their own.
		x.region = partition.DefaultRegion
	}
	return nil
}

// guessService finds the service of an unsigned request to a local address.
func (x *exchange) guessService() string {
	r := x.request
	if target, _, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		for name, service := range x.sandbox.services {
			if slices.Contains(service.targets, target) {
				return name
			}
		}
	}
	values := r.URL.Query()
	if isForm(r) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxFormSize))
		if err != nil {
			return "s3"
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") {
			values = form
		}
	}
	if values.Has("Action") {
		for name, service := range x.sandbox.services {
			if service.version != "" && service.version == values.Get("Version") {
				return name
			}
		}
		return "sts"
	}
	return "s3"
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded"
}

// authenticate finds the principal and verifies the signature.
func (x *exchange) authenticate(signature *sigv4.Signature) (authz.Caller, error) {
	credential, problem := x.sandbox.engine.Resolve(signature.AccessKeyID, signature.SessionToken, x.now)
	if problem != nil && !errors.Is(problem, authz.ErrExpiredToken) {
		return authz.Caller{}, problem
	}
	limit := int64(maxFormSize)
	if x.service.maxBody != 0 {
		limit = x.service.maxBody
	}
	if err := signature.Verify(x.request, credential.Secret, x.now, limit); err != nil {
		return authz.Caller{}, err
	}
	if problem != nil {
		return authz.Caller{}, problem
	}
	account, ok := x.sandbox.directory.Account(credential.Caller.Principal.Account)
	if partition, _ := iam.PartitionOfRegion(x.region); !ok || partition.ID != account.Partition {
		return authz.Caller{}, authz.ErrUnknownKey // partitions do not know each other's keys
	}
	if x.name == "iam" && isPlainSession(credential.Caller) {
		return authz.Caller{}, authz.ErrInvalidToken
	}
	return credential.Caller, nil
}

// isPlainSession reports whether the credentials come from GetSessionToken
// without MFA, with which IAM cannot be called.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func isPlainSession(c authz.Caller) bool {
	return c.Session != nil && c.Principal.RoleARN == "" && !c.Session.MFA
}

// parseForm reads the parameters of a request of the query protocol.
func (x *exchange) parseForm() error {
	r := x.request
	if r.URL.Path != "" && r.URL.Path != "/" {
		return wire.Errorf(http.StatusNotFound, "UnknownOperationException", "the path of a request to %s must be /", x.name)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return wire.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "requests to %s are made with POST or GET", x.name)
	}
	if err := r.ParseForm(); err != nil {
		return wire.BadRequest("MalformedQueryString", "the request's parameters are not form encoded")
	}
	if r.Form.Get("Action") == "" {
		return wire.BadRequest("MissingAction", "the request has no parameter Action")
	}
	return nil
}

// sourceIP returns the address of the client. A request handed over inside the
// process has none and counts as one from this machine.
func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "127.0.0.1"
	}
	host, _, _ = strings.Cut(host, "%") // the zone of a link-local address
	return host
}

// refuse answers with an error in the service's form.
func (x *exchange) refuse(err *wire.Error) {
	x.failed = err
	if err.Status >= http.StatusInternalServerError && err.Cause != nil {
		x.sandbox.logger.Error("request failed", "request", x.id, "service", x.name, "cause", err.Cause)
	}
	switch {
	case x.name == "s3":
		s3api.WriteError(x.answer, x.request, x.id, err)
	case x.name == "execute-api" && x.service != nil:
		apigatewayapi.WriteError(x.answer, x.id, err)
	case x.service != nil && x.service.protocol == queryProtocol:
		wire.WriteQueryError(x.answer, x.service.namespace, x.id, err)
	case x.service != nil:
		wire.WriteJSONError(x.answer, x.id, err)
	case strings.Contains(x.request.Header.Get("Content-Type"), "json"):
		wire.WriteJSONError(x.answer, x.id, err)
	default:
		wire.WriteQueryError(x.answer, wire.NamespaceSTS, x.id, err)
	}
}

// finish records the exchange, and answers for a service that panicked.
func (x *exchange) finish() {
	if fault := recover(); fault != nil {
		if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(fault)
		}
		x.sandbox.logger.Error("service panicked", "request", x.id, "service", x.name, "fault", fault)
		if x.answer.status != 0 {
			panic(http.ErrAbortHandler) // the answer has begun and cannot be taken back
		}
		x.refuse(wire.AsError(errors.New("panic")))
	}
	if x.page {
		return
	}
	record := authz.Record{
		Time:      x.now,
		RequestID: x.id,
		Service:   x.name,
		Region:    x.region,
		KeyID:     x.keyID,
		Status:    x.answer.status,
		Code:      x.answer.code(),
	}
	if x.failed != nil {
		record.Code = x.failed.Code
	}
	if x.call != nil {
		record.Operation = x.call.Operation
		record.Caller = x.call.CallerName()
		if key := x.call.Caller.AccessKeyID; key != "" {
			x.sandbox.directory.RecordUse(key, directory.LastUse{At: x.now, Service: x.name, Region: x.region})
		}
	}
	x.sandbox.engine.Remember(record, x.call)
	x.sandbox.logger.LogAttrs(x.request.Context(), slog.LevelDebug, "request",
		slog.String("request", x.id), slog.String("service", x.name), slog.String("operation", record.Operation),
		slog.String("caller", record.Caller), slog.Int("status", record.Status), slog.String("code", record.Code))
}

// A payload is the body of a request to S3 with errors in S3's words.
type payload struct {
	body     io.ReadCloser
	exchange *exchange
}

func (p *payload) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	var wrong *sigv4.Error
	if errors.As(err, &wrong) {
		return n, p.exchange.refusal(wrong, nil)
	}
	return n, err
}

func (p *payload) Close() error { return p.body.Close() }

// noted is a response writer that notes the status, and of an error its code.
type noted struct {
	http.ResponseWriter
	status int
	start  []byte // of an error's body
}

func (n *noted) WriteHeader(status int) {
	if n.status == 0 {
		n.status = status
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(b []byte) (int, error) {
	if n.status == 0 {
		n.status = http.StatusOK
	}
	if n.status >= 300 && len(n.start) < 512 {
		n.start = append(n.start, b[:min(len(b), 512-len(n.start))]...)
	}
	return n.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *noted) code() string {
	if code := n.Header().Get("X-Amzn-Errortype"); code != "" {
		return code
	}
	_, rest, ok := bytes.Cut(n.start, []byte("<Code>"))
	if !ok {
		return ""
	}
	code, _, ok := bytes.Cut(rest, []byte("</Code>"))
	if !ok {
		return ""
	}
	return string(code)
}
