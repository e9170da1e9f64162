package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// validate checks what a manifest says against itself. It is called by Parse,
// when the form of everything is right, and by Compile for manifests that were
// made in Go.
func (m *Manifest) validate() problems {
	v := &validator{m: m}
	v.accounts()
	v.clusters()
	v.parties()
	v.endpoints()
	v.resources()
	v.checkOwners()
	names := map[string]int{}
	for i := range m.Grants {
		g := &m.Grants[i]
		at := fmt.Sprintf("grants[%d]", i)
		if first, taken := names[g.Name]; taken {
			v.report(m.problem(RuleDuplicate, at+".name", "choose another name", "grants[%d] has the name %q already", first, g.Name))
		} else {
			names[g.Name] = i
		}
		if v.grant(at, g) {
			m.pairings(at, g, v.report)
		}
	}
	return v.problems
}

type validator struct {
	m        *Manifest
	problems problems
}

func (v *validator) report(p Problem) { v.problems = append(v.problems, p) }

func (v *validator) accounts() {
	seen := map[string]string{}
	for _, name := range sortedKeys(v.m.Accounts) {
		a, at := v.m.Accounts[name], "accounts."+name
		if other, ok := seen[a.ID]; ok {
			v.report(v.m.problem(RuleDuplicate, at+".id", "give the account one name", "the account %s is %q already", a.ID, other))
		}
		seen[a.ID] = name
		for i, region := range a.Regions {
			p, ok := iam.PartitionOfRegion(region)
			if !ok || p.ID != a.partition() {
				v.report(v.m.problem(RuleRegion, fmt.Sprintf("%s.regions[%d]", at, i), "set partition to that of the region", "the region %q is not in the partition %s", region, a.partition()))
			}
		}
	}
	for _, name := range v.m.stageNames() {
		if s := v.m.stages()[name]; name == localStage && exported(name, s) {
			v.report(v.m.problem(RuleStage, "stages."+name+".exported", "remove it; give consumers alpha or another stage", "the stage dev is for local work and cannot be exported"))
		}
	}
}

func (a Account) partition() string {
	if a.Partition == "" {
		return "aws"
	}
	return a.Partition
}

func (v *validator) parties() {
	account := func(at, name string) {
		if _, ok := v.m.Accounts[name]; !ok {
			v.report(v.m.unknown(at, "account", name, sortedKeys(v.m.Accounts)))
		}
	}
	for _, name := range sortedKeys(v.m.Apps) {
		for _, stage := range sortedKeys(v.m.Apps[name].Accounts) {
			at := "apps." + name + ".accounts." + stage
			if _, ok := v.m.stages()[stage]; !ok {
				v.report(v.m.unknown(at, "stage", stage, v.m.stageNames()))
			}
			account(at, v.m.Apps[name].Accounts[stage])
		}
	}
	holders := map[string]string{} // :: external ID → its consumer
	for _, name := range sortedKeys(v.m.Consumers) {
		c, at := v.m.Consumers[name], "consumers."+name
		for _, stage := range sortedKeys(c.Accounts) {
			account(at+".accounts."+stage, c.Accounts[stage])
		}
		for _, stage := range sortedKeys(c.Stages) {
			if _, ok := v.m.stages()[stage]; !ok {
				v.report(v.m.unknown(at+".stages."+stage, "stage", stage, v.m.stageNames()))
			}
			if _, ok := c.Accounts[c.Stages[stage]]; !ok {
				v.report(v.m.unknown(at+".stages."+stage, "stage of the consumer", c.Stages[stage], sortedKeys(c.Accounts)))
			}
		}
		if c.ThirdParty && c.ExternalID == "" {
			v.report(v.m.problem(RuleExternalID, at, "add external_id: a long random text that no other customer has", "the third party %q has no external ID", name))
		}
		if c.ExternalID != "" {
			if err := reference.CheckExternalID(c.ExternalID); err != nil {
				v.report(v.m.problem(RuleExternalID, at+".external_id", "choose another", "%v", err))
			}
			if other, ok := holders[c.ExternalID]; ok {
				v.report(v.m.problem(RuleExternalID, at+".external_id", "give each consumer one of its own", "the external ID is that of the consumer %q already, and what one of them is asked to do could use the other's role", other))
			}
			holders[c.ExternalID] = name
		}
		if c.Role != nil {
			v.role(at+".role", c.Role)
		}
	}
}

