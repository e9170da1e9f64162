package grant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

const schemaFile = "../docs/crossaccount.schema.json"

// The published schema is the one the reader's types make.
func TestSchemaIsPublished(t *testing.T) {
	compare(t, schemaFile, grant.Schema())
}

// formRules are the rules about the form of a manifest, which is what a schema
// can say.
var formRules = []string{grant.RuleUnknown, grant.RuleType, grant.RuleValue, grant.RuleMissing}

// Reader and schema agree about the form of every manifest there is: the schema
// refuses a file if and only if the reader finds something wrong with its form.
// The reader is the stricter one about what a schema cannot know, such as names
// that were never declared, which it reports under other rules or with other
// words; those files are listed.
func TestSchemaAgreesWithReader(t *testing.T) {
	python := testenv.Python(t, "jsonschema")
	dir := t.TempDir()
	beyond := map[string]bool{ // found with rules of form, but not by looking at one value
		"access-words": true, "keep": true, "permissions": true, "role-name": true, "nobody": true, "narrowing": true, "service-account": true, "state-machine": true, "endpoints": true, "id-from": true, "names": true, "meaning": true, "workflow": true, "stream-arn": true,
	}
	var files []string
	for _, pattern := range []string{"testdata/kinds/*.yaml", "testdata/wrong/*.yaml", "starter.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	want := map[string]bool{} // :: name → the reader objects to the form
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		data := read(t, file)
		_, err := grant.Parse(data)
		var e *grant.Error
		objects := false
		if errors.As(err, &e) {
			for _, p := range e.Problems {
				for _, rule := range formRules {
					objects = objects || p.Rule == rule
				}
			}
		}
		var value any
		if yaml.Load(data, &value) != nil {
			continue // no YAML, or a key twice: nothing a schema sees
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			continue
		}
		want[name] = objects && !beyond[name]
		if err := os.WriteFile(filepath.Join(dir, name+".json"), encoded, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `
import json, pathlib, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
v = Draft202012Validator(schema)
for f in sorted(pathlib.Path(sys.argv[2]).glob("*.json")):
    errors = list(v.iter_errors(json.load(open(f))))
    print(f.stem, "refused" if errors else "accepted")
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, schemaFile, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d answers for %d manifests:\n%s", len(lines), len(want), out)
	}
	refused := 0
	for _, line := range lines {
		name, answer, _ := strings.Cut(line, " ")
		if (answer == "refused") != want[name] {
			t.Errorf("%s: the schema %s it; the reader objects to its form: %v", name, answer, want[name])
		}
		if answer == "refused" {
			refused++
		}
	}
	if refused < 5 || refused == len(lines) {
		t.Errorf("%d of %d refused: that shows nothing", refused, len(lines))
	}
}
