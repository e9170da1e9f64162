package snippets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const manifest = `
version: 1
accounts:
  shop: {id: "111111111111", regions: [us-east-1]}
  bi: {id: "333333333333", regions: [us-east-1]}
apps: {shop: {accounts: {alpha: shop}}}
consumers:
  bi: {accounts: {testing: bi}, role: {name: "{consumer_stage}-bi"}}
resources:
  events: {kind: kinesis-stream, name: "{stage}-events", create: {ShardCount: 1}}
  orders:
    kind: rest-api
    name: "{stage}-orders"
    create:
      Body:
        openapi: 3.0.1
        info: {title: orders, version: "1"}
        components:
          securitySchemes:
            sigv4: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}
        paths:
          /orders:
            get: &method
              security: [{sigv4: []}]
              responses: {"200": {description: the orders}}
              x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}, responses: {default: {statusCode: "200"}}}
            post: *method
grants:
  - {name: orders, consumer: bi, resource: orders, access: read, only: {paths: [orders]}}
  - {name: readers, consumer: bi, resource: orders, access: read, only: {paths: [orders]}, via: role}
  - {name: events, consumer: bi, resource: events, access: read}
  - {name: borrowed, consumer: bi, resource: events, access: read, via: role}
`

// A world is the plan deployed, its clients, and a clock that starts behind.
type world struct {
	box      *sandboxtest.Sandbox
	plan     *grant.Plan
	folder   string // of the clients of bi in testing
	endpoint string
	api      string // its id
	ahead    atomic.Int64
	role     sandbox.Credentials // sessions of the consumer's role
	consumer aws.Config
}

