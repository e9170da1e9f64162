package crossaccount

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const defaultPendingFor = 7 * 24 * time.Hour

// integrationIDPattern keeps ids fit for URLs and keys of every storage.
var integrationIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// GenerateIntegrationURL begins an onboarding, or continues the one that is
// pending, and returns the link with which the customer creates the stack. The
// external ID of an integration is made once; asking again returns the same one.
// The template is published first if it is not yet.
func (c *Client) GenerateIntegrationURL(ctx context.Context, request *IntegrationRequest) (*IntegrationResponse, error) {
	if request == nil {
		return nil, NewError(CodeInvalidRequest, "integration request: is nil", "", nil)
	}
	in := *request
	if err := c.checkIntegrationRequest(&in); err != nil {
		return nil, err
	}
	published, err := c.publishFor(ctx, in.CustomerID)
	if err != nil {
		return nil, err
	}
	integration, err := c.start(ctx, in)
	if err != nil {
		return nil, err
	}
	response, err := c.linkTo(ctx, published, integration, cmp.Or(in.Region, integration.Region, c.config.DefaultRegion))
	if err != nil {
		return nil, err
	}
	_, err = c.update(ctx, integration.CustomerID, integration.ID, func(i *Integration) (Change, error) {
		if i.State == StateExpired {
			i.State = StatePending
		}
		i.Region, i.StackName = response.Region, response.StackName
		i.TemplateKey, i.TemplateSHA256 = published.Key, published.SHA256
		i.LinkedAt = storedTime(c.now())
		return c.changed(ctx, i, ActionLinked, outcomeOK, "")
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// publishFor publishes the current template. While S3 cannot be reached it takes
// the word of this customer's records: what one of them was linked to before,
// perhaps by another process, is in the bucket and cannot have changed. Other
// customers' records are not asked.
func (c *Client) publishFor(ctx context.Context, customerID string) (publishedTemplate, error) {
	published, err := c.templates.publish(ctx, c.document)
	if err == nil || !unreachable(err) {
		return published, err
	}
	integrations, listErr := c.all(ctx, customerID)
	if listErr != nil {
		return publishedTemplate{}, err
	}
	before := c.templates.locate(c.document)
	for _, i := range integrations {
		if i.TemplateKey == before.Key && i.TemplateSHA256 == before.SHA256 {
			c.log.Warn("crossaccount: S3 cannot be reached, and a link goes to the template that was published before",
				"customer", customerID, "integration", i.ID, "key", before.Key, "error", errorText(err))
			return before, nil
		}
	}
	return publishedTemplate{}, err
}

// linkTo makes the launch link of an integration. It changes no record.
func (c *Client) linkTo(ctx context.Context, published publishedTemplate, integration *Integration, region string) (*IntegrationResponse, error) {
	templateURL, until := published.URL, time.Time{}
	var err error
	if c.presignedTemplates > 0 {
		if templateURL, until, err = c.templates.presign(ctx, published, c.presignedTemplates); err != nil {
			return nil, err
		}
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return nil, err
	}
	link := LaunchLink{
		Region:      region,
		TemplateURL: templateURL,
		StackName:   stackName(c.config.ServiceName, integration.CustomerID),
		Parameters: map[string]string{
			ParameterExternalID: externalID,
			ParameterRoleName:   roleName(c.config.ServiceName, integration.CustomerID),
		},
	}
	url, err := link.URL(c.stack)
	if err != nil {
		return nil, err
	}
	return &IntegrationResponse{
		LaunchURL:      url,
		ExternalID:     externalID,
		StackName:      link.StackName,
		IntegrationID:  integration.ID,
		Region:         link.Region,
		TemplateURL:    published.URL,
		TemplateSHA256: published.SHA256,
		LinkExpiresAt:  until,
	}, nil
}

func (c *Client) checkIntegrationRequest(in *IntegrationRequest) error {
	for _, err := range []error{
		checkCustomerID(in.CustomerID),
		checkText("customer_name", in.CustomerName, 256, false),
		checkAccountID("account_id", in.AccountID),
	} {
		if err != nil {
			return err
		}
	}
	partition, ok := iam.PartitionOfRegion(cmp.Or(in.Region, c.config.DefaultRegion))
	switch {
	case !ok:
		return NewError(CodeInvalidRequest, fmt.Sprintf("region %q: is not an AWS region name such as us-east-1", clip(in.Region)), "", nil)
	case partition.ID != c.partition.ID:
		return NewError(CodeInvalidRequest, fmt.Sprintf("region %s: is in partition %s, we work in %s", in.Region, partition.ID, c.partition.ID), "choose a region of partition "+c.partition.ID, nil)
	case in.IntegrationID != "" && !integrationIDPattern.MatchString(in.IntegrationID):
		return NewError(CodeInvalidRequest, "integration_id: must be 1 to 64 letters, digits, hyphens and underscores", "", nil)
	case in.AccountID != "" && c.isOwnAccount(in.AccountID):
		return NewError(CodeInvalidRequest, "account_id: is our own account", "give the customer's account", nil)
	}
	return nil
}

// start returns the integration a request is about, making it if there is
// none. Of concurrent calls one makes it; the storage sees to that.
func (c *Client) start(ctx context.Context, in IntegrationRequest) (*Integration, error) {
	for try := 1; ; try++ {
		found, err := c.find(ctx, in)
		if err != nil {
			return nil, err
		}
		if found != nil {
			return c.declare(ctx, found, in)
		}
		created, err := c.create(ctx, in)
		if err == nil {
			return created, nil
		}
		if CodeOf(err) != CodeConflict || try == updateTries {
			return nil, err
		}
	}
}

type requestKey struct{}

// WithRequestKey makes the start of an onboarding safe to repeat with the same
// key at any time, also after a crash and after the onboarding was completed:
// the first one with the key for a customer that makes an integration decides
// its id by the key, and later ones find it. Keys are chosen by the caller, at
// random.
func WithRequestKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, requestKey{}, key)
}

// keyedID returns the id of the integration that a request with a key makes, or
// "" if it has none.
func (c *Client) keyedID(ctx context.Context, customerID string) (string, error) {
	key, _ := ctx.Value(requestKey{}).(string)
	if key == "" {
		return "", nil
	}
	index, err := c.encryptor.BlindIndex(ctx, "request_key", frame(nil, customerID, key))
	if err != nil {
		return "", err
	}
	return "int-" + hex.EncodeToString(index[:min(16, len(index))]), nil
}

// find returns the integration that a request continues: the named one, else
// the one that the same request made before, else the one of the declared
// account, else the open one, else nil.
func (c *Client) find(ctx context.Context, in IntegrationRequest) (*Integration, error) {
	if in.IntegrationID == "" {
		keyed, err := c.keyedID(ctx, in.CustomerID)
		if err != nil {
			return nil, err
		}
		if keyed != "" {
			made, err := c.storage.Get(ctx, in.CustomerID, keyed)
			if err == nil || CodeOf(err) != CodeUnknownIntegration {
				return made, err
			}
		}
	}
	if in.IntegrationID != "" {
		integration, err := c.storage.Get(ctx, in.CustomerID, in.IntegrationID)
		if CodeOf(err) == CodeUnknownIntegration {
			return nil, nil
		}
		if err == nil && integration.State == StateRevoked {
			return nil, NewError(CodeIllegalState, "the integration was revoked", "start another one under another integration_id", nil)
		}
		return integration, err
	}
	integrations, err := c.all(ctx, in.CustomerID)
	if err != nil {
		return nil, err
	}
	var open []*Integration
	for _, integration := range integrations {
		if in.AccountID != "" && integration.AccountID == in.AccountID {
			return integration, nil
		}
		if integration.State.Open() && (in.AccountID == "" || integration.AccountID == "") {
			open = append(open, integration)
		}
	}
	switch len(open) {
	case 0:
		return nil, nil
	case 1:
		return open[0], nil
	}
	return nil, ambiguous()
}

// declare adds what a repeated request says to an existing integration.
func (c *Client) declare(ctx context.Context, found *Integration, in IntegrationRequest) (*Integration, error) {
	if in.AccountID != "" && found.AccountID != "" && in.AccountID != found.AccountID {
		return nil, wrongAccount()
	}
	if (in.AccountID == "" || found.AccountID == in.AccountID) && (in.CustomerName == "" || found.CustomerName == in.CustomerName) {
		return found, nil
	}
	return c.update(ctx, found.CustomerID, found.ID, func(i *Integration) (Change, error) {
		if in.AccountID != "" {
			if i.AccountID != "" && i.AccountID != in.AccountID {
				return Change{}, wrongAccount()
			}
			i.AccountID = in.AccountID
		}
		if in.CustomerName != "" {
			i.CustomerName = in.CustomerName
		}
		return Change{}, nil
	})
}

func (c *Client) create(ctx context.Context, in IntegrationRequest) (*Integration, error) {
	now := storedTime(c.now())
	integration := &Integration{
		ID:           in.IntegrationID,
		CustomerID:   in.CustomerID,
		CustomerName: in.CustomerName,
		State:        StatePending,
		PendingKey:   "open",
		AccountID:    in.AccountID,
		Region:       cmp.Or(in.Region, c.config.DefaultRegion),
		LinkedAt:     now,
		CreatedAt:    now,
		UpdatedAt:    now,
	}
	switch {
	case in.IntegrationID != "":
		integration.PendingKey = "" // the id itself is unique
	case in.AccountID != "":
		integration.PendingKey = "account " + in.AccountID
	}
	var err error
	if integration.ID == "" {
		if integration.ID, err = c.keyedID(ctx, in.CustomerID); err != nil {
			return nil, err
		}
	}
	if integration.ID == "" {
		if integration.ID, err = c.newID("int-"); err != nil {
			return nil, err
		}
	}
	if _, err := c.sealExternalID(ctx, integration); err != nil {
		return nil, err
	}
	change, err := c.changed(ctx, integration, ActionStarted, outcomeOK, "")
	if err != nil {
		return nil, err
	}
	if err := c.storage.Create(ctx, integration, change); err != nil {
		return nil, err
	}
	c.log.Info("crossaccount: an onboarding began", "customer", integration.CustomerID, "integration", integration.ID)
	return integration, nil
}

// roleName returns the name of a customer's role. It differs between customers,
// so that two of them can share an AWS account. IAM ignores case, so an id with
// upper-case letters gets a hash.
func roleName(serviceName, customerID string) string {
	service := slug(serviceName, 24)
	name := service + "-" + customerID
	if reference.CheckRoleName(name) == nil && strings.ToLower(customerID) == customerID {
		return name
	}
	return hashedName(service, customerID, reference.MaxRoleName)
}

// buildStack makes the customer's stack, which depends on nothing but the
// configuration.
func (c *Client) buildStack() {
	if len(c.problems) > 0 {
		return // they would be reported twice
	}
	stack, warnings, err := buildStack(c.stackInput())
	if err == nil {
		c.document, err = renderStack(stack, FormatCloudFormation)
	}
	if err != nil {
		c.problem("%s", strings.TrimPrefix(err.Error(), "template: "))
	}
	c.stack, c.warnings = stack, warnings
}

func (c *Client) stackInput() stackInput {
	in := stackInput{
		Config:              c.config,
		PermissionsBoundary: c.permissionsBoundary,
		Tags:                c.tags,
		SelfInspection:      c.selfInspection,
		SessionTags:         true,
		SourceIdentity:      true,
		Generator:           "github.com/crossaccount/crossaccount",
	}
	if c.brokerRole != "" { // the probe role alone would lock out the broker
		in.TrustedRoles = append(in.TrustedRoles, c.brokerRole)
		if c.probeRole != "" {
			in.TrustedRoles = append(in.TrustedRoles, c.probeRole)
		}
	}
	return in
}

// GenerateCloudFormationTemplate returns the template of the customer's stack
// as JSON. The same configuration always gives the same bytes.
func (c *Client) GenerateCloudFormationTemplate() (string, error) {
	return string(c.document), nil
}

// Template returns the customer's stack in a format of choice.
func (c *Client) Template(format TemplateFormat) ([]byte, error) {
	return renderStack(c.stack, format)
}

// Warnings returns what is useless or unwise about the configuration although
// AWS accepts it. New has logged them.
func (c *Client) Warnings() []Warning { return slices.Clone(c.warnings) }
