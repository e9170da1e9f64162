package grant_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

// large returns a manifest with n grants in one stage each, over 50 accounts: 25
// apps and 25 consumers.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\naccounts:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  a%d: {id: \"%012d\", regions: [eu-central-1]}\n", i, 100000000000+i)
	}
	b.WriteString("apps:\n")
	for i := range 25 {
		fmt.Fprintf(&b, "  app%d: {accounts: {prod: a%d}}\n", i, i)
	}
	b.WriteString("consumers:\n")
	for i := range 25 {
		fmt.Fprintf(&b, "  c%d: {accounts: {production: a%d}}\n", i, 25+i)
	}
	b.WriteString("resources:\n")
	kinds := []struct{ kind, access string }{{"kinesis-stream", "read"}, {"s3-bucket", "read"}, {"sqs-queue", "send"}, {"sns-topic", "publish"}, {"dynamodb-table", "read"}}
	for i := range n / 2 {
		fmt.Fprintf(&b, "  r%d: {kind: %s, app: app%d, name: \"r%d-{stage}\"}\n", i, kinds[i%5].kind, i%25, i)
	}
	b.WriteString("grants:\n")
	for i := range n {
		r := i % (n / 2)
		fmt.Fprintf(&b, "  - {name: g%d, consumer: c%d, resource: r%d, access: %s, role: {name: worker-%d}}\n", i, (i*7)%25, r, kinds[r%5].access, i/50)
	}
	return []byte(b.String())
}

// Reading, compiling and writing, and checking, by the number of grants.
func BenchmarkGrants(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		data := large(n)
		b.Run(fmt.Sprintf("compile/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan(b, data, true)
			}
		})
		p := plan(b, data, false)
		b.Run(fmt.Sprintf("check/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := p.Check()
				if err != nil || len(r.Failures) > 0 {
					b.Fatal(err, r.Failures)
				}
			}
		})
	}
}

func plan(b *testing.B, data []byte, write bool) *grant.Plan {
	b.Helper()
	m, err := grant.Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if write {
		if _, err := p.Files(); err != nil {
			b.Fatal(err)
		}
	}
	return p
}
