package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A Format is what a plan is written for.
type Format string

// The formats. Policies are plain documents, for whoever writes them with tools
// of their own.
const (
	CloudFormation Format = "cloudformation"
	Terraform      Format = "terraform"
	Policies       Format = "policies"
)

// Formats lists the formats, the default first.
func Formats() []Format { return []Format{CloudFormation, Terraform, Policies} }

// Options change what [Compile] makes.
type Options struct {
	Format    Format // CloudFormation unless given
	Generator string // the program that compiles, such as "crossaccount v1.2.0"
}

// Compile turns a manifest into a plan. The error is an [*Error] that says where
// in the manifest each problem is; positions are zero for a manifest that was
// made in Go. The form of single values, which [Parse] checks, is not checked
// again. The same manifest gives the same plan.
func Compile(m *Manifest, o Options) (*Plan, error) {
	if o.Format == "" {
		o.Format = CloudFormation
	}
	if !slices.Contains(Formats(), o.Format) {
		return nil, fmt.Errorf("format: %q is unknown; use one of cloudformation, terraform, policies", o.Format)
	}
	if err := m.validate().err(); err != nil {
		return nil, err
	}
	x := &expander{m: m, sites: map[string]*site{}, instances: map[string]*instance{}, found: map[string]Input{}}
	edges := x.edges()
	b := &builder{m: m, options: o, units: map[string]*unit{}, places: map[string]*place{}, roles: map[string]*roleUnit{}, providers: map[string]string{}, found: x.found}
	b.problems = x.problems
	if len(b.problems) == 0 {
		b.declaredRoles(x)
		b.findable()
		for _, e := range edges {
			b.contribute(e)
		}
		if len(b.problems) == 0 {
			b.gates(edges, x)
		}
		b.finish()
	}
	if err := b.problems.err(); err != nil {
		return nil, err
	}
	plan, problems := b.assemble(edges)
	if err := problems.err(); err != nil {
		return nil, err
	}
	if err := plan.checkTemplates(); err != nil {
		return nil, err
	}
	return plan, nil
}

// The phases in which things come to exist. A unit may come later than its
// phase if it needs something of another account.
const (
	phaseRoles        = iota // roles of consumers, which policies name
	phaseKeys                // keys and their policies
	phasePolicies            // resources and their policies, roles to assume
	phaseAccess              // permissions of consumers
	phaseIntegrations        // what uses them
)

var phaseNames = []string{"roles", "keys", "policies", "access", "integrations"}

// A unit is one resource of a stack, or one document that a command writes.
type unit struct {
	key        string // unique and stable
	id         string // logical id
	site       *site
	stage      string
	phase      int
	path       string        // in the manifest
	owner, app string        // for the tags of the stack
	kind       template.Kind // nil for commands; strings may contain unitValues
	apply      *apply        // nil for resources
	then       [][]string    // commands that follow
	needs      []string      // units that must exist before, besides those that kind refers to
	blame      map[string]string
	grants     []string

	wave  int
	stack *Stack
}

// An apply is a document that a command writes, because CloudFormation cannot
// change it on a resource it did not create.
type apply struct {
	title       string
	document    *iam.Policy
	put, remove []string
	wrap        func(*iam.Policy) ([]byte, error)
	after       *iam.Policy // what is put in its place when it is removed
}

// documentFile stands in commands for the file of the document.
const documentFile = "\x00document"

// unitValue is text that stands for an attribute of a unit: within the unit's
// stack it becomes a reference, in others a parameter.
func unitValue(key, attribute string) string {
	return iam.Symbol("unit:" + key + "#" + attribute)
}

// splitUnitValue takes the id of a symbol apart.
func splitUnitValue(id string) (key, attribute string, ok bool) {
	rest, ok := strings.CutPrefix(id, "unit:")
	if !ok {
		return "", "", false
	}
	cut := strings.LastIndexByte(rest, '#')
	return rest[:cut], rest[cut+1:], true
}

// A builder collects what all grants contribute.
type builder struct {
	m          *Manifest
	options    Options
	units      map[string]*unit
	unitOrder  []string
	places     map[string]*place
	placeOrder []string
	roles      map[string]*roleUnit
	roleOrder  []string
	providers  map[string]string // :: text that stands for an identity provider → its ARN
	endpoints  []*gate
	found      map[string]Input // :: id of a symbol → where its value is found
	created    []*instance      // resources that the plan creates
	problems   problems
}

func (b *builder) report(p Problem) { b.problems = append(b.problems, p) }

// unit adds a unit unless it is there, and returns it with the grants added.
func (b *builder) unit(u *unit) *unit {
	if have, ok := b.units[u.key]; ok {
		have.grants = union(have.grants, u.grants)
		return have
	}
	b.units[u.key] = u
	b.unitOrder = append(b.unitOrder, u.key)
	return u
}

