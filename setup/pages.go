package setup

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS []byte

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"t": rich, "plain": say, "has": has, "words": spaced, "result": resultText, "expect": expectation, "mustRefuse": mustRefuse,
		"progress": progressOf, "lead": lead, "named": named,
	}).Parse(pageHTML))

	scriptName = func() string {
		sum := sha256.Sum256(pageJS)
		return "setup." + hex.EncodeToString(sum[:8]) + ".js"
	}()
)

// AssetParameter is the query parameter that names a file of the page. Files are
// served at the page's own URL, so that it works wherever it is mounted.
const AssetParameter = "asset"

// Pages writes the pages of one vendor. It is safe for concurrent use.
type Pages struct {
	brand  Brand
	style  template.CSS
	policy string // Content-Security-Policy
}

// New returns the pages for a brand. Links that are not https and color values
// that are not hexadecimal are left out.
func New(brand Brand) *Pages {
	p := &Pages{brand: brand.checked()}
	style := p.brand.variables() + pageCSS
	p.style = template.CSS(style)
	sum := sha256.Sum256([]byte(style))
	policy := []string{
		"default-src 'none'",
		"script-src 'self'",
		"connect-src 'self'",
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		"form-action 'self'",
		"base-uri 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}
	if p.brand.LogoURL != "" {
		policy = append(policy, "img-src "+origin(p.brand.LogoURL))
	}
	p.policy = strings.Join(policy, "; ")
	return p
}

// Write sends a page. The page is complete before anything is sent.
func (p *Pages) Write(w http.ResponseWriter, status int, view *View) error {
	var body bytes.Buffer
	err := page.Execute(&body, struct {
		*View
		Brand  Brand
		Style  template.CSS
		Script string
	}{view, p.brand, p.style, scriptName})
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

// WriteAsset sends the file with the given name. Its name contains a hash of its
// content, so it can be kept for ever. An unknown file is 404.
func (p *Pages) WriteAsset(w http.ResponseWriter, name string) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if name != scriptName {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(pageJS)
}
