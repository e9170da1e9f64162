package crossaccount_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Where nobody says who is calling, the external ID opens the page to the browser
// that the service's own handler gave it to, and nothing else does.
func TestExternalIDAdmitsABrowser(t *testing.T) {
	w := newWorld(t)
	started := w.start("one")
	other := w.start("two")
	ask := func(customer, externalID string, cookies []*http.Cookie) (int, []*http.Cookie) {
		r := httptest.NewRequest(http.MethodGet, "/integrate?customer_id="+customer, nil)
		if externalID != "" {
			r.Header.Set("Crossaccount-External-Id", externalID)
		}
		for _, cookie := range cookies {
			r.AddCookie(cookie)
		}
		answer := httptest.NewRecorder()
		w.client.ServeSetupUI(answer, r)
		result := answer.Result()
		defer result.Body.Close()
		return result.StatusCode, result.Cookies()
	}
	for name, externalID := range map[string]string{"none": "", "a guess": "acme-analytics-0123456789", "another customer's": other.ExternalID} {
		if status, cookies := ask("one", externalID, nil); status != http.StatusForbidden || len(cookies) != 0 {
			t.Errorf("%s external ID: status %d, cookies %v", name, status, cookies)
		}
	}
	status, admitted := ask("one", started.ExternalID, nil)
	if status != http.StatusNoContent || len(admitted) != 1 || !admitted[0].HttpOnly {
		t.Fatalf("status %d, cookies %v", status, admitted)
	}
	if status, _ := ask("one", "", admitted); status != http.StatusOK {
		t.Errorf("with the cookie: %d", status)
	}
	if status, _ := ask("two", "", admitted); status != http.StatusForbidden {
		t.Errorf("for another customer: %d", status)
	}
	if err := w.client.Revoke(t.Context(), "one", started.IntegrationID); err != nil {
		t.Fatal(err)
	}
	if status, _ := ask("one", started.ExternalID, nil); status != http.StatusForbidden {
		t.Errorf("once it is revoked: %d", status)
	}
}
