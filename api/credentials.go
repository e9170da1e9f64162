package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// credentialsPath is answered with secrets, so that its answers are never kept,
// not even for idempotency keys.
const credentialsPath = "/v1/credentials"

// lasting is how long credentials last at least when they are handed out; SDKs
// renew what lasts shorter.
const lasting = 15 * time.Minute

// A CredentialsRequest asks for credentials of a customer's role.
type CredentialsRequest struct {
	CustomerID    string `json:"customer_id" minLength:"1" maxLength:"256"`
	IntegrationID string `json:"integration_id,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" doc:"One integration of a customer that has several in use."`
	Purpose       string `json:"purpose,omitempty" maxLength:"64" doc:"One of the server's purposes, whose session policy narrows what the credentials may do; the whole role if it is left out."`
}

// Credentials are those of a session in a customer's account. They do not print
// their secrets with the verbs of package fmt or in logs.
type Credentials struct {
	AccessKeyID     string    `json:"access_key_id" doc:"Joins what is done with the customer's CloudTrail and with our audit records."`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token"`
	ExpiresAt       time.Time `json:"expires_at"`

	CustomerID    string `json:"customer_id"`
	IntegrationID string `json:"integration_id"`
	Purpose       string `json:"purpose,omitempty"`
	AccountID     string `json:"account_id,omitempty"`
	RoleARN       string `json:"role_arn"`
	SessionName   string `json:"session_name" doc:"What the customer's CloudTrail shows."`
	Region        string `json:"region,omitempty" doc:"Region of the customer's configuration."`
}

// String returns the access key id.
func (c Credentials) String() string { return "credentials " + c.AccessKeyID }

// GoString returns what String returns.
func (c Credentials) GoString() string { return c.String() }

// LogValue implements [slog.LogValuer].
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// An Identity is who we are in AWS. It has nothing secret.
type Identity struct {
	AccountID   string `json:"account_id"`
	ARN         string `json:"arn"`
	UserID      string `json:"user_id"`
	SessionName string `json:"session_name,omitempty" doc:"If the identity is an assumed role."`

	CustomerID    string    `json:"customer_id,omitempty"`
	IntegrationID string    `json:"integration_id,omitempty"`
	Purpose       string    `json:"purpose,omitempty"`
	RoleARN       string    `json:"role_arn,omitempty" doc:"The customer's role."`
	Region        string    `json:"region,omitempty" doc:"Region of the customer's configuration."`
	ExpiresAt     time.Time `json:"expires_at,omitzero" doc:"When the session in the customer's account ends. Others follow it by themselves."`
}

type (
	credentialsInput struct {
		Body CredentialsRequest
	}
	credentialsOutput struct {
		Body Credentials
	}
	identityInput struct {
		CustomerID    string `query:"customer_id" maxLength:"256" doc:"Ask as whom we are in this customer's account."`
		IntegrationID string `query:"integration_id" pattern:"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$" doc:"One integration of a customer that has several in use."`
		Purpose       string `query:"purpose" maxLength:"64" doc:"One of the server's purposes."`
	}
	identityOutput struct {
		Body Identity
	}
)

