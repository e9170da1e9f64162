package crossaccount

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// AWS gives credentials that were obtained with another role's credentials one
// hour at most, and refuses a call that asks for more.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
const maxChainedDuration = time.Hour

// Credentials are renewed earlyRefresh before they expire, and up to half of
// that earlier, so that many customers' credentials are not renewed at once.
// While renewing fails for a reason that may pass, they are used until
// lastResort before they expire.
const (
	earlyRefresh   = 5 * time.Minute
	lastResort     = time.Minute
	refreshTimeout = time.Minute
)

// AssumeCustomerRole returns a configuration for calls in the customer's
// account. Its credentials are obtained now, with the integration's external ID,
// and refresh themselves for as long as the integration is in use. All
// configurations of an integration share them.
//
// A customer with several integrations in use is ambiguous_integration: use
// [Client.AssumeIntegrationRole].
func (c *Client) AssumeCustomerRole(ctx context.Context, customerID string) (aws.Config, error) {
	integration, err := c.usable(ctx, customerID)
	if err != nil {
		return aws.Config{}, err
	}
	return c.assume(ctx, integration)
}

// AssumeIntegrationRole is [Client.AssumeCustomerRole] for one of several
// integrations of a customer.
func (c *Client) AssumeIntegrationRole(ctx context.Context, customerID, integrationID string) (aws.Config, error) {
	if err := checkCustomerID(customerID); err != nil {
		return aws.Config{}, err
	}
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	if err != nil {
		return aws.Config{}, err
	}
	return c.assume(ctx, integration)
}

// Credentials returns what it takes to assume the customer's role, for software
// that does it by itself. The result contains the external ID.
func (c *Client) Credentials(ctx context.Context, customerID string) (*CustomerCredentials, error) {
	integration, err := c.usable(ctx, customerID)
	if err != nil {
		return nil, err
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return nil, err
	}
	return &CustomerCredentials{RoleARN: integration.RoleARN, ExternalID: externalID, CreatedAt: integration.ActivatedAt}, nil
}

