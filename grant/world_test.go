package grant_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/world"
)

// worldOf returns a world with the accounts of a plan in one organization, all
// of them known completely, and with the roles and resources that it wants to
// exist.
func worldOf(t *testing.T, p *grant.Plan) *world.Snapshot {
	t.Helper()
	s := &world.Snapshot{Format: world.Format, Organizations: []world.Organization{{ID: "o-a1b2c3d4e5", ManagementAccount: "999999999999", Root: world.Node{ID: "r-ab12"}}}}
	seen := map[iam.AccountID]bool{}
	account := func(id iam.AccountID) {
		if id != "" && !seen[id] {
			seen[id] = true
			s.Accounts = append(s.Accounts, world.Account{ID: id, Complete: []string{world.CompletePrincipals, world.CompleteResources}})
			s.Organizations[0].Root.Accounts = append(s.Organizations[0].Root.Accounts, world.Member{ID: id})
		}
	}
	trust, err := world.ParseDocument([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	everything, err := world.ParseDocument([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s.Policies = []world.ManagedPolicy{{ARN: "arn:aws:iam::aws:policy/ReadOnlyAccess", Document: everything}} // a boundary
	roles := map[string]bool{}
	for _, g := range p.Grants {
		arn, err := iam.ParseARN(g.Principal)
		if err != nil {
			t.Fatal(err)
		}
		account(iam.AccountID(arn.Account))
		if strings.HasPrefix(arn.Resource, "role/") && !roles[g.Principal] {
			roles[g.Principal] = true
			s.Roles = append(s.Roles, world.Role{ARN: g.Principal, Trust: trust})
		}
	}
	for _, stack := range p.Stacks() {
		account(iam.AccountID(stack.AccountID))
	}
	return s
}

// In a world that limits nothing every grant works, whatever its kind.
func TestWorldWithoutLimits(t *testing.T) {
	for _, file := range kindFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			p := compile(t, read(t, file), grant.CloudFormation)
			before := worldOf(t, p)
			text, _ := json.Marshal(before)
			r, err := p.CheckWorld(before, nil)
			if err != nil {
				t.Fatal(err)
			}
			report, err := p.Check()
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Allowed == 0 || len(r.Undetermined) > 0 {
				t.Errorf("%d allowed, blocked: %s, undetermined: %s", r.Allowed, asJSON(r.Blocked), asJSON(r.Undetermined))
			}
			if through := strings.Contains(string(read(t, file)), "\nendpoints:"); r.Allowed != report.Allowed && !through { // Check also asks through endpoints
				t.Errorf("%d requests are asked in a world and %d without one", r.Allowed, report.Allowed)
			}
			if again, _ := json.Marshal(before); string(again) != string(text) {
				t.Error("the snapshot was changed")
			}
		})
	}
}

func asJSON(v any) string {
	data, _ := json.MarshalIndent(v, "", " ")
	return string(data)
}

const worldManifest = `
version: 1
accounts:
  shop-prod: {id: "111111111111", regions: [eu-central-1]}
  bi-prod: {id: "222222222222", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop-prod}}}
consumers: {bi: {accounts: {production: bi-prod}, role: {name: reader}}}
resources:
  reports: {kind: s3-bucket, name: shop-reports}
  orders: {kind: kinesis-stream, name: orders}
grants:
  - {name: reports, consumer: bi, resource: reports, access: read}
  - {name: orders, consumer: bi, resource: orders, access: read}
`

// givenWorld has the accounts of worldManifest in one organization.
const givenWorld = `{
 "format": 1,
 "organizations": [{"id": "o-a1b2c3d4e5", "management_account": "999999999999", "root": {"id": "r-ab12", "ROOT": null,
   "units": [{"id": "ou-ab12-workload", "name": "workloads", "UNIT": null,
     "accounts": [{"id": "111111111111", "SHOP": null}, {"id": "222222222222"}]}]}}],
 "CONTROLS": null,
 "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}, {"id": "222222222222", "complete": ["principals", "resources"]}],
 "POLICIES": null,
 "RESOURCES": null,
 "roles": [{"arn": "arn:aws:iam::222222222222:role/reader", "ROLE": null,
   "trust": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}}]
}`

// inWorld checks worldManifest in givenWorld with some of its places filled.
func inWorld(t *testing.T, manifest string, fill map[string]string) *grant.WorldReport {
	t.Helper()
	text := givenWorld
	for key, value := range fill {
		if !strings.Contains(text, `"`+key+`": null`) {
			t.Fatalf("the world has no place %s", key)
		}
		text = strings.Replace(text, `"`+key+`": null`, value, 1)
	}
	for _, key := range []string{"ROOT", "UNIT", "SHOP", "CONTROLS", "POLICIES", "RESOURCES", "ROLE"} {
		text = strings.ReplaceAll(text, `"`+key+`": null,`, "")
		text = strings.ReplaceAll(text, `, "`+key+`": null`, "")
	}
	s, err := world.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err, text)
	}
	r, err := compile(t, []byte(manifest), grant.CloudFormation).CheckWorld(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// summary tells what blocks which grants.
func summary(r *grant.WorldReport) []string {
	var out []string
	for _, b := range r.Blocked {
		for _, by := range b.By {
			line := b.Grant + " in " + b.Stage + ": " + strings.Join(b.Actions, " ") + " by " + by.Layer.String()
			if by.Attached != "" {
				line += " of " + by.Attached
			}
			line += ", " + strings.Join(by.Policies, " and ")
			if by.Statement >= 0 {
				line += ", statement " + string(rune('0'+by.Statement)) + " " + by.Sid
			}
			out = append(out, line)
		}
	}
	for _, u := range r.Undetermined {
		out = append(out, u.Grant+" in "+u.Stage+" hangs on "+strings.Join(u.Hangs, "; "))
	}
	for _, m := range r.Removed {
		out = append(out, "removes "+string(m.Effect)+" "+m.Sid+" of "+m.Resource)
	}
	return out
}

const kinesisReads = "kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetRecords kinesis:GetShardIterator kinesis:ListShards"

func TestWorldBlocks(t *testing.T) {
	for _, test := range []struct {
		name string
		fill map[string]string
		want []string
	}{
		{name: "nothing"},
		{
			"an SCP denies", map[string]string{
				"UNIT":     `"service_control": ["p-FullAWSAccess", "p-nostream"]`,
				"CONTROLS": `"control_policies": [{"id": "p-nostream", "name": "NoStreams", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "Streams", "Effect": "Deny", "Action": "kinesis:*", "Resource": "*"}]}}]`,
			},
			[]string{"orders in prod: " + kinesisReads + " by service control policy of the organizational unit workloads ou-ab12-workload, NoStreams (p-nostream), statement 1 Streams"},
		},
		{
			"an SCP does not allow", map[string]string{
				"ROOT":     `"service_control": ["p-allowed1"]`,
				"CONTROLS": `"control_policies": [{"id": "p-allowed1", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}}]`,
			},
			[]string{"orders in prod: " + kinesisReads + " by service control policy of the organization's root r-ab12, p-allowed1"},
		},
		{
			"an SCP lets the consumer use one region only", map[string]string{
				"ROOT":     `"service_control": ["p-FullAWSAccess", "p-region12"]`,
				"CONTROLS": `"control_policies": [{"id": "p-region12", "name": "Frankfurt", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "NotAction": "iam:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": "eu-central-1"}}}]}}]`,
			}, nil,
		},
		{
			"an RCP denies outside the organization, and nobody is outside", map[string]string{
				"SHOP":     `"resource_control": ["p-perimeter"]`,
				"CONTROLS": `"control_policies": [{"id": "p-perimeter", "type": "RESOURCE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}}]}}]`,
			}, nil,
		},
		{
			"an RCP denies on the bucket", map[string]string{
				"SHOP":     `"resource_control": ["p-perimeter"]`,
				"CONTROLS": `"control_policies": [{"id": "p-perimeter", "name": "Perimeter", "type": "RESOURCE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Sid": "Objects", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*", "Condition": {"StringNotEquals": {"aws:PrincipalAccount": "111111111111"}}}]}}]`,
			},
			[]string{"reports in prod: s3:GetObject by resource control policy of the account 111111111111, Perimeter (p-perimeter), statement 0 Objects"},
		},
		{
			"the boundary of the consumer's role", map[string]string{
				"ROLE":     `"boundary": "arn:aws:iam::222222222222:policy/cap"`,
				"POLICIES": `"policies": [{"arn": "arn:aws:iam::222222222222:policy/cap", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}}]`,
			},
			[]string{"orders in prod: " + kinesisReads + " by permissions boundary, arn:aws:iam::222222222222:policy/cap"},
		},
		{
			"a boundary that is not in the world", map[string]string{"ROLE": `"boundary": "arn:aws:iam::222222222222:policy/cap"`},
			[]string{
				"reports in prod hangs on arn:aws:iam::222222222222:policy/cap must allow it (not in this world); arn:aws:iam::222222222222:policy/cap must not deny it (not in this world)",
				"orders in prod hangs on arn:aws:iam::222222222222:policy/cap must allow it (not in this world); arn:aws:iam::222222222222:policy/cap must not deny it (not in this world)",
			},
		},
		{
			"another policy of the consumer's role denies", map[string]string{
				"ROLE": `"inline": [{"name": "careful", "document": {"Version": "2012-10-17", "Statement": [{"Sid": "NoLists", "Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*"}]}}]`,
			},
			[]string{"reports in prod: s3:ListBucket by identity policy, inline policy careful, statement 0 NoLists"},
		},
		{
			"the bucket's policy denies, and would be replaced", map[string]string{
				"RESOURCES": `"resources": [{"arn": "arn:aws:s3:::shop-reports", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": [` +
					`{"Sid": "Old", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::333333333333:root"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shop-reports/*"},` +
					`{"Sid": "Net", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shop-reports/*"},` +
					`{"Sid": "TLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::shop-reports/*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}}]`,
			},
			[]string{
				"reports in prod: s3:GetObject by resource policy, policy of arn:aws:s3:::shop-reports, statement 1 Net",
				"removes Allow Old of arn:aws:s3:::shop-reports", "removes Deny Net of arn:aws:s3:::shop-reports", "removes Deny TLS of arn:aws:s3:::shop-reports",
			},
		},
		{
			"an address decides", map[string]string{
				"ROOT":     `"service_control": ["p-FullAWSAccess", "p-network1"]`,
				"CONTROLS": `"control_policies": [{"id": "p-network1", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kinesis:*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}}]`,
			},
			[]string{`orders in prod hangs on unless NotIpAddress aws:SourceIp 203.0.113.0/24, by service control policy "p-network1" statement 0`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := inWorld(t, worldManifest, test.fill)
			if diff := cmp.Diff(test.want, summary(r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if r.OK() != !slices.ContainsFunc(test.want, func(s string) bool { return !strings.Contains(s, "hangs on") }) {
				t.Errorf("OK is %v", r.OK())
			}
		})
	}
}
