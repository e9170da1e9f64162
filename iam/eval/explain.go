package eval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// An Explanation says why a request was decided as it was. It is data;
// [Explanation.String] is for people. Values of sts:ExternalId never appear in
// it: they are replaced by "(hidden)".
type Explanation struct {
	Decision Decision `json:"decision"`

	// Deciding holds the statements that decided, as [Decision.Statements] says.
	Deciding []StatementRef `json:"deciding"`

	Principal        string        `json:"principal"`
	PrincipalAccount iam.AccountID `json:"principal_account,omitempty"`
	Action           string        `json:"action"`
	Resource         string        `json:"resource"`
	ResourceAccount  iam.AccountID `json:"resource_account,omitempty"`

	// Layers holds every layer that applied, in the order of the decision, SCPs
	// and RCPs by level.
	Layers []LayerExplanation `json:"layers"`

	// Changes is, for an implicit denial, what would have to be added so that
	// the request is allowed, and nothing more: usually one change, across
	// accounts one for each side that does not allow yet. It is empty if no
	// addition could help.
	Changes []Change `json:"changes,omitempty"`

	// Undetermined is, for Depends, what decides: the elements and conditions
	// that hang on something unknown, of those statements only that can make a
	// difference. Once every key in their Unknown is known, the answer is.
	Undetermined []Mismatch `json:"undetermined,omitempty"`

	roleAssumption bool // the resource policy is a trust policy

	// Notes says what is special about the request, such as a layer that AWS
	// does not apply to it.
	Notes []string `json:"notes,omitempty"`
}

// layerName returns what to call a layer in text.
func (x *Explanation) layerName(l Layer) string {
	if l == LayerResource && x.roleAssumption {
		return iam.KindTrust.String()
	}
	return l.String()
}

// A LayerExplanation is what one layer said.
type LayerExplanation struct {
	Layer      Layer                  `json:"layer"`
	Level      int                    `json:"level"`
	Side       Side                   `json:"side"`
	Says       Outcome                `json:"says"`
	Statements []StatementExplanation `json:"statements"`
}

// An Outcome is what a statement or a layer came to.
type Outcome string

// The outcomes. A layer that neither allows nor denies is NotMatched.
const (
	Matched      Outcome = "matched"      // of a statement
	NotMatched   Outcome = "not matched"  // of a statement, or a layer that does not allow
	Undetermined Outcome = "undetermined" // of either
	Allows       Outcome = "allows"       // of a layer
	Denies       Outcome = "denies"       // of a layer
)

// A StatementExplanation is what one statement came to and why.
type StatementExplanation struct {
	Statement StatementRef `json:"-"`
	Policy    string       `json:"policy"`
	Index     int          `json:"index"`
	Sid       string       `json:"sid,omitempty"`
	Line      int          `json:"line,omitempty"` // 0 if the policy was not parsed
	Effect    iam.Effect   `json:"effect"`
	Outcome   Outcome      `json:"outcome"`

	// Mismatches are the elements and conditions that did not match or are
	// undetermined, in the order action, resource, principal, conditions. The
	// first is why the statement did not match.
	Mismatches []Mismatch `json:"mismatches,omitempty"`

	// Met is, for a Deny that matched, what narrows it: its NotPrincipal and its
	// conditions with the values compared. A request that differs in one of them
	// is not denied by it.
	Met []Mismatch `json:"met,omitempty"`
}

// A Mismatch is an element of a statement that did not match or could not be
// decided, or in [StatementExplanation.Met] one that did match.
type Mismatch struct {
	Statement string   `json:"statement,omitempty"` // only in [Explanation.Undetermined]
	Element   string   `json:"element"`             // "Action", "NotResource", "Principal", "Condition", …
	Operator  string   `json:"operator,omitempty"`  // of a condition, as written
	Key       string   `json:"key,omitempty"`       // of a condition, as written
	Wanted    []string `json:"wanted"`              // what the policy says
	Found     []string `json:"found"`               // what the request has; nil if it has nothing
	Note      string   `json:"note,omitempty"`
	Open      bool     `json:"open,omitempty"`    // undetermined rather than not matching
	Unknown   []string `json:"unknown,omitempty"` // the keys on which that hangs, in lower case
}

