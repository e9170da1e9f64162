package crossaccount

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/iam"
)

// An Option changes how [New] builds a [Client]. Options that are given wrong
// values make New fail.
type Option func(*Client)

// settings are what options set. New makes them consistent.
type settings struct {
	storage   CredentialStorage
	encryptor Encryptor
	log       *slog.Logger
	now       func() time.Time
	wait      func(context.Context, time.Duration) error
	random    io.Reader
	http      aws.HTTPClient

	probe      *aws.Config // nil: the probe role is assumed, if there is one
	canaryRole string

	brokerRole          string
	probeRole           string
	permissionsBoundary string
	tags                map[string]string
	selfInspection      bool
	presignedTemplates  time.Duration

	patience   time.Duration
	observer   func(context.Context, Progress)
	resolver   func(*http.Request) (string, error)
	pendingFor time.Duration

	brokering broker.Config // what options say of it; brokerConfig adds the rest

	problems []string
}

func (s *settings) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// WithStorage keeps integrations in the given storage. Without it they are kept
// in memory and lost when the process ends.
func WithStorage(storage CredentialStorage) Option {
	return func(c *Client) {
		if storage == nil {
			c.problem("WithStorage: the storage is nil")
		}
		c.storage = storage
	}
}

// WithEncryption seals external IDs with the given encryptor. Without it a key
// is made that lives as long as the process, which makes a lasting storage
// useless.
func WithEncryption(encryptor Encryptor) Option {
	return func(c *Client) {
		if encryptor == nil {
			c.problem("WithEncryption: the encryptor is nil")
		}
		c.encryptor = encryptor
	}
}

// WithProbe makes the calls that must be refused with a second identity of the
// vendor, whose own policies do not require an external ID. Together with
// [WithCanaryRole] it shows that refusals come from the customer's trust policy.
// If the identity is a role that Config.AWSConfig can assume, [WithProbeRole] is
// enough.
func WithProbe(config aws.Config) Option {
	return func(c *Client) {
		if config.Credentials == nil {
			c.problem("WithProbe: the configuration has no credentials; give it those of the probe identity, or leave WithProbe out")
		}
		copied := config.Copy()
		c.probe = &copied
	}
}

// WithCanaryRole names a role of the vendor that requires no external ID. The
// probe identity must be able to assume it bare; if it cannot, its refusals
// prove nothing and verification is inconclusive. It must be in the vendor's
// account: a role of somebody else could stop trusting us at any time.
func WithCanaryRole(arn string) Option {
	return func(c *Client) { c.canaryRole = c.ownRole("WithCanaryRole (canary_role_arn)", arn) }
}

// WithLogger writes the log there instead of to [slog.Default].
func WithLogger(log *slog.Logger) Option {
	return func(c *Client) {
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		c.log = log
	}
}

// WithClock reads the time from now instead of [time.Now]. Credentials expire
// by the SDK's own clock, which is the real one.
func WithClock(now func() time.Time) Option {
	return func(c *Client) {
		if now == nil {
			c.problem("WithClock: the function is nil")
		}
		c.now = now
	}
}

// WithWait replaces waiting between two tries. The function returns when the
// duration has passed, or with the context's error before. A demonstration with
// its own clock can move that clock here instead of waiting.
func WithWait(wait func(context.Context, time.Duration) error) Option {
	return func(c *Client) {
		if wait == nil {
			c.problem("WithWait: the function is nil")
		}
		c.wait = wait
	}
}

// WithRandom takes randomness from the reader instead of crypto/rand. External
// IDs are only as unguessable as it is. Reading fewer bytes than asked for is
// an error; there is no fallback.
func WithRandom(random io.Reader) Option {
	return func(c *Client) {
		if random == nil {
			c.problem("WithRandom: the reader is nil")
		}
		c.random = random
	}
}

// WithHTTPClient sends all AWS calls through the given client, including those
// of the configurations that [Client.AssumeCustomerRole] returns. Without it
// the clients in the given AWS configurations are used, or else one that all
// customers share.
func WithHTTPClient(client aws.HTTPClient) Option {
	return func(c *Client) {
		if client == nil {
			c.problem("WithHTTPClient: the client is nil")
		}
		c.http = client
	}
}

// WithBrokerRole says which of the vendor's roles assumes customers' roles.
// Templates then narrow the trust policy to it by aws:PrincipalArn, together
// with the probe role.
func WithBrokerRole(arn string) Option {
	return func(c *Client) { c.brokerRole = c.ownRole("WithBrokerRole (broker_role_arn)", arn) }
}

