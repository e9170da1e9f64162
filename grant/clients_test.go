package grant_test

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/grant"
)

// clientGoldens are the kinds whose clients are compared in full.
var clientGoldens = []string{"kinesis-stream", "rest-api", "role", "role-for-pods", "s3-bucket", "secret", "event-bus"}

func clients(t *testing.T, p *grant.Plan, o grant.ClientOptions) []grant.File {
	t.Helper()
	files, err := p.Clients(o)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Every kind has clients, which are valid Go in the form of gofmt; the others
// are run in test/snippets.
func TestClients(t *testing.T) {
	for _, file := range kindFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			p := compile(t, read(t, file), grant.CloudFormation)
			var all bytes.Buffer
			seen := map[string]bool{}
			for _, f := range clients(t, p, grant.ClientOptions{}) {
				if seen[f.Path] {
					t.Errorf("%s is written twice", f.Path)
				}
				seen[f.Path] = true
				if strings.HasSuffix(f.Path, ".go") {
					checkGo(t, f)
				}
				if strings.Contains(string(f.Data), "<no value>") || strings.Contains(string(f.Data), "unit:") {
					t.Errorf("%s has a hole:\n%s", f.Path, f.Data)
				}
				if strings.HasPrefix(f.Path, "bi/testing/") || strings.HasPrefix(f.Path, "vendor/") {
					all.WriteString("-- " + f.Path + " --\n")
					all.Write(f.Data)
				}
			}
			if containsName(clientGoldens, name) {
				compare(t, "testdata/clients/"+name+".golden", all.Bytes())
			}
		})
	}
}

func containsName(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}

func checkGo(t *testing.T, f grant.File) {
	t.Helper()
	if _, err := parser.ParseFile(token.NewFileSet(), f.Path, f.Data, parser.AllErrors); err != nil {
		t.Errorf("%s: %v\n%s", f.Path, err, f.Data)
		return
	}
	if formatted, err := format.Source(f.Data); err != nil || !bytes.Equal(formatted, f.Data) {
		t.Errorf("%s is not in the form of gofmt:\n%s\nwant\n%s", f.Path, f.Data, formatted)
	}
}

// The example of each grant is something that the grant allows.
func TestClientsShowWhatIsAllowed(t *testing.T) {
	shown := 0
	for _, file := range kindFiles(t) {
		p := compile(t, read(t, file), grant.CloudFormation)
		for _, e := range grant.ShownBy(p) {
			shown++
			if !containsName(e.Actions, e.Action) && e.Action != "sts:GetCallerIdentity" {
				t.Errorf("%s: %s in %s shows %s, which it does not allow: %v", file, e.Grant, e.Stage, e.Action, e.Actions)
			}
			if e.Action == "sts:GetCallerIdentity" && e.Kind != "role" {
				t.Errorf("%s: the kind %s has no example; add it to clients_operations.go", file, e.Kind)
			}
		}
	}
	if shown < 20 {
		t.Errorf("only %d examples", shown)
	}
}

func TestClientOptions(t *testing.T) {
	p := compile(t, read(t, "testdata/kinds/role.yaml"), grant.CloudFormation)
	for _, test := range []struct {
		options grant.ClientOptions
		want    string
	}{
		{grant.ClientOptions{Consumer: "vendor", Language: "python"}, "vendor/production/python/theirs.py"},
		{grant.ClientOptions{Consumer: "bi", Stage: "alpha", Language: "aws-config"}, "bi/alpha/aws-config bi/testing/aws-config"},
		{grant.ClientOptions{Grant: "ours", Stage: "production", Language: "go"}, "bi/production/go/ours/access.go"},
		{grant.ClientOptions{Consumer: "nobody"}, ""},
	} {
		var got []string
		for _, f := range clients(t, p, test.options) {
			got = append(got, f.Path)
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%+v: %s, want %s", test.options, s, test.want)
		}
	}
	for _, wrong := range []grant.ClientOptions{{Language: "cobol"}, {Session: time.Minute}, {Session: 2 * time.Hour}, {Session: 15*time.Minute + time.Millisecond}} {
		if files, err := p.Clients(wrong); err == nil || len(files) > 0 {
			t.Errorf("%+v was accepted", wrong)
		}
	}
}
