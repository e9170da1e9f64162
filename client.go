package crossaccount

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// A Client onboards customers' AWS accounts and hands out credentials for them.
// It is safe for concurrent use.
type Client struct {
	config Config
	settings

	partition iam.Partition // the vendor's, by DefaultRegion

	mu      sync.Mutex  // guards what follows
	base    *aws.Config // loaded once
	assumed *aws.Config // sessions of the probe role, unless WithProbe gave them

	broker       *broker.Broker // made with base
	brokerClosed bool
	accesses     map[integrationKey]map[digest]*RoleCredentials // that were asked for

	stack     *template.Stack // the customer's, made once
	document  []byte          // the stack as CloudFormation JSON
	warnings  []Warning
	templates *publisher
	limits    limiter
	ids       atomic.Uint32 // counts ids, so that they sort
	page      *setupPage
}

// New makes a client. It opens no network connection: the vendor's credentials
// are loaded at first use. Without [WithStorage] and [WithEncryption] it works
// with memory storage and a key of its own, and warns.
func New(config *Config, options ...Option) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	c := &Client{
		config: config.withDefaults(),
		settings: settings{
			log:            slog.Default(),
			now:            time.Now,
			wait:           sleep,
			random:         rand.Reader,
			selfInspection: true,
			patience:       defaultPatience,
			pendingFor:     defaultPendingFor,
		},
		accesses: make(map[integrationKey]map[digest]*RoleCredentials),
	}
	for _, option := range options {
		if option != nil {
			option(c)
		}
	}
	c.partition, _ = iam.PartitionOfRegion(c.config.DefaultRegion)
	c.checkOwnRoles()
	c.checkBrokering()
	c.buildStack()
	if len(c.problems) > 0 {
		return nil, NewError(CodeInvalidConfig, "configuration: "+strings.Join(c.problems, "; "), "", nil)
	}
	if err := c.fillIn(); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

func (c *Client) checkOwnRoles() {
	for option, arn := range map[string]string{
		"WithBrokerRole (broker_role_arn)": c.brokerRole, "WithProbeRole (probe_role_arn)": c.probeRole, "WithCanaryRole (canary_role_arn)": c.canaryRole,
	} {
		role, err := iam.ParseRoleARN(arn)
		if arn != "" && err == nil && role.Partition != c.partition.ID {
			c.problem("%s: the role is in partition %s, default_region %s is in %s", option, role.Partition, c.config.DefaultRegion, c.partition.ID)
		}
	}
	if c.brokerRole != "" && c.probe != nil && c.probeRole == "" {
		c.problem("WithProbe: needs WithProbeRole (probe_role_arn), because the trust policy is narrowed to the broker role and would refuse the probe identity")
	}
}

func (c *Client) fillIn() error {
	if c.storage == nil {
		c.storage = NewMemoryStorage()
		c.log.Warn("crossaccount: integrations are kept in memory and will be lost when the process ends; use WithStorage")
	}
	if c.encryptor == nil {
		keys, err := GenerateKeySet(c.random)
		if err != nil {
			return err
		}
		if c.encryptor, err = NewAESEncryptor(keys); err != nil {
			return err
		}
		c.log.Warn("crossaccount: external IDs are sealed with a key that will be lost when the process ends; use WithEncryption")
	}
	if c.probe != nil {
		if c.probe.Region == "" {
			c.probe.Region = c.config.DefaultRegion
		}
		c.prepare(c.probe)
	}
	c.limits.now = c.now
	c.templates = newPublisher(c)
	c.page = newSetupPage(c)
	return nil
}

