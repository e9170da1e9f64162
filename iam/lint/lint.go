package lint

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
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

// Options say what is known about the document's place.
type Options struct {
	// Kind is what the policy is attached to. The zero value is taken as
	// iam.KindIdentity.
	Kind iam.Kind

	// Service is, for a resource policy, the prefix of the service whose
	// resource it is attached to ("s3", "kms"). Empty if unknown.
	Service string

	// Account owns whatever the policy is attached to. Empty if unknown.
	Account iam.AccountID

	// CrossAccount says that the policy gives access to other accounts, so that
	// what is merely wide within an account is reported.
	CrossAccount bool

	// Inline says that an identity policy is embedded in a role instead of being
	// a managed policy, which has another size limit.
	Inline bool

	// Suppressions are deliberate choices. A finding that one of them covers is
	// left out.
	Suppressions []Suppression
}

// A Suppression is a recorded decision to accept a finding.
type Suppression struct {
	ID     string // of the rule, "GX-P02"
	Path   string // an element and everything below it: "Statement[0]"; "" is the whole document
	Reason string // required: a suppression without a reason has no effect
}

func (s Suppression) covers(f Finding) bool {
	if s.ID != f.ID || strings.TrimSpace(s.Reason) == "" {
		return false
	}
	rest, ok := strings.CutPrefix(f.Path, s.Path)
	return ok && (s.Path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
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

	check func(*reporter)
}

// Rules returns the catalogue, sorted by id.
func Rules() []Rule {
	return slices.Clone(catalogue())
}

var catalogue = sync.OnceValue(func() []Rule {
	rules := slices.Concat(structureRules, actionRules, resourceRules, principalRules, conditionRules, trustRules)
	sort.Slice(rules, func(i, j int) bool { return rules[i].ID < rules[j].ID })
	return rules
})

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
}

func newReporter(p *iam.Policy, o Options) *reporter {
	if o.Kind == 0 {
		o.Kind = iam.KindIdentity
	}
	o.Service = strings.ToLower(o.Service)
	return &reporter{policy: p, options: o}
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
	f.ID, f.Why = r.rule.ID, r.rule.Why
	if f.Link == "" {
		f.Link = r.rule.Link
	}
	if f.Fix == "" {
		f.Fix = r.rule.Fix
	}
	for _, s := range r.options.Suppressions {
		if s.covers(f) {
			return
		}
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

// sorted returns the findings in the order of the document.
func (r *reporter) sorted() []Finding {
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

// ofIAM reports whether IAM or STS itself stores the policy, as opposed to
// another service or an organisation.
func (o *Options) ofIAM() bool {
	switch o.Kind {
	case iam.KindIdentity, iam.KindTrust, iam.KindBoundary, iam.KindSession:
		return true
	}
	return false
}