func (v *validator) role(at string, r *Role) {
	v.placeholders(at+".name", r.Name)
	v.serviceAccount(at, r)
	for i := range r.Permissions {
		v.permission(fmt.Sprintf("%s.permissions[%d]", at, i), &r.Permissions[i])
	}
}

func (v *validator) placeholders(at, s string) {
	for _, p := range placeholder.FindAllString(s, -1) {
		if name := strings.Trim(p, "{}"); p[0] != '$' && !slices.Contains(placeholders, name) {
			v.report(v.m.unknown(at, "placeholder", name, placeholders))
		}
	}
	if rest := placeholder.ReplaceAllString(s, ""); strings.ContainsAny(rest, "{}") {
		v.report(v.m.problem(RuleValue, at, "write placeholders as {stage}", "%q has a brace without its counterpart", clip(s)))
	}
}

// appOf returns the app that owns a resource.
func (m *Manifest) appOf(resource string) string {
	if app := m.Resources[resource].App; app != "" {
		return app
	}
	if len(m.Apps) == 1 {
		return sortedKeys(m.Apps)[0]
	}
	return ""
}

// encryptions are the values of encryption that are not names of keys.
var encryptions = []string{"none", "aws-owned", "aws-managed"}

func (v *validator) resources() {
	m := v.m
	for _, name := range sortedKeys(m.Resources) {
		r, at := m.Resources[name], "resources."+name
		k := kindByName(r.Kind)
		if k == nil {
			v.report(m.unknown(at+".kind", "kind", r.Kind, Kinds()))
			continue
		}
		switch app := m.appOf(name); {
		case app == "":
			v.report(m.problem(RuleMissing, at, "add app: one of "+strings.Join(sortedKeys(m.Apps), ", "), "there are several apps, and the resource does not say which one owns it"))
		case m.Apps[app].Accounts == nil:
			v.report(m.unknown(at+".app", "app", app, sortedKeys(m.Apps)))
		}
		for _, by := range []struct {
			key  string
			text ByStage
		}{{"name", r.Name}, {"id", r.ID}, {"arn", r.ARN}, {"stream", r.Stream}} {
			for _, stage := range sortedKeys(by.text) {
				here := at + "." + by.key
				if stage != "" {
					here += "." + stage
					if _, ok := m.stages()[stage]; !ok {
						v.report(m.unknown(here, "stage", stage, m.stageNames()))
					}
				}
				v.placeholders(here, by.text[stage])
			}
		}
		v.identified(at, r, k)
		v.workflowOf(at, r, k)
		if k.needsDomain && r.Domain == "" {
			v.report(m.problem(RuleMissing, at, "add domain", "%s needs its domain", k.one()))
		}
		if !k.needsDomain && r.Domain != "" {
			v.report(m.problem(RuleValue, at+".domain", "remove it", "only CodeArtifact repositories have a domain"))
		}
		v.encryption(at, name, r, k)
		for _, stage := range sortedKeys(r.Stream) {
			arn, err := iam.ParseARN(r.Stream[stage])
			_, label, _ := strings.Cut(arn.Resource, "/stream/")
			switch here := strings.TrimSuffix(at+".stream."+stage, "."); {
			case k.name != "dynamodb-table" || err != nil || arn.Service != "dynamodb" || label == "":
				v.report(m.problem(RuleValue, here, "give the stream's ARN, for a table", "%q is no ARN of the stream of a table", clip(r.Stream[stage])))
			case strings.ContainsAny(label, "*?/"):
				v.report(m.problem(RuleValue, here, "name one stream: its ARN ends with the time at which it was switched on, see LatestStreamArn of aws dynamodb describe-table", "%q is more or less than one stream", clip(r.Stream[stage])))
			}
		}
		if r.Create != nil && k.create == nil {
			v.report(m.problem(RuleValue, at+".create", "create it elsewhere and leave create out", "resources of kind %s cannot be created here", k.name))
		}
		if k.name != "role" {
			for key, set := range map[string]bool{"permissions": r.Permissions != nil, "path": r.Path != "", "boundary": r.Boundary != "", "max_session": r.MaxSession != 0} {
				if set {
					v.report(m.problem(RuleValue, at+"."+key, "remove it", "only roles have %s", key))
				}
			}
		} else if r.MaxSession != 0 && (r.MaxSession < 3600 || r.MaxSession > 43200) {
			v.report(m.problem(RuleValue, at+".max_session", "choose 3600 to 43200", "a role's longest session is 3600 to 43200 seconds, not %d", r.MaxSession))
		}
		for i := range r.Permissions {
			v.permission(fmt.Sprintf("%s.permissions[%d]", at, i), &r.Permissions[i])
		}
		if len(r.Keep) > 0 {
			if k.policy == nil {
				v.report(m.problem(RuleValue, at+".keep", "remove it", "resources of kind %s have no policy of their own", k.name))
			} else if k.policy.single {
				v.report(m.problem(RuleValue, at+".keep", "remove it", "statements of %s policies are written one by one, and others are never touched", k.title))
			} else {
				v.checkKept(at, r.Keep)
			}
		}
	}
}

