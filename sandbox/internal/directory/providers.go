package directory

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An OIDCProvider is an OpenID Connect identity provider of an account: an
// issuer whose tokens roles of the account may trust. It is immutable once it
// came out of a [View].
type OIDCProvider struct {
	Account     iam.AccountID
	Partition   string
	Issuer      string   // without https://: "oidc.eks.us-east-1.amazonaws.com/id/…"
	ClientIDs   []string // audiences that tokens may have
	Thumbprints []string
	Tags        []Tag
	Created     time.Time
}

// ARN returns the provider's ARN.
func (p *OIDCProvider) ARN() string {
	return "arn:" + p.Partition + ":iam::" + string(p.Account) + ":" + providerResource + p.Issuer
}

const providerResource = "oidc-provider/"

// maxProviders is how many providers an account may have.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const maxProviders = 100

// providerKey is the name of a provider in the account's table. Names of tables
// match regardless of case and those of issuers do not.
func providerKey(issuer string) string { return hex.EncodeToString([]byte(issuer)) }

// OIDCProvider returns the provider of an account for an issuer.
func (v View) OIDCProvider(account iam.AccountID, issuer string) (*OIDCProvider, bool) {
	a, ok := v.d.Account(account)
	if !ok {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, p := a.providers.lookup(providerKey(issuer), read[OIDCProvider](v))
	return p, p != nil
}

// OIDCProviders returns all providers of an account, sorted by issuer.
func (v View) OIDCProviders(account iam.AccountID) []*OIDCProvider {
	a, ok := v.d.Account(account)
	if !ok {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	var list []*OIDCProvider
	a.providers.each(read[OIDCProvider](v), func(p *OIDCProvider) { list = append(list, p) })
	slices.SortFunc(list, func(a, b *OIDCProvider) int { return strings.Compare(a.Issuer, b.Issuer) })
	return list
}

// CreateOIDCProvider adds a provider. Account and Issuer must be set; Created is
// now and the partition the account's. An account has one for an issuer.
func (d *Directory) CreateOIDCProvider(now time.Time, p OIDCProvider) (*OIDCProvider, error) {
	err := d.write(p.Account, now, func(a *Account) error {
		if _, existing := a.providers.lookup(providerKey(p.Issuer), (*entry[OIDCProvider]).latest); existing != nil {
			return alreadyExists("Provider with url https://%s already exists.", p.Issuer)
		}
		count := 0
		a.providers.each((*entry[OIDCProvider]).latest, func(*OIDCProvider) { count++ })
		if count >= maxProviders {
			return wire.Errorf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		}
		p.Partition, p.Created = a.Partition, now
		a.providers.insert(providerKey(p.Issuer), &entry[OIDCProvider]{id: p.ARN(), account: a, versions: []version[OIDCProvider]{{now, &p}}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// UpdateOIDCProvider is [Directory.UpdateRole] for providers. What edit replaces
// must be new: slices are shared with earlier versions.
func (d *Directory) UpdateOIDCProvider(now time.Time, account iam.AccountID, issuer string, edit func(*OIDCProvider) error) error {
	return d.write(account, now, func(a *Account) error {
		e, p := a.providers.lookup(providerKey(issuer), (*entry[OIDCProvider]).latest)
		if p == nil {
			return NoSuchOIDCProvider("arn:" + a.Partition + ":iam::" + string(account) + ":" + providerResource + issuer)
		}
		next := *p
		if err := edit(&next); err != nil {
			return err
		}
		e.put(now, now.Add(-d.delay), &next)
		return nil
	})
}

// DeleteOIDCProvider deletes a provider, and does nothing if there is none.
// Roles that trust it stay as they are.
func (d *Directory) DeleteOIDCProvider(now time.Time, account iam.AccountID, issuer string) error {
	return d.write(account, now, func(a *Account) error {
		e, p := a.providers.lookup(providerKey(issuer), (*entry[OIDCProvider]).latest)
		if p == nil {
			return nil
		}
		d.remove(a, now, func() { a.providers.remove(providerKey(issuer), e) })
		e.put(now, now.Add(-d.delay), nil)
		return nil
	})
}

// NoSuchOIDCProvider is IAM's answer when a provider does not exist.
func NoSuchOIDCProvider(arn string) *wire.Error {
	return noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
}
