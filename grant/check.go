package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/lint"
)

// A Report is what [Plan.Check] found.
type Report struct {
	Allowed  int            `json:"allowed"` // declared requests that are allowed
	Denied   int            `json:"denied"`  // neighbours that are denied
	Failures []Failure      `json:"failures,omitempty"`
	Findings []DocumentLint `json:"findings,omitempty"`
}

// OK reports whether everything declared is allowed, every neighbour denied, and
// no document has a finding that is an error.
func (r *Report) OK() bool {
	return len(r.Failures) == 0 && !slices.ContainsFunc(r.Findings, func(f DocumentLint) bool { return f.Finding.Severity == lint.Error })
}

// A Failure is a request that was decided otherwise than the manifest says.
type Failure struct {
	Grant       string `json:"grant"`
	Stage       string `json:"stage"`
	Case        string `json:"case"` // "declared", or what differs: "another action"
	Side        string `json:"side"` // of a neighbour: the policies that should have denied it alone
	Principal   string `json:"principal"`
	Action      string `json:"action"`
	Resource    string `json:"resource"`
	Want        string `json:"want"`        // "allowed" or "denied"
	Explanation string `json:"explanation"` // why it was decided as it was
}

// A DocumentLint is a finding of the linter in one compiled policy.
type DocumentLint struct {
	Document string       `json:"document"`
	Grants   []string     `json:"grants"`
	Finding  lint.Finding `json:"finding"`
}

// Check evaluates the compiled policies: every request that a grant declares
// must be allowed, and its neighbours must be denied: another action, another
// resource, another stage, the same role in another account, another role of the
// same account, a condition that does not hold. Each side must deny a neighbour
// by itself, whatever the other side allows. Every document is linted too.
func (p *Plan) Check() (*Report, error) { return p.CheckEach(nil) }

// An Asked is one request that [Plan.CheckEach] has decided.
type Asked struct {
	Failure              // what was asked, whether or not it failed; Explanation is empty
	Input   *eval.Input  // with the policies that were asked; it must not be changed
	Verdict eval.Verdict // of package eval
}

// CheckEach is [Plan.Check] that shows every decided request as it goes along,
// for those who want to ask somebody else too.
func (p *Plan) CheckEach(visit func(Asked)) (*Report, error) {
	c, err := p.checking()
	if err != nil {
		return nil, err
	}
	c.visit = visit
	c.declared, c.byGrant = map[string][]question{}, map[string][]*edge{}
	for _, e := range p.edges {
		c.byGrant[e.grant.Name] = append(c.byGrant[e.grant.Name], e)
		for _, q := range c.questions(e) {
			c.declared[q.caller] = append(c.declared[q.caller], q)
			if q.caller != e.assume && (e.trust == "account" || e.trust == "organization") {
				c.wide = append(c.wide, wideGrant{e, q})
			}
		}
	}
	for _, e := range p.edges {
		for _, q := range c.questions(e) {
			c.ask(e, q)
		}
	}
	c.pods()
	c.endpoints()
	c.lint()
	return c.report, nil
}

// checking compiles the policies of a plan, ready to be asked.
func (p *Plan) checking() (*checking, error) {
	c := p.newChecking()
	return c, c.compile()
}

// newChecking is checking before the policies are compiled.
func (p *Plan) newChecking() *checking {
	c := &checking{plan: p, report: &Report{}, samples: map[string]string{}, policies: map[string]*eval.Policy{}, identity: map[string][]*eval.Policy{}, actions: map[string]string{}}
	c.collectSamples()
	return c
}

type checking struct {
	plan     *Plan
	report   *Report
	samples  map[string]string         // :: id of a symbol → a value it could have
	policies map[string]*eval.Policy   // :: kind and ARN → what is attached there
	identity map[string][]*eval.Policy // :: ARN of a role → its permissions
	actions  map[string]string         // :: an action → another one on the same type of resource
	wide     []wideGrant               // requests that are open to whole accounts or organizations
	byGrant  map[string][]*edge        // :: name of a grant → its stages
	visit    func(Asked)               // called with every request, unless nil
	declared map[string][]question     // :: principal → what grants let it do
}