// identified checks that the resource's ARN can be known.
func (v *validator) identified(at string, r Resource, k *kind) {
	switch {
	case r.ARN != nil && (r.Name != nil || r.ID != nil):
		v.report(v.m.problem(RuleValue, at+".arn", "keep the ARN or the name", "the resource has both an ARN and a name or id"))
	case r.ARN != nil && r.Create != nil:
		v.report(v.m.problem(RuleValue, at+".arn", "give it a name instead", "a resource that is created has no ARN yet"))
	case r.IDFrom != nil && !k.needsID:
		v.report(v.m.problem(RuleValue, at+".id_from", "remove it", "%s has no id besides its name", k.one()))
	case r.IDFrom != nil && (r.ID != nil || r.ARN != nil || r.Create != nil):
		v.report(v.m.problem(RuleValue, at+".id_from", "keep one of id_from, id, arn and create", "the resource's id is given twice"))
	case r.IDFrom != nil:
		v.source(at+".id_from", r.IDFrom)
	case k.needsID && r.ID == nil && r.ARN == nil && r.Create == nil:
		v.report(v.m.problem(RuleMissing, at, "add id, id_from or arn, or create to have it made", "%s needs the id that AWS gave it", k.one()))
	case !k.needsID && r.Name == nil && r.ARN == nil:
		v.report(v.m.problem(RuleMissing, at, "add name or arn", "%s needs a name", k.one()))
	case r.ID != nil && !k.needsID:
		v.report(v.m.problem(RuleValue, at+".id", "remove it", "%s has no id besides its name", k.one()))
	}
	for _, stage := range sortedKeys(r.ARN) {
		here := at + ".arn"
		if stage != "" {
			here += "." + stage
		}
		arn, err := iam.ParseARN(r.ARN[stage])
		if err != nil || arn.Service != arnService(k) {
			v.report(v.m.problem(RuleValue, here, "copy it from the console", "%q is no ARN of %s", clip(r.ARN[stage]), k.one()))
		} else if k.name == "secret" && !suffixPattern.MatchString(arn.Resource) {
			v.report(v.m.problem(RuleSuffix, here, "use the full ARN with its suffix, or give name instead: the policy then has -?????? in its place", "the ARN of the secret has no suffix of six characters, and matches no secret"))
		} else if strings.ContainsAny(arn.Resource, "*?") {
			v.report(v.m.problem(RuleValue, here, "name one resource", "the ARN has wildcards"))
		}
	}
}