// String returns the mismatch as part of a sentence.
func (m Mismatch) String() string {
	var b strings.Builder
	if m.Element == "Condition" {
		fmt.Fprintf(&b, "condition %s %s", m.Operator, m.Key)
	} else {
		b.WriteString(m.Element)
	}
	fmt.Fprintf(&b, ": policy says %s, request has ", list(m.Wanted))
	switch {
	case m.Open:
		b.WriteString("something unknown")
	case m.Found == nil:
		b.WriteString("nothing")
	default:
		b.WriteString(list(m.Found))
	}
	if m.Note != "" {
		b.WriteString(" (" + m.Note + ")")
	}
	return b.String()
}

// list shows values, the first few of them.
func list(values []string) string {
	const limit = 5
	if len(values) == 1 {
		return values[0]
	}
	shown := values[:min(limit, len(values))]
	s := strings.Join(shown, ", ")
	if len(values) > limit {
		s += fmt.Sprintf(", and %d more", len(values)-limit)
	}
	return "[" + s + "]"
}

// Explain decides the request as [Decide] does and says why.
func Explain(in *Input) *Explanation {
	e := newEnv(in)
	l := e.applicable(in)
	x := &Explanation{
		Decision:         Decide(in),
		Principal:        e.principal.ARN,
		PrincipalAccount: e.principal.Account,
		Action:           e.action,
		Resource:         e.resource,
		ResourceAccount:  e.resourceAccount,
		Notes:            e.notes(in),
		roleAssumption:   e.isRoleAssumption(),
	}
	x.Deciding = append([]StatementRef{}, x.Decision.Statements()...)
	if e.principal.Type == iam.PrincipalAnonymous {
		x.Principal = "anonymous"
	}

	for level, policies := range l.resourceControl {
		x.explainLayer(&e, LayerResourceControl, level, policies...)
	}
	for level, policies := range l.serviceControl {
		x.explainLayer(&e, LayerServiceControl, level, policies...)
	}
	x.explainCap(&e, LayerEndpoint, l.endpoint)
	if l.resource != nil || e.principal.Account != e.resourceAccount || e.resourceMustAllow() || e.caller() == callerWithoutPolicies {
		x.explainLayer(&e, LayerResource, 0, l.resource)
	}
	if e.caller() == callerWithPolicies {
		x.explainLayer(&e, LayerIdentity, 0, l.identity...)
	}
	x.explainCap(&e, LayerBoundary, l.boundary)
	if l.session != nil || l.sessionRequired {
		x.explainLayer(&e, LayerSession, 0, l.session...)
	}

	switch x.Decision.Verdict {
	case ImplicitlyDenied:
		x.Changes = x.changes(in)
	case Depends:
		x.Undetermined = x.undetermined(&e, in)
	}
	return x
}

// explainCap explains a layer of one policy, if it is there.
func (x *Explanation) explainCap(e *env, layer Layer, p *Policy) {
	if p != nil {
		x.explainLayer(e, layer, 0, p)
	}
}

func (x *Explanation) explainLayer(e *env, layer Layer, level int, policies ...*Policy) {
	explained := LayerExplanation{Layer: layer, Level: level, Side: sideOf(layer), Statements: []StatementExplanation{}}
	allow, deny := no, no
	if layer == LayerResourceControl {
		allow = yes // RCPFullAWSAccess
	}
	for _, p := range policies {
		if p == nil {
			continue // a resource without a policy
		}
		for i := range p.statements {
			ref := refTo(p, int32(i), layer, level)
			s, outcome := explainStatement(e, ref)
			explained.Statements = append(explained.Statements, s)
			if p.statements[i].deny {
				deny = or(deny, outcome)
			} else {
				allow = or(allow, outcome)
			}
		}
	}
	switch {
	case deny == yes:
		explained.Says = Denies
	case allow == no:
		explained.Says = NotMatched
	case deny == maybe || allow == maybe:
		explained.Says = Undetermined
	default:
		explained.Says = Allows
	}
	x.Layers = append(x.Layers, explained)
}

