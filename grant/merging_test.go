package grant_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// sharing is a manifest in which two consumers use what one app owns.
const sharing = `version: 1
accounts:
  shop: {id: "111111111111", regions: [eu-central-1]}
  bi: {id: "222222222222", regions: [eu-central-1]}
  ops: {id: "333333333333", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop}}}
consumers:
  bi: {accounts: {production: bi}, organization: o-a1b2c3d4e5, role: {name: bi}}
  ops: {accounts: {production: ops}, role: {name: ops, create: lambda.amazonaws.com, boundary: "arn:aws:iam::333333333333:policy/limit"}}
`

// Statements of different grants become one only if nobody gets more by it.
func TestMergingKeepsGrantsApart(t *testing.T) {
	tests := []struct{ name, manifest, action, who, may, mayNot string }{
		{"prefixes", `
resources: {bucket: {kind: s3-bucket, name: shop-reports}}
grants:
  - {name: g, consumer: bi, resource: bucket, access: delete, only: {prefixes: [a/]}}
  - {name: h, consumer: ops, resource: bucket, access: delete, only: {prefixes: [b/]}}
`, "s3:DeleteObject", "arn:aws:iam::222222222222:role/bi", "arn:aws:s3:::shop-reports/a/x", "arn:aws:s3:::shop-reports/b/x"},
		{"objects and a whole bucket", `
resources: {bucket: {kind: s3-bucket, name: shop-reports}}
grants:
  - {name: g, consumer: ops, resource: bucket, access: read}
  - {name: h, consumer: bi, resource: bucket, access: read, only: {prefixes: [a/]}}
`, "s3:GetObject", "arn:aws:iam::222222222222:role/bi", "arn:aws:s3:::shop-reports/a/x", "arn:aws:s3:::shop-reports/b/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := compile(t, []byte(sharing+test.manifest), grant.CloudFormation)
			checked(t, plan)
			for _, d := range plan.Documents() {
				if d.Kind != iam.KindResource {
					continue
				}
				for _, s := range d.Policy.Statements {
					if !slices.Contains(s.Principal.AWS, test.who) || !slices.Contains(s.Action, test.action) {
						continue
					}
					if !slices.ContainsFunc(s.Resource, func(p string) bool { return iam.MatchWildcard(p, test.may) }) {
						t.Errorf("the statement %s does not match %s", s.Sid, test.may)
					}
					if slices.ContainsFunc(s.Resource, func(p string) bool { return iam.MatchWildcard(p, test.mayNot) }) {
						t.Errorf("the statement %s gives %s to %s", s.Sid, test.mayNot, test.who)
					}
				}
			}
		})
	}
}

// Everything that is kept stays, in its order.
func TestKeptStatementsStay(t *testing.T) {
	plan := compile(t, []byte(sharing+`
resources:
  bucket:
    kind: s3-bucket
    name: shop-reports
    keep:
      - {Sid: Logs, Effect: Allow, Principal: {Service: logging.s3.amazonaws.com}, Action: "s3:PutObject", Resource: "arn:aws:s3:::shop-reports/*", Condition: {StringEquals: {"aws:SourceAccount": "{account}"}}}
      - {Sid: Encrypted, Effect: Deny, Principal: "*", Action: "s3:*", Resource: ["arn:aws:s3:::shop-reports", "arn:aws:s3:::shop-reports/*"], Condition: {Bool: {"aws:SecureTransport": "false"}}}
grants:
  - {name: g, consumer: bi, resource: bucket, access: read}
`), grant.CloudFormation)
	checked(t, plan)
	var sids []string
	for _, d := range plan.Documents() {
		if d.Kind == iam.KindResource {
			for _, s := range d.Policy.Statements {
				sids = append(sids, s.Sid)
			}
		}
	}
	if got := strings.Join(sids, " "); !strings.HasPrefix(got, "Logs Encrypted ") {
		t.Errorf("the policy has the statements %s", got)
	}
}

// templates returns the resources of all templates of a plan, by their types.
func templates(t *testing.T, p *grant.Plan) map[string][]string {
	t.Helper()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, f := range files {
		if !strings.HasSuffix(f.Path, "template.json") {
			continue
		}
		var doc struct {
			Resources map[string]struct {
				Type       string
				Properties json.RawMessage
			}
		}
		if err := json.Unmarshal(f.Data, &doc); err != nil {
			t.Fatal(err)
		}
		for _, r := range doc.Resources {
			compact, err := json.Marshal(r.Properties)
			if err != nil {
				t.Fatal(err)
			}
			found[r.Type] = append(found[r.Type], string(compact))
		}
	}
	return found
}

