package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount"
)

// maxAnswer bounds what a client reads; listings are the largest answers.
const maxAnswer = 16 << 20 // bytes

// A Client calls the API of a server. Errors that the server reports are of type
// [*crossaccount.Error], with the codes of package crossaccount and of this one.
// A Client is safe for concurrent use.
type Client struct {
	base     *url.URL
	token    string
	customer string
	http     *http.Client
	wait     func(context.Context, time.Duration) error
	observe  func(*Integration)
}

// A ClientOption changes how a [Client] works.
type ClientOption func(*Client)

// WithToken sends the operator token with every request.
func WithToken(token string) ClientOption { return func(c *Client) { c.token = token } }

// WithCustomer confines all requests to one customer. A backend that serves
// customers should make a client for each of them.
func WithCustomer(customerID string) ClientOption {
	return func(c *Client) { c.customer = customerID }
}

// WithHTTPClient uses the given client. Without it every request may take a
// minute.
func WithHTTPClient(client *http.Client) ClientOption { return func(c *Client) { c.http = client } }

// WithWait replaces waiting between two looks at a long operation.
func WithWait(wait func(context.Context, time.Duration) error) ClientOption {
	return func(c *Client) { c.wait = wait }
}

// WithObserver is told about an integration whenever the client has looked how
// its long operation goes on.
func WithObserver(observe func(*Integration)) ClientOption {
	return func(c *Client) { c.observe = observe }
}

// NewClient makes a client for the server at a URL such as
// http://127.0.0.1:8080.
func NewClient(baseURL string, options ...ClientOption) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidConfig, "server: must be the URL of a server, such as http://127.0.0.1:8080, without a user", "", nil)
	}
	c := &Client{base: base, http: &http.Client{Timeout: time.Minute}, wait: sleep, observe: func(*Integration) {}}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

type idempotencyKey struct{}

// WithIdempotencyKey lets the next POST made with the context have this key, for
// programs that repeat requests after a crash of their own. Without it every
// call has a new random key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// Start begins an onboarding, or asks again for the link of a pending one.
func (c *Client) Start(ctx context.Context, request *StartRequest) (*crossaccount.IntegrationResponse, error) {
	return post[crossaccount.IntegrationResponse](ctx, c, "/v1/integrations", request)
}

// Integration returns one integration. The customer may be empty for tenants.
func (c *Client) Integration(ctx context.Context, customerID, id string) (*Integration, error) {
	out := new(Integration)
	_, err := c.do(ctx, http.MethodGet, integrationPath(id, "", customerID), nil, out)
	return result(out, err)
}

// A ListRequest selects integrations. Operators get those of all customers if
// CustomerID is empty.
type ListRequest struct {
	CustomerID string
	AccountID  string
	States     []crossaccount.State
	Limit      int // 0 means the most that one answer can hold
	Cursor     string
}

// Integrations returns a part of a listing.
func (c *Client) Integrations(ctx context.Context, request ListRequest) (*IntegrationPage, error) {
	query := page(request.Limit, request.Cursor)
	set(query, "customer_id", request.CustomerID)
	set(query, "account_id", request.AccountID)
	for _, state := range request.States {
		query.Add("state", string(state))
	}
	out := new(IntegrationPage)
	_, err := c.do(ctx, http.MethodGet, "/v1/integrations?"+query.Encode(), nil, out)
	return result(out, err)
}

// All returns every integration that the request selects, page by page. It
// stops at the first error.
func (c *Client) All(ctx context.Context, request ListRequest) iter.Seq2[*Integration, error] {
	return func(yield func(*Integration, error) bool) {
		for {
			part, err := c.Integrations(ctx, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range part.Integrations {
				if !yield(&part.Integrations[i], nil) {
					return
				}
			}
			if request.Cursor = part.Next; part.Next == "" {
				return
			}
		}
	}
}

// Verify verifies a role and returns what was found out, passed or not. It waits
// for the end of the verification, looking at it from time to time. If the
// report's code is retryable, calling again continues.
func (c *Client) Verify(ctx context.Context, id string, request *RoleRequest) (*crossaccount.Report, error) {
	integration, err := c.operate(ctx, id, KindVerify, request.CustomerID, request)
	if err != nil {
		return nil, err
	}
	return integration.Operation.Report, nil
}

// Complete takes a verified role into use.
func (c *Client) Complete(ctx context.Context, id string, request *RoleRequest) (*Integration, error) {
	return c.operate(ctx, id, KindComplete, request.CustomerID, request)
}

// Check verifies the role in use again.
func (c *Client) Check(ctx context.Context, customerID, id string) (*crossaccount.Report, error) {
	integration, err := c.operate(ctx, id, KindCheck, customerID, &CustomerRequest{CustomerID: customerID})
	if err != nil {
		return nil, err
	}
	return integration.Operation.Report, nil
}

// Revoke gives an integration up for good.
func (c *Client) Revoke(ctx context.Context, customerID, id string) (*Integration, error) {
	return post[Integration](ctx, c, integrationPath(id, "/revoke", ""), &CustomerRequest{CustomerID: customerID})
}

// Disconnect records that the customer removed the stack.
func (c *Client) Disconnect(ctx context.Context, customerID, id string) (*Integration, error) {
	return post[Integration](ctx, c, integrationPath(id, "/disconnect", ""), &CustomerRequest{CustomerID: customerID})
}

// SetupLink makes a link with which the customer uses the setup page without
// signing in.
func (c *Client) SetupLink(ctx context.Context, id string, request *SetupLinkRequest) (*SetupLink, error) {
	return post[SetupLink](ctx, c, integrationPath(id, "/setup-link", ""), request)
}

// Import takes over an existing role with an existing external ID.
func (c *Client) Import(ctx context.Context, request *ImportRequest) (*Integration, error) {
	return post[Integration](ctx, c, "/v1/imports", request)
}

// Audit returns a part of an integration's audit records, newest first.
func (c *Client) Audit(ctx context.Context, customerID, id string, limit int, cursor string) (*AuditPage, error) {
	query := page(limit, cursor)
	set(query, "customer_id", customerID)
	out := new(AuditPage)
	_, err := c.do(ctx, http.MethodGet, integrationPath(id, "/audit", "")+"?"+query.Encode(), nil, out)
	return result(out, err)
}

// Template returns the stack that customers create.
func (c *Client) Template(ctx context.Context, format crossaccount.TemplateFormat) ([]byte, error) {
	var out []byte
	_, err := c.do(ctx, http.MethodGet, "/v1/template?format="+url.QueryEscape(string(format)), nil, &out)
	return out, err
}

// Ready returns nil if the server can serve requests.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, "/readyz", nil, new(Health))
	return err
}

