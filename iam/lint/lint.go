package lint

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Severity says how bad a finding is.
type Severity int

// The severities, the mildest first.
const (
	Info    Severity = iota + 1 // worth knowing
	Warning                     // useless or unwise, but AWS accepts it
	Error                       // AWS refuses it, or it does not do what it seems to, or it lets strangers in
)

// String returns "error", "warning" or "info".
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

// MarshalText writes the severity as in [Severity.String].
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Finding is one thing that is wrong or unwise.
type Finding struct {
	ID       string       `json:"id"`       // of the rule, "GX-A02"; never reused for another meaning
	Severity Severity     `json:"severity"` // of this finding; one rule may report several severities
	Refused  bool         `json:"refused"`  // AWS does not accept the document at all; only with Error
	Path     string       `json:"path"`     // "Statement[0].Action[1]"; "" is the whole document
	Position iam.Position `json:"position"` // zero if the policy was not parsed from text
	Message  string       `json:"message"`  // what is wrong here
	Why      string       `json:"why"`      // what comes of it
	Fix      string       `json:"fix"`      // what to do
	Link     string       `json:"link"`     // the AWS page behind the rule
	Docs     string       `json:"docs"`     // our page about the rule, with an example
}

// String returns the finding on one line, for logs and test output.
func (f Finding) String() string {
	at := f.Path
	if at == "" {
		at = "document"
	}
	if f.Position.Line > 0 {
		at = fmt.Sprintf("%d:%d %s", f.Position.Line, f.Position.Column, at)
	}
	return fmt.Sprintf("%s %s %s: %s", f.ID, f.Severity, at, f.Message)
}

// Document lints the text of a policy. Text that is no policy at all gives
// findings too (GX-S01 and others), never an error.
func Document(data []byte, o Options) []Finding {
	p, problems := iam.Parse(data)
	parsed := p != nil
	if !parsed {
		p = &iam.Policy{}
	}
	r := newReporter(p, o)
	r.text(string(data))
	r.problems(problems)
	if parsed {
		r.run()
	}
	return r.sorted()
}

// Policy lints a policy.
func Policy(p *iam.Policy, o Options) []Finding {
	r := newReporter(p, o)
	r.run()
	return r.sorted()
}

// Worst returns the highest severity among the findings, or 0 if there are
// none.
func Worst(findings []Finding) Severity {
	worst := Severity(0)
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// A Rule is an entry of the catalogue.
type Rule struct {
	ID    string
	Title string // what the rule finds, as a clause
	Why   string // what comes of it
	Fix   string // what to do in general
	Link  string // the AWS page behind it

	// Severity is the highest that the rule reports.
	Severity Severity

	check func(*reporter)
}

// Docs is where our own page describes the rule, with a bad and a good example.
func (r Rule) Docs() string { return docsPage + "#" + strings.ToLower(r.ID) }

const docsPage = "https://github.com/crossaccount/crossaccount/blob/main/docs/lint.md"

// Rules returns the catalogue, sorted by id.
func Rules() []Rule {
	return slices.Clone(catalogue())
}

var catalogue = sync.OnceValue(func() []Rule {
	rules := slices.Concat(
		structureRules, redundancyRules, actionRules, privilegeRules, crossAccountRules, resourceRules, attachedRules,
		principalRules, namingRules, sourceRules, conditionRules, keyRules, contradictionRules, trustRules, sessionRules, suppressionRules,
	)
	sort.Slice(rules, func(i, j int) bool { return rules[i].ID < rules[j].ID })
	return rules
})

// ruleByID returns the rule with an id, or nil.
func ruleByID(id string) *Rule {
	rules := catalogue()
	for i := range rules {
		if rules[i].ID == id {
			return &rules[i]
		}
	}
	return nil
}

func nearestRule(id string) string {
	var ids []string
	for _, r := range catalogue() {
		ids = append(ids, r.ID)
	}
	return reference.Nearest(id, ids)
}

// reporter collects the findings of one document.
type reporter struct {
	policy   *iam.Policy
	options  Options
	rule     *Rule // the one that is running
	findings []Finding

	// fromText says that the document's own characters were looked at.
	fromText bool

	// unread are the paths of elements that could not be read, about whose
	// content nothing more is said.
	unread []string

	forms map[string]string // what is wrong with the form of a resource, by resource
}

func newReporter(p *iam.Policy, o Options) *reporter {
	return &reporter{policy: p, options: o.completed(p)}
}

func (r *reporter) run() {
	rules := catalogue()
	for i := range rules {
		r.rule = &rules[i]
		r.rule.check(r)
	}
}

// report adds a finding of the running rule. fix, if not empty, replaces the
// rule's general advice.
func (r *reporter) report(severity Severity, path, fix, format string, args ...any) {
	r.add(Finding{Severity: severity, Path: path, Position: r.policy.Position(path), Fix: fix, Message: fmt.Sprintf(format, args...)})
}

// refuse is report for an error that makes AWS refuse the document.
func (r *reporter) refuse(path, fix, format string, args ...any) {
	r.add(Finding{Severity: Error, Refused: true, Path: path, Position: r.policy.Position(path), Fix: fix, Message: fmt.Sprintf(format, args...)})
}

func (r *reporter) add(f Finding) {
	f.ID, f.Why, f.Docs = r.rule.ID, r.rule.Why, r.rule.Docs()
	if f.Link == "" {
		f.Link = r.rule.Link
	}
	if f.Fix == "" {
		f.Fix = r.rule.Fix
	}
	r.findings = append(r.findings, f)
}

// readable reports whether everything at and below path could be read.
func (r *reporter) readable(path string) bool {
	for _, u := range r.unread {
		if rest, ok := strings.CutPrefix(u, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return false
		}
	}
	return true
}

// sorted returns the findings in the order of the document, without those that
// are suppressed.
func (r *reporter) sorted() []Finding {
	r.findings, _ = Suppress(r.findings, r.options.Suppressions)
	sort.SliceStable(r.findings, func(i, j int) bool {
		a, b := r.findings[i], r.findings[j]
		switch {
		case a.Position.Offset != b.Position.Offset:
			return a.Position.Offset < b.Position.Offset
		case a.Path != b.Path:
			return a.Path < b.Path
		}
		return a.ID < b.ID
	})
	return slices.CompactFunc(r.findings, func(a, b Finding) bool {
		return a.ID == b.ID && a.Path == b.Path && a.Message == b.Message
	})
}

// statements calls visit for every statement with its path.
func (r *reporter) statements(visit func(path string, s *iam.Statement)) {
	for i := range r.policy.Statements {
		visit(fmt.Sprintf("Statement[%d]", i), &r.policy.Statements[i])
	}
}

// values calls visit for every member of a list with its path.
func values(path string, list []string, visit func(path, value string)) {
	for i, v := range list {
		visit(fmt.Sprintf("%s[%d]", path, i), v)
	}
}