func explainStatement(e *env, ref StatementRef) (StatementExplanation, tri) {
	written, compiled := ref.Statement(), &ref.Policy.statements[ref.Index]
	s := StatementExplanation{
		Statement: ref, Policy: ref.Policy.name, Index: int(ref.Index), Sid: written.Sid,
		Line: ref.Position().Line, Effect: written.Effect,
	}
	outcome := yes
	missed := func(t tri, m Mismatch) {
		if t == yes && compiled.deny && (m.Element == "NotPrincipal" || m.Element == "Condition") {
			if m.Element == "NotPrincipal" && switchNotPrincipalNeedsWholeChain {
				m.Note = "it spares a caller only if the caller itself, its account, and for a session its role are all listed"
			}
			s.Met = append(s.Met, m)
		}
		if outcome = and(outcome, t); t != yes {
			if m.Open = t == maybe; !m.Open {
				m.Unknown = nil
			}
			s.Mismatches = append(s.Mismatches, m)
		}
	}

	action := Mismatch{Element: "Action", Wanted: written.Action, Found: []string{e.action}}
	if compiled.notAction {
		action.Element, action.Wanted = "NotAction", written.NotAction
	}
	missed(truth(compiled.matchesAction(e)), action)

	resource := Mismatch{Element: "Resource", Wanted: written.Resource, Found: []string{e.resource}}
	if compiled.notResource {
		resource.Element, resource.Wanted = "NotResource", written.NotResource
	}
	resource.Note = unresolvedNote(e.context, compiled.resources)
	resource.Unknown = unknownKeys(e.context, compiled.resources)
	missed(compiled.matchesResource(e), resource)

	if compiled.principals != nil {
		principal := Mismatch{Element: "Principal", Wanted: principalTexts(written.Principal), Found: e.callerTexts()}
		if compiled.notPrincipal {
			principal.Element, principal.Wanted = "NotPrincipal", principalTexts(written.NotPrincipal)
		}
		principal.Unknown = compiled.unknownCaller()
		named := compiled.names(e)
		missed(named.best(), principal)
	}

	for i := range compiled.conditions {
		missed(compiled.conditions[i].holds(e.context), explainCondition(e, &written.Conditions[i], &compiled.conditions[i]))
	}

	if outcome != yes {
		s.Met = nil
	}
	switch outcome {
	case yes:
		s.Outcome = Matched
	case maybe:
		s.Outcome = Undetermined
	default:
		s.Outcome = NotMatched
		s.Mismatches = slices.DeleteFunc(s.Mismatches, func(m Mismatch) bool { return m.Open })
	}
	return s, outcome
}

const (
	externalIDKey = "sts:externalid"

	// hidden replaces values that must not be shown.
	hidden = "(hidden)"
)

// explainCondition describes a condition that is not met. The values of
// sts:ExternalId are secrets between two parties, and explanations end up in
// tickets and logs.
func explainCondition(e *env, written *iam.Condition, c *condition) Mismatch {
	m := Mismatch{Element: "Condition", Operator: written.Operator, Key: written.Key, Wanted: written.Values}
	values, multi, state := e.context.Lookup(c.key)
	switch state {
	case iam.KeyAbsent:
		m.Note = "the key is absent"
	case iam.KeyUnknown:
		m.Note = "the key is unknown"
	case iam.KeyGiven:
		m.Found = values
		if multi && c.set == iam.SetNone && c.kind != kindNull {
			m.Note = "a multivalued key needs ForAllValues or ForAnyValue"
		}
	}
	if note := unresolvedNote(e.context, c.patterns); note != "" {
		m.Note = note
	}
	if m.Unknown = unknownKeys(e.context, c.patterns); state == iam.KeyUnknown && !slices.Contains(m.Unknown, c.key) {
		m.Unknown = append([]string{c.key}, m.Unknown...)
	}
	if c.key == externalIDKey {
		m.Wanted = []string{hidden}
		if m.Found != nil {
			m.Found = []string{hidden}
		}
	}
	return m
}

