package grant_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

// What a service allows is accepted to the last one, and the next is refused.
func TestLimitsOfPoliciesAreExact(t *testing.T) {
	const head = `
version: 1
accounts:
  shop: {id: "222222222222", regions: [eu-central-1]}
  bi: {id: "444444444444", regions: [eu-central-1]}
apps: {shop: {accounts: {prod: shop}}}
consumers: {bi: {accounts: {production: bi}, role: {name: reader}}}
resources:
  jobs: {kind: sqs-queue, name: jobs}
  kept:
    kind: sqs-queue
    name: kept
    keep: [KEPT]
grants:
`
	principals := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "  - {name: g%d, consumer: bi, resource: jobs, access: send, role: {name: r%d}}\n", i, i)
		}
		return head + b.String()
	}
	endpoints := func(n int) string { // each statement has a condition of its own
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "  - {name: g%d, consumer: bi, resource: jobs, access: send, only: {vpc_endpoints: [vpce-0%d]}}\n", i, i)
		}
		return head + b.String()
	}
	statements := func(n int) string { // one is the grant's
		kept := make([]string, n-1)
		for i := range kept {
			kept[i] = fmt.Sprintf(`{Sid: K%d, Effect: Allow, Principal: {AWS: "arn:aws:iam::444444444444:role/k"}, Action: "sqs:SendMessage", Resource: "arn:aws:sqs:eu-central-1:222222222222:kept"}`, i)
		}
		return strings.Replace(head, "KEPT", strings.Join(kept, ", "), 1) + "  - {name: g, consumer: bi, resource: kept, access: send}\n"
	}
	actions := func(n int) string {
		all := []string{"SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "GetQueueUrl", "PurgeQueue", "ListDeadLetterSourceQueues"}
		kept := `{Effect: Allow, Principal: {AWS: "arn:aws:iam::444444444444:role/k"}, Action: ["sqs:` + strings.Join(all[:n], `", "sqs:`) + `"], Resource: "arn:aws:sqs:eu-central-1:222222222222:kept"}`
		return strings.Replace(head, "KEPT", kept, 1) + "  - {name: g, consumer: bi, resource: kept, access: send}\n"
	}
	for _, test := range []struct {
		what  string
		limit int
		of    func(int) string
	}{
		{"principals", 50, principals}, {"conditions", 10, endpoints}, {"statements", 20, statements}, {"actions in one statement", 7, actions},
	} {
		for n, refused := range map[int]bool{test.limit: false, test.limit + 1: true} {
			text := test.of(n)
			if !strings.Contains(text, "resource: kept") {
				text = strings.Replace(text, "    keep: [KEPT]\n", "", 1)
			}
			m, err := grant.Parse([]byte(text))
			if err != nil {
				t.Fatalf("%d %s: %v", n, test.what, err)
			}
			_, err = grant.Compile(m, grant.Options{})
			want := fmt.Sprintf("has %d %s; sqs allows %d", n, test.what, test.limit)
			if refused != (err != nil) || refused && (!strings.Contains(err.Error(), "GX-S07") || !strings.Contains(err.Error(), want)) {
				t.Errorf("%d %s: error %v, want one: %v, with %q", n, test.what, err, refused, want)
			}
		}
	}
}
