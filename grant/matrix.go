package grant

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Matrix says who may do what, in which stage: one row for each grant and
// stage, with what each of them means. It is made from the same data as the
// policies, so that it cannot say anything else. External IDs are not in it.
type Matrix struct {
	Rows  []MatrixRow       `json:"rows"`
	Kinds []KindDescription `json:"kinds"` // what to know about the kinds of resources in Rows
}

// A MatrixRow is what one consumer's role may do with one resource in one stage.
type MatrixRow struct {
	Grant    string      `json:"grant"`
	Stage    string      `json:"stage"` // of the resource's app
	Consumer Participant `json:"consumer"`
	Resource Participant `json:"resource"`
	Kind     string      `json:"kind"` // of the resource

	Access   []string `json:"access"`  // the manifest's words
	Meaning  []string `json:"meaning"` // of each word
	ReadOnly bool     `json:"read_only"`
	Permits  []Permit `json:"permits"` // what the policies allow for it

	Via     string   `json:"via"` // policy, role or trust, as in plan.json
	Why     string   `json:"why"` // it is given that way
	Trust   string   `json:"trust"`
	Assume  string   `json:"assume,omitempty"` // ARN of the role that the consumer assumes
	Trusted []string `json:"trusted"`          // how the consumer is recognised
	Waivers []string `json:"waivers,omitempty"`

	Consequences Consequences `json:"consequences"`
}

// A Participant is one side of a grant in one stage.
type Participant struct {
	Name      string `json:"name"`  // the consumer or the resource, in the manifest
	Owner     string `json:"owner"` // the consumer or the app
	Stage     string `json:"stage"` // its own
	Account   string `json:"account"`
	AccountID string `json:"account_id"`
	Region    string `json:"region,omitempty"`
	ARN       string `json:"arn"` // of the role, the account or the resource; what only AWS knows is in angle brackets
}

// A Permit is a set of actions on resources, under conditions.
type Permit struct {
	Actions    []string `json:"actions"`
	Resources  []string `json:"resources"`
	Conditions []string `json:"conditions,omitempty"` // "StringLike s3:prefix daily/*"
	As         string   `json:"as,omitempty"`         // ARN of the assumed role that has it; "" for the consumer's own
}

// Consequences are what a grant means for those involved.
type Consequences struct {
	Depends []string `json:"depends"` // who depends on whom, and what breaks it
	Limited []string `json:"limited"` // what is limited
	Revoke  []string `json:"revoke"`  // how to end the access, and when it has ended
}

// Matrix returns who may do what, sorted by stage, consumer, resource and grant.
func (p *Plan) Matrix() *Matrix {
	m := &Matrix{Rows: []MatrixRow{}}
	for _, e := range p.edges {
		m.Rows = append(m.Rows, p.matrixRow(e))
	}
	slices.SortStableFunc(m.Rows, func(a, b MatrixRow) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Consumer.Name, b.Consumer.Name), cmp.Compare(a.Consumer.Stage, b.Consumer.Stage),
			cmp.Compare(a.Consumer.ARN, b.Consumer.ARN), cmp.Compare(a.Resource.Name, b.Resource.Name), cmp.Compare(a.Grant, b.Grant))
	})
	m.describeKinds()
	return m
}

// A MatrixFilter selects rows. Empty fields select all.
type MatrixFilter struct {
	Consumer string // its name
	Stage    string // of either side
	Resource string // its name or its ARN
}

// Filter returns the rows that a filter selects.
func (m *Matrix) Filter(f MatrixFilter) *Matrix {
	out := &Matrix{Rows: []MatrixRow{}}
	for i := range m.Rows {
		r := &m.Rows[i]
		if (f.Consumer == "" || r.Consumer.Name == f.Consumer) && (f.Stage == "" || r.Stage == f.Stage || r.Consumer.Stage == f.Stage) &&
			(f.Resource == "" || r.Resource.Name == f.Resource || r.Resource.ARN == f.Resource) {
			out.Rows = append(out.Rows, *r)
		}
	}
	out.describeKinds()
	return out
}

