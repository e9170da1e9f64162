package directory

import (
	"errors"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Document is a policy document as it is kept: what was written and what it
// was compiled to.
type Document struct {
	Text     string // as written
	Size     int    // characters as IAM's quotas count them, see [iam.Policy.Size]
	Compiled *eval.Policy
}

// NewDocument parses, checks and compiles a policy that names no principals:
// an identity policy, boundary or session policy. The name is shown in
// explanations. The error is a MalformedPolicyDocument in IAM's words, followed
// in brackets by where and what.
func NewDocument(text string, kind iam.Kind, name string) (*Document, error) {
	policy, err := parse(text, kind)
	if err != nil {
		return nil, err
	}
	return compile(text, policy, policy.Size(), kind, name)
}

// NewResourceDocument is NewDocument for trust and resource policies. They are
// compiled with the unique ids of the principals they name, see
// [View.ResolvePrincipals]; the error for one that does not exist is a
// MalformedPolicyDocument whose cause is an [*InvalidPrincipalError].
func (v View) NewResourceDocument(text string, kind iam.Kind, name string) (*Document, error) {
	policy, err := parse(text, kind)
	if err != nil {
		return nil, err
	}
	resolved, err := v.ResolvePrincipals(policy)
	if err != nil {
		e := malformed("%s", err)
		e.Cause = err
		return nil, e
	}
	return compile(text, resolved, policy.Size(), kind, name)
}

// Text returns a document as it is shown when it is read: as it was written,
// unless a principal in it is shown differently now.
func (v View) Text(d *Document) string {
	stored := d.Compiled.Source()
	shown := v.RenderPrincipals(stored)
	written, err := iam.ParsePolicy([]byte(d.Text))
	if err == nil && samePrincipals(written, shown) {
		return d.Text
	}
	minified, err := shown.MarshalJSON()
	if err != nil {
		return d.Text // it was parsed from JSON, so this cannot happen
	}
	return string(minified)
}

func samePrincipals(a, b *iam.Policy) bool {
	for i := range a.Statements {
		if !sameNames(a.Statements[i].Principal, b.Statements[i].Principal) ||
			!sameNames(a.Statements[i].NotPrincipal, b.Statements[i].NotPrincipal) {
			return false
		}
	}
	return true
}

func sameNames(a, b *iam.Principals) bool {
	if a == nil || b == nil {
		return a == b
	}
	for i := range a.AWS {
		if a.AWS[i] != b.AWS[i] {
			return false
		}
	}
	return true
}

// nothing is a policy that allows nothing.
var nothing = func() *eval.Policy {
	d, err := NewDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"none:None","Resource":"*"}}`,
		iam.KindIdentity, "a permissions boundary that no longer exists")
	if err != nil {
		panic(err)
	}
	return d.Compiled
}()

func parse(text string, kind iam.Kind) (*iam.Policy, error) {
	policy, err := iam.ParsePolicy([]byte(text))
	var syntax *iam.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, describe(syntax.Problems[0], kind)
	case err != nil:
		return nil, malformed("Syntax errors in policy. (%s)", err)
	}
	if problems := policy.Check(kind); len(problems) > 0 {
		return nil, describe(problems[0], kind)
	}
	sids := make(map[string]bool)
	for i := range policy.Statements {
		s := &policy.Statements[i]
		if err := checkStatement(s, kind); err != nil {
			return nil, err
		}
		if s.Sid != "" && sids[s.Sid] && kind != iam.KindTrust {
			return nil, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.Sid] = true
	}
	return policy, nil
}

func compile(text string, policy *iam.Policy, size int, kind iam.Kind, name string) (*Document, error) {
	compiled, err := eval.Compile(policy, kind, name)
	if err != nil {
		return nil, malformed("Syntax errors in policy. (%s)", err)
	}
	return &Document{Text: text, Size: size, Compiled: compiled}, nil
}

// checkStatement makes the checks IAM makes of the values in a statement.
func checkStatement(s *iam.Statement, kind iam.Kind) error {
	for _, list := range [][]string{s.Action, s.NotAction} {
		for _, action := range list {
			service, name, ok := strings.Cut(action, ":")
			switch {
			case kind == iam.KindTrust && !strings.EqualFold(service, "sts"):
				return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
			case action == "*":
			case !ok || service == "" || name == "":
				return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
			}
		}
	}
	if strings.Trim(s.Sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" && (kind == iam.KindIdentity || kind == iam.KindBoundary) {
		return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	if kind != iam.KindIdentity && kind != iam.KindBoundary && kind != iam.KindSession {
		return nil
	}
	for _, list := range [][]string{s.Resource, s.NotResource} {
		for _, resource := range list {
			if resource == "*" || strings.HasPrefix(resource, "arn:") && strings.Count(resource, ":") >= 5 {
				continue
			}
			// An ARN pattern may leave out parts behind a wildcard: "arn:aws:s3:*".
			if strings.HasPrefix(resource, "arn:") && strings.HasSuffix(resource, "*") {
				continue
			}
			return malformed("Resource %s must be in ARN format or \"*\".", wire.Clip(resource))
		}
	}
	return nil
}

// describe words a problem as IAM does, and adds where it is.
func describe(p iam.Problem, kind iam.Kind) *wire.Error {
	element := p.Path[strings.LastIndexByte(p.Path, '.')+1:]
	sentence := "Syntax errors in policy."
	switch {
	case p.Code == iam.ProblemJSON:
		sentence = "This policy contains invalid Json"
	case p.Code == iam.ProblemNotAllowed && kind == iam.KindTrust:
		sentence = "Has prohibited field " + element
	case p.Code == iam.ProblemNotAllowed && strings.HasSuffix(element, "rincipal"):
		sentence = "Policy document should not specify a principal."
	case p.Code == iam.ProblemMissing && strings.Contains(p.Message, "the Principal element"):
		sentence = "Missing required field Principal"
	case p.Code == iam.ProblemMissing && strings.Contains(p.Message, "the Resource element"):
		sentence = "Policy statement must contain resources."
	case strings.Contains(p.Message, "Action element is missing"), strings.Contains(p.Message, "list of actions is empty"):
		sentence = "Policy statement must contain actions."
	}
	return malformed("%s (%s)", sentence, p)
}

func malformed(format string, args ...any) *wire.Error {
	return wire.BadRequest("MalformedPolicyDocument", format, args...)
}
