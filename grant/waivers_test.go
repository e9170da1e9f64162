package grant_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
)

// A waiver accepts findings in its own stages only, here of a resource's policy.
func TestWaiversAreForTheirStagesAndGrants(t *testing.T) {
	const manifest = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [eu-central-1]}
  shop-prod: {id: "222222222222", regions: [eu-central-1]}
  bi-testing: {id: "333333333333", regions: [eu-central-1]}
  bi-prod: {id: "444444444444", regions: [eu-central-1]}
apps: {shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}}
consumers: {bi: {accounts: {testing: bi-testing, production: bi-prod}, role: {name: "{consumer_stage}-bi"}}}
resources:
  jobs:
    kind: sqs-queue
    name: "{stage}-jobs"
    keep:
      - {Sid: Old, Effect: Allow, Principal: {AWS: "555555555555"}, Action: "sqs:SendMessage", Resource: "arn:aws:sqs:eu-central-1:{account}:{stage}-jobs"}
grants:
  - {name: a, consumer: bi, resource: jobs, access: send WAIVED}
  - {name: b, consumer: bi, resource: jobs, access: consume}
`
	for waived, want := range map[string]string{
		"": "alpha GX-P02, prod GX-P02",
		`, waive: [{rule: GX-P02, reason: "a system that ends this year", stages: [alpha]}]`:       "prod GX-P02",
		`, waive: [{rule: GX-P02, reason: "a system that ends this year", stages: [alpha, prod]}]`: "",
		`, waive: [{rule: GX-P02, reason: "a system that ends this year"}]`:                        "",
		`, waive: [{rule: GX-P01, reason: "something else"}]`:                                      "alpha GX-P02, prod GX-P02",
		`, stages: [prod], waive: [{rule: GX-P02, reason: "a system that ends this year"}]`:        "alpha GX-P02",
	} {
		report, err := compile(t, []byte(strings.Replace(manifest, " WAIVED", waived, 1)), grant.CloudFormation).Check()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range report.Findings {
			got = append(got, f.Document[strings.LastIndexByte(f.Document, ' ')+1:]+" "+f.Finding.ID)
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: findings (-want +got)\n%s", waived, diff)
		}
	}
}

// What one grant accepts is not accepted for a statement that another grant has
// too.
func TestWaiversOfOneGrantDoNotCoverAnothers(t *testing.T) {
	const manifest = `
version: 1
accounts:
  shop-prod: {id: "222222222222", regions: [eu-central-1]}
  theirs: {id: "444444444444", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop-prod}}}
consumers:
  weak: {accounts: {production: theirs}, external_id: "abc", role: {name: weak}}
  weaker: {accounts: {production: theirs}, external_id: "ab", role: {name: weaker}}
  shared: {accounts: {production: theirs}, external_id: "abcd", role: {name: shared}}
resources:
  duty: {kind: role, name: "{stage}-duty", permissions: [{actions: [s3:ListAllMyBuckets], resources: ["*"]}]}
grants:
  - {name: a, consumer: weak, resource: duty, access: assume, waive: [{rule: GX-T02, reason: "they give no other"}]}
  - {name: b, consumer: weaker, resource: duty, access: assume}
  - {name: c, consumer: shared, resource: duty, access: assume, waive: [{rule: GX-T02, reason: "they give no other"}]}
  - {name: d, consumer: shared, resource: duty, access: assume}
`
	report, err := compile(t, []byte(manifest), grant.CloudFormation).Check()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Findings {
		got = append(got, f.Finding.ID+" "+f.Finding.Path)
	}
	if diff := cmp.Diff([]string{"GX-T02 Statement[1].Condition.StringEquals.sts:ExternalId[0]", "GX-T02 Statement[2].Condition.StringEquals.sts:ExternalId[0]"}, got); diff != "" {
		t.Errorf("findings (-want +got)\n%s", diff)
	}
}

// The permissions of a consumer's role are one document for all of its grants: a
// waiver of one of them covers it, and one of a grant of another role does not.
func TestWaiversCoverTheRoleOfAConsumer(t *testing.T) {
	const manifest = `
version: 1
accounts:
  shop-prod: {id: "222222222222", regions: [eu-central-1]}
  bi-prod: {id: "444444444444", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop-prod}}}
consumers:
  bi: {accounts: {production: bi-prod}, role: {name: reader, create: lambda.amazonaws.com, permissions: [{actions: ["sts:AssumeRole"], resources: ["*"]}]}}
resources:
  jobs: {kind: sqs-queue, name: "{stage}-jobs"}
grants:
  - {name: a, consumer: bi, resource: jobs, access: send}
  - {name: b, consumer: bi, resource: jobs, access: consume}
  - {name: c, consumer: bi, resource: jobs, access: send, role: {name: other}}
`
	const waiver = `waive: [{rule: GX-T09, reason: "the role is for an operator"}], `
	for grantWaiving, want := range map[string]string{"none": "GX-T09", "a": "", "b": "", "c": "GX-T09"} {
		report, err := compile(t, []byte(strings.Replace(manifest, "{name: "+grantWaiving+", consumer", "{name: "+grantWaiving+", "+waiver+"consumer", 1)), grant.CloudFormation).Check()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range report.Findings {
			got = append(got, f.Finding.ID)
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("waiver of %s: findings (-want +got)\n%s", grantWaiving, diff)
		}
	}
}
