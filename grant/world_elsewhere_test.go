package grant_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam/world"
)

// Ids that are found elsewhere can be given to a check in a world. Without them
// what hangs on such a resource's policy is open, and nothing else.
func TestWorldWithIdsFromElsewhere(t *testing.T) {
	const manifest = `
version: 1
accounts:
  shop: {id: "111111111111", regions: [eu-central-1]}
  bi: {id: "222222222222", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop}}}
consumers: {bi: {accounts: {production: bi}, role: {name: reader, create: lambda.amazonaws.com}}}
resources:
  key: {kind: kms-key, id_from: {export: "shop-{stage}-key"}}
  api: {kind: rest-api, id_from: {stack: "shop-{stage}", output: ApiId}}
  web: {kind: http-api, id_from: {parameter: "/shop/{stage}/id"}}
  jobs: {kind: sqs-queue, name: "{stage}-jobs", encryption: key}
grants:
  - {name: api, consumer: bi, resource: api, access: read}
  - {name: web, consumer: bi, resource: web, access: read}
  - {name: jobs, consumer: bi, resource: jobs, access: send}
`
	const denial = `{"Version": "2012-10-17", "Statement": [{"Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]}`
	const key, other, api = "12345678-1234-1234-1234-123456789012", "22222222-1234-1234-1234-123456789012", "a1b2c3d4e5"
	text := `{"format": 1, "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}, {"id": "222222222222", "complete": ["principals", "resources"]}], "resources": [` +
		fmt.Sprintf(`{"arn": "arn:aws:kms:eu-central-1:111111111111:key/%s", "account": "111111111111", "policy": %s},`, key, denial) +
		fmt.Sprintf(`{"arn": "arn:aws:execute-api:eu-central-1:111111111111:%s", "account": "111111111111", "policy": %s}]}`, api, denial)
	plan := compile(t, []byte(manifest), grant.CloudFormation)
	for _, test := range []struct {
		world            string
		ids              map[string]string
		blocked, hanging []string
		removed          int
	}{
		{text, nil, nil, []string{"api", "jobs"}, 0},
		{text, map[string]string{"api": api}, []string{"api"}, []string{"jobs"}, 1},
		{text, map[string]string{"api.prod": api, "key.prod": "arn:aws:kms:eu-central-1:111111111111:key/" + key}, []string{"api", "jobs"}, nil, 2},
		{text, map[string]string{"api": "f1b2c3d4e5", "key": other, "web.prod": "b1b2c3d4e5"}, nil, nil, 0},
		{strings.ReplaceAll(text, `, "policy": `+denial, ""), nil, nil, nil, 0},
		{strings.ReplaceAll(text, "eu-central-1", "us-east-1"), nil, nil, nil, 0}, // policies of another region's
	} {
		s, err := world.Read(strings.NewReader(test.world))
		if err != nil {
			t.Fatal(err)
		}
		r, err := plan.CheckWorld(s, test.ids)
		if err != nil {
			t.Fatal(err)
		}
		var blocked, hanging []string
		for _, b := range r.Blocked {
			blocked = append(blocked, b.Grant)
		}
		for _, u := range r.Undetermined {
			hanging = append(hanging, u.Grant)
			for _, h := range u.Hangs {
				if !strings.Contains(h, "<id>") || !strings.Contains(h, "--value ") {
					t.Errorf("%v: %s hangs on %s, which does not say what to do", test.ids, u.Grant, h)
				}
			}
		}
		if diff := cmp.Diff([][]string{test.blocked, test.hanging}, [][]string{slices.Compact(blocked), slices.Compact(hanging)}); diff != "" {
			t.Errorf("%v: blocked and undetermined (-want +got)\n%s", test.ids, diff)
		}
		if len(r.Removed) != test.removed {
			t.Errorf("%v: %d statements removed, want %d", test.ids, len(r.Removed), test.removed)
		}
	}
	s, _ := world.Read(strings.NewReader(text))
	for _, name := range []string{"jobs", "api.alpha", "ap"} {
		if _, err := plan.CheckWorld(s, map[string]string{name: api}); err == nil || !strings.Contains(err.Error(), "api.prod, key.prod, web.prod") {
			t.Errorf("an id of %q: error %v, want one that names those with id_from", name, err)
		}
	}
	for value, want := range map[string]string{
		"arn:aws:kms:eu-central-1:222222222222:key/" + key: "key.prod: the ARN is in the account 222222222222, and the resource in 111111111111",
		"arn:aws:kms:us-east-1:111111111111:key/" + key:    "key.prod: the ARN is in the region us-east-1, and the resource in eu-central-1",
		"arn:aws:kms:" + key:                               `key.prod: ARN "arn:aws:kms:` + key + `": has 4 of 6 parts (arn:partition:service:region:account:resource)`,
	} {
		_, err := plan.CheckWorld(s, map[string]string{"key.prod": value})
		var wrong *grant.IDError
		if !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("the id %s: error %v, want %s", value, err, want)
		}
	}
}