// Consumers lists the names of the consumers, which a filter can select,
// sorted.
func (m *Matrix) Consumers() []string {
	return m.names(func(r *MatrixRow) []string { return []string{r.Consumer.Name} })
}

// Stages lists the stages of both sides. See [Matrix.Consumers].
func (m *Matrix) Stages() []string {
	return m.names(func(r *MatrixRow) []string { return []string{r.Stage, r.Consumer.Stage} })
}

// Resources lists the resources. See [Matrix.Consumers].
func (m *Matrix) Resources() []string {
	return m.names(func(r *MatrixRow) []string { return []string{r.Resource.Name} })
}

func (m *Matrix) names(of func(*MatrixRow) []string) []string {
	all := map[string]bool{}
	for i := range m.Rows {
		for _, name := range of(&m.Rows[i]) {
			all[name] = true
		}
	}
	return sortedKeys(all)
}

func (m *Matrix) describeKinds() {
	m.Kinds = []KindDescription{}
	for _, name := range m.names(func(r *MatrixRow) []string { return []string{r.Kind} }) {
		d, _ := Describe(name)
		m.Kinds = append(m.Kinds, d)
	}
}

// Actions returns all actions of a row, sorted.
func (r *MatrixRow) Actions() []string {
	var all []string
	for _, p := range r.Permits {
		all = union(all, p.Actions)
	}
	return all
}

func (p *Plan) matrixRow(e *edge) MatrixRow {
	g := e.given()
	row := MatrixRow{
		Grant: g.Grant, Stage: g.Stage, Kind: g.Kind, Access: g.Access, ReadOnly: e.readOnly(),
		Via: g.Via, Why: g.Why, Trust: g.Trust, Assume: g.Assume, Waivers: g.Waivers,
		Consumer: Participant{Name: g.Consumer, Owner: g.Consumer, Stage: g.ConsumerStage, Account: e.principal.site.Account, AccountID: e.principal.site.ID, ARN: known(g.Principal)},
		Resource: Participant{Name: g.Resource, Owner: g.App, Stage: g.Stage, Account: e.resource.site.Account, AccountID: e.resource.site.ID, Region: e.resource.site.Region, ARN: known(e.resource.arn)},
	}
	if e.trust == "organization" && e.organization != "" {
		row.Consumer.ARN = "every account of the organization " + e.organization
	}
	if e.resource.kind.anyRegion {
		row.Resource.Region = ""
	}
	for _, a := range e.accesses {
		row.Meaning = append(row.Meaning, a.doc)
	}
	row.Trusted = e.recognised()
	row.Permits = p.permits(e)
	row.Consequences = e.consequences(&row)
	return row
}

// permits returns what an edge allows, the step of assuming a role first.
func (p *Plan) permits(e *edge) []Permit {
	var out []Permit
	as := ""
	if e.assume != "" {
		as = known(e.assume)
		out = append(out, Permit{Actions: []string{"sts:AssumeRole"}, Resources: []string{as}, Conditions: spoken(e.assumeConditions)})
	}
	for _, h := range e.rights {
		permit := Permit{Actions: union(h.right.actions, []string{}), Conditions: spoken(h.conditions), As: as}
		if !h.key && h.right.side != consumerSide {
			permit.Conditions = append(permit.Conditions, spoken(endpoints(e))...)
		}
		for _, r := range h.resources {
			permit.Resources = append(permit.Resources, known(r))
		}
		out = append(out, permit)
	}
	if e.via == "trust" {
		for _, r := range p.roles {
			if r.declared == e.resource {
				for _, s := range r.permissions.statements {
					out = append(out, Permit{Actions: union(s.Action, []string{}), Resources: mapped(s.Resource, known), Conditions: spoken(s.Conditions), As: as})
				}
			}
		}
	}
	return out
}

