package iamapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Simulation is the part of the input that SimulatePrincipalPolicy and
// SimulateCustomPolicy share.
type Simulation struct {
	ActionNames                        []string
	ResourceArns                       []string // none means "*"
	ContextEntries                     []ContextEntry
	PolicyInputList                    []string // policies in addition to the principal's
	PermissionsBoundaryPolicyInputList []string // at most one; in place of the principal's boundary
	ResourcePolicy                     string
	ResourceOwner                      string // ARN of an account; "" means the caller's
	CallerArn                          string // ARN of a user, whom ResourcePolicy sees as the caller
	Paging
}

// A ContextEntry gives a condition key its values.
type ContextEntry struct {
	ContextKeyName   string
	ContextKeyValues []string
	ContextKeyType   string // "string", "stringList", "numeric", …
}

// SimulatePrincipalPolicyInput is the input of SimulatePrincipalPolicy.
type SimulatePrincipalPolicyInput struct {
	PolicySourceArn string // of a user or role
	Simulation
}

// SimulateCustomPolicyInput is the input of SimulateCustomPolicy.
type SimulateCustomPolicyInput struct{ Simulation }

// SimulatePolicyOutput is the output of both simulations: a result for each
// action and resource.
type SimulatePolicyOutput struct {
	EvaluationResults []EvaluationResult
	Paged
}

// An EvaluationResult is the answer for one action and resource.
type EvaluationResult struct {
	EvalActionName       string
	EvalResourceName     string
	EvalDecision         string             // "allowed", "explicitDeny" or "implicitDeny"
	MatchedStatements    []MatchedStatement // those that decided
	MissingContextValues []string           // keys that policies test and ContextEntries do not give

	PermissionsBoundaryDecisionDetail *PermissionsBoundaryDecisionDetail
}

// A PermissionsBoundaryDecisionDetail says what the boundary had to do with a
// result.
type PermissionsBoundaryDecisionDetail struct{ AllowedByPermissionsBoundary bool }

// A MatchedStatement is a statement that decided.
type MatchedStatement struct {
	SourcePolicyId   string
	SourcePolicyType string
	StartPosition    *Position
}

// A Position is a place in a policy document, counted from 1.
type Position struct{ Line, Column int }

// SimulatePrincipalPolicy answers what a user or role may do, by the evaluator
// that also authorizes real calls. It looks at the identity policies and the
// boundary as they are written now, not at what has taken effect, and treats
// every condition key that is not given as absent, except those that say who
// the principal is and when it asks.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (s *Service) SimulatePrincipalPolicy(c *authz.Call, in *SimulatePrincipalPolicyInput) (*SimulatePolicyOutput, error) {
	source, principal, err := s.policySource(c, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	sim := simulator{service: s, call: c, in: &in.Simulation, principal: principal}
	if source != nil {
		sim.tags = source.Tags
		sim.addPrincipal(source)
	}
	return sim.run()
}

// SimulateCustomPolicy answers what policies allow that are passed in the
// request, for a principal that has nothing else.
func (s *Service) SimulateCustomPolicy(c *authz.Call, in *SimulateCustomPolicyInput) (*SimulatePolicyOutput, error) {
	if err := s.authorize(c, "SimulateCustomPolicy", everything, details{}); err != nil {
		return nil, err
	}
	if len(in.PolicyInputList) == 0 {
		return nil, invalid("policyInputList", "Member must not be null")
	}
	// Not the caller: a root user would be allowed everything.
	sim := simulator{service: s, call: c, in: &in.Simulation, principal: iam.Principal{Type: iam.PrincipalUser, Account: c.Account()}}
	return sim.run()
}

// policySource returns the user or role with an ARN, if the caller may simulate
// it.
func (s *Service) policySource(c *authz.Call, arn string) (*directory.Identity, iam.Principal, error) {
	if err := required("policySourceArn", arn); err != nil {
		return nil, iam.Principal{}, err
	}
	parsed, err := iam.ParseARN(arn)
	kindName, rest, _ := strings.Cut(parsed.Resource, "/")
	if err != nil || parsed.Service != "iam" || kindName != roles.noun && kindName != users.noun {
		return nil, iam.Principal{}, wire.BadRequest("InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", clip(arn))
	}
	k := roles
	if kindName == users.noun {
		k = users
	}
	t := target{arn: arn}
	var f found
	if parsed.Account == string(c.Account()) {
		f = s.lookup(c, k, rest[strings.LastIndexByte(rest, '/')+1:])
	}
	if f.arn != arn {
		f = found{}
	}
	if f.Identity != nil {
		t.tags = f.Tags
	}
	if err := s.authorize(c, "SimulatePrincipalPolicy", t, details{}); err != nil {
		return nil, iam.Principal{}, err
	}
	if f.Identity == nil {
		return nil, iam.Principal{}, noSuchEntity("Specified entity not found: %s", clip(arn))
	}
	principal := iam.Principal{Type: iam.PrincipalRole, ARN: arn, Account: f.Account, RoleARN: arn, UniqueID: f.ID}
	if k.noun == users.noun {
		principal.Type, principal.RoleARN = iam.PrincipalUser, ""
	}
	return f.Identity, principal, nil
}

