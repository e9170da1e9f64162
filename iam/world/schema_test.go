package world_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/world"
)

// The schema has the fields of the Go types, no more and no fewer, and requires
// the same ones.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(world.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	defs := schema["$defs"].(map[string]any)
	for name, typ := range map[string]reflect.Type{
		"":               reflect.TypeFor[world.Snapshot](),
		"organization":   reflect.TypeFor[world.Organization](),
		"node":           reflect.TypeFor[world.Node](),
		"member":         reflect.TypeFor[world.Member](),
		"account":        reflect.TypeFor[world.Account](),
		"control_policy": reflect.TypeFor[world.ControlPolicy](),
		"managed_policy": reflect.TypeFor[world.ManagedPolicy](),
		"policy_version": reflect.TypeFor[world.PolicyVersion](),
		"inline_policy":  reflect.TypeFor[world.InlinePolicy](),
		"user":           reflect.TypeFor[world.User](),
		"group":          reflect.TypeFor[world.Group](),
		"role":           reflect.TypeFor[world.Role](),
		"provider":       reflect.TypeFor[world.Provider](),
		"resource":       reflect.TypeFor[world.Resource](),
		"endpoint":       reflect.TypeFor[world.Endpoint](),
	} {
		def := schema
		if name != "" {
			def = defs[name].(map[string]any)
		}
		var fields, required []string
		for i := range typ.NumField() {
			tag, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			fields = append(fields, tag)
			if options != "omitempty" {
				required = append(required, tag)
			}
		}
		var inSchema, requiredInSchema []string
		for field := range def["properties"].(map[string]any) {
			inSchema = append(inSchema, field)
		}
		for _, field := range def["required"].([]any) {
			requiredInSchema = append(requiredInSchema, field.(string))
		}
		for _, list := range [][]string{fields, required, inSchema, requiredInSchema} {
			slices.Sort(list)
		}
		if diff := cmp.Diff(fields, inSchema) + cmp.Diff(required, requiredInSchema); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
		if def["additionalProperties"] != false {
			t.Errorf("%s: the schema lets other fields in", typ)
		}
	}
}
