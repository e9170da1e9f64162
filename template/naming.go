package template

import (
	"strings"
	"unicode"
)

// SnakeCase turns a logical id into the name it has in Terraform and in shell
// scripts: "ExternalId" into "external_id". [Stack.Check] refuses two ids of
// one sort that would get the same name.
func SnakeCase(id string) string {
	var b strings.Builder
	runes := []rune(id)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
