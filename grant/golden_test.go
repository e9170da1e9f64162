package grant_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files")

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./grant -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./grant -update accepts it\n%s", file, diff)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compile(t *testing.T, data []byte, format grant.Format) *grant.Plan {
	t.Helper()
	m, err := grant.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// archive puts all files of a plan into one, for reading and comparing.
func archive(t *testing.T, p *grant.Plan) []byte {
	t.Helper()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range files {
		if f.Path != "plan.json" && f.Path != "remove.sh" {
			b.WriteString("-- " + f.Path + " --\n")
			b.Write(f.Data)
		}
	}
	return b.Bytes()
}

func kindFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/kinds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests of kinds", err)
	}
	return files
}

// Every kind has a manifest whose output is compared in full, and whose
// declared accesses and their neighbours are evaluated.
func TestKinds(t *testing.T) {
	for _, file := range kindFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			p := compile(t, read(t, file), grant.CloudFormation)
			compare(t, "testdata/kinds/"+name+".golden", archive(t, p))
			checked(t, p)
		})
	}
	for _, kind := range grant.Kinds() {
		if _, err := os.Stat("testdata/kinds/" + kind + ".yaml"); err != nil {
			t.Errorf("the kind %s has no manifest in testdata/kinds", kind)
		}
	}
}

// checked evaluates a plan, and expects that what was declared is allowed, that
// neighbours are denied, and that nothing is wrong with the documents.
func checked(t *testing.T, p *grant.Plan) {
	t.Helper()
	report, err := p.Check()
	if err != nil {
		t.Fatal(err)
	}
	if report.Allowed == 0 || report.Denied == 0 {
		t.Errorf("%d requests allowed and %d denied: nothing was shown", report.Allowed, report.Denied)
	}
	for _, f := range report.Failures {
		t.Errorf("%s in %s, %s (%s): %s %s by %s should be %s\n%s", f.Grant, f.Stage, f.Case, f.Side, f.Action, f.Resource, f.Principal, f.Want, f.Explanation)
	}
	for _, f := range report.Findings {
		t.Errorf("%s: %s", f.Document, f.Finding)
	}
}

// All formats hold the same access.
func TestFormats(t *testing.T) {
	for _, file := range kindFiles(t) {
		for _, format := range []grant.Format{grant.Terraform, grant.Policies} {
			data := read(t, file)
			if bytes.Contains(data, []byte("create:\n")) || bytes.Contains(data, []byte("create: {")) || bytes.Contains(data, []byte("name: \"{stage}/db\"")) {
				continue // only CloudFormation creates resources, and Terraform wants full ARNs of secrets
			}
			if format == grant.Policies && bytes.Contains(data, []byte("id_from: {")) {
				continue // plain policies have no parameters
			}
			p := compile(t, data, format)
			checked(t, p)
			if first, second := archive(t, p), archive(t, compile(t, data, format)); !bytes.Equal(first, second) {
				t.Errorf("%s: the same manifest gave different files", file)
			}
		}
	}
}

func writeOut(t *testing.T, p *grant.Plan) string {
	t.Helper()
	dir := t.TempDir()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cfn-lint knows CloudFormation's types and their properties better than we do.
func TestTemplatesPassCfnLint(t *testing.T) {
	tool := testenv.Tool(t, "cfn-lint")
	var templates []string
	for _, file := range append(kindFiles(t), "starter.yaml") {
		found, err := filepath.Glob(writeOut(t, compile(t, read(t, file), grant.CloudFormation)) + "/*/*/template.json")
		if err != nil {
			t.Fatal(err)
		}
		templates = append(templates, found...)
	}
	out, err := exec.CommandContext(t.Context(), tool, templates...).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// The scripts are valid shell.
func TestScriptsParse(t *testing.T) {
	tool := testenv.Tool(t, "sh")
	for _, file := range kindFiles(t) {
		dir := writeOut(t, compile(t, read(t, file), grant.CloudFormation))
		for _, script := range []string{"deploy.sh", "remove.sh"} {
			if out, err := exec.CommandContext(t.Context(), tool, "-n", filepath.Join(dir, script)).CombinedOutput(); err != nil {
				t.Errorf("%s of %s: %v\n%s", script, file, err, out)
			}
		}
	}
}

// Every way of every kind has something for it and something against it, and
// the considerations that people forget are among them: what a plan tells of a
// choice is what explain tells of the kind.
func TestWaysAreWeighed(t *testing.T) {
	for _, name := range grant.Kinds() {
		d, _ := grant.Describe(name)
		told := ""
		for _, way := range d.Ways {
			if len(way.For) == 0 || len(way.Against) == 0 {
				t.Errorf("%s, via %s: %d for, %d against", name, way.Via, len(way.For), len(way.Against))
			}
			told += strings.Join(append(way.For, way.Against...), " ")
		}
		for _, topic := range map[bool][]string{true: {"renews its credentials"}, false: {"One more role", "renews its credentials", "own permissions", "quotas", "VPC has endpoints"}}[name == "role"] {
			if !strings.Contains(told, topic) {
				t.Errorf("%s: nothing is told about %q", name, topic)
			}
		}
	}
	for _, file := range append(kindFiles(t), "starter.yaml") {
		p := compile(t, read(t, file), grant.CloudFormation)
		markdown := string(p.Markdown())
		for _, g := range p.Grants {
			w, ok := p.Weighings[g.Weighed]
			if !ok || len(w.For) == 0 || len(w.Against) == 0 || g.Via != "trust" && len(w.Instead) == 0 {
				t.Errorf("%s, %s: weighed %+v", file, g.Grant, w)
			}
			if !strings.Contains(markdown, "### "+g.Weighed+"\n") || !strings.Contains(markdown, w.Against[0]) {
				t.Errorf("%s: PLAN.md does not tell what was weighed for %s", file, g.Grant)
			}
		}
	}
}
