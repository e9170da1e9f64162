package grant_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

// docs/grants-reference.md is made from the tables that read and compile
// manifests.
func TestReferenceIsPublished(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reference of crossaccount.yaml\n\nMade by `go test ./grant -update` from the tables that the compiler uses.\n\n## Keys\n")
	seen := map[reflect.Type]bool{}
	keys(&b, reflect.TypeFor[grant.Manifest](), "The file", seen)
	b.WriteString("\n## Kinds of resources\n")
	for _, name := range grant.Kinds() {
		d, _ := grant.Describe(name)
		fmt.Fprintf(&b, "\n### %s\n\n[%s](%s). Policy: %s.\n\n| access | means | actions |\n|---|---|---|\n", d.Kind, d.Title, d.Page, d.Policy)
		for _, a := range d.Access {
			actions := "`" + strings.Join(a.Actions, "`, `") + "`"
			if len(a.Consumer) > 0 {
				actions += "; on the consumer's side only `" + strings.Join(a.Consumer, "`, `") + "`"
			}
			if len(a.Key) > 0 {
				actions += "; on the key `" + strings.Join(a.Key, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Word, a.Meaning, actions)
		}
		b.WriteString("\n")
		if len(d.Narrowing) > 0 {
			fmt.Fprintf(&b, "- Narrowed by `only`: `%s`\n", strings.Join(d.Narrowing, "`, `"))
		}
		for _, l := range append(d.Limits, d.Caveats...) {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	compare(t, "../docs/grants-reference.md", []byte(b.String()))
}

// keys writes a table of the keys of a struct, and of those it contains.
func keys(b *strings.Builder, typ reflect.Type, title string, seen map[reflect.Type]bool) {
	if seen[typ] {
		return
	}
	seen[typ] = true
	fmt.Fprintf(b, "\n### %s\n\n| key | |\n|---|---|\n", title)
	type inner struct {
		typ   reflect.Type
		title string
	}
	var more []inner
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, ok := f.Tag.Lookup("key")
		if !ok {
			continue
		}
		name, required := strings.CutSuffix(key, ",required")
		doc := f.Tag.Get("doc")
		if required {
			doc += " Required."
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, doc)
		t := f.Type
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && t.Name() != "Member" {
			more = append(more, inner{t, t.Name()})
		}
	}
	for _, m := range more {
		keys(b, m.typ, m.title, seen)
	}
}
