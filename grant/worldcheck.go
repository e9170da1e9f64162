package grant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// A WorldReport is what [Plan.CheckWorld] found.
type WorldReport struct {
	Allowed      int            `json:"allowed"` // declared requests that everything in the world lets through
	Blocked      []Blocked      `json:"blocked,omitempty"`
	Undetermined []Undetermined `json:"undetermined,omitempty"`
	Removed      []Removed      `json:"removed,omitempty"`
	Assumptions  []string       `json:"assumptions,omitempty"` // taken for granted, as sentences
}

// OK reports whether nothing that exists blocks a grant, and deploying removes
// no existing Deny statement. What is undetermined does not count.
func (r *WorldReport) OK() bool {
	return len(r.Blocked) == 0 && !slices.ContainsFunc(r.Removed, func(r Removed) bool { return r.Effect == iam.Deny })
}

// Blocked says that requests of a grant in one stage would be denied, and by
// what.
type Blocked struct {
	Grant     string   `json:"grant"`
	Stage     string   `json:"stage"`
	Principal string   `json:"principal"`
	Actions   []string `json:"actions"`
	Resources []string `json:"resources"`
	By        []Block  `json:"by"`
}

// A Block is one thing that denies a request: a statement that matches, or
// policies none of which allows it.
type Block struct {
	Layer    eval.Layer `json:"layer"`
	Side     eval.Side  `json:"side"`
	Attached string     `json:"attached,omitempty"` // of SCPs and RCPs: to the root, a unit or the account
	Policies []string   `json:"policies"`           // names or ARNs; one, if a statement of it denies

	// Statement is the position of the Deny statement in its policy, from 0. It
	// is -1 if no statement of the policies allows the request.
	Statement int    `json:"statement"`
	Sid       string `json:"sid,omitempty"`
	Because   string `json:"because,omitempty"` // the conditions that hold, or the nearest statement and what it lacks
	Place     string `json:"place,omitempty"`   // file and line, for callers that know the file

	// Reference points to the statement for such callers; nil as for Statement.
	Reference *eval.StatementRef `json:"-"`
	// Owners are the ids and ARNs that the policy could belong to in the world.
	Owners []string `json:"-"`
}

// Undetermined says that requests of a grant in one stage hang on something that
// neither the plan nor the world says.
type Undetermined struct {
	Grant     string   `json:"grant"`
	Stage     string   `json:"stage"`
	Principal string   `json:"principal"`
	Actions   []string `json:"actions"`
	Hangs     []string `json:"hangs_on"` // as sentences
}

// Removed is a statement that the policy of a resource has in the world and
// that deploying the plan would remove, because the policy is one document.
type Removed struct {
	Resource  string     `json:"resource"` // ARN
	Document  string     `json:"document"` // that takes the policy's place
	Statement int        `json:"statement"`
	Sid       string     `json:"sid,omitempty"`
	Effect    iam.Effect `json:"effect"`
	Place     string     `json:"place,omitempty"` // as in [Block]

	Reference *eval.StatementRef `json:"-"`
}

// CheckWorld puts the compiled policies into a world of what exists already and
// asks whether every request that a grant declares is allowed there. Service and
// resource control policies, permissions boundaries, those of the roles that the
// manifest creates included, other policies of roles that exist, and Deny
// statements in policies of resources are considered: what blocks a grant is
// named with its statement. The snapshot is not changed. The error is about a
// snapshot that contradicts itself, or about ids.
//
// Requests are taken to be made with TLS and, where a grant does not name VPC
// endpoints, to come from anywhere: a policy that asks for an address or an
// endpoint leaves them undetermined.
//
// What a manifest gives by id_from is only known when the plan is deployed. ids
// says it here, by resource and stage ("orders-api.prod") or resource alone; it
// may be nil, and then a request is undetermined if the world has a policy that
// the resource could have already. A name in it that is none of a resource with
// id_from, and an ARN of another account or region than the resource's, is an
// [IDError].
func (p *Plan) CheckWorld(s *world.Snapshot, ids map[string]string) (*WorldReport, error) {
	c := p.newChecking()
	unknown, err := c.identify(ids)
	if err != nil {
		return nil, err
	}
	if err := c.compile(); err != nil {
		return nil, err
	}
	o := newOverlay(c, s)
	o.unknown = unknown
	after, err := o.snapshot()
	if err != nil {
		return nil, err
	}
	w, err := world.Compile(after)
	if err != nil {
		return nil, err
	}
	x := &worldCheck{overlay: o, world: w, blocked: map[string]*Blocked{}, open: map[string]*Undetermined{}, assumed: map[string]bool{}}
	for _, a := range o.assumed {
		x.assumed[a] = true
	}
	for _, e := range p.edges {
		for _, q := range c.questions(e) {
			if err := x.ask(e, q); err != nil {
				return nil, err
			}
		}
	}
	if err := x.pods(); err != nil {
		return nil, err
	}
	r := &WorldReport{Allowed: x.allowed, Removed: o.removed, Assumptions: sortedKeys(x.assumed)}
	for _, key := range x.order {
		if b := x.blocked[key]; b != nil {
			r.Blocked = append(r.Blocked, *b)
		}
		if u := x.open[key]; u != nil {
			r.Undetermined = append(r.Undetermined, *u)
		}
	}
	return r, nil
}

