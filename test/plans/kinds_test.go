package plans

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/internal/smoke"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// parties is the beginning of every manifest here: an app in two stages, and a
// consumer whose roles exist.
const parties = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  shop-prod: {id: "222222222222", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
  bi-prod: {id: "444444444444", regions: [us-east-1]}
apps:
  shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}
consumers:
  bi: {accounts: {testing: bi-testing, production: bi-prod}, role: {name: "{consumer_stage}-bi"}}
`

// A kindTest is a plan of one kind of resource, and what is done with it.
type kindTest struct {
	manifest string // after parties
	// before makes what exists already in an owner's account.
	before func(t *testing.T, owner aws.Config, stage string)
	// prepare fills the resource when it is deployed.
	prepare func(t *testing.T, d *deployment, owner aws.Config, stage string)
	// use does what the consumer does; every call must succeed.
	use func(t *testing.T, d *deployment, c aws.Config, stage string) error
	// others are calls that the grant does not give.
	others map[string]func(t *testing.T, d *deployment, c aws.Config, stage string) error
	// empty makes the resource so that it can be deleted.
	empty func(t *testing.T, d *deployment, owner aws.Config, stage string)
	// session makes of the consumer's role what the calls are made with; nil if
	// that is the role itself.
	session func(t *testing.T, d *deployment, c aws.Config, stage string) (aws.Config, error)
	probe   func(*smoke.Options)
	// apply writes a document that the plan has commands for.
	apply func(t *testing.T, owner aws.Config, policy string)
}

var owners = map[string]string{"alpha": ownerA, "prod": ownerP}

// run deploys, uses, probes, refuses and removes.
func (k *kindTest) run(t *testing.T) {
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP, stranger)
	consumers := map[string]aws.Config{"alpha": newRole(box, consumerT, "testing-bi"), "prod": newRole(box, consumerP, "production-bi")}
	// Who else might try: another role of the consumer's account, and a role of
	// the same name in a stranger's account, both of which their own accounts allow
	// everything.
	neighbour, outsider := newRole(box, consumerT, "other", allowAll), newRole(box, stranger, "testing-bi", allowAll)
	before := map[string]bool{}
	for account, names := range map[string][]string{consumerT: {"testing-bi", "other"}, consumerP: {"production-bi"}, stranger: {"testing-bi"}} {
		for _, name := range names {
			before["arn:aws:iam::"+account+":role/"+name] = true
		}
	}
	for stage, account := range owners {
		if k.before != nil {
			k.before(t, box.Account(account).Config(), stage)
		}
	}
	d := newDeployment(t, box, parties+k.manifest)
	for _, r := range d.leftovers(before) {
		before[r] = true // what the test itself made
	}
	if k.apply != nil {
		d.applying(func(owner aws.Config, policy string) { k.apply(t, owner, policy) })
	}
	d.deploy()
	for stage, account := range owners {
		if k.prepare != nil {
			k.prepare(t, d, box.Account(account).Config(), stage)
		}
	}

	session := k.session
	if session == nil {
		session = func(_ *testing.T, _ *deployment, c aws.Config, _ string) (aws.Config, error) { return c, nil }
	}
	as := func(c aws.Config, stage string, call func(*testing.T, *deployment, aws.Config, string) error) error {
		s, err := session(t, d, c, stage)
		if err != nil {
			return err
		}
		return call(t, d, s, stage)
	}
	for stage, c := range consumers {
		if err := as(c, stage, k.use); err != nil {
			t.Errorf("in %s the consumer is refused: %v", stage, err)
		}
		for what, call := range k.others {
			wantRefused(t, what+" in "+stage, as(c, stage, call))
		}
	}
	wantRefused(t, "the role of another stage", as(consumers["prod"], "alpha", k.use))
	wantRefused(t, "another role of the account", as(neighbour, "alpha", k.use))
	wantRefused(t, "a role of the same name in another account", as(outsider, "alpha", k.use))

	var change []func(*smoke.Options)
	if k.probe != nil {
		change = append(change, k.probe)
	}
	results := d.probe(change...)
	wantAsDeclared(t, results)
	if testing.Verbose() {
		for i := range results {
			t.Logf("%s in %s\n%s", results[i].Grant, results[i].Stage, told(&results[i]))
		}
	}

	for stage, account := range owners {
		if k.empty != nil {
			k.empty(t, d, box.Account(account).Config(), stage)
		}
	}
	d.remove()
	for stage, c := range consumers {
		if err := as(c, stage, k.use); err == nil {
			t.Errorf("in %s the consumer still has access", stage)
		}
	}
	if left := d.leftovers(before); len(left) > 0 {
		t.Errorf("removed, and these are left: %q", left)
	}
}
