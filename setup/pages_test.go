package setup

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// viewsWith returns a page for every state, with everything filled in by text.
func viewsWith(text string) map[string]*View {
	views := map[string]*View{}
	for _, state := range []string{"", "pending", "verifying", "active", "degraded", "rejected", "expired", "disconnected", "revoked", text} {
		steps := []Step{
			{Name: "missing", Result: "failed", Detail: text, Remedy: text}, {Name: text, Expectation: text, Result: text, Detail: text},
			{Name: "assume", Result: "running"}, {Name: "role", Result: "passed"}, {Name: "wrong", Result: "skipped", Detail: text}, {Name: "x", Result: "inconclusive", Detail: text},
		}
		permission := Permission{Title: text, Level: levelWrite, Sentences: []string{text}, Resources: []string{text, text}, More: 2, Conditions: true}
		deny := Permission{Title: text, Deny: true, Level: levelRead, Anywhere: true}
		phase := Phase{Permissions: []Permission{permission, deny}, Policy: text}
		complete := &Complete{CustomerID: text, IntegrationID: text, RoleARN: text}
		views["state "+state] = &View{
			State:    state,
			Notice:   &Notice{Kind: "error", Text: text, Remedy: text},
			Start:    &Start{AskCustomer: true, CustomerID: text, CustomerName: text, IntegrationID: text, Region: text},
			Launch:   &Launch{URL: "https://console.aws.amazon.com/#" + text, StackName: text, ExternalID: text, RoleName: text, Region: text, TemplateSHA256: text},
			Complete: complete,
			Live:     &Live{RoleARN: text, Steps: steps, Waiting: true, EventsURL: text, ReloadURL: text, Continue: complete},
			Report:   steps,
			Done:     &Done{AccountID: text, RoleARN: text, Region: text, StackName: text, StackURL: text, CheckedAt: text, SetupLeft: true, Parameters: []string{text, "SetupPhase"}},
			Check:    &Again{CustomerID: text, IntegrationID: text},
			Checks:   []Check{{Name: text, Actions: text, State: "present", Reason: text}, {State: "not_checked"}},
			Accounts: []Account{{AccountID: text, State: "active", URL: text}, {State: "pending", URL: "?"}},
			NewURL:   text,
			Grants:   &Grants{VendorAccount: text, Ongoing: phase, Setup: phase, SelfReading: true},
		}
	}
	return views
}

var (
	tags     = regexp.MustCompile(`(?s)<[a-zA-Z][^>]*>`)
	executes = regexp.MustCompile(`(?i)\s(on[a-z]+|style|srcdoc)\s*=|(href|src|action)="\s*(javascript|data|vbscript):`)
	scripts  = regexp.MustCompile(`<script[^>]*>[^<]*`)
)

// What the customer or the vendor wrote is shown as text, whatever it is.
func TestEveryPageEscapes(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "plain": "fabrikam", "html": `"><script>alert(1)</script><img src=x onerror='alert(2)'>`, "url": "javascript:alert(1)",
		"template": "{{.Brand.Name}}`code`%s%d", "long": strings.Repeat("x", 10_000), "unicode": "שלום \u202e 日本語 🙂", "control": "a\x00b\r\nc", "broken": "\xff\xfe",
	} {
		pages := New(Brand{Name: text, LogoURL: text, PrimaryColor: text, SupportURL: text, PrivacyURL: text})
		for state, view := range viewsWith(text) {
			w := httptest.NewRecorder()
			if err := pages.Write(w, 200, view); err != nil {
				t.Fatalf("%s, %s: %v", name, state, err)
			}
			body := w.Body.String()
			for _, tag := range tags.FindAllString(body, -1) {
				if found := executes.FindString(unquoted(tag)); found != "" {
					t.Errorf("%s, %s: %s has %s", name, state, tag, found)
				}
			}
			for _, script := range scripts.FindAllString(body, -1) {
				if script != `<script src="?asset=`+scriptName+`" defer>` {
					t.Errorf("%s, %s: %s", name, state, script)
				}
			}
			if strings.Contains(body, "<img src=x") {
				t.Errorf("%s, %s: the page is not escaped:\n%s", name, state, body)
			}
		}
	}
}

// unquoted removes the values of attributes but the beginnings of URLs, so that
// text inside of them is not taken for attributes.
func unquoted(tag string) string {
	return regexp.MustCompile(`(href|src|action)="([^"]{0,20})[^"]*"|"[^"]*"`).ReplaceAllString(html.UnescapeString(strings.ReplaceAll(tag, "&#34;", "")), `$1="$2"`)
}

