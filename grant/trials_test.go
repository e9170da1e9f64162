package grant_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
)

const tried = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [eu-west-1]}
apps:
  shop: {accounts: {alpha: shop-alpha}}
consumers:
  bi: {accounts: {testing: bi-testing}, role: {name: bi}}
resources:
  key: {kind: kms-key, create: {}}
  jobs: {kind: sqs-queue, name: jobs, encryption: key, create: {}}
  events: {kind: kinesis-stream, name: events, create: {ShardCount: 1}}
  orders:
    kind: rest-api
    name: orders
    create:
      Body:
        openapi: 3.0.1
        components: {securitySchemes: {s: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}}}
        paths: {"/orders/{id}": {get: {security: [{s: []}]}, post: {security: [{s: []}]}, parameters: []}}
grants:
  - {name: jobs, consumer: bi, resource: jobs, access: send}
  - {name: orders, consumer: bi, resource: orders, access: read, via: role}
  - {name: events, consumer: bi, resource: events, access: subscribe}
`

// Trials say who asks for what, in whose account, and where a value comes from
// that only AWS knows.
func TestTrials(t *testing.T) {
	p := compile(t, []byte(tried), grant.CloudFormation)
	trials := p.Trials()
	const role, assumed = "arn:aws:iam::333333333333:role/bi", "arn:aws:iam::111111111111:role/readonly-invoke-alpha-shop-by-bi-testing"

	jobs := trials[0]
	if jobs.Consumer.Region != "eu-west-1" || jobs.Owner != (grant.Place{Account: "shop-alpha", ID: "111111111111", Partition: "aws", Region: "us-east-1", Profile: "shop-alpha"}) {
		t.Errorf("%+v %+v", jobs.Consumer, jobs.Owner)
	}
	want := []grant.Declared{
		{Principal: role, Action: "sqs:SendMessage", Resource: "arn:aws:sqs:us-east-1:111111111111:jobs"},
		{Principal: role, Action: "sqs:GetQueueUrl", Resource: "arn:aws:sqs:us-east-1:111111111111:jobs"},
	}
	own := slices.DeleteFunc(slices.Clone(jobs.Declared), func(d grant.Declared) bool { return d.Companion })
	if diff := cmp.Diff(want, own); diff != "" || len(own) == len(jobs.Declared) {
		t.Errorf("(-want +got):\n%s", diff)
	}

	orders := trials[1]
	if d := orders.Declared[0]; d != (grant.Declared{Principal: role, Action: "sts:AssumeRole", Resource: assumed}) {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff([]grant.Route{{Method: "GET", Path: "/orders/1"}, {Method: "POST", Path: "/orders/1"}}, orders.Routes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := orders.Declared[1]; d.Principal != assumed || len(grant.Symbols(d.Resource)) != 1 {
		t.Errorf("%+v", d)
	}

	for trial, of := range map[int]string{1: "orders", 2: "events"} {
		last := trials[trial].Declared[len(trials[trial].Declared)-1]
		source, ok := p.Source(grant.Symbols(last.Resource)[0])
		if !ok || source.Of != of || source.Stage != "alpha" || source.Stack.AccountID != "111111111111" || source.LogicalID == "" {
			t.Errorf("%s: %+v", of, source)
		}
	}
	fed, _ := p.Source(grant.Symbols(trials[2].Declared[len(trials[2].Declared)-1].Resource)[0])
	if len(fed.Fed) != 1 || fed.Fed[0].Stack.AccountID != "333333333333" || !strings.Contains(fed.Fed[0].Parameter, "Events") {
		t.Errorf("the consumer's stack gets the stream consumer as %+v", fed.Fed)
	}
	if created, ok := p.Created("key", "alpha"); !ok || created.Stack == nil {
		t.Error("the key is created")
	}
	if _, ok := p.Created("key", "prod"); ok {
		t.Error("there is no key in prod")
	}
	if _, ok := p.Source("something else"); ok {
		t.Error("not every symbol is a value of a stack")
	}
}
