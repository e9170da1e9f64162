package plans

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/smoke"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const jobs = parties + `
resources:
  jobs: {kind: sqs-queue, name: "{stage}-jobs", create: {}}
grants:
  - {name: report, consumer: bi, resource: jobs, access: send}
`

// deployed returns a deployed plan and the consumer's sessions by account.
func deployed(t *testing.T, o sandbox.Options, manifest string) (*deployment, map[string]aws.Config) {
	t.Helper()
	box := sandboxtest.NewWith(t, o, ownerA, ownerP, consumerT, consumerP, stranger)
	roles := map[string]aws.Config{consumerT: newRole(box, consumerT, "testing-bi"), consumerP: newRole(box, consumerP, "production-bi")}
	d := newDeployment(t, box, manifest)
	d.deploy()
	return d, roles
}

// run probes alpha with the role itself.
func (d *deployment) run(c aws.Config, change func(*smoke.Options)) *smoke.Result {
	d.t.Helper()
	o := smoke.Options{Config: func(context.Context, grant.Place) (aws.Config, error) { return c, nil }, Now: time.Now}
	if change != nil {
		change(&o)
	}
	results := smoke.Run(d.t.Context(), d.plan, func(t *grant.Trial) bool { return t.Stage == "alpha" }, o)
	if len(results) != 1 {
		d.t.Fatalf("%d results", len(results))
	}
	return &results[0]
}

func find(r *smoke.Result, action, what string) *smoke.Attempt {
	i := slices.IndexFunc(r.Attempts, func(a smoke.Attempt) bool { return a.Action == action && a.Case == what })
	if i < 0 {
		return &smoke.Attempt{}
	}
	return &r.Attempts[i]
}

func setQueuePolicy(t *testing.T, d *deployment, policy string) {
	t.Helper()
	if _, err := sqs.NewFromConfig(d.box.Account(ownerA).Config()).SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: queueURL("alpha", "jobs"), Attributes: map[string]string{"Policy": policy}}); err != nil {
		t.Fatal(err)
	}
}

// A policy that somebody opened is found, and so is one that somebody closed.
func TestProbeFindsWhatDiffers(t *testing.T) {
	d, roles := deployed(t, sandbox.Options{}, jobs)
	role := roles[consumerT]
	if r := d.run(role, nil); r.Verdict() != smoke.Allowed {
		t.Fatal(told(r))
	}

	setQueuePolicy(t, d, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:role/testing-bi"},"Action":"sqs:*","Resource":"arn:aws:sqs:us-east-1:111111111111:alpha-jobs"}]}`)
	if _, err := iam.NewFromConfig(d.box.Account(consumerT).Config()).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("testing-bi"), PolicyName: aws.String("more"), PolicyDocument: aws.String(allowAll)}); err != nil {
		t.Fatal(err)
	}
	r := d.run(role, nil)
	if a := find(r, "sqs:GetQueueAttributes", "another action"); r.Verdict() != smoke.Refused || !a.Wrong() || a.Outcome != smoke.Allowed {
		t.Errorf("an open policy: %s\n%s", r.Verdict(), told(r))
	}

	setQueuePolicy(t, d, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:GetQueueUrl","Resource":"*"}]}`)
	r = d.run(role, nil)
	a := find(r, "sqs:GetQueueUrl", "declared")
	if r.Verdict() != smoke.Refused || !a.Wrong() || a.Denial == nil || !a.Denial.Reason.Explicit {
		t.Errorf("a Deny: %s %+v\n%s", r.Verdict(), a.Denial, told(r))
	}
}

