package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// A talkativeAWS remembers every secret that it hands out, and can refuse the
// sessions of a role in the worst words: with the external ID in them.
type talkativeAWS struct {
	next http.Handler

	mu      sync.Mutex
	secrets []string
	fails   map[string]failure // :: role ARN → how
	refused int
}

type failure struct {
	status int
	code   string
}

// rawWords are in every message of the STS that fails.
const rawWords = "raw words of STS about arn:aws:iam::111122223333:role/broker"

var handedOut = regexp.MustCompile(`<(?:SecretAccessKey|SessionToken)>([^<]+)<`)

func (a *talkativeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form := r.Clone(r.Context())
	form.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") && form.ParseForm() == nil && form.PostForm.Get("Action") == "AssumeRole" {
		a.mu.Lock()
		fails, ok := a.fails[form.PostForm.Get("RoleArn")]
		if ok {
			a.refused++
		}
		a.mu.Unlock()
		if ok {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(fails.status)
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s and %s</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`,
				fails.code, rawWords, form.PostForm.Get("ExternalId"))
			return
		}
	}
	recorder := httptest.NewRecorder()
	a.next.ServeHTTP(recorder, r)
	a.mu.Lock()
	for _, found := range handedOut.FindAllSubmatch(recorder.Body.Bytes(), -1) {
		a.secrets = append(a.secrets, string(found[1]))
	}
	a.mu.Unlock()
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

func (a *talkativeAWS) fail(role string, how failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails == nil {
		a.fails = map[string]failure{}
	}
	a.fails[role] = how
}

// Whatever STS answers, neither the server's log, with everything it can say, nor
// an answer to somebody who is not given credentials has an external ID, a
// credential, a token or a word of STS. The credentials come over a Unix socket.
func TestRule5_UsingAccessTellsNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	aws := &talkativeAWS{next: w.Box}
	front := httptest.NewTLSServer(aws) // its certificate is that of all such servers
	t.Cleanup(front.Close)
	folder := t.TempDir()
	socket, registry := filepath.Join(folder, "s"), filepath.Join(folder, "tokens.json")
	customers := make([]string, 5)
	for i := range customers {
		customers[i] = servetest.CustomerID(i)
	}
	token, record, err := broker.IssueToken(nil, time.Now(), "reports-job", broker.TokenRecord{Customers: customers, Purposes: []string{""}, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.UpdateTokens(t.Context(), registry, func([]broker.TokenRecord) ([]broker.TokenRecord, error) { return []broker.TokenRecord{record}, nil }); err != nil {
		t.Fatal(err)
	}
	p := serve(t, w, "AWS_ENDPOINT_URL="+front.URL, "CROSSACCOUNT_LOG_LEVEL=debug", "CROSSACCOUNT_OPERATOR_CREDENTIALS=true",
		"CROSSACCOUNT_CREDENTIALS_LISTEN=unix:"+socket, "CROSSACCOUNT_CREDENTIALS_TOKENS="+registry)
	if _, err := w.Onboard(t.Context(), p, len(customers)); err != nil {
		t.Fatal(err)
	}
	operator, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	var externalIDs []string
	roles := map[string]string{}
	for i, err := range operator.All(t.Context(), api.ListRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		started, err := operator.Start(t.Context(), &api.StartRequest{CustomerID: i.CustomerID, IntegrationID: i.ID})
		if err != nil {
			t.Fatal(err)
		}
		externalIDs = append(externalIDs, started.ExternalID)
		roles[i.CustomerID] = i.RoleARN
	}

	// A Go program at the socket.
	program := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer program.CloseIdleConnections()
	var said strings.Builder // answers without credentials
	ask := func(customer, token string, want int) []byte {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+broker.CredentialsPath(customer, "", ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", token)
		response, err := program.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: %s, %v: %s", customer, response.Status, err, body)
		}
		if response.StatusCode != http.StatusOK {
			fmt.Fprintf(&said, "%v %s\n", response.Header, body)
		}
		return body
	}
	var issued struct{ AccessKeyID, SecretAccessKey, Token string }
	if err := json.Unmarshal(ask(customers[0], token, 200), &issued); err != nil || issued.SecretAccessKey == "" {
		t.Fatalf("%v, %v", err, issued.AccessKeyID)
	}
	wrong := token[:len(token)-1] + "_"
	ask(customers[0], wrong, 401)
	ask("globex", token, 403)
	for i, how := range []failure{{403, "AccessDenied"}, {400, "ValidationError"}, {503, "ServiceUnavailable"}, {400, "PackedPolicyTooLarge"}} {
		customer := customers[i+1]
		aws.fail(roles[customer], how)
		for range 2 { // the second answer is that from memory
			if _, err := operator.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: customer}); err == nil {
				t.Errorf("%s: there are credentials", customer)
			} else {
				fmt.Fprintf(&said, "%v %+v\n", err, err)
			}
			status := map[int]int{403: 403, 400: 404, 503: 503}[how.status]
			if how.code == "AccessDenied" {
				status = 503 // the role was onboarded a moment ago: patience
			}
			ask(customer, token, status)
		}
		if _, err := operator.Identity(t.Context(), api.CredentialsRequest{CustomerID: customer}); err == nil {
			t.Errorf("%s: there is an identity", customer)
		} else {
			fmt.Fprintf(&said, "%v\n", err)
		}
	}
	if err := errors.Join(p.Interrupt(), p.Wait()); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	aws.mu.Lock()
	defer aws.mu.Unlock()
	if len(aws.secrets) < 20 || aws.refused < 4 || len(externalIDs) != len(customers) {
		t.Fatalf("STS gave %d secrets, refused %d times, and there are %d external IDs", len(aws.secrets), aws.refused, len(externalIDs))
	}
	for place, text := range map[string]string{"the log": p.Log(), "an answer": said.String()} {
		if len(text) < 1000 {
			t.Errorf("%s has only %q; looking through it is worth nothing", place, text)
		}
		forbidden := append([]string{token, wrong, servetest.Token, issued.SecretAccessKey, issued.Token, rawWords[:12], "role/broker"}, externalIDs...)
		for _, secret := range append(forbidden, aws.secrets...) {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %.16s…", place, secret)
			}
		}
	}
	if !strings.Contains(p.Log(), `"level":"DEBUG"`) && !strings.Contains(p.Log(), `"level":"INFO"`) {
		t.Error("the log says too little to be of use here")
	}
}
