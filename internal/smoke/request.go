package smoke

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A request is one call of a service, before it is signed.
type request struct {
	service string // signing name
	host    string // on AWS, without the partition's suffix: "kinesis.eu-central-1"
	method  string
	path    string // as it is sent, escaped
	query   url.Values
	header  map[string]string
	body    []byte
	bare    bool // without a signature
	local   string

	// packages requests are those of a package manager, whose answers have no
	// error codes; missing says that the answer that the package does not exist
	// means that reading is allowed.
	packages, missing bool
	// limit is how long the answer may take, if that is longer than callTimeout;
	// without an answer the request is not made again.
	limit time.Duration
}

// jsonRequest is a call in AWS's JSON protocol.
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func jsonRequest(service, host, version, operation string, input map[string]any) *request {
	body, err := json.Marshal(input)
	if err != nil {
		panic(err) // only text, numbers and lists of this package's own
	}
	return &request{service: service, host: host, method: http.MethodPost, path: "/", body: body,
		header: map[string]string{"Content-Type": "application/x-amz-json-" + version, "X-Amz-Target": operation}}
}

// An answer is what a service said.
type answer struct {
	status  int
	code    string // AWS's error code, "" if there is none
	message string
	body    []byte // its beginning
	version string // of the S3 object
	gateway bool   // API Gateway itself answered with an error
}

// Limits of one call.
const (
	callTimeout = 10 * time.Second
	maxAnswer   = 1 << 20 // bytes of an answer that are looked at
	maxTries    = 4       // of a call that is throttled or fails at AWS
)

// A caller signs and sends requests with one set of credentials.
type caller struct {
	config aws.Config
	arn    string // the role's or user's
	now    func() time.Time
}

// send makes a call, again if AWS is busy or faulty.
func (c *caller) send(ctx context.Context, r *request, region, suffix string) (*answer, error) {
	pause := 200 * time.Millisecond
	for n := 1; ; n++ {
		a, err := c.once(ctx, r, region, suffix)
		if err == nil && !a.busy() || n == maxTries || err != nil && r.limit > 0 || ctx.Err() != nil || errors.Is(err, errCredentials) {
			return a, err
		}
		if err := sleep(ctx, pause); err != nil {
			return a, err
		}
		pause *= 2
	}
}

var errCredentials = errors.New("there are no credentials")

func (c *caller) once(ctx context.Context, r *request, region, suffix string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, max(callTimeout, r.limit))
	defer cancel()
	address := "https://" + r.host + "." + suffix + r.path
	if base := aws.ToString(c.config.BaseEndpoint); base != "" {
		address = strings.TrimSuffix(base, "/") + r.local + r.path
	}
	if len(r.query) > 0 {
		address += "?" + strings.ReplaceAll(r.query.Encode(), "+", "%20")
	}
	q, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("the request could not be made: %w", err)
	}
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	if !r.bare {
		credentials, err := c.config.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCredentials, err)
		}
		sum := sha256.Sum256(r.body)
		hash := hex.EncodeToString(sum[:])
		signer := v4.NewSigner()
		if r.service == "s3" {
			q.Header.Set("X-Amz-Content-Sha256", hash)
			signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		}
		if err := signer.SignHTTP(ctx, credentials, q, hash, r.service, region, c.now()); err != nil {
			return nil, fmt.Errorf("the request could not be signed: %w", err)
		}
	}
	client := c.config.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w", q.URL.Host, withoutQuery(err))
	}
	defer response.Body.Close()
	limit := int64(maxAnswer)
	if strings.Contains(response.Header.Get("Content-Type"), "eventstream") {
		limit = 0 // it may last for minutes, and the status says enough
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", q.URL.Host, err)
	}
	return newAnswer(response, body), nil
}

// withoutQuery keeps a request's address, which may be presigned, out of errors.
func withoutQuery(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

var (
	xmlCode    = regexp.MustCompile(`<Code>([^<]*)</Code>`)
	xmlMessage = regexp.MustCompile(`<Message>([^<]*)</Message>`)
)

// newAnswer finds the error code in whichever form the service has.
func newAnswer(response *http.Response, body []byte) *answer {
	a := &answer{status: response.StatusCode, body: body, version: response.Header.Get("X-Amz-Version-Id")}
	if a.status < 300 {
		return a
	}
	a.code = response.Header.Get("X-Amzn-Errortype")
	a.gateway = a.code != ""
	var fields struct{ Type, Code, Message string }
	var raw map[string]any
	if json.Unmarshal(body, &raw) == nil {
		for name, value := range raw {
			text, _ := value.(string)
			switch strings.ToLower(name) {
			case "__type":
				fields.Type = text
			case "code":
				fields.Code = text
			case "message":
				fields.Message = text
			}
		}
	}
	a.message = fields.Message
	for _, code := range []string{fields.Type, fields.Code, first(xmlCode, body)} {
		if a.code == "" {
			a.code = code
		}
	}
	if a.message == "" {
		a.message = first(xmlMessage, body)
	}
	a.code, _, _ = strings.Cut(a.code, ":")
	a.code = a.code[strings.LastIndexByte(a.code, '#')+1:]
	return a
}

func first(pattern *regexp.Regexp, body []byte) string {
	if m := pattern.FindSubmatch(body); m != nil {
		return string(m[1])
	}
	return ""
}

// busy reports whether the same call may succeed a moment later.
func (a *answer) busy() bool {
	return a.status >= 500 && a.status != http.StatusNotImplemented || a.status == http.StatusTooManyRequests ||
		slices.Contains([]string{"Throttling", "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException", "LimitExceededException", "ThrottledException"}, a.code)
}

// denied reports whether AWS refused for lack of permission, and nothing else.
func (a *answer) denied() bool {
	return slices.Contains([]string{"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "KMSAccessDeniedException", "KMS.AccessDeniedException"}, a.code)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
