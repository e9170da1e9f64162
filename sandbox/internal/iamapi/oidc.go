package iamapi

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Limits of OpenID Connect providers.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxProviderURL = 255
	maxClientID    = 255
	maxClientIDs   = 100
	maxThumbprints = 5
)

// CreateOpenIDConnectProviderInput is the input of CreateOpenIDConnectProvider.
type CreateOpenIDConnectProviderInput struct {
	Url            string   // of the issuer, with https://
	ClientIDList   []string // audiences that tokens may have
	ThumbprintList []string // kept, and never compared: the sandbox makes no connections
	Tags           []Tag
}

// CreateOpenIDConnectProviderOutput is the output of
// CreateOpenIDConnectProvider.
type CreateOpenIDConnectProviderOutput struct {
	OpenIDConnectProviderArn string
	Tags                     []Tag `wire:",omitempty"`
}

// CreateOpenIDConnectProvider tells an account of an issuer whose tokens its
// roles may trust. The issuer need not be known to the sandbox; its tokens can
// be verified only if it is.
func (s *Service) CreateOpenIDConnectProvider(c *authz.Call, in *CreateOpenIDConnectProviderInput) (*CreateOpenIDConnectProviderOutput, error) {
	if err := first(checkProviderURL(in.Url), checkClientIDs(in.ClientIDList), checkThumbprints(in.ThumbprintList), checkTags(in.Tags)); err != nil {
		return nil, err
	}
	issuer := strings.TrimPrefix(in.Url, "https://")
	t, err := s.accountTarget(c, "oidc-provider/"+issuer)
	if err != nil {
		return nil, err
	}
	if err := s.creating(c, "OpenIDConnectProvider", t.arn, in.Tags, details{}); err != nil {
		return nil, err
	}
	p, err := s.directory.CreateOIDCProvider(c.Now, directory.OIDCProvider{
		Account: c.Account(), Issuer: issuer, ClientIDs: slices.Clone(in.ClientIDList), Thumbprints: lower(in.ThumbprintList), Tags: slices.Clone(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: p.ARN(), Tags: p.Tags}, nil
}

// ProviderInput names an OpenID Connect provider.
type ProviderInput struct{ OpenIDConnectProviderArn string }

// GetOpenIDConnectProviderOutput is the output of GetOpenIDConnectProvider.
type GetOpenIDConnectProviderOutput struct {
	Url            string // without https://
	ClientIDList   []string
	ThumbprintList []string
	CreateDate     time.Time
	Tags           []Tag `wire:",omitempty"`
}

// GetOpenIDConnectProvider describes a provider.
func (s *Service) GetOpenIDConnectProvider(c *authz.Call, in *ProviderInput) (*GetOpenIDConnectProviderOutput, error) {
	p, err := s.findProvider(c, in.OpenIDConnectProviderArn, "GetOpenIDConnectProvider", details{})
	if err != nil {
		return nil, err
	}
	return &GetOpenIDConnectProviderOutput{Url: p.Issuer, ClientIDList: p.ClientIDs, ThumbprintList: p.Thumbprints, CreateDate: date(p.Created), Tags: p.Tags}, nil
}

// ListOpenIDConnectProvidersInput has no parameters.
type ListOpenIDConnectProvidersInput struct{}

// ListOpenIDConnectProvidersOutput is the output of
// ListOpenIDConnectProviders.
type ListOpenIDConnectProvidersOutput struct {
	OpenIDConnectProviderList []OpenIDConnectProviderListEntry
}

// An OpenIDConnectProviderListEntry is one provider of a list.
type OpenIDConnectProviderListEntry struct{ Arn string }

// ListOpenIDConnectProviders returns all providers of the account; there are no
// pages.
func (s *Service) ListOpenIDConnectProviders(c *authz.Call, _ *ListOpenIDConnectProvidersInput) (*ListOpenIDConnectProvidersOutput, error) {
	if err := s.authorize(c, "ListOpenIDConnectProviders", everything, details{}); err != nil {
		return nil, err
	}
	out := &ListOpenIDConnectProvidersOutput{}
	for _, p := range s.latest().OIDCProviders(c.Account()) {
		out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, OpenIDConnectProviderListEntry{p.ARN()})
	}
	return out, nil
}

// DeleteOpenIDConnectProvider deletes a provider. One that does not exist is no
// error, and roles that trust it stay as they are: nobody can assume them by it
// any more.
func (s *Service) DeleteOpenIDConnectProvider(c *authz.Call, in *ProviderInput) error {
	_, err := s.findProvider(c, in.OpenIDConnectProviderArn, "DeleteOpenIDConnectProvider", details{})
	if err != nil {
		if wire.AsError(err).Code == "NoSuchEntity" {
			return nil
		}
		return err
	}
	return s.directory.DeleteOIDCProvider(c.Now, c.Account(), providerIssuer(in.OpenIDConnectProviderArn))
}

// ClientIDInput is the input of the two operations on one audience.
type ClientIDInput struct{ OpenIDConnectProviderArn, ClientID string }

// AddClientIDToOpenIDConnectProvider adds an audience; one that is there already
// is no error.
func (s *Service) AddClientIDToOpenIDConnectProvider(c *authz.Call, in *ClientIDInput) error {
	if err := checkClientIDs([]string{in.ClientID}); err != nil {
		return err
	}
	return s.editProvider(c, in.OpenIDConnectProviderArn, "AddClientIDToOpenIDConnectProvider", details{}, func(p *directory.OIDCProvider) error {
		if slices.Contains(p.ClientIDs, in.ClientID) {
			return nil
		}
		p.ClientIDs = append(slices.Clone(p.ClientIDs), in.ClientID)
		return limitClientIDs(p.ClientIDs)
	})
}

// RemoveClientIDFromOpenIDConnectProvider removes an audience; one that is not
// there is no error.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(c *authz.Call, in *ClientIDInput) error {
	if err := checkClientIDs([]string{in.ClientID}); err != nil {
		return err
	}
	return s.editProvider(c, in.OpenIDConnectProviderArn, "RemoveClientIDFromOpenIDConnectProvider", details{}, func(p *directory.OIDCProvider) error {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(id string) bool { return id == in.ClientID })
		return nil
	})
}