func (h *Handler) handOut(ctx context.Context, in *credentialsInput) (*credentialsOutput, error) {
	principal := principalOf(ctx)
	switch {
	case !principal.Operator:
		return nil, crossaccount.NewError(crossaccount.CodeForbidden, "credentials are for operators only", "", nil)
	case !h.options.HandOutCredentials:
		return nil, crossaccount.NewError(CodeNotHandedOut, "this server does not hand out credentials to operators",
			"set operator_credentials: true in its configuration, or use its credentials endpoint with a token of \"crossaccount token issue\"", nil)
	}
	credentials, integration, err := h.credentialsOf(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	issued, err := credentials.RetrieveLasting(ctx, lasting)
	if err != nil {
		return nil, err
	}
	subject := credentials.Subject()
	now := h.options.Now()
	// What cannot be audited is not handed out.
	if err := h.client.AuditHandOuts(ctx, []broker.HandOut{{
		Subject: subject, Caller: principal.Name, AccessKeyID: issued.AccessKeyID, Expires: issued.Expires, Minute: now.Truncate(time.Minute), Count: 1,
	}}); err != nil {
		return nil, err
	}
	return &credentialsOutput{Credentials{
		AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey, SessionToken: issued.SessionToken, ExpiresAt: issued.Expires.UTC(),
		CustomerID: subject.Customer, IntegrationID: subject.Integration, Purpose: subject.Purpose,
		AccountID: integration.AccountID, RoleARN: subject.RoleARN, SessionName: subject.SessionName, Region: credentials.Config("").Region,
	}}, nil
}

// credentialsOf returns the credentials for a request and the integration they
// are of.
func (h *Handler) credentialsOf(ctx context.Context, request CredentialsRequest) (*crossaccount.RoleCredentials, *crossaccount.Integration, error) {
	options := []crossaccount.AccessOption{crossaccount.OverHTTP(), crossaccount.ForIntegration(request.IntegrationID)}
	if request.Purpose != "" {
		options = append(options, crossaccount.ForPurpose(request.Purpose))
	}
	credentials, err := h.client.Credentials(ctx, request.CustomerID, options...)
	if err != nil {
		return nil, nil, err
	}
	subject := credentials.Subject()
	integration, err := h.client.Integration(ctx, subject.Customer, subject.Integration)
	return credentials, integration, err
}

func (h *Handler) identity(ctx context.Context, in *identityInput) (*identityOutput, error) {
	if !principalOf(ctx).Operator {
		return nil, crossaccount.NewError(crossaccount.CodeForbidden, "the identity is for operators only", "", nil)
	}
	if in.CustomerID == "" {
		if in.IntegrationID != "" || in.Purpose != "" {
			return nil, crossaccount.NewError(crossaccount.CodeInvalidRequest, "customer_id: must be given with integration_id and purpose", "", nil)
		}
		who, err := h.client.Identity(ctx)
		return &identityOutput{identityShown(who)}, err
	}
	credentials, _, err := h.credentialsOf(ctx, CredentialsRequest{CustomerID: in.CustomerID, IntegrationID: in.IntegrationID, Purpose: in.Purpose})
	if err != nil {
		return nil, err
	}
	who, err := credentials.Identity(ctx)
	if err != nil {
		return nil, err
	}
	shown, subject := identityShown(who), credentials.Subject()
	shown.CustomerID, shown.IntegrationID, shown.Purpose = subject.Customer, subject.Integration, subject.Purpose
	shown.RoleARN, shown.Region, shown.ExpiresAt = subject.RoleARN, credentials.Config("").Region, credentials.Status().Expires.UTC()
	return &identityOutput{shown}, nil
}

func identityShown(who crossaccount.CallerIdentity) Identity {
	return Identity{AccountID: who.AccountID, ARN: who.ARN, UserID: who.UserID, SessionName: who.SessionName()}
}

// Credentials returns credentials of a customer's role, which last for at least 15
// minutes unless AWS gives shorter ones. Each call is audited. They come over TLS
// or from this machine only: another URL of the server is refused before anything
// is asked.
func (c *Client) Credentials(ctx context.Context, request *CredentialsRequest) (*Credentials, error) {
	if c.base.Scheme != "https" && !isLoopback(c.base) {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidConfig,
			fmt.Sprintf("server: credentials from %s could be read on the way, because it is neither https nor this machine", c.base.Host),
			"use the server's https URL", nil)
	}
	return post[Credentials](ctx, c, credentialsPath, request)
}

// Identity returns who we are in AWS, or with a customer in the request who we
// are in the customer's account.
func (c *Client) Identity(ctx context.Context, request CredentialsRequest) (*Identity, error) {
	query := url.Values{}
	set(query, "customer_id", request.CustomerID)
	set(query, "integration_id", request.IntegrationID)
	set(query, "purpose", request.Purpose)
	out := new(Identity)
	_, err := c.do(ctx, http.MethodGet, "/v1/identity?"+query.Encode(), nil, out)
	return result(out, err)
}

// isLoopback reports whether a URL can only be of this machine.
func isLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
