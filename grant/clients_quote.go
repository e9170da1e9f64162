package grant

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
)

// jsonQuoted writes a text as a literal that JavaScript, TypeScript, Python and
// C# read alike: the escapes of JSON mean the same in each of them.
func jsonQuoted(s string) string {
	data, err := json.Marshal(strings.ToValidUTF8(s, "\ufffd"))
	if err != nil {
		return `""` // a text has no error
	}
	// JSON lets these stand; C# ends a line at the first one.
	return strings.NewReplacer("\u0085", `\u0085`, "\u007f", `\u007f`).Replace(string(data))
}

func goQuoted(s string) string { return strconv.Quote(strings.ToValidUTF8(s, "\ufffd")) }

// commentLine keeps a text on the line of its comment.
func commentLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// configValue keeps a text one value of the aws command's configuration, which
// has no quotes: what could end it or begin a comment is replaced.
func configValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '[' || r == ']' {
			return '_'
		}
		return r
	}, s)
}

// snakeCase is how Python names an operation: "list_objects_v2".
func snakeCase(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
