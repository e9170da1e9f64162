package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// TestCompiledPolicies asks the other engine about every policy that the starter
// and the manifests of all kinds are compiled into: every request that a grant
// declares, and every neighbour, with each side's policies as "crossaccount
// check" puts them together. Requests that differ in nothing are asked once.
func TestCompiledPolicies(t *testing.T) {
	files, err := filepath.Glob("../../grant/testdata/kinds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests of kinds: %v", err)
	}
	manifests := map[string][]byte{"starter": grant.Starter()}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		manifests[strings.TrimSuffix(filepath.Base(file), ".yaml")] = data
	}
	var questions []cases.Case
	var want []eval.Verdict
	seen := map[string]bool{}
	documents := 0
	for name, data := range manifests {
		m, err := grant.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p, err := grant.Compile(m, grant.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		documents += len(p.Documents())
		report, err := p.CheckEach(func(a grant.Asked) {
			c := caseOf(t, a)
			key, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(key)] {
				return
			}
			seen[string(key)] = true
			c.Name = fmt.Sprintf("%s: %s in %s, %s (%s)", name, a.Grant, a.Stage, a.Case, a.Side)
			questions, want = append(questions, c), append(want, a.Verdict)
		})
		if err != nil || !report.OK() {
			t.Fatalf("%s: %v %+v", name, err, report)
		}
	}
	agreed, allowed := 0, 0
	reasons := map[string]int{}
	var again []cases.Case
	for i, theirs := range ask(t, questions) {
		if want[i] == eval.Allowed {
			allowed++
		}
		if theirs.Error == "" && theirs.Response == want[i].String() {
			agreed++
			continue
		}
		why, changed := explain(questions[i], want[i], theirs)
		reasons[why]++
		switch {
		case why == "":
			text, _ := json.MarshalIndent(questions[i], "", "  ")
			t.Errorf("%s: ours %s, theirs %s %s, ignoring %v\n%s", theirs.Name, want[i], theirs.Response, theirs.Error, theirs.Ignored, text)
		case changed != nil:
			again = append(again, *changed)
		}
	}
	// Put otherwise, what it did not understand must be allowed.
	for _, theirs := range ask(t, again) {
		if theirs.Response != eval.Allowed.String() {
			t.Errorf("%s, without what it does not know: theirs %s %s, ignoring %v", theirs.Name, theirs.Response, theirs.Error, theirs.Ignored)
		}
	}
	page, err := os.ReadFile("../../docs/evaluation.md")
	if err != nil {
		t.Fatal(err)
	}
	for why := range reasons {
		if !strings.Contains(string(page), why) {
			t.Errorf("docs/evaluation.md does not explain %q", why)
		}
	}
	if allowed == 0 || allowed == len(questions) {
		t.Errorf("%d of %d questions are allowed: that shows nothing", allowed, len(questions))
	}
	t.Logf("%d documents: %d of %d questions agree, %d of them are allowed; explained: %v", documents, agreed, len(questions), allowed, reasons)
}

// The reasons for differences, as docs/evaluation.md has them.
const (
	refusedResource = "it refuses questions about a resource that is of no type of the action's, or of several"
	partsOfKeys     = "it does not know condition keys whose name has a part of its own after the service's"
	unknownProvider = "it does not know the condition keys of identity providers that it has no data for"
	listKeys        = "it never matches a key that its data calls a list with an operator for single values"
)

// explain returns why the other engine answers otherwise, or "", and for a
// request that it should have allowed the same question without what it does not
// understand.
func explain(c cases.Case, ours eval.Verdict, theirs answer) (string, *cases.Case) {
	switch {
	case strings.Contains(theirs.Error, "no.resource.types") || strings.Contains(theirs.Error, "multiple.resource.types"):
		if ours == eval.Allowed {
			return "", nil
		}
		return refusedResource, nil
	case ours != eval.Allowed || theirs.Error != "" || theirs.Response != eval.ImplicitlyDenied.String():
		return "", nil
	case len(theirs.Ignored) == 1 && strings.HasPrefix(theirs.Ignored[0], "kms:EncryptionContext:"):
		return partsOfKeys, without(c, theirs.Ignored)
	case c.Request.Action == "sts:AssumeRoleWithWebIdentity" && len(theirs.Ignored) == 2:
		return unknownProvider, without(c, theirs.Ignored)
	case c.Request.Action == "events:PutEvents":
		return listKeys, withLists(c)
	}
	return "", nil
}

// without takes conditions on some keys out of all policies of a case.
func without(c cases.Case, keys []string) *cases.Case {
	return rewritten(c, func(operator, key string) (string, bool) { return operator, !slices.Contains(keys, key) })
}

// withLists asks with operators for lists.
func withLists(c cases.Case) *cases.Case {
	out := rewritten(c, func(operator, key string) (string, bool) {
		if strings.HasPrefix(key, "events:") {
			operator = "ForAnyValue:" + operator
		}
		return operator, true
	})
	out.Request.Context = maps.Clone(c.Request.Context)
	for key, v := range out.Request.Context {
		if strings.HasPrefix(key, "events:") {
			out.Request.Context[key] = cases.Value{Values: v.Values, Multi: true}
		}
	}
	return out
}

// rewritten changes the operators of conditions, or drops conditions.
func rewritten(c cases.Case, change func(operator, key string) (string, bool)) *cases.Case {
	edit := func(p cases.Policy) cases.Policy {
		parsed, err := iam.ParsePolicy(p.Document)
		if err != nil {
			panic(err) // it was written from a policy
		}
		out := &iam.Policy{Version: parsed.Version, Statements: slices.Clone(parsed.Statements)}
		for i := range out.Statements {
			var kept []iam.Condition
			for _, cond := range out.Statements[i].Conditions {
				if operator, keep := change(cond.Operator, cond.Key); keep {
					cond.Operator = operator
					kept = append(kept, cond)
				}
			}
			out.Statements[i].Conditions = kept
		}
		data, err := out.MarshalJSON()
		if err != nil {
			panic(err)
		}
		return cases.Policy{Name: p.Name, Document: data}
	}
	identity := c.IdentityPolicies
	c.IdentityPolicies = nil
	for _, p := range identity {
		c.IdentityPolicies = append(c.IdentityPolicies, edit(p))
	}
	if c.ResourcePolicy != nil {
		p := edit(*c.ResourcePolicy)
		c.ResourcePolicy = &p
	}
	return &c
}

// caseOf writes a request and its policies in the format that both engines read.
func caseOf(t *testing.T, a grant.Asked) cases.Case {
	t.Helper()
	r := a.Input.Request
	c := cases.Case{Request: cases.Request{Action: r.Action, Resource: cases.Resource{Resource: r.Resource, AccountID: r.ResourceAccount}, Context: map[string]cases.Value{}}}
	c.Request.Principal.Principal = r.Principal
	for _, key := range r.Context.Keys() {
		values, multi, state := r.Context.Lookup(key)
		if state == iam.KeyGiven {
			c.Request.Context[key] = cases.Value{Values: values, Multi: multi}
		}
	}
	policy := func(p *eval.Policy) cases.Policy {
		data, err := p.Source().MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return cases.Policy{Name: p.Name(), Document: data}
	}
	for _, p := range a.Input.Identity {
		c.IdentityPolicies = append(c.IdentityPolicies, policy(p))
	}
	if a.Input.Resource != nil {
		p := policy(a.Input.Resource)
		c.ResourcePolicy = &p
	}
	if a.Input.Endpoint != nil {
		c.EndpointPolicies = append(c.EndpointPolicies, policy(a.Input.Endpoint))
	}
	return c
}
