// Package stsfaults is an AWS STS that goes wrong on demand, for measuring what
// its callers make of that. It answers AssumeRole with the protocol of STS,
// either by itself, which is fast enough for 100,000 customers, or by letting
// another AWS, such as the sandbox, answer what is not to fail.
//
//	sts := stsfaults.New(nil)
//	sts.Do(func(c stsfaults.Call) stsfaults.Fault {
//		if c.Region == "us-east-1" {
//			return stsfaults.Fault{Down: true}
//		}
//		return stsfaults.Fault{Latency: 20 * time.Millisecond}
//	})
//	config.HTTPClient = &http.Client{Transport: sts}
//
// As a transport it works on the clock of a bubble of testing/synctest, as a
// handler behind real connections.
package stsfaults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Call is one request as it arrived.
type Call struct {
	At     time.Time
	Number int // from 1
	Region string
	Role   string
}

// A Fault is what becomes of a call. The zero Fault is a good answer at once.
// Several can be combined; the first of Hang, Down and Code that is set decides.
type Fault struct {
	Latency time.Duration // before anything else
	Hang    bool          // no answer until the caller gives up
	Down    bool          // the connection breaks
	Code    string        // an error of STS, such as AccessDenied or Throttling
	Status  int           // of the error; 403 if 0
	Skew    time.Duration // of AWS's clock against ours, seen in Date and, of own answers, in Expiration

	// Lifetime of the session, of own answers; what was asked for if 0. It may be
	// shorter than AWS's 15 minutes, so that expiries can be watched.
	Lifetime time.Duration
}

// Faults of AWS as they are seen most.
var (
	Throttled   = Fault{Code: "Throttling", Status: http.StatusBadRequest}
	Unavailable = Fault{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable}
	Denied      = Fault{Code: "AccessDenied"}
)

// Counts are what happened since they were last reset.
type Counts struct {
	Calls    int
	Peak     int            // the most calls there were at once
	ByRegion map[string]int // :: region → calls
}

// An STS is safe for concurrent use; what it does can be changed while it works.
type STS struct {
	behind http.RoundTripper
	now    func() time.Time

	closed chan struct{}

	mu      sync.Mutex
	do      func(Call) Fault
	number  int
	running int
	counts  Counts
}

// New returns an STS that never fails. behind answers the calls that do not
// fail; if nil, the STS does so itself.
func New(behind http.RoundTripper) *STS {
	s := &STS{behind: behind, now: time.Now, closed: make(chan struct{}), do: func(Call) Fault { return Fault{} }}
	s.Reset()
	return s
}

// Clock makes the STS take the time from now. Call it before the STS is used.
func (s *STS) Clock(now func() time.Time) { s.now = now }

// Do lets a function decide on every call from now on. It must be quick and is
// called by one goroutine at a time.
func (s *STS) Do(do func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

// Always makes the same of every call from now on.
func (s *STS) Always(f Fault) { s.Do(func(Call) Fault { return f }) }

// Counts returns what happened since the last Reset.
func (s *STS) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.ByRegion = maps.Clone(c.ByRegion)
	return c
}

// Reset begins to count anew. Calls that are under way count for the peak.
func (s *STS) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = Counts{Peak: s.running, ByRegion: map[string]int{}}
}

// Close ends the calls that hang, and lets all later ones fail: some callers have
// no deadline of their own. Call it once.
func (s *STS) Close() {
	s.Always(Fault{Down: true})
	close(s.closed)
}

// begin counts a call and decides on it.
func (s *STS) begin(region, role string) (Call, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	c := Call{At: s.now(), Number: s.number, Region: region, Role: role}
	s.running++
	s.counts.Calls++
	s.counts.Peak = max(s.counts.Peak, s.running)
	s.counts.ByRegion[region]++
	return c, s.do(c)
}

func (s *STS) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// errDown is what a broken connection looks like.
var errDown = errors.New("stsfaults: connection reset by peer")

