package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/crossaccount/crossaccount/iam/lint"
)

// docs/lint.md is made from the rules and their test documents, so that its
// examples are true. Run the test with -update after changing either.
func TestDocs(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "lint.md")
	want := docs(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/lint.md is out of date; run go test ./iam/lint -update (-rules +page):\n%s", diff)
	}
	for _, rule := range lint.Rules() {
		_, anchor, _ := strings.Cut(rule.Docs(), "#")
		if !strings.Contains(string(got), "\n### "+strings.ToUpper(anchor)+"\n") {
			t.Errorf("%s leads nowhere", rule.Docs())
		}
	}
	for _, id := range regexp.MustCompile(`GX-[A-Z]\d\d`).FindAllString(accessAnalyzer, -1) {
		if !slices.ContainsFunc(lint.Rules(), func(r lint.Rule) bool { return r.ID == id }) {
			t.Errorf("the table of Access Analyzer's checks names %s, which does not exist", id)
		}
	}
}

const docsIntro = `# Lint rules

<!-- Made by go test ./iam/lint -update from the rules and their test documents. Do not edit. -->

` + "`crossaccount lint`" + ` and package ` + "`iam/lint`" + ` read one policy document at a time and say what AWS would refuse, what never
matches, and what gives more than it seems to. Every finding has a rule with a stable id, a place in the document, what
comes of it, and how to mend it.

- **error**: AWS refuses the document, or it does not do what it seems to, or it lets strangers in.
- **warning**: useless or unwise, but AWS accepts it.
- **info**: worth knowing.

What the linter cannot know, such as the value of a template's parameter or who an account belongs to, it takes to be
right. More is found if it is told more: the kind of policy, the resource or account it belongs to, the accounts that
access was declared for, and whether the access is for reading (` + "`lint.Options`" + `). Without that, the kind is taken from the
document: principals with ` + "`sts:AssumeRole`" + ` are a trust policy, other principals a resource policy, and a document without
principals is an identity policy.

A finding that is a deliberate choice can be suppressed by its id and path, with a reason. A suppression without a reason
has no effect and is an error (GX-X01); one that covers nothing is reported (GX-X02), so that it does not hide the same
mistake when it comes back.

The facts behind the rules are dated: actions, resource types and condition keys come from the service authorization
reference (see ` + "`iam/reference`" + `), the rest from the AWS page that each rule names.
`

// families are the groups of rules, by the letter of their ids.
var families = []struct{ letter, title string }{
	{"S", "Structure"}, {"A", "Actions"}, {"R", "Resources"}, {"P", "Principals"},
	{"C", "Conditions"}, {"T", "Trust and roles"}, {"X", "Suppressions"},
}

const docsReserved = `
## Reserved

The ids GX-B01 to GX-B11 (both sides of a grant: encryption, deploy order, one-sided grants) and GX-D01 (drift) need more
than one document. They belong to the checks of access manifests and are not used here.
`

// accessAnalyzer says which rules find what IAM Access Analyzer's policy
// validation finds. Its names are those of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html
const accessAnalyzer = `
## Access Analyzer's checks

IAM Access Analyzer validates policies too, in an account and online. What it calls:

| Access Analyzer | Here |
|---|---|
| ARN account or Region not allowed, missing ARN Region, missing ARN field, invalid ARN account, prefix, Region, resource, service case; invalid partition; unsupported wildcard in ARN | GX-R01 |
| Invalid ARN resource for the action | GX-R02 |
| Data type mismatch, JSON syntax error, duplicate keys with different case | GX-S01 |
| Missing action, effect, principal, resource, statement; invalid effect | GX-S02, GX-S08 |
| Invalid policy element | GX-S03 |
| Invalid version, missing version, variable unsupported in version | GX-S04 |
| Unique Sids required or recommended, unsupported Sid, empty Sid value | GX-S05, GX-S11 |
| Unsupported principal, unsupported element combination, unsupported resource ARN in policy | GX-S06, GX-S09, GX-R04 |
| Policy size exceeds a quota | GX-S07 |
| Empty array or object: action, condition, principal, resource | GX-S08 |
| Redundant action, resource, statement, condition value | GX-S10 |
| RCP and SCP syntax errors | GX-S06, GX-S12 |
| Invalid service in action, wildcard in service name | GX-A01 |
| Invalid action | GX-A02 |
| Unsupported action in policy | GX-A05, GX-A06, GX-T01 |
| Pass role with star in resource, with NotResource | GX-A10, GX-R09 |
| Create SLR with star in resource, with NotResource | GX-A11, GX-R09 |
| Invalid principal format, invalid principal key | GX-P04 |
| Unsupported wildcard in principal, role trust policy unsupported wildcard in principal | GX-P03, GX-P01 |
| Allow with NotPrincipal | GX-P07 |
| Invalid role or user reference | GX-P05 |
| Restrict access to service principal | GX-P10 |
| Redundant principal | GX-P11 |
| Mismatched action for principal, missing action for Roles Anywhere | GX-T04, GX-T07 |
| Missing or specific condition for an OpenID Connect provider | GX-T05 |
| Invalid condition operator, Null with IfExists | GX-C01 |
| Invalid condition key format, invalid global or service condition key, missing qualifier of a tag key, unsupported tag condition key | GX-C02 |
| Type mismatch; invalid date, Boolean, number or IP range; multiple Booleans; Null with qualifier; missing qualifier | GX-C03 |
| Wildcard without like operator | GX-C04 |
| ForAllValues with single valued key | GX-C05 |
| Missing brace or quote in variable, empty variable, space in variable, variable unsupported in element or operator | GX-C10 |
| Deprecated or unsupported global condition key | GX-C11 |
| Missing paired condition keys | GX-C12 |
| Private IP address, private NotIpAddress, improve IP range | GX-C14 |
`

