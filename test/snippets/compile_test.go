package snippets

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// modules returns what is written for every kind of resource, by language.
func modules(t *testing.T, language string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../grant/testdata/kinds/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal("no manifests of kinds", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made, err := compile(t, data).Clients(grant.ClientOptions{Language: language})
		if err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, f := range made {
			all[kind+"/"+f.Path] = f.Data
		}
	}
	return all
}

// What is written for Go compiles against the SDK, for every kind.
func TestGoCompiles(t *testing.T) {
	dir := t.TempDir()
	replace := map[string]string{}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range modules(t, "go") {
		n := fmt.Sprintf("made%d", len(replace))
		file := filepath.Join(dir, n+".go")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, "overlaid", n, filepath.Base(name))] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "./overlaid/...").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// What is written for Node.js and Python can be imported, for every kind: the
// packages have all that is named. Nothing is called, and there is no AWS where
// the environment says it is.
func TestModulesCanBeImported(t *testing.T) {
	node, npm := testenv.Tool(t, "node"), npmPackages(t)
	python, path := pythonPackages(t, signing)
	for language, program := range map[string][]string{
		"node":   {node, "testdata/import.mjs"},
		"python": {python, "testdata/import.py"},
	} {
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(npm, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		environment := []string{
			"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + path, "AWS_ENDPOINT_URL=http://127.0.0.1:9", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=none",
			"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		}
		n := 0
		for name, data := range modules(t, language) {
			file := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(string(data), "\n") {
				if words := strings.Fields(line); len(words) > 3 && words[2] == "must" && words[3] == "give" {
					environment = append(environment, words[1]+"=given")
				}
			}
			n++
		}
		c := exec.CommandContext(t.Context(), program[0], program[1], dir)
		c.Env = environment
		out, err := c.Output()
		if want := fmt.Sprintf("%d imported\n", n); err != nil || string(out) != want || n < 40 {
			t.Errorf("%s: %v: %s, want %s", language, err, out, want)
		}
	}
}

// What is written for .NET is C# without a mistake in its syntax, for every kind.
// The .NET SDK, which would also check the names, is not on machines like CI's.
func TestDotNetParses(t *testing.T) {
	python, path := pythonPackages(t, "tree-sitter==0.26.1", "tree-sitter-c-sharp==0.23.5")
	parse := func(files map[string][]byte) (string, error) {
		t.Helper()
		dir := t.TempDir()
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.CommandContext(t.Context(), python, "testdata/parse_csharp.py", dir)
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + path}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	all := modules(t, "dotnet")
	if out, err := parse(all); err != nil || out != fmt.Sprintf("%d parsed\n", len(all)) || len(all) < 40 {
		t.Errorf("%d modules: %v\n%s", len(all), err, out)
	}
	for name, data := range all { // the parser does find mistakes
		out, err := parse(map[string][]byte{name: append([]byte("class {\n"), data...)})
		if err == nil || !strings.Contains(out, ":1:") {
			t.Errorf("%s with a mistake: %v\n%s", name, err, out)
		}
		break
	}
}

// The CDK makes of the role what the plan says: TypeScript accepts the snippet,
// and the synthesised role has the trust, the managed policies and every
// statement.
func TestCDKRoleIsSynthesised(t *testing.T) {
	node, npm := testenv.Tool(t, "node"), npmPackages(t)
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(npm, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	checked := 0
	app := "import { App, Stack } from \"aws-cdk-lib\";\nconst app = new App();\n"
	for name, data := range modules(t, "cdk") {
		if !strings.Contains(name, "/testing/") || !strings.HasPrefix(name, "kinesis-stream/") && !strings.HasPrefix(name, "role-for-pods/") && !strings.HasPrefix(name, "rest-api/") && !strings.HasPrefix(name, "state-machine/") {
			continue
		}
		checked++
		file := fmt.Sprintf("role%d", checked)
		if err := os.WriteFile(filepath.Join(dir, file+".ts"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		props := ""
		if strings.Contains(string(data), "interface ConsumerRoleProps") {
			props = ", new Proxy({}, { get: (_, name) => `given-${String(name)}` }) as never"
		}
		app += fmt.Sprintf("import * as m%d from \"./%s.js\";\nnew m%d.ConsumerRole(new Stack(app, %q), \"Consumer\"%s);\n", checked, file, checked, "S"+fmt.Sprint(checked)+"-"+strings.NewReplacer("/", "-", ".", "-", "_", "-").Replace(name), props)
	}
	app += "process.stdout.write(JSON.stringify(app.synth().stacks.map((s) => ({ name: s.stackName, template: s.template }))));\n"
	for name, content := range map[string]string{
		"app.ts":        app,
		"package.json":  `{"type": "commonjs"}`,
		"tsconfig.json": `{"compilerOptions": {"strict": true, "target": "es2022", "module": "node16", "moduleResolution": "node16", "skipLibCheck": true, "types": ["node"]}, "files": ["app.ts"]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tsc := exec.CommandContext(t.Context(), node, filepath.Join(npm, "node_modules", "typescript", "lib", "tsc.js"), "-p", dir)
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.CommandContext(t.Context(), node, filepath.Join(dir, "app.js"))
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stacks []struct {
		Name     string
		Template struct {
			Resources map[string]struct {
				Type       string
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(out, &stacks); err != nil || len(stacks) != checked || checked < 4 {
		t.Fatalf("%d of %d stacks: %v", len(stacks), checked, err)
	}
	for _, s := range stacks {
		roles, policies := 0, 0
		for _, r := range s.Template.Resources {
			text, err := json.Marshal(r.Properties)
			if err != nil {
				t.Fatal(err)
			}
			switch r.Type {
			case "AWS::IAM::Role":
				roles++
				want := []string{`"Action":"sts:AssumeRole"`}
				switch {
				case strings.Contains(s.Name, "kinesis-stream-bi-testing-cdk-testing-Kinesis"):
					want = append(want, `"Service":"lambda.amazonaws.com"`, "service-role/AWSLambdaKinesisExecutionRole", "service-role/AWSLambdaBasicExecutionRole")
				case strings.Contains(s.Name, "role-for-pods-bi-testing-cdk-testing-bi"):
					want = []string{"sts:AssumeRoleWithWebIdentity", "system:serviceaccount:reports:reader", "oidc-provider"}
				case strings.Contains(s.Name, "tagged"):
					want = []string{"pods.eks.amazonaws.com", "sts:TagSession"}
				}
				for _, w := range want {
					if !strings.Contains(string(text), w) {
						t.Errorf("%s: the role lacks %s: %s", s.Name, w, text)
					}
				}
			case "AWS::IAM::Policy":
				policies++
			}
		}
		if roles != 1 || policies != 1 {
			t.Errorf("%s: %d roles and %d policies", s.Name, roles, policies)
		}
	}
}
