package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/crossaccount/crossaccount"
)

// TestOnboarding is the whole way with a browser: get the link, launch the
// stack, paste the role, watch the verification, take the setup permissions away.
// The role is new, and IAM needs some seconds for it.
func TestOnboarding(t *testing.T) {
	v := newVendor(t, 4*time.Second, nil)
	b := open(t)
	b.on(desktop, "light")

	b.do(chromedp.Navigate(v.page))
	b.see("Connect your AWS account")
	b.accessible("start")
	b.submit("Continue")
	b.see("Create the role in AWS")
	b.accessible("launch")

	b.do(chromedp.Click("#launch-link"))
	var console string
	select {
	case console = <-b.opened:
	case <-b.ctx.Done():
		t.Fatal("the launch button opened no AWS console")
	}
	if !strings.HasPrefix(console, "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate?") {
		t.Fatalf("the launch button opened %.100s", console)
	}
	role := v.launch(console)

	b.do(chromedp.SendKeys("#role_arn", role))
	b.submit("Verify connection")
	b.see("Checking the role")
	b.do(chromedp.WaitVisible("[data-waiting]"))
	b.accessible("verifying")
	if got := b.text(".count"); got != "2 of 10 checks passed" {
		t.Errorf("while AWS does not know the role the page says %q", got)
	}
	b.see("Your account is connected")
	b.accessible("connected")
	if v.state() != crossaccount.StateActive {
		t.Errorf("the integration is %s", v.state())
	}

	b.do(chromedp.WaitVisible(`//h2[.="Remove the setup permissions"]`))
	v.finishSetup(t.Context(), "Northwind-Insights-fabrikam")
	v.pass(v.delay)
	b.submit("Check the role again")
	b.do(chromedp.WaitVisible(`//p[.="The setup permissions are removed."]`))
	b.accessible("setup permissions removed")
	b.quiet()
}

// The same with JavaScript switched off: pages reload by themselves.
func TestOnboardingWithoutJavaScript(t *testing.T) {
	v := newVendor(t, 4*time.Second, nil)
	b := open(t, chromedp.Flag("blink-settings", "scriptEnabled=false"))
	b.do(chromedp.Navigate(v.page))
	b.see("Connect your AWS account")
	b.submit("Continue")
	b.see("Create the role in AWS")
	role := v.launch(ask(b, chromedp.AttributeValue("#launch-link", "href")).Value)
	b.do(chromedp.SendKeys("#role_arn", role))
	b.submit("Verify connection")
	b.see("Checking the role")
	b.do(chromedp.WaitVisible(`//noscript//a[.="Reload now"]`))
	b.see("Your account is connected")
	if v.state() != crossaccount.StateActive {
		t.Errorf("the integration is %s", v.state())
	}
}

// A role that forgets the external ID is refused, and the page says how to mend
// it. Mended, it passes.
func TestLookAlikeIsRefusedWithARemedy(t *testing.T) {
	v := newVendor(t, 0, nil)
	started := v.link()
	role := v.box.Account(customerID).Role("northwind-access", trustVendor, nil)
	b := open(t)
	b.on(phone, "dark")
	b.do(chromedp.Navigate(v.page), chromedp.SendKeys("#role_arn", role))
	b.submit("Verify connection")
	b.see("This role cannot be used")
	b.accessible("rejected")
	notice := b.text(".notice.error")
	for _, want := range []string{"can be assumed without an external ID", "require sts:ExternalId with StringEquals", "updating the stack with our template"} {
		if !strings.Contains(notice, want) {
			t.Errorf("the page says %q, which lacks %q", notice, want)
		}
	}
	if got := b.text(`[data-step="missing"]`); !strings.Contains(got, "failed") {
		t.Errorf("the failed check reads %q", got)
	}
	if v.state() != crossaccount.StateRejected {
		t.Errorf("the integration is %s", v.state())
	}
	role = v.launch(started.LaunchURL)
	b.do(chromedp.Clear("#role_arn"), chromedp.SendKeys("#role_arn", role))
	b.submit("Verify connection")
	b.see("Your account is connected")
	b.quiet()
}

// Everything can be done with the keyboard alone, in the order in which it is
// read.
func TestOnboardingByKeyboard(t *testing.T) {
	v := newVendor(t, 0, nil)
	b := open(t)
	b.on(desktop, "light")
	b.do(chromedp.Navigate(v.page))
	b.see("Connect your AWS account")
	b.do(chromedp.KeyEvent("\t"))
	if got := b.focused(); got != "Skip to the content" {
		t.Errorf("the first stop is %q", got)
	}
	b.tabTo("Continue")
	b.press("\r")
	b.see("Create the role in AWS")
	b.tabTo("Launch stack in AWS (opens in a new tab)")
	role := v.launch(ask(b, chromedp.Evaluate[string](`document.activeElement.href`)))
	b.tabTo("What the link fills in")
	b.do(chromedp.KeyEvent(" "))
	b.tabTo("Copy")
	b.tabTo("Role ARN")
	b.do(chromedp.KeyEvent(role))
	b.press("\r")
	b.see("Your account is connected")
	b.quiet()
}

// focused returns the name of what has the focus.
func (b *browser) focused() string {
	b.Helper()
	return strings.TrimSpace(ask(b, chromedp.Evaluate[string](`(e => e.labels && e.labels.length ? e.labels[0].textContent : e.textContent)(document.activeElement)`)))
}

// tabTo presses the tabulator until the named thing has the focus, and sees that
// the focus is visible on the way.
func (b *browser) tabTo(name string) {
	b.Helper()
	for range 30 {
		b.do(chromedp.KeyEvent("\t"))
		focused := b.focused()
		if outline := ask(b, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)); outline == "none" {
			b.Errorf("nobody sees that %q has the focus", focused)
		}
		if focused == name {
			return
		}
	}
	b.Fatalf("the keyboard does not reach %q\n%s", name, b.source())
}

// press sends a key and waits for the next page.
func (b *browser) press(key string) {
	b.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(key)); err != nil {
		b.Fatal(err)
	}
}