func TestTemplatesHaveWhatTheManifestSays(t *testing.T) {
	pods := `
clusters: {main: {account: bi}}
resources:
  one: {kind: role, name: one, permissions: [{actions: [s3:ListAllMyBuckets], resources: ["*"]}]}
  two: {kind: role, name: two, permissions: [{actions: [s3:ListAllMyBuckets], resources: ["*"]}]}
  queue: {kind: sqs-queue, name: shop}
grants:
`
	pod := `role: {name: pods, service_account: {namespace: bi, name: reader, via: pod-identity, clusters: {production: [main]}}}}
`
	encrypted := func(kind, create string) string {
		return `
resources:
  key: {kind: kms-key, create: {}}
  data: {kind: ` + kind + `, name: shop-data, encryption: key, create: ` + create + `}
grants: [{name: g, consumer: ops, resource: data, access: read}]
`
	}
	tests := []struct{ name, manifest, kind, has, hasNot string }{
		{"boundary of a consumer's role", `
resources: {queue: {kind: sqs-queue, name: shop}}
grants: [{name: g, consumer: ops, resource: queue, access: send}]
`, "AWS::IAM::Role", `"PermissionsBoundary":"arn:aws:iam::333333333333:policy/limit"`, ""},
		{"an organization assumes a role", `
resources: {bucket: {kind: s3-bucket, name: shop-reports}}
grants: [{name: g, consumer: bi, resource: bucket, access: read, trust: organization, via: role}]
`, "AWS::IAM::Role", `"Principal":{"AWS":"*"}`, `"Principal":"*"`},
		{"pods with one role", pods + "  - {name: g, consumer: bi, resource: one, access: assume, " + pod, "AWS::EKS::PodIdentityAssociation", `"TargetRoleArn":"arn:aws:iam::111111111111:role/one"`, ""},
		{"pods with two roles", pods + "  - {name: g, consumer: bi, resource: one, access: assume, " + pod + "  - {name: h, consumer: bi, resource: two, access: assume, " + pod, "AWS::EKS::PodIdentityAssociation", `"RoleArn"`, "TargetRoleArn"},
		{"pods with a role and a queue", pods + "  - {name: g, consumer: bi, resource: one, access: assume, " + pod + "  - {name: h, consumer: bi, resource: queue, access: send, " + pod, "AWS::EKS::PodIdentityAssociation", `"RoleArn"`, "TargetRoleArn"},
		{"an encrypted stream", encrypted("kinesis-stream", "{ShardCount: 1}"), "AWS::Kinesis::Stream", `"EncryptionType":"KMS"`, ""},
		{"an encrypted table", encrypted("dynamodb-table", "{KeySchema: [{AttributeName: id, KeyType: HASH}], AttributeDefinitions: [{AttributeName: id, AttributeType: S}], BillingMode: PAY_PER_REQUEST}"),
			"AWS::DynamoDB::Table", `"SSEEnabled":true`, ""},
		{"an encrypted bucket", encrypted("s3-bucket", "{}"), "AWS::S3::Bucket", `"SSEAlgorithm":"aws:kms"`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := compile(t, []byte(sharing+test.manifest), grant.CloudFormation)
			checked(t, plan)
			text := strings.Join(templates(t, plan)[test.kind], "\n")
			if !strings.Contains(text, test.has) || test.hasNot != "" && strings.Contains(text, test.hasNot) {
				t.Errorf("want %s and not %q in\n%s", test.has, test.hasNot, text)
			}
		})
	}
}

// What a manifest waives is no finding of the linter.
func TestWaiverOfStages(t *testing.T) {
	plan := compile(t, []byte(strings.Replace(sharing, "bi: {accounts: {production: bi}", "bi: {accounts: {testing: bi}, stages: {prod: testing}", 1)+`
resources: {queue: {kind: sqs-queue, name: shop}}
grants: [{name: g, consumer: bi, resource: queue, access: send, waive: [{rule: GX-B06, reason: "Load tests."}]}]
`), grant.CloudFormation)
	checked(t, plan)
}

