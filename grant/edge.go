package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A site is an account and a region.
type site struct {
	Account string // its name in the manifest
	ID      string
	Partition,
	Region,
	Profile string
}

// An instance is a resource in one stage.
type instance struct {
	name      string // in the manifest
	decl      *Resource
	kind      *kind
	app       string
	stage     string
	site      *site
	physical  string         // its name in AWS, "" if only AWS knows it
	id        string         // its id in AWS; a symbol if the resource is created
	arn       string         // may contain symbols
	key       *instance      // that encrypts it, or nil
	path      string         // in the manifest
	apiStages []string       // of an API, that grants name
	stream    string         // ARN of a table's stream, or ""
	parts     *workflowParts // of a state machine that the plan creates, or nil
	fanOut    string         // ARN of the stream consumer of the grant being compiled
	tags      []template.Tag // that it is created with, unless the manifest gives others
}

// created reports whether the resource is created by the plan.
func (i *instance) created() bool { return i.decl.Create != nil }

// partARN returns the ARN of a part of the resource that has a policy of its
// own; "" is the resource itself.
func (i *instance) partARN(part string) string {
	switch part {
	case fanOutPart:
		return i.fanOut
	case domainPart:
		return i.domainARN()
	case streamPart:
		if i.stream == "" {
			return i.arn + "/stream/*" // through a role, which needs no policy of the stream
		}
		return i.stream
	}
	return i.arn
}

// values are what placeholders stand for in the resource's own texts.
func (i *instance) values() map[string]string {
	return map[string]string{"stage": i.stage, "app": i.app, "region": i.site.Region, "account": i.site.ID, "resource": i.name}
}

// unitKey identifies the unit that creates the resource.
func (i *instance) unitKey() string { return "resource/" + i.name + "/" + i.stage }

// arnInStack is the ARN where a reference makes CloudFormation wait for the
// resource.
func (i *instance) arnInStack() string {
	if i.created() {
		return unitValue(i.unitKey(), "Arn")
	}
	return i.arn
}

// nameInStack is the name where a reference makes CloudFormation wait.
func (i *instance) nameInStack() string {
	if i.created() {
		return unitValue(i.unitKey(), "Name")
	}
	return i.physical
}

// A principal is the role that gets access.
type principal struct {
	site     *site
	stage    string
	arn      string
	role     *Role     // as declared; nil for role_of
	name     string    // of the role
	unit     string    // key of the unit that creates the role, "" if it exists
	declared *instance // for role_of
	pods     *pods     // that use the role, or nil
	account  bool      // the whole account; the other fields but site are empty
}

// An edge is a grant in one stage, with everything known that will be.
type edge struct {
	grant     *Grant
	path      string // of the grant in the manifest
	app       string
	pair      pairing
	resource  *instance
	principal principal
	accesses  []*access
	values    map[string]string // :: placeholder → value

	via, why string // "policy", "role" or "trust", and the reason
	trust    string // "named", "matched" or "account"
	assume   string // ARN of the role in the resource's account, for via role
	rights   []heldRight

	organization     string          // of the consumer, or ""
	workflow         string          // ARN of the consumer's state machine that assumes the role, or ""
	assumeConditions []iam.Condition // of pods that assume a role
	externalID       string          // that the consumer sends when it assumes a role, or ""
}

// A heldRight is a right of an edge with its resources and conditions, kept so
// that it can be checked against the compiled policies.
type heldRight struct {
	right      right
	resources  []string
	conditions []iam.Condition
	key        bool // on the key that encrypts the resource
}

func (e *edge) readOnly() bool {
	return !slices.ContainsFunc(e.accesses, func(a *access) bool { return !a.readOnly })
}

// String names the edge in plans and messages.
func (e *edge) String() string { return e.grant.Name + " in " + e.pair.stage }

// expander makes the edges of a manifest.
type expander struct {
	m         *Manifest
	sites     map[string]*site
	instances map[string]*instance
	found     map[string]Input // :: id of a symbol → where its value is found
	problems  problems
}

func (x *expander) report(p Problem) { x.problems = append(x.problems, p) }

func (x *expander) edges() []*edge {
	var all []*edge
	for i := range x.m.Grants {
		g := &x.m.Grants[i]
		at := fmt.Sprintf("grants[%d]", i)
		for _, pair := range x.m.pairings(at, g, x.report) {
			if e := x.edge(at, g, pair); e != nil {
				all = append(all, e)
			}
		}
	}
	return all
}