// collectSamples gives everything that only AWS knows a value of the right form.
func (c *checking) collectSamples() {
	sample := func(i *instance) {
		if i == nil || !i.created() {
			return
		}
		other := *i
		if i.kind.needsID {
			other.id = "00000000-0000-4000-8000-" + hash(i.unitKey())[:12]
		}
		c.samples["unit:"+i.unitKey()+"#Arn"] = strings.ReplaceAll(i.kind.arn(&other), unknownSuffix, "-AbCdEf")
		c.samples["unit:"+i.unitKey()+"#Id"] = other.id
	}
	for id := range c.plan.found {
		c.samples[id] = "a1" + hash(id)[:8]
	}
	for _, g := range c.plan.endpoints {
		c.samples["unit:"+g.place.key+"#Id"] = "vpce-" + hash(g.place.key)[:17]
	}
	for _, e := range c.plan.edges {
		sample(e.resource)
		sample(e.resource.key)
		for _, part := range e.resource.parts.list() {
			sample(part)
			sample(part.key)
		}
		if e.resource.fanOut != "" {
			c.samples[iam.Pieces(e.resource.fanOut)[0].Text] = e.resource.arn + "/consumer/" + e.grant.Name + ":1700000000"
		}
	}
}

// concrete puts values in the place of what only AWS knows.
func (c *checking) concrete(s string) string {
	return iam.ReplaceSymbols(s, func(id string) string {
		if v, ok := c.samples[id]; ok {
			return v
		}
		return "unknown"
	})
}

func (c *checking) concretePolicy(d *Document) *iam.Policy {
	p := d.Policy
	out := &iam.Policy{Version: p.Version, Statements: slices.Clone(p.Statements)}
	for i := range out.Statements {
		s := &out.Statements[i]
		if s.Resource != nil {
			s.Resource = c.concreteAll(s.Resource)
			for k, r := range s.Resource {
				if rest, ok := strings.CutPrefix(r, "execute-api:/"); ok {
					s.Resource[k] = c.concrete(d.Resource) + "/" + rest
				}
			}
		}
		s.Conditions = slices.Clone(s.Conditions)
		for k := range s.Conditions {
			s.Conditions[k].Values = c.concreteAll(s.Conditions[k].Values)
		}
	}
	return out
}

func (c *checking) concreteAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = c.concrete(s)
	}
	return out
}

func (c *checking) compile() error {
	for _, d := range c.plan.documents {
		p, err := eval.Compile(c.concretePolicy(d), d.Kind, d.Title)
		if err != nil {
			return fmt.Errorf("the %s: %w", d.Title, err)
		}
		if d.Kind == iam.KindIdentity {
			c.identity[d.Principal] = append(c.identity[d.Principal], p)
			continue
		}
		c.policies[d.Kind.String()+" "+c.concrete(d.Resource)] = p
	}
	return nil
}

func (c *checking) policy(kind iam.Kind, arn string) *eval.Policy {
	return c.policies[kind.String()+" "+c.concrete(arn)]
}

