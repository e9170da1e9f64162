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
	ask := func(customer, externalID string, cookies []*http.Cookie) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/integrate?customer_id="+customer, nil)
		if externalID != "" {
			r.Header.Set("Crossaccount-External-Id", externalID)
		}
		for _, cookie := range cookies {
			r.AddCookie(cookie)
		}
		answer := httptest.NewRecorder()
		w.client.ServeSetupUI(answer, r)
		return answer.Result()
	}
	for name, externalID := range map[string]string{"none": "", "a guess": "acme-analytics-0123456789", "another customer's": other.ExternalID} {
		if answer := ask("one", externalID, nil); answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) != 0 {
			t.Errorf("%s external ID: status %d, cookies %v", name, answer.StatusCode, answer.Cookies())
		}
	}
	admitted := ask("one", started.ExternalID, nil)
	if admitted.StatusCode != http.StatusNoContent || len(admitted.Cookies()) != 1 || !admitted.Cookies()[0].HttpOnly {
		t.Fatalf("status %d, cookies %v", admitted.StatusCode, admitted.Cookies())
	}
	if answer := ask("one", "", admitted.Cookies()); answer.StatusCode != http.StatusOK {
		t.Errorf("with the cookie: %d", answer.StatusCode)
	}
	if answer := ask("two", "", admitted.Cookies()); answer.StatusCode != http.StatusForbidden {
		t.Errorf("for another customer: %d", answer.StatusCode)
	}
	if err := w.client.Revoke(t.Context(), "one", started.IntegrationID); err != nil {
		t.Fatal(err)
	}
	if answer := ask("one", started.ExternalID, nil); answer.StatusCode != http.StatusForbidden {
		t.Errorf("once it is revoked: %d", answer.StatusCode)
	}
}