// The check finds statements that leave the value of a condition open.
func TestCheckTriesOtherValues(t *testing.T) {
	manifest := []byte(sharing + `
resources:
  bucket:
    kind: s3-bucket
    name: shop-reports
    keep: [{Sid: Own, Effect: Allow, Principal: {AWS: "222222222222"}, Action: "s3:ListBucket", Resource: "arn:aws:s3:::shop-reports", Condition: {StringLike: {"s3:prefix": "*"}}}]
grants: [{name: g, consumer: bi, resource: bucket, access: read, only: {prefixes: [a/]}}]
`)
	report, err := compile(t, manifest, grant.CloudFormation).Check()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Failures, func(f grant.Failure) bool { return f.Case == "another s3:prefix" && f.Side == "resource" }) {
		t.Errorf("the kept statement was not found: %+v", report.Failures)
	}
}

// What narrows a grant is in both documents, for every action.
func TestNarrowingIsOnBothSides(t *testing.T) {
	plan := compile(t, []byte(sharing+`
resources: {table: {kind: dynamodb-table, name: orders}}
grants:
  - {name: g, consumer: bi, resource: table, access: read, only: {keys: [acme], attributes: [id, total]}}
  - {name: h, consumer: ops, resource: table, access: write, only: {keys: [acme], attributes: [id, total]}}
`), grant.CloudFormation)
	checked(t, plan)
	sides := 0
	for _, d := range plan.Documents() {
		for _, s := range d.Policy.Statements {
			if slices.Equal(s.Action, []string{"dynamodb:DescribeTable"}) || !strings.HasPrefix(s.Action[0], "dynamodb:") {
				continue
			}
			sides++
			var got []string
			for _, c := range s.Conditions {
				got = append(got, c.Operator+" "+c.Key+" "+strings.Join(c.Values, ","))
			}
			want := []string{
				"ForAllValues:StringEquals dynamodb:LeadingKeys acme", "Null dynamodb:LeadingKeys false",
				"ForAllValues:StringEquals dynamodb:Attributes id,total", "Null dynamodb:Attributes false",
				"StringEqualsIfExists dynamodb:Select SPECIFIC_ATTRIBUTES",
			}
			if slices.Contains(s.Action, "dynamodb:PutItem") {
				want[4] = "StringEqualsIfExists dynamodb:ReturnValues NONE,UPDATED_NEW,UPDATED_OLD"
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s has the conditions\n%s", d.Title, s.Action, strings.Join(got, "\n"))
			}
		}
	}
	if sides < 6 {
		t.Errorf("%d statements on both sides", sides)
	}
}

// An endpoint lets through what its own consumer's grants need.
func TestEndpointsAreForTheirConsumers(t *testing.T) {
	plan := compile(t, []byte(sharing+`
endpoints:
  objects: {consumer: bi, service: s3, id: vpce-0a1b2c3d4e5f60718}
  tokens: {consumer: bi, service: sts, id: vpce-0a1b2c3d4e5f60719}
resources: {mine: {kind: s3-bucket, name: shop-mine}, open: {kind: s3-bucket, name: shop-open}, theirs: {kind: s3-bucket, name: shop-theirs}}
grants:
  - {name: g, consumer: bi, resource: mine, access: read}
  - {name: i, consumer: bi, resource: open, access: read, trust: account}
  - {name: h, consumer: ops, resource: theirs, access: read}
`), grant.CloudFormation)
	checked(t, plan)
	found, accounts := false, false
	for _, d := range plan.Documents() {
		if d.Kind != iam.KindEndpoint {
			continue
		}
		found = true
		for _, s := range d.Policy.Statements {
			if strings.Contains(strings.Join(s.Resource, " "), "shop-theirs") {
				t.Errorf("the endpoint of bi is open for %v", s.Resource)
			}
			if len(s.Conditions) != 1 || s.Conditions[0].Key != "aws:PrincipalArn" && s.Conditions[0].Key != "aws:PrincipalAccount" {
				t.Errorf("the statement %s of the endpoint is for everybody: %+v", s.Sid, s.Conditions)
			}
			accounts = accounts || s.Conditions[0].Key == "aws:PrincipalAccount"
		}
	}
	if !found || !accounts {
		t.Errorf("endpoints have policies: %v; one is open to an account: %v", found, accounts)
	}
}
