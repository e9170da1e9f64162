package broker

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentialsRoot begins the path of all credentials.
const credentialsRoot = "/credentials/"

// wholeRole stands in a path for no purpose, where an integration follows.
const wholeRole = "-"

// CredentialsPath returns the path under which an [Endpoint] has the credentials
// of a customer: /credentials/CUSTOMER, and then, if they are given, /PURPOSE and
// /INTEGRATION. A purpose named "-" cannot be asked for.
func CredentialsPath(customer, integration, purpose string) string {
	path := credentialsRoot + url.PathEscape(customer)
	if purpose == "" && integration != "" {
		purpose = wholeRole
	}
	if purpose != "" {
		path += "/" + url.PathEscape(purpose)
	}
	if integration != "" {
		path += "/" + url.PathEscape(integration)
	}
	return path
}

// splitPath reads what CredentialsPath made.
func splitPath(u *url.URL) (customer, integration, purpose string, ok bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), credentialsRoot)
	if !ok || strings.Count(rest, "/") > 2 {
		return "", "", "", false
	}
	customer, rest, more := strings.Cut(rest, "/")
	purpose, integration, third := strings.Cut(rest, "/")
	if more && purpose == "" || third && integration == "" {
		return "", "", "", false
	}
	for _, part := range [...]*string{&customer, &purpose, &integration} {
		if strings.IndexByte(*part, '%') < 0 {
			continue
		}
		plain, err := url.PathUnescape(*part)
		if err != nil {
			return "", "", "", false
		}
		*part = plain
	}
	if purpose == wholeRole {
		purpose = ""
	}
	return customer, integration, purpose, customer != ""
}

// A refusal is an answer without credentials.
type refusal struct {
	outcome Outcome
	status  int
	code    string
	message string
	after   time.Duration // when to try again; 0 if unknown
}

var (
	wrongMethod = refusal{outcome: Guarded, status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "only GET is allowed here"}
	wrongHost   = refusal{outcome: Guarded, status: http.StatusForbidden, code: "host_not_allowed",
		message: "the request's Host is none of this endpoint's; use the address it listens on"}
	wrongHeader = refusal{outcome: Guarded, status: http.StatusForbidden, code: "header_not_allowed",
		message: "the request came from a browser or through a proxy; connect directly (NO_PROXY)"}
	withBody = refusal{outcome: Guarded, status: http.StatusBadRequest, code: "body_not_allowed", message: "a request for credentials has no body"}

	closed = refusal{outcome: Unavailable, status: http.StatusServiceUnavailable, code: string(CodeClosed), message: "the endpoint was closed"}

	unauthorized = refusal{outcome: Unauthorized, status: http.StatusUnauthorized, code: "unauthorized",
		message: "there is no valid token in the Authorization header; set AWS_CONTAINER_AUTHORIZATION_TOKEN or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}
	unknownPath = refusal{outcome: Forbidden, status: http.StatusNotFound, code: "not_found",
		message: "there are no credentials here; ask for /credentials/CUSTOMER, then /PURPOSE or -, then /INTEGRATION"}
	forbidden = refusal{outcome: Forbidden, status: http.StatusForbidden, code: "forbidden",
		message: "the token is not for this customer, integration and purpose"}
)

func (e *Endpoint) refuse(w http.ResponseWriter, r *refusal) {
	e.stats[r.outcome].Add(1)
	header := w.Header()
	header["Content-Type"] = jsonType
	if r.status == http.StatusMethodNotAllowed {
		header.Set("Allow", http.MethodGet)
	}
	if r.after > 0 {
		header.Set("Retry-After", strconv.FormatInt(int64((r.after+time.Second-1)/time.Second), 10))
	}
	body, err := json.Marshal(struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		CodeJS    string `json:"Code"` // the SDK for JavaScript looks for these
		MessageJS string `json:"Message"`
	}{r.code, r.message, r.code, r.message})
	if err != nil {
		panic(err) // two strings
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // a caller that went away does not miss it
}

// maxEncoded bounds the answers that are kept; one has about 1.5 kB.
const maxEncoded = 10_000

// An encodedCache keeps answers in the form that is sent.
type encodedCache struct {
	mu      sync.RWMutex
	answers map[Key]*encodedAnswer
}

// An encodedAnswer is the answer for credentials. It does not change.
type encodedAnswer struct {
	credentials aws.Credentials
	body        []byte
	length      []string // of the body, as a header
}

// of returns the answer for a source's credentials. What it found under the key
// counts only if it is of the very same credentials, whose strings are the same
// memory and quickly compared.
func (c *encodedCache) of(source Source, credentials aws.Credentials) *encodedAnswer {
	key := sourceKey(source)
	c.mu.RLock()
	answer := c.answers[key]
	c.mu.RUnlock()
	if answer != nil && answer.isOf(credentials) {
		return answer
	}
	answer = encodeAnswer(source.Subject().RoleARN, credentials)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil || len(c.answers) >= maxEncoded {
		c.answers = make(map[Key]*encodedAnswer) // starting anew is rare, and costs a microsecond for each
	}
	c.answers[key] = answer
	return answer
}

// isOf reports whether the answer is of these credentials. Their expiry may differ
// by less than is written, because it is corrected for the clock's error.
func (a *encodedAnswer) isOf(credentials aws.Credentials) bool {
	return a.credentials.AccessKeyID == credentials.AccessKeyID && a.credentials.SecretAccessKey == credentials.SecretAccessKey &&
		a.credentials.SessionToken == credentials.SessionToken && a.credentials.AccountID == credentials.AccountID &&
		a.credentials.CanExpire == credentials.CanExpire && a.credentials.Expires.Unix() == credentials.Expires.Unix()
}

// sourceKey returns the key of a source's entry, from a [Handle] without looking at
// anything else.
func sourceKey(source Source) Key {
	if h, ok := source.(*Handle); ok {
		return h.Key()
	}
	return source.Subject().Key
}

// encodeAnswer writes what SDKs read.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func encodeAnswer(roleARN string, credentials aws.Credentials) *encodedAnswer {
	content := struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string `json:",omitempty"`
		AccountID       string `json:"AccountId,omitempty"`
		RoleARN         string `json:"RoleArn,omitempty"`
	}{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey, Token: credentials.SessionToken,
		AccountID: credentials.AccountID, RoleARN: roleARN,
	}
	if credentials.CanExpire {
		// Whole seconds, and never later than it is true.
		content.Expiration = credentials.Expires.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	body, err := json.Marshal(content)
	if err != nil {
		panic(err) // strings
	}
	return &encodedAnswer{credentials: credentials, body: body, length: []string{strconv.Itoa(len(body))}}
}