// operate sends a request that may be answered with 202, and looks at the
// integration until the operation has ended.
func (c *Client) operate(ctx context.Context, id, kind, customerID string, request any) (*Integration, error) {
	out := new(Integration)
	header, err := c.do(ctx, http.MethodPost, integrationPath(id, "/"+kind, ""), request, out)
	for {
		if err != nil {
			return nil, err
		}
		switch operation := out.Operation; {
		case operation == nil:
			return nil, crossaccount.NewError(CodeInterrupted, "the server no longer knows what became of the "+kind, "ask again; it continues with what is stored", nil)
		case operation.Running:
		case operation.Problem != nil:
			return nil, operation.Problem.err()
		default:
			return out, nil
		}
		c.observe(out)
		if err := c.wait(ctx, retryAfter(header)); err != nil {
			return nil, crossaccount.NewError(crossaccount.CodeCancelled, "the call ended before the "+kind+" was finished", "the server goes on with it; show the integration", err)
		}
		out = new(Integration)
		header, err = c.do(ctx, http.MethodGet, integrationPath(id, "", customerID), nil, out)
	}
}

func retryAfter(header http.Header) time.Duration {
	if n, err := strconv.Atoi(header.Get("Retry-After")); err == nil && n >= 0 && n <= 60 {
		return time.Duration(n) * time.Second
	}
	return time.Second
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func integrationPath(id, suffix, customerID string) string {
	p := "/v1/integrations/" + url.PathEscape(id) + suffix
	if customerID != "" {
		p += "?customer_id=" + url.QueryEscape(customerID)
	}
	return p
}

func page(limit int, cursor string) url.Values {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	set(query, "cursor", cursor)
	return query
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func result[T any](out *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return out, nil
}

func post[T any](ctx context.Context, c *Client, path string, request any) (*T, error) {
	out := new(T)
	_, err := c.do(ctx, http.MethodPost, path, request, out)
	return result(out, err)
}

// do makes one request. Out is filled with the answer: bytes as they are,
// everything else from JSON.
func (c *Client) do(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base.String(), "/")+path, body)
	if err != nil {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidRequest, "the request cannot be made", "", err)
	}
	if err := c.prepare(ctx, request, in != nil); err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, crossaccount.NewError(crossaccount.CodeCancelled, "the call ended before the server answered", "what it was asked may go on; ask again, and give it more time", ctx.Err())
		}
		return nil, crossaccount.NewError(CodeNotReady, "the server at "+c.base.Host+" cannot be reached", "check the URL, and whether the server runs", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, crossaccount.NewError(CodeNotReady, "the server's answer ended too early", "try again", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, errorOf(response, data)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = data
		return response.Header, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, crossaccount.NewError(CodeInternal, "the server's answer is not what was expected", "check that the URL is one of crossaccount's server, of the same version", err)
	}
	return response.Header, nil
}

func (c *Client) prepare(ctx context.Context, request *http.Request, hasBody bool) error {
	request.Header.Set("Accept", jsonType+", "+problemType)
	if hasBody {
		request.Header.Set("Content-Type", jsonType)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.customer != "" {
		request.Header.Set(CustomerHeader, c.customer)
	}
	if request.Method != http.MethodPost {
		return nil
	}
	key, ok := ctx.Value(idempotencyKey{}).(string)
	if !ok {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return crossaccount.NewError(crossaccount.CodeRandom, "the random source failed", "", err)
		}
		key = hex.EncodeToString(random[:])
	}
	request.Header.Set(IdempotencyHeader, key)
	return nil
}

// errorOf makes an error of an answer that is none.
func errorOf(response *http.Response, data []byte) error {
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	var problem Problem
	if err != nil || mediaType != problemType || json.Unmarshal(data, &problem) != nil || problem.Code == "" {
		return crossaccount.NewError(CodeInternal, fmt.Sprintf("the server answered with status %d and no reason", response.StatusCode),
			"check that the URL is one of crossaccount's server", nil)
	}
	return problem.err()
}

// err returns the problem as an error of package crossaccount.
func (p *Problem) err() error {
	var cause error
	if p.RequestID != "" {
		cause = errors.New("request " + p.RequestID)
	}
	return crossaccount.NewError(p.Code, p.Detail, p.Remedy, cause)
}
