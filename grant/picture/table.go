package picture

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The layout table: for each stage the accounts that use others in the rows, and
// those that are used in the columns. A cell's number counts what the account of
// the row may use; its colour is that of the strongest access.
const (
	cellSize   = 28.0
	labelSize  = 12.0
	labelLimit = 200.0 // longer labels are cut
	tableGap   = 30.0
	tablesWide = 1540.0
	tableHead  = 40.0
)

// A table is the picture of one stage.
type table struct {
	stage         string
	users, used   []axis
	cells         map[[2]int][]*line
	rowLabel      float64 // the room of the rows' labels
	columnHead    float64 // and of the columns'
	width, height float64
}

// An axis is one account in a row or a column.
type axis struct{ account, id, group string }

func (c *canvas) tables(lines []*line) {
	var all []*table
	for _, stage := range stagesOf(lines) {
		all = append(all, newTable(stage, lines))
	}
	heads, labels := 0.0, 0.0
	for _, t := range all { // in line with each other
		heads, labels = max(heads, room(t.used)), max(labels, room(t.users))
	}
	for _, t := range all {
		t.size(labels, heads)
	}
	c.text(margin, 10, 900, "Rows use columns. The number says how many resources the row's account may use there.", style{class: "muted", size: 12})
	x, y, tallest, widest := margin, 28.0, 0.0, 720.0
	for _, t := range all {
		if x > margin && x+t.width > tablesWide {
			x, y, tallest = margin, y+tallest+tableGap, 0
		}
		c.table(t, x, y)
		x += t.width + tableGap
		widest, tallest = max(widest, x-tableGap+margin), max(tallest, t.height)
	}
	c.width, c.height = widest, y+tallest+margin
}

func newTable(stage string, lines []*line) *table {
	t := &table{stage: stage, cells: map[[2]int][]*line{}}
	lines = slices.DeleteFunc(slices.Clone(lines), func(l *line) bool { return l.stage != stage })
	users := func(l *line) axis { return axis{l.user.Account, l.user.AccountID, l.user.Name} }
	used := func(l *line) axis { return axis{l.used.Account, l.used.AccountID, l.used.Owner} }
	t.users, t.used = axes(lines, users), axes(lines, used)
	for _, l := range lines {
		at := [2]int{position(t.users, users(l)), position(t.used, used(l))}
		t.cells[at] = append(t.cells[at], l)
	}
	return t
}

func (t *table) size(rowLabel, columnHead float64) {
	t.rowLabel, t.columnHead = rowLabel, columnHead
	t.width = 16 + t.rowLabel + max(float64(len(t.used))*cellSize, 120) + 16
	t.height = tableHead + t.columnHead + float64(len(t.users))*cellSize + 16
}

// room is what the labels of an axis take, with the space before the cells.
func room(list []axis) float64 {
	widest := 0.0
	for _, a := range list {
		widest = max(widest, width(a.account, labelSize, false))
	}
	return math.Ceil(min(widest, labelLimit)) + 14
}

// axes returns each account once, those of a team together.
func axes(lines []*line, of func(*line) axis) []axis {
	var all []axis
	for _, l := range lines {
		if a := of(l); position(all, a) < 0 {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b axis) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.account, b.account))
	})
	return all
}

func position(list []axis, a axis) int {
	return slices.IndexFunc(list, func(b axis) bool { return a.id == b.id })
}

func (c *canvas) table(t *table, x, y float64) {
	c.rect(x, y, t.width, t.height, 12, "band", "")
	c.text(x+16, y+27, t.width-32, "Stage "+t.stage, style{class: "ink", size: 15, bold: true})
	left, top := x+16+t.rowLabel, y+tableHead+t.columnHead
	for n, a := range t.used {
		at := left + float64(n)*cellSize
		c.text(at+cellSize/2+4, top-8, labelLimit, a.account, style{class: "ink", size: labelSize, turn: true})
	}
	for r, a := range t.users {
		at := top + float64(r)*cellSize
		c.text(left-10, at+cellSize/2+4, labelLimit, a.account, style{class: "ink", size: labelSize, end: true})
		for n := range t.used {
			c.cell(t, r, n, left+float64(n)*cellSize, at)
		}
	}
}

func (c *canvas) cell(t *table, r, n int, x, y float64) {
	lines := t.cells[[2]int{r, n}]
	if len(lines) == 0 {
		c.rect(x+1, y+1, cellSize-2, cellSize-2, 4, "cell", "")
		return
	}
	class := "read"
	tooltip := make([]string, len(lines))
	resources := map[string]bool{}
	for i, l := range lines {
		if l.class == "assume" || l.class == "change" && class == "read" {
			class = l.class
		}
		tooltip[i] = l.String()
		resources[l.used.Name] = true
	}
	c.rect(x+1, y+1, cellSize-2, cellSize-2, 4, "fill "+class, strings.Join(tooltip, "\n"))
	c.text(x+cellSize/2, y+cellSize/2+4, cellSize-4, fmt.Sprint(len(resources)), style{class: "on", size: 11.5, bold: true, mid: true})
}