func (x *expander) edge(at string, g *Grant, pair pairing) *edge {
	e := &edge{grant: g, path: at, pair: pair, app: x.m.appOf(g.Resource), trust: g.Trust}
	consumer := x.m.Consumers[g.Consumer]
	e.externalID, e.organization = consumer.ExternalID, consumer.Organization
	e.resource = x.instance(g.Resource, pair.stage)
	if e.resource == nil {
		return nil
	}
	e.values = map[string]string{
		"stage": pair.stage, "app": e.app, "consumer": g.Consumer, "consumer_stage": pair.consumerStage,
		"resource": g.Resource, "access": strings.Join(g.Access, "-"),
		"region": e.resource.site.Region, "account": e.resource.site.ID,
	}
	for _, word := range g.Access {
		e.accesses = append(e.accesses, e.resource.kind.access(word))
	}
	if !x.principal(e, consumer) {
		return nil
	}
	if a, b := e.resource.site, e.principal.site; a.Partition != b.Partition {
		x.report(x.m.problem(RuleRegion, at, "use accounts of one partition", "%s is in the partition %s and %s in %s; access cannot cross partitions", a.Account, a.Partition, b.Account, b.Partition))
		return nil
	}
	if !x.workflow(e) {
		return nil
	}
	x.choose(e)
	if e.workflow != "" && e.via == "policy" {
		e.via, e.why = "role", "the consumer's workflow assumes a role: Step Functions has no other way to use another account's resource with its own integrations"
		if e.grant.Trust == "" {
			e.trust = "matched"
		}
	}
	x.managedByAWS(e)
	x.thirdParty(e)
	if e.resource.kind.service == "execute-api" {
		e.resource.apiStages = union(e.resource.apiStages, e.resource.stagesOfAPI(&g.Only))
	}
	return e
}

// thirdParty checks the external ID of a third party, without which a role that
// the third party assumes is no grant to it alone. Some vendors give their
// customers weak ones; a waiver says that this is known.
func (x *expander) thirdParty(e *edge) {
	g, c := e.grant, x.m.Consumers[e.grant.Consumer]
	if !c.ThirdParty || c.ExternalID == "" || g.RoleOf != "" || e.via == "policy" {
		return
	}
	why := reference.WeakExternalID(c.ExternalID)
	for _, name := range append(sortedKeys(x.m.Apps), g.Consumer, c.Owner, x.m.Owner) {
		if strings.EqualFold(name, c.ExternalID) {
			why = "is a name in this file"
		}
	}
	if _, ok := g.waived(RuleExternalID, e.pair.stage); why != "" && !ok {
		x.report(x.m.problem(RuleExternalID, "consumers."+g.Consumer+".external_id", "agree with them on a long random text, such as the output of openssl rand -hex 20; if they cannot change it, write a waiver in their grants: waive: [{rule: GX-T02, reason: …}]",
			"the external ID of the third party %q can be guessed: it %s", g.Consumer, why))
	}
}

func (x *expander) principal(e *edge, consumer Consumer) bool {
	g := e.grant
	if g.RoleOf != "" {
		i := x.instance(g.RoleOf, e.pair.stage)
		if i == nil {
			return false
		}
		e.principal = principal{site: i.site, stage: i.stage, arn: i.arn, name: i.physical, unit: i.unitKey(), declared: i}
		return true
	}
	s := x.site(consumer.Accounts[e.pair.consumerStage], "")
	e.principal = principal{site: s, stage: e.pair.consumerStage}
	role, at := g.Role, e.path+".role"
	if role == nil {
		role, at = consumer.Role, "consumers."+g.Consumer+".role"
	}
	if role == nil {
		e.principal.account = true // or an organization
		return true
	}
	values := map[string]string{}
	for k, v := range e.values {
		values[k] = v
	}
	values["region"], values["account"] = s.Region, s.ID
	name, _ := expandText(role.Name, values)
	if !compiled(`[A-Za-z0-9_+=,.@-]{1,64}`).MatchString(name) {
		x.report(x.m.problem(RuleValue, at+".name", "shorten it", "the role name %q is longer than 64 characters", name))
		return false
	}
	e.principal.role, e.principal.name, e.principal.arn = role, name, roleARN(s, role.Path, name)
	if role.created() {
		x.checkManaged(at+".boundary", role.Boundary, s)
		for n, policy := range role.Policies {
			x.checkManaged(fmt.Sprintf("%s.policies[%d]", at, n), policy, s)
		}
	}
	pods, ok := x.pods(role, at, e.pair.consumerStage, s)
	if !ok {
		return false
	}
	e.principal.pods = pods
	if role.created() {
		e.principal.unit = "role/" + s.ID + "/" + name
	}
	e.principal.account = e.trust == "account"
	return true
}

// site returns an account in a region, its first one unless given.
func (x *expander) site(account, region string) *site {
	a := x.m.Accounts[account]
	if region == "" && len(a.Regions) > 0 {
		region = a.Regions[0]
	}
	key := account + "/" + region
	if s, ok := x.sites[key]; ok {
		return s
	}
	profile := a.Profile
	if profile == "" {
		profile = account
	}
	s := &site{Account: account, ID: a.ID, Partition: a.partition(), Region: region, Profile: profile}
	x.sites[key] = s
	return s
}

