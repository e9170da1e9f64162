package policies

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// MaxSize is the largest file that is read, in bytes. Plans of large
// configurations are some tens of megabytes.
const MaxSize = 128 << 20

// ErrNotRecognised says that a file is nothing that has policies in it.
var ErrNotRecognised = errors.New("neither a policy nor a template, plan or state machine")

// ErrTerraformSource says that a file is Terraform's own language, in which
// policies can be computed. A plan has them computed.
var ErrTerraformSource = errors.New("Terraform's language is not read, a plan is: terraform plan -out=plan && terraform show -json plan > plan.json")

// Options say how to read a document.
type Options struct {
	// Kind is what policy documents without context are; 0 means what they look
	// like. Policies whose place is known keep the kind of their place.
	Kind iam.Kind

	// Constructs are the paths of the CDK constructs by logical ID, for templates
	// that do not name them themselves.
	Constructs map[string]string
}

// Read finds the policies in a file. The name is used for its extension only.
//
// A document that is one of ours but not well-formed gives a finding (GX-S01).
// The error is [ErrNotRecognised] if the file has nothing to do with policies,
// [ErrTerraformSource] for a .tf file, and another one if the file is too large.
func Read(name string, data []byte, o Options) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(data), MaxSize)
	}
	if ext := path.Ext(name); ext == ".tf" || ext == ".hcl" {
		return nil, ErrTerraformSource
	}
	f := &finder{source: newSource(data), options: o, document: &Document{}}
	if document := f.plainPolicy(data); document != nil {
		return document, nil
	}
	root, err := cfn.Dialect{Aliases: true, Macros: true, MaxSize: MaxSize}.Parse(data)
	if err != nil {
		return f.malformed(data, err)
	}
	if at := privateUse(root); at != nil {
		f.malformedAt(at.Position, "a text contains a character of the Unicode private use area, which no policy can have", "remove the character")
		return f.document, nil
	}
	f.template = newTemplate(root)
	if err := f.find(name, root); err != nil {
		return nil, err
	}
	f.document.Suppressions = append(f.document.Suppressions, commentSuppressions(data)...)
	slices.SortStableFunc(f.document.Unread, func(a, b Unread) int { return a.Position.Offset - b.Position.Offset })
	return f.document, nil
}

// find reads a document as what it is.
func (f *finder) find(name string, root *cfn.Node) error {
	d := f.document
	switch {
	case looksLikePolicy(root), root.Get("Statement") != nil && root.Get("Resources") == nil:
		d.Format = FormatPolicy
		f.add(root, place{kind: f.options.Kind})
	case isTemplate(root):
		d.Format = FormatCloudFormation
		f.cloudFormation()
		f.externalIDParameters(root)
		d.Suppressions = metadataSuppressions(root, f.template)
	case root.Get("terraform_version") != nil && (root.Get("planned_values") != nil || root.Get("values") != nil || root.Get("resources") != nil):
		d.Format = FormatTerraformPlan
		f.terraformPlan(root)
	case strings.HasSuffix(name, ".tf.json"):
		d.Format = FormatTerraformConfig
		f.terraformConfig(root)
	case root.Get("StartAt") != nil && root.Get("States") != nil:
		d.Format = FormatStateMachine
		f.stateMachine(root, stateMachineOf{})
	default:
		d.Format = FormatPolicy
		f.anyDocument(root)
		if len(d.Policies)+len(d.Unread)+len(d.Findings) == 0 {
			return ErrNotRecognised
		}
	}
	return nil
}

var resourceType = regexp.MustCompile(`^(AWS|Custom|Alexa|Amazon)::`)

func isTemplate(root *cfn.Node) bool {
	if root.Get("AWSTemplateFormatVersion") != nil {
		return true
	}
	if root.Get("Parameters") != nil && onlySections(root) {
		return true // the CDK makes stacks without resources
	}
	for _, e := range entries(root.Get("Resources")) {
		if typ := e.Value.Get("Type"); typ != nil && resourceType.MatchString(typ.Text) || strings.HasPrefix(e.Key, "Fn::ForEach") {
			return true
		}
	}
	return false
}

var sections = []string{"Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions", "Transform", "Globals", "Hooks", "Resources", "Outputs"}