// unresolvedNote names the variables of the patterns that have no value.
func unresolvedNote(ctx *iam.Context, patterns []pattern) string {
	for i := range patterns {
		for j := range patterns[i].tokens {
			t := &patterns[i].tokens[j]
			if t.kind != tokenVariable {
				continue
			}
			switch _, state := resolve(t, ctx); state {
			case no:
				return fmt.Sprintf("the variable ${%s} has no value", t.text)
			case maybe:
				return fmt.Sprintf("the variable ${%s} is unknown", t.text)
			}
		}
	}
	return ""
}

// unknownKeys lists the keys that the patterns' variables stand for and whose
// values are unknown.
func unknownKeys(ctx *iam.Context, patterns []pattern) []string {
	var keys []string
	for i := range patterns {
		for j := range patterns[i].tokens {
			t := &patterns[i].tokens[j]
			if t.kind != tokenVariable || slices.Contains(keys, t.text) {
				continue
			}
			if _, state := resolve(t, ctx); state == maybe {
				keys = append(keys, t.text)
			}
		}
	}
	return keys
}

// unknownCaller lists the keys that can tell whether the caller is named.
func (s *statement) unknownCaller() []string {
	var keys []string
	for i := range s.principals {
		key := userIDKey
		switch s.principals[i].kind {
		case entryCanonical:
			key = canonicalUserKey
		case entryARN:
		default:
			continue
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func principalTexts(p *iam.Principals) []string {
	if p == nil {
		return nil
	}
	texts := []string{}
	if p.All {
		texts = append(texts, "*")
	}
	for _, values := range [][]string{p.AWS, p.Service, p.Federated, p.CanonicalUser} {
		texts = append(texts, values...)
	}
	return texts
}

// callerTexts lists what a policy could call the principal.
func (e *env) callerTexts() []string {
	p := e.principal
	if p.Type == iam.PrincipalAnonymous {
		return []string{"an anonymous caller"}
	}
	texts := []string{p.ARN}
	if p.RoleARN != "" {
		texts = append(texts, p.RoleARN)
	}
	if p.UniqueID != "" {
		texts = append(texts, p.UniqueID)
	}
	return texts
}

// notes says what is special about the request.
func (e *env) notes(in *Input) []string {
	var notes []string
	if e.isAction("sts:getcalleridentity") {
		notes = append(notes, "sts:GetCallerIdentity needs no permission and cannot be denied")
	}
	if e.caller() == callerRootUser && e.isRoleAssumption() {
		notes = append(notes, "the root user cannot assume roles")
	}
	if in.ServiceControl != nil {
		switch {
		case e.isServiceLinkedRole():
			notes = append(notes, "service control policies do not apply to service-linked roles")
		case e.caller() == callerWithoutPolicies:
			notes = append(notes, "service control policies do not apply to this kind of principal")
		}
	}
	if in.ResourceControl != nil {
		switch {
		case e.isServiceLinkedRole():
			notes = append(notes, "resource control policies do not apply to service-linked roles")
		case !e.isControlled():
			notes = append(notes, "resource control policies do not apply to this action")
		}
	}
	if e.hasBoundary && in.Resource != nil {
		for i := range in.Resource.statements {
			if s := &in.Resource.statements[i]; s.deny && s.notPrincipal {
				notes = append(notes, "a Deny with NotPrincipal always applies to a principal that has a permissions boundary")
				break
			}
		}
	}
	return notes
}
