package plans

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/smoke"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// A deployment is that of a test, which fails with it.
type deployment struct {
	*sandboxtest.Deployment

	t      *testing.T
	box    *sandboxtest.Sandbox
	plan   *grant.Plan
	probes int
}

func compile(t *testing.T, manifest string) *grant.Plan {
	t.Helper()
	m, err := grant.Parse([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newDeployment(t *testing.T, box *sandboxtest.Sandbox, manifest string) *deployment {
	t.Helper()
	plan := compile(t, manifest)
	return &deployment{Deployment: sandboxtest.NewDeployment(box.Sandbox, plan), t: t, box: box, plan: plan}
}

// deploy creates all stacks, wave by wave.
func (d *deployment) deploy() {
	d.t.Helper()
	if err := d.Deploy(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// remove deletes all stacks, the last wave first.
func (d *deployment) remove() {
	d.t.Helper()
	if err := d.Remove(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) client(s *grant.Stack) *cloudformation.Client {
	c := d.box.Account(s.AccountID).Config()
	c.Region = s.Region
	return cloudformation.NewFromConfig(c)
}

// applying lets a function write the documents that commands of the plan write.
func (d *deployment) applying(apply func(owner aws.Config, policy string)) {
	d.Apply = func(_ context.Context, owner aws.Config, document *grant.Apply) error {
		policy, err := document.Policy.MarshalJSON()
		if err == nil {
			apply(owner, string(policy))
		}
		return err
	}
}

// physical returns the id that AWS gave to a resource of the manifest, or to the
// stream consumer of a grant.
func (d *deployment) physical(symbol string) string {
	d.t.Helper()
	source, ok := d.plan.Source(symbol)
	if !ok {
		d.t.Fatalf("the plan does not create %s", symbol)
	}
	id, err := d.PhysicalID(d.t.Context(), source)
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

// resource returns the physical id of a resource in a stage.
func (d *deployment) resource(name, stage string) string {
	d.t.Helper()
	return d.physical("unit:resource/" + name + "/" + stage + "#Arn")
}

// leftovers lists the stacks and roles of the accounts, beside the roles that
// were there before, and the permissions that those have.
func (d *deployment) leftovers(before map[string]bool) []string {
	d.t.Helper()
	var left []string
	for _, s := range d.plan.Stacks() {
		out, err := d.client(s).DescribeStacks(d.t.Context(), &cloudformation.DescribeStacksInput{})
		if err != nil {
			d.t.Fatal(err)
		}
		for _, s := range out.Stacks {
			left = append(left, "stack "+*s.StackName)
		}
		client := iam.NewFromConfig(d.box.Account(s.AccountID).Config())
		roles, err := client.ListRoles(d.t.Context(), &iam.ListRolesInput{})
		if err != nil {
			d.t.Fatal(err)
		}
		for _, r := range roles.Roles {
			if !before[*r.Arn] {
				left = append(left, *r.Arn)
			}
			inline, err := client.ListRolePolicies(d.t.Context(), &iam.ListRolePoliciesInput{RoleName: r.RoleName})
			if err != nil {
				d.t.Fatal(err)
			}
			for _, p := range inline.PolicyNames {
				if !before[*r.Arn+" "+p] {
					left = append(left, *r.Arn+" "+p)
				}
			}
			attached, err := client.ListAttachedRolePolicies(d.t.Context(), &iam.ListAttachedRolePoliciesInput{RoleName: r.RoleName})
			if err != nil {
				d.t.Fatal(err)
			}
			for _, p := range attached.AttachedPolicies {
				left = append(left, *r.Arn+" "+*p.PolicyArn)
			}
		}
	}
	return left
}

// refused reports whether an error is AWS's refusal for lack of permission.
func refused(err error) bool {
	var e smithy.APIError
	if !errors.As(err, &e) {
		return false
	}
	switch e.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException":
		return true
	}
	return false
}

// wantRefused checks that calls were refused for lack of permission.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if !refused(err) {
		t.Errorf("%s: %v, want a refusal", what, err)
	}
}

// probe runs what "crossaccount probe --profiles --assume" runs, with a user of
// each consumer's account who may assume its roles, and wants every verdict to
// be that everything is as declared.
func (d *deployment) probe(change ...func(*smoke.Options)) []smoke.Result {
	d.t.Helper()
	users := map[string]aws.Config{}
	d.probes++
	for _, trial := range d.plan.Trials() {
		if _, ok := users[trial.Consumer.ID]; !ok {
			users[trial.Consumer.ID] = d.box.Account(trial.Consumer.ID).User(fmt.Sprintf("prober-%d", d.probes), allowAll)
		}
	}
	o := smoke.Options{
		Config: func(_ context.Context, at grant.Place) (aws.Config, error) { return users[at.ID], nil },
		Owner: func(_ context.Context, at grant.Place) (aws.Config, error) {
			return d.box.Account(at.ID).Config(), nil
		},
		Assume: true, Write: true, Parallel: 2, Now: time.Now,
	}
	for _, c := range change {
		c(&o)
	}
	results := smoke.Run(d.t.Context(), d.plan, func(*grant.Trial) bool { return true }, o)
	return results
}

// wantAsDeclared wants every grant to be as declared, with requests allowed and
// refused in each.
func wantAsDeclared(t *testing.T, results []smoke.Result) {
	t.Helper()
	for i := range results {
		r := &results[i]
		if r.Verdict() != smoke.Allowed || r.Count(smoke.Refused, smoke.Refused) == 0 {
			t.Errorf("%s in %s: %s %s\n%s", r.Grant, r.Stage, r.Verdict(), r.Skipped, told(r))
		}
	}
}

func told(r *smoke.Result) string {
	var b strings.Builder
	for _, a := range r.Attempts {
		fmt.Fprintf(&b, "  want %s, %s: %s on %s by %s (%s) %s %s\n", a.Want, a.Outcome, a.Action, a.Resource, a.Principal, a.Case, a.Code, a.Reason)
	}
	return b.String()
}

const (
	allowAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	ownerA    = "111111111111" // alpha
	ownerP    = "222222222222" // prod
	consumerT = "333333333333" // testing
	consumerP = "444444444444" // production
	stranger  = "555555555555"
)

// trusting is the trust policy of a role that everybody of an account may
// assume whom the account allows to.
func trusting(account string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"sts:AssumeRole"}]}`
}

// newRole creates a role that its account may assume, and returns its session.
func newRole(box *sandboxtest.Sandbox, account, name string, policies ...string) aws.Config {
	arn := box.Account(account).Role(name, trusting(account), policies)
	user := box.Account(account).User(name+"-user", allowAll)
	return box.Assume(user, arn, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("app") })
}