// Without a call that shows that something is allowed nothing is shown.
func TestProbeShowsNothingWithoutACall(t *testing.T) {
	d, roles := deployed(t, sandbox.Options{}, parties+`
resources:
  bus: {kind: event-bus, name: "{stage}-bus", create: {}}
grants:
  - {name: events, consumer: bi, resource: bus, access: put}
`)
	if r := d.run(roles[consumerT], nil); r.Verdict() != smoke.Inconclusive || find(r, "events:PutEvents", "declared").Outcome != smoke.NotTried {
		t.Errorf("without --write: %s\n%s", r.Verdict(), told(r))
	}
	if r := d.run(roles[consumerT], func(o *smoke.Options) { o.Write = true }); r.Verdict() != smoke.Allowed {
		t.Errorf("with --write: %s\n%s", r.Verdict(), told(r))
	}
}

// Credentials of somebody else try nothing, also those of a role of the same
// name in another account.
func TestProbeKnowsWhoItIs(t *testing.T) {
	d, roles := deployed(t, sandbox.Options{}, jobs)
	for name, c := range map[string]aws.Config{
		"the role of another stage": roles[consumerP], "a stranger's role": newRole(d.box, stranger, "testing-bi", allowAll), "a user": d.box.Account(consumerT).User("testing-bi", allowAll),
	} {
		if r := d.run(c, nil); r.Verdict() != smoke.NotTried || len(r.Attempts) > 0 || !strings.Contains(r.Skipped, "role/testing-bi") {
			t.Errorf("%s: %q\n%s", name, r.Skipped, told(r))
		}
	}
	stranger := d.box.Account(stranger).User("admin", allowAll)
	if r := d.run(stranger, func(o *smoke.Options) { o.Assume = true }); r.Verdict() != smoke.NotTried || !strings.Contains(r.Skipped, "could not be assumed") {
		t.Errorf("a stranger who would assume it: %q", r.Skipped)
	}
}

// What only AWS knows is given, or found, or named.
func TestProbeNeedsTheIDOfAnAPI(t *testing.T) {
	d, roles := deployed(t, sandbox.Options{}, parties+ordersAPI+`
grants:
  - {name: orders, consumer: bi, resource: orders, access: read}
`)
	role := roles[consumerT]
	r := d.run(role, nil)
	if a := find(r, "execute-api:Invoke", "declared"); r.Verdict() != smoke.Inconclusive || !strings.Contains(a.Reason, "--value orders.alpha=") {
		t.Errorf("%s %q", r.Verdict(), a.Reason)
	}
	id := d.resource("orders", "alpha")
	if r := d.run(role, func(o *smoke.Options) { o.Values = map[string]string{"orders.alpha": id} }); r.Verdict() != smoke.Allowed {
		t.Error(told(r))
	}
	wrong := strings.Repeat("x", len(id))
	if r := d.run(role, func(o *smoke.Options) { o.Values = map[string]string{"orders": wrong} }); r.Verdict() == smoke.Allowed {
		t.Errorf("an API that does not exist: %s", told(r))
	}
}

// With nothing but the role's own credentials, as in its function, what has a
// name is tried: but not
// a secret, whose last six characters nobody told.
func TestProbeWithTheRoleAlone(t *testing.T) {
	for name, resource := range map[string]string{
		"bucket": `{kind: s3-bucket, name: "{app}-x-{stage}", create: {}}`,
		"stream": `{kind: kinesis-stream, name: "{stage}-x", create: {ShardCount: 1}}`,
		"topic":  `{kind: sns-topic, name: "{stage}-x", create: {}}`,
		"table":  `{kind: dynamodb-table, name: "{stage}-x", create: {BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: n, AttributeType: N}, {AttributeName: b, AttributeType: B}], KeySchema: [{AttributeName: n, KeyType: HASH}, {AttributeName: b, KeyType: RANGE}]}}`,
	} {
		access := map[string]string{"topic": "subscribe", "table": "[read, write]", "bucket": "[read, write, delete]"}[name]
		if access == "" {
			access = "read"
		}
		d, roles := deployed(t, sandbox.Options{}, parties+`
resources:
  x: `+resource+`
grants:
  - {name: x, consumer: bi, resource: x, access: `+access+`}
`)
		if r := d.run(roles[consumerT], nil); r.Verdict() != smoke.Allowed || r.Count(smoke.Refused, smoke.Refused) < 2 && name != "topic" {
			t.Errorf("%s: %s\n%s", name, r.Verdict(), told(r))
		}
	}
}

