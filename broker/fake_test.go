package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/crossaccount/crossaccount/broker"
)

// fakeSTS answers AssumeRole as a transport, so that it works on the clock of a
// synctest bubble. What it does with a call is a function, which tests change.
type fakeSTS struct {
	t *testing.T

	mu        sync.Mutex
	behave    func(call) reply
	calls     []call
	now, most int // calls under way, and the most there were at once
}

// A call is one request as it arrived.
type call struct {
	at     time.Time
	number int // from 1
	region string
	form   url.Values
	key    string // access key id it was signed with
}

func (c call) role() string { return c.form.Get("RoleArn") }

// A reply is what becomes of a call.
type reply struct {
	after    time.Duration
	hang     bool          // until the caller gives up
	code     string        // error code of STS
	message  string        // with it
	status   int           // of an error; 403 if 0
	broken   bool          // the connection breaks
	lifetime time.Duration // of the session; what was asked for if 0
	skew     time.Duration // of AWS's clock against ours
}

func granted(call) reply { return reply{after: 20 * time.Millisecond} }

func newFake(t *testing.T) *fakeSTS {
	progress.Add(1)
	return &fakeSTS{t: t, behave: granted}
}

// do changes what is done with calls from now on.
func (f *fakeSTS) do(behave func(call) reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = behave
}

func (f *fakeSTS) always(r reply) { f.do(func(call) reply { return r }) }

// count returns how many calls there were since the last count.
func (f *fakeSTS) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.calls)
	f.calls = nil
	return n
}

func (f *fakeSTS) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

var numbered struct {
	sync.Mutex
	n int
}

func (f *fakeSTS) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	numbered.Lock()
	numbered.n++
	number := numbered.n
	numbered.Unlock()
	region := strings.TrimSuffix(strings.TrimPrefix(r.URL.Host, "sts."), ".amazonaws.com")
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(credential, "/")

	f.mu.Lock()
	c := call{at: time.Now(), number: number, region: region, form: form, key: key}
	f.calls = append(f.calls, c)
	does := f.behave(c)
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()

	wait := time.NewTimer(does.after)
	defer wait.Stop()
	if does.hang {
		wait.Stop()
	}
	select {
	case <-wait.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	switch {
	case does.broken:
		return nil, io.ErrUnexpectedEOF
	case does.code != "":
		return f.refuse(r, does), nil
	}
	lifetime := does.lifetime
	if lifetime == 0 {
		lifetime, _ = time.ParseDuration(form.Get("DurationSeconds") + "s")
	}
	now := time.Now().Add(does.skew)
	return f.answer(r, 200, now, fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn</Arn><AssumedRoleId>id</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIA%016d</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>
<PackedPolicySize>6</PackedPolicySize></AssumeRoleResult><ResponseMetadata><RequestId>request-%d</RequestId></ResponseMetadata></AssumeRoleResponse>`,
		number, secret, token, now.Add(lifetime).UTC().Format(time.RFC3339Nano), number)), nil
}

const secret = "sEcReTsEcReTsEcReTsEcReTsEcReTsEcReTsEcR"

var token = strings.Repeat("t", 800)

func (f *fakeSTS) refuse(r *http.Request, does reply) *http.Response {
	status := does.status
	if status == 0 {
		status = http.StatusForbidden
	}
	return f.answer(r, status, time.Now().Add(does.skew), fmt.Sprintf(
		`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
		does.code, does.message))
}

func (f *fakeSTS) answer(r *http.Request, status int, date time.Time, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {"request-1"}, "Date": {date.UTC().Format(http.TimeFormat)}},
	}
}

// denied is what STS answers when it refuses. The message must never reach
// anybody.
var denied = reply{after: 20 * time.Millisecond, code: "AccessDenied", message: "raw message of STS"}

var down = reply{code: "ServiceUnavailable", status: 503}

// config is that of a broker whose STS is the fake.
func (f *fakeSTS) config() broker.Config {
	return broker.Config{
		AWSConfig: aws.Config{
			Region:      "us-east-1",
			Credentials: credentials.NewStaticCredentialsProvider("AKIABASE000000000000", "base", ""),
			HTTPClient:  &http.Client{Transport: f},
		},
		BaseIdentity: "vendor",
	}
}

// start returns a broker that is closed when the test ends.
func start(t *testing.T, c broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

const externalID = "xid-9f8e7d6c5b4a39281706f5e4d3c2b1a0"

// access is the usual request of a customer.
func access(customer string) broker.Request {
	return broker.Request{
		Customer: customer, Integration: "int-" + customer,
		Chain: []broker.Role{{ARN: "arn:aws:iam::222222222222:role/" + customer, ExternalID: externalID, SessionName: "inventory@" + customer}},
	}
}

func handle(t *testing.T, b *broker.Broker, r broker.Request) *broker.Handle {
	t.Helper()
	h, err := b.For(r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get retrieves credentials that must be there.
func get(t *testing.T, h *broker.Handle) aws.Credentials {
	t.Helper()
	c, err := h.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !c.Expires.After(time.Now()) {
		t.Fatalf("got credentials that expired at %s; it is %s", c.Expires, time.Now())
	}
	return c
}

// fails retrieves credentials that must not be there.
func fails(t *testing.T, h *broker.Handle, want broker.Code) *broker.Error {
	t.Helper()
	c, err := h.Retrieve(context.Background())
	if err == nil {
		t.Fatalf("got credentials %s; want the error %s", c.AccessKeyID, want)
	}
	if got := broker.CodeOf(err); got != want {
		t.Fatalf("got the error %s (%v); want %s", got, err, want)
	}
	for _, hidden := range []string{externalID, "raw message", secret} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("the error %q tells %q", err, hidden)
		}
	}
	var e *broker.Error
	errors.As(err, &e)
	return e
}

// recorder observes a broker.
type recorder struct {
	mu     sync.Mutex
	issued []broker.Issuance
	events []broker.Event
	calls  []broker.Call
	refuse error // what Issued returns
}

func (r *recorder) Issued(_ context.Context, i broker.Issuance) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.issued = append(r.issued, i)
	return r.refuse
}

func (r *recorder) Happened(e broker.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) Called(c broker.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// happened returns the events so far. Callers are answered before observers are
// told, so it waits until nothing goes on in the test's bubble.
func (r *recorder) happened() []broker.Event {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// sessions returns the issuances so far. They are told before anybody is answered.
func (r *recorder) sessions() []broker.Issuance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.issued)
}

// kinds returns the events since the last time, as one line.
func (r *recorder) kinds() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, string(e.Kind))
	}
	r.events = nil
	return strings.Join(out, " ")
}
