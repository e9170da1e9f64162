package plans

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/smoke"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// machines is a state machine that consumers run from a state machine of theirs,
// with a role that its account may assume as well.
const machines = `
resources:
  report: {kind: state-machine, name: "{stage}-report"}
grants:
  - {name: report, consumer: bi, resource: report, access: ACCESS, state_machine: "{consumer_stage}-caller"}
`

// newMachine makes the owner's state machine.
func newMachine(box *sandboxtest.Sandbox, kind types.StateMachineType) func(*testing.T, aws.Config, string) {
	return func(t *testing.T, owner aws.Config, stage string) {
		t.Helper()
		role := box.Account(owners[stage]).Role("report", trustsStates, nil)
		if _, err := sfn.NewFromConfig(owner).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
			Name: aws.String(stage + "-report"), RoleArn: &role, Type: kind, Definition: aws.String(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`),
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// deployedMachines returns a plan that is deployed, and the consumer's role.
func deployedMachines(t *testing.T, access string, kind types.StateMachineType) (*deployment, aws.Config) {
	t.Helper()
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP)
	role := newRole(box, consumerT, "testing-bi")
	newRole(box, consumerP, "production-bi")
	for stage, account := range owners {
		newMachine(box, kind)(t, box.Account(account).Config(), stage)
	}
	d := newDeployment(t, box, parties+strings.Replace(machines, "ACCESS", access, 1))
	d.deploy()
	return d, role
}

// Without --write nothing runs, and yet the role, its external ID, and what it may
// not do are tried; with it the workflow runs.
func TestProbeStateMachines(t *testing.T) {
	for access, test := range map[string]struct {
		kind types.StateMachineType
		run  string
		free []string // actions that are tried without --write
	}{
		"start":      {types.StateMachineTypeStandard, "states:StartExecution", []string{"sts:AssumeRole", "states:DescribeExecution", "states:StopExecution"}},
		"start-sync": {types.StateMachineTypeExpress, "states:StartSyncExecution", []string{"sts:AssumeRole"}},
	} {
		t.Run(access, func(t *testing.T) {
			d, role := deployedMachines(t, access, test.kind)
			for _, write := range []bool{false, true} {
				r := d.run(role, func(o *smoke.Options) { o.Write = write })
				wantAsDeclared(t, []smoke.Result{*r})
				want := smoke.NotTried
				if write {
					want = smoke.Allowed
				}
				if a := find(r, test.run, "declared"); a.Outcome != want {
					t.Errorf("with write %v: %+v", write, a)
				}
				for _, action := range test.free {
					if a := find(r, action, "declared"); a.Outcome != smoke.Allowed {
						t.Errorf("with write %v: %+v", write, a)
					}
				}
				for what, action := range map[string]string{
					"without the external ID": "sts:AssumeRole", "another external ID": "sts:AssumeRole", "the external ID in other case": "sts:AssumeRole",
					"stage prod": "sts:AssumeRole", "another action": "states:DescribeStateMachine", "another state machine": test.run,
				} {
					if a := find(r, action, what); a.Outcome != smoke.Refused {
						t.Errorf("%s with write %v: %+v", what, write, a)
					}
				}
				ran := false
				for _, c := range d.box.Calls() {
					ran = ran || c.Status == http.StatusOK && strings.HasPrefix(c.Operation, "Start")
				}
				if ran != write {
					t.Errorf("with write %v: a state machine was run: %v", write, ran)
				}
			}

			// The owner's role gets too much, and its trust policy asks for no external
			// ID.
			roles, name := iam.NewFromConfig(d.box.Account(ownerA).Config()), aws.String(roleName(d.plan))
			if _, err := roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("more"), PolicyDocument: aws.String(allowAll)}); err != nil {
				t.Fatal(err)
			}
			if _, err := roles.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"sts:AssumeRole"}]}`)}); err != nil {
				t.Fatal(err)
			}
			r := d.run(role, nil)
			for what, action := range map[string]string{
				"without the external ID": "sts:AssumeRole", "another external ID": "sts:AssumeRole", "another action": "states:DescribeStateMachine", "another state machine": test.run,
			} {
				if a := find(r, action, what); !a.Wrong() || r.Verdict() != smoke.Refused {
					t.Errorf("what is open is not found: %s: %+v", what, a)
				}
			}

			// And nothing at all.
			if _, err := roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("more"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"states:*","Resource":"*"}]}`)}); err != nil {
				t.Fatal(err)
			}
			r = d.run(role, func(o *smoke.Options) { o.Write = true })
			if a := find(r, test.run, "declared"); !a.Wrong() || a.Denial == nil || !a.Denial.Reason.Explicit {
				t.Errorf("a Deny: %+v\n%s", a, told(r))
			}
		})
	}
}

// roleName is the name of the role that the consumer assumes in alpha.
func roleName(p *grant.Plan) string {
	for _, g := range p.Grants {
		if g.Stage == "alpha" {
			return g.Assume[strings.LastIndexByte(g.Assume, '/')+1:]
		}
	}
	return ""
}

// Where only Step Functions can assume the consumer's role, its state machine is
// run, if that is allowed, and says whether the chain holds.
func TestProbeWorkflow(t *testing.T) {
	box := sandboxtest.New(t, ownerA, consumerT)
	d := newDeployment(t, box, strings.Replace(workflows, ", function: exchange, cache: tokens", "", 1))
	d.deploy()
	user := box.Account(consumerT).User("prober", allowAll)
	run := func(write bool) *smoke.Result {
		t.Helper()
		return d.run(user, func(o *smoke.Options) { o.Assume, o.Write = true, write })
	}

	r := run(false)
	if a := find(r, "sts:AssumeRole", "declared"); r.Verdict() != smoke.Inconclusive || a.Outcome != smoke.NotTried || !strings.Contains(a.Reason, callerARN) {
		t.Errorf("without --write: %+v\n%s", a, told(r))
	}
	if a := find(r, "sts:AssumeRole", "another principal of the account"); a.Outcome != smoke.Refused {
		t.Errorf("the prober assumes the role: %+v", a)
	}
	r = run(true)
	wantAsDeclared(t, []smoke.Result{*r})
	if a := find(r, "states:StartSyncExecution", "declared"); a.Outcome != smoke.Allowed {
		t.Errorf("with --write: %+v", a)
	}
	if strings.Contains(told(r), "the-password") {
		t.Error("the result has the secret")
	}

	// The owner's role may not run the workflow any more.
	roles, name := iam.NewFromConfig(box.Account(ownerA).Config()), aws.String(roleName(d.plan))
	if _, err := roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("less"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"states:*","Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	r = run(true)
	if a, b := find(r, "sts:AssumeRole", "declared"), find(r, "states:StartSyncExecution", "declared"); a.Outcome != smoke.Allowed || !b.Wrong() {
		t.Errorf("a workflow that may not be run: %+v %+v", a, b)
	}

	// It lets in somebody else, and not the workflow.
	if _, err := roles.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:user/prober"},"Action":"sts:AssumeRole"}]}`)}); err != nil {
		t.Fatal(err)
	}
	r = run(true)
	if a, b := find(r, "sts:AssumeRole", "declared"), find(r, "sts:AssumeRole", "another principal of the account"); !a.Wrong() || !b.Wrong() || r.Verdict() != smoke.Refused {
		t.Errorf("a trust policy of somebody else: %+v %+v\n%s", a, b, told(r))
	}

	// Who may not run the caller learns nothing.
	user = box.Account(consumerT).User("powerless")
	if r := run(true); r.Verdict() != smoke.Inconclusive {
		t.Errorf("without permissions: %s\n%s", r.Verdict(), told(r))
	}
	user = box.Account(ownerA).User("elsewhere", allowAll)
	if r := run(true); r.Verdict() != smoke.NotTried {
		t.Errorf("from another account: %s\n%s", r.Verdict(), told(r))
	}
}