func TestEmptyViews(t *testing.T) {
	pages := New(Brand{})
	for _, view := range []*View{
		{}, {Start: &Start{}}, {Launch: &Launch{}, Complete: &Complete{}}, {Live: &Live{}}, {State: "active", Done: &Done{}}, {Grants: &Grants{}},
		{State: "rejected", Launch: &Launch{Folded: true}, Complete: &Complete{Folded: true}},
	} {
		if err := pages.Write(httptest.NewRecorder(), 200, view); err != nil {
			t.Errorf("%+v: %v", view, err)
		}
	}
}

func TestPolicyAllowsThePagesStyleAndNothingElseInline(t *testing.T) {
	w := httptest.NewRecorder()
	if err := New(Brand{Name: "Northwind", LogoURL: "https://cdn.example/logo.svg?x=1"}).Write(w, 200, &View{}); err != nil {
		t.Fatal(err)
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(w.Body.String())
	sum := sha256.Sum256([]byte(style[1]))
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("the policy %q is not for the style that is sent", policy)
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "img-src https://cdn.example", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %s", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy %q is wide open", policy)
	}
}

func TestAssets(t *testing.T) {
	pages := New(Brand{})
	w := httptest.NewRecorder()
	pages.WriteAsset(w, scriptName)
	if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || w.Body.Len() != len(pageJS) {
		t.Errorf("the script: %d %v", w.Code, w.Header())
	}
	for _, name := range []string{"", "setup.js", "../page.js", "page.html", scriptName + "x"} {
		w := httptest.NewRecorder()
		if pages.WriteAsset(w, name); w.Code != 404 || strings.Contains(w.Body.String(), name) && name != "" {
			t.Errorf("%q: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestBrandTakesOnlyWhatIsSafe(t *testing.T) {
	for _, link := range []string{"javascript:alert(1)", "http://vendor.example/", "//vendor.example/", "https://user:password@vendor.example/", "https://vendor.example;script-src *", "data:image/svg+xml,x", "\x00", "https://"} {
		got := Brand{LogoURL: link, SupportURL: link, PrivacyURL: link, PrimaryColor: "red;}body{display:none"}.checked()
		if got.LogoURL+got.SupportURL+got.PrivacyURL != "" || got.PrimaryColor != defaultColor {
			t.Errorf("%q: %+v", link, got)
		}
	}
	if got := (Brand{Name: "North\u202ewind\x00\u2066"}).checked().Name; got != "Northwind" {
		t.Errorf("name %q", got)
	}
}

// Whatever color the vendor has, it can be read.
func TestColorsHaveContrast(t *testing.T) {
	variable := func(css, name string) color {
		return parseColor(regexp.MustCompile(`--` + name + `:(#[0-9a-f]+)`).FindStringSubmatch(css)[1])
	}
	rapid.Check(t, func(t *rapid.T) {
		hex := rapid.StringMatching(`#([0-9a-f]{6}|[0-9a-fA-F]{3})`).Draw(t, "color")
		css := Brand{PrimaryColor: hex}.variables()
		for _, pair := range []struct {
			name   string
			a, b   color
			wanted float64
		}{
			{"text on buttons", variable(css, "on-primary"), variable(css, "primary"), textContrast},
			{"links on the page", variable(css, "accent-light"), lightPage, textContrast},
			{"links on cards", variable(css, "accent-light"), lightCard, textContrast},
			{"links in the dark", variable(css, "accent-dark"), darkCard, textContrast},
			{"edges", variable(css, "edge-light"), lightCard, edgeContrast},
			{"edges in the dark", variable(css, "edge-dark"), darkCard, edgeContrast},
		} {
			if got := contrast(pair.a, pair.b); got < pair.wanted {
				t.Fatalf("%s: %s for %s on %s: %.2f, want %.1f", hex, pair.name, pair.a, pair.b, got, pair.wanted)
			}
		}
	})
}

// The texts are all used, and all there.
func TestTexts(t *testing.T) {
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{\{(?:t|plain) "([a-z0-9_.]+)"`).FindAllStringSubmatch(pageHTML, -1) {
		used[m[1]] = true
		if !has(m[1]) {
			t.Errorf("page.html uses the text %s, which does not exist", m[1])
		}
	}
	computed := regexp.MustCompile(`^(state|step|result|badge|level|list|grant|progress|checks\.state|grants\.most)\.`)
	for key := range english {
		if !used[key] && !computed.MatchString(key) {
			t.Errorf("nothing uses the text %s", key)
		}
	}
}
