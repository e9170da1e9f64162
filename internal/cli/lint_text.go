package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template/policies"
)

// printText writes the report for people.
func (l *linter) printText(w io.Writer, r *lintReport) error {
	var b strings.Builder
	for _, f := range r.Findings {
		writeFinding(&b, f)
	}
	if l.showSuppressed {
		for _, f := range r.Suppressed {
			writeFinding(&b, f)
		}
	}
	for _, u := range r.Unread {
		fmt.Fprintf(&b, "%s:%d:%d: not read: %s\n", u.File, u.Position.Line, u.Position.Column, u.Reason)
		if u.Where != "" {
			fmt.Fprintf(&b, "  in    %s\n", u.Where)
		}
		b.WriteByte('\n')
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "%s: could not be read: %s\n\n", e.File, strings.ReplaceAll(e.Reason, "\n", "; "))
	}
	if l.verbose {
		for _, s := range r.Skipped {
			fmt.Fprintf(&b, "%s: passed over: %s\n", s.File, s.Reason)
		}
		if len(r.Skipped) > 0 {
			b.WriteByte('\n')
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if tf := terraformSources(r); tf > 0 && !l.verbose {
		fmt.Fprintf(&b, "note: %s (.tf) not read: %s\n", count(tf, "file"), policies.ErrTerraformSource)
	}
	b.WriteString(summary(r) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func terraformSources(r *lintReport) int {
	n := 0
	for _, s := range r.Skipped {
		if s.Reason == policies.ErrTerraformSource.Error() {
			n++
		}
	}
	return n
}

func writeFinding(b *strings.Builder, f lintFinding) {
	fmt.Fprintf(b, "%s:%d:%d: %s %s: %s", f.File, f.Position.Line, f.Position.Column, f.Severity, f.ID, f.Message)
	if f.When != "" {
		fmt.Fprintf(b, " (when %s)", f.When)
	}
	b.WriteByte('\n')
	var in []string
	for _, s := range []string{f.Policy, f.Path, f.Where} {
		if s != "" {
			in = append(in, s)
		}
	}
	line := func(label, s string) {
		if s != "" {
			fmt.Fprintf(b, "  %-5s %s\n", label, s)
		}
	}
	line("in", strings.Join(in, " · "))
	line("from", f.Construct)
	line("why", f.Why)
	line("fix", f.Fix)
	line("see", f.Link)
	line("kept", f.Reason)
	b.WriteByte('\n')
}

// summary counts what was found.
func summary(r *lintReport) string {
	bySeverity := make(map[lint.Severity]int)
	for _, f := range r.Findings {
		bySeverity[f.Severity]++
	}
	parts := []string{}
	if len(r.Findings) == 0 {
		parts = append(parts, "no findings")
	}
	if n := bySeverity[lint.Error]; n > 0 {
		parts = append(parts, count(n, "error"))
	}
	if n := bySeverity[lint.Warning]; n > 0 {
		parts = append(parts, count(n, "warning"))
	}
	if n := bySeverity[lint.Info]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d for information", n))
	}
	parts[len(parts)-1] += fmt.Sprintf(" in %s of %s", counted(r.Policies, "policy", "policies"), count(r.Files, "file"))
	if n := len(r.Suppressed); n > 0 {
		parts = append(parts, fmt.Sprintf("%d suppressed", n))
	}
	if n := len(r.Unread); n > 0 {
		parts = append(parts, fmt.Sprintf("%d known only after deployment or not readable", n))
	}
	if n := len(r.Errors); n > 0 {
		parts = append(parts, fmt.Sprintf("%s could not be read", count(n, "file")))
	}
	return strings.Join(parts, ", ")
}

func count(n int, unit string) string { return counted(n, unit, unit+"s") }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// printAnnotations writes workflow commands, which GitHub shows at the lines of
// a pull request.
//
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func printAnnotations(w io.Writer, r *lintReport) error {
	var b strings.Builder
	commands := map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "notice"}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	annotate := func(command, file string, line, column int, title, message string) {
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", command, property.Replace(file), max(1, line), max(1, column), property.Replace(title), data.Replace(message))
	}
	for _, f := range r.Findings {
		message := f.Message
		if f.When != "" {
			message += " (when " + f.When + ")"
		}
		message += "\nWhy: " + f.Why + "\nFix: " + f.Fix + "\nSee: " + f.Link
		annotate(commands[f.Severity], f.File, f.Position.Line, f.Position.Column, f.ID, message)
	}
	for _, u := range r.Unread {
		annotate("notice", u.File, u.Position.Line, u.Position.Column, "not read", u.Reason)
	}
	for _, e := range r.Errors {
		annotate("error", e.File, 1, 1, "could not be read", e.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printLintJSON writes the whole report.
func printLintJSON(w io.Writer, r *lintReport) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// A ruleView is a rule in JSON.
type ruleView struct {
	ID       string        `json:"id"`
	Severity lint.Severity `json:"severity"`
	Title    string        `json:"title"`
	Why      string        `json:"why"`
	Fix      string        `json:"fix"`
	Link     string        `json:"link"`
	Docs     string        `json:"docs"`
}

func viewOf(r lint.Rule) ruleView {
	return ruleView{r.ID, r.Severity, r.Title, r.Why, r.Fix, r.Link, r.Docs()}
}

func listRules(w io.Writer, asJSON bool) error {
	if asJSON {
		views := []ruleView{}
		for _, r := range lint.Rules() {
			views = append(views, viewOf(r))
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(views)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range lint.Rules() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.ID, r.Severity, r.Title)
	}
	return t.Flush()
}

func explainRule(w io.Writer, id string, asJSON bool) error {
	var ids []string
	for _, r := range lint.Rules() {
		if strings.EqualFold(r.ID, id) {
			if asJSON {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				return e.Encode(viewOf(r))
			}
			_, err := fmt.Fprintf(w, "%s: %s\n\nAt worst  %s\nWhy       %s\nFix       %s\nAWS       %s\nExamples  %s\n\nAccept one with a reason, in YAML: # crossaccount:ignore %s the reason\nor everywhere: --suppress \"%s=the reason\"\n",
				r.ID, r.Title, r.Severity, r.Why, r.Fix, r.Link, r.Docs(), r.ID, r.ID)
			return err
		}
		ids = append(ids, r.ID)
	}
	if near := reference.Nearest(strings.ToUpper(id), ids); near != "" {
		return fmt.Errorf("there is no rule %q; did you mean %s? See crossaccount lint --list", id, near)
	}
	return fmt.Errorf("there is no rule %q; see crossaccount lint --list", id)
}
