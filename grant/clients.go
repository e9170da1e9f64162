package grant

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"go/format"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// What consumers' programs need to use a grant: a profile of the aws command and
// a module in each language, whose credentials renew themselves and which signs
// requests. With a resource policy programs keep their own credentials and use
// full ARNs; with a role they assume it.
//
// Everything that comes from a manifest goes into the programs as a value,
// through the quoting of its language (clients_quote.go); nothing of it becomes
// a name, except in files' names.

// ClientOptions select what [Plan.Clients] writes. Empty fields select all.
type ClientOptions struct {
	Consumer string        // its name
	Stage    string        // of either side
	Grant    string        // its name
	Language string        // one of [ClientLanguages]
	Session  time.Duration // of assumed roles: 15 minutes to an hour, because sessions of chained roles end then; 0 means an hour
}

// A clientLanguage is one kind of output.
type clientLanguage struct {
	name, title string
	file        string // for a grant: its name stands for the star
	template    string
	setup       func(*snippet) string // what to install
}

// awsConfig and cdkRole are the languages that have a file for each role, and
// not for each grant.
const (
	awsConfig = "aws-config"
	cdkRole   = "cdk"
)

func clientLanguages() []clientLanguage {
	return []clientLanguage{
		{name: awsConfig, title: "Profile of the aws command"},
		{name: "node", title: "Node.js", file: "node/*.mjs", template: "node.mjs.tmpl", setup: (*snippet).npm},
		{name: "python", title: "Python", file: "python/*.py", template: "python.py.tmpl", setup: (*snippet).pip},
		{name: "go", title: "Go", file: "go/*/access.go", template: "go.go.tmpl", setup: (*snippet).goGet},
		{name: "dotnet", title: ".NET", file: "dotnet/*.cs", template: "dotnet.cs.tmpl", setup: (*snippet).nuget},
		{name: cdkRole, title: "AWS CDK in TypeScript, for the consumer's role", template: "cdk.ts.tmpl"},
	}
}

// ClientLanguages lists what clients are written for.
func ClientLanguages() []string {
	var names []string
	for _, l := range clientLanguages() {
		names = append(names, l.name)
	}
	return names
}

//go:embed clients_templates
var clientTemplates embed.FS

var clientTemplate = template.Must(template.New("").Funcs(template.FuncMap{
	"json": jsonQuoted, "goText": goQuoted, "line": commentLine, "snake": snakeCase, "upper": upperFirst,
	"pascal": camel, "join": strings.Join,
}).ParseFS(clientTemplates, "clients_templates/*.tmpl"))

// Clients returns what consumers need, in folders named after the consumer and
// its stage. The same plan and options give the same bytes.
func (p *Plan) Clients(o ClientOptions) ([]File, error) {
	if o.Language != "" && !slices.Contains(ClientLanguages(), o.Language) {
		return nil, fmt.Errorf("language: %q is unknown; use one of %s", o.Language, strings.Join(ClientLanguages(), ", "))
	}
	if o.Session == 0 {
		o.Session = time.Hour
	}
	if o.Session < 15*time.Minute || o.Session > time.Hour || o.Session%time.Second != 0 {
		return nil, fmt.Errorf("session: %s is not possible; a session that a role begins lasts 15 minutes to one hour, in whole seconds", o.Session)
	}
	var files []File
	for _, home := range p.clientHomes(o) {
		made, err := home.files(p, o)
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
	}
	return files, nil
}

// A clientHome is one consumer in one of its stages.
type clientHome struct {
	consumer, stage string
	folder          string
	edges           []*edge
}

func (p *Plan) clientHomes(o ClientOptions) []*clientHome {
	byKey, folders := map[string]*clientHome{}, map[string]int{}
	for _, e := range p.edges {
		if o.Consumer != "" && e.grant.Consumer != o.Consumer || o.Grant != "" && e.grant.Name != o.Grant ||
			o.Stage != "" && e.pair.stage != o.Stage && e.pair.consumerStage != o.Stage {
			continue
		}
		key := e.grant.Consumer + "\x00" + e.pair.consumerStage
		if byKey[key] == nil {
			byKey[key] = &clientHome{consumer: e.grant.Consumer, stage: e.pair.consumerStage}
		}
		byKey[key].edges = append(byKey[key].edges, e)
	}
	var homes []*clientHome
	for _, key := range sortedKeys(byKey) {
		h := byKey[key]
		h.folder = fileName(h.consumer) + "/" + fileName(h.stage)
		if folders[strings.ToLower(h.folder)]++; folders[strings.ToLower(h.folder)] > 1 {
			h.folder += "-" + hash(key)[:8] // names that differ in what files cannot have
		}
		slices.SortStableFunc(h.edges, func(a, b *edge) int {
			return cmp.Or(strings.Compare(a.grant.Name, b.grant.Name), strings.Compare(a.pair.stage, b.pair.stage))
		})
		homes = append(homes, h)
	}
	return homes
}

func (h *clientHome) files(p *Plan, o ClientOptions) ([]File, error) {
	var snippets []*snippet
	names := map[string]int{}
	for _, e := range h.edges {
		s := newSnippet(e, o)
		s.File = fileName(e.grant.Name)
		if names[s.File]++; names[s.File] > 1 || h.repeats(e) {
			s.File += "-" + fileName(e.pair.stage) // two stages of the app for one of the consumer's
		}
		snippets = append(snippets, s)
	}
	var files []File
	add := func(name string, data []byte) {
		files = append(files, File{Path: h.folder + "/" + name, Data: data})
	}
	for _, l := range clientLanguages() {
		if o.Language != "" && o.Language != l.name {
			continue
		}
		switch l.name {
		case awsConfig:
			add("aws-config", h.profiles(snippets))
		case cdkRole:
			for _, r := range h.roles(p) {
				data, err := render(l.template, r)
				if err != nil {
					return nil, err
				}
				add("cdk/"+fileName(r.Name)+".ts", data)
			}
		default:
			for _, s := range snippets {
				data, err := render(l.template, s)
				if err != nil {
					return nil, err
				}
				add(strings.ReplaceAll(l.file, "*", s.File), data)
			}
		}
	}
	if o.Language == "" {
		add("README.md", h.readme(snippets))
	}
	return files, nil
}