// A simulator holds what is the same for all results of a simulation.
type simulator struct {
	service   *Service
	call      *authz.Call
	in        *Simulation
	principal iam.Principal
	tags      []directory.Tag

	identity []*eval.Policy
	boundary *eval.Policy
	resource *eval.Policy
	sources  map[*eval.Policy]MatchedStatement // how results name the policies
	owner    iam.AccountID
	missing  []string
}

func (m *simulator) addPrincipal(i *directory.Identity) {
	m.sources = make(map[*eval.Policy]MatchedStatement)
	view := m.service.latest()
	noun := roles.noun
	if m.principal.Type == iam.PrincipalUser {
		noun = users.noun
	}
	for _, p := range i.Inline {
		m.sources[p.Document.Compiled] = MatchedStatement{SourcePolicyId: noun + "_" + i.Name + "_" + p.Name, SourcePolicyType: "IAM Policy"}
	}
	for _, arn := range append(slices.Clone(i.Attached), i.Boundary) {
		if p, ok := view.ManagedPolicy(arn); ok {
			m.sources[p.DefaultDocument().Compiled] = MatchedStatement{SourcePolicyId: p.Name, SourcePolicyType: "IAM Policy"}
		}
	}
	m.identity, m.boundary = view.Policies(i)
}

func (m *simulator) run() (*SimulatePolicyOutput, error) {
	if err := m.prepare(); err != nil {
		return nil, err
	}
	resources := m.in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	after, limit, err := m.in.start()
	if err != nil {
		return nil, err
	}
	first, err := strconv.Atoi("0" + after)
	if err != nil {
		return nil, wire.BadRequest("ValidationError", "Invalid Marker.")
	}
	out := &SimulatePolicyOutput{}
	total := len(m.in.ActionNames) * len(resources)
	for n := first; n < total; n++ {
		if len(out.EvaluationResults) == limit {
			out.Paged = paged(true, strconv.Itoa(n))
			break
		}
		out.EvaluationResults = append(out.EvaluationResults, m.result(m.in.ActionNames[n/len(resources)], resources[n%len(resources)]))
	}
	return out, nil
}

// prepare checks the input and compiles the policies in it.
func (m *simulator) prepare() error {
	if len(m.in.ActionNames) == 0 {
		return invalid("actionNames", "Member must not be null")
	}
	for _, action := range m.in.ActionNames {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(action, "*? ") {
			return wire.BadRequest("InvalidInput", "Invalid Action: %s", clip(action))
		}
	}
	for _, resource := range m.in.ResourceArns {
		if _, err := iam.ParseARN(resource); err != nil && resource != "*" {
			return wire.BadRequest("InvalidInput", "Invalid ResourceArn: %s", clip(resource))
		}
	}
	if m.sources == nil {
		m.sources = make(map[*eval.Policy]MatchedStatement)
	}
	for i, text := range m.in.PolicyInputList {
		p, err := m.compile(text, iam.KindIdentity, "PolicyInputList."+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		m.identity = append(m.identity, p)
	}
	switch list := m.in.PermissionsBoundaryPolicyInputList; {
	case len(list) > 1:
		return invalid("permissionsBoundaryPolicyInputList", "Member must have at most one policy")
	case len(list) == 1:
		p, err := m.compile(list[0], iam.KindBoundary, "PermissionsBoundaryPolicyInputList.1")
		if err != nil {
			return err
		}
		m.boundary = p
	}
	if err := m.prepareResource(); err != nil {
		return err
	}
	m.missing = m.missingKeys()
	return nil
}

func (m *simulator) prepareResource() error {
	m.owner = m.call.Account()
	if m.in.ResourceOwner != "" {
		arn, err := iam.ParseARN(m.in.ResourceOwner)
		if err != nil {
			return wire.BadRequest("InvalidInput", "Invalid ResourceOwner: %s", clip(m.in.ResourceOwner))
		}
		m.owner = iam.AccountID(arn.Account)
	}
	if m.in.CallerArn != "" {
		arn, err := iam.ParseARN(m.in.CallerArn)
		if err != nil || !strings.HasPrefix(arn.Resource, "user/") {
			return wire.BadRequest("InvalidInput", "Invalid CallerArn: it must be the ARN of a user")
		}
		m.principal = iam.Principal{Type: iam.PrincipalUser, ARN: m.in.CallerArn, Account: iam.AccountID(arn.Account)}
	}
	if m.in.ResourcePolicy == "" {
		return nil
	}
	p, err := m.compile(m.in.ResourcePolicy, iam.KindResource, "ResourcePolicy")
	m.resource = p
	return err
}

func (m *simulator) compile(text string, kind iam.Kind, name string) (*eval.Policy, error) {
	if err := checkDocument(text); err != nil {
		return nil, err
	}
	var d *directory.Document
	var err error
	if kind == iam.KindResource {
		d, err = m.service.latest().NewResourceDocument(text, kind, name)
	} else {
		d, err = directory.NewDocument(text, kind, name)
	}
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code = "InvalidInput"
		}
		return nil, &e
	}
	m.sources[d.Compiled] = MatchedStatement{SourcePolicyId: name, SourcePolicyType: "IAM Policy"}
	return d.Compiled, nil
}

