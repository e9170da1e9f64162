// Package archtest keeps the house in order: it fails when a package imports
// what docs/architecture.md says it may not.
//
// It parses the source itself. A test that asked `go list` would stay green
// from the test cache, which does not know what the command looked at.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/crossaccount/crossaccount"

// floors is the house from the roof down. A room may import rooms of lower
// floors only. A package belongs to the room with the longest matching name,
// and the packages of one room may import each other, unless the room is
// divided further (iam/… and sandbox/… are).
var floors = [][]string{
	{"cmd"},
	{"internal/cli"},
	{"internal/server"},
	{"internal/console", "internal/jobs", "internal/smoke", "internal/conformance"},
	{"api", "store/sqlite", "store/postgres", "store/dynamodb", "keys"},
	{"store/storetest", "sandbox/sandboxtest", "grant/picture"},
	{".", "grant", "sandbox"},
	{"sandbox/internal/cfnapi"},
	{"sandbox/internal/snsapi", "sandbox/internal/eventsapi", "sandbox/internal/sfnapi", "sandbox/internal/eksapi"},
	{"sandbox/internal/lambdaapi"},
	{"sandbox/internal/iamapi", "sandbox/internal/s3api", "sandbox/internal/stsapi", "sandbox/internal/secretsapi", "sandbox/internal/ssmapi", "sandbox/internal/sqsapi", "sandbox/internal/kinesisapi", "sandbox/internal/ecrapi", "sandbox/internal/codeartifactapi", "sandbox/internal/dynamodbapi", "sandbox/internal/apigatewayapi"},
	{"sandbox/internal/kmsapi"},
	{"sandbox/internal/dynamodbapi/expression", "sandbox/internal/sfnapi/asl"},
	{"sandbox/internal/awsjson", "sandbox/internal/restjson"},
	{"sandbox/internal/authz"},
	{"sandbox/internal/directory"},
	{"sandbox/internal/wire", "sandbox/internal/sigv4", "sandbox/internal/overview", "sandbox/internal/oidc"},
	{"template/policies"},
	{"template/cfn", "template/terraform", "template/script"},
	{"template", "broker", "setup"},
	{"iam/prove"},
	{"iam/lint", "iam/world"},
	{"iam/eval"},
	{"iam/reference"},
	{"iam"},
}

// testOnly rooms may be imported by tests alone.
var testOnly = []string{"internal/testenv", "internal/servetest", "internal/archtest", "template/internal/stacktest"}

// heavy modules must not be linked by the packages that others embed.
var heavy = []string{
	"github.com/riverqueue/", "riverqueue.com/", "go.opentelemetry.io/otel/sdk", "modernc.org/sqlite",
	"github.com/jackc/pgx", "database/sql",
}

// embedded are the packages a library user imports.
var embedded = []string{".", "iam", "grant", "broker", "sandbox", "template", "api"}

// awsSDK is allowed in these rooms only.
var awsSDK = []string{".", "broker", "sandbox/sandboxtest", "store/dynamodb", "keys", "internal/cli", "internal/server", "internal/jobs", "internal/smoke", "internal/console", "internal/servetest", "internal/conformance"}

type goFile struct {
	path    string // of the file, relative to the module
	pkg     string // of the package, relative to the module, "." for the root
	imports []string
	isTest  bool
}

func TestImportsPointDownwards(t *testing.T) {
	files := parseModule(t)
	if len(files) < 20 {
		t.Fatalf("found only %d files; is the module's root still two folders up?", len(files))
	}
	for _, f := range files {
		if f.isTest {
			continue
		}
		from, ok := roomOf(f.pkg)
		if !ok && !slices.Contains(testOnly, f.pkg) {
			t.Errorf("%s: the room %q is not in the house; add it to floors and to docs/architecture.md", f.path, f.pkg)
			continue
		}
		if !ok {
			from.name = f.pkg // of tests, beside the house
		}
		for _, imported := range f.imports {
			if p, inside := insideModule(imported); inside {
				checkInside(t, f, from, p)
			} else {
				checkOutside(t, f, from, imported)
			}
		}
	}
}

func checkInside(t *testing.T, f goFile, from room, imported string) {
	t.Helper()
	if slices.Contains(testOnly, imported) {
		t.Errorf("%s imports %s, which is for tests", f.path, imported)
		return
	}
	to, ok := roomOf(imported)
	switch {
	case !ok:
		t.Errorf("%s imports %s, which is in no room", f.path, imported)
	case to.name == from.name:
	case to.floor <= from.floor:
		t.Errorf("%s (room %s) imports %s (room %s): imports point downwards only", f.path, from.name, imported, to.name)
	}
}

func checkOutside(t *testing.T, f goFile, from room, imported string) {
	t.Helper()
	first, _, _ := strings.Cut(imported, "/")
	standard := !strings.Contains(first, ".")
	if strings.HasPrefix(from.name, "iam") && !standard {
		t.Errorf("%s imports %s: iam/… is standard library only", f.path, imported)
	}
	if strings.HasPrefix(imported, "github.com/aws/") && !slices.Contains(awsSDK, from.name) {
		t.Errorf("%s imports %s: the AWS SDK has no place in room %s", f.path, imported, from.name)
	}
	pure := from.name == "grant" || strings.HasPrefix(from.name, "iam") || strings.HasPrefix(from.name, "template")
	if pure && slices.Contains([]string{"os", "net", "net/http", "database/sql", "os/exec"}, imported) {
		t.Errorf("%s imports %s: room %s is pure", f.path, imported, from.name)
	}
}

// A library user must not link a database or a job engine by importing us.
func TestEmbeddedPackagesLinkNothingHeavy(t *testing.T) {
	files := parseModule(t)
	imports := map[string][]string{}
	for _, f := range files {
		if !f.isTest {
			imports[f.pkg] = append(imports[f.pkg], f.imports...)
		}
	}
	for pkg := range imports {
		r, ok := roomOf(pkg)
		if !ok || !slices.ContainsFunc(embedded, func(e string) bool { return r.name == e || strings.HasPrefix(r.name, e+"/") }) {
			continue
		}
		seen := map[string]bool{}
		var visit func(string, []string)
		visit = func(p string, trail []string) {
			if seen[p] {
				return
			}
			seen[p] = true
			trail = append(trail, p)
			for _, imported := range imports[p] {
				if inside, ok := insideModule(imported); ok {
					visit(inside, trail)
					continue
				}
				for _, h := range heavy {
					if strings.HasPrefix(imported, h) {
						t.Errorf("%s links %s by way of %s", pkg, imported, strings.Join(trail, " > "))
					}
				}
			}
		}
		visit(pkg, nil)
	}
}

type room struct {
	name  string
	floor int // 0 is the roof
}

func roomOf(pkg string) (room, bool) {
	best := room{floor: -1}
	for floor, rooms := range floors {
		for _, name := range rooms {
			if (pkg == name || strings.HasPrefix(pkg, name+"/")) && len(name) > len(best.name) {
				best = room{name, floor}
			}
		}
	}
	return best, best.floor >= 0
}

func insideModule(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// parseModule reads the imports of all Go files of the product's module.
func parseModule(t *testing.T) []goFile {
	t.Helper()
	const root = "../.."
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var files []goFile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (nested == nil || strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := goFile{path: relative, pkg: filepath.ToSlash(filepath.Dir(relative)), isTest: strings.HasSuffix(name, "_test.go")}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