func docs(t *testing.T) string {
	var b strings.Builder
	b.WriteString(docsIntro)
	rules := lint.Rules()
	for _, family := range families {
		fmt.Fprintf(&b, "\n**%s**\n\n", family.title)
		for _, r := range rules {
			if r.ID[3:4] == family.letter {
				fmt.Fprintf(&b, "- [%s](#%s) (%s) %s\n", r.ID, strings.ToLower(r.ID), r.Severity, r.Title)
			}
		}
	}
	b.WriteString(accessAnalyzer)
	b.WriteString(docsReserved)
	for _, family := range families {
		fmt.Fprintf(&b, "\n## %s\n", family.title)
		for _, r := range rules {
			if r.ID[3:4] != family.letter {
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n\n%s (%s)\n\n", r.ID, sentence(r.Title), r.Severity)
			fmt.Fprintf(&b, "- Why: %s.\n- Fix: %s.\n- AWS: <%s>\n", r.Why, r.Fix, r.Link)
			archive, err := txtar.ParseFile(filepath.Join("testdata", "rules", r.ID+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			kind := writeExample(&b, t, archive, "Bad", "bad", "")
			writeExample(&b, t, archive, "Good", "good", kind)
		}
	}
	return b.String()
}

// writeExample writes the shortest document of an archive whose name begins so;
// a good one without findings and of the same kind as the bad one, if there is
// one. It returns the document's kind.
func writeExample(b *strings.Builder, t *testing.T, archive *txtar.Archive, title, beginning, kind string) string {
	files := make(map[string]string, len(archive.Files))
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	cost := func(name string) int {
		const unwanted = 1 << 20
		size := len(files[name+".json"])
		if beginning == "good" && files[name+".want"] != "" {
			size += unwanted
		}
		if !strings.Contains(name, "."+kind) {
			size += unwanted
		}
		return size
	}
	best := ""
	for _, f := range archive.Files {
		name, isDocument := strings.CutSuffix(f.Name, ".json")
		if isDocument && strings.HasPrefix(name, beginning) && (best == "" || cost(name) < cost(best)) {
			best = name
		}
	}
	if best == "" {
		t.Fatalf("no document begins with %s", beginning)
	}
	_, kind, _ = strings.Cut(best, ".")
	fmt.Fprintf(b, "\n%s, as %s", title, kindInWords(kind))
	if options := files[best+".options"]; options != "" {
		fmt.Fprintf(b, " with `%s`", strings.TrimSpace(options))
	}
	text := strings.TrimRight(files[best+".json"], "\n")
	const longest = 40
	if lines := strings.Split(text, "\n"); len(lines) > longest {
		text = strings.Join(lines[:longest/2], "\n") + "\n…\n" + strings.Join(lines[len(lines)-longest/2:], "\n")
	}
	const widest = 1000
	if len(text) > widest*2 {
		text = text[:widest] + "\n…"
	}
	fmt.Fprintf(b, ":\n\n```json\n%s\n```\n", text)
	if want := strings.TrimRight(files[best+".want"], "\n"); want != "" {
		fmt.Fprintf(b, "\n```text\n%s\n```\n", want)
	}
	word, _, _ := strings.Cut(kind, "-")
	return word
}

func kindInWords(kind string) string {
	base, options, _ := strings.Cut(kind, "+")
	word, service, _ := strings.Cut(base, "-")
	words := map[string]string{
		"identity": "an identity policy", "resource": "a resource policy", "trust": "a trust policy", "boundary": "a permissions boundary",
		"session": "a session policy", "scp": "a service control policy", "rcp": "a resource control policy", "endpoint": "an endpoint policy",
		"auto": "a document of unknown kind",
	}
	text := words[word]
	if service != "" {
		text += " of " + service
	}
	switch options {
	case "cross":
		text += " for other accounts"
	case "inline":
		text += " inside a role"
	}
	return text
}

func sentence(title string) string { return strings.ToUpper(title[:1]) + title[1:] + "." }
