package setup

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A Brand adapts the pages to the vendor. Empty fields are left out.
type Brand struct {
	Name         string // how customers know the service
	LogoURL      string // https
	PrimaryColor string // "#0a7cff"
	SupportURL   string // https
	PrivacyURL   string // https
}

// Initial is what stands where a logo would be.
func (b Brand) Initial() string {
	for _, r := range b.Name {
		return strings.ToUpper(string(r))
	}
	return ""
}

const defaultColor = "#1f5fbf"

var colorPattern = regexp.MustCompile(`^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)

// checked returns the brand without links that are not https, without a color
// that is not hexadecimal, and without characters in the name that would turn
// around the text after it.
func (b Brand) checked() Brand {
	b.Name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, b.Name)
	if !colorPattern.MatchString(b.PrimaryColor) {
		b.PrimaryColor = defaultColor
	}
	for _, link := range []*string{&b.LogoURL, &b.SupportURL, &b.PrivacyURL} {
		if origin(*link) == "" {
			*link = ""
		}
	}
	return b
}

// origin returns the scheme and host of an https URL, or "" for anything else.
func origin(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return "https://" + u.Host
}

// A color is red, green and blue, 0 to 1 each.
type color [3]float64

var (
	white     = color{1, 1, 1}
	ink       = parseColor("#14181f")
	lightCard = white
	lightPage = parseColor("#f6f7f9")
	darkCard  = parseColor("#1a1f28")
)

// parseColor reads a color that colorPattern matches.
func parseColor(hex string) color {
	digits := hex[1:]
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	var c color
	for i := range c {
		n, _ := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		c[i] = float64(n) / 255
	}
	return c
}

func (c color) String() string {
	n := func(f float64) int { return int(math.Round(f * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", n(c[0]), n(c[1]), n(c[2]))
}

// luminance and contrast are WCAG's.
//
// https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
func (c color) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

func contrast(a, b color) float64 {
	l, m := a.luminance(), b.luminance()
	return (max(l, m) + 0.05) / (min(l, m) + 0.05)
}

// towards moves c to the target until it has the contrast with the background.
func (c color) towards(target, background color, wanted float64) color {
	moved := c
	for step := 1; step <= 20 && contrast(moved, background) < wanted; step++ {
		for i := range moved {
			moved[i] = c[i] + (target[i]-c[i])*float64(step)/20
		}
		moved = parseColor(moved.String()) // judge what will be written
	}
	return moved
}

// WCAG AA: text, and the edges of controls.
//
// https://www.w3.org/TR/WCAG22/#contrast-minimum
const (
	textContrast = 4.5
	edgeContrast = 3
)

// variables returns the brand's custom properties for the style sheet. Buttons
// have the vendor's color as it is, with the text that can be read on it and an
// edge that can be seen; links get the nearest color that can be read.
func (b Brand) variables() string {
	primary := parseColor(b.PrimaryColor)
	on := white
	if contrast(primary, white) < textContrast {
		on = ink
	}
	if contrast(primary, on) < textContrast {
		on = color{} // black can be read wherever white cannot
	}
	return fmt.Sprintf(":root{--primary:%s;--on-primary:%s;--edge-light:%s;--edge-dark:%s;--accent-light:%s;--accent-dark:%s}\n",
		strings.ToLower(b.PrimaryColor), on,
		primary.towards(color{}, lightCard, edgeContrast), primary.towards(white, darkCard, edgeContrast),
		primary.towards(color{}, lightPage, textContrast), primary.towards(white, darkCard, textContrast))
}
