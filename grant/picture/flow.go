package picture

import (
	"cmp"
	"slices"
	"strings"
)

// The layout flow, from the left: the resources in the cards of their accounts,
// the words of access, the lines, the roles in the cards of their accounts. A
// band for each stage; lines never leave their band. Each line has a slot of its
// own on both sides, in which all texts about it are.
const (
	cardWidth  = 320.0
	wordsAt    = margin + 16 + cardWidth + 14
	wordsWidth = 136.0
	linesFrom  = wordsAt + wordsWidth
	linesTo    = linesFrom + 200
	flowWidth  = linesTo + 8 + cardWidth + 16 + margin
	slotHeight = 26.0
	cardHead   = 48.0
	cardGap    = 14.0
	bandHead   = 44.0
)

// A card is an account on one side of a band, with what is in it.
type card struct {
	name, note string
	entries    []*entry
}

// An entry is a resource or a role, with a slot for each of its lines.
type entry struct {
	name, note string
	lines      []*line
}

func (c *card) height() float64 {
	return cardHead + float64(len(c.lines()))*slotHeight + 8
}

func (c *canvas) flow(lines []*line) {
	c.width = flowWidth
	c.lineKey(lines)
	for _, stage := range stagesOf(lines) {
		c.band(stage, slices.DeleteFunc(slices.Clone(lines), func(l *line) bool { return l.stage != stage }))
	}
	c.height += margin
}

// lineKey explains what the form of lines means.
func (c *canvas) lineKey(lines []*line) {
	x := margin
	for _, k := range []struct {
		class, text string
		through     bool
	}{
		{"key", "the resource's policy names the consumer", false}, {"key through", "the consumer assumes a role", true},
	} {
		if !slices.ContainsFunc(lines, func(l *line) bool { return l.through == k.through }) {
			continue
		}
		c.path(k.class, "", "M%s %sH%s", x, 6, x+34)
		c.text(x+42, 10, 400, k.text, style{class: "muted", size: 12})
		x += 42 + width(k.text, 12, false) + 22
	}
	c.height = 28
}

func stagesOf(lines []*line) []string {
	var all []string
	for _, l := range lines {
		all = append(all, l.stage)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *canvas) band(stage string, lines []*line) {
	left := cards(lines, func(l *line) (string, string, string, string) {
		return l.used.Account, l.used.AccountID, l.used.Name, l.kind
	})
	right := cards(lines, func(l *line) (string, string, string, string) {
		return l.user.Account, l.user.Stage + " · " + l.user.AccountID, l.user.Name, l.user.Short()
	})
	// Each side follows the other in turn, so that few lines cross.
	for range 4 {
		arrange(left, func(l *line) *int { return &l.from }, func(l *line) int { return l.to })
		arrange(right, func(l *line) *int { return &l.to }, func(l *line) int { return l.from })
	}

	height := bandHead + max(stack(left), stack(right)) + 14
	top := c.height
	c.rect(margin, top, flowWidth-2*margin, height, 12, "band", "")
	c.text(margin+16, top+27, cardWidth, "Stage "+stage, style{class: "ink", size: 15, bold: true})
	c.text(flowWidth-margin-16, top+27, cardWidth, "used by", style{class: "muted", size: 13, end: true})
	inner := height - bandHead - 14
	starts := c.side(left, margin+16, top+bandHead+(inner-stack(left))/2)
	ends := c.side(right, linesTo+8, top+bandHead+(inner-stack(right))/2)
	// The lines go below the words, so they come first.
	for _, l := range lines {
		class := "line " + l.class
		if l.through {
			class += " through"
		}
		y1, y2, bend := starts[l], ends[l], (linesTo-linesFrom)*0.5
		c.path(class, l.String(), "M%s %sH%sC%s %s %s %s %s %s", wordsAt-14, y1, linesFrom, linesFrom+bend, y1, linesTo-6-bend, y2, linesTo-6, y2)
		c.path("fill "+l.class, "", "M%s %sl-9 -4.5v9z", linesTo+6, y2)
		words := strings.Join(l.words, ", ")
		w := width(fit(words, 12, true, wordsWidth-30), 12, true) + 18
		c.rect(wordsAt, y1-10, w, 20, 10, "pill "+l.class, "")
		c.text(wordsAt+9, y1+4.2, wordsWidth-30, words, style{class: "word " + l.class, size: 12, bold: true})
	}
	c.height += height + 18
}

// cards groups lines by account and by what is in it, sorted by name.
func cards(lines []*line, of func(*line) (account, note, name, detail string)) []*card {
	var all []*card
	byAccount, byEntry := map[string]*card{}, map[string]*entry{}
	for _, l := range lines {
		account, note, name, detail := of(l)
		k, ok := byAccount[account]
		if !ok {
			k = &card{name: account, note: note}
			byAccount[account] = k
			all = append(all, k)
		}
		id := strings.Join([]string{account, name, detail}, "\x00")
		e, ok := byEntry[id]
		if !ok {
			e = &entry{name: name, note: detail}
			byEntry[id] = e
			k.entries = append(k.entries, e)
		}
		e.lines = append(e.lines, l)
	}
	slices.SortStableFunc(all, func(a, b *card) int { return strings.Compare(a.name, b.name) })
	for _, k := range all {
		slices.SortStableFunc(k.entries, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	}
	return all
}

// arrange sorts the cards of one side, their entries and the lines of each by
// the mean slot of what they are joined to on the other side, and numbers the
// slots anew.
func arrange(side []*card, slot func(*line) *int, other func(*line) int) {
	mean := func(lines []*line) float64 {
		sum := 0
		for _, l := range lines {
			sum += other(l)
		}
		return float64(sum) / float64(len(lines))
	}
	slices.SortStableFunc(side, func(a, b *card) int { return cmp.Compare(mean(a.lines()), mean(b.lines())) })
	n := 0
	for _, k := range side {
		slices.SortStableFunc(k.entries, func(a, b *entry) int { return cmp.Compare(mean(a.lines), mean(b.lines)) })
		for _, e := range k.entries {
			slices.SortStableFunc(e.lines, func(a, b *line) int { return other(a) - other(b) })
			for _, l := range e.lines {
				*slot(l) = n
				n++
			}
		}
	}
}

func (c *card) lines() []*line {
	var all []*line
	for _, e := range c.entries {
		all = append(all, e.lines...)
	}
	return all
}

func stack(cards []*card) float64 {
	h := -cardGap
	for _, k := range cards {
		h += k.height() + cardGap
	}
	return h
}

// side draws the cards of one side and returns the height of each line's slot.
func (c *canvas) side(cards []*card, x, y float64) map[*line]float64 {
	slots := map[*line]float64{}
	for _, k := range cards {
		c.rect(x, y, cardWidth, k.height(), 8, "card", "")
		c.text(x+14, y+21, cardWidth-28, k.name, style{class: "ink", size: 14, bold: true})
		c.text(x+14, y+37, cardWidth-28, k.note, style{class: "muted", size: 11})
		at := y + cardHead
		for _, e := range k.entries {
			c.path("rule", "", "M%s %sH%s", x+1, at, x+cardWidth-1)
			note := fit(e.note, 11, false, (cardWidth-40)*0.55)
			c.text(x+14, at+17.5, cardWidth-40-width(note, 11, false), e.name, style{class: "ink", size: 13})
			c.text(x+cardWidth-14, at+17.5, (cardWidth-40)*0.55, e.note, style{class: "muted", size: 11, end: true})
			for _, l := range e.lines {
				slots[l] = at + slotHeight/2
				at += slotHeight
			}
		}
		y += k.height() + cardGap
	}
	return slots
}
