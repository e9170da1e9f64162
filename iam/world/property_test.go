package world_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// The random worlds are small and their names few, so that policies hit.

var (
	principals = []string{
		"arn:aws:iam::111111111111:role/a", "arn:aws:iam::111111111111:role/path/b", "arn:aws:iam::222222222222:role/a",
		"arn:aws:iam::111111111111:user/u", "arn:aws:iam::222222222222:user/u",
	}
	targets = []string{
		"arn:aws:s3:::one/x", "arn:aws:s3:::two/y", "arn:aws:sqs:eu-west-1:111111111111:q", "arn:aws:kms:eu-west-1:222222222222:key/k",
		"arn:aws:iam::111111111111:role/a", "arn:aws:iam::222222222222:role/a", "arn:aws:s3:::unlisted/x",
	}
	actionsAsked = []string{"s3:GetObject", "sqs:SendMessage", "kms:Decrypt", "sts:AssumeRole", "iam:PassRole"}
)

func statement(t *rapid.T, withPrincipal, trust bool) string {
	var b strings.Builder
	effect := rapid.SampledFrom([]string{"Allow", "Allow", "Allow", "Deny"}).Draw(t, "effect")
	fmt.Fprintf(&b, `{"Effect": %q`, effect)
	if withPrincipal {
		fmt.Fprintf(&b, `, "Principal": %s`, rapid.SampledFrom([]string{
			`"*"`, `{"AWS": "*"}`, `{"AWS": "111111111111"}`, `{"AWS": "arn:aws:iam::222222222222:root"}`, `{"AWS": "333333333333"}`,
			`{"AWS": "arn:aws:iam::111111111111:role/a"}`, `{"AWS": "arn:aws:iam::111111111111:role/path/b"}`,
			`{"AWS": "arn:aws:sts::222222222222:assumed-role/a/s"}`, `{"AWS": ["arn:aws:iam::222222222222:user/u", "AROAPATHBPATHBPATHBB"]}`,
			`{"Service": "ec2.amazonaws.com"}`, `{"AWS": "arn:aws:iam::333333333333:role/x"}`,
		}).Draw(t, "named"))
	}
	if trust {
		b.WriteString(`, "Action": "sts:AssumeRole"`)
	} else {
		fmt.Fprintf(&b, `, %s`, rapid.SampledFrom([]string{
			`"Action": "*"`, `"Action": "s3:Get*"`, `"Action": ["sqs:SendMessage", "kms:*"]`, `"NotAction": "s3:*"`, `"Action": "sts:AssumeRole"`,
			`"Action": "S3:GETOBJECT"`, `"Action": "*:*"`,
		}).Draw(t, "action"))
		fmt.Fprintf(&b, `, %s`, rapid.SampledFrom([]string{
			`"Resource": "*"`, `"Resource": "arn:aws:s3:::one/*"`, `"Resource": "arn:aws:*:*:*:*"`, `"Resource": "arn:aws:iam::*:role/a"`,
			`"NotResource": "arn:aws:s3:::one/*"`, `"Resource": ["arn:aws:sqs:eu-west-1:111111111111:q", "arn:aws:kms:eu-west-1:222222222222:key/k"]`,
			`"Resource": "arn:aws:s3:::${aws:PrincipalTag/team}/*"`, `"Resource": "arn:aws:s3:::tw?/y"`,
		}).Draw(t, "resource"))
	}
	if rapid.IntRange(0, 2).Draw(t, "conditional") == 0 {
		fmt.Fprintf(&b, `, "Condition": %s`, rapid.SampledFrom([]string{
			`{"StringEquals": {"aws:PrincipalTag/team": "one"}}`, `{"StringNotEquals": {"aws:PrincipalAccount": "111111111111"}}`,
			`{"StringEquals": {"aws:PrincipalOrgID": "o-worldone"}}`, `{"Bool": {"aws:SecureTransport": "false"}}`,
			`{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}`, `{"Null": {"aws:SourceArn": "true"}}`,
			`{"StringEquals": {"sts:ExternalId": "x"}}`, `{"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-worldone/*"}}`,
		}).Draw(t, "condition"))
	}
	return b.String() + "}"
}

