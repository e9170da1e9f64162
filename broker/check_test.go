package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
)

// What STS would refuse for its form is refused before it is asked.
func TestRequestsAreChecked(t *testing.T) {
	fake := newFake(t)
	c := fake.config()
	c.Purposes = []broker.Purpose{{Name: "read", Policy: narrow}}
	b := start(t, c)
	role := func(change func(*broker.Role)) func(*broker.Request) {
		return func(r *broker.Request) { change(&r.Chain[0]) }
	}
	for want, change := range map[string]func(*broker.Request){
		"no customer":                       func(r *broker.Request) { r.Customer = "" },
		"more than 512 bytes":               func(r *broker.Request) { r.Customer = strings.Repeat("a", 513) },
		"names no role":                     func(r *broker.Request) { r.Chain = nil },
		"the chain has 6 roles":             func(r *broker.Request) { r.Chain = make([]broker.Role, 6) },
		"neither InProcess nor HTTPRead":    func(r *broker.Request) { r.Class = 7 },
		`purpose "write" is not configured`: func(r *broker.Request) { r.Purpose = "write" },
		"both the purpose and the last":     func(r *broker.Request) { r.Purpose = "read"; r.Chain[0].Policy = narrow },
		"last role of the chain is":         role(func(r *broker.Role) { r.Shared = true }),
		"role 1 of the chain: ":             role(func(r *broker.Role) { r.ARN = "role/acme" }),
		"across partitions":                 role(func(r *broker.Role) { r.ARN = "arn:aws-cn:iam::222222222222:role/acme" }),
		"external ID has an illegal":        role(func(r *broker.Role) { r.ExternalID = "a b" }),
		"external ID has 1 characters":      role(func(r *broker.Role) { r.ExternalID = "a" }),
		"session name is empty":             role(func(r *broker.Role) { r.SessionName = "" }),
		"session name has 65 characters":    role(func(r *broker.Role) { r.SessionName = strings.Repeat("a", 65) }),
		"source identity has an illegal":    role(func(r *broker.Role) { r.SourceIdentity = "a:b" }),
		"tag key begins with aws:":          role(func(r *broker.Role) { r.Tags = []broker.Tag{{"aws:x", "y"}} }),
		`session tag "x" appears twice`:     role(func(r *broker.Role) { r.Tags = []broker.Tag{{"x", "y"}, {"x", "z"}} }),
		"differ only in case":               role(func(r *broker.Role) { r.Tags = []broker.Tag{{"x", "y"}, {"X", "z"}} }),
		`transitive tag key "y" is not`:     role(func(r *broker.Role) { r.TransitiveTagKeys = []string{"y"} }),
		"session policy has 2049":           role(func(r *broker.Role) { r.Policy = narrow + strings.Repeat(" ", 2049-len(narrow)) }),
		"session policy: ":                  role(func(r *broker.Role) { r.Policy = `{"Version":"2012-10-17"}` }),
		"has the character U+201C":          role(func(r *broker.Role) { r.Policy = "“" }),
		"have 2065 characters together": role(func(r *broker.Role) {
			r.Policy = narrow + strings.Repeat(" ", 2040-len(narrow))
			r.PolicyARNs = []string{"arn:aws:iam::aws:policy/A"}
		}),
		"there are 11 managed":           role(func(r *broker.Role) { r.PolicyARNs = make([]string, 11) }),
		"is not the ARN of a managed":    role(func(r *broker.Role) { r.PolicyARNs = []string{"arn:aws:iam::222222222222:role/x"} }),
		"duration is 10m0s":              role(func(r *broker.Role) { r.Duration = 10 * time.Minute }),
		"duration is 13h0m0s":            role(func(r *broker.Role) { r.Duration = 13 * time.Hour }),
		"must be a whole number of seco": role(func(r *broker.Role) { r.Duration = time.Hour + time.Millisecond }),
	} {
		r := access("acme")
		change(&r)
		_, err := b.For(r)
		if broker.CodeOf(err) != broker.CodeInvalidRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err != nil && (strings.Contains(err.Error(), externalID) || strings.Contains(err.Error(), "a b")) {
			t.Errorf("the error tells the external ID: %v", err)
		}
	}
	if n := fake.count(); n != 0 {
		t.Errorf("%d calls of STS", n)
	}
	err := b.Prewarm(t.Context(), []broker.Request{access("acme"), {}})
	if broker.CodeOf(err) != broker.CodeInvalidRequest || fake.count() != 0 {
		t.Errorf("prewarming a bad request: %v", err)
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	fake := newFake(t)
	for want, change := range map[string]func(*broker.Config){
		"has no credentials":                     func(c *broker.Config) { c.AWSConfig.Credentials = nil },
		"names a region":                         func(c *broker.Config) { c.AWSConfig.Region = "" },
		`"moon-1" is not a region`:               func(c *broker.Config) { c.Regions = []string{"moon-1"} },
		"are of different partitions":            func(c *broker.Config) { c.Regions = []string{"us-east-1", "cn-north-1"} },
		"is named twice":                         func(c *broker.Config) { c.Regions = []string{"us-east-1", "us-east-1"} },
		"MaxPerSecond is less than 1":            func(c *broker.Config) { c.MaxPerSecond = 0.5 },
		"CustomerRate needs":                     func(c *broker.Config) { c.CustomerRate.Burst = 1 },
		"MaxConcurrent is less than 1":           func(c *broker.Config) { c.MaxConcurrent = -1 },
		"CoarseClock is not between":             func(c *broker.Config) { c.CoarseClock = time.Minute },
		"neither Stop nor Drain":                 func(c *broker.Config) { c.Withdrawn = 9 },
		"SharedStore needs Config.Sealer":        func(c *broker.Config) { c.SharedStore = broker.NewMemoryStore(time.Now) },
		"a purpose has no name":                  func(c *broker.Config) { c.Purposes = []broker.Purpose{{Policy: narrow}} },
		`the purpose "a" is defined twice`:       func(c *broker.Config) { c.Purposes = []broker.Purpose{{Name: "a"}, {Name: "a"}} },
		`purpose "a": session policy:`:           func(c *broker.Config) { c.Purposes = []broker.Purpose{{Name: "a", Policy: "{}"}} },
		"the source of randomness failed":        func(c *broker.Config) { c.Random = strings.NewReader("x") },
		`"http://169.254.169.254" is not a regi`: func(c *broker.Config) { c.AWSConfig.Region = "http://169.254.169.254" },
	} {
		c := fake.config()
		change(&c)
		if _, err := broker.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	b, err := broker.New(broker.Config{AWSConfig: aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