// usable returns the one integration of the customer that is in use.
func (c *Client) usable(ctx context.Context, customerID string) (*Integration, error) {
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	integrations, err := c.all(ctx, customerID)
	if err != nil {
		return nil, err
	}
	var found *Integration
	for _, integration := range integrations {
		switch {
		case !integration.State.Usable():
		case found != nil:
			return nil, NewError(CodeAmbiguousIntegration, "the customer has several integrations in use", "name one by its id", nil)
		default:
			found = integration
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(integrations) == 0:
		return nil, unknownCustomer()
	}
	return nil, notInUse()
}

func unknownCustomer() *Error {
	return NewError(CodeUnknownCustomer, "the customer has no integration", "start one with a launch link first", nil)
}

func notInUse() *Error {
	return NewError(CodeNotVerified, "the customer's integration is not in use", "complete it: verify the role, then store it", nil)
}

func (c *Client) assume(ctx context.Context, integration *Integration) (aws.Config, error) {
	key := integration.CustomerID + "\x00" + integration.ID
	if !integration.State.Usable() {
		c.mu.Lock()
		delete(c.sessions, key)
		c.mu.Unlock()
		return aws.Config{}, notInUse()
	}
	base, err := c.awsConfig(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	fingerprint := integration.RoleARN + "\x00" + hex.EncodeToString(integration.ExternalIDIndex)
	c.mu.Lock()
	session := c.sessions[key]
	if session == nil || session.fingerprint != fingerprint {
		session = newRoleSession(c, integration, fingerprint)
		c.sessions[key] = session
	}
	c.mu.Unlock()
	if _, err := session.cache.Retrieve(ctx); err != nil {
		if CodeOf(err) == "" && ctx.Err() != nil {
			return aws.Config{}, cancelled(ctx.Err()) // the cache gave up, not AWS
		}
		return aws.Config{}, asError(err)
	}
	base.Credentials = session.cache
	base.Region = c.config.DefaultRegion
	if integration.Region != "" {
		base.Region = integration.Region
	}
	return base, nil
}

// A roleSession is the credentials of one integration, as a provider for the
// SDK. It reads the integration anew for every refresh, so that one that was
// revoked gets no more credentials, wherever its configuration went.
type roleSession struct {
	client                    *Client
	customerID, integrationID string
	fingerprint               string
	cache                     *aws.CredentialsCache

	mu      sync.Mutex
	expires time.Time // when the latest credentials really expire
}

func newRoleSession(c *Client, integration *Integration, fingerprint string) *roleSession {
	s := &roleSession{client: c, customerID: integration.CustomerID, integrationID: integration.ID, fingerprint: fingerprint}
	s.cache = aws.NewCredentialsCache(s)
	return s
}

// Retrieve implements [aws.CredentialsProvider].
func (s *roleSession) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := s.client
	// The cache hides the caller's deadline, because several callers wait.
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	integration, err := c.storage.Get(ctx, s.customerID, s.integrationID)
	if err != nil {
		return aws.Credentials{}, err
	}
	if !integration.State.Usable() {
		return aws.Credentials{}, notInUse()
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return aws.Credentials{}, err
	}
	issued, err := c.issue(ctx, integration, externalID)
	if err != nil {
		return aws.Credentials{}, err
	}
	expires := aws.ToTime(issued.Expiration)
	early, err := c.refreshEarly(expires.Sub(c.now()))
	if err != nil {
		return aws.Credentials{}, err
	}
	s.mu.Lock()
	s.expires = expires
	s.mu.Unlock()
	return aws.Credentials{
		AccessKeyID:     aws.ToString(issued.AccessKeyId),
		SecretAccessKey: aws.ToString(issued.SecretAccessKey),
		SessionToken:    aws.ToString(issued.SessionToken),
		Source:          "crossaccount",
		CanExpire:       true,
		Expires:         expires.Add(-early),
		AccountID:       integration.AccountID,
	}, nil
}

// refreshEarly returns how long before they expire credentials of the given
// lifetime are renewed.
func (c *Client) refreshEarly(lifetime time.Duration) (time.Duration, error) {
	early := min(earlyRefresh, lifetime/4)
	var random [2]byte
	if _, err := io.ReadFull(c.random, random[:]); err != nil {
		return 0, randomError(err)
	}
	jitter := time.Duration(binary.BigEndian.Uint16(random[:])) * (early / 2) / (1 << 16)
	return early + jitter, nil
}

// HandleFailToRefresh implements [aws.HandleFailRefreshCredentialsCacheStrategy]:
// when AWS is in trouble, credentials that still work are kept. When it refuses,
// or the integration is no longer in use, they are not.
func (s *roleSession) HandleFailToRefresh(_ context.Context, previous aws.Credentials, err error) (aws.Credentials, error) {
	s.mu.Lock()
	expires := s.expires
	s.mu.Unlock()
	now := s.client.now()
	if !CodeOf(err).Retryable() || expires.Sub(now) <= lastResort || !previous.HasKeys() {
		return aws.Credentials{}, err
	}
	s.client.log.Warn("crossaccount: renewing credentials failed; using those that are still valid",
		"customer", s.customerID, "integration", s.integrationID, "code", CodeOf(err), "expires", expires)
	previous.Expires = now.Add(min(30*time.Second, expires.Sub(now)-lastResort))
	return previous, nil
}

// issue obtains credentials for an integration in use, and records it. If it
// cannot be recorded, the credentials are dropped.
func (c *Client) issue(ctx context.Context, integration *Integration, externalID string) (*types.Credentials, error) {
	base, err := c.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	duration := c.config.SessionDuration
	own, err := base.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, NewError(CodeAWS, "the vendor's own AWS credentials cannot be obtained", "check where the service gets its credentials from", failure(err))
	}
	if own.SessionToken != "" {
		duration = min(duration, maxChainedDuration)
	}
	input := &sts.AssumeRoleInput{
		RoleArn:         aws.String(integration.RoleARN),
		RoleSessionName: aws.String(sessionName(c.config.ServiceName, integration.CustomerID)),
		ExternalId:      aws.String(externalID),
		DurationSeconds: aws.Int32(int32(duration / time.Second)),
	}
	if report := integration.Verification; report != nil && report.SourceIdentity {
		input.SourceIdentity = aws.String(c.sourceIdentity())
	}
	if report := integration.Verification; report != nil && report.SessionTags {
		input.Tags = sessionTags(integration.ID)
	}
	output, result, err := c.assumeRole(ctx, c.stsClient(base), input)
	if result == unavailable && apiCodeOf(err) == "ValidationError" && duration > maxChainedDuration {
		// The role's own maximum is lower than what is configured.
		input.DurationSeconds = aws.Int32(int32(maxChainedDuration / time.Second))
		output, result, err = c.assumeRole(ctx, c.stsClient(base), input)
	}
	if result == refused && (input.SourceIdentity != nil || len(input.Tags) > 0) {
		// The trust policy may have changed since it was verified.
		input.SourceIdentity, input.Tags = nil, nil
		output, result, err = c.assumeRole(ctx, c.stsClient(base), input)
	}
	switch result {
	case accepted:
	case refused:
		err = NewError(CodeRoleRefused, "AWS does not let us assume the customer's role any more", "check that the role exists and that its trust policy was not changed, then verify it again", err)
	case unavailable:
		if CodeOf(err) == "" {
			err = NewError(CodeAWS, "AWS could not be asked for the customer's credentials", "try again later", err)
		}
	}
	return c.recordIssue(ctx, integration, input, output, err)
}