func document(t *rapid.T, withPrincipal, trust bool) string {
	n := rapid.IntRange(1, 3).Draw(t, "statements")
	list := make([]string, n)
	for i := range list {
		list[i] = statement(t, withPrincipal, trust)
	}
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(list, ", ") + `]}`
}

// randomWorld returns the parts of a world: field names with elements.
func randomWorld(t *rapid.T) map[string][]string {
	parts := make(map[string][]string)
	add := func(field, format string, args ...any) {
		parts[field] = append(parts[field], fmt.Sprintf(format, args...))
	}
	add("accounts", `{"id": "111111111111"%s}`, rapid.SampledFrom([]string{"", `, "complete": ["principals", "resources"]`}).Draw(t, "complete"))
	add("accounts", `{"id": "222222222222", "complete": ["principals", "resources"]}`)
	if rapid.Bool().Draw(t, "organization") {
		scps := rapid.SampledFrom([]string{`["p-FullAWSAccess"]`, `["p-guard001"]`, `["p-FullAWSAccess", "p-missing1"]`}).Draw(t, "scps")
		add("organizations", `{"id": "o-worldone", "root": {"id": "r-root", "accounts": [{"id": "111111111111", "service_control": %s, "resource_control": ["p-rcp00001"]},
			{"id": "444444444444"}]}}`, scps)
		add("control_policies", `{"id": "p-guard001", "type": "SERVICE_CONTROL_POLICY", "document": %s}`, document(t, false, false))
		add("control_policies", `{"id": "p-rcp00001", "type": "RESOURCE_CONTROL_POLICY", "document": {"Version": "2012-10-17",
			"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-worldone"}}}}}`)
	}
	add("policies", `{"arn": "arn:aws:iam::111111111111:policy/p", "document": %s}`, document(t, false, false))
	add("policies", `{"arn": "arn:aws:iam::222222222222:policy/p", "document": %s}`, document(t, false, false))
	add("groups", `{"arn": "arn:aws:iam::111111111111:group/staff/g", "inline": [{"name": "g", "document": %s}]}`, document(t, false, false))
	for _, arn := range principals {
		account := strings.Split(arn, ":")[4]
		field, extra := "users", ""
		if strings.Contains(arn, ":role/") {
			field, extra = "roles", `, "trust": `+document(t, true, true)
			if strings.HasSuffix(arn, "/b") {
				extra += `, "id": "AROAPATHBPATHBPATHBB"`
			}
		} else if account == "111111111111" {
			extra = `, "groups": ["g"]`
		}
		extra += rapid.SampledFrom([]string{"", `, "tags": {"team": "one"}`, `, "tags": {"team": "two"}`}).Draw(t, "tags")
		extra += rapid.SampledFrom([]string{"", "", `, "boundary": "arn:aws:iam::` + account + `:policy/p"`}).Draw(t, "boundary")
		extra += rapid.SampledFrom([]string{"", `, "attached": ["arn:aws:iam::` + account + `:policy/p"]`, `, "attached": ["arn:aws:iam::aws:policy/Unknown"]`}).Draw(t, "attached")
		add(field, `{"arn": %q, "inline": [{"name": "i", "document": %s}]%s}`, arn, document(t, false, false), extra)
	}
	add("resources", `{"arn": "arn:aws:s3:::one", "account": "111111111111", "policy": %s}`, document(t, true, false))
	add("resources", `{"arn": "arn:aws:s3:::two", "account": "222222222222"}`)
	add("resources", `{"arn": "arn:aws:sqs:eu-west-1:111111111111:q", "policy": %s}`, document(t, true, false))
	add("resources", `{"arn": "arn:aws:kms:eu-west-1:222222222222:key/k", "policy": %s}`, document(t, true, false))
	return parts
}

func assemble(parts map[string][]string) string {
	fields := []string{`"format": 1`}
	for name, elements := range parts {
		fields = append(fields, fmt.Sprintf("%q: [%s]", name, strings.Join(elements, ",\n")))
	}
	slices.Sort(fields)
	return "{" + strings.Join(fields, ",\n") + "}"
}