// instance returns a resource in a stage, or nil after a report.
func (x *expander) instance(name, stage string) *instance {
	key := name + "/" + stage
	if i, ok := x.instances[key]; ok {
		return i
	}
	r := x.m.Resources[name]
	app := x.m.appOf(name)
	at := "resources." + name
	account, ok := x.m.Apps[app].Accounts[stage]
	if !ok {
		x.report(x.m.problem(RuleStage, at, "add it to apps."+app+".accounts", "the app %q has no account for stage %q", app, stage))
		return nil
	}
	i := &instance{name: name, decl: &r, kind: kindByName(r.Kind), app: app, stage: stage, path: at}
	if r.Region != "" && !slices.Contains(x.m.Accounts[account].Regions, r.Region) {
		x.report(x.m.problem(RuleRegion, at+".region", fmt.Sprintf("add it to accounts.%s.regions", account), "the account %q does not list the region %q", account, r.Region))
	}
	i.site = x.site(account, r.Region)
	x.instances[key] = i
	if !x.identify(i) {
		return nil
	}
	if _, ok := x.m.Resources[r.Encryption]; ok {
		i.key = x.instance(r.Encryption, stage)
		if i.key != nil && i.key.site.Region != i.site.Region {
			x.report(x.m.problem(RuleRegion, at+".encryption", "set region on one of them, or name a key of the other region", "the key %q is in %s and the resource in %s; services use keys of their own region only", r.Encryption, i.key.site.Region, i.site.Region))
		}
	}
	i.parts = x.parts(i)
	return i
}

// identify works out the names of an instance.
func (x *expander) identify(i *instance) bool {
	values := i.values()
	text := func(key string, by ByStage) string {
		here := i.path + "." + key
		if _, ok := by[i.stage]; ok {
			here += "." + i.stage
		}
		if by != nil && by.For(i.stage) == "" {
			x.report(x.m.problem(RuleMissing, here, "add "+i.stage, "there is no %s for stage %q", key, i.stage))
			return ""
		}
		s, missing := expandText(by.For(i.stage), values)
		if len(missing) > 0 {
			x.report(x.m.problem(RuleValue, here, "use {stage}, {app}, {region} or {account}", "%s has no meaning for a resource: it is the same for all consumers", missing[0]))
		}
		return s
	}
	defer x.checkStream(i)
	i.physical, i.id, i.stream = text("name", i.decl.Name), text("id", i.decl.ID), text("stream", i.decl.Stream)
	if s := text("arn", i.decl.ARN); s != "" {
		return x.fromARN(i, s)
	}
	if i.decl.IDFrom != nil {
		return x.fromElsewhere(i)
	}
	if i.kind.needsID && i.created() {
		i.id = unitValue(i.unitKey(), "Id")
		i.arn = i.kind.arn(i)
		if i.kind.create.arnAttribute != "" {
			i.arn = unitValue(i.unitKey(), "Arn")
		}
		return true
	}
	if strings.ContainsAny(i.physical, "*? ") {
		x.report(x.m.problem(RuleValue, i.path+".name", "name one resource", "the name %q has a wildcard or a space", i.physical))
		return false
	}
	i.arn = i.kind.arn(i)
	for _, key := range []string{"id", "name"} {
		by := map[string]ByStage{"id": i.decl.ID, "name": i.decl.Name}[key]
		if by == nil {
			continue
		}
		here := i.path + "." + key
		if _, ok := by[i.stage]; ok {
			here += "." + i.stage
		}
		return x.checkName(i, here)
	}
	return true
}

// checkStream reports the ARN of a stream that is not the table's: its policy
// would open another table.
func (x *expander) checkStream(i *instance) {
	if i.stream == "" || i.arn == "" || strings.HasPrefix(i.stream, i.arn+"/stream/") {
		return
	}
	at := i.path + ".stream"
	if _, ok := i.decl.Stream[i.stage]; ok {
		at += "." + i.stage
	}
	x.report(x.m.problem("GX-R04", at, "give the ARN of this stage's stream, which begins with "+i.arn+"/stream/", "the stream %s is not that of the table %q in %s", clip(i.stream), i.name, i.stage))
}