// recognised says what shows that a caller is the consumer.
func (e *edge) recognised() []string {
	var out []string
	switch {
	case e.trust == "organization":
		out = append(out, "its account belongs to the AWS organization "+e.organization)
	case e.principal.account:
		out = append(out, "it is of the account "+e.principal.site.ID+", whose own policies say who")
	case e.trust == "named":
		out = append(out, "its role is the principal of the policy, and IAM keeps the role's unique id")
	default:
		out = append(out, "it is of the account "+e.principal.site.ID+", and aws:PrincipalArn is its role's ARN")
	}
	switch {
	case e.assume == "":
	case e.workflow != "" && e.externalID == e.workflow:
		out = append(out, "the external ID is the ARN of the calling state machine, "+e.workflow)
	case e.externalID != "":
		out = append(out, "it sends the external ID that was agreed")
	}
	for _, c := range e.assumeConditions {
		out = append(out, spoken([]iam.Condition{c})...)
	}
	if len(e.grant.Only.Endpoints) > 0 {
		out = append(out, "the call comes through "+strings.Join(e.grant.Only.Endpoints, " or "))
	}
	return out
}

// consequences says what a grant means, from what was compiled for it.
func (e *edge) consequences(r *MatrixRow) Consequences {
	var c Consequences
	depend := func(format string, args ...any) { c.Depends = append(c.Depends, fmt.Sprintf(format, args...)) }
	limit := func(format string, args ...any) { c.Limited = append(c.Limited, fmt.Sprintf(format, args...)) }
	revoke := func(format string, args ...any) { c.Revoke = append(c.Revoke, fmt.Sprintf(format, args...)) }

	depend("%s (%s) depends on %s: it stops working when %s removes, renames or moves %s.", r.Consumer.Name, r.Consumer.Stage, r.Resource.Owner, r.Resource.Owner, r.Resource.Name)
	switch {
	case e.principal.account:
		depend("%s depends on the account %s, which decides alone who of it uses the access.", r.Resource.Owner, r.Consumer.AccountID)
	case e.trust == "named":
		depend("%s depends on the role %s: it must exist before the policy is written, and when it is created anew the policy must be written again.", r.Resource.Owner, r.Consumer.ARN)
	default:
		depend("%s depends on the name of the role %s: whoever may create a role of that name in %s has the access.", r.Resource.Owner, r.Consumer.ARN, r.Consumer.Account)
	}
	if e.resource.key != nil {
		depend("Both depend on the key %s, whose policy is written with this grant.", e.resource.key.name)
	}

	if e.assume != "" {
		limit("A session of %s lasts one hour at most when another role assumes it, and then begins anew.", r.Assume)
		limit("While it uses the assumed role, the consumer has that role's permissions and none of its own.")
	} else {
		limit("The policy of %s is one document for all its consumers, and its size is limited.", r.Resource.Name)
	}
	if narrowed := e.grant.Only.given(); len(narrowed) > 0 {
		limit("The grant covers a part of the resource only, narrowed by %s.", strings.Join(narrowed, ", "))
	}
	if e.readOnly() {
		limit("Read-only: nothing can be changed with it.")
	}

	revoke("Remove the stage %s from the grant %s, or the grant from the manifest; then compile and deploy.", r.Stage, r.Grant)
	switch {
	case e.via == "policy":
		revoke("Calls are refused as soon as either side's policy has changed, usually within seconds.")
		revoke("At once, without a deployment: the resource's owner removes the statement from its policy, or the consumer's account the permissions from the role.")
	default:
		revoke("New sessions are refused as soon as the trust policy has changed; sessions that have begun go on until they end.")
		revoke("At once: revoke the sessions of %s (IAM console, Revoke active sessions, or a policy that denies everything to tokens issued before now).", r.Assume)
	}
	return c
}

// known puts a description in angle brackets in the place of what only AWS
// knows.
func known(s string) string {
	return iam.ReplaceSymbols(s, func(id string) string {
		if key, attribute, ok := splitUnitValue(id); ok {
			return "<" + attribute + " of " + key + ">"
		}
		return "<" + id + ">"
	})
}

// spoken writes conditions for people, without external IDs.
func spoken(conditions []iam.Condition) []string {
	var out []string
	for _, c := range conditions {
		values := strings.Join(mapped(c.Values, known), " or ")
		if c.Key == "sts:ExternalId" {
			values = "(agreed)"
		}
		out = append(out, c.Operator+" "+c.Key+" "+values)
	}
	return out
}

func mapped(list []string, change func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = change(s)
	}
	return out
}
