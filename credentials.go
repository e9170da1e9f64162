package crossaccount

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
)

// RoleCredentials are the credentials of one customer's role, used for one
// purpose. They are an [aws.CredentialsProvider] that renews itself in the
// background: make them once with [Client.Credentials], keep them for as long as
// the service runs, and put them into any number of configurations. When the
// integration's role or external ID changes they follow, and when it is no longer
// in use they end. They are safe for concurrent use.
type RoleCredentials struct {
	client *Client
	key    integrationKey
	access access

	mu      sync.Mutex // held while the record is read
	current atomic.Pointer[roleSession]
}

// A roleSession is the broker's handle for what the record said when it was read.
type roleSession struct {
	handle      *broker.Handle
	fingerprint string
	region      string // of the customer's stack
	marked      bool   // with session tags or source identity because verification showed that the role allows them
}

var (
	_ aws.CredentialsProvider = (*RoleCredentials)(nil)
	_ broker.Source           = (*RoleCredentials)(nil)
)

// Credentials returns the credentials of a customer's role. AWS is not asked
// before they are used. Without [ForIntegration] the customer must have one
// integration in use; several are ambiguous_integration.
func (c *Client) Credentials(ctx context.Context, customerID string, options ...AccessOption) (*RoleCredentials, error) {
	var a access
	for _, option := range options {
		option(&a)
	}
	if err := a.problem; err != nil {
		return nil, err
	}
	integration, err := c.inUse(ctx, customerID, a.integration)
	if err != nil {
		return nil, err
	}
	return c.credentialsOf(ctx, integration, a)
}

// Config returns a configuration for calls in the customer's account: that of
// [Client.Credentials], for the given region, or for that of the integration if
// region is empty. Unlike [Client.AssumeCustomerRole] it does not ask AWS; the
// first call with the configuration does.
func (c *Client) Config(ctx context.Context, customerID, region string, options ...AccessOption) (aws.Config, error) {
	credentials, err := c.Credentials(ctx, customerID, options...)
	if err != nil {
		return aws.Config{}, err
	}
	return credentials.Config(region), nil
}

// inUse returns the named integration, or the one that is in use.
func (c *Client) inUse(ctx context.Context, customerID, integrationID string) (*Integration, error) {
	if integrationID == "" {
		return c.usable(ctx, customerID)
	}
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	if err != nil {
		return nil, err
	}
	if !integration.State.Usable() {
		return nil, notInUse(integration.State)
	}
	return integration, nil
}

