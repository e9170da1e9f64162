package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

// A setup link comes once as a query, which is neither logged nor left in the
// browser's address bar: it is exchanged for a cookie of the customer's page.
// Scripts cannot read the cookie, and other sites cannot send it with forms.
const linkCookie = "crossaccount_setup_link"

// setupPage returns where setup links go, or "" if there are none.
func setupPage(publicURL func() string) func() string {
	return func() string {
		if publicURL == nil || publicURL() == "" {
			return ""
		}
		return publicURL() + "/connect"
	}
}

// opensLinks opens the setup link of a request, if it has one.
func (s *Site) opensLinks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if !query.Has(api.SetupLinkParameter) || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		token := query.Get(api.SetupLinkParameter)
		link, err := s.client.OpenSetupLink(r.Context(), token)
		if err != nil {
			s.client.ServeSetupError(w, err)
			return
		}
		page := "connect/" + url.PathEscape(link.CustomerID) // relative to /connect, whatever is before it
		http.SetCookie(w, &http.Cookie{
			Name: linkCookie, Value: token, Path: s.publicPath() + "/" + page, Expires: link.ExpiresAt,
			HttpOnly: true, Secure: s.secure(r), SameSite: http.SameSiteLaxMode,
		})
		// Not http.Redirect, whose body would repeat the URL, and which would
		// make the location absolute.
		w.Header().Set("Location", page)
		w.WriteHeader(http.StatusSeeOther)
	})
}

// publicPath is what a proxy has before our paths.
func (s *Site) publicPath() string {
	if s.options.PublicURL == nil {
		return ""
	}
	u, err := url.Parse(s.options.PublicURL())
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}

// secure reports whether the browser speaks TLS, to us or to a proxy.
func (s *Site) secure(r *http.Request) bool {
	return r.TLS != nil || s.options.PublicURL != nil && strings.HasPrefix(s.options.PublicURL(), "https://")
}

// linked lets a customer with the cookie of a setup link use the page that it is
// for. Who sends credentials is who they say, and needs no link.
func (s *Site) linked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(linkCookie)
		if err != nil || r.Header.Get("Authorization") != "" {
			next.ServeHTTP(w, r)
			return
		}
		link, err := s.client.OpenSetupLink(r.Context(), cookie.Value)
		if err == nil && link.CustomerID != r.PathValue("customer") {
			err = crossaccount.NewError(crossaccount.CodeForbidden, "your link is for another customer", "use the link that you were sent", nil)
		}
		if err != nil {
			s.client.ServeSetupError(w, err)
			return
		}
		ctx := crossaccount.WithSetupLink(r.Context(), link)
		s.client.ServeSetupUI(w, r.WithContext(crossaccount.WithActor(ctx, "customer with a setup link")))
	})
}
