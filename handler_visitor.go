package crossaccount

import (
	"encoding/base64"
	"net/http"
)

// visitorCookie holds what shows, where nobody says who is calling, that a
// browser is the one in which a customer's onboarding began. Without it, knowing
// a customer's id would be enough to see its external ID.
const (
	visitorCookie = "crossaccount_setup"
	visitorField  = "setup_page"
)

// admit lets the browser go on with the customer's onboarding. The cookie is
// sealed for the customer, so it can be neither made nor used for another.
func (c *Client) admit(w http.ResponseWriter, r *http.Request, customerID string) error {
	if c.resolver != nil {
		return nil
	}
	sealed, err := c.encryptor.Seal(r.Context(), []byte(customerID), Binding{CustomerID: customerID, Field: visitorField})
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name:     visitorCookie,
		Value:    base64.RawURLEncoding.EncodeToString(sealed),
		MaxAge:   int(c.pendingFor.Seconds()),
		HttpOnly: true,
		Secure:   r.TLS != nil,
		SameSite: http.SameSiteLaxMode,
	})
	return nil
}

// admitted refuses a visitor who names a customer whose onboarding began
// elsewhere.
func (c *Client) admitted(r *http.Request, customerID string) error {
	for _, cookie := range r.CookiesNamed(visitorCookie) {
		sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
		if err != nil {
			continue
		}
		plain, err := c.encryptor.Open(r.Context(), sealed, Binding{CustomerID: customerID, Field: visitorField})
		if err == nil && string(plain) == customerID {
			return nil
		}
	}
	integrations, err := c.all(r.Context(), customerID)
	if err != nil {
		return err
	}
	if len(integrations) > 0 {
		return NewError(CodeForbidden, "this onboarding was begun in another browser", "continue there, or ask support", nil)
	}
	return nil
}
