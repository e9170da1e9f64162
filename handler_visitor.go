package crossaccount

import (
	"crypto/subtle"
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
		return begunElsewhere()
	}
	return nil
}

func begunElsewhere() *Error {
	return NewError(CodeForbidden, "this onboarding was begun in another browser", "continue there, or ask support", nil)
}

// externalIDHeader is how the page's script shows that the onboarding was begun
// in its browser, if the service's own handler answered instead of this page. A
// page of another origin cannot send it.
const externalIDHeader = "Crossaccount-External-Id"

// admitByExternalID admits a browser that knows the external ID: the cookie lets
// it see nothing more secret.
func (c *Client) admitByExternalID(w http.ResponseWriter, r *http.Request, customerID string) error {
	if err := checkCustomerID(customerID); err != nil {
		return err
	}
	integrations, err := c.all(r.Context(), customerID)
	if err != nil {
		return err
	}
	for _, integration := range integrations {
		if integration.State == StateRevoked {
			continue
		}
		externalID, err := c.externalIDOf(r.Context(), integration)
		if err == nil && subtle.ConstantTimeCompare([]byte(externalID), []byte(r.Header.Get(externalIDHeader))) == 1 {
			return c.admit(w, r, customerID)
		}
	}
	return begunElsewhere()
}