func TestProbeNeedsTheARNOfASecret(t *testing.T) {
	d, roles := deployed(t, sandbox.Options{}, parties+`
resources:
  key: {kind: kms-key, create: {}}
  db: {kind: secret, name: "{stage}/db", encryption: key, create: {GenerateSecretString: {}}}
grants:
  - {name: db, consumer: bi, resource: db, access: read}
`)
	r := d.run(roles[consumerT], nil)
	if a := find(r, "secretsmanager:GetSecretValue", "declared"); r.Verdict() != smoke.Inconclusive || !strings.Contains(a.Reason, "--value db.alpha=") {
		t.Errorf("%s %q", r.Verdict(), a.Reason)
	}
	values := map[string]string{"db.alpha": d.resource("db", "alpha"), "db.prod": d.resource("db", "prod")}
	if r := d.run(roles[consumerT], func(o *smoke.Options) { o.Values = values }); r.Verdict() != smoke.Allowed || r.Count(smoke.Refused, smoke.Refused) != 2 {
		t.Error(told(r))
	}
}

// Faults of AWS are tried again, and otherwise inconclusive: no pass and no
// finding.
func TestProbeAndFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, roles := deployed(t, sandbox.Options{}, jobs)
		role := roles[consumerT]
		for name, test := range map[string]struct {
			faults int
			status int
			body   string
			want   smoke.Outcome
		}{
			"one":                 {1, 503, `{}`, smoke.Allowed},
			"throttled":           {2, 400, `{"__type":"com.amazonaws.sqs#ThrottlingException"}`, smoke.Allowed},
			"for ever":            {1 << 20, 500, `{}`, smoke.Inconclusive},
			"a bad signature":     {1 << 20, 403, `{"__type":"InvalidSignatureException"}`, smoke.Inconclusive},
			"an unknown refusal":  {1 << 20, 403, `denied`, smoke.Inconclusive},
			"an answer of nobody": {1 << 20, 0, ``, smoke.Inconclusive},
		} {
			faulty := role.Copy()
			faulty.HTTPClient = &faults{next: role.HTTPClient, left: test.faults, status: test.status, body: test.body}
			if r := d.run(faulty, nil); r.Verdict() != test.want {
				t.Errorf("%s: %s, want %s\n%s", name, r.Verdict(), test.want, told(r))
			}
		}
	})
}

// faults answers requests to SQS itself.
type faults struct {
	next   aws.HTTPClient
	left   int
	status int
	body   string
}

func (f *faults) Do(r *http.Request) (*http.Response, error) {
	if f.left == 0 || !strings.Contains(r.URL.Host, "sqs") {
		return f.next.Do(r)
	}
	f.left--
	if f.status == 0 {
		return nil, context.DeadlineExceeded
	}
	return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f.body)), Request: r}, nil
}

// What was just deployed is not known everywhere at once.
func TestProbeWaitsForIAM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := sandboxtest.NewWith(t, sandbox.Options{IAMDelay: 10 * time.Second}, ownerA, ownerP, consumerT, consumerP)
		arn := box.Account(consumerT).Role("testing-bi", trusting(consumerT), nil)
		box.Account(consumerP).Role("production-bi", trusting(consumerP), nil)
		user := box.Account(consumerT).User("user", allowAll)
		time.Sleep(time.Minute) // in no time: the bubble's clock
		role := box.Assume(user, arn)
		d := newDeployment(t, box, jobs)
		d.deploy()
		if r := d.run(role, nil); r.Verdict() != smoke.Refused {
			t.Errorf("without patience: %s\n%s", r.Verdict(), told(r))
		}
		if r := d.run(role, func(o *smoke.Options) { o.Patience = time.Minute }); r.Verdict() != smoke.Allowed {
			t.Errorf("with patience: %s\n%s", r.Verdict(), told(r))
		}
	})
}