// credentialsOf returns the one RoleCredentials for an integration and access.
func (c *Client) credentialsOf(ctx context.Context, integration *Integration, a access) (*RoleCredentials, error) {
	key, sum := integrationKey{integration.CustomerID, integration.ID}, a.digest()
	c.mu.Lock()
	known := c.accesses[key]
	r := known[sum]
	if r == nil {
		if n := len(known); n >= manyAccesses && n&(n-1) == 0 {
			maps.DeleteFunc(known, func(_ digest, r *RoleCredentials) bool { return c.lapsed(r) })
		}
		if known == nil {
			known = make(map[digest]*RoleCredentials)
			c.accesses[key] = known
		}
		r = &RoleCredentials{client: c, key: key, access: a}
		known[sum] = r
	}
	c.mu.Unlock()
	if s := r.current.Load(); s == nil || s.fingerprint != fingerprintOf(integration) {
		if _, err := r.read(ctx, integration, false); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// manyAccesses is from how many accesses of one integration on those that nobody
// uses any more are looked for, each time there are twice as many. Accesses may
// differ in what never comes again, such as a source identity.
const manyAccesses = 64

// lapsed reports whether the broker has nothing for the credentials any more.
// Whoever still has them may go on using them, but learns only at the next renewal
// that another process ended the integration. c.mu is held.
func (c *Client) lapsed(r *RoleCredentials) bool {
	session := r.current.Load()
	if session == nil || c.broker == nil {
		return true // the record could not be read, or is being read
	}
	_, kept := c.broker.Lookup(session.handle.Key())
	return !kept
}

// An integrationKey names an integration in memory.
type integrationKey struct{ customerID, integrationID string }

// A digest tells accesses apart.
type digest [sha256.Size]byte

// fingerprintOf changes when other credentials have to be asked for.
func fingerprintOf(i *Integration) string {
	return i.RoleARN + "\x00" + hex.EncodeToString(i.ExternalIDIndex)
}

// Retrieve returns credentials that are valid now. It waits for AWS only when
// none were obtained yet, or when AWS or the integration's record took them away.
func (r *RoleCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return r.RetrieveLasting(ctx, 0)
}

// RetrieveLasting is [RoleCredentials.Retrieve] for readers that keep what they
// get: it returns credentials that last at least that long, unless they cannot
// be renewed, then what is still valid. See [broker.Handle.RetrieveLasting].
func (r *RoleCredentials) RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	session := r.current.Load()
	issued, err := session.retrieve(ctx, least)
	if err == nil {
		return issued, nil
	}
	// The record may have changed since, or have to be followed no longer.
	switch broker.CodeOf(err) {
	case broker.CodeRevoked, broker.CodeRefused, broker.CodeWithdrawn, broker.CodePropagating:
	default:
		return aws.Credentials{}, accessError(err)
	}
	next, readErr := r.follow(ctx, session)
	if readErr != nil {
		return aws.Credentials{}, readErr
	}
	if next == session {
		return aws.Credentials{}, accessError(err)
	}
	issued, err = next.retrieve(ctx, least)
	if err != nil {
		return aws.Credentials{}, accessError(err)
	}
	return issued, nil
}

func (s *roleSession) retrieve(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	if least > 0 {
		return s.handle.RetrieveLasting(ctx, least)
	}
	return s.handle.Retrieve(ctx)
}

// follow reads the record again after the session failed, and returns the
// session to use now: the same one if there is nothing new.
func (r *RoleCredentials) follow(ctx context.Context, failed *roleSession) (*roleSession, error) {
	integration, err := r.client.storage.Get(ctx, r.key.customerID, r.key.integrationID)
	if err != nil {
		return nil, asError(err)
	}
	if !integration.State.Usable() {
		return nil, notInUse(integration.State)
	}
	if fingerprintOf(integration) != failed.fingerprint || failed.handle.Status().State == broker.StateRevoked {
		return r.read(ctx, integration, false)
	}
	if failed.marked {
		// The trust policy may have changed since verification showed that it
		// allows tags and source identity.
		return r.read(ctx, integration, true)
	}
	return failed, nil
}

// read makes the session that fits the record. A plain one sends neither tags
// nor source identity of our own accord.
func (r *RoleCredentials) read(ctx context.Context, integration *Integration, plain bool) (*roleSession, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.client
	b, err := c.brokerFor(ctx)
	if err != nil {
		return nil, err
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return nil, err
	}
	request, marked, err := c.accessRequest(integration, externalID, r.access, plain)
	if err != nil {
		return nil, err
	}
	handle, err := b.For(request)
	if err != nil {
		return nil, accessError(err)
	}
	session := &roleSession{handle: handle, fingerprint: fingerprintOf(integration), region: integration.Region, marked: marked}
	r.current.Store(session)
	return session, nil
}

// Config returns a configuration with these credentials, for the given region,
// or for that of the integration if region is empty. All configurations of a
// client share one HTTP client and its connections.
func (r *RoleCredentials) Config(region string) aws.Config {
	session := r.current.Load()
	for _, otherwise := range []string{session.region, r.client.config.DefaultRegion} {
		if region == "" {
			region = otherwise
		}
	}
	return session.handle.ConfigFollowing(region, r, r.Handle)
}

// Invalidate says that AWS did not accept the credentials with this access key
// id. They are dropped, unless others are in use already. Configurations made
// by Config do this by themselves.
func (r *RoleCredentials) Invalidate(accessKeyID string) {
	r.current.Load().handle.Invalidate(accessKeyID)
}

// Recheck asks AWS anew, whatever it answered before, at most once a second: for
// a button that says "try again".
func (r *RoleCredentials) Recheck(ctx context.Context) error {
	session := r.current.Load()
	err := session.handle.Recheck(ctx)
	if err == nil {
		return nil
	}
	next, readErr := r.follow(ctx, session)
	switch {
	case readErr != nil:
		return readErr
	case next == session:
		return accessError(err)
	}
	return accessError(next.handle.Recheck(ctx))
}

// Status says what is known about the credentials without asking AWS.
func (r *RoleCredentials) Status() broker.Status { return r.current.Load().handle.Status() }

// Subject says whose credentials these are now and for what; with it they are a
// [broker.Source], which a [broker.Endpoint] can hand out.
func (r *RoleCredentials) Subject() broker.Subject { return r.current.Load().handle.Subject() }

// Handle returns the broker's handle that is in use now. It does not follow
// changes of the record; it is for what answers one request, such as a
// [broker.Endpoint].
func (r *RoleCredentials) Handle() *broker.Handle { return r.current.Load().handle }

// accessError is an error of the broker in our words.
func accessError(err error) error {
	if err == nil {
		return nil
	}
	var ours *Error
	if errors.As(err, &ours) {
		return ours // of our storage, encryption or record
	}
	cause := err
	if apiCode(err) != "" {
		cause = failure(err) // without AWS's message
	}
	switch broker.CodeOf(err) {
	case broker.CodeRefused, broker.CodeWithdrawn:
		return NewError(CodeRoleRefused, "AWS does not let us assume the customer's role any more", "check that the role exists and that its trust policy was not changed, then verify it again", cause)
	case broker.CodePropagating:
		return NewError(CodePropagating, "AWS does not let us assume the customer's role yet", "try again in a few seconds", cause)
	case broker.CodeRevoked:
		return notInUse("")
	case broker.CodeThrottled:
		return NewError(CodeAWS, "AWS is asked for too many credentials at the moment", "try again later", cause)
	case broker.CodeCanceled:
		return cancelled(err)
	case broker.CodeClosed:
		return NewError(CodeShuttingDown, "this process is about to end", "try again", cause)
	case broker.CodeInvalidRequest:
		return NewError(CodeInvalidRequest, err.Error(), "", cause)
	}
	var known *broker.Error
	if errors.As(err, &known) && known.Unwrap() != nil { // whose text the broker's does not have
		if lacking := lackingCredentials(known.Unwrap()); lacking != nil {
			return lacking
		}
	}
	return NewError(CodeAWS, "AWS could not be asked for the customer's credentials", "try again later", cause)
}
