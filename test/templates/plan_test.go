package templates

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// planned has what moto can create, and every way to give access. Keys have
// no tags, because moto cannot read those of AWS::KMS::Key.
const planned = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  shop-prod: {id: "222222222222", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
  bi-prod: {id: "444444444444", regions: [us-east-1]}
apps: {shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}}
consumers:
  bi:
    accounts: {testing: bi-testing, production: bi-prod}
    role: {name: "{consumer_stage}-bi", create: lambda.amazonaws.com, permissions: [{actions: ["logs:PutLogEvents"], resources: ["*"]}]}
resources:
  key: {kind: kms-key, create: {Description: shared, Tags: []}}
  reports: {kind: s3-bucket, name: "{app}-reports-{stage}", create: {}}
  jobs: {kind: sqs-queue, name: "{stage}-jobs", encryption: key, create: {}}
  news: {kind: sns-topic, name: "{stage}-news", create: {}}
  reader: {kind: role, name: "{stage}-reader", permissions: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{app}-reports-{stage}/weekly/*"]}]}
grants:
  - {name: daily, consumer: bi, resource: reports, access: read, only: {prefixes: [daily/]}}
  - {name: weekly, consumer: bi, resource: reports, access: write, via: role}
  - {name: jobs, consumer: bi, resource: jobs, access: consume}
  - {name: news, consumer: bi, resource: news, access: publish, trust: matched}
  - {name: reader, consumer: bi, resource: reader, access: assume}
`

// moto, which other people wrote, accepts the stacks of a plan in their order,
// with the parameters that plan.json says, and has the trust policies and
// permissions that were compiled. It knows no policies of queues, topics and
// buckets in stacks, which the sandbox and cfn-lint look at.
func TestMotoTakesPlans(t *testing.T) {
	python := testenv.Python(t, "boto3", "moto")
	m, err := grant.Parse([]byte(planned))
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/moto_plan.py", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	var found struct {
		Stacks          map[string]string
		Roles, Policies map[string]json.RawMessage
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range p.Stacks() {
		if found.Stacks[s.Name] != "CREATE_COMPLETE" {
			t.Errorf("stack %s: %q", s.Name, found.Stacks[s.Name])
		}
	}
	canonical := func(policy *iam.Policy) string { return string(policy.Canonical()) }
	parsed := func(data json.RawMessage) string {
		policy, err := iam.ParsePolicy(data)
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		return canonical(policy)
	}
	trusts, permissions := 0, 0
	for _, d := range p.Documents() {
		switch {
		case d.Kind == iam.KindTrust:
			trusts++
			if diff := cmp.Diff(canonical(d.Policy), parsed(found.Roles[d.Principal])); diff != "" {
				t.Errorf("%s (-want +got):\n%s", d.Title, diff)
			}
		case d.Kind == iam.KindIdentity && !d.Inline:
			permissions++
			arn, _ := iam.ParseRoleARN(d.Principal)
			name := "arn:aws:iam::" + string(arn.Account) + ":policy/" + d.Principal[strings.LastIndex(d.Principal, "/")+1:] + "-crossaccount-1"
			got, ok := found.Policies[name]
			if !ok {
				t.Errorf("%s: there is no policy %s", d.Title, name)
				continue
			}
			policy, err := iam.ParsePolicy(got)
			if err != nil {
				t.Fatalf("%v in %s", err, got)
			}
			if len(policy.Statements) != len(d.Policy.Statements) {
				t.Errorf("%s has %d statements, want %d", name, len(policy.Statements), len(d.Policy.Statements))
			}
			for i, s := range policy.Statements {
				if want := d.Policy.Statements[i]; s.Sid != want.Sid || !cmp.Equal(s.Action, want.Action) {
					t.Errorf("%s, statement %d: %s %v, want %s %v", name, i, s.Sid, s.Action, want.Sid, want.Action)
				}
				for _, resource := range s.Resource {
					if resource != "*" && !strings.HasPrefix(resource, "arn:aws:") {
						t.Errorf("%s, statement %d: the resource %q is no ARN: an output did not reach the parameter", name, i, resource)
					}
				}
			}
		}
	}
	if trusts < 6 || permissions != 2 {
		t.Errorf("%d trust policies and %d policies were compared", trusts, permissions)
	}
}
