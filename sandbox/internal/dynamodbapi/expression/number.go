package expression

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Limits of a number.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
const (
	maxDigits   = 38
	maxExponent = 125  // of the first digit
	minExponent = -130 // of the first digit
)

// A decimal is the number ±0.DIGITS × 10^point. Digits begin and end with a
// digit other than zero; zero has none.
type decimal struct {
	negative bool
	digits   string
	point    int
}

// parseNumber reads a number as clients write it: "-12.50", "1e3".
func parseNumber(s string) (decimal, *wire.Error) {
	bad := Invalid("The parameter cannot be converted to a numeric value: %s", clip(s))
	rest, negative := strings.CutPrefix(s, "-")
	if !negative {
		rest = strings.TrimPrefix(rest, "+")
	}
	mantissa, exponentText, hasExponent := strings.Cut(strings.ToLower(rest), "e")
	exponent := 0
	if hasExponent {
		n, err := strconv.Atoi(exponentText)
		if err != nil || n > 10000 || n < -10000 {
			return decimal{}, bad
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(digits) > 1000 {
		return decimal{}, bad
	}
	return newDecimal(negative, digits, len(whole)+exponent)
}

// newDecimal trims zeros and checks the limits.
func newDecimal(negative bool, digits string, point int) (decimal, *wire.Error) {
	trimmed := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	switch {
	case trimmed == "":
		return decimal{}, nil
	case len(trimmed) > maxDigits:
		return decimal{}, Invalid("Attempting to store more than 38 significant digits in a Number")
	case point-1 > maxExponent:
		return decimal{}, Invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case point-1 < minExponent:
		return decimal{}, Invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return decimal{negative, trimmed, point}, nil
}

// String writes the number as DynamoDB returns it, without an exponent.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch n := len(d.digits); {
	case d.point <= 0:
		return sign + "0." + strings.Repeat("0", -d.point) + d.digits
	case d.point >= n:
		return sign + d.digits + strings.Repeat("0", d.point-n)
	}
	return sign + d.digits[:d.point] + "." + d.digits[d.point:]
}

// compare orders numbers by value.
func (d decimal) compare(o decimal) int {
	sign := func(x decimal) int {
		switch {
		case x.digits == "":
			return 0
		case x.negative:
			return -1
		}
		return 1
	}
	if a, b := sign(d), sign(o); a != b || a == 0 {
		return a - b
	}
	result := d.point - o.point
	if result == 0 {
		result = strings.Compare(d.digits, o.digits)
	}
	if d.negative {
		return -result
	}
	return result
}

// add returns d + o, or d - o.
func (d decimal) add(o decimal, subtract bool) (decimal, *wire.Error) {
	// Both as whole numbers of the smallest place that either has.
	place := min(d.point-len(d.digits), o.point-len(o.digits))
	whole := func(x decimal) *big.Int {
		n, _ := new(big.Int).SetString("0"+x.digits+strings.Repeat("0", x.point-len(x.digits)-place), 10)
		if x.negative {
			n.Neg(n)
		}
		return n
	}
	a, b := whole(d), whole(o)
	if subtract {
		b.Neg(b)
	}
	sum := a.Add(a, b)
	digits := new(big.Int).Abs(sum).String()
	return newDecimal(sum.Sign() < 0, digits, len(digits)+place)
}

// size is the number's share of an item's size in bytes: about one per two
// digits, and one more.
func (d decimal) size() int { return (len(d.digits)+1)/2 + 1 }

func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