func compileRapid(t *rapid.T, text string) *world.World {
	s, err := world.Read(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	w, err := world.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func drawQuestion(t *rapid.T) world.Question {
	q := world.Question{
		Action:   rapid.SampledFrom(actionsAsked).Draw(t, "action asked"),
		Resource: rapid.SampledFrom(targets).Draw(t, "target"),
		Closed:   rapid.Bool().Draw(t, "closed"),
	}
	if strings.Contains(q.Resource, "unlisted") {
		q.ResourceAccount = "111111111111"
	}
	return q
}

// everybody is whom the worlds and their policies may name.
func everybody() []string {
	return append(append([]string{}, principals...), "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root", world.Anonymous,
		"111111111111", "444444444444", "ec2.amazonaws.com", "*", "333333333333", "arn:aws:iam::333333333333:role/x", "arn:aws:sts::222222222222:assumed-role/a/s")
}

func findings(t *rapid.T, w *world.World, q world.Question) map[string]eval.Verdict {
	list, err := w.WhoCan(q, world.WhoCanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]eval.Verdict)
	for _, f := range list {
		out[f.Principal] = f.Verdict
		if a := f.Answer(); a != nil && a.Verdict() != f.Verdict {
			t.Fatalf("finding %s %s has an answer %s", f.Principal, f.Verdict, a.Verdict())
		}
	}
	return out
}

func TestWhoCanEqualsCan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := randomWorld(t)
		w := compileRapid(t, assemble(parts))
		q := drawQuestion(t)
		found := findings(t, w, q)
		owner := q.ResourceAccount
		if strings.Contains(q.Resource, "111111111111") || strings.Contains(q.Resource, "s3:::one") {
			owner = "111111111111"
		}
		missing := false
		for name := range found {
			missing = missing || strings.HasPrefix(name, "the ")
		}
		for _, p := range everybody() {
			if p == "111111111111" && (owner == "111111111111" || strings.Contains(parts["accounts"][0], "complete")) {
				continue // the owner's account and complete ones are listed by their principals
			}
			if p == "444444444444" && parts["organizations"] == nil {
				continue // not of this world
			}
			q.Principal = p
			a, err := w.Can(q)
			if err != nil {
				t.Fatal(err)
			}
			want := a.Verdict() == eval.Allowed || a.Verdict() == eval.Depends
			got, ok := found[p]
			if !ok && want && (missing || !mustBeFound(p)) {
				continue // the missing policy stands for it, or nobody names it
			}
			if ok != want || ok && got != a.Verdict() {
				t.Fatalf("%s on %s: who-can says %v %v, can says %v for %s\n%s\n%s", q.Action, q.Resource, ok, got, a.Verdict(), p, a.Explain(), assemble(parts))
			}
		}
	})
}

// mustBeFound reports whether who-can has to find p: principals and accounts of
// the world and strangers in general always. Services and external accounts are found if the
// resource's policy names them, and not if it only says *.
func mustBeFound(p string) bool {
	return slices.Contains(principals, p) || strings.HasSuffix(p, ":root") || p == world.Anonymous || p == "*" ||
		p == "111111111111" || p == "444444444444"
}

func TestOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := randomWorld(t)
		q := drawQuestion(t)
		before := findings(t, compileRapid(t, assemble(parts)), q)
		shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for _, elements := range parts {
			shuffle.Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
		}
		after := findings(t, compileRapid(t, assemble(parts)), q)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDenyNeverAddsAnybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := randomWorld(t)
		q := drawQuestion(t)
		before := compileRapid(t, assemble(parts))
		field := rapid.SampledFrom([]string{"roles", "users", "policies", "resources"}).Draw(t, "where")
		i := rapid.IntRange(0, len(parts[field])-1).Draw(t, "which")
		deny := strings.Replace(statement(t, field == "resources", false), `"Allow"`, `"Deny"`, 1)
		parts[field][i] = strings.Replace(parts[field][i], `"Statement": [`, `"Statement": [`+deny+", ", 1)
		if field == "roles" && strings.Contains(parts[field][i], `"trust": {"Version": "2012-10-17", "Statement": [`+deny) {
			return // trust policies need a principal
		}
		after := findings(t, compileRapid(t, assemble(parts)), q)
		for p, v := range after {
			if strings.HasPrefix(p, "the ") {
				continue // a missing policy, which is missing before and after
			}
			// Not whether it was found before: a stranger that only the Deny names
			// was one of those that * allows, who are not listed one by one.
			q.Principal = p
			old, err := before.Can(q)
			if err != nil {
				t.Fatal(err)
			}
			if was := old.Verdict(); was != eval.Allowed && was != eval.Depends || v == eval.Allowed && was != eval.Allowed {
				t.Fatalf("a Deny made %s %s, which was %s", p, v, was)
			}
		}
	})
}

