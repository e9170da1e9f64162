package grant_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/grant"
)

// Whatever combination of kinds, accesses, ways and stages a manifest has, it is
// refused with places, or the compiled policies give exactly what it says.
func TestCompiledManifestsGiveWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := anyManifest(t)
		m, err := grant.Parse(data)
		var p *grant.Plan
		if err == nil {
			p, err = grant.Compile(m, grant.Options{})
		}
		if err != nil {
			var e *grant.Error
			if !errors.As(err, &e) {
				t.Fatalf("error without places: %v\n%s", err, data)
			}
			return
		}
		report, err := p.Check()
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if !report.OK() {
			for _, f := range report.Failures {
				t.Logf("%s in %s, %s (%s): %s %s by %s should be %s\n%s", f.Grant, f.Stage, f.Case, f.Side, f.Action, f.Resource, f.Principal, f.Want, f.Explanation)
			}
			for _, f := range report.Findings {
				t.Logf("%s: %s", f.Document, f.Finding)
			}
			t.Fatalf("the plan does not give what the manifest says:\n%s", data)
		}
		if _, err := p.Files(); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}

// The corpus of anyManifest: how resources of each kind are declared.
var declarations = map[string]string{
	"s3-bucket": `name: "{app}-NAME-{stage}"`, "sqs-queue": `name: "NAME-{stage}"`, "sns-topic": `name: "NAME-{stage}"`,
	"kms-key": `create: {Description: NAME}`, "secret": `name: "{stage}/NAME", encryption: key`, "kinesis-stream": `name: "NAME-{stage}"`,
	"dynamodb-table": `name: "NAME-{stage}"`, "lambda-function": `name: "NAME-{stage}"`, "event-bus": `name: "NAME-{stage}"`,
	"ecr-repository": `name: "{stage}/NAME"`, "role": `name: "NAME-{stage}", permissions: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::NAME-{stage}/*"]}]`,
	"rest-api": `id: {alpha: NAMEaaaaaa, beta: NAMEbbbbbb, prod: NAMEcccccc}`, "http-api": `id: {alpha: NAMEdddddd, beta: NAMEeeeeee, prod: NAMEffffff}`,
	"codeartifact-repository": `domain: shop, name: "NAME-{stage}"`, "state-machine": `name: "NAME-{stage}"`,
}

// narrowings are what grants on a kind may be narrowed by.
var narrowings = map[string][]string{
	"sqs-queue": {"vpc_endpoints: [vpce-0a1b2c3d]"}, "kinesis-stream": {"vpc_endpoints: [vpce-0a1b2c3d]"},
	"s3-bucket": {"vpc_endpoints: [vpce-0a1b2c3d]", "prefixes: [daily/]", "prefixes: [weekly/]", "object_tags: {class: public}"}, "dynamodb-table": {"indexes: [by-date]", "keys: [acme]", "keys: [other]", "attributes: [id, total]"},
	"secret": {"versions: [AWSCURRENT]"}, "lambda-function": {"qualifier: live"}, "event-bus": {"sources: [shop]", "detail_types: [Ordered]"},
	"sns-topic": {"protocols: [sqs]"}, "rest-api": {"paths: [orders]", "paths: [prices]", "methods: [GET]", "vpc_endpoints: [vpce-0a1b2c3d]"}, "http-api": {"paths: [orders/*]"},
}

func anyManifest(t *rapid.T) []byte {
	var b strings.Builder
	b.WriteString(`version: 1
accounts:
  a: {id: "111111111111", regions: [eu-central-1]}
  b: {id: "222222222222", regions: [eu-central-1]}
  c: {id: "333333333333", regions: [eu-central-1]}
  d: {id: "444444444444", regions: [eu-central-1]}
  e: {id: "555555555555", regions: [eu-central-1]}
apps:
  shop: {accounts: {alpha: a, beta: a, prod: b}}
consumers:
  bi: {accounts: {testing: c, staging: c, production: d}, role: {name: "{consumer_stage}-bi"}}
  ops: {accounts: {testing: c, staging: c, production: d}, organization: o-a1b2c3d4e5, role: {name: "ops-{consumer_stage}", path: /ops/, create: lambda.amazonaws.com}}
  vendor: {accounts: {production: e}, third_party: true, external_id: shop-0123456789abcdef, role: {name: broker}}
resources:
  key: {kind: kms-key, create: {Description: data}}
`)
	kinds := grant.Kinds()
	n := rapid.IntRange(1, 4).Draw(t, "resources")
	var chosen []string
	for i := range n {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		chosen = append(chosen, kind)
		more := ""
		if d, _ := grant.Describe(kind); d.Encryption != "" && kind != "secret" && rapid.Bool().Draw(t, "encrypted") {
			more = ", encryption: key"
		}
		fmt.Fprintf(&b, "  r%d: {kind: %s, %s%s}\n", i, kind, strings.ReplaceAll(declarations[kind], "NAME", fmt.Sprintf("res%d", i)), more)
	}
	b.WriteString("grants:\n")
	for g := range rapid.IntRange(1, 6).Draw(t, "grants") {
		r := rapid.IntRange(0, n-1).Draw(t, "resource")
		d, _ := grant.Describe(chosen[r])
		access := rapid.SampledFrom(d.Access).Draw(t, "access").Word
		fmt.Fprintf(&b, "  - {name: g%d, consumer: %s, resource: r%d, access: %s", g, rapid.SampledFrom([]string{"bi", "bi", "ops", "vendor"}).Draw(t, "consumer"), r, access)
		option := func(name, key string, values ...string) {
			if v := rapid.SampledFrom(values).Draw(t, name); v != "" {
				fmt.Fprintf(&b, ", %s: %s", key, v)
			}
		}
		option("via", "via", "", "", "policy", "role")
		option("trust", "trust", "", "", "named", "matched", "account", "organization")
		option("stages", "stages", "", "[prod]", "[alpha, beta]")
		if list := narrowings[chosen[r]]; len(list) > 0 && rapid.Bool().Draw(t, "narrowed") {
			fmt.Fprintf(&b, ", only: {%s}", rapid.SampledFrom(list).Draw(t, "narrowing"))
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

// Reading never fails without saying where, and never panics.
func FuzzParse(f *testing.F) {
	f.Add(grant.Starter())
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("version: 1\naccounts: {? [x] : y}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := grant.Parse(data)
		var e *grant.Error
		if err != nil && (!errors.As(err, &e) || len(e.Problems) == 0) {
			t.Fatalf("error %v without places", err)
		}
		if err == nil {
			if _, err := grant.Compile(m, grant.Options{}); err != nil && !errors.As(err, &e) {
				t.Fatalf("error %v without places", err)
			}
		}
	})
}
