package sandbox_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// In a synctest bubble the sandbox and the SDK share one clock that only moves
// when everybody waits.
func TestPropagationDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 10 * time.Second
		box := sandboxtest.NewWith(t, sandbox.Options{IAMDelay: delay}, vendorID, customerID)
		vendor := box.Account(vendorID).User("broker", allowAssume)
		who := func() string {
			_, err := sts.NewFromConfig(vendor, func(o *sts.Options) { o.RetryMaxAttempts = 1 }).GetCallerIdentity(context.Background(), nil)
			code, _ := codeOf(err)
			return code
		}
		if code := who(); code != "InvalidClientTokenId" {
			t.Errorf("a new access key works at once (%s)", code)
		}
		time.Sleep(delay)
		if code := who(); code != "" {
			t.Errorf("after the delay: %s", code)
		}

		customer := box.Account(customerID)
		role := customer.Role("role", trust(vendorID, onlyAssume, ""), nil)
		if _, err := iam.NewFromConfig(customer.Config()).GetRole(context.Background(), &iam.GetRoleInput{RoleName: aws.String("role")}); err != nil {
			t.Errorf("IAM does not show what it made: %v", err)
		}
		if code, _ := codeOf(second(assume(vendor, role))); code != "AccessDenied" {
			t.Errorf("a new role can be assumed at once (%s)", code)
		}
		time.Sleep(delay)
		out, err := assume(vendor, role)
		if err != nil {
			t.Fatal(err)
		}
		session := box.Config(credentialsOf(out.Credentials))

		if _, err := iam.NewFromConfig(customer.Config()).DeleteRole(context.Background(), &iam.DeleteRoleInput{RoleName: aws.String("role")}); err != nil {
			t.Fatal(err)
		}
		identity := func() string {
			_, err := sts.NewFromConfig(session).GetCallerIdentity(context.Background(), nil)
			code, _ := codeOf(err)
			return code
		}
		if code := identity(); code != "" {
			t.Errorf("a session ends with its role before that took effect: %s", code)
		}
		time.Sleep(delay)
		if code := identity(); code != "InvalidClientTokenId" {
			t.Errorf("the session of a deleted role: %q", code)
		}
	})
}

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := sandboxtest.New(t, vendorID, customerID)
		vendor := box.Account(vendorID).User("broker", allowAssume)
		role := box.Account(customerID).Role("role", trust(vendorID, onlyAssume, ""), []string{allowAll})
		session := box.Assume(vendor, role, withDuration(900))
		check := func(when, query, storage string) {
			t.Helper()
			_, err := sts.NewFromConfig(session).GetCallerIdentity(context.Background(), nil)
			if code, _ := codeOf(err); code != query {
				t.Errorf("%s: STS says %q, want %q", when, code, query)
			}
			_, err = s3.NewFromConfig(session).ListBuckets(context.Background(), nil)
			if code, _ := codeOf(err); code != storage {
				t.Errorf("%s: S3 says %q, want %q", when, code, storage)
			}
		}
		time.Sleep(899 * time.Second)
		check("before", "", "")
		time.Sleep(2 * time.Second)
		check("after", "ExpiredToken", "ExpiredToken")
	})
}

// A sandbox whose clock is elsewhere dates its answers, and the SDK follows. It
// waits before it tries again, in the bubble for nothing.
func TestTheSDKFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := sandbox.NewClock(time.Now().Add(-400 * 24 * time.Hour))
		box := sandboxtest.NewWith(t, sandbox.Options{Clock: clock.Now}, vendorID)
		for range 2 {
			if _, err := sts.NewFromConfig(box.Account(vendorID).Config()).GetCallerIdentity(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s3.NewFromConfig(box.Account(vendorID).Config()).ListBuckets(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			clock.Advance(800 * 24 * time.Hour)
		}
	})
}