func arnService(k *kind) string {
	if k.name == "role" {
		return "iam"
	}
	if k.name == "rest-api" {
		return "execute-api"
	}
	return k.service
}

func (v *validator) encryption(at, name string, r Resource, k *kind) {
	e := r.Encryption
	key, isResource := v.m.Resources[e]
	switch {
	case e == "":
		return
	case k.via == "":
		v.report(v.m.problem(RuleValue, at+".encryption", "remove it", "how %s is encrypted does not matter here", k.one()))
	case slices.Contains(encryptions, e):
	case strings.HasPrefix(e, "alias/aws/") || strings.Contains(e, ":alias/aws/"):
		v.report(v.m.problem(RuleSharedKey, at+".encryption", "encrypt the resource with a customer-managed key and name it here", "%q is a key that AWS manages; nobody can share it with other accounts", clip(e)))
	case strings.HasPrefix(e, "alias/") || strings.HasPrefix(e, "arn:"):
		v.report(v.m.problem("GX-R07", at+".encryption", "declare the key as a resource of kind kms-key, with its id or ARN, and name that", "%q names a key by itself; its policy has to be written too, and aliases mean nothing in other accounts", clip(e)))
	case !isResource:
		v.report(v.m.unknown(at+".encryption", "key", e, append(slices.Clone(encryptions), v.m.resourcesOf("kms-key")...)))
	case key.Kind != "kms-key":
		v.report(v.m.problem(RuleReference, at+".encryption", "name a resource of kind kms-key", "%q is a %s", e, key.Kind))
	case v.m.appOf(e) != v.m.appOf(name):
		v.report(v.m.problem(RuleReference, at+".encryption", "use a key of the same app", "the key %q belongs to another app", e))
	case k.name == "s3-bucket" && hasKey(r.Create, "BucketEncryption"):
		if _, ok := encryptionRule(r.Create); !ok {
			v.report(v.m.problem("GX-B04", at+".create.BucketEncryption", "leave it out, or give one rule with the SSEAlgorithm aws:kms or aws:kms:dsse, in which the key is filled in", "the bucket is encrypted with the key %q, for which there is no place here", e))
		}
	}
}

func (m *Manifest) resourcesOf(kind string) []string {
	var names []string
	for _, name := range sortedKeys(m.Resources) {
		if m.Resources[name].Kind == kind {
			names = append(names, name)
		}
	}
	return names
}

func (v *validator) permission(at string, p *Permission) {
	for i, action := range p.Actions {
		if !reference.MatchesAction(action) {
			remedy := "check the service authorization reference"
			if near := reference.SuggestAction(action); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			v.report(v.m.problem(RuleValue, fmt.Sprintf("%s.actions[%d]", at, i), remedy, "the action %q is unknown", action))
		}
	}
	for i, resource := range p.Resources {
		v.placeholders(fmt.Sprintf("%s.resources[%d]", at, i), resource)
	}
}