// recordIssue writes the audit record and the log entry of an assumption.
func (c *Client) recordIssue(ctx context.Context, integration *Integration, input *sts.AssumeRoleInput, output *sts.AssumeRoleOutput, failed error) (*types.Credentials, error) {
	record, err := c.audited(ctx, integration, ActionAssumed, outcomeOf(failed))
	if err != nil {
		return nil, err
	}
	record.RoleARN = integration.RoleARN
	record.SessionName = aws.ToString(input.RoleSessionName)
	log := c.log.With("customer", integration.CustomerID, "integration", integration.ID,
		"role", integration.RoleARN, "session", record.SessionName)
	if failed == nil {
		record.RequestID = requestID(output.ResultMetadata)
		record.Details = map[string]string{"expires": aws.ToTime(output.Credentials.Expiration).UTC().Format(time.RFC3339)}
	}
	if err := c.storage.AppendAudit(ctx, record); err != nil {
		log.Error("crossaccount: an assumption could not be audited; its result is dropped", "code", CodeOf(err))
		if failed != nil {
			return nil, failed
		}
		return nil, err
	}
	if failed != nil {
		log.Warn("crossaccount: a customer's role could not be assumed", "code", CodeOf(failed), "cause", causeOf(failed))
		return nil, failed
	}
	log.Info("crossaccount: assumed a customer's role", "request", record.RequestID, "expires", record.Details["expires"])
	return output.Credentials, nil
}

// assumeRole makes one AssumeRole call, with our retries.
func (c *Client) assumeRole(ctx context.Context, client *sts.Client, input *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, answer, error) {
	var output *sts.AssumeRoleOutput
	result, err := c.call(ctx, func(ctx context.Context) (err error) {
		output, err = client.AssumeRole(ctx, input)
		return err
	})
	if result == accepted && (output.Credentials == nil || output.Credentials.Expiration == nil) {
		return nil, unavailable, NewError(CodeAWS, "AWS answered without credentials", "try again later", nil)
	}
	return output, result, err
}

// sessionName returns a legal session name that tells people in the customer's
// CloudTrail who was here and for whom: at most 64 letters, digits and _+=,.@-
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func sessionName(service, purpose string) string {
	legal := strings.Map(func(r rune) rune {
		if r < 0x80 && (isAlphanumeric(byte(r)) || strings.ContainsRune("_+=,.@-", r)) {
			return r
		}
		return '-'
	}, purpose)
	name := slug(service, 32) + "@" + legal
	if legal == purpose && len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(purpose))
	return name[:min(len(name), 64-9)] + "-" + hex.EncodeToString(sum[:4])
}

// sourceIdentity is what the customer's CloudTrail shows as the origin of every
// call, even after further roles were assumed. It must not begin with "aws:".
func (c *Client) sourceIdentity() string { return slug(c.config.ServiceName, 40) + ".crossaccount" }

func sessionTags(integrationID string) []types.Tag {
	return []types.Tag{{Key: aws.String("crossaccount:integration"), Value: aws.String(integrationID)}}
}