// A world that was updated piece by piece answers as one compiled at once.
func TestUpdateEqualsCompile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := randomWorld(t), randomWorld(t)
		for _, parts := range []map[string][]string{first, second} {
			delete(parts, "accounts") // complete lists would remove what a piece leaves out
		}
		read := func(parts map[string][]string) *world.Snapshot {
			s, err := world.Read(strings.NewReader(assemble(parts)))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		merged := read(first)
		merged.Merge(read(second))
		at, err := world.Compile(merged)
		if err != nil {
			t.Fatal(err)
		}
		piecewise := compileRapid(t, assemble(first))
		for field, elements := range second {
			for _, e := range elements {
				if err := piecewise.Update(read(map[string][]string{field: {e}})); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 {
			q := drawQuestion(t)
			if diff := cmp.Diff(findings(t, at, q), findings(t, piecewise, q)); diff != "" {
				t.Fatalf("%s %s: %s", q.Action, q.Resource, diff)
			}
		}
	})
}

func TestReadWriteAndMergeAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := randomWorld(t)
		s, err := world.Read(strings.NewReader(assemble(parts)))
		if err != nil {
			t.Fatal(err)
		}
		write := func(s *world.Snapshot) string {
			var b bytes.Buffer
			if err := s.Write(&b); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		once := write(s)
		again, err := world.Read(strings.NewReader(once))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(once, write(again)); diff != "" {
			t.Fatal(diff)
		}
		s.Merge(again)
		if diff := cmp.Diff(once, write(s)); diff != "" {
			t.Fatalf("merging a snapshot with itself changes it: %s", diff)
		}
	})
}

// Thousands of roles share one policy that compares a tag of theirs with one of
// the resource. Exactly the right one is found, also by many at once.
func TestTagsDoNotLeak(t *testing.T) {
	const roles = 5000
	var b strings.Builder
	b.WriteString(`{"format": 1, "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}], "policies": [
		{"arn": "arn:aws:iam::111111111111:policy/abac", "document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
		"Action": "secretsmanager:GetSecretValue", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/owner": "${aws:PrincipalTag/owner}"}}}}}],
		"resources": [`)
	for i := range 8 {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"arn": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:s%d", "tags": {"owner": "o%d"}}`, i, i*600)
	}
	b.WriteString(`], "roles": [`)
	for i := range roles {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"arn": "arn:aws:iam::111111111111:role/r%d", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
			"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}, "attached": ["arn:aws:iam::111111111111:policy/abac"], "tags": {"owner": "o%d"}}`, i, i)
	}
	b.WriteString(`]}`)
	w := compile(t, b.String())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 1 {
				found, err := w.WhoCan(world.Question{Action: "secretsmanager:GetSecretValue", Resource: fmt.Sprintf("arn:aws:secretsmanager:eu-west-1:111111111111:secret:s%d", i)}, world.WhoCanOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				var names []string
				for _, f := range found {
					names = append(names, f.Principal+" "+f.Verdict.String())
				}
				want := []string{fmt.Sprintf("arn:aws:iam::111111111111:role/r%d Allowed", i*600), "arn:aws:iam::111111111111:root Allowed"}
				if diff := cmp.Diff(want, names); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	wait.Go(func() {
		// Meanwhile the world changes beside them.
		for i := range 20 {
			s, err := world.Read(strings.NewReader(fmt.Sprintf(`{"format": 1, "roles": [{"arn": "arn:aws:iam::111111111111:role/new%d",
				"trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
				"attached": ["arn:aws:iam::111111111111:policy/abac"], "tags": {"owner": "nobody"}}]}`, i)))
			if err != nil {
				t.Error(err)
				return
			}
			if err := w.Update(s); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
}