func (c *Client) warn() {
	for _, w := range c.warnings {
		c.log.Warn("crossaccount: "+w.Message, "field", w.Field, "remedy", w.Remedy, "code", w.Code)
	}
	if !c.hasProbe() || c.canaryRole == "" {
		c.log.Warn("crossaccount: verification is uncontrolled: without WithProbeRole (or WithProbe) and WithCanaryRole a refusal may come from the vendor's own policies instead of the customer's trust policy")
	}
	for key, problem := range brandingProblems(c.config.BrandingOptions) {
		c.log.Warn("crossaccount: "+problem+"; it is ignored", "field", "branding_options."+key)
	}
	if len(c.config.ServiceName) > maxServiceName {
		c.log.Warn("crossaccount: service_name is longer than 200 bytes and is shortened where customers see it", "field", "service_name")
	}
	for _, key := range unknownBranding(c.config.BrandingOptions) {
		c.log.Warn("crossaccount: unknown key in branding_options is ignored", "key", clip(key))
	}
}

// awsConfig returns the vendor's own configuration, loading the default chain
// the first time if none was given. A failure is not remembered.
func (c *Client) awsConfig(ctx context.Context) (aws.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base != nil {
		return c.base.Copy(), nil
	}
	base := c.config.AWSConfig.Copy()
	if base.Credentials == nil {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		loaded, err := awsconfig.LoadDefaultConfig(ctx, func(o *awsconfig.LoadOptions) error {
			o.Region = base.Region
			o.HTTPClient = base.HTTPClient
			if c.http != nil {
				o.HTTPClient = c.http
			}
			return nil
		})
		if err != nil {
			return aws.Config{}, NewError(CodeAWS, "the vendor's AWS configuration cannot be loaded", "set AWSConfig, or fix the environment and shared configuration files", err)
		}
		if base.BaseEndpoint != nil {
			loaded.BaseEndpoint = base.BaseEndpoint
		}
		base = loaded
	}
	if base.Region == "" {
		base.Region = c.config.DefaultRegion
	}
	c.prepare(&base)
	c.base = &base
	return base.Copy(), nil
}

// hasProbe reports whether there is a second identity.
func (c *Client) hasProbe() bool { return c.probe != nil || c.probeRole != "" }

// probeConfig returns the configuration of the second identity, made with the
// vendor's own if only its role was named.
func (c *Client) probeConfig(base aws.Config) aws.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.probe != nil:
		return c.probe.Copy()
	case c.assumed == nil:
		config := base.Copy()
		config.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(c.stsClient(base), c.probeRole, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName(c.config.ServiceName, "probe")
		}))
		c.assumed = &config
	}
	return c.assumed.Copy()
}

// prepare gives a configuration one HTTP client that everything made from it
// shares.
func (c *Client) prepare(config *aws.Config) {
	switch {
	case c.http != nil:
		config.HTTPClient = c.http
	case config.HTTPClient == nil:
		// A BuildableClient would be built again, with a connection pool of its
		// own, for every service client of every customer.
		config.HTTPClient = awshttp.NewBuildableClient().Freeze()
	}
}

// externalIDOf opens the external ID of an integration.
func (c *Client) externalIDOf(ctx context.Context, integration *Integration) (string, error) {
	plain, err := c.encryptor.Open(ctx, integration.SealedExternalID, externalIDBinding(integration))
	if err != nil {
		return "", err
	}
	return string(plain), nil
}

func externalIDBinding(integration *Integration) Binding {
	return Binding{CustomerID: integration.CustomerID, IntegrationID: integration.ID, Field: "external_id"}
}

// newID returns an id that sorts by time, those of the same millisecond in the
// order in which this client made them. It is unique, not secret.
func (c *Client) newID(prefix string) (string, error) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(c.now().UnixMilli())<<16|uint64(c.ids.Add(1)&0xFFFF))
	if _, err := io.ReadFull(c.random, b[8:]); err != nil {
		return "", randomError(err)
	}
	return prefix + hex.EncodeToString(b[:]), nil
}

func randomError(err error) error {
	return NewError(CodeRandom, "the random source failed, so nothing was generated", "check the system's random source; there is no fallback", err)
}

// sleep waits for d or for the end of the context.
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
