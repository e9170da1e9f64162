package eval

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Change is one thing to add to a policy.
type Change struct {
	Side  Side
	Layer Layer
	Level int // of an SCP

	// Nearest is the statement that almost allowed the request: everything
	// matched but Mismatch. Nil if there is none; then Add is the smaller change.
	Nearest  *StatementExplanation
	Mismatch *Mismatch

	// Add is a statement that would do, for this request and nothing else, in a
	// policy of version 2012-10-17.
	Add iam.Statement
}

// MarshalJSON writes the change with its text, and the statement to add as a
// policy document.
func (c Change) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Side     Side                  `json:"side"`
		Layer    Layer                 `json:"layer"`
		Level    int                   `json:"level"`
		Text     string                `json:"text"`
		Nearest  *StatementExplanation `json:"nearest,omitempty"`
		Mismatch *Mismatch             `json:"mismatch,omitempty"`
		Policy   *iam.Policy           `json:"policy"`
	}{c.Side, c.Layer, c.Level, c.String(), c.Nearest, c.Mismatch, &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{c.Add}}})
}

// String says what to change.
func (c Change) String() string {
	where := fmt.Sprintf("in the %s's account", c.Side)
	if c.Nearest == nil {
		s := fmt.Sprintf("%s, allow %s", where, list(c.Add.Action))
		if c.Add.Resource != nil {
			s += " on " + list(c.Add.Resource)
		}
		s += " in the " + c.layerName()
		if c.Add.Principal != nil {
			s += " to " + list(principalTexts(c.Add.Principal))
		}
		return s
	}
	m := c.Mismatch
	statement := c.Nearest.Statement.String()
	if m.Element == "Condition" {
		found := "does not have it"
		if m.Found != nil {
			found = "has " + list(m.Found)
		}
		return fmt.Sprintf("meet the condition %s %s of %s: it wants %s, the request %s", m.Operator, m.Key, statement, list(m.Wanted), found)
	}
	switch m.Element {
	case "NotAction", "NotResource", "NotPrincipal":
		return fmt.Sprintf("%s, take what covers %s out of %s of %s", where, list(m.Found), m.Element, statement)
	}
	return fmt.Sprintf("%s, add %s to %s of %s", where, m.Found[0], m.Element, statement)
}

func (c Change) layerName() string {
	if c.Layer == LayerResource && c.Add.Resource == nil {
		return iam.KindTrust.String()
	}
	if c.Layer == LayerServiceControl {
		return fmt.Sprintf("%s of level %d", c.Layer, c.Level)
	}
	return c.Layer.String()
}

// changes finds what would flip an implicit denial: it adds a statement to the
// layer that is in the way until the request is allowed, so the changes are
// known to work and each is needed. It returns nil if additions do not help.
func (x *Explanation) changes(in *Input) []Change {
	trial := *in
	var changes []Change
	for d := x.Decision; d.Verdict == ImplicitlyDenied; d = Decide(&trial) {
		add := statementFor(in.Request, d.Layer)
		if len(changes) > 2*maxRefs || !trial.with(d.Layer, int(d.Level), add) {
			return nil
		}
		c := Change{Side: sideOf(d.Layer), Layer: d.Layer, Level: int(d.Level), Add: add}
		c.Nearest, c.Mismatch = x.nearest(d.Layer, int(d.Level))
		changes = append(changes, c)
	}
	if d := Decide(&trial); d.Verdict != Allowed {
		return nil
	}
	return changes
}

// nearest finds the Allow statement of a layer that missed in one thing only.
func (x *Explanation) nearest(layer Layer, level int) (*StatementExplanation, *Mismatch) {
	for i := range x.Layers {
		l := &x.Layers[i]
		if l.Layer != layer || l.Level != level {
			continue
		}
		for j := range l.Statements {
			s := &l.Statements[j]
			if s.Effect == iam.Allow && s.Outcome == NotMatched && len(s.Mismatches) == 1 {
				return s, &s.Mismatches[0]
			}
		}
	}
	return nil, nil
}

// statementFor returns the statement that allows exactly the request in a
// policy of the layer.
func statementFor(r *iam.Request, layer Layer) iam.Statement {
	s := iam.Statement{Effect: iam.Allow, Action: []string{r.Action}, Resource: []string{literally(r.Resource)}}
	if layer != LayerResource {
		return s
	}
	p := &r.Principal
	switch p.Type {
	case iam.PrincipalAnonymous:
		s.Principal = &iam.Principals{All: true}
	case iam.PrincipalService:
		s.Principal = &iam.Principals{Service: []string{p.ARN}}
	case iam.PrincipalWebIdentity:
		s.Principal = &iam.Principals{Federated: []string{p.ARN}}
	case iam.PrincipalRoleSession:
		s.Principal = &iam.Principals{AWS: []string{p.ARN}}
		if p.RoleARN != "" {
			s.Principal.AWS[0] = p.RoleARN
		}
	default:
		s.Principal = &iam.Principals{AWS: []string{p.ARN}}
	}
	if arn, err := iam.ParseARN(r.Resource); err == nil && arn.Service == "iam" {
		s.Resource = nil // a trust policy has no Resource
	}
	return s
}

// literally writes a resource so that nothing in it acts as a wildcard or a
// variable.
func literally(resource string) string {
	if resource == "*" {
		return resource
	}
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(resource)
}

// with adds a statement to a layer. It reports false if the layer cannot grow.
func (in *Input) with(layer Layer, level int, add iam.Statement) bool {
	extend := func(p *Policy, kind iam.Kind, name string) (*Policy, bool) {
		source := iam.Policy{Version: iam.Version2012}
		if p != nil {
			source, kind, name = p.source, p.kind, p.name
		}
		source.Statements = append(source.Statements[:len(source.Statements):len(source.Statements)], add)
		extended, err := Compile(&source, kind, name)
		return extended, err == nil
	}
	var ok bool
	switch layer {
	case LayerIdentity:
		in.Identity, ok = appendTo(in.Identity, extend, iam.KindIdentity)
	case LayerSession:
		in.Session, ok = appendTo(in.Session, extend, iam.KindSession)
	case LayerServiceControl:
		if level >= len(in.ServiceControl) {
			return false
		}
		levels := append([][]*Policy(nil), in.ServiceControl...)
		levels[level], ok = appendTo(levels[level], extend, iam.KindServiceControl)
		in.ServiceControl = levels
	case LayerBoundary:
		in.Boundary, ok = extend(in.Boundary, iam.KindBoundary, "new")
	case LayerEndpoint:
		in.Endpoint, ok = extend(in.Endpoint, iam.KindEndpoint, "new")
	case LayerResource:
		kind := iam.KindResource
		if add.Resource == nil {
			kind = iam.KindTrust
		}
		in.Resource, ok = extend(in.Resource, kind, "new")
	}
	return ok
}

func appendTo(policies []*Policy, extend func(*Policy, iam.Kind, string) (*Policy, bool), kind iam.Kind) ([]*Policy, bool) {
	p, ok := extend(nil, kind, "new")
	return append(policies[:len(policies):len(policies)], p), ok
}