// repeats reports whether the consumer's stage uses several stages of the app.
func (h *clientHome) repeats(e *edge) bool {
	return slices.ContainsFunc(h.edges, func(other *edge) bool {
		return other.grant.Name == e.grant.Name && other.pair.stage != e.pair.stage
	})
}

func render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := clientTemplate.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("writing a client from %s: %w", name, err)
	}
	text := append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
	if strings.HasSuffix(name, ".go.tmpl") {
		formatted, err := format.Source(text)
		if err != nil {
			return nil, fmt.Errorf("writing a client from %s: %w", name, err)
		}
		return formatted, nil
	}
	return text, nil
}

// A snippet is what a program that uses a grant in one stage needs to know.
type snippet struct {
	Grant, Stage, Consumer, ConsumerStage string
	Resource, Owner, Does, Kind           string
	Principal                             string // "the role …"
	File                                  string // without its ending

	Region     string
	Assume     string // ARN of the role to assume, or ""
	Session    string // name of the session
	Seconds    int    // that it lasts
	ExternalID string

	API       *apiClient // of APIs
	Operation *operation // of everything else
	Given     []given    // from the environment
	edge      *edge
}

// A given is a value that programs take from an environment variable.
type given struct {
	Name    string // of the variable
	Meaning string
	Default string // "" if only AWS knows it
}

// An apiClient is what is called over HTTP.
type apiClient struct {
	URL    given
	Method string // of the example
	Path   string
}

func newSnippet(e *edge, o ClientOptions) *snippet {
	s := &snippet{
		Grant: e.grant.Name, Stage: e.pair.stage, Consumer: e.grant.Consumer, ConsumerStage: e.pair.consumerStage,
		Resource: e.grant.Resource, Owner: e.app, Does: strings.Join(e.grant.Access, ", "), Kind: e.resource.kind.title,
		Principal: e.caller(), Region: e.resource.site.Region, Assume: e.assume, Seconds: int(o.Session / time.Second), edge: e,
	}
	if e.assume != "" {
		s.ExternalID = e.externalID
		s.Session = sessionName(e.grant.Consumer + "-" + e.pair.consumerStage)
	}
	if e.resource.kind.service == "execute-api" {
		s.API = s.api()
	} else {
		s.Operation = s.operation()
	}
	return s
}

// caller names whose credentials a program has.
func (e *edge) caller() string {
	if e.principal.account {
		return "whatever the account " + e.principal.site.ID + " allows to use it"
	}
	return "the role " + e.principal.arn
}

// known returns a value for a program: a text, or what a variable must give
// because only AWS knows it.
func (s *snippet) known(text, variable, meaning string) value {
	if !iam.HasSymbol(text) && !strings.HasSuffix(text, unknownSuffix) {
		return value{Text: text}
	}
	g := given{Name: s.variable(variable), Meaning: meaning}
	if !slices.Contains(s.Given, g) {
		s.Given = append(s.Given, g)
	}
	return value{Variable: g.Name}
}

// variable names an environment variable of the grant.
func (s *snippet) variable(suffix string) string {
	name := strings.ToUpper(strings.ReplaceAll(slug(s.Grant), "-", "_"))
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "GRANT_" + name
	}
	return name + "_" + suffix
}

// api returns the address of an API and an example of a call.
func (s *snippet) api() *apiClient {
	e := s.edge
	stage := e.resource.stagesOfAPI(&e.grant.Only)[0]
	url := "https://" + e.resource.id + ".execute-api." + s.Region + "." + dnsSuffix(e.resource.site.Partition) + "/" + stage
	a := &apiClient{URL: given{Name: s.variable("URL"), Meaning: "the address of the API with its stage, such as https://API.execute-api." + s.Region + "." + dnsSuffix(e.resource.site.Partition) + "/" + stage}, Method: "GET", Path: "/"}
	if !iam.HasSymbol(url) {
		a.URL.Default = url
	}
	methods := e.grant.Only.Methods
	if len(methods) == 0 && !e.readOnly() && e.grant.Access[0] == "write" {
		methods = []string{"POST"}
	}
	if len(methods) > 0 && !slices.ContainsFunc(methods, func(m string) bool { return strings.EqualFold(m, "GET") || m == "*" }) {
		a.Method = strings.ToUpper(methods[0])
	}
	if len(e.grant.Only.Paths) > 0 {
		a.Path = "/" + strings.TrimPrefix(strings.ReplaceAll(e.grant.Only.Paths[0], "*", "example"), "/")
	}
	s.Given = append(s.Given, a.URL)
	return a
}

// sessionName makes the name of a session, which AWS writes in its logs.
func sessionName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && reference.CheckRoleName(string(r)) == nil {
			return r
		}
		return '-'
	}, s)
	return clipTo(s+strings.Repeat("-", max(0, 2-len(s))), 64)
}

// fileName keeps a name from being a path, or several names.
func fileName(s string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, s)
	if strings.Trim(out, ".-") == "" || out[0] == '.' {
		out = "name-" + hash(s)[:8]
	}
	return clipTo(out, 100)
}