// fromARN takes an instance's names from its ARN, which must be in the account
// of the stage.
func (x *expander) fromARN(i *instance, s string) bool {
	at := i.path + ".arn"
	if _, ok := i.decl.ARN[i.stage]; ok {
		at += "." + i.stage
	}
	arn, err := iam.ParseARN(s)
	if err != nil {
		return false // reported by validate
	}
	switch {
	case arn.Partition != i.site.Partition:
		x.report(x.m.problem(RuleRegion, at, "give the ARN of this stage's resource", "the ARN is in the partition %s, the account %q in %s", arn.Partition, i.site.Account, i.site.Partition))
		return false
	case arn.Account != "" && arn.Account != i.site.ID:
		x.report(x.m.problem("GX-R04", at, "give the ARN of this stage's resource: arn may be a mapping from stages to ARNs", "the ARN belongs to the account %s, but stage %q of %q is the account %s", arn.Account, i.stage, i.app, i.site.ID))
		return false
	case arn.Region != "" && arn.Region != i.site.Region:
		i.site = x.site(i.site.Account, arn.Region)
	}
	i.arn = s
	i.physical = arn.Resource
	if cut := strings.LastIndexAny(arn.Resource, "/:"); cut >= 0 {
		i.physical = arn.Resource[cut+1:]
	}
	if i.kind.name == "ecr-repository" || i.kind.name == "secret" || i.kind.name == "event-bus" {
		_, i.physical, _ = strings.Cut(arn.Resource, arn.Resource[strings.IndexAny(arn.Resource, "/:"):][:1])
	}
	if i.kind.needsID {
		i.id = i.physical
		if strings.HasPrefix(arn.Resource, "alias/") {
			i.id = arn.Resource
		}
		i.physical = ""
	}
	if !x.checkName(i, at) {
		return false
	}
	if i.kind.name != "secret" && i.kind.name != "role" && i.kind.arn(i) != s {
		shape := *i
		shape.physical, shape.id = "NAME", "ID"
		x.report(x.m.problem("GX-R04", at, "give the ARN of the resource itself; parts of it go to only", "%q is not the ARN of %s, which looks like %s", clip(s), i.kind.one(), i.kind.arn(&shape)))
		return false
	}
	return true
}

// readsStream reports whether a grant is about the stream of a table.
func (e *edge) readsStream() bool {
	return slices.ContainsFunc(e.accesses, func(a *access) bool {
		return slices.ContainsFunc(a.rights, func(r right) bool { return r.part == streamPart })
	})
}

// choose decides how the access is given, and says why.
func (x *expander) choose(e *edge) {
	k, g := e.resource.kind, e.grant
	switch {
	case k.name == "role":
		e.via, e.why = "trust", "the resource is a role: its trust policy names the consumer, and the consumer may assume exactly this role"
	case g.Via == "policy":
		e.via, e.why = "policy", "the manifest says so"
	case g.Via == "role" || g.AssumeRole != "":
		e.via, e.why = "role", "the manifest says so"
	case k.policy == nil:
		e.via, e.why = "role", fmt.Sprintf("%s has no resource policy, so the consumer assumes a role in the resource's account", k.one())
	case e.trust == "organization" && k.toTokens && e.readOnly():
		e.via, e.why = "policy", fmt.Sprintf("the policies of %s admit the organization to reading: package managers hold a token of the consumer's own identity, and need no role", k.one())
	case e.principal.account && e.readOnly():
		e.via, e.why = "role", "the whole account gets read-only access, which a role limits best: its own account decides who may assume it"
	case e.principal.account && k.policy.unconditional:
		e.via, e.why = "role", fmt.Sprintf("permissions of %s would open it to the whole account", k.one())
	case e.readsStream() && (e.resource.stream == "" || e.resource.created()):
		e.via, e.why = "role", "the ARN of the table's stream, which its policy must name, is not in the manifest"
	default:
		e.via = "policy"
		e.why = fmt.Sprintf("%s has a resource policy: the consumer keeps its own permissions, assumes no role and renews no credentials, and one policy on each side is all there is; the price is that it must use full ARNs", k.one())
	}
	if e.trust == "" {
		e.trust = "matched"
		if e.via == "policy" && k.trust == "" {
			e.trust = "named"
		}
		if e.principal.account {
			e.trust = "account"
		}
	}
	if (e.trust == "account" || e.trust == "organization") && k.limited {
		x.report(x.m.problem(RulePrincipals, e.path+".trust", "name a role in the grant or under the consumer, with trust: named or matched", "%s is shared by all who use it, so its users are named one by one, and never as a whole account or organization", k.one()))
		return
	}
	if (e.trust == "account" || e.trust == "organization") && !((e.via == "role" || e.trust == "organization") && e.readOnly()) {
		if _, ok := g.waived(RulePrincipals, e.pair.stage); !ok {
			x.report(x.m.problem(RulePrincipals, e.path, "name a role, or write a waiver: waive: [{rule: GX-P02, reason: …}]",
				"the grant %q gives whole accounts of %q access; without a reason, only read-only access may do that, through a role or to one organization", g.Name, g.Consumer))
		}
	}
}