// UpdateOpenIDConnectProviderThumbprintInput is the input of
// UpdateOpenIDConnectProviderThumbprint.
type UpdateOpenIDConnectProviderThumbprintInput struct {
	OpenIDConnectProviderArn string
	ThumbprintList           []string
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(c *authz.Call, in *UpdateOpenIDConnectProviderThumbprintInput) error {
	if in.ThumbprintList == nil {
		return required("thumbprintList", "")
	}
	if err := checkThumbprints(in.ThumbprintList); err != nil {
		return err
	}
	return s.editProvider(c, in.OpenIDConnectProviderArn, "UpdateOpenIDConnectProviderThumbprint", details{}, func(p *directory.OIDCProvider) error {
		p.Thumbprints = lower(in.ThumbprintList)
		return nil
	})
}

// TagOpenIDConnectProviderInput is the input of TagOpenIDConnectProvider.
type TagOpenIDConnectProviderInput struct {
	OpenIDConnectProviderArn string
	Tags                     []Tag
}

// TagOpenIDConnectProvider adds tags to a provider.
func (s *Service) TagOpenIDConnectProvider(c *authz.Call, in *TagOpenIDConnectProviderInput) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	return s.editProvider(c, in.OpenIDConnectProviderArn, "TagOpenIDConnectProvider", details{requestTags: in.Tags}, func(p *directory.OIDCProvider) (err error) {
		p.Tags, err = withTags(p.Tags, in.Tags)
		return err
	})
}

// UntagOpenIDConnectProviderInput is the input of UntagOpenIDConnectProvider.
type UntagOpenIDConnectProviderInput struct {
	OpenIDConnectProviderArn string
	TagKeys                  []string
}

