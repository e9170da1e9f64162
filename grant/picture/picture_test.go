package picture_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/grant/picture"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files")

var layouts = []picture.Layout{picture.Auto, picture.Flow, picture.Table}

// A shape says how large a manifest is, and which of its grants exist.
type shape struct {
	stages, apps, users int
	name                string // before every other name
	given               func(app, user, resource int) bool
}

// manifest makes a manifest of a shape. Every app has a stream, a queue and a
// role.
func (s shape) matrix(t interface {
	Helper()
	Fatal(args ...any)
}) *grant.Matrix {
	t.Helper()
	theirs := map[string]string{"alpha": "testing", "beta": "staging", "prod": "production"}
	stages := []string{"alpha", "beta", "prod"}[:s.stages]
	m := &grant.Manifest{Version: 1, Accounts: map[string]grant.Account{}, Apps: map[string]grant.App{}, Consumers: map[string]grant.Consumer{}, Resources: map[string]grant.Resource{}}
	id := 100000000000
	account := func(name string) string {
		id++
		m.Accounts[name] = grant.Account{ID: fmt.Sprint(id), Regions: []string{"eu-central-1"}}
		return name
	}
	for a := range s.apps {
		app := fmt.Sprintf("orders%d", a)
		accounts := map[string]string{}
		for _, stage := range stages {
			accounts[stage] = account(app + "-" + stage)
		}
		m.Apps[app] = grant.App{Accounts: accounts}
		m.Resources[app+"-events"] = grant.Resource{Kind: "kinesis-stream", App: app, Name: grant.ByStage{"": fmt.Sprintf("{stage}-events-%d", a)}}
		m.Resources[app+"-jobs"] = grant.Resource{Kind: "sqs-queue", App: app, Name: grant.ByStage{"": fmt.Sprintf("{stage}-jobs-%d", a)}}
		m.Resources[app+"-reader"] = grant.Resource{Kind: "role", App: app, Name: grant.ByStage{"": fmt.Sprintf("{stage}-reader-%d", a)}, Permissions: []grant.Permission{{Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::x/*"}}}}
	}
	for u := range s.users {
		user := fmt.Sprintf("user%d", u)
		accounts := map[string]string{}
		for _, stage := range stages {
			accounts[theirs[stage]] = account(user + "-" + theirs[stage])
		}
		m.Consumers[user] = grant.Consumer{Accounts: accounts, Role: &grant.Role{Name: fmt.Sprintf("{consumer_stage}-user-%d", u)}}
		for a := range s.apps {
			for r, resource := range []struct{ name, access string }{{"events", "read"}, {"jobs", "send"}, {"reader", "assume"}} {
				if s.given(a, u, r) {
					m.Grants = append(m.Grants, grant.Grant{Name: fmt.Sprintf("g%d-%d-%d", u, a, r), Consumer: user, Resource: fmt.Sprintf("orders%d-%s", a, resource.name), Access: []string{resource.access}})
				}
			}
		}
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	matrix := p.Matrix()
	for i := range matrix.Rows {
		for _, side := range []*grant.Participant{&matrix.Rows[i].Consumer, &matrix.Rows[i].Resource} {
			side.Name, side.Owner, side.Account = s.name+side.Name, s.name+side.Owner, s.name+side.Account
		}
	}
	return matrix
}

// of returns a manifest with as many accounts.
func of(t *testing.T, accounts int) *grant.Matrix {
	s := map[int]shape{
		3:  {stages: 1, apps: 2, users: 1},
		12: {stages: 2, apps: 3, users: 3},
		60: {stages: 3, apps: 10, users: 10},
	}[accounts]
	s.given = func(a, u, r int) bool { return (a*7+u*3+r)%4 < 2 && r == a%3 || accounts == 3 && r < 2 }
	return s.matrix(t)
}

// No two texts meet and nothing leaves the picture, however many accounts there
// are and whatever they are called.
func TestTextsDoNotMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := shape{
			stages: rapid.IntRange(1, 3).Draw(t, "stages"), apps: rapid.IntRange(1, 9).Draw(t, "apps"), users: rapid.IntRange(1, 9).Draw(t, "users"),
			name: rapid.SampledFrom([]string{"a", "orders", "WWWWWWWWWWWWWWWW", "a-team-with-a-very-long-name-that-nobody-can-read-in-a-picture", "団体", "<b>&\"'", "👩‍👩‍👧", "e\u0301", "-_-", "a\nb"}).Draw(t, "name"),
		}
		bits := rapid.SliceOfN(rapid.Bool(), s.apps*s.users*3, s.apps*s.users*3).Draw(t, "given")
		bits[0] = true
		s.given = func(a, u, r int) bool { return bits[(a*s.users+u)*3+r] }
		m := s.matrix(t)
		for _, layout := range layouts {
			boxes, width, height := picture.TextBoxes(m, layout)
			for i, a := range boxes {
				if a.X < 0 || a.Y < 0 || a.X+a.W > width || a.Y+a.H > height {
					t.Fatalf("%s: %q leaves the picture: %+v of %v × %v", layout, a.Text, a, width, height)
				}
				for _, b := range boxes[i+1:] {
					if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
						t.Fatalf("%s: %q and %q meet:\n%+v\n%+v", layout, a.Text, b.Text, a, b)
					}
				}
			}
			checkXML(t, picture.SVG(m, layout))
		}
	})
}

func checkXML(t interface{ Fatalf(string, ...any) }, data []byte) {
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the SVG is no XML: %v", err)
		}
	}
}

// The texts are where the picture reckons them to be in a real browser too,
// with the fonts it has: this asks Chromium for their boxes.
func TestTextsDoNotMeetInABrowser(t *testing.T) {
	chromium := testenv.Tool(t, "chromium")
	for _, accounts := range []int{3, 12, 60} {
		for _, layout := range []picture.Layout{picture.Flow, picture.Table} {
			t.Run(fmt.Sprintf("%d %s", accounts, layout), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "page.html")
				content := "<!doctype html><body style='margin:0'>" + string(picture.SVG(of(t, accounts), layout)) + `<pre id="out"></pre><script>
					const of = e => { const b = e.getBoundingClientRect(); return {t: e.lastChild.textContent, x: b.x, y: b.y, r: b.right, b: b.bottom} };
					const all = [...document.querySelectorAll("text")].map(of), frame = of(document.querySelector("svg")), wrong = [];
					all.forEach((a, i) => {
						if (a.x < frame.x || a.y < frame.y || a.r > frame.r || a.b > frame.b) wrong.push("outside: " + a.t);
						all.slice(i + 1).forEach(b => { if (a.x < b.r && b.x < a.r && a.y < b.b && b.y < a.b) wrong.push(a.t + " meets " + b.t) });
					});
					out.textContent = "RESULT" + JSON.stringify({texts: all.length, wrong}).replace(/[<>&]/g, "?") + "RESULT";
				</script>`
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--user-data-dir="+t.TempDir(), "file://"+file).Output()
				if err != nil {
					t.Fatal(err)
				}
				var result struct {
					Texts int
					Wrong []string
				}
				parts := strings.Split(string(out), "RESULT")
				if len(parts) < 3 {
					t.Fatalf("no result in %s", out)
				}
				if err := json.Unmarshal([]byte(parts[1]), &result); err != nil {
					t.Fatal(err)
				}
				if result.Texts < 10 || len(result.Wrong) > 0 {
					t.Errorf("%d texts: %s", result.Texts, strings.Join(result.Wrong, "\n"))
				}
			})
		}
	}
}

func TestGoldens(t *testing.T) {
	for _, accounts := range []int{3, 60} {
		m := of(t, accounts)
		page, err := picture.Page(m, picture.Auto)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{fmt.Sprintf("%d.svg", accounts): picture.SVG(m, picture.Auto)}
		if accounts == 3 {
			files["3.html"] = page
		}
		for name, got := range files {
			compare(t, filepath.Join("testdata", name), got)
		}
		if again := picture.SVG(m, picture.Auto); !bytes.Equal(again, files[fmt.Sprintf("%d.svg", accounts)]) {
			t.Error("the same matrix gave another picture")
		}
	}
}

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
		t.Fatalf("%v; go test ./grant/picture -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./grant/picture -update accepts it\n%s", file, diff)
	}
}

// The page loads nothing and runs nothing, says nothing that the manifest could
// have made markup of, and every filter it offers hides rows.
func TestPage(t *testing.T) {
	s := shape{stages: 2, apps: 2, users: 2, name: `</style><script>alert(1)</script>"'`, given: func(_, _, r int) bool { return r == 0 }}
	m := s.matrix(t)
	data, err := picture.Page(m, picture.Auto)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, never := range []string{"<script", "http-equiv=\"refresh", "src=", "@import", "url("} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %s", never)
		}
	}
	for _, want := range []string{"default-src 'none'", `<html lang="en">`, "<caption", `scope="col"`, `<label for="stage">`, "prefers-color-scheme: dark"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if got, want := strings.Count(page, "<option value=\"")-3, len(m.Consumers())+len(m.Stages())+len(m.Resources()); got != want {
		t.Errorf("%d choices, want %d", got, want)
	}
	if got := strings.Count(page, "{display:none}"); got != len(m.Consumers())+len(m.Stages())+len(m.Resources()) {
		t.Errorf("%d rules that hide", got)
	}
}
