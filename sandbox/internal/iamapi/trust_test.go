package iamapi_test

import (
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// A clock that stands until it is moved. It begins at the real time, with which
// the SDK signs.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const (
	brokerARN   = "arn:aws:iam::111122223333:role/broker"
	allowAssume = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`
	trustBroker = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + brokerARN + `"},"Action":"sts:AssumeRole"}}`
	// Conditions match by name, so a role made anew is let in.
	trustName = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole",
		"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + brokerARN + `"}}}}`
)

// A role made anew under the name of a trusted one is a stranger to a trust
// policy that names it, and its predecessor's sessions are over.
func TestARecreatedRoleIsAnotherRole(t *testing.T) {
	box, c := newBox(t)
	account := box.Account(vendor)
	v := client(account.Config())
	operator := account.User("operator", allowAssume)
	account.Role("broker", trustVendor, []string{allowAssume})
	createRole(t, c, "by-principal", func(in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = aws.String(trustBroker) })
	createRole(t, c, "by-name", func(in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = aws.String(trustName) })
	assume := func(config aws.Config, role string) string {
		_, err := sts.NewFromConfig(config, func(o *sts.Options) { o.Retryer = aws.NopRetryer{} }).AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::444455556666:role/" + role), RoleSessionName: aws.String("test"),
		})
		return code(err)
	}

	first := box.Assume(operator, brokerARN)
	for _, role := range []string{"by-principal", "by-name"} {
		if got := assume(first, role); got != "" {
			t.Errorf("the trusted role assuming %s: %s", role, got)
		}
	}

	must[*iam.DeleteRolePolicyOutput](t)(v.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("broker"), PolicyName: aws.String("policy-1")}))
	must[*iam.DeleteRoleOutput](t)(v.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("broker")}))
	account.Role("broker", trustVendor, []string{allowAssume})
	second := box.Assume(operator, brokerARN)
	if got := assume(second, "by-principal"); got != "Forbidden AccessDenied" {
		t.Errorf("the new role assuming what trusts the old one: %q", got)
	}
	if got := assume(second, "by-name"); got != "" {
		t.Errorf("the new role assuming what trusts its name: %s", got)
	}
	if got := assume(first, "by-name"); got != "Forbidden InvalidClientTokenId" {
		t.Errorf("a session of the deleted role: %q", got)
	}
}

// What was written shows at once and takes effect after the delay.
func TestIAMIsEventuallyConsistent(t *testing.T) {
	now := newClock()
	box := sandboxtest.NewWith(t, sandbox.Options{Clock: now.Now, IAMDelay: 10 * time.Second}, vendor, customer)
	account := box.Account(vendor)
	account.Role("broker", trustVendor, nil)
	c := client(box.Account(customer).Config())

	trusting := func() error {
		_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustBroker)})
		return err
	}
	if err := trusting(); code(err) != "Bad Request MalformedPolicyDocument" {
		t.Errorf("trusting a role made this moment: %v", err)
	}
	operator := account.User("operator", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"*"}}`)
	get := func() string {
		_, err := client(operator).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("broker")})
		return code(err)
	}
	if got := get(); got != "Forbidden InvalidClientTokenId" {
		t.Errorf("a key made this moment: %q", got)
	}
	now.Advance(10 * time.Second)
	if got := get(); got != "" {
		t.Errorf("the key after the delay: %q", got)
	}
	if err := trusting(); err != nil {
		t.Errorf("trusting the role after the delay: %v", err)
	}
	must[*iam.DeleteUserPolicyOutput](t)(client(account.Config()).DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("operator"), PolicyName: aws.String("policy-1")}))
	if got := get(); got != "" {
		t.Errorf("the permission this moment taken away: %q", got)
	}
	now.Advance(10 * time.Second)
	if got := get(); got != "Forbidden AccessDenied" {
		t.Errorf("the permission taken away a while ago: %q", got)
	}
}