// A worldCheck asks a world with the compiled policies in it.
type worldCheck struct {
	*overlay
	world   *world.World
	allowed int
	blocked map[string]*Blocked      // :: grant, stage, principal and what blocks
	open    map[string]*Undetermined // :: grant, stage, principal and what it hangs on
	order   []string                 // of the keys of both
	assumed map[string]bool
}

func (x *worldCheck) ask(e *edge, q question) error {
	asked := world.Question{Principal: q.caller, Action: q.action, Resource: x.actual(q.pattern), ResourceAccount: iam.AccountID(q.account), Context: x.context(e, &q)}
	return x.decide(asked, e.grant.Name, e.pair.stage, e.principal.site.ID, q.account)
}

// context is what is known of a declared request. What is not set here follows
// from the world or is unknown.
func (x *worldCheck) context(e *edge, q *question) iam.Context {
	var ctx iam.Context
	for _, cond := range q.conditions {
		if cond.Operator == "Null" || len(cond.Values) == 0 {
			continue
		}
		value := x.actual(x.c.concrete(cond.Values[0]))
		if strings.HasPrefix(cond.Operator, "For") {
			ctx.SetMulti(cond.Key, value)
		} else {
			ctx.Set(cond.Key, value)
		}
	}
	ctx.Set("aws:SecureTransport", "true")
	ctx.Set("aws:ViaAWSService", "false")
	if _, _, state := ctx.Lookup("kms:ViaService"); state == iam.KeyGiven {
		ctx.Set("aws:ViaAWSService", "true") // the service uses the key for the caller
	}
	if e.resource.kind.anyRegion && e.resource.kind.service != "iam" && !strings.HasPrefix(q.action, "sts:") {
		ctx.Set("aws:RequestedRegion", e.resource.site.Region)
	}
	return ctx
}

