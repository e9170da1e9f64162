package crossaccount

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/crossaccount/crossaccount/setup"
)

// Lifetimes of setup links.
const (
	DefaultSetupLinkFor = 7 * 24 * time.Hour
	MaxSetupLinkFor     = 30 * 24 * time.Hour
)

// A SetupLink lets whoever has its token use the setup page for one integration
// of one customer, without signing in, until it expires or the integration is
// revoked.
type SetupLink struct {
	CustomerID    string
	IntegrationID string
	ExpiresAt     time.Time
}

// linkBinding ties tokens to their purpose: no other sealed value is one.
var linkBinding = Binding{Field: "setup_link"}

const maxLinkToken = 4096 // bytes; the longest ids fit

// sealedLink is what a token contains.
type sealedLink struct {
	CustomerID    string `json:"c"`
	IntegrationID string `json:"i"`
	Expires       int64  `json:"e"` // in Unix time
}

// SealSetupLink makes the token of a setup link, for URLs and cookies. It is
// sealed with the keys of the [Encryptor]: it tells nothing, and cannot be made
// or altered by others. The integration must exist and not be revoked. Links
// live for a minute to 30 days.
//
// A token is as good as a signed-in customer: keep it out of logs, and send it
// to the customer only.
func (c *Client) SealSetupLink(ctx context.Context, link SetupLink) (token string, err error) {
	if err := checkCustomerID(link.CustomerID); err != nil {
		return "", err
	}
	if left := link.ExpiresAt.Sub(c.now()); left < time.Minute-time.Second || left > MaxSetupLinkFor {
		return "", NewError(CodeInvalidRequest, fmt.Sprintf("a setup link must work for 1m to %s", MaxSetupLinkFor), "", nil)
	}
	if err := c.linkable(ctx, link); err != nil {
		return "", err
	}
	plain, err := json.Marshal(sealedLink{link.CustomerID, link.IntegrationID, link.ExpiresAt.Unix()})
	if err != nil {
		return "", err
	}
	sealed, err := c.encryptor.Seal(ctx, plain, linkBinding)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// OpenSetupLink returns what a token is for. One that is altered, made by
// somebody else, expired, or of an integration that was revoked is refused with
// the code forbidden.
func (c *Client) OpenSetupLink(ctx context.Context, token string) (*SetupLink, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(token) > maxLinkToken {
		return nil, brokenLink()
	}
	plain, err := c.encryptor.Open(ctx, sealed, linkBinding)
	if err != nil {
		return nil, brokenLink()
	}
	var found sealedLink
	if err := json.Unmarshal(plain, &found); err != nil {
		return nil, brokenLink()
	}
	link := &SetupLink{found.CustomerID, found.IntegrationID, time.Unix(found.Expires, 0)}
	if !c.now().Before(link.ExpiresAt) {
		return nil, NewError(CodeForbidden, "this link has expired", askForLink, nil)
	}
	return link, c.linkable(ctx, *link)
}

const askForLink = "ask whoever sent it to you for a new one"

func brokenLink() *Error {
	return NewError(CodeForbidden, "this link is not valid, or was not copied completely", askForLink, nil)
}

// linkable refuses links to integrations that are over.
func (c *Client) linkable(ctx context.Context, link SetupLink) error {
	integration, err := c.storage.Get(ctx, link.CustomerID, link.IntegrationID)
	if err != nil {
		return err
	}
	if integration.State == StateRevoked {
		return NewError(CodeForbidden, "this link is no longer valid", askForLink, nil)
	}
	return nil
}

type linkKey struct{}

// WithSetupLink lets a request use the setup page and the handler for the
// link's customer and integration, and for nothing else. It takes the place of
// the tenant resolver. Open the link anew for every request: it may have been
// revoked.
func WithSetupLink(ctx context.Context, link *SetupLink) context.Context {
	return context.WithValue(ctx, linkKey{}, link)
}

func linkOf(ctx context.Context) *SetupLink {
	link, _ := ctx.Value(linkKey{}).(*SetupLink)
	return link
}

// confined returns the integration that a request is about: the one of its
// setup link, if it came by one, and then it must not name another.
func confined(ctx context.Context, integrationID string) (string, error) {
	link := linkOf(ctx)
	if link == nil {
		return integrationID, nil
	}
	if integrationID != "" && integrationID != link.IntegrationID {
		return "", NewError(CodeForbidden, "your link is for another integration", "use the link that you were sent for this one", nil)
	}
	return link.IntegrationID, nil
}

// ServeSetupError shows an error on a page like the setup page, for what
// surrounds it. The page tells message and remedy of an [*Error] and nothing of
// others.
func (c *Client) ServeSetupError(w http.ResponseWriter, err error) {
	view := &setup.View{Grants: c.page.grants()}
	if err := c.page.pages.Write(w, c.showError(view, err), view); err != nil {
		c.log.Warn("crossaccount: a page could not be written", "cause", err.Error())
	}
}
