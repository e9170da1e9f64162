package policies

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A Format says what a document is.
type Format string

// The formats that are read.
const (
	FormatPolicy          Format = "policy"                  // policy documents, and what the AWS CLI prints about them
	FormatCloudFormation  Format = "cloudformation"          // templates, also for SAM
	FormatTerraformPlan   Format = "terraform-plan"          // of `terraform show -json`, plan or state
	FormatTerraformConfig Format = "terraform-configuration" // in JSON syntax, .tf.json
	FormatStateMachine    Format = "state-machine"           // of Step Functions
)

// A Document is what was found in one file.
type Document struct {
	Format   Format
	Policies []*Policy

	// Findings are about the document itself: it is not well-formed, or a state
	// machine in it uses roles unwisely. Those about policies come from Lint.
	Findings []Finding

	// Unread lists what could not be read, or only in part, in the order of the
	// file. Nothing is known about it.
	Unread []Unread

	// Suppressions are those written in the document itself.
	Suppressions []Suppression
}

// An Unread is a policy, or a part of one, that could not be read.
type Unread struct {
	Where    string       `json:"where"` // see Policy.Where
	Position iam.Position `json:"position"`
	Reason   string       `json:"reason"`
}

// A Policy is one policy in a document, in every form it can take.
type Policy struct {
	Kind      iam.Kind
	Service   string       // of a resource policy, "s3"; empty if not known
	Resource  string       // ARN of what it is attached to, perhaps with symbols; empty if not visible
	Inline    bool         // an identity policy embedded in a role, user or group
	Where     string       // "/Resources/Role/Properties/AssumeRolePolicyDocument", "aws_iam_policy.this"
	Construct string       // the CDK construct, "Stack/Role/Resource"; empty if there is none
	Position  iam.Position // of the policy in the file

	// Variants are the forms, one for each way in which the conditions that the
	// policy depends on can come out. There is at least one.
	Variants []Variant

	except []string // rules that do not hold at this place
}

// A Variant is one form of a policy.
type Variant struct {
	Policy   *iam.Policy // nil if it is no policy, or is judged as text
	Problems []iam.Problem
	When     string // "Production is true"; empty if the policy depends on no condition

	text       []byte // a file that is one policy and nothing else; Policy is then nil
	statements []int  // for each statement, its number in the file
	choice     choice // of conditions
}

// A Finding is a finding at its place in the file.
type Finding struct {
	lint.Finding
	Where     string `json:"where,omitempty"`     // see Policy
	Construct string `json:"construct,omitempty"` // see Policy
	Policy    string `json:"policy,omitempty"`    // the kind of the policy, "trust policy"
	When      string `json:"when,omitempty"`      // see Variant; empty if it is so in all of them
}

// Lint returns the findings about the document and all policies in it, in the
// order of the file. What is known of each policy replaces Kind, Service,
// Resource and Inline of the options; the rest of these is for policy documents
// alone. Suppressions, also the document's own, are not applied; see [Suppress].
func (d *Document) Lint(o lint.Options) []Finding {
	if d.Format != FormatPolicy {
		o.Kind, o.Service, o.Resource = 0, "", ""
	}
	findings := slices.Clone(d.Findings)
	for _, p := range d.Policies {
		findings = append(findings, p.lint(o)...)
	}
	sortFindings(findings)
	return findings
}

func sortFindings(findings []Finding) {
	sort.SliceStable(findings, func(i, j int) bool {
		a, b := findings[i], findings[j]
		switch {
		case a.Position.Offset != b.Position.Offset:
			return a.Position.Offset < b.Position.Offset
		case a.Where != b.Where:
			return a.Where < b.Where
		case a.ID != b.ID:
			return a.ID < b.ID
		}
		return a.Path < b.Path
	})
}

// lint judges every variant and says of each finding once when it applies.
func (p *Policy) lint(o lint.Options) []Finding {
	type key struct {
		id, path, message string
		at                iam.Position
	}
	if p.Kind != 0 {
		o.Kind = p.Kind
	}
	if p.Service != "" || p.Resource != "" {
		o.Service, o.Resource = p.Service, p.Resource
	}
	o.Inline, o.Suppressions = p.Inline, nil
	var order []key
	found := make(map[key]*Finding)
	variants := make(map[key]int)
	when := make(map[key]choice)
	for _, v := range p.Variants {
		findings, kind := v.lint(o)
		for _, f := range findings {
			if slices.Contains(p.except, f.ID) {
				continue
			}
			f.Path = v.originalPath(f.Path)
			if f.Position.Line == 0 {
				f.Position = p.Position
			}
			k := key{f.ID, f.Path, f.Message, f.Position}
			if found[k] == nil {
				order = append(order, k)
				found[k] = &Finding{Finding: f, Where: p.Where, Construct: p.Construct, Policy: kind.String()}
				when[k] = maps.Clone(v.choice)
			}
			when[k].keepCommon(v.choice)
			variants[k]++
		}
	}
	findings := make([]Finding, 0, len(order))
	for _, k := range order {
		if variants[k] < len(p.Variants) {
			found[k].When = when[k].describe()
		}
		findings = append(findings, *found[k])
	}
	return findings
}