// RoundTrip implements [http.RoundTripper].
func (s *STS) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	call, fault := s.begin(regionOf(r.Header.Get("Authorization")), form.Get("RoleArn"))
	defer s.end()
	if err := s.suffer(r.Context(), fault); err != nil {
		return nil, err
	}
	if s.behind != nil && fault.Code == "" {
		next := r.Clone(r.Context())
		next.Body = io.NopCloser(bytes.NewReader(body))
		response, err := s.behind.RoundTrip(next)
		if err == nil && fault.Skew != 0 {
			response.Header.Set("Date", s.now().Add(fault.Skew).UTC().Format(http.TimeFormat))
		}
		return response, err
	}
	status, text := s.answer(call, fault, form)
	response := &http.Response{
		Status: fmt.Sprint(status, " ", http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r,
	}
	s.header(response.Header, call, fault)
	return response, nil
}

// ServeHTTP implements [http.Handler].
func (s *STS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	call, fault := s.begin(regionOf(r.Header.Get("Authorization")), r.PostForm.Get("RoleArn"))
	defer s.end()
	if err := s.suffer(r.Context(), fault); err != nil {
		panic(http.ErrAbortHandler) // closes the connection
	}
	status, text := s.answer(call, fault, r.PostForm)
	s.header(w.Header(), call, fault)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a caller that is gone needs no answer
}

// suffer does what keeps a call from being answered.
func (s *STS) suffer(ctx context.Context, f Fault) error {
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case f.Hang:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return errDown
		}
	case f.Down:
		return errDown
	}
	return nil
}

// regionOf finds the region in what a request was signed for, which is right for
// every host.
func regionOf(authorization string) string {
	_, scope, _ := strings.Cut(authorization, "Credential=")
	if parts := strings.SplitN(scope, "/", 4); len(parts) == 4 {
		return parts[2]
	}
	return ""
}

func (s *STS) header(h http.Header, c Call, f Fault) {
	h.Set("Content-Type", "text/xml")
	h.Set("X-Amzn-Requestid", fmt.Sprint("request-", c.Number))
	h.Set("Date", s.now().Add(f.Skew).UTC().Format(http.TimeFormat))
}

// TokenLength is that of the session tokens, which is usual for AWS's.
const TokenLength = 800

var padding = strings.Repeat("0", TokenLength)

func (s *STS) answer(c Call, f Fault, form url.Values) (status int, body string) {
	if f.Code != "" {
		status = f.Status
		if status == 0 {
			status = http.StatusForbidden
		}
		return status, fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>injected</Message></Error><RequestId>request-%d</RequestId></ErrorResponse>`,
			f.Code, c.Number)
	}
	lifetime := f.Lifetime
	if lifetime == 0 {
		seconds, err := strconv.Atoi(form.Get("DurationSeconds"))
		if err != nil {
			seconds = 3600
		}
		lifetime = time.Duration(seconds) * time.Second
	}
	expires := s.now().Add(f.Skew + lifetime).UTC()
	token := fmt.Sprintf("%d.%s.", expires.UnixNano(), strings.ReplaceAll(c.Role, ":", "_"))
	token += padding[:max(0, TokenLength-len(token))]
	return http.StatusOK, fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><Arn>%s</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIA%016d</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>request-%d</RequestId></ResponseMetadata></AssumeRoleResponse>`,
		c.Role, c.Number, padding[:40], token, expires.Format(time.RFC3339Nano), c.Number)
}

// Check says what AWS would: whether these credentials, which this STS issued by
// itself, are for the role and had not expired at an instant of AWS's clock.
func Check(c aws.Credentials, role string, at time.Time) error {
	parts := strings.SplitN(c.SessionToken, ".", 3)
	if len(parts) != 3 {
		return errors.New("stsfaults: not a session token of this STS")
	}
	expires, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return err
	}
	if parts[1] != strings.ReplaceAll(role, ":", "_") {
		return fmt.Errorf("stsfaults: credentials of %s were handed out for %s", parts[1], role)
	}
	if late := at.UnixNano() - expires; late >= 0 {
		return fmt.Errorf("stsfaults: credentials were handed out %s after they had expired", time.Duration(late))
	}
	return nil
}
