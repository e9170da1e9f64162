package setup

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// A Brand adapts the pages to the vendor. Empty fields are left out.
type Brand struct {
	Name         string // how customers know the service
	LogoURL      string // https
	PrimaryColor string // "#0a7cff"
	SupportURL   string // https
	PrivacyURL   string // https
}

// A View is everything a page shows. Sections whose pointer or list is nil are
// left out.
type View struct {
	Notice   *Notice
	Start    *Start
	Launch   *Launch
	Complete *Complete
	Done     *Done
	Report   []Step
	Checks   []Check

	Ongoing, Setup []Permission
}

// A Notice says how the last action went.
type Notice struct {
	Kind   string // "ok", "wait" or "error"
	Text   string
	Remedy string
}

// Start is the form that begins an onboarding.
type Start struct {
	AskCustomer  bool // nobody has authenticated the caller
	CustomerID   string
	CustomerName string
	Region       string
}

// Launch is the link that creates the stack.
type Launch struct {
	URL            string
	StackName      string
	ExternalID     string
	Region         string
	TemplateSHA256 string
}

// Complete is the form that sends the role's ARN back.
type Complete struct {
	CustomerID    string // only if nobody has authenticated the caller
	IntegrationID string
	RoleARN       string
	Again         bool // the same role is being tried again
}

// Done describes a connected account.
type Done struct {
	AccountID string
	RoleARN   string
	State     string
	SetupLeft bool // setup permissions are still granted, or may be
}

// A Step is one line of a verification's report.
type Step struct{ Expectation, Result, Detail, Remedy string }

// A Check compares one permission with the role.
type Check struct{ Name, Actions, State, Reason string }

// A Permission is one statement of what the role may do.
type Permission struct {
	Name      string
	Effect    string
	Actions   []string
	Resources []string
	Condition string // JSON, or empty
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	page  = template.Must(template.New("page").Parse(pageHTML))
	color = regexp.MustCompile(`^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)
)

const defaultColor = "#1f5fbf"

// Pages writes the pages of one vendor. It is safe for concurrent use.
type Pages struct {
	brand  Brand
	style  template.CSS
	policy string // Content-Security-Policy
}

// New returns the pages for a brand. Links that are not https and color values that
// are not hexadecimal are left out.
func New(brand Brand) *Pages {
	if !color.MatchString(brand.PrimaryColor) {
		brand.PrimaryColor = defaultColor
	}
	for _, link := range []*string{&brand.LogoURL, &brand.SupportURL, &brand.PrivacyURL} {
		if origin(*link) == "" {
			*link = ""
		}
	}
	p := &Pages{brand: brand}
	style := ":root{--primary:" + brand.PrimaryColor + "}\n" + pageCSS
	p.style = template.CSS(style)
	sum := sha256.Sum256([]byte(style))
	policy := []string{
		"default-src 'none'",
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		"form-action 'self'",
		"base-uri 'none'",
		"frame-ancestors 'none'",
	}
	if brand.LogoURL != "" {
		policy = append(policy, "img-src "+origin(brand.LogoURL))
	}
	p.policy = strings.Join(policy, "; ")
	return p
}

// origin returns the scheme and host of an https URL, or "" for anything else.
func origin(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return "https://" + u.Host
}

// Write sends a page. The page is complete before anything is sent.
func (p *Pages) Write(w http.ResponseWriter, status int, view *View) error {
	var body bytes.Buffer
	err := page.Execute(&body, struct {
		*View
		Brand Brand
		Style template.CSS
	}{view, p.brand, p.style})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store") // the page shows the customer's external ID
	w.WriteHeader(status)
	_, err = w.Write(body.Bytes())
	return err
}
