package eval

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A number is a decimal number of any length, held as the parts of its text, so
// that comparing is exact and does not allocate.
type number struct {
	negative bool
	whole    string // without leading zeros
	fraction string // without trailing zeros
}

func parseNumber(s string) (number, bool) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || len(s) > 40 {
			return number{}, false
		}
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	var n number
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.negative = s[0] == '-'
		s = s[1:]
	}
	whole, fraction, hasPoint := strings.Cut(s, ".")
	if whole == "" && fraction == "" || hasPoint && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return number{}, false
	}
	n.whole = strings.TrimLeft(whole, "0")
	n.fraction = strings.TrimRight(fraction, "0")
	if n.whole == "" && n.fraction == "" {
		n.negative = false
	}
	return n, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// compare returns -1, 0 or 1.
func (n number) compare(m number) int {
	switch {
	case n.negative && !m.negative:
		return -1
	case !n.negative && m.negative:
		return 1
	}
	c := len(n.whole) - len(m.whole)
	if c == 0 {
		c = strings.Compare(n.whole, m.whole)
	}
	if c == 0 {
		c = strings.Compare(n.fraction, m.fraction)
	}
	switch {
	case c == 0:
		return 0
	case (c < 0) != n.negative:
		return -1
	}
	return 1
}

// The notations of ISO 8601 that the W3C profile, which AWS names, allows.
var dateLayouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05.999999999-0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02",
	"2006-01",
	"2006",
}

// parseDate reads a date in ISO 8601 or in seconds since 1970. A policy may use
// one notation and the request the other. Four digits are a year.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Date
func parseDate(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if len(s) != 4 && len(s) <= 18 {
		digits, fraction, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
		if digits != "" && allDigits(digits) && allDigits(fraction) {
			seconds, err := strconv.ParseInt(digits, 10, 64)
			if err != nil {
				return time.Time{}, false
			}
			nanos := int64(0)
			if fraction != "" {
				nanos, err = strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
				if err != nil {
					return time.Time{}, false
				}
			}
			if s[0] == '-' {
				seconds, nanos = -seconds, -nanos
			}
			return time.Unix(seconds, nanos).UTC(), true
		}
	}
	if len(s) < 4 || len(s) > 40 {
		return time.Time{}, false
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseNetwork reads an address or an address with a prefix length. Without one
// the single address is meant.
func parseNetwork(s string) (netip.Prefix, bool) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		return p.Masked(), true
	}
	a, ok := parseAddress(s)
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// parseAddress reads an IPv4 or IPv6 address. An IPv4 address in IPv6 notation
// (::ffff:192.0.2.1) is the IPv4 address.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