// createResource adds the unit of a resource that the plan creates.
func (b *builder) createResource(i *instance, e *edge) {
	if i == nil || !i.created() || i.kind.create == nil {
		return
	}
	if b.options.Format != CloudFormation {
		b.report(b.m.problem(RuleValue, i.path+".create", "declare the resource there and leave create out, or compile for cloudformation",
			"create has properties of CloudFormation, which %s cannot have", b.options.Format))
		return
	}
	t := i.kind.create
	g := &template.Generic{TypeName: t.cloudFormation, Attributes: map[string]string{"Arn": t.arnAttribute, "Name": "Ref"}}
	if t.arnAttribute == "" {
		g.Attributes = map[string]string{}
	}
	if t.idAttribute != "" {
		g.Attributes["Id"] = t.idAttribute
	}
	if t.arnAttribute == "Ref" {
		delete(g.Attributes, "Name")
	}
	if t.nameProperty != "" && i.physical != "" {
		g.Properties.AddText(t.nameProperty, i.physical)
	}
	for _, fixed := range t.fixed {
		if !hasKey(i.decl.Create, fixed.Key) {
			g.Properties = append(g.Properties, fixed)
		}
	}
	for _, member := range i.decl.Create {
		if member.Key == t.nameProperty {
			b.report(b.m.problem(RuleValue, i.path+".create."+member.Key, "set name instead", "the name of the resource is given by name"))
		}
		g.Properties = append(g.Properties, member)
	}
	phase := phasePolicies
	if i.kind.name == "kms-key" {
		phase = phaseKeys
	}
	if i.key != nil && t.keyProperty != "" {
		for _, need := range t.keyNeeds {
			setPath(&g.Properties, strings.Split(need.Key, "."), need.Value)
		}
		setPath(&g.Properties, strings.Split(t.keyProperty, "."), i.key.arnInStack())
	}
	if i.key != nil && t.encrypt != nil {
		t.encrypt(g, i.key.arnInStack())
	}
	b.checkTags(i)
	b.checkOwnPolicy(i)
	if !hasKey(g.Properties, "Tags") {
		i.tags = b.tags(b.ownerOf(i), i.app, i.stage, nil)
		g.Properties.Add("Tags", tagList(i.tags))
	}
	if _, ok := b.units[i.unitKey()]; !ok {
		b.created = append(b.created, i)
	}
	b.unit(&unit{key: i.unitKey(), id: camel(i.name), site: i.site, stage: i.stage, phase: phase, path: i.path, owner: b.ownerOf(i), app: i.app, kind: g, grants: []string{e.grant.Name}})
	b.createParts(i, e)
}

// checkOwnPolicy reports policies among the properties that create a resource:
// the plan writes the policy, and nobody would see what another one allows.
func (b *builder) checkOwnPolicy(i *instance) {
	for _, path := range i.kind.create.policies {
		o := i.decl.Create
		for steps := strings.Split(path, "."); ; steps = steps[1:] {
			if len(steps) == 1 {
				if hasKey(o, steps[0]) {
					b.report(b.m.problem(RuleCollision, i.path+".create."+path, "write statements that must stay under keep", "the plan writes the policy of the resource"))
				}
				break
			}
			o = member(o, steps[0])
		}
	}
}

// checkTags reports tags of the manifest that AWS would refuse.
func (b *builder) checkTags(i *instance) {
	for _, member := range i.decl.Create {
		if member.Key != "Tags" {
			continue
		}
		tags, isList := member.Value.([]any)
		if !isList {
			b.report(b.m.problem(RuleType, i.path+".create.Tags", "write [{Key: team, Value: shop}]", "tags are a list of keys with values"))
		}
		for n, tag := range tags {
			o, _ := tag.(template.Object)
			key, isText := text(o, "Key")
			value, _ := text(o, "Value")
			if err := reference.CheckTag(key, value); isText && err != nil {
				b.report(b.m.problem(RuleValue, fmt.Sprintf("%s.create.Tags[%d]", i.path, n), "choose another", "%v", err))
			}
		}
	}
}

func (b *builder) ownerOf(i *instance) string {
	for _, owner := range []string{i.decl.Owner, b.m.Apps[i.app].Owner, b.m.Owner} {
		if owner != "" {
			return owner
		}
	}
	return i.app
}

// tags returns the tags of everything created: who owns it, for which app and
// stage, and by which grants.
func (b *builder) tags(owner, app, stage string, grants []string) []template.Tag {
	tags := []template.Tag{{Key: "owner", Value: owner}, {Key: "app", Value: app}, {Key: "stage", Value: stage}}
	if len(grants) > 0 {
		tags = append(tags, template.Tag{Key: "grant", Value: clipTo(strings.Join(grants, " "), reference.MaxTagValue)})
	}
	return tags
}

func tagList(tags []template.Tag) []any {
	var list []any
	for _, t := range tags {
		list = append(list, template.Object{{Key: "Key", Value: t.Key}, {Key: "Value", Value: t.Value}})
	}
	return list
}

// tagMap are tags as Terraform takes them.
func tagMap(tags []template.Tag) template.Object {
	var o template.Object
	for _, t := range tags {
		o.Add(t.Key, t.Value)
	}
	return o
}

func hasKey(o template.Object, key string) bool {
	return slices.ContainsFunc(o, func(m template.Member) bool { return m.Key == key })
}