// lint judges one variant. It also says what kind of policy it was taken for.
func (v *Variant) lint(o lint.Options) ([]lint.Finding, iam.Kind) {
	p := v.Policy
	if v.text != nil {
		p, _ = iam.Parse(v.text)
	}
	if o.Kind == 0 && p != nil {
		o.Kind = lint.DetectKind(p)
	}
	if v.text != nil {
		return lint.Document(v.text, o), o.Kind
	}
	return lint.Parsed(p, v.Problems, o), o.Kind
}

// originalPath gives a statement the number it has in the file, where others
// before it were left out.
func (v *Variant) originalPath(path string) string {
	var i int
	if n, err := fmt.Sscanf(path, "Statement[%d]", &i); n != 1 || err != nil || i >= len(v.statements) {
		return path
	}
	_, rest, _ := strings.Cut(path, "]")
	return fmt.Sprintf("Statement[%d]%s", v.statements[i], rest)
}

// A finder collects the policies of one file.
type finder struct {
	source   *source
	template *template
	options  Options
	document *Document
	textual  bool // see resolver

	expressions bool                 // texts hold Terraform's expressions
	written     map[string]*cfn.Node // of a plan, see configured
}

// place says what is known about a policy before it is read.
type place struct {
	kind      iam.Kind
	service   string
	resource  string
	inline    bool
	where     string
	construct string
	condition string // of the resource
	except    []string
}

func (f *finder) unread(where string, at iam.Position, reason string) {
	u := Unread{Where: where, Position: at, Reason: reason}
	if !slices.Contains(f.document.Unread, u) {
		f.document.Unread = append(f.document.Unread, u)
	}
}

// add reads a policy, which may be an object, its text, or functions that make
// one of the two.
func (f *finder) add(n *cfn.Node, p place) {
	if n == nil {
		return
	}
	found := &Policy{Kind: p.kind, Service: p.service, Resource: p.resource, Inline: p.inline, Where: p.where, Construct: p.construct, Position: n.Position, except: p.except}
	choices := f.template.choices(conditionNames(n), p.condition)
	for _, c := range choices {
		r := &resolver{source: f.source, template: f.template, choice: c, textual: f.textual}
		v, ok := f.read(n, r, p.where)
		if !ok {
			continue
		}
		if len(choices) > 1 {
			v.When, v.choice = c.describe(), c
		}
		found.Variants = append(found.Variants, v)
	}
	if len(found.Variants) > 0 {
		f.document.Policies = append(f.document.Policies, found)
	}
}

// read reads one variant. It reports false if there is none: the policy is left
// out, or nothing is known of it.
func (f *finder) read(n *cfn.Node, r *resolver, where string) (Variant, bool) {
	v, ok := r.value(n)
	if !ok {
		return Variant{}, false
	}
	if isUnknown(&v) {
		f.unread(where, n.Position, "the policy is known only after deployment")
		return Variant{}, false
	}
	if v.Kind == iam.ValueString {
		var failed *Variant
		if v, failed, ok = f.parseText(chosen(n, r), r, where); !ok {
			return Variant{}, false
		} else if failed != nil {
			return *failed, true
		}
	}
	statements, ok := f.prepare(&v, where)
	if !ok {
		return Variant{}, false
	}
	if n.Kind == cfn.NodeMap {
		renumber(statements, v.Get("Statement"), n.Get("Statement"))
	}
	policy, problems := iam.ParseValue(v)
	return Variant{Policy: policy, Problems: problems, statements: statements}, true
}

// chosen follows Fn::If to the node that holds the text.
func chosen(n *cfn.Node, r *resolver) *cfn.Node {
	for {
		name, argument, ok := n.Function()
		if !ok || name != "Fn::If" || len(argument.Items) != 3 {
			return n
		}
		if n = argument.Items[2]; r.choice[argument.Items[0].Text] {
			n = argument.Items[1]
		}
	}
}

