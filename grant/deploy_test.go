package grant_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
	"github.com/crossaccount/crossaccount/template/cfn"
)

const deployed = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  shop-prod: {id: "222222222222", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
  bi-prod: {id: "444444444444", regions: [us-east-1]}
  vendor: {id: "555555555555", regions: [us-east-1]}
apps:
  shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}
consumers:
  bi: {accounts: {testing: bi-testing, production: bi-prod}, role: {name: "{consumer_stage}-bi"}}
  vendor: {accounts: {production: vendor}, third_party: true, external_id: shop-3f1c5a7e9b2d, role: {name: broker}}
resources:
  reports: {kind: s3-bucket, name: "{app}-reports-{stage}", create: {}}
  reader: {kind: role, name: "{stage}-reader", permissions: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{app}-reports-{stage}/weekly/*"]}]}
grants:
  - {name: daily, consumer: bi, resource: reports, access: read, only: {prefixes: [daily/]}}
  - {name: reader, consumer: bi, resource: reader, access: assume}
  - {name: vendor, consumer: vendor, resource: reader, access: assume, stages: [prod]}
`

// A plan is deployed wave by wave into accounts that enforce IAM, used by real
// clients with the consumers' roles, refused to their neighbours, and removed in
// reverse, which ends the access.
func TestPlanDeploysWorksAndIsRemoved(t *testing.T) {
	p := compile(t, []byte(deployed), grant.CloudFormation)
	box := sandboxtest.New(t, "111111111111", "222222222222", "333333333333", "444444444444", "555555555555")
	d := &deployment{t: t, box: box, outputs: map[string]string{}}

	role := func(account, name string) aws.Config {
		trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}]}`, account)
		arn := box.Account(account).Role(name, trust, nil)
		user := box.Account(account).User(name+"-user", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
		return box.Assume(user, arn)
	}
	testing, production := role("333333333333", "testing-bi"), role("444444444444", "production-bi")
	stranger, broker := role("333333333333", "other"), role("555555555555", "broker")

	for _, w := range p.Waves {
		for _, s := range w.Stacks {
			d.create(s)
		}
	}
	for _, account := range []string{"111111111111", "222222222222"} {
		bucket := map[string]string{"111111111111": "shop-reports-alpha", "222222222222": "shop-reports-prod"}[account]
		for _, key := range []string{"daily/1", "weekly/1"} {
			if _, err := s3.NewFromConfig(box.Account(account).Config()).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: strings.NewReader("report")}); err != nil {
				t.Fatal(err)
			}
		}
	}

	d.reads(testing, "shop-reports-alpha", "daily/1", true)
	d.reads(production, "shop-reports-prod", "daily/1", true)
	d.reads(testing, "shop-reports-alpha", "weekly/1", false)
	d.reads(testing, "shop-reports-prod", "daily/1", false)
	d.reads(stranger, "shop-reports-alpha", "daily/1", false)
	d.lists(testing, "shop-reports-alpha", "daily/", true)
	d.lists(testing, "shop-reports-alpha", "weekly/", false)

	const alpha, prod, externalID = "arn:aws:iam::111111111111:role/alpha-reader", "arn:aws:iam::222222222222:role/prod-reader", "shop-3f1c5a7e9b2d"
	d.reads(d.assumes(testing, alpha, "", true), "shop-reports-alpha", "weekly/1", true)
	d.assumes(testing, prod, "", false)
	d.assumes(stranger, alpha, "", false)
	d.reads(d.assumes(broker, prod, externalID, true), "shop-reports-prod", "weekly/1", true)
	d.assumes(broker, prod, "", false)
	d.assumes(broker, prod, strings.ToUpper(externalID), false)

	// CloudFormation deletes empty buckets only.
	for account, bucket := range map[string]string{"111111111111": "shop-reports-alpha", "222222222222": "shop-reports-prod"} {
		for _, key := range []string{"daily/1", "weekly/1"} {
			if _, err := s3.NewFromConfig(box.Account(account).Config()).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String(key)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := len(p.Waves) - 1; i >= 0; i-- {
		for _, s := range p.Waves[i].Stacks {
			d.remove(s)
		}
	}
	d.assumes(testing, alpha, "", false)
}

// A deployment does what the commands of a plan do.
type deployment struct {
	t       *testing.T
	box     *sandboxtest.Sandbox
	outputs map[string]string // :: stack and output → value
}

func (d *deployment) client(s *grant.Stack) *cloudformation.Client {
	return cloudformation.NewFromConfig(d.box.Account(s.AccountID).Config())
}

func (d *deployment) create(s *grant.Stack) {
	d.t.Helper()
	body, err := cfn.Write(s.Template)
	if err != nil {
		d.t.Fatal(err)
	}
	in := &cloudformation.CreateStackInput{StackName: &s.Name, TemplateBody: aws.String(string(body)), Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for _, i := range s.Inputs {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(i.Parameter), ParameterValue: aws.String(d.outputs[i.FromStack+" "+i.FromOutput])})
	}
	if _, err := d.client(s).CreateStack(d.t.Context(), in); err != nil {
		d.t.Fatalf("stack %s: %v", s.Name, err)
	}
	waiter := cloudformation.NewStackCreateCompleteWaiter(d.client(s), func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	})
	out, err := waiter.WaitForOutput(d.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.Name}, time.Minute)
	if err != nil {
		d.t.Fatalf("stack %s: %v%s", s.Name, err, d.reasons(s))
	}
	for _, o := range out.Stacks[0].Outputs {
		d.outputs[s.Name+" "+*o.OutputKey] = *o.OutputValue
	}
}

// reasons tells what CloudFormation says about a failure.
func (d *deployment) reasons(s *grant.Stack) string {
	out, err := d.client(s).DescribeStackEvents(d.t.Context(), &cloudformation.DescribeStackEventsInput{StackName: &s.Name})
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range out.StackEvents {
		if e.ResourceStatusReason != nil {
			fmt.Fprintf(&b, "\n%s: %s", aws.ToString(e.LogicalResourceId), *e.ResourceStatusReason)
		}
	}
	return b.String()
}

func (d *deployment) remove(s *grant.Stack) {
	d.t.Helper()
	if _, err := d.client(s).DeleteStack(d.t.Context(), &cloudformation.DeleteStackInput{StackName: &s.Name}); err != nil {
		d.t.Fatalf("stack %s: %v", s.Name, err)
	}
	waiter := cloudformation.NewStackDeleteCompleteWaiter(d.client(s), func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	})
	if err := waiter.Wait(d.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.Name}, time.Minute); err != nil {
		d.t.Errorf("stack %s: %v", s.Name, err)
	}
}

// answered checks that a call was allowed, or refused for lack of permission.
func (d *deployment) answered(err error, allowed bool, format string, args ...any) {
	d.t.Helper()
	var e smithy.APIError
	if refused := errors.As(err, &e) && e.ErrorCode() == "AccessDenied"; allowed && err != nil || !allowed && !refused {
		d.t.Errorf("%s: %v; should be allowed: %v", fmt.Sprintf(format, args...), err, allowed)
	}
}

func (d *deployment) reads(caller aws.Config, bucket, key string, allowed bool) {
	d.t.Helper()
	out, err := s3.NewFromConfig(caller).GetObject(d.t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	d.answered(err, allowed, "reading %s/%s", bucket, key)
	if err == nil {
		if data, err := io.ReadAll(out.Body); err != nil || string(data) != "report" {
			d.t.Errorf("%s/%s: %q, %v", bucket, key, data, err)
		}
		_ = out.Body.Close()
	}
}

func (d *deployment) lists(caller aws.Config, bucket, prefix string, allowed bool) {
	d.t.Helper()
	_, err := s3.NewFromConfig(caller).ListObjectsV2(d.t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	d.answered(err, allowed, "listing %s of %s", prefix, bucket)
}

func (d *deployment) assumes(caller aws.Config, role, externalID string, allowed bool) aws.Config {
	d.t.Helper()
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("test")}
	if externalID != "" {
		in.ExternalId = &externalID
	}
	_, err := sts.NewFromConfig(caller).AssumeRole(d.t.Context(), in)
	d.answered(err, allowed, "assuming %s", role)
	if !allowed || err != nil {
		return aws.Config{}
	}
	return d.box.Assume(caller, role, func(i *sts.AssumeRoleInput) { i.ExternalId = in.ExternalId })
}

const fed = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
apps:
  shop: {accounts: {alpha: shop-alpha}}
consumers:
  bi: {accounts: {testing: bi-testing}, role: {name: "{consumer_stage}-bi", create: lambda.amazonaws.com}}
resources:
  key: {kind: kms-key, create: {Description: shared data}}
  jobs: {kind: sqs-queue, name: "{stage}-jobs", encryption: key, create: {}}
  news: {kind: sns-topic, name: "{stage}-news", encryption: key, create: {}}
  db: {kind: secret, name: "{stage}/db", encryption: key, create: {GenerateSecretString: {PasswordLength: 32}}}
  events: {kind: kinesis-stream, name: "{stage}-events", encryption: key, create: {ShardCount: 1, StreamEncryption: {EncryptionType: KMS}}}
grants:
  - {name: consume, consumer: bi, resource: jobs, access: consume}
  - {name: publish, consumer: bi, resource: news, access: publish}
  - {name: db, consumer: bi, resource: db, access: read}
  - {name: read, consumer: bi, resource: events, access: [read, subscribe]}
`

// Values that only AWS knows reach the stacks that need them: the key's ARN
// those of the encrypted resources, and the ARN of the stream consumer that of
// the consumer's permissions. Policies that name a role are accepted because the
// role is there.
func TestOutputsFeedParameters(t *testing.T) {
	p := compile(t, []byte(fed), grant.CloudFormation)
	box := sandboxtest.New(t, "111111111111", "333333333333")
	d := &deployment{t: t, box: box, outputs: map[string]string{}}
	inputs := 0
	for _, s := range p.Stacks() {
		d.create(s)
		for _, in := range s.Inputs {
			inputs++
			if value := d.outputs[in.FromStack+" "+in.FromOutput]; !strings.HasPrefix(value, "arn:aws:") {
				t.Errorf("%s of %s is %q, want an ARN", in.Parameter, s.Name, value)
			}
		}
	}
	if inputs < 3 {
		t.Errorf("only %d parameters were fed", inputs)
	}
	for i := len(p.Waves) - 1; i >= 0; i-- {
		for _, s := range p.Waves[i].Stacks {
			d.remove(s)
		}
	}
}
