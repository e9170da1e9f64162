package picture

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// A canvas collects the elements of an SVG. It remembers the box of every text,
// so that tests can show that no two of them meet.
type canvas struct {
	b      strings.Builder
	texts  []box
	width  float64
	height float64
}

// A box is a rectangle around a text.
type box struct {
	x, y, w, h float64
	text       string
}

// A style is how a text looks. Its class names the colour in style.css.
type style struct {
	class string
	size  float64
	bold  bool
	end   bool // x is where the text ends
	mid   bool // x is its middle
	turn  bool // reads upwards; x and y are where it begins
}

// text writes a text whose baseline begins at x and y, no wider than limit. A
// text that is longer is cut, and is whole in a tooltip.
func (c *canvas) text(x, y, limit float64, s string, t style) {
	shown := fit(s, t.size, t.bold, limit)
	w := width(shown, t.size, t.bold)
	at, anchor := box{x: x, y: y - t.size, w: w, h: t.size * 1.25, text: shown}, ""
	switch {
	case t.end:
		at.x, anchor = x-w, ` text-anchor="end"`
	case t.mid:
		at.x, anchor = x-w/2, ` text-anchor="middle"`
	case t.turn:
		at = box{x: x - t.size, y: y - w, w: t.size * 1.25, h: w, text: shown}
	}
	c.texts = append(c.texts, at)
	c.b.WriteString(`<text x="` + number(x) + `" y="` + number(y) + `" font-size="` + number(t.size) + `" class="` + t.class)
	if t.bold {
		c.b.WriteString(" b")
	}
	c.b.WriteString(`"` + anchor)
	if t.turn {
		c.b.WriteString(` transform="rotate(-90 ` + number(x) + " " + number(y) + `)"`)
	}
	if !plain(shown) {
		// Nobody knows how wide other scripts are in the font that is there.
		c.b.WriteString(` textLength="` + number(w) + `" lengthAdjust="spacingAndGlyphs"`)
	}
	c.b.WriteString(">")
	if shown != s {
		c.b.WriteString("<title>" + escape(s) + "</title>")
	}
	c.b.WriteString(escape(shown) + "</text>\n")
}

// rect draws a rectangle, with a tooltip unless it is empty.
func (c *canvas) rect(x, y, w, h, radius float64, class, tooltip string) {
	fmt.Fprintf(&c.b, `<rect x="%s" y="%s" width="%s" height="%s" rx="%s" class="%s"`, number(x), number(y), number(w), number(h), number(radius), class)
	if tooltip == "" {
		c.b.WriteString("/>\n")
		return
	}
	c.b.WriteString("><title>" + escape(tooltip) + "</title></rect>\n")
}

// path draws a line.
func (c *canvas) path(class, tooltip, format string, points ...float64) {
	numbers := make([]any, len(points))
	for i, p := range points {
		numbers[i] = number(p)
	}
	c.b.WriteString(`<path class="` + class + `" d="` + fmt.Sprintf(format, numbers...) + `"`)
	if tooltip == "" {
		c.b.WriteString("/>\n")
		return
	}
	c.b.WriteString("><title>" + escape(tooltip) + "</title></path>\n")
}

// number writes a coordinate, to a tenth.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

// escape makes a text safe in XML and HTML. What XML cannot hold is replaced.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

// fit cuts a text to a width.
func fit(s string, size float64, bold bool, limit float64) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	if width(s, size, bold) <= limit {
		return s
	}
	runes := []rune(s)
	low, high := 0, len(runes)
	for low < high { // the longest beginning that fits with the ellipsis
		middle := (low + high + 1) / 2
		if width(strings.TrimRight(string(runes[:middle]), " -_/")+"…", size, bold) <= limit {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return strings.TrimRight(string(runes[:low]), " -_/") + "…"
}

// widths of letters in thousandths of the font's size, of the widest of the
// fonts that browsers take for sans-serif and system-ui.
var widths = func() (w [127]float64) {
	for i := range w {
		w[i] = 820
	}
	set := func(letters string, width ...float64) {
		for i := range letters {
			w[letters[i]] = width[min(i, len(width)-1)]
		}
	}
	set("abcdefghijklmnopqrstuvwxyz", 613, 635, 550, 635, 616, 353, 635, 634, 278, 345, 592, 278, 974, 634, 612, 635, 635, 427, 521, 394, 634, 592, 818, 592, 592, 525)
	set("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 685, 686, 699, 771, 633, 576, 776, 752, 422, 456, 694, 558, 864, 749, 788, 604, 788, 696, 685, 617, 733, 685, 990, 686, 616, 686)
	set("0123456789_$#*", 637)
	set(" .,:;'!|", 365, 365, 365, 454, 454, 300, 402, 455)
	set("-/\\()[]{}", 455, 455, 455, 455, 455, 455, 455, 637)
	set("@%", 1000, 1077)
	return w
}()

// width estimates how wide a text is at most.
func width(s string, size float64, bold bool) float64 {
	total := 0.0
	for _, r := range s {
		switch {
		case int(r) < len(widths):
			total += widths[r]
		case r == '…' || r == '·' || r == '→':
			total += 1000
		case r >= 0x1f000:
			total += 1400
		default:
			total += 1050
		}
	}
	if bold {
		total *= 1.15
	}
	return total * size / 1000
}

func plain(s string) bool {
	for _, r := range s {
		if int(r) >= len(widths) && r != '…' && r != '·' && r != '→' {
			return false
		}
	}
	return true
}