// parseText reads a policy that is JSON in a text.
func (f *finder) parseText(n *cfn.Node, r *resolver, where string) (v iam.Value, failed *Variant, ok bool) {
	pieces := r.pieces(n)
	text := joined(pieces)
	v, err := iam.ReadValue([]byte(text))
	if err == nil {
		f.source.moved(&v, pieces)
		return v, nil, true
	}
	if decoded, ok := urlDecoded(text); ok {
		if v, err := iam.ReadValue([]byte(decoded)); err == nil {
			settle(&v, n.Position)
			return v, nil, true
		}
	}
	var syntax *iam.SyntaxError
	if !errors.As(err, &syntax) {
		return v, &Variant{Problems: []iam.Problem{{Code: iam.ProblemJSON, Position: n.Position, Message: err.Error()}}}, true
	}
	problems := syntax.Problems
	at := problems[0].Position.Offset
	if at < len(text) && iam.HasSymbol(text[at:min(at+3, len(text))]) {
		f.unread(where, f.source.place(pieces, at), "a value that is known only after deployment stands in the policy's text where JSON is expected")
		return v, nil, false
	}
	problems[0].Position = f.source.place(pieces, at)
	return v, &Variant{Problems: problems}, true
}

// settle gives every part of a value the same position.
func settle(v *iam.Value, at iam.Position) {
	v.Position = at
	for i := range v.Items {
		settle(&v.Items[i], at)
	}
	for i := range v.Members {
		v.Members[i].Position = at
		settle(&v.Members[i].Value, at)
	}
}

// prepare takes out of a policy what is not known and what the parser would
// take for a mistake. It returns the original numbers of the statements, or
// false if nothing is left.
func (f *finder) prepare(v *iam.Value, where string) (numbers []int, ok bool) {
	if v.Kind != iam.ValueObject {
		return nil, true
	}
	if version := v.Get("Version"); isUnknown(version) {
		version.Text = iam.Version2012
	}
	list := v.Get("Statement")
	if list == nil || list.Kind != iam.ValueObject && list.Kind != iam.ValueArray && !isUnknown(list) {
		return nil, true
	}
	if list.Kind == iam.ValueObject {
		*list = iam.Value{Kind: iam.ValueArray, Position: list.Position, Items: []iam.Value{*list}}
	}
	if isUnknown(list) {
		f.unread(where, list.Position, "the statements are known only after deployment")
		return nil, false
	}
	var kept []iam.Value
	for i := range list.Items {
		s := &list.Items[i]
		if reason := unknownPart(s); reason != "" {
			f.unread(where, s.Position, reason)
			continue
		}
		kept, numbers = append(kept, *s), append(numbers, i)
	}
	if len(kept) == 0 && len(list.Items) > 0 {
		return nil, false
	}
	list.Items = kept
	return numbers, true
}

// renumber gives statements their numbers in the file, where others before them
// are AWS::NoValue in this variant.
func renumber(numbers []int, list *iam.Value, written *cfn.Node) {
	if list == nil || written == nil || written.Kind != cfn.NodeList {
		return
	}
	type start struct{ offset, number int }
	starts := make([]start, len(written.Items))
	for number, item := range written.Items {
		starts[number] = start{item.Position.Offset, number}
	}
	slices.SortFunc(starts, func(a, b start) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(starts); i++ { // what an alias stands for was written before it
		starts[i].number = max(starts[i].number, starts[i-1].number)
	}
	for i := range min(len(numbers), len(list.Items)) {
		at := list.Items[i].Position.Offset
		if n := sort.Search(len(starts), func(i int) bool { return starts[i].offset > at }); n > 0 {
			numbers[i] = starts[n-1].number
		}
	}
}

// unknownPart says why a statement cannot be judged, or nothing if it can.
// Where only a principal is unknown, it becomes one of AWS.
func unknownPart(s *iam.Value) string {
	if isUnknown(s) {
		return "the statement is known only after deployment"
	}
	for i := range s.Members {
		m := &s.Members[i]
		switch m.Name {
		case "Effect":
			if isUnknown(&m.Value) {
				return "the effect of the statement is known only after deployment"
			}
		case "Principal", "NotPrincipal":
			if isUnknown(&m.Value) {
				m.Value = iam.Value{Kind: iam.ValueObject, Position: m.Value.Position, Members: []iam.Member{{Name: "AWS", Position: m.Value.Position, Value: m.Value}}}
			}
		case "Condition":
			if isUnknown(&m.Value) {
				return "the condition of the statement is known only after deployment"
			}
			for j := range m.Value.Members {
				if isUnknown(&m.Value.Members[j].Value) {
					return "the condition of the statement is known only after deployment"
				}
			}
		}
	}
	return ""
}
