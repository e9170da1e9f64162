package grant

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// placeholder finds placeholders, and variables of the policy language.
var placeholder = regexp.MustCompile(`\$?\{[^{}]*\}`)

// placeholders are those that names may have.
// placeholder finds placeholders, and variables of the policy language.
var placeholders = []string{"stage", "app", "consumer", "consumer_stage", "region", "account", "resource", "access"}

// expandText puts values in the place of placeholders. The names of those that
// are unknown or have no value here are returned.
func expandText(s string, values map[string]string) (string, []string) {
	var missing []string
	out := placeholder.ReplaceAllStringFunc(s, func(p string) string {
		if p[0] == '$' {
			return p // a variable of the policy language
		}
		value, ok := values[p[1:len(p)-1]]
		if !ok {
			missing = append(missing, p)
		}
		return value
	})
	return out, missing
}

// camel turns a name into a part of a logical id: "orders-stream" into
// "OrdersStream".
func camel(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		for _, word := range strings.FieldsFunc(part, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// slug turns a name into a part of a stack's name: letters, digits and hyphens.
func slug(s string) string {
	return strings.Trim(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(s, "-"), "-")
}

func dnsSuffix(partition string) string {
	if p, ok := iam.LookupPartition(partition); ok {
		return p.DNSSuffix
	}
	return "amazonaws.com"
}

func roleARN(s *site, path, name string) string {
	if path == "" {
		path = "/"
	}
	return "arn:" + s.Partition + ":iam::" + s.ID + ":role" + path + name
}

func nearest(name string, known []string) string { return reference.Nearest(name, known) }

func cutPrefix(s, prefix string) (string, bool) { return strings.CutPrefix(s, prefix) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// expandKnown puts values in the place of the placeholders that have one, and
// leaves everything else as it is, braces included.
func expandKnown(s string, values map[string]string) string {
	return regexp.MustCompile(`\$?\{[a-z_]+\}`).ReplaceAllStringFunc(s, func(p string) string {
		value, ok := values[strings.Trim(p, "{}")]
		if p[0] == '$' || !ok {
			return p
		}
		return value
	})
}
