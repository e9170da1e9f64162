package plans

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// deploy.sh and remove.sh are run as people run them, with the aws command and a
// profile for each account. The manifest has resources that the plan creates, and
// some that exist, whose policies commands write.
func TestScriptsOfAPlan(t *testing.T) {
	tool := testenv.Tool(t, "aws")
	box := sandboxtest.New(t, ownerA, consumerT)
	owner := box.Account(ownerA).Config()
	if _, err := ecr.NewFromConfig(owner).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("old")}); err != nil {
		t.Fatal(err)
	}
	key, err := kms.NewFromConfig(owner).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	d := newDeployment(t, box, `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
apps:
  shop: {accounts: {alpha: shop-alpha}}
consumers:
  bi:
    accounts: {testing: bi-testing}
    role: {name: "{consumer_stage}-bi", create: lambda.amazonaws.com, policies: ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]}
`+ordersAPI+`
  reports: {kind: s3-bucket, name: "{app}-reports-{stage}", create: {}}
  key: {kind: kms-key, create: {Description: shared}}
  jobs: {kind: sqs-queue, name: "{stage}-jobs", encryption: key, create: {}}
  news: {kind: sns-topic, name: "{stage}-news", create: {}}
  bus: {kind: event-bus, name: "{stage}-bus", create: {}}
  db: {kind: secret, name: "{stage}/db", encryption: key, create: {GenerateSecretString: {PasswordLength: 32}}}
  events: {kind: kinesis-stream, name: "{stage}-events", create: {ShardCount: 1}}
  prices: {kind: dynamodb-table, name: "{stage}-prices", create: {BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: sku, AttributeType: S}], KeySchema: [{AttributeName: sku, KeyType: HASH}]}}
  reader: {kind: role, name: "{stage}-reader", permissions: [{actions: ["s3:ListAllMyBuckets"], resources: ["*"]}]}
  images: {kind: ecr-repository, name: old}
  old-key: {kind: kms-key, id: `+*key.KeyMetadata.KeyId+`}
grants:
  - {name: orders, consumer: bi, resource: orders, access: read}
  - {name: reports, consumer: bi, resource: reports, access: read}
  - {name: jobs, consumer: bi, resource: jobs, access: consume}
  - {name: news, consumer: bi, resource: news, access: publish}
  - {name: bus, consumer: bi, resource: bus, access: put}
  - {name: db, consumer: bi, resource: db, access: read}
  - {name: events, consumer: bi, resource: events, access: [read, subscribe]}
  - {name: prices, consumer: bi, resource: prices, access: read}
  - {name: reader, consumer: bi, resource: reader, access: assume}
  - {name: images, consumer: bi, resource: images, access: pull}
  - {name: old-key, consumer: bi, resource: old-key, access: decrypt}
`)
	files, err := d.plan.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var profiles strings.Builder
	for name, id := range map[string]string{"shop-alpha": ownerA, "bi-testing": consumerT} {
		c := box.Account(id).UserCredentials("deployer", allowAll)
		fmt.Fprintf(&profiles, "[profile %s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, c.AccessKeyID, c.SecretAccessKey)
	}
	config := filepath.Join(dir, "aws.config")
	if err := os.WriteFile(config, []byte(profiles.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	url := box.Serve()
	run := func(script string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), filepath.Join(dir, script))
		c.Env = []string{"PATH=" + filepath.Dir(tool) + ":" + os.Getenv("PATH"), "HOME=" + dir, "AWS_ENDPOINT_URL=" + url, "AWS_CONFIG_FILE=" + config, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER="}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	run("deploy.sh")
	run("deploy.sh") // what is deployed stays as it is

	// The role is of Lambda, so the probe cannot assume it; the policies are what
	// the plan says, which the resources that exist show.
	policy, err := ecr.NewFromConfig(owner).GetRepositoryPolicy(t.Context(), &ecr.GetRepositoryPolicyInput{RepositoryName: aws.String("old")})
	if err != nil || !strings.Contains(*policy.PolicyText, "role/testing-bi") {
		t.Errorf("the repository's policy: %v", err)
	}
	keyPolicy := func() string {
		t.Helper()
		out, err := kms.NewFromConfig(owner).GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key.KeyMetadata.KeyId})
		if err != nil {
			t.Fatal(err)
		}
		return *out.Policy
	}
	if !strings.Contains(keyPolicy(), "role/testing-bi") {
		t.Error("the key's policy was not written")
	}
	stacks := func() int {
		n := 0
		for _, id := range []string{ownerA, consumerT} {
			out, err := cloudformation.NewFromConfig(box.Account(id).Config()).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
			if err != nil {
				t.Fatal(err)
			}
			n += len(out.Stacks)
		}
		return n
	}
	want := 0
	for _, s := range d.plan.Stacks() {
		if s.Template != nil {
			want++
		}
	}
	if n := stacks(); n != want {
		t.Errorf("%d stacks, want %d", n, want)
	}

	run("remove.sh")
	if n := stacks(); n != 0 {
		t.Errorf("%d stacks are left", n)
	}
	if left := d.leftovers(nil); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
	if strings.Contains(keyPolicy(), "testing-bi") {
		t.Error("the key's policy still names the consumer's role")
	}
	if _, err := ecr.NewFromConfig(owner).GetRepositoryPolicy(t.Context(), &ecr.GetRepositoryPolicyInput{RepositoryName: aws.String("old")}); err == nil {
		t.Error("the repository still has a policy")
	}
}

// The manifest that "crossaccount init" writes works as it is, beside what it
// says exists already.
func TestStarter(t *testing.T) {
	m, err := grant.Parse(grant.Starter())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, a := range m.Accounts {
		ids = append(ids, a.ID)
	}
	box := sandboxtest.New(t, ids...)
	d := newDeployment(t, box, string(grant.Starter()))
	for _, stage := range []string{"alpha", "beta", "prod"} {
		account := m.Accounts[m.Apps["orders"].Accounts[stage]].ID
		c := box.Account(account).Config()
		c.Region = "eu-central-1"
		newStream(t, c, stage+"-orders-pubsub")
		newBucket(t, c, "orders-reports-"+stage+"-"+account)
	}
	d.deploy()
	for _, consumer := range []string{"testing", "staging", "production"} {
		account := m.Accounts[m.Consumers["analytics"].Accounts[consumer]].ID
		function := newFunction(t, box, account, consumer+"-Kinesis-Consumer-Role")
		stage := map[string]string{"testing": "alpha", "staging": "beta", "production": "prod"}[consumer]
		stream := "arn:aws:kinesis:eu-central-1:" + m.Accounts[m.Apps["orders"].Accounts[stage]].ID + ":stream/" + stage + "-orders-pubsub"
		function.reads(stream, "order of "+stage)
		other := map[string]string{"alpha": "prod", "beta": "alpha", "prod": "beta"}[stage]
		function.refused("arn:aws:kinesis:eu-central-1:" + m.Accounts[m.Apps["orders"].Accounts[other]].ID + ":stream/" + other + "-orders-pubsub")
		function.remove()
	}
	d.remove()
	for _, s := range d.plan.Stacks() {
		out, err := d.client(s).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
		if err != nil || len(out.Stacks) != 0 {
			t.Errorf("%d stacks are left in %s: %v", len(out.Stacks), s.Account, err)
		}
	}
}
