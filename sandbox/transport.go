package sandbox

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Client returns an HTTP client whose requests are answered by the sandbox
// within the process: no network is used, and no other host can be reached. See
// [Sandbox.RoundTripper].
func (s *Sandbox) Client() *http.Client {
	return &http.Client{
		Transport: s.RoundTripper(),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // as AWS's SDKs do
		},
	}
}

// RoundTripper returns a transport that hands requests for host names of AWS to
// the sandbox. A request for any other host is an error. Requests with https
// count as encrypted (aws:SecureTransport), others do not.
func (s *Sandbox) RoundTripper() http.RoundTripper { return inProcess{s} }

type inProcess struct{ sandbox *Sandbox }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	for _, name := range []string{host, r.URL.Host} {
		if _, ok := parseHost(name); !ok {
			return nil, fmt.Errorf("sandbox: refusing to reach %q: only host names of AWS services are answered here, and nothing leaves the process", name)
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := newAnswer()
	t.sandbox.ServeHTTP(answer, inbound(r))
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.response(r), nil
}

// inbound turns a client's request into the one a server would see.
func inbound(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		in.Body, in.ContentLength = http.NoBody, 0
	case r.ContentLength == 0:
		in.ContentLength = -1 // a client says so if it does not know
	}
	if r.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	}
	return in
}

// An answer collects a response in memory.
type answer struct {
	header http.Header
	status int
	sent   http.Header // the header as it was when the status was written
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) response(r *http.Request) *http.Response {
	a.WriteHeader(http.StatusOK)
	body, length := a.body.Bytes(), int64(a.body.Len())
	if r.Method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		body, length = nil, 0
		if declared, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil {
			length = declared
		}
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.sent,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: length,
		Request:       r,
	}
}
