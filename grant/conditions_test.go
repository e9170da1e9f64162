package grant_test

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// Conditions that narrow a grant are where they must be, also when the usual
// place is another.
func TestConditionsAreKept(t *testing.T) {
	const head = `
version: 1
accounts:
  shop: {id: "222222222222", regions: [eu-central-1]}
  bi: {id: "444444444444", regions: [eu-central-1]}
  vendor: {id: "555555555555", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop}}}
consumers:
  bi: {accounts: {production: bi}, role: {name: reader}}
  vendor: {accounts: {production: vendor}, third_party: true, external_id: vendor-9b1f7a52c06d, role: {name: broker}}
resources:
  web: {kind: http-api, id: f1b2c3d4e6}
  api: {kind: rest-api, id: a1b2c3d4e5}
  bucket: {kind: s3-bucket, name: shop-reports}
  db: {kind: secret, name: db, encryption: aws-managed}
grants:
`
	for _, test := range []struct {
		name, grants string
		kind         iam.Kind
		document     string   // a part of its title
		want         []string // each in some statement of the document
		never        string   // in none
	}{
		{"an account of a third party sends the external ID", "  - {name: g, consumer: vendor, resource: web, access: read, trust: account}\n",
			iam.KindTrust, "trust policy", []string{`"sts:ExternalId":"vendor-9b1f7a52c06d"`}, ""},
		{"a named role of a third party sends the external ID", "  - {name: g, consumer: vendor, resource: web, access: read, trust: named}\n",
			iam.KindTrust, "trust policy", []string{`"sts:ExternalId":"vendor-9b1f7a52c06d"`}, ""},
		{"a role is used through the endpoints", "  - {name: g, consumer: bi, resource: bucket, access: read, via: role, only: {vpc_endpoints: [vpce-0a1b2c3d]}}\n",
			iam.KindIdentity, "by-bi", []string{`"aws:SourceVpce":"vpce-0a1b2c3d"`}, ""},
		{"a whole account beside a matched role", "  - {name: g, consumer: vendor, resource: api, access: read, via: policy, trust: account, waive: [{rule: GX-P02, reason: agreed}]}\n  - {name: h, consumer: bi, resource: api, access: read}\n",
			iam.KindResource, "REST API", []string{`"Principal":{"AWS":"arn:aws:iam::555555555555:root"}`, `"Principal":{"AWS":"arn:aws:iam::444444444444:root"}`}, `root","arn`},
		{"a matched role beside a whole account", "  - {name: h, consumer: bi, resource: api, access: read}\n  - {name: g, consumer: vendor, resource: api, access: read, via: policy, trust: account, waive: [{rule: GX-P02, reason: agreed}]}\n",
			iam.KindResource, "REST API", []string{`"Principal":{"AWS":"arn:aws:iam::555555555555:root"}`, `"Principal":{"AWS":"arn:aws:iam::444444444444:root"}`}, `root","arn`},
		{"a matched role beside a named one", "  - {name: h, consumer: bi, resource: bucket, access: read, trust: matched}\n  - {name: g, consumer: vendor, resource: bucket, access: read, trust: named}\n",
			iam.KindResource, "bucket", []string{`"Principal":{"AWS":"arn:aws:iam::555555555555:role/broker"}`, `"Principal":{"AWS":"arn:aws:iam::444444444444:root"}`}, `","arn:aws:iam::5`},
		{"a role of the owner's reads what AWS manages the key of", "  - {name: g, consumer: bi, resource: db, access: read, assume_role: db-reader}\n",
			iam.KindIdentity, "db-reader", []string{"secretsmanager:GetSecretValue"}, "kms:"},
		{"only the methods of the access", "  - {name: g, consumer: bi, resource: api, access: [read, write], only: {methods: [get, PUT]}}\n",
			iam.KindResource, "REST API", []string{"/prod/GET/*", "/prod/PUT/*"}, "/prod/POST/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := compile(t, []byte(head+test.grants), grant.CloudFormation)
			checked(t, plan)
			found := false
			for _, d := range plan.Documents() {
				if d.Kind != test.kind || !strings.Contains(d.Title, test.document) {
					continue
				}
				found = true
				data, err := d.Policy.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range test.want {
					if !strings.Contains(string(data), want) {
						t.Errorf("the %s has no %s:\n%s", d.Title, want, data)
					}
				}
				if test.never != "" && strings.Contains(string(data), test.never) {
					t.Errorf("the %s has %s:\n%s", d.Title, test.never, data)
				}
			}
			if !found {
				t.Errorf("no document %q", test.document)
			}
		})
	}
}
