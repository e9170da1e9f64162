package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/grant"
)

// printMatrix writes the rows of each stage as a table, or as a list where the
// table would be wider than the terminal.
func printMatrix(w io.Writer, m *grant.Matrix, look textLook) {
	if len(m.Rows) == 0 {
		fmt.Fprintln(w, "nobody: there is no such grant")
		return
	}
	rows := m.Rows
	for len(rows) > 0 {
		stage := rows[0].Stage
		end := slices.IndexFunc(rows, func(r grant.MatrixRow) bool { return r.Stage != stage })
		if end < 0 {
			end = len(rows)
		}
		fmt.Fprintln(w, look.strong("stage "+legible(stage)))
		look.rows(w, rows[:end])
		fmt.Fprintln(w)
		rows = rows[end:]
	}
	fmt.Fprintf(w, "%s. What each of them means and how to revoke it: --format markdown, html or json.\n", count(len(m.Rows), "row"))
}

// A column of the table. Those that are dispensable are left out, the last one
// first, where there is no room for all.
type column struct {
	title       string
	of          func(*grant.MatrixRow) string
	dispensable bool
}

var matrixColumns = []column{
	{"CONSUMER", func(r *grant.MatrixRow) string { return r.Consumer.Name }, false},
	{"STAGE", func(r *grant.MatrixRow) string { return r.Consumer.Stage }, true},
	{"ROLE", func(r *grant.MatrixRow) string { return r.Consumer.Short() }, false},
	{"MAY", (*grant.MatrixRow).Does, false},
	{"RESOURCE", func(r *grant.MatrixRow) string { return r.Resource.Name }, false},
	{"HOW", (*grant.MatrixRow).How, true},
	{"IN", func(r *grant.MatrixRow) string { return r.Resource.Account }, true},
}

func (l textLook) rows(w io.Writer, rows []grant.MatrixRow) {
	columns := slices.Clone(matrixColumns)
	for !l.table(w, rows, columns) {
		last := len(columns) - 1
		for last >= 0 && !columns[last].dispensable {
			last--
		}
		if last < 0 {
			l.list(w, rows)
			return
		}
		columns = slices.Delete(columns, last, last+1)
	}
}

// table reports false if it is too wide, and then has written nothing.
func (l textLook) table(w io.Writer, rows []grant.MatrixRow, columns []column) bool {
	lines := make([][]string, 1+len(rows))
	for _, c := range columns {
		lines[0] = append(lines[0], c.title)
		for i := range rows {
			lines[i+1] = append(lines[i+1], c.of(&rows[i]))
		}
	}
	wide := make([]int, len(lines[0]))
	for _, line := range lines {
		for i := range line {
			line[i] = legible(line[i])
			wide[i] = max(wide[i], utf8.RuneCountInString(line[i]))
		}
	}
	total := 2
	for _, n := range wide {
		total += n + 2
	}
	if total-2 > l.width {
		return false
	}
	for n, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString("  ")
			pad := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell))
			switch {
			case n == 0:
				cell = l.faint(cell)
			case columns[i].title == "MAY":
				cell = l.access(&rows[n-1], cell)
			}
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(pad)
			}
		}
		fmt.Fprintln(w, b.String())
	}
	return true
}

// list writes each row over several lines, broken at spaces.
func (l textLook) list(w io.Writer, rows []grant.MatrixRow) {
	for i := range rows {
		r := &rows[i]
		l.wrapped(w, 2, fmt.Sprintf("%s (%s) may %s %s", r.Consumer.Name, r.Consumer.Stage, r.Does(), r.Resource.Name))
		l.wrapped(w, 4, fmt.Sprintf("as %s in %s", r.Consumer.Short(), r.Consumer.Account))
		l.wrapped(w, 4, fmt.Sprintf("of %s in %s, by %s", r.Resource.Owner, r.Resource.Account, r.How()))
	}
}

// wrapped breaks a text into lines no wider than the terminal, unless one word
// alone is wider.
func (l textLook) wrapped(w io.Writer, indent int, text string) {
	margin := strings.Repeat(" ", indent)
	line := margin
	for _, word := range strings.Fields(legible(text)) {
		if line != margin && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > l.width {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = margin + "  "
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// legible keeps names of a manifest from being control sequences of a terminal.
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func (l textLook) sequence(code, s string) string {
	if !l.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (l textLook) strong(s string) string { return l.sequence("1", s) }
func (l textLook) faint(s string) string  { return l.sequence("2", s) }

func (l textLook) access(r *grant.MatrixRow, s string) string {
	switch {
	case r.Via == "trust":
		return l.sequence("35", s)
	case r.ReadOnly:
		return l.sequence("36", s)
	}
	return l.sequence("33", s)
}