// Policies that allow everything stand for the other side when one side is tried
// alone.
var (
	openIdentity = []*eval.Policy{mustCompile(iam.KindIdentity, iam.Statement{Sid: "Open", Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"}})}
	openResource = mustCompile(iam.KindResource, iam.Statement{Sid: "Open", Effect: iam.Allow, Principal: &iam.Principals{All: true}, Action: []string{"*"}, Resource: []string{"*"}})
	openTrust    = mustCompile(iam.KindTrust, iam.Statement{Sid: "Open", Effect: iam.Allow, Principal: &iam.Principals{All: true}, Action: []string{"*"}})
)

func mustCompile(kind iam.Kind, s iam.Statement) *eval.Policy {
	p, err := eval.Compile(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}, kind, "everything is allowed")
	if err != nil {
		panic(err)
	}
	return p
}

// questions are the requests that a grant declares in one stage.
func (c *checking) questions(e *edge) []question {
	var all []question
	caller := e.principal.arn
	if e.principal.account {
		caller = roleARN(e.principal.site, "", "anyone")
	}
	if e.assume != "" {
		assume := question{action: "sts:AssumeRole", resource: e.assume, pattern: e.assume, account: e.resource.site.ID, caller: caller, organization: e.organization,
			identity: c.identityOf(e), on: c.policy(iam.KindTrust, e.assume), open: openTrust}
		if e.externalID != "" {
			assume.conditions = condition("StringEquals", "sts:ExternalId", e.externalID)
		}
		assume.conditions = append(assume.conditions, e.assumeConditions...)
		all = append(all, assume)
		caller = e.assume
	}
	for _, h := range e.rights {
		for _, resource := range h.resources {
			for _, action := range h.right.actions {
				all = append(all, c.question(e, h, caller, action, resource))
			}
		}
	}
	return all
}

// identityOf returns the compiled permissions of an edge's principal, or what a
// whole account could give itself.
func (c *checking) identityOf(e *edge) []*eval.Policy {
	if e.principal.account {
		return openIdentity
	}
	return c.identity[e.principal.arn]
}

// A question is a request together with the policies of both sides.
type question struct {
	action, resource string
	account          string // that owns the resource
	caller           string // ARN of the role
	conditions       []iam.Condition
	identity         []*eval.Policy
	on               *eval.Policy // the resource's policy, nil if it has none
	organization     string       // of the caller, if it is known
	open             *eval.Policy // stands for it when the other side is tried alone
	pattern          string       // the resource as the policy says it
	endpoints        bool         // the resource's policy alone asks for VPC endpoints
	consumerOnly     bool
}

func (c *checking) question(e *edge, h heldRight, caller, action, resource string) question {
	q := question{action: action, organization: e.organization, pattern: c.concrete(resource), account: e.resource.site.ID, caller: caller, conditions: h.conditions, open: openResource}
	q.resource = sampleOf(q.pattern)
	at := e.resource.partARN(h.right.part)
	if h.key {
		at = e.resource.key.arn
	}
	q.on = c.policy(iam.KindResource, at)
	q.identity = c.identityOf(e)
	if e.via == "role" {
		// Within its account the role's own permissions decide, if the key's policy
		// leaves it to them as usual.
		q.identity, q.open, q.organization = c.identity[e.assume], nil, ""
		key := e.resource.key
		if e.resource.kind.name == "kms-key" {
			key = e.resource
		}
		if key != nil && (h.key || key == e.resource) {
			if q.on == nil {
				q.on = mustCompile(iam.KindResource, key.kind.policy.base(key)[0])
			}
			q.open = mustCompile(iam.KindResource, key.kind.policy.base(key)[0])
		}
	}
	if h.right.side == consumerSide {
		q.consumerOnly, q.on = true, nil
		if e.via != "role" {
			q.account = e.principal.site.ID
		}
	}
	if !h.key && h.right.side != consumerSide {
		q.conditions = append(slices.Clone(q.conditions), endpoints(e)...)
		q.endpoints = e.via != "role"
	}
	return q
}

// sampleOf returns a resource that a pattern matches.
func sampleOf(pattern string) string {
	if pattern == "*" {
		return pattern
	}
	return strings.ReplaceAll(strings.ReplaceAll(pattern, "??????", "AbCdEf"), "*", "sample")
}

// ask checks that a request is allowed and its neighbours are not.
func (c *checking) ask(e *edge, q question) {
	c.decide(e, "declared", "both", q, true)
	if q.pattern == "*" {
		return
	}
	// Within one account one side is enough, so neither can be tried with the
	// other open; a role that was assumed has its own permissions alone.
	assumed, within := q.caller == e.assume, e.principal.site.ID == q.account
	trusts := q.action == "sts:AssumeRole" // trust policies must allow it in any case
	identity, resource := assumed || !e.principal.account && !within, q.on != nil && !assumed && (!within || trusts)
	neighbour := func(what string, change func(n *question), identitySide, resourceSide bool) {
		n := q
		change(&n)
		if c.grantedTo(&n) {
			return
		}
		if identity && identitySide && !c.givenTo(&n) {
			n := q
			n.on = q.open
			change(&n)
			c.decide(e, what, "consumer", n, false)
		}
		if resource && resourceSide && !c.openTo(&n) {
			n := q
			n.identity = openIdentity
			change(&n)
			c.decide(e, what, "resource", n, false)
		}
	}
	if within && !assumed && !trusts && !e.principal.account {
		inner := neighbour
		neighbour = func(what string, change func(n *question), identitySide, resourceSide bool) {
			n := q
			change(&n)
			if strings.HasPrefix(what, "stage ") || n.caller != q.caller || !identitySide || c.grantedTo(&n) || c.givenTo(&n) || c.openTo(&n) {
				inner(what, change, identitySide, resourceSide)
				return
			}
			c.decide(e, what, "both", n, false)
		}
	}
	if other := c.otherAction(q.action); other != "" {
		neighbour("another action", func(n *question) { n.action = other }, true, true)
	}
	if other, ok := otherResource(e, q); ok {
		neighbour("another resource", func(n *question) { n.resource = other }, true, false)
	}
	if near := e.resource.kind.near; near != nil && strings.HasPrefix(q.action, e.resource.kind.service+":") && !strings.HasPrefix(q.action, "sts:") {
		concrete := *e.resource
		concrete.arn = c.concrete(concrete.arn)
		for _, other := range near(&concrete, q.resource) {
			neighbour("another part of the resource", func(n *question) { n.resource = other }, true, true)
		}
	}
	neighbour("the same role in another account", func(n *question) {
		n.caller, n.organization = strings.Replace(n.caller, ":"+e.principal.site.ID+":", ":000000000000:", 1), ""
	}, false, true)
	switch e.trust {
	case "account":
	case "organization":
		neighbour("another organization", func(n *question) { n.organization = "o-otherother00" }, false, true)
	default:
		neighbour("another role of the account", func(n *question) { n.caller += "-other" }, false, true)
	}
	for i := range q.conditions {
		key := q.conditions[i].Key
		onConsumer := q.action != "sts:AssumeRole" && (key != "aws:SourceVpce" || assumed) // else asked for by the resource alone
		if q.conditions[i].Operator == "Null" {
			continue // with the condition on the key's values
		}
		neighbour("another "+key, func(n *question) {
			n.conditions = slices.Clone(n.conditions)
			n.conditions[i].Values = []string{"anything-else"}
		}, onConsumer, true)
		if strings.HasSuffix(q.conditions[i].Operator, "IfExists") {
			continue
		}
		neighbour("without "+key, func(n *question) {
			n.conditions = slices.DeleteFunc(slices.Clone(n.conditions), func(c iam.Condition) bool { return c.Key == key })
		}, onConsumer, true)
	}
	c.otherStages(e, q, neighbour)
}

// decide asks the evaluator and notes an answer that is not wanted.
func (c *checking) decide(e *edge, what, side string, q question, want bool) {
	in := &eval.Input{Request: c.request(e, q), Identity: q.identity, Resource: q.on}
	if in.Identity == nil {
		in.Identity = []*eval.Policy{}
	}
	c.count(in, want, Failure{Grant: e.grant.Name, Stage: e.pair.stage, Case: what, Side: side, Principal: q.caller, Action: q.action, Resource: q.resource})
}

// count decides a request and counts it, or notes the failure.
func (c *checking) count(in *eval.Input, want bool, f Failure) {
	d := eval.Decide(in)
	f.Want = "denied"
	if want {
		f.Want = "allowed"
	}
	if c.visit != nil {
		c.visit(Asked{f, in, d.Verdict})
	}
	switch {
	case d.Allowed() != want || d.Verdict == eval.Depends:
		f.Explanation = eval.Explain(in).String()
		c.report.Failures = append(c.report.Failures, f)
	case want:
		c.report.Allowed++
	default:
		c.report.Denied++
	}
}

func (c *checking) request(e *edge, q question) *iam.Request {
	role, _ := iam.ParseRoleARN(q.caller)
	r := &iam.Request{
		Principal:       iam.Principal{Type: iam.PrincipalRoleSession, ARN: role.SessionARN("check").String(), Account: role.Account, RoleARN: q.caller},
		Action:          q.action,
		Resource:        q.resource,
		ResourceAccount: iam.AccountID(q.account),
	}
	r.Context.Set("aws:PrincipalArn", q.caller)
	r.Context.Set("aws:PrincipalAccount", string(role.Account))
	if q.organization != "" {
		r.Context.Set("aws:PrincipalOrgID", q.organization)
	}
	for _, cond := range q.conditions {
		if cond.Operator == "Null" || len(cond.Values) == 0 {
			continue
		}
		value := sampleOf(c.concrete(cond.Values[0]))
		if strings.HasPrefix(cond.Operator, "For") {
			r.Context.SetMulti(cond.Key, value)
		} else {
			r.Context.Set(cond.Key, value)
		}
	}
	return r
}
