package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever reads services.bin must be able to trust that nobody edited it: the
// committed tables are exactly what the generator makes of the pinned package.
func TestCommittedDataIsGenerated(t *testing.T) {
	dir, err := fetch(t.TempDir())
	if err != nil {
		missing(t, fmt.Sprintf("the committed service reference was NOT compared with its source: %v", err))
	}
	tables, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	generated, err := pack(tables)
	if err != nil {
		t.Fatal(err)
	}
	want, err := unpackText(generated)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.FromSlash("../../iam/reference")
	committed, err := os.ReadFile(filepath.Join(root, dataFile))
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackText(committed)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s differs from what the generator makes; run go run ./genreference. %s", dataFile, firstDifference(got, want))
	}
	licence, err := os.ReadFile(filepath.Join(root, licenceFile))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(dir, "LICENSE.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if string(licence) != string(source) {
		t.Errorf("%s is not the package's licence", licenceFile)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "first difference: committed " + g[i] + ", generated " + w[i]
		}
	}
	return "one is longer"
}

func testTables() *Tables {
	return &Tables{Version: "1", Services: []Service{{
		Prefix:        "x",
		Name:          "Example",
		RCP:           true,
		Keys:          []Key{{"x:Key", "s"}},
		ResourceTypes: []ResourceType{{Name: "thing", ARN: "x:::${Thing}"}, {Name: "part", ARN: "x:::${Thing}/${Part}", Keys: []int{0}}},
		Actions: []Action{
			{Name: "GetThing", Level: "R", Resources: []ActionResource{{Type: 0, Required: true, Keys: []int{0}}, {Type: 1}}, Keys: []int{0}},
			{Name: "ListThings", Level: "L"},
		},
	}}}
}

func TestPack(t *testing.T) {
	file, err := pack(testTables())
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackText(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "1\nx\tExample\trcp\nk\tx:Key\ts\nr\tthing\tx:::${Thing}\nr\tpart\tx:::${Thing}/${Part}\t0\na\tGetThing\tR\t0!/0,1\t0\na\tListThings\tL\n"
	if got != want {
		t.Errorf("packed text\n%s\nwant\n%s", got, want)
	}
	for _, damaged := range [][]byte{nil, file[:3], file[:len(file)-1], append([]byte{255}, file...), append(file[:len(file):len(file)], 0)} {
		if _, err := unpackText(damaged); err == nil {
			t.Errorf("unpackText accepted a damaged file of %d bytes", len(damaged))
		}
	}
}

// A newer package with facts the format has no place for must stop the
// generator.
func TestReadRefusesWhatItCannotExpress(t *testing.T) {
	good := map[string]string{
		"package.json":                   `{"version":"1"}`,
		"data/services.json":             `["x"]`,
		"data/serviceNames.json":         `{"x":"Example"}`,
		"data/rcpSupportedServices.json": `["x"]`,
		"data/conditionKeys/x.json":      `{"x:key":{"key":"x:Key","type":"String"}}`,
		"data/resourceTypes/x.json":      `{"thing":{"key":"thing","arn":"arn:${Partition}:x:::${Thing}"}}`,
		"data/actions/x.json":            `{"getthing":{"name":"GetThing","accessLevel":"Read","resourceTypes":[{"name":"thing"}],"conditionKeys":["x:Key"]}}`,
	}
	write := func(t *testing.T, replace map[string]string) string {
		dir := t.TempDir()
		for name, content := range good {
			if r, ok := replace[name]; ok {
				content = r
			}
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	if _, err := read(write(t, nil)); err != nil {
		t.Fatalf("the good package: %v", err)
	}
	bad := map[string]map[string]string{
		"unknown access level":  {"data/actions/x.json": `{"a":{"name":"A","accessLevel":"Guess"}}`},
		"dependent actions":     {"data/actions/x.json": `{"a":{"name":"A","accessLevel":"Read","dependentActions":["x:B"]}}`},
		"unknown resource type": {"data/actions/x.json": `{"a":{"name":"A","accessLevel":"Read","resourceTypes":[{"name":"other"}]}}`},
		"unknown key type":      {"data/conditionKeys/x.json": `{"x:key":{"key":"x:Key","type":"Colour"}}`},
		"ARN without partition": {"data/resourceTypes/x.json": `{"thing":{"key":"thing","arn":"arn:aws:x:::thing"}}`},
		"broken JSON":           {"data/services.json": `[`},
	}
	for name, replace := range bad {
		t.Run(name, func(t *testing.T) {
			if _, err := read(write(t, replace)); err == nil {
				t.Error("read accepted it")
			}
		})
	}
}

// missing skips loudly, as internal/testenv of the product's module does, and
// not at all with CI=true.
func missing(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and with CI=true this test must not be skipped", reason)
	}
	if name := os.Getenv("CROSSACCOUNT_SKIPPED"); name != "" {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := fmt.Fprintf(f, "%s: %s\n", t.Name(), reason); err != nil {
			t.Fatal(err)
		}
	}
	t.Skip("SKIPPED: " + reason)
}
