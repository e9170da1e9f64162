package grant

import (
	"cmp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A roleSnippet is a role of a consumer as the CDK makes it.
type roleSnippet struct {
	Name, ARN, Path, Boundary string
	Consumer, Stage           string
	Created                   bool   // by the plan
	Service                   string // that uses the role
	Trust                     string // the trust policy, if it is more than the service; TypeScript
	Managed                   []string
	Statements                []statementSnippet
	Unknown                   []given // what only AWS knows, as properties
}

type statementSnippet struct {
	Sid        string
	Actions    []string
	Resources  []string // TypeScript
	Conditions []operatorSnippet
}

type operatorSnippet struct {
	Operator string
	Keys     []keySnippet
}

type keySnippet struct {
	Key    string
	Values []string // TypeScript
}

// Policies of AWS for functions: writing logs, and reading streams.
//
// https://docs.aws.amazon.com/lambda/latest/dg/permissions-executionrole-update.html
const (
	basicExecution   = "service-role/AWSLambdaBasicExecutionRole"
	kinesisExecution = "service-role/AWSLambdaKinesisExecutionRole"
)

// roles returns the roles of a consumer's stage, by name.
func (h *clientHome) roles(p *Plan) []*roleSnippet {
	var all []*roleSnippet
	for _, r := range p.roles {
		if r.consumer == nil || !slices.ContainsFunc(h.edges, func(e *edge) bool { return e.principal.arn == r.arn }) {
			continue
		}
		c := r.consumer
		s := &roleSnippet{
			Name: r.name, ARN: r.arn, Path: cmp.Or(c.Path, "/"), Boundary: c.Boundary, Consumer: h.consumer, Stage: h.stage,
			Created: c.created(), Service: cmp.Or(c.Create, "lambda.amazonaws.com"), Managed: slices.Clone(c.Policies),
		}
		if c.ServiceAccount != nil {
			s.Service = "pods.eks.amazonaws.com"
		}
		if c.ServiceAccount != nil || len(r.sources) > 0 {
			for _, d := range p.documents {
				if d.Kind == iam.KindTrust && d.Principal == r.arn {
					s.Trust = s.expression(string(d.Policy.Indent()))
				}
			}
		}
		if s.Service == "lambda.amazonaws.com" {
			policies := "arn:" + r.site.Partition + ":iam::aws:policy/"
			s.Managed = union(s.Managed, []string{policies + basicExecution})
			if slices.ContainsFunc(h.edges, func(e *edge) bool {
				return e.principal.arn == r.arn && e.via == "policy" && e.resource.kind.name == "kinesis-stream" && e.readOnly()
			}) {
				s.Managed = union(s.Managed, []string{policies + kinesisExecution})
			}
		}
		for _, st := range r.permissions.policy().Statements {
			s.add(st)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *roleSnippet) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (s *roleSnippet) add(st iam.Statement) {
	out := statementSnippet{Sid: st.Sid, Actions: st.Action, Resources: s.literals(st.Resource)}
	for _, c := range st.Conditions {
		at := slices.IndexFunc(out.Conditions, func(o operatorSnippet) bool { return o.Operator == c.Operator })
		if at < 0 {
			at = len(out.Conditions)
			out.Conditions = append(out.Conditions, operatorSnippet{Operator: c.Operator})
		}
		out.Conditions[at].Keys = append(out.Conditions[at].Keys, keySnippet{c.Key, s.literals(c.Values)})
	}
	s.Statements = append(s.Statements, out)
}

func (s *roleSnippet) literals(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		var parts []string
		for _, piece := range iam.Pieces(text) {
			if piece.IsSymbol {
				parts = append(parts, "props."+s.property(piece.Text))
			} else {
				parts = append(parts, jsonQuoted(piece.Text))
			}
		}
		out[i] = strings.Join(parts, " + ")
	}
	return out
}

// expression writes a document whose symbols are gone already.
func (s *roleSnippet) expression(document string) string {
	return strings.ReplaceAll(strings.TrimSpace(known(document)), "\n", "\n    ")
}

// property names what only AWS knows.
func (s *roleSnippet) property(id string) string {
	key, attribute, ok := splitUnitValue(id)
	if !ok {
		key, attribute = id, "value"
	}
	name := camel(strings.TrimPrefix(key, "resource"), attribute)
	name = strings.ToLower(name[:1]) + name[1:]
	if name[0] >= '0' && name[0] <= '9' {
		name = "of" + name
	}
	g := given{Name: name, Meaning: "The " + attribute + " of " + key + "."}
	if !slices.Contains(s.Unknown, g) {
		s.Unknown = append(s.Unknown, g)
	}
	return name
}