// UntagOpenIDConnectProvider removes tags from a provider.
func (s *Service) UntagOpenIDConnectProvider(c *authz.Call, in *UntagOpenIDConnectProviderInput) error {
	return s.editProvider(c, in.OpenIDConnectProviderArn, "UntagOpenIDConnectProvider", untagging(in.TagKeys), func(p *directory.OIDCProvider) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
}

// ListOpenIDConnectProviderTagsInput is the input of
// ListOpenIDConnectProviderTags.
type ListOpenIDConnectProviderTagsInput struct {
	OpenIDConnectProviderArn string
	Paging
}

// ListOpenIDConnectProviderTagsOutput is the output of
// ListOpenIDConnectProviderTags.
type ListOpenIDConnectProviderTagsOutput struct {
	Tags []Tag
	Paged
}

// ListOpenIDConnectProviderTags returns a provider's tags.
func (s *Service) ListOpenIDConnectProviderTags(c *authz.Call, in *ListOpenIDConnectProviderTagsInput) (*ListOpenIDConnectProviderTagsOutput, error) {
	p, err := s.findProvider(c, in.OpenIDConnectProviderArn, "ListOpenIDConnectProviderTags", details{})
	if err != nil {
		return nil, err
	}
	tags, paged, err := pageTags(p.Tags, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListOpenIDConnectProviderTagsOutput{tags, paged}, nil
}

// findProvider returns a provider of the caller's account after asking whether
// the caller may do action on it.
func (s *Service) findProvider(c *authz.Call, arn, action string, d details) (*directory.OIDCProvider, error) {
	if err := required("openIDConnectProviderArn", arn); err != nil {
		return nil, err
	}
	parsed, err := iam.ParseARN(arn)
	issuer := providerIssuer(arn)
	if err != nil || parsed.Service != "iam" || parsed.Region != "" || issuer == "" {
		return nil, wire.BadRequest("InvalidInput", "Not a valid OIDC provider ARN: %s", clip(arn))
	}
	p, found := s.latest().OIDCProvider(c.Account(), issuer)
	found = found && p.ARN() == arn
	t := target{arn: arn}
	if found {
		t.tags = p.Tags
	}
	if err := s.authorize(c, action, t, d); err != nil {
		return nil, err
	}
	if !found {
		return nil, directory.NoSuchOIDCProvider(clip(arn))
	}
	return p, nil
}

func (s *Service) editProvider(c *authz.Call, arn, action string, d details, edit func(*directory.OIDCProvider) error) error {
	p, err := s.findProvider(c, arn, action, d)
	if err != nil {
		return err
	}
	return s.directory.UpdateOIDCProvider(c.Now, c.Account(), p.Issuer, edit)
}

// providerIssuer is the issuer in the ARN of a provider, "" if there is none.
func providerIssuer(arn string) string {
	_, issuer, _ := strings.Cut(arn, ":oidc-provider/")
	return issuer
}

// checkProviderURL checks the URL of an issuer. It may have a path, which is part
// of the provider's identity, and nothing behind it.
func checkProviderURL(s string) error {
	if err := required("url", s); err != nil {
		return err
	}
	if len(s) > maxProviderURL {
		return invalid("url", "Member must have length less than or equal to 255")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || !strings.HasPrefix(s, "https://") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return wire.BadRequest("InvalidInput", "Invalid Open ID Connect Provider URL")
	}
	return nil
}

func checkClientIDs(ids []string) error {
	for _, id := range ids {
		if id == "" || len(id) > maxClientID {
			return invalid("clientID", "Member must have a length of 1 to 255")
		}
	}
	return limitClientIDs(ids)
}

func limitClientIDs(ids []string) error {
	if len(ids) > maxClientIDs {
		return limitExceeded("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
	}
	return nil
}

var thumbprintPattern = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

func checkThumbprints(list []string) error {
	if len(list) > maxThumbprints {
		return wire.BadRequest("InvalidInput", "Thumbprint list must contain fewer than 5 entries.")
	}
	for _, thumbprint := range list {
		if !thumbprintPattern.MatchString(thumbprint) {
			return invalid("thumbprintList", "Member must have a length of 40: the SHA-1 hash of a certificate in hexadecimal")
		}
	}
	return nil
}

func lower(list []string) []string {
	lowered := make([]string, len(list))
	for i, s := range list {
		lowered[i] = strings.ToLower(s)
	}
	return lowered
}
