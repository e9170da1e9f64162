package sandbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func getPage(box http.Handler, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://127.0.0.1:4566/", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	box.ServeHTTP(w, r)
	return w
}

func TestPage(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	if page := getPage(box, nil).Body.String(); !strings.Contains(page, "No calls yet.") {
		t.Errorf("an unused sandbox: %s", page)
	}
	vendor := box.Account(vendorID).User("broker", allowAssume)
	customer := box.Account(customerID)
	role := customer.Role("guarded", trust(vendorID, onlyAssume, needsID), nil)
	if _, err := assume(vendor, role, withExternalID(externalID)); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(vendor, role, withExternalID(externalID+"-decoy")); err == nil {
		t.Fatal("a wrong external ID was accepted")
	}
	if _, err := s3.NewFromConfig(customer.Config()).CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String("some-bucket")}); err != nil {
		t.Fatal(err)
	}
	// A caller chooses the resource it asks for, hostile or not.
	hostile := "arn:aws:iam::222222222222:role/<script>alert(1)</script>"
	if _, err := iam.NewFromConfig(vendor).GetRole(context.Background(), &iam.GetRoleInput{RoleName: aws.String("<script>alert(1)</script>")}); err == nil {
		t.Fatal("a role of that name was found")
	}
	if _, err := assume(vendor, hostile); err == nil {
		t.Fatal("a role of that name was assumed")
	}
	raw{target: "https://sts.amazonaws.com/", body: whoAmI, edit: func(r *http.Request) {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=<b>/x/<i>")
	}}.send(t, box.RoundTripper())

	w := getPage(box, nil)
	page := w.Body.String()
	for _, want := range []string{
		vendorID, "arn:aws:iam::111111111111:user/broker", role, "ImplicitlyDenied", "Allowed", "sts:AssumeRole", "some-bucket",
		"trust policy of " + role, "prefers-color-scheme",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "<b>") {
		t.Error("the page contains foreign markup")
	}
	if strings.Contains(strings.ToLower(page), strings.ToLower(externalID[5:])) {
		t.Error("the page shows an external ID")
	}
	for _, secret := range []string{customer.Root().SecretAccessKey, box.Account(vendorID).Root().SecretAccessKey} {
		if strings.Contains(page, secret) {
			t.Error("the page shows a secret access key")
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", w.Header())
	}
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if hash := base64.StdEncoding.EncodeToString(sum[:]); len(style) < 100 || !strings.Contains(policy, "style-src 'sha256-"+hash+"'") {
		t.Errorf("the policy %q does not admit the page's own style, sha256-%s", policy, hash)
	}
	if err := wellFormed(page); err != nil {
		t.Errorf("the page is not well-formed: %v", err)
	}
}

// wellFormed checks that every tag closes.
func wellFormed(page string) error {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Only a browser that was pointed at this machine gets the page.
func TestPageIsForBrowsersHere(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	for name, edit := range map[string]func(*http.Request){
		"another name":   func(r *http.Request) { r.Host = "rebound.example" },
		"no browser":     func(r *http.Request) { r.Header.Set("Accept", "*/*") },
		"another path":   func(r *http.Request) { r.URL.Path = "/bucket" },
		"signed":         func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") },
		"with an action": func(r *http.Request) { r.URL.RawQuery = whoAmI },
		"posted":         func(r *http.Request) { r.Method = "POST" },
	} {
		if w := getPage(box, edit); strings.Contains(w.Body.String(), "<html") {
			t.Errorf("%s: got the page", name)
		}
	}
	for _, host := range []string{"localhost:4566", "[::1]:4566", "127.0.0.1"} {
		if w := getPage(box, func(r *http.Request) { r.Host = host }); w.Code != 200 || !strings.Contains(w.Body.String(), "<html") {
			t.Errorf("%s: no page", host)
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	box := sandboxtest.NewWith(t, sandbox.Options{RecordSize: 3}, vendorID)
	client := sts.NewFromConfig(box.Account(vendorID).Config())
	for range 5 {
		if _, err := client.GetCallerIdentity(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	calls := box.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls are kept", len(calls))
	}
	for i, call := range calls {
		if call.Operation != "GetCallerIdentity" || call.Caller != "arn:aws:iam::111111111111:root" || call.Status != 200 || call.AccessKeyID == "" {
			t.Errorf("%+v", call)
		}
		if i > 0 && call.Time.Before(calls[i-1].Time) {
			t.Error("calls are not in order")
		}
	}
}

// Many callers at once, with writes between their reads, while the record and
// the page are read. It is meant for the race detector.
func TestConcurrentUse(t *testing.T) {
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", allowAssume)
	customer := box.Account(customerID)
	role := customer.Role("role", trust(vendorID, everyAction, ""), []string{allowAll})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			ctx := context.Background()
			for j := range 5 {
				out, err := assume(vendor, role, withTags("Team", "blue"))
				if err != nil {
					t.Error(err)
					return
				}
				session := box.Config(credentialsOf(out.Credentials))
				if _, err := sts.NewFromConfig(session).GetCallerIdentity(ctx, nil); err != nil {
					t.Error(err)
				}
				policy := "policy-" + string(rune('a'+i))
				if _, err := iam.NewFromConfig(customer.Config()).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
					RoleName: aws.String("role"), PolicyName: &policy, PolicyDocument: aws.String(allowAll),
				}); err != nil {
					t.Error(err)
				}
				if j == 2 {
					getPage(box, nil)
					box.Calls()
				}
			}
		})
	}
	group.Wait()
}