func (m *simulator) result(action, resource string) EvaluationResult {
	in := &eval.Input{
		Request: &iam.Request{
			Principal: m.principal, Action: action, Resource: resource, ResourceAccount: m.owner, Context: m.context(),
		},
		Identity: m.identity, Boundary: m.boundary, Resource: m.resource,
	}
	decision := eval.Decide(in)
	result := EvaluationResult{EvalActionName: action, EvalResourceName: resource, MissingContextValues: m.missing}
	switch decision.Verdict {
	case eval.Allowed:
		result.EvalDecision = "allowed"
	case eval.ExplicitlyDenied:
		result.EvalDecision = "explicitDeny"
	default:
		result.EvalDecision = "implicitDeny"
	}
	for _, ref := range decision.Statements() {
		matched := m.sources[ref.Policy]
		if position := ref.Position(); position.Line > 0 {
			matched.StartPosition = &Position{position.Line, position.Column}
		}
		result.MatchedStatements = append(result.MatchedStatements, matched)
	}
	if m.boundary != nil {
		result.PermissionsBoundaryDecisionDetail = &PermissionsBoundaryDecisionDetail{
			AllowedByPermissionsBoundary: m.allowedByBoundary(in),
		}
	}
	return result
}

// allowedByBoundary asks for the boundary alone, as if it granted.
func (m *simulator) allowedByBoundary(in *eval.Input) bool {
	alone := eval.Input{Request: in.Request, Identity: []*eval.Policy{m.boundary}}
	decision := eval.Decide(&alone)
	return decision.Allowed()
}

// context returns the condition keys of a simulated request: who asks and
// when, then what the caller gave.
func (m *simulator) context() iam.Context {
	var ctx iam.Context
	now := m.call.Now
	ctx.Set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	ctx.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	ctx.Set("aws:PrincipalAccount", string(m.principal.Account))
	if m.principal.ARN != "" {
		ctx.Set("aws:PrincipalArn", m.principal.ARN)
	}
	if m.principal.UniqueID != "" && m.principal.Type == iam.PrincipalUser {
		ctx.Set("aws:userid", m.principal.UniqueID)
	}
	if m.principal.ARN != "" && m.principal.Type == iam.PrincipalUser {
		ctx.Set("aws:username", m.principal.ARN[strings.LastIndexByte(m.principal.ARN, '/')+1:])
		ctx.Set("aws:PrincipalType", "User")
	}
	for _, tag := range m.tags {
		ctx.Set("aws:PrincipalTag/"+tag.Key, tag.Value)
	}
	for _, entry := range m.in.ContextEntries {
		if strings.HasSuffix(entry.ContextKeyType, "List") || len(entry.ContextKeyValues) != 1 {
			ctx.SetMulti(entry.ContextKeyName, entry.ContextKeyValues...)
		} else {
			ctx.Set(entry.ContextKeyName, entry.ContextKeyValues[0])
		}
	}
	return ctx
}

// missingKeys returns the condition keys that the policies test and that the
// simulated request does not have.
func (m *simulator) missingKeys() []string {
	ctx := m.context()
	missing := make(map[string]string) // lower case -> as written
	policies := slices.Clone(m.identity)
	for _, p := range append(policies, m.boundary, m.resource) {
		if p == nil {
			continue
		}
		for _, statement := range p.Source().Statements {
			for _, condition := range statement.Conditions {
				folded := strings.ToLower(condition.Key)
				if _, _, state := ctx.Lookup(condition.Key); state == iam.KeyAbsent && missing[folded] == "" {
					missing[folded] = condition.Key
				}
			}
		}
	}
	return slices.Sorted(maps.Values(missing))
}