// setPath sets a property, making the objects on the way.
func setPath(o *template.Object, path []string, value any) {
	for i := range *o {
		if (*o)[i].Key == path[0] {
			if inner, ok := (*o)[i].Value.(template.Object); ok && len(path) > 1 {
				inner = slices.Clone(inner)
				setPath(&inner, path[1:], value)
				(*o)[i].Value = inner
			} else {
				(*o)[i].Value = value
			}
			return
		}
	}
	if len(path) == 1 {
		o.Add(path[0], value)
		return
	}
	inner := template.Object{}
	setPath(&inner, path[1:], value)
	o.Add(path[0], inner)
}

// finish turns places into units.
func (b *builder) finish() {
	for _, key := range b.placeOrder {
		p := b.places[key]
		if p.inst != nil {
			b.checkQuota(p)
			b.resourcePolicy(p)
		}
	}
	for _, i := range b.created {
		if also := i.kind.create.also; also != nil {
			owner := b.units[i.unitKey()]
			for _, u := range also(b, i, owner.kind.(*template.Generic)) {
				u.grants, u.owner, u.app = owner.grants, owner.owner, owner.app
				b.unit(u)
			}
		}
	}
	b.checkRoleNames()
	for _, key := range b.roleOrder {
		b.finishRole(b.roles[key])
	}
}

// resourcePolicy makes the units of a resource's policy.
func (b *builder) resourcePolicy(p *place) {
	i, t := p.inst, p.inst.kind.policy
	phase := phasePolicies
	if i.kind.name == "kms-key" {
		phase = phaseKeys
	}
	u := unit{key: p.key, id: camel(i.name, "Policy"), site: i.site, stage: i.stage, phase: phase, path: p.path, owner: b.ownerOf(i), app: i.app, grants: p.grants(), blame: p.needs, needs: sortedKeys(p.needs)}
	switch p.part {
	case fanOutPart:
		u.id = camel(i.name, p.grants()[0], "ConsumerPolicy")
	case streamPart:
		u.id = camel(i.name, "StreamPolicy")
	case domainPart:
		u.id = camel(i.decl.Domain, "DomainPolicy")
	}
	document := p.policy()
	switch {
	case b.options.Format == Policies:
		u.apply = &apply{title: p.title, document: document}
		if t.put != nil {
			u.apply.put = t.put(i, p.part)
		}
		b.unit(&u)
	case b.options.Format == Terraform:
		b.terraformPolicy(u, p, document)
	case t.resource != nil && t.single:
		for n := range document.Statements {
			one := u
			s := document.Statements[n]
			one.key += "/" + s.Sid
			one.id = camel(i.name, s.Sid)
			cf, properties := t.resource(i, s.Sid, &iam.Policy{Version: document.Version, Statements: []iam.Statement{s}})
			one.kind = &template.Generic{TypeName: cf, Properties: properties, After: b.after(i)}
			b.unit(&one)
		}
	case t.resource != nil:
		cf, properties := t.resource(i, p.part, document)
		u.kind = &template.Generic{TypeName: cf, Properties: properties, After: b.after(i)}
		b.unit(&u)
	case i.created() && p.part == "":
		owner := b.units[i.unitKey()]
		g := owner.kind.(*template.Generic)
		setPath(&g.Properties, strings.Split(t.property, "."), document)
		owner.needs = union(owner.needs, u.needs)
		owner.blame = p.needs
	default:
		u.apply = &apply{title: p.title, document: document, put: t.put(i, p.part), wrap: t.wrap}
		if t.then != nil {
			u.then = t.then(i)
		}
		if after := p.withoutGrants(); len(after.Statements) > 0 {
			u.apply.remove, u.apply.after = t.put(i, p.part), after
		} else if t.remove != nil {
			u.apply.remove = t.remove(i, p.part)
		}
		b.unit(&u)
	}
}

// after is for policies that name their resource by text: the unit that creates
// it, if there is one, must come first. It is resolved when stacks are made.
func (b *builder) after(i *instance) []string {
	if i.created() {
		return []string{i.unitKey()}
	}
	return nil
}

func (b *builder) terraformPolicy(u unit, p *place, document *iam.Policy) {
	i, t := p.inst, p.inst.kind.policy
	if strings.HasSuffix(i.arn, unknownSuffix) {
		b.report(b.m.problem(RuleSuffix, i.path, "give the secret's full arn instead of its name", "Terraform's provider takes a secret's policy only with the secret's full ARN, and %q has a name", i.name))
		return
	}
	if t.single && t.unconditional {
		for n := range document.Statements {
			one := u
			s := document.Statements[n]
			one.key += "/" + s.Sid
			one.id = camel(i.name, s.Sid)
			one.kind = &template.Generic{TypeName: i.kind.title + " permission", Terraform: []template.Block{t.terraform(i, s.Sid, &iam.Policy{Version: document.Version, Statements: []iam.Statement{s}})}}
			b.unit(&one)
		}
		return
	}
	if t.then != nil {
		u.then = t.then(i)
	}
	u.kind = &template.Generic{TypeName: i.kind.title + " policy", Terraform: []template.Block{t.terraform(i, p.part, document)}}
	b.unit(&u)
}
