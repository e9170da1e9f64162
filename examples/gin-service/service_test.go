package main

import (
	"bufio"
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func TestTwoCustomersConnectAndReadTheirReports(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	for customer, token := range map[string]string{"acme": acmeToken, "globex": globexToken} {
		f.want(f.report(token, customer), http.StatusNotFound, crossaccount.CodeUnknownCustomer)
		started := f.begin(token, `{"customer_id": "`+customer+`", "customer_name": "A customer", "region": "eu-central-1"}`)
		if again := f.begin(token, `{}`); again.ExternalID != started.ExternalID {
			t.Error("asking again gave another external ID")
		}
		f.want(f.report(token, customer), http.StatusConflict, crossaccount.CodeNotVerified)
		role := f.launch(customer, started.LaunchURL)
		completed := f.complete(token, role)
		f.want(completed, http.StatusOK, "")
		if !strings.Contains(completed.body, `"controlled":true`) {
			t.Errorf("the verification is not controlled: %s", completed.body)
		}
	}
	for customer, token := range map[string]string{"acme": acmeToken, "globex": globexToken} {
		report := f.report(token, customer)
		if report.StatusCode != http.StatusOK || report.body != "customer,revenue\n"+customer+",42\n" {
			t.Errorf("%s: status %d, %q", customer, report.StatusCode, report.body)
		}
		if report.Header.Get("Content-Type") != "application/octet-stream" || report.Header.Get("Content-Disposition") != "attachment" {
			t.Errorf("a browser might show the customer's content: %v", report.Header)
		}
	}
}

func TestARestartedServiceGoesOn(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	started := f.begin(acmeToken, `{}`)
	f.stop()
	f.start()
	if again := f.begin(acmeToken, `{}`); again.ExternalID != started.ExternalID {
		t.Error("after a restart the external ID is another one")
	}
	f.want(f.complete(acmeToken, f.launch("acme", started.LaunchURL)), http.StatusOK, "")
	f.stop()
	f.start()
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")
}

// IAM takes a while until a new role works. The client is told to come back, and
// gets on when it does.
func TestCompletionIsRepeatedUntilTheRoleWorks(t *testing.T) {
	clock := sandbox.NewClock(time.Now())
	var isSetUp atomic.Bool
	f := newFixture(t, sandbox.Options{IAMDelay: time.Millisecond, Clock: func() time.Time {
		if !isSetUp.Load() {
			clock.Advance(2 * time.Millisecond) // the vendor's own roles are old
		}
		return clock.Now()
	}})
	isSetUp.Store(true)
	role := f.launch("acme", f.begin(acmeToken, `{}`).LaunchURL)
	for range 2 {
		early := f.complete(acmeToken, role)
		f.want(early, http.StatusConflict, crossaccount.CodePropagating)
		if early.Header.Get("Retry-After") == "" {
			t.Error("the answer does not say when to come back")
		}
	}
	f.want(f.report(acmeToken, "acme"), http.StatusConflict, crossaccount.CodeNotVerified)
	clock.Advance(time.Second)
	f.want(f.complete(acmeToken, role), http.StatusOK, "")
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")
}

func TestTheSetupPageCompletesAnOnboarding(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	browser := func(r *http.Request) { r.SetBasicAuth("anything", acmeToken) }
	form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	page := f.send("", "GET", "/integrate", "", browser)
	if page.StatusCode != http.StatusOK || !strings.Contains(page.body, "s3:GetObject") {
		t.Fatalf("GET: status %d\n%s", page.StatusCode, page.body)
	}
	page = f.send("", "POST", "/integrate", url.Values{"action": {"start"}}.Encode(), browser, form)
	link := regexp.MustCompile(`href="(https://us-east-1\.console\.aws\.amazon\.com/[^"]+)"`).FindStringSubmatch(page.body)
	if link == nil {
		t.Fatalf("start: status %d\n%s", page.StatusCode, page.body)
	}
	launch, err := crossaccount.ParseLaunchLink(html.UnescapeString(link[1]))
	if err != nil {
		t.Fatal(err)
	}
	f.secrets = append(f.secrets, launch.Parameters[crossaccount.ParameterExternalID])
	role := f.launch("acme", html.UnescapeString(link[1]))
	page = f.send("", "POST", "/integrate", url.Values{"action": {"complete"}, "role_arn": {role}}.Encode(), browser, form)
	if page.StatusCode != http.StatusOK {
		t.Fatalf("complete: status %d\n%s", page.StatusCode, page.body)
	}
	// The page may answer before the verification is over.
	for limit := time.Now().Add(time.Minute); f.report(acmeToken, "acme").StatusCode != http.StatusOK; {
		if time.Now().After(limit) {
			t.Fatalf("the page did not take the role into use:\n%s", f.log)
		}
	}

	other := url.Values{"action": {"start"}, "customer_id": {"globex"}}.Encode()
	if page = f.send("", "POST", "/integrate", other, browser, form); page.StatusCode != http.StatusForbidden {
		t.Errorf("a form for another customer: status %d", page.StatusCode)
	}
}

// The commands of the README are run as they stand there.
func TestREADME(t *testing.T) {
	sandboxtest.ClearEnvironment(t)
	testenv.Tool(t, "curl")
	shell := testenv.Tool(t, "bash")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-demo", "-console", "127.0.0.1:0"}, func(name string) string {
			return map[string]string{"LISTEN": "127.0.0.1:0"}[name]
		}, write, slog.New(slog.DiscardHandler))
		write.Close()
		ended <- err
	}()
	var exports strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "export ") {
			exports.WriteString(lines.Text() + "\n")
		}
		if strings.HasPrefix(lines.Text(), "Then ") {
			break
		}
	}
	go io.Copy(io.Discard, read)

	command := exec.CommandContext(ctx, shell, "-eu")
	command.Dir = t.TempDir()
	command.Stdin = strings.NewReader("unset http_proxy HTTP_PROXY ALL_PROXY all_proxy\n" + exports.String() + readREADME(t))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	rest := string(output)
	for _, expected := range []string{`"result":"passed"`, "customer,revenue\nacme,42\n", `"code":"forbidden"`, `"code":"propagating"`} {
		_, after, ok := strings.Cut(rest, expected)
		if !ok {
			t.Fatalf("the output lacks %s after what came before:\n%s", expected, output)
		}
		rest = after
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}