func onlySections(root *cfn.Node) bool {
	return !slices.ContainsFunc(entries(root), func(e cfn.Entry) bool { return !slices.Contains(sections, e.Key) })
}

// plainPolicy reads a file that is one policy in JSON; nil if it is something
// else.
func (f *finder) plainPolicy(data []byte) *Document {
	const most = 4 << 20 // far more than any policy may have
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(data) > most || len(trimmed) == 0 || trimmed[0] != '{' {
		return nil
	}
	v, err := iam.ReadValue(data)
	if err != nil || v.Get("Statement") == nil || v.Get("Resources") != nil {
		return nil
	}
	f.document.Format = FormatPolicy
	f.document.Policies = []*Policy{{Kind: f.options.Kind, Position: v.Position, Variants: []Variant{{text: data}}}}
	return f.document
}

// privateUse returns a node whose text could be taken for a symbol.
func privateUse(root *cfn.Node) *cfn.Node {
	var found *cfn.Node
	root.Walk(func(_ string, n *cfn.Node) bool {
		if found == nil && iam.HasSymbol(n.Text) {
			found = n
		}
		return found == nil
	})
	return found
}

// ours recognises the text of a document that is not well-formed. Whoever wrote
// it wants to know why it is not read.
var ours = []struct {
	format  Format
	pattern *regexp.Regexp
}{
	{FormatCloudFormation, regexp.MustCompile(`AWSTemplateFormatVersion|["']?Type["']?\s*:\s*["']?AWS::`)},
	{FormatTerraformPlan, regexp.MustCompile(`"terraform_version"\s*:`)},
	{FormatStateMachine, regexp.MustCompile(`["']?StartAt["']?\s*:[\s\S]*["']?States["']?\s*:`)},
	{FormatPolicy, regexp.MustCompile(`["']?(Statement|Effect)["']?\s*:[\s\S]*["']?(Effect|Action|Resource)["']?\s*:`)},
}

// malformed reports a document that is not well-formed.
func (f *finder) malformed(data []byte, err error) (*Document, error) {
	for _, o := range ours {
		if !o.pattern.Match(data) {
			continue
		}
		f.document.Format = o.format
		var syntax *cfn.SyntaxError
		if !errors.As(err, &syntax) {
			return nil, err
		}
		at, message, fix := syntax.Problems[0].Position, syntax.Problems[0].Message, ""
		if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
			var better *iam.SyntaxError
			if _, err := iam.ReadValue(data); errors.As(err, &better) {
				at, message = better.Problems[0].Position, "the JSON is not well-formed: "+better.Problems[0].Message
			}
		} else if star := unquotedStar(data, at); star > 0 {
			at.Column = star
			message, fix = "an unquoted * begins an alias in YAML, so the document cannot be read", `write "*" in quotes`
		}
		f.malformedAt(at, message, fix)
		return f.document, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrNotRecognised, err)
}

var star = regexp.MustCompile(`(?:^|[:\-\[,])\s*(\*)\s*(?:$|,|\]|#)`)

// unquotedStar returns the column of an asterisk that stands alone in the line,
// or 0.
func unquotedStar(data []byte, at iam.Position) int {
	lines := bytes.Split(data, []byte("\n"))
	if at.Line < 1 || at.Line > len(lines) {
		return 0
	}
	if m := star.FindSubmatchIndex(bytes.TrimRight(lines[at.Line-1], "\r")); m != nil {
		return m[2] + 1
	}
	return 0
}

// malformedAt adds the finding that a document cannot be read.
func (f *finder) malformedAt(at iam.Position, message, fix string) {
	if at.Line == 0 {
		at = iam.Position{Line: 1, Column: 1}
	}
	finding := ruleFinding("GX-S01", lint.Error, at, message, fix)
	finding.Refused = true
	f.document.Findings = append(f.document.Findings, finding)
}

// ruleFinding makes a finding of a rule.
func ruleFinding(id string, severity lint.Severity, at iam.Position, message, fix string) Finding {
	for _, r := range lint.Rules() {
		if r.ID == id {
			if fix == "" {
				fix = r.Fix
			}
			return Finding{Finding: lint.Finding{ID: id, Severity: severity, Position: at, Message: message, Why: r.Why, Fix: fix, Link: r.Link, Docs: r.Docs()}}
		}
	}
	panic("policies: no rule " + id)
}