// pods asks for the roles that pods use by IRSA.
func (x *worldCheck) pods() error {
	for _, r := range x.c.plan.roles {
		if r.pods == nil || r.pods.podIdentity() {
			continue
		}
		for i := range r.pods.clusters {
			issuer := r.pods.clusters[i].issuer()
			asked := world.Question{Principal: providerARN(r.site, issuer), Action: "sts:AssumeRoleWithWebIdentity", Resource: r.arn, ResourceAccount: iam.AccountID(r.site.ID)}
			asked.Context.Set(issuer+":sub", r.pods.subject())
			asked.Context.Set(issuer+":aud", audience)
			asked.Context.Set("aws:SecureTransport", "true")
			if err := x.decide(asked, r.grants[0], r.stage, r.site.ID, r.site.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *worldCheck) decide(asked world.Question, grant, stage, callerAccount, owner string) error {
	answer, err := x.world.Can(asked)
	if err != nil {
		return fmt.Errorf("grant %q in %s: %w", grant, stage, err)
	}
	for _, a := range answer.Assumptions {
		x.assumed[a] = true
	}
	verdict := answer.Verdict()
	var hangs []string
	if verdict == eval.Allowed || verdict == eval.Depends {
		hangs = x.missing(asked, callerAccount, owner)
	}
	if verdict == eval.Depends {
		for _, r := range answer.Requirements() {
			hangs = append(hangs, r.String())
		}
	}
	if verdict == eval.Allowed {
		for _, sample := range sortedKeys(x.unknown) {
			if at := strings.Index(asked.Resource, sample); at >= 0 && x.unknown[sample].policy && x.policyLike(asked.Resource[:at]+"*") {
				hangs = append(hangs, fmt.Sprintf("the policy that %s has already, which deploying replaces, must not deny it", asked.Resource))
			}
		}
	}
	for n := range hangs {
		hangs[n] = x.withoutSample(hangs[n])
	}
	key := grant + "\x00" + stage + "\x00" + asked.Principal + "\x00"
	switch {
	case len(hangs) > 0:
		hangs = union(hangs, nil)
		key += strings.Join(hangs, "\x00")
		u := x.open[key]
		if u == nil {
			u = &Undetermined{Grant: grant, Stage: stage, Principal: asked.Principal, Hangs: hangs}
			x.open[key] = u
			x.order = append(x.order, key)
		}
		u.Actions = union(u.Actions, []string{asked.Action})
	case verdict == eval.Allowed:
		x.allowed++
	default:
		by := x.blocks(answer, callerAccount, owner)
		for _, b := range by {
			key += fmt.Sprint(b.Layer, b.Attached, b.Policies, b.Statement, "\x00")
		}
		b := x.blocked[key]
		if b == nil {
			b = &Blocked{Grant: grant, Stage: stage, Principal: asked.Principal, By: by}
			x.blocked[key] = b
			x.order = append(x.order, key)
		}
		b.Actions, b.Resources = union(b.Actions, []string{asked.Action}), union(b.Resources, []string{asked.Resource})
	}
	return nil
}

// policyLike reports whether the world has the policy of a resource that could
// be meant.
func (x *worldCheck) policyLike(pattern string) bool {
	return slices.ContainsFunc(x.before.Resources, func(r world.Resource) bool { return r.Policy != nil && iam.MatchWildcard(pattern, r.ARN) })
}

// withoutSample says what is not known in the place of an id that was made up.
func (x *worldCheck) withoutSample(text string) string {
	for sample, f := range x.unknown {
		if strings.Contains(text, sample) {
			text = fmt.Sprintf("%s; its id is %s, and --value %s=ID gives it here", strings.ReplaceAll(text, sample, "<id>"), f.origin, f.name)
		}
	}
	return text
}

// missing says why even an answer that is allowed is not known: adding the
// compiled policies to the world made accounts and roles known that are not.
func (x *worldCheck) missing(asked world.Question, callerAccount, owner string) []string {
	var out []string
	role, _ := iam.ParseRoleARN(asked.Principal)
	for _, id := range []string{cmp.Or(string(role.Account), callerAccount), owner} {
		if !x.mentioned[id] {
			out = append(out, fmt.Sprintf("the account %s is not in the world, and so are its control policies", id))
		}
	}
	if x.absent[asked.Principal] {
		out = append(out, fmt.Sprintf("the role %s is not in the world: its boundary and other policies are unknown", asked.Principal))
	}
	return slices.Compact(out)
}

// blocks names what denies a request.
func (x *worldCheck) blocks(answer *world.Answer, callerAccount, owner string) []Block {
	explained, in := answer.Explain(), answer.Input()
	caller := string(answer.Principal.Account)
	var out []Block
	for i := range explained.Layers {
		l := &explained.Layers[i]
		attached := ""
		switch l.Layer {
		case eval.LayerServiceControl:
			attached = x.level(cmp.Or(caller, callerAccount), l.Level)
		case eval.LayerResourceControl:
			attached = x.level(owner, l.Level)
		}
		denied := false
		for n := range l.Statements {
			s := &l.Statements[n]
			if s.Effect == iam.Deny && s.Outcome == eval.Matched {
				denied = true
				out = append(out, x.denial(l, s, attached, in))
			}
		}
		limits := l.Layer == eval.LayerServiceControl || l.Layer == eval.LayerResourceControl || l.Layer == eval.LayerBoundary || l.Layer == eval.LayerEndpoint
		if limits && !denied && l.Says == eval.NotMatched {
			out = append(out, Block{Layer: l.Layer, Side: l.Side, Attached: attached, Policies: policyNames(in, l.Layer, l.Level), Statement: -1, Because: almost(explained, l)})
		}
	}
	if len(out) > 0 {
		return out
	}
	// What is left is that the compiled policies themselves do not allow it in this
	// world: another organization, for example.
	for _, c := range explained.Changes {
		out = append(out, Block{Layer: c.Layer, Side: c.Side, Policies: policyNames(in, c.Layer, c.Level), Statement: -1, Because: c.String()})
	}
	if len(out) == 0 {
		d := explained.Decision
		out = append(out, Block{Layer: d.Layer, Side: d.Side, Policies: policyNames(in, d.Layer, int(d.Level)), Statement: -1, Because: strings.Join(explained.Notes, "; ")})
	}
	return out
}

// denial describes a Deny statement that matched.
func (x *worldCheck) denial(l *eval.LayerExplanation, s *eval.StatementExplanation, attached string, in *eval.Input) Block {
	ref := s.Statement
	b := Block{Layer: l.Layer, Side: l.Side, Attached: attached, Policies: []string{s.Policy}, Statement: s.Index, Sid: s.Sid, Reference: &ref}
	var met []string
	for _, m := range s.Met {
		met = append(met, m.String())
	}
	b.Because = strings.Join(met, "; ")
	if m := x.merged[strings.TrimPrefix(s.Policy, "policy of ")]; l.Layer == eval.LayerResource && m != nil && s.Index >= m.compiled {
		b.Statement = m.existing[s.Index-m.compiled]
		b.Reference = &eval.StatementRef{Policy: m.policy, Index: int32(b.Statement), Layer: l.Layer} //nolint:gosec // a policy has few statements
	}
	if l.Layer == eval.LayerServiceControl || l.Layer == eval.LayerResourceControl {
		for _, p := range x.before.ControlPolicies {
			if s.Policy == p.ID || strings.HasSuffix(s.Policy, " ("+p.ID+")") {
				b.Owners = append(b.Owners, p.ID)
			}
		}
	}
	b.Owners = append(b.Owners, s.Policy, in.Request.Principal.RoleARN, strings.TrimPrefix(s.Policy, "policy of "))
	return b
}

// policyNames returns the names of the policies of a layer.
func policyNames(in *eval.Input, layer eval.Layer, level int) []string {
	var list []*eval.Policy
	switch layer {
	case eval.LayerServiceControl:
		list = in.ServiceControl[level]
	case eval.LayerResourceControl:
		list = in.ResourceControl[level]
	case eval.LayerBoundary:
		list = []*eval.Policy{in.Boundary}
	case eval.LayerEndpoint:
		list = []*eval.Policy{in.Endpoint}
	case eval.LayerResource:
		list = []*eval.Policy{in.Resource}
	case eval.LayerIdentity:
		list = in.Identity
	}
	names := []string{}
	for _, p := range list {
		if p != nil {
			names = append(names, p.Name())
		}
	}
	return names
}

// almost says which statement of a layer almost allowed the request.
func almost(x *eval.Explanation, l *eval.LayerExplanation) string {
	for _, c := range x.Changes {
		if c.Layer == l.Layer && c.Level == l.Level && c.Side == l.Side {
			return c.String()
		}
	}
	for i := range l.Statements {
		if s := &l.Statements[i]; s.Effect == iam.Allow && len(s.Mismatches) > 0 {
			return fmt.Sprintf("statement %d: %s", s.Index, s.Mismatches[0])
		}
	}
	return ""
}

// level says what the control policies of a level are attached to.
func (o *overlay) level(account string, level int) string {
	for i := range o.before.Organizations {
		if path := pathTo(&o.before.Organizations[i].Root, account, nil); level < len(path) {
			return path[level]
		}
	}
	return ""
}

// pathTo returns what is above an account, and the account, from the root.
func pathTo(n *world.Node, account string, above []string) []string {
	kind := "the organizational unit "
	if strings.HasPrefix(n.ID, "r-") {
		kind = "the organization's root "
	}
	here := append(slices.Clone(above), kind+strings.TrimSpace(n.Name+" "+n.ID))
	for _, m := range n.Accounts {
		if string(m.ID) == account {
			return append(here, "the account "+account)
		}
	}
	for i := range n.Units {
		if path := pathTo(&n.Units[i], account, here); path != nil {
			return path
		}
	}
	return nil
}

// mentionedIn returns the accounts that a snapshot says anything about.
func mentionedIn(s *world.Snapshot) map[string]bool {
	out := map[string]bool{}
	var walk func(n *world.Node)
	walk = func(n *world.Node) {
		for _, m := range n.Accounts {
			out[string(m.ID)] = true
		}
		for i := range n.Units {
			walk(&n.Units[i])
		}
	}
	for i := range s.Organizations {
		walk(&s.Organizations[i].Root)
	}
	for _, a := range s.Accounts {
		out[string(a.ID)] = true
	}
	arns := map[string]bool{}
	for i := range s.Roles {
		arns[s.Roles[i].ARN] = true
	}
	for i := range s.Users {
		arns[s.Users[i].ARN] = true
	}
	for i := range s.Resources {
		arns[s.Resources[i].ARN] = true
		out[string(s.Resources[i].Account)] = true
	}
	for arn := range maps.Keys(arns) {
		if parsed, err := iam.ParseARN(arn); err == nil {
			out[parsed.Account] = true
		}
	}
	delete(out, "")
	return out
}