// grant checks one grant. It returns false if its stages cannot be looked at.
func (v *validator) grant(at string, g *Grant) bool {
	m := v.m
	before := len(v.problems)
	consumer, ok := m.Consumers[g.Consumer]
	if !ok {
		v.report(m.unknown(at+".consumer", "consumer", g.Consumer, sortedKeys(m.Consumers)))
	}
	r, ok := m.Resources[g.Resource]
	if !ok {
		v.report(m.unknown(at+".resource", "resource", g.Resource, sortedKeys(m.Resources)))
	}
	k := kindByName(r.Kind)
	if k == nil || len(v.problems) > before || m.Apps[m.appOf(g.Resource)].Accounts == nil {
		return false
	}
	seen := map[string]bool{}
	for i, word := range g.Access {
		here := fmt.Sprintf("%s.access[%d]", at, i)
		switch {
		case k.access(word) == nil:
			v.report(v.wrongWord(here, word, k))
		case seen[word]:
			v.report(m.problem(RuleDuplicate, here, "remove it", "the access %q is given twice", word))
		}
		seen[word] = true
	}
	for _, field := range g.Only.given() {
		if !slices.Contains(k.narrowable(), field) {
			remedy := "remove it"
			if len(k.narrowable()) > 0 {
				remedy = "a grant on " + k.one() + " can be narrowed by " + strings.Join(k.narrowable(), ", ")
			}
			v.report(m.problem(RuleNarrowing, at+".only."+field, remedy, "a grant on %s cannot be narrowed by %s", k.one(), field))
		}
	}
	for _, word := range g.Access {
		if a := k.access(word); a != nil {
			for _, field := range g.Only.given() {
				if slices.Contains(a.ignores, field) {
					v.report(m.problem(RuleNarrowing, at+".only."+field, "make two grants of it", "%s does not narrow the access %q of %s", field, word, k.one()))
				}
			}
		}
	}
	v.checkOnly(at, &g.Only, k)
	v.checkMethods(at, g, k)
	v.checkWaivers(at, g)
	v.principal(at, g, consumer)
	v.encryptedByCreate(g, r, k)
	if g.Via == "policy" && k.policy == nil && k.name != "role" && g.StateMachine == "" {
		v.report(m.problem(RuleValue, at+".via", "use role or auto", "%s has no resource policy", k.one()))
	}
	if k.policy != nil && k.policy.unconditional && (g.Trust == "matched" || g.Trust == "organization") && g.Via != "role" {
		v.report(m.problem(RuleValue, at+".trust", "use named, or via: role", "permissions of %s cannot have conditions on the caller", k.one()))
	}
	return true
}

func (v *validator) wrongWord(at, word string, k *kind) Problem {
	remedy := k.one() + " has: " + strings.Join(k.words(), ", ")
	if near := nearest(word, k.words()); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	return v.m.problem(RuleValue, at, remedy, "%s has no access %q", k.one(), clip(word))
}

func (v *validator) principal(at string, g *Grant, consumer Consumer) {
	m := v.m
	switch {
	case g.RoleOf != "":
		r, ok := m.Resources[g.RoleOf]
		switch {
		case !ok:
			v.report(m.unknown(at+".role_of", "resource", g.RoleOf, m.resourcesOf("role")))
		case r.Kind != "role":
			v.report(m.problem(RuleReference, at+".role_of", "name a resource of kind role", "%q is a %s", g.RoleOf, r.Kind))
		case g.RoleOf == g.Resource:
			v.report(m.problem(RuleReference, at+".role_of", "name another role", "a role would be granted to itself"))
		case g.Role != nil:
			v.report(m.problem(RuleValue, at+".role", "keep one of them", "the grant has both role and role_of"))
		}
	case g.Trust == "organization" && consumer.Organization == "":
		v.report(m.problem(RuleMissing, at+".trust", fmt.Sprintf("add organization to consumers.%s", g.Consumer), "the organization of %q is not known", g.Consumer))
	case g.Role == nil && consumer.Role == nil && g.Trust != "account" && g.Trust != "organization":
		v.report(m.problem(RuleMissing, at, fmt.Sprintf("add role to the grant or to consumers.%s", g.Consumer), "nobody is named who gets the access"))
	case g.Role != nil:
		v.role(at+".role", g.Role)
	}
	if g.StateMachine != "" {
		v.placeholders(at+".state_machine", g.StateMachine)
		if g.Via == "policy" {
			v.report(m.problem(RuleValue, at+".via", "use role or auto", "a state machine reaches another account's resource through a role"))
		}
	}
	v.caller(at, g, consumer)
	if g.AssumeRole != "" {
		v.placeholders(at+".assume_role", g.AssumeRole)
	}
}