func newWorld(t *testing.T, ahead time.Duration) *world {
	t.Helper()
	w := &world{}
	w.ahead.Store(int64(ahead))
	w.box = sandboxtest.NewWith(t, sandbox.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }}, "111111111111", "333333333333")
	arn := w.box.Account("333333333333").Role("testing-bi", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"sts:AssumeRole"}]}`, nil)
	user := w.box.Account("333333333333").User("starter", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	w.consumer = w.box.Assume(user, arn)
	credentials, err := w.consumer.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.role = sandbox.Credentials{AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey, SessionToken: credentials.SessionToken}
	w.plan = compile(t, []byte(manifest))
	w.deploy(t)
	w.endpoint = w.box.Serve()
	dir := t.TempDir()
	files, err := w.plan.Clients(grant.ClientOptions{Session: 15 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	w.folder = filepath.Join(dir, "bi", "testing")
	return w
}

func compile(t *testing.T, data []byte) *grant.Plan {
	t.Helper()
	m, err := grant.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, dir string, files []grant.File) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// deploy does what the commands of the plan do, and finds the API.
func (w *world) deploy(t *testing.T) {
	t.Helper()
	d := sandboxtest.NewDeployment(w.box.Sandbox, w.plan)
	if err := d.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	created, ok := w.plan.Created("orders", "alpha")
	if !ok {
		t.Fatal("the plan creates no API")
	}
	var err error
	if w.api, err = d.PhysicalID(t.Context(), created); err != nil {
		t.Fatal(err)
	}
}

// environment is that of a consumer's program: its role's credentials and the
// sandbox in the place of AWS.
func (w *world) environment(more ...string) []string {
	url := w.endpoint + "/execute-api/" + w.api + "/alpha"
	return append(w.box.Environment(w.endpoint, w.role), append([]string{"ORDERS_URL=" + url, "READERS_URL=" + url}, more...)...)
}

// A program is a consumer's program that makes the calls it is asked for.
type program struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
	err *bytes.Buffer
}

func start(t *testing.T, environment []string, name string, args ...string) *program {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = environment
	p := &program{t: t, err: &bytes.Buffer{}}
	c.Stderr = p.err
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	return p
}

type answer struct {
	Status int
	Error  string
}

func (p *program) call(method, path string) answer {
	p.t.Helper()
	return p.ask(map[string]any{"method": method, "path": path})
}

func (p *program) ask(what map[string]any) answer {
	p.t.Helper()
	ask, err := json.Marshal(what)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(ask, '\n')); err != nil || !p.out.Scan() {
		p.t.Fatalf("no answer: %v\n%s", err, p.err)
	}
	var a answer
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		p.t.Fatalf("%v in %s", err, p.out.Bytes())
	}
	return a
}

// A language is how the modules of one are run. Sessions last fifteen minutes,
// and clients may be wrong about the time by as much. Going from fourteen minutes
// before to two minutes after makes a session end without waiting for it. The SDK
// for JavaScript learns from answers how wrong its clock is; so there the
// program's clock goes along. Its client for Kinesis speaks HTTP/2 only.
type language struct {
	before, after time.Duration // of the sandbox's clock, against the machine's
	along         bool
	start         func(t *testing.T, w *world, name string, api bool) *program
}

var languages = map[string]language{
	"node":   {0, 16 * time.Minute, true, startNode},
	"python": {-14 * time.Minute, 2 * time.Minute, false, startPython},
	"go":     {-14 * time.Minute, 2 * time.Minute, false, startGo},
}

func startNode(t *testing.T, w *world, name string, _ bool) *program {
	t.Helper()
	linkModules(t, w)
	return start(t, w.environment(), "node", "testdata/driver.mjs", filepath.Join(w.folder, "node", name+".mjs"))
}

// linkModules puts packages where Node.js looks for them: beside the module.
func linkModules(t *testing.T, w *world) {
	t.Helper()
	modules, link := npmPackages(t), filepath.Join(w.folder, "node_modules")
	if _, err := os.Lstat(link); err == nil {
		return
	}
	if err := os.Symlink(filepath.Join(modules, "node_modules"), link); err != nil {
		t.Fatal(err)
	}
}

func startPython(t *testing.T, w *world, name string, _ bool) *program {
	t.Helper()
	python, path := pythonPackages(t, signing)
	return start(t, w.environment("PYTHONPATH="+path), python, "testdata/driver.py", filepath.Join(w.folder, "python", name+".py"))
}

func startGo(t *testing.T, w *world, name string, api bool) *program {
	t.Helper()
	driver := "testdata/driver_sdk.go.txt"
	if api {
		driver = "testdata/driver_api.go.txt"
	}
	dir := t.TempDir()
	for file, from := range map[string]string{"access.go": filepath.Join(w.folder, "go", name, "access.go"), "main.go": driver} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.Replace(data, []byte("\npackage access\n"), []byte("\npackage main\n"), 1)
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, filepath.Join(dir, "access.go"), filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return start(t, w.environment(), binary)
}

// The modules of each language use what was granted, with their own credentials
// and through a role; what was not granted is refused; and when a session has
// ended they go on with a new one.
func TestSnippetsWork(t *testing.T) {
	for name, l := range languages {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, l.before)
			orders, readers := l.start(t, w, "orders", true), l.start(t, w, "readers", true)
			events, borrowed := l.start(t, w, "events", false), l.start(t, w, "borrowed", false)
			all := func() {
				t.Helper()
				for name, p := range map[string]*program{"orders": orders, "readers": readers} {
					if a := p.call("GET", "/orders"); a.Status != 200 {
						t.Errorf("%s: GET: %+v", name, a)
					}
					if a := p.call("POST", "/orders"); a.Status != 403 {
						t.Errorf("%s: POST: %+v, want 403", name, a)
					}
				}
				for name, p := range map[string]*program{"events": events, "borrowed": borrowed} {
					if a := p.call("", ""); a.Status != 200 {
						t.Errorf("%s: %+v", name, a)
					}
				}
			}
			all()
			old := w.box.Assume(w.consumer, "arn:aws:iam::111111111111:role/"+w.assumed(t, "readers"), func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) })
			first := w.sessions("execute-api")
			w.ahead.Store(int64(l.after))
			for _, p := range []*program{orders, readers, events, borrowed} {
				if l.along {
					p.ask(map[string]any{"ahead": l.after.Milliseconds()})
				}
			}
			if _, err := sts.NewFromConfig(old).GetCallerIdentity(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "ExpiredToken") {
				t.Fatalf("a session that began before should have ended: %v", err)
			}
			all()
			if second := w.sessions("execute-api"); len(second) <= len(first) {
				t.Errorf("the API was called with the keys %v, and after the end of the session with %v", first, second)
			}
		})
	}
}

// assumed returns the name of the role that a grant's consumer assumes.
func (w *world) assumed(t *testing.T, name string) string {
	t.Helper()
	i := slices.IndexFunc(w.plan.Grants, func(g grant.Given) bool { return g.Grant == name })
	_, role, ok := strings.Cut(w.plan.Grants[i].Assume, ":role/")
	if !ok {
		t.Fatalf("%s assumes no role", name)
	}
	return role
}

// sessions returns the access keys with which a service was called successfully.
func (w *world) sessions(service string) []string {
	var keys []string
	for _, c := range w.box.Calls() {
		if c.Service == service && c.Status == 200 && !slices.Contains(keys, c.AccessKeyID) {
			keys = append(keys, c.AccessKeyID)
		}
	}
	return keys
}

// Programs that are told nothing else find out what only AWS knows from whoever
// starts them, or say what is missing.
func TestMissingAddressIsNamed(t *testing.T) {
	w := newWorld(t, 0)
	environment := slices.DeleteFunc(w.environment(), func(s string) bool { return strings.HasPrefix(s, "ORDERS_URL=") })
	linkModules(t, w)
	c := exec.CommandContext(t.Context(), "node", filepath.Join(w.folder, "node", "orders.mjs"))
	c.Env = environment
	if out, err := c.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("set ORDERS_URL")) {
		t.Errorf("%v: %s", err, out)
	}
	// And the example at the end of a module runs as it is.
	c = exec.CommandContext(t.Context(), "node", filepath.Join(w.folder, "node", "orders.mjs"))
	c.Env = w.environment()
	if out, err := c.CombinedOutput(); err != nil || fmt.Sprint(string(out)) != "200\n" {
		t.Errorf("%v: %s", err, out)
	}
}
