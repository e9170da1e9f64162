package eval

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Change is one thing to add to a policy.
type Change struct {
	Side  Side
	Layer Layer
	Level int // of an SCP

	// Nearest is the statement that almost allowed the request: everything
	// matched but Mismatch, and if that did too, nothing would have to be added.
	// Nil if there is none; then Add is the smallest change.
	Nearest  *StatementExplanation
	Mismatch *Mismatch

	// Edit is the nearest statement with that one thing changed. It is nil if the
	// request has to change instead, namely to meet a condition. It has all
	// conditions of the statement as written; only its JSON hides external IDs.
	Edit *iam.Statement

	// Add is a statement that would do, for this request and nothing else, in a
	// policy of version 2012-10-17.
	Add iam.Statement
}

// MarshalJSON writes the change with its text, and the statements as policy
// documents.
func (c Change) MarshalJSON() ([]byte, error) {
	document := func(s *iam.Statement) *iam.Policy {
		if s == nil {
			return nil
		}
		shown := *s
		shown.Conditions = slices.Clone(s.Conditions)
		for i := range shown.Conditions {
			if c := &shown.Conditions[i]; strings.EqualFold(c.Key, externalIDKey) {
				c.Values = []string{hidden}
			}
		}
		return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{shown}}
	}
	return json.Marshal(struct {
		Side     Side                  `json:"side"`
		Layer    Layer                 `json:"layer"`
		Level    int                   `json:"level"`
		Text     string                `json:"text"`
		Nearest  *StatementExplanation `json:"nearest,omitempty"`
		Mismatch *Mismatch             `json:"mismatch,omitempty"`
		Edit     *iam.Policy           `json:"edit,omitempty"`
		Policy   *iam.Policy           `json:"policy"`
	}{c.Side, c.Layer, c.Level, c.String(), c.Nearest, c.Mismatch, document(c.Edit), document(&c.Add)})
}

// String says what to change.
func (c Change) String() string {
	where := placeOf(c.Layer, c.Side)
	if c.Layer == LayerEndpoint {
		where = "at the VPC endpoint"
	}
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
	add := m.Found[0]
	if m.Element == "Principal" {
		add = principalTexts(c.Add.Principal)[0]
	}
	return fmt.Sprintf("%s, add %s to %s of %s", where, add, m.Element, statement)
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
		before, add := trial, statementFor(in.Request, d.Layer)
		if len(changes) > 2*maxRefs || !trial.with(d.Layer, int(d.Level), add) {
			return nil
		}
		c := Change{Side: sideOf(d.Layer), Layer: d.Layer, Level: int(d.Level), Add: add}
		after := Decide(&trial)
		c.smaller(x, &before, &after)
		changes = append(changes, c)
	}
	if d := Decide(&trial); d.Verdict != Allowed {
		return nil
	}
	return changes
}

// smaller looks for a statement of the layer that missed in one thing only, and
// whose change would lead as far as the addition did.
func (c *Change) smaller(x *Explanation, before *Input, added *Decision) {
	for i := range x.Layers {
		l := &x.Layers[i]
		if l.Layer != c.Layer || l.Level != c.Level {
			continue
		}
		for j := range l.Statements {
			s := &l.Statements[j]
			if s.Effect != iam.Allow || s.Outcome != NotMatched || len(s.Mismatches) != 1 {
				continue
			}
			m := &s.Mismatches[0]
			edited, ok := edit(s.Statement, m, before.Request, &c.Add)
			trial := *before
			if !ok || !trial.replace(s.Statement, edited) {
				continue
			}
			if d := Decide(&trial); d.Verdict != added.Verdict || d.Layer != added.Layer || d.Level != added.Level {
				continue
			}
			c.Nearest, c.Mismatch = s, m
			if m.Element != "Condition" {
				c.Edit = &edited
			}
			return
		}
	}
}

// edit returns the statement with the element changed that did not match; a
// condition is left out, as if it were met.
func edit(ref StatementRef, m *Mismatch, r *iam.Request, add *iam.Statement) (iam.Statement, bool) {
	s := *ref.Statement()
	e := newEnv(&Input{Request: r})
	compiled := &ref.Policy.statements[ref.Index]
	switch m.Element {
	case "Action":
		s.Action = with(s.Action, r.Action)
	case "NotAction":
		s.NotAction = without(s.NotAction, func(i int) bool { return compiled.actions[i].match(e.lowerAction()) })
		return s, len(s.NotAction) > 0
	case "Resource":
		resource := literally(r.Resource)
		if ref.Policy.source.Version != iam.Version2012 {
			resource = r.Resource // the version has no ${*}
		}
		s.Resource = with(s.Resource, resource)
	case "NotResource":
		s.NotResource = without(s.NotResource, func(i int) bool { return compiled.resources[i].matchResource(&e) != no })
		return s, len(s.NotResource) > 0
	case "Principal":
		if add.Principal == nil {
			return s, false // an endpoint policy, whose additions name nobody
		}
		p := *s.Principal
		p.All = p.All || add.Principal.All
		p.AWS, p.Service, p.Federated = with(p.AWS, add.Principal.AWS...), with(p.Service, add.Principal.Service...), with(p.Federated, add.Principal.Federated...)
		s.Principal = &p
	case "Condition":
		s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c iam.Condition) bool { return c.Operator == m.Operator && c.Key == m.Key })
	default:
		return s, false
	}
	return s, true
}

func with(list []string, more ...string) []string { return append(slices.Clip(list), more...) }

// without leaves out the values at which matches reports true.
func without(list []string, matches func(i int) bool) []string {
	var rest []string
	for i, v := range list {
		if !matches(i) {
			rest = append(rest, v)
		}
	}
	return rest
}

// replace puts another statement in the place of one. It reports false if the
// policy is not there any more, as after an addition to it.
func (in *Input) replace(ref StatementRef, s iam.Statement) bool {
	p := ref.Policy
	source := p.source
	source.Statements = slices.Clone(source.Statements)
	source.Statements[ref.Index] = s
	compiled, err := Compile(&source, p.kind, p.name)
	if err != nil {
		return false
	}
	single := func(at **Policy) bool {
		if *at != p {
			return false
		}
		*at = compiled
		return true
	}
	list := func(at *[]*Policy) bool {
		i := slices.Index(*at, p)
		if i >= 0 {
			*at = slices.Clone(*at)
			(*at)[i] = compiled
		}
		return i >= 0
	}
	switch ref.Layer {
	case LayerIdentity:
		return list(&in.Identity)
	case LayerSession:
		return list(&in.Session)
	case LayerBoundary:
		return single(&in.Boundary)
	case LayerEndpoint:
		return single(&in.Endpoint)
	case LayerResource:
		return single(&in.Resource)
	case LayerServiceControl:
		if int(ref.Level) < len(in.ServiceControl) {
			in.ServiceControl = slices.Clone(in.ServiceControl)
			return list(&in.ServiceControl[ref.Level])
		}
	}
	return false
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