// WithProbeRole names the vendor's role that makes the calls which must be
// refused. It is assumed with the vendor's own configuration (Config.AWSConfig)
// when it is needed first, unless [WithProbe] gives a configuration of that role.
// Trust policies that [WithBrokerRole] narrows admit it too.
func WithProbeRole(arn string) Option {
	return func(c *Client) { c.probeRole = c.ownRole("WithProbeRole (probe_role_arn)", arn) }
}

func (c *Client) ownRole(option, arn string) string {
	role, err := iam.ParseRoleARN(arn)
	switch {
	case err != nil:
		c.problem("%s: %v", option, err)
	case string(role.Account) != c.config.ServiceAccountID:
		c.problem("%s: the role must be in the vendor's account %s", option, clip(c.config.ServiceAccountID))
	}
	return arn
}

// WithPermissionsBoundary puts a permissions boundary on the role in templates:
// the ARN of a managed policy of AWS, or the name of one that every customer
// has in the account.
func WithPermissionsBoundary(policy string) Option {
	return func(c *Client) {
		if policy == "" {
			c.problem("WithPermissionsBoundary (permissions_boundary): the policy is empty")
		}
		c.permissionsBoundary = policy
	}
}

// WithTags puts tags on the role that templates create. The managed policies
// beside it stay without: AWS::IAM::ManagedPolicy takes no tags.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-managedpolicy.html
func WithTags(tags map[string]string) Option {
	return func(c *Client) {
		for key := range tags {
			if key == "" || strings.HasPrefix(strings.ToLower(key), "aws:") {
				c.problem("WithTags (tags): the key %q must not be empty or begin with aws:", clip(key))
			}
		}
		c.tags = maps.Clone(tags)
	}
}

// WithSelfInspection decides whether the role in templates may read itself and
// its policies, which is the default. Without it permissions are reported as
// not checked.
func WithSelfInspection(allowed bool) Option {
	return func(c *Client) { c.selfInspection = allowed }
}

// WithPresignedTemplates puts presigned URLs of templates into launch links, so
// that the bucket need not be readable by customers. They work for the given
// time, one minute to seven days.
func WithPresignedTemplates(validFor time.Duration) Option {
	return func(c *Client) {
		if validFor < time.Minute || validFor > 7*24*time.Hour {
			c.problem("WithPresignedTemplates (presigned_templates): %s must be from 1m to 168h", validFor)
		}
		c.presignedTemplates = validFor
	}
}

// WithPatience is how long one verification waits for a role that AWS refuses
// because it may be new; 20 seconds if not given, 0 for not at all. After that
// verification ends with the code propagating, and a later call continues.
func WithPatience(limit time.Duration) Option {
	return func(c *Client) {
		if limit < 0 || limit > 10*time.Minute {
			c.problem("WithPatience (patience): %s must be from 0 to 10m", limit)
		}
		c.patience = limit
	}
}

// WithPendingFor is how long a customer may take to complete an onboarding;
// 7 days if not given. After that its integration is expired until a new launch
// link is asked for. The external ID stays the same.
func WithPendingFor(limit time.Duration) Option {
	return func(c *Client) {
		if limit < time.Minute {
			c.problem("WithPendingFor (pending_for): %s must be at least 1m", limit)
		}
		c.pendingFor = limit
	}
}

// WithObserver is told how verifications proceed, from the goroutine that
// verifies. It must return quickly.
func WithObserver(observer func(context.Context, Progress)) Option {
	return func(c *Client) { c.observer = observer }
}

// WithTenantResolver tells the handler who is calling: the function returns the
// customer that the request was authenticated for, or an error, which is
// answered with 401. Without it anybody can start an onboarding in anybody's
// name, which is fit for a page behind an authentication of its own only.
func WithTenantResolver(resolve func(*http.Request) (customerID string, err error)) Option {
	return func(c *Client) {
		if resolve == nil {
			c.problem("WithTenantResolver: the function is nil")
		}
		c.resolver = resolve
	}
}

// A Progress is what an observer is told.
type Progress struct {
	CustomerID    string
	IntegrationID string
	RoleARN       string
	Step          string        // the step that begins, or that waits
	Attempt       int           // from 1; more than 1 if the step is tried again
	Waiting       time.Duration // how long it will wait before the attempt
}

type actorKey struct{}

// WithActor says on whose behalf the calls made with the context are: it is
// written into audit records. Never put a secret here.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return clip(actor)
}
