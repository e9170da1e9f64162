package grant

import (
	"fmt"
	"strings"
)

// Markdown returns the matrix as a document: a table for each stage, and below
// it what each grant means and how to end it.
func (m *Matrix) Markdown() []byte {
	var b strings.Builder
	b.WriteString("# Who may do what\n")
	if len(m.Rows) == 0 {
		b.WriteString("\nNobody: there is no such grant.\n")
	}
	stage := ""
	for i := range m.Rows {
		r := &m.Rows[i]
		if r.Stage != stage {
			stage = r.Stage
			fmt.Fprintf(&b, "\n## Stage %s\n\n", markdownText(stage))
			b.WriteString("| Consumer | Role | May | Resource | In | How | Grant |\n|---|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s (%s) | %s | %s | %s | %s | %s | %s |\n", markdownText(r.Consumer.Name), markdownText(r.Consumer.Stage), markdownCode(r.Consumer.Short()), markdownText(r.Does()),
			markdownText(r.Resource.Name), markdownText(r.Resource.Account), r.How(), markdownText(r.Grant))
	}
	if len(m.Rows) > 0 {
		b.WriteString("\n## What it means\n")
	}
	for i := range m.Rows {
		m.Rows[i].markdown(&b)
	}
	for _, k := range m.Kinds {
		fmt.Fprintf(&b, "\n## About each %s\n\n", k.Title)
		for _, c := range k.Caveats {
			fmt.Fprintf(&b, "- %s\n", markdownText(c))
		}
		fmt.Fprintf(&b, "- AWS's page: <%s>\n", k.Page)
	}
	return []byte(b.String())
}

func (r *MatrixRow) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s in %s, for %s\n\n", markdownText(r.Grant), markdownText(r.Stage), markdownText(r.Consumer.Stage))
	fmt.Fprintf(b, "%s (%s, account %s) may %s.\n\n", markdownText(r.Consumer.Name), markdownText(r.Consumer.Account), r.Consumer.AccountID, markdownText(strings.Join(r.Meaning, "; ")))
	fmt.Fprintf(b, "- Consumer: %s\n- Resource: %s\n", markdownCode(r.Consumer.ARN), markdownCode(r.Resource.ARN))
	for _, p := range r.Permits {
		fmt.Fprintf(b, "- %s%s on %s", p.role(), codes(p.Actions), codes(p.Resources))
		if len(p.Conditions) > 0 {
			fmt.Fprintf(b, ", if %s", codes(p.Conditions))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "- How: %s, because %s\n", r.How(), markdownText(r.Why))
	fmt.Fprintf(b, "- Recognised by: %s\n", markdownText(strings.Join(r.Trusted, "; ")))
	for _, w := range r.Waivers {
		fmt.Fprintf(b, "- Accepted: %s\n", markdownText(w))
	}
	for _, part := range []struct {
		title string
		texts []string
	}{{"Who depends on whom", r.Consequences.Depends}, {"What is limited", r.Consequences.Limited}, {"To revoke", r.Consequences.Revoke}} {
		fmt.Fprintf(b, "- %s:\n", part.title)
		for _, t := range part.texts {
			fmt.Fprintf(b, "  - %s\n", markdownText(t))
		}
	}
}

// role says, before the actions, with whose permissions they are done.
func (p *Permit) role() string {
	if p.As == "" {
		return ""
	}
	return "As " + markdownCode(p.As) + ": "
}

// Does says what the consumer may do, in a few words: "read, subscribe".
func (r *MatrixRow) Does() string { return strings.Join(r.Access, ", ") }

// How says in a few words how the access is given.
func (r *MatrixRow) How() string {
	return map[string]string{"policy": "resource policy", "role": "assumed role", "trust": "this role"}[r.Via]
}

// Short is the last part of an ARN that says what it is: "testing-bi" of a
// role's, "account" for a whole account.
func (p *Participant) Short() string {
	switch {
	case strings.HasSuffix(p.ARN, ":root"):
		return "whole account"
	case !strings.HasPrefix(p.ARN, "arn:"):
		return "organization"
	}
	return p.ARN[strings.LastIndexAny(p.ARN, "/:")+1:]
}

func codes(list []string) string { return strings.Join(mapped(list, markdownCode), ", ") }

// markdownCode and markdownText keep texts of a manifest from being markup. A
// pipe would end the cell of a table even within code.
func markdownCode(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	pad := ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		pad = " "
	}
	return fence + pad + strings.ReplaceAll(oneLine(s), "|", `\|`) + pad + fence
}

func markdownText(s string) string {
	var b strings.Builder
	for _, r := range oneLine(s) {
		if strings.ContainsRune("\\`*_{}[]<>#|!~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// oneLine turns line breaks and other control characters into spaces.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
