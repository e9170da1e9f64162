// Package picture draws a matrix of grants: an SVG for slides and documents, and
// a page of HTML that can be filtered.
//
// There are two pictures. With few accounts [SVG] draws every grant as a line
// from the resource, on the left, to the role that uses it, on the right, in a
// band for each stage (flow.go). With many accounts such lines cannot be
// followed; then it draws a table for each stage, with the accounts that use in
// the rows and those that are used in the columns (table.go).
//
// The same matrix gives the same bytes. Texts are cut to the room they have;
// nothing is loaded from anywhere, and nothing runs.
package picture

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/grant"
)

// A Layout is how a picture is arranged.
type Layout string

// The layouts. Auto takes Flow while its lines can be followed, and else Table.
const (
	Auto  Layout = "auto"
	Flow  Layout = "flow"
	Table Layout = "table"
)

// Layouts lists the layouts, the default first.
func Layouts() []Layout { return []Layout{Auto, Flow, Table} }

// Beyond this many accounts or lines nobody follows a line.
const (
	flowAccounts = 14
	flowLines    = 32
)

//go:embed style.css
var styles string

const margin = 28.0

// SVG draws the matrix. Light and dark follow the reader's setting.
func SVG(m *grant.Matrix, layout Layout) []byte {
	c := draw(m, layout)
	title, description := describe(m)
	var b strings.Builder
	w, h := number(c.width), number(c.height)
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" class="who" viewBox="0 0 ` + w + " " + h + `" width="` + w + `" height="` + h + `" role="img" aria-labelledby="who-title who-description">` + "\n")
	b.WriteString(`<title id="who-title">` + escape(title) + "</title>\n" + `<desc id="who-description">` + escape(description) + "</desc>\n")
	b.WriteString("<style>\n" + styles + "</style>\n")
	b.WriteString(c.b.String())
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func draw(m *grant.Matrix, layout Layout) *canvas {
	lines := linesOf(m)
	c := &canvas{}
	if layout == Auto || layout == "" {
		layout = Flow
		if len(accountsOf(m)) > flowAccounts || len(lines) > flowLines {
			layout = Table
		}
	}
	body := &canvas{}
	if layout == Flow {
		body.flow(lines)
	} else {
		body.tables(lines)
	}
	c.width = body.width
	c.heading(m, lines)
	for _, t := range body.texts {
		t.y += c.height
		c.texts = append(c.texts, t)
	}
	whole := c.height + body.height
	var out strings.Builder
	fmt.Fprintf(&out, `<rect x="0" y="0" width="%s" height="%s" class="ground"/>`+"\n", number(c.width), number(whole))
	out.WriteString(c.b.String())
	out.WriteString(`<g transform="translate(0 ` + number(c.height) + `)">` + "\n" + body.b.String() + "</g>\n")
	c.b, c.height = out, whole
	return c
}

// heading writes the title and the key to colours and lines.
func (c *canvas) heading(m *grant.Matrix, lines []*line) {
	c.text(margin, 44, c.width-2*margin, "Who may do what", style{class: "ink", size: 22, bold: true})
	c.text(margin, 66, c.width-2*margin, summary(m), style{class: "muted", size: 13})
	x := margin
	for _, k := range []struct{ class, text string }{
		{"read", "read only"}, {"change", "may change it"}, {"assume", "assumes a role with permissions of its own"},
	} {
		if !slices.ContainsFunc(lines, func(l *line) bool { return l.class == k.class }) {
			continue
		}
		c.rect(x, 83, 12, 12, 3, "fill "+k.class, "")
		c.text(x+18, 93.5, 400, k.text, style{class: "muted", size: 12})
		x += 18 + width(k.text, 12, false) + 22
	}
	c.height = 110
}

func summary(m *grant.Matrix) string {
	grants := map[string]bool{}
	for i := range m.Rows {
		grants[m.Rows[i].Grant] = true
	}
	return count(len(grants), "grant") + " over " + count(len(accountsOf(m)), "account")
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// describe tells those who do not see the picture what is in it.
func describe(m *grant.Matrix) (title, description string) {
	var b strings.Builder
	for i := range m.Rows {
		r := &m.Rows[i]
		fmt.Fprintf(&b, "In stage %s, %s (%s, account %s) may %s %s of %s (account %s). ", r.Stage, r.Consumer.Name, r.Consumer.Short(), r.Consumer.Account, r.Does(), r.Resource.Name, r.Resource.Owner, r.Resource.Account)
	}
	return "Who may do what: " + summary(m), strings.TrimSpace(b.String())
}

func accountsOf(m *grant.Matrix) []string {
	var all []string
	for i := range m.Rows {
		all = append(all, m.Rows[i].Consumer.AccountID, m.Rows[i].Resource.AccountID)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A line is all that a role may do with a resource in one way.
type line struct {
	stage      string
	user, used grant.Participant
	kind       string
	words      []string
	class      string // read, change or assume
	through    bool   // a role
	grants     []string
	from, to   int // slots, in the layout flow
}

// linesOf merges the rows that a picture cannot tell apart.
func linesOf(m *grant.Matrix) []*line {
	titles := map[string]string{}
	for _, k := range m.Kinds {
		titles[k.Kind] = k.Title
	}
	found := map[string]*line{}
	var all []*line
	for i := range m.Rows {
		r := &m.Rows[i]
		key := strings.Join([]string{r.Stage, r.Consumer.Name, r.Consumer.AccountID, r.Consumer.ARN, r.Resource.Name, r.Resource.AccountID, fmt.Sprint(r.Via == "policy")}, "\x00")
		l, ok := found[key]
		if !ok {
			l = &line{stage: r.Stage, user: r.Consumer, used: r.Resource, kind: titles[r.Kind], class: "read", through: r.Via != "policy"}
			found[key] = l
			all = append(all, l)
		}
		for _, w := range r.Access {
			if !slices.Contains(l.words, w) {
				l.words = append(l.words, w)
			}
		}
		switch {
		case r.Via == "trust":
			l.class = "assume"
		case !r.ReadOnly && l.class == "read":
			l.class = "change"
		}
		l.grants = append(l.grants, r.Grant)
	}
	return all
}

func (l *line) String() string {
	how := "its policy"
	if l.through {
		how = "a role"
	}
	return fmt.Sprintf("%s (%s in %s) may %s %s of %s in %s, through %s. Grants: %s", l.user.Name, l.user.Short(), l.user.Account, strings.Join(l.words, ", "), l.used.Name, l.used.Owner, l.used.Account, how, strings.Join(l.grants, ", "))
}
