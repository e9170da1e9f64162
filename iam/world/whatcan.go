package world

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Capabilities is what a principal may do.
type Capabilities struct {
	Principal   string
	Grants      []Grant
	Assumptions []string
	Notes       []string
}

// A Grant is a set of actions with the same answer on one resource.
type Grant struct {
	Resource string   // the ARN of a resource of the world, a pattern of a statement, or "*"
	Known    bool     // Resource is in the world, or inside something that is
	Actions  []string // patterns such as "s3:Get*", each meaning actions that can be done to Resource
	Verdict  eval.Verdict

	world    *World
	question *Question // about one of the actions
	caller   *caller
	target   *target
}

// Answer returns the answer about one of the actions. What it hangs on is the
// same for all of them.
func (g *Grant) Answer() *Answer {
	g.world.mu.RLock()
	defer g.world.mu.RUnlock()
	return g.world.answer(g.question, g.caller, g.target)
}

// WhatCan lists what the question's principal may do, surely or depending. Its
// action and resource are filters: patterns, or empty for everything.
//
// The list has the resources of the world that the principal may touch, and the
// patterns of the statements that grant it something. About a pattern the answer
// is that for resources inside it that no policy singles out: statements about a
// part of it, and policies of resources in it, do not show. Actions are those of
// the service authorization reference.
func (w *World) WhatCan(q Question) (*Capabilities, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c, err := w.caller(q.Principal)
	if err != nil {
		return nil, err
	}
	if q.Action == "" {
		q.Action = "*"
	}
	if q.Resource == "" {
		q.Resource = "*"
	}
	g := gatherer{World: w, question: q, caller: c, out: &Capabilities{Principal: q.Principal, Assumptions: c.assumed}}
	for _, p := range c.policies {
		if p.missing != "" {
			g.out.Notes = append(g.out.Notes, p.missing+" may allow more; they are not in this world")
		}
	}
	g.patterns()
	g.resources()
	g.roles()
	slices.SortFunc(g.out.Grants, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), -cmp.Compare(a.Verdict, b.Verdict), slices.Compare(a.Actions, b.Actions))
	})
	return g.out, nil
}

// A gatherer is the work of one what-can question.
type gatherer struct {
	*World
	question Question
	caller   *caller
	out      *Capabilities
}

// wanted reports whether the filters let an action and a resource through.
func (g *gatherer) wanted(resource string) bool {
	return iam.MatchWildcard(g.question.Resource, resource)
}

func (g *gatherer) wantedAction(a *reference.Action) bool {
	return g.question.Action == "*" || iam.MatchWildcard(strings.ToLower(g.question.Action), strings.ToLower(a.String()))
}

// patterns asks about the resources of the principal's own Allow statements.
func (g *gatherer) patterns() {
	actions := make(map[string]map[*reference.Action]bool) // by resource
	for _, p := range g.caller.policies {
		if p.missing != "" {
			continue
		}
		source := p.eval().Source()
		for i := range source.Statements {
			s := &source.Statements[i]
			if s.Effect != iam.Allow {
				continue
			}
			resources := s.Resource
			if s.NotResource != nil {
				resources = []string{"*"}
			}
			named := actionsOf(s)
			for _, r := range resources {
				if actions[r] == nil {
					actions[r] = make(map[*reference.Action]bool)
				}
				for _, a := range named {
					actions[r][a] = true
				}
			}
		}
	}
	if g.caller.iam.Type == iam.PrincipalRootUser {
		actions["*"] = make(map[*reference.Action]bool)
		for _, a := range reference.Expand("*") {
			actions["*"][a] = true
		}
	}
	for resource, set := range actions {
		if !g.wanted(resource) || g.isKnown(resource) {
			continue
		}
		list := slices.Collect(maps.Keys(set))
		_, isRole := g.principals[resource]
		list = slices.DeleteFunc(list, func(a *reference.Action) bool {
			return !appliesTo(a, resource) || isRole && a.Service == "sts"
		})
		if holder := g.policyHolder(resource, nil); holder != nil && holder.policy != nil {
			g.askOnce(resource, list)
			continue
		}
		g.ask(resource, g.patternTarget(resource), list, false)
	}
}

// isKnown reports whether [gatherer.resources] asks about it.
func (g *gatherer) isKnown(arn string) bool {
	if bucket, ok := strings.CutSuffix(arn, "/*"); ok && serviceOf(arn) == "s3" && g.World.resources[bucket] != nil {
		return true
	}
	return g.World.resources[arn] != nil
}

// actionsOf returns the actions that a statement names.
func actionsOf(s *iam.Statement) []*reference.Action {
	var out []*reference.Action
	if s.NotAction != nil {
		for _, a := range reference.Expand("*") {
			name := strings.ToLower(a.String())
			if !slices.ContainsFunc(s.NotAction, func(p string) bool { return iam.MatchWildcard(strings.ToLower(p), name) }) {
				out = append(out, a)
			}
		}
		return out
	}
	for _, p := range s.Action {
		out = append(out, reference.Expand(p)...)
	}
	return out
}

// appliesTo reports whether requests for an action can be about a resource.
func appliesTo(a *reference.Action, resource string) bool {
	if resource == "*" {
		return true
	}
	return slices.ContainsFunc(a.Resources, func(r reference.ActionResource) bool { return r.Type.MatchesARN(resource) })
}

// patternTarget stands for the resources inside a pattern that have no policy,
// or of which it is not known.
func (g *gatherer) patternTarget(pattern string) func(action string) *target {
	return func(action string) *target {
		t := &target{arn: pattern}
		if id := accountOf(pattern); id != "" {
			t.owner = g.account(id)
		}
		service, _, _ := strings.Cut(strings.ToLower(action), ":")
		arn, err := iam.ParseARN(pattern)
		if err != nil {
			return t
		}
		switch {
		case service == "sts" && strings.HasPrefix(arn.Resource, "role/"):
			t.setMissing(iam.KindTrust, "the trust policy of a role like "+pattern)
		case service == "kms" && strings.HasPrefix(arn.Resource, "key/"),
			t.owner != nil && t.owner.id != g.caller.iam.Account:
			t.setMissing(iam.KindResource, "the policy of a resource like "+pattern)
		}
		return t
	}
}

// resources asks about the world's resources.
func (g *gatherer) resources() {
	named := g.namedServices()
	for _, arn := range slices.Sorted(maps.Keys(g.World.resources)) {
		r := g.World.resources[arn]
		service := serviceOf(arn)
		if r.policy == nil && named != nil && !named[service] {
			continue // nobody gives the principal anything here
		}
		asked := []string{arn}
		if service == "s3" && !strings.Contains(arn, "/") {
			asked = append(asked, arn+"/*")
		}
		asked = append(asked, patternsInside(r, asked)...)
		for _, resource := range asked {
			if g.wanted(resource) {
				g.askKnown(resource, service)
			}
		}
	}
}

// patternsInside returns what the resource's policy allows something on that is a
// part of the resource, such as the objects below a prefix.
func patternsInside(r *resource, known []string) []string {
	if r.policy == nil {
		return nil
	}
	var found []string
	source := r.policy.eval().Source()
	for i := range source.Statements {
		if source.Statements[i].Effect != iam.Allow {
			continue
		}
		for _, pattern := range source.Statements[i].Resource {
			rest, inside := strings.CutPrefix(pattern, known[0])
			if inside && rest != "" && strings.ContainsAny(rest[:1], "/:") && !slices.Contains(known, pattern) && !slices.Contains(found, pattern) {
				found = append(found, pattern)
			}
		}
	}
	return found
}

// namedServices returns the services the principal's own policies name, nil if
// they may name any.
func (g *gatherer) namedServices() map[string]bool {
	if g.caller.iam.Type == iam.PrincipalRootUser {
		return nil
	}
	named := make(map[string]bool)
	for _, p := range g.caller.policies {
		source := p.eval().Source()
		for i := range source.Statements {
			s := &source.Statements[i]
			set := actionSet{not: s.NotAction != nil}
			for _, a := range s.Action {
				set.patterns = append(set.patterns, strings.ToLower(a))
			}
			for _, service := range set.services() {
				if service == "" {
					return nil
				}
				named[service] = true
			}
		}
	}
	return named
}

func serviceOf(arn string) string {
	a, err := iam.ParseARN(arn)
	if err != nil {
		return ""
	}
	return a.Service
}

// askOnce asks about a pattern inside a resource of the world, with the
// resource's policy, unless [gatherer.resources] will.
func (g *gatherer) askOnce(pattern string, actions []*reference.Action) {
	for arn, r := range g.World.resources {
		if slices.Contains(patternsInside(r, []string{arn}), pattern) {
			return
		}
	}
	g.ask(pattern, g.knownTarget(pattern), actions, true)
}

func (g *gatherer) askKnown(resource, service string) {
	s, ok := reference.LookupService(service)
	if !ok {
		g.out.Notes = append(g.out.Notes, fmt.Sprintf("the actions on %s are not known: the service authorization reference has no service %s", resource, service))
		return
	}
	var actions []*reference.Action
	for _, a := range s.Actions() {
		if appliesTo(a, resource) {
			actions = append(actions, a)
		}
	}
	g.ask(resource, g.knownTarget(resource), actions, true)
}

// knownTarget is the target of questions about a resource of the world.
func (g *gatherer) knownTarget(resource string) func(action string) *target {
	return func(action string) *target {
		q := g.question
		q.Action, q.Resource = action, resource
		t, err := g.target(&q)
		if err != nil {
			return &target{arn: resource}
		}
		return t
	}
}

// roles asks which of the world's roles the principal may assume. Trust policies
// that do not mention it in any way are not compiled.
func (g *gatherer) roles() {
	mentions := []string{`"*"`, string(g.caller.iam.Account), g.caller.iam.ARN, g.caller.iam.UniqueID, `"NotPrincipal"`}
	for arn, p := range g.principals {
		if p.kind != iam.PrincipalRole || !g.wanted(arn) {
			continue
		}
		if !slices.ContainsFunc(mentions, func(m string) bool { return m != "" && strings.Contains(p.trust.text, m) }) {
			continue
		}
		var actions []*reference.Action
		for _, name := range []string{"sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"} {
			if a, ok := reference.LookupAction(name); ok {
				actions = append(actions, a)
			}
		}
		g.ask(arn, g.knownTarget(arn), actions, true)
	}
}

// ask decides each action on a resource, and adds what may be done.
func (g *gatherer) ask(resource string, targetFor func(action string) *target, actions []*reference.Action, known bool) {
	type class struct {
		verdict eval.Verdict
		why     string // the undetermined statements
	}
	groups := make(map[class][]*reference.Action)
	targets := make(map[string]*target) // by service
	for _, a := range actions {
		if !g.wantedAction(a) {
			continue
		}
		t := targets[a.Service]
		if t == nil {
			t = targetFor(a.String())
			targets[a.Service] = t
		}
		q := g.question
		q.Action, q.Resource = a.String(), resource
		d := eval.Decide(g.World.input(&q, g.caller, t))
		switch d.Verdict {
		case eval.Allowed:
			groups[class{verdict: eval.Allowed}] = append(groups[class{verdict: eval.Allowed}], a)
		case eval.Depends:
			var why strings.Builder
			for _, ref := range d.Statements() {
				fmt.Fprintf(&why, "%p %d;", ref.Policy, ref.Index)
			}
			key := class{eval.Depends, why.String()}
			groups[key] = append(groups[key], a)
		default:
		}
	}
	for key, group := range groups {
		q := g.question
		slices.SortFunc(group, func(a, b *reference.Action) int { return strings.Compare(a.String(), b.String()) })
		q.Action, q.Resource = group[0].String(), resource
		g.out.Grants = append(g.out.Grants, Grant{
			Resource: resource, Known: known, Actions: compact(group, resource), Verdict: key.verdict,
			world: g.World, question: &q, caller: g.caller, target: targets[group[0].Service],
		})
	}
}

// compact writes a sorted set of actions with wildcards, where a wildcard means
// nothing else among the actions that can be done to the resource.
func compact(set []*reference.Action, resource string) []string {
	in := make(map[*reference.Action]bool, len(set))
	services := make(map[string][]*reference.Action)
	for _, a := range set {
		in[a] = true
		services[a.Service] = append(services[a.Service], a)
	}
	var out []string
	whole := 0
	for _, service := range slices.Sorted(maps.Keys(services)) {
		s, ok := reference.LookupService(service)
		if !ok {
			continue
		}
		names := compactService(s, services[service], in, resource)
		if len(names) == 1 && names[0] == service+":*" {
			whole++
		}
		out = append(out, names...)
	}
	if resource == "*" && whole == len(reference.Services()) {
		return []string{"*"}
	}
	return out
}

func compactService(s *reference.Service, list []*reference.Action, in map[*reference.Action]bool, resource string) []string {
	var possible []*reference.Action
	for _, a := range s.Actions() {
		if appliesTo(a, resource) {
			possible = append(possible, a)
		}
	}
	if len(list) == len(possible) && len(list) > 1 {
		return []string{s.Prefix + ":*"}
	}
	var out []string
	for _, a := range list {
		name, verb := a.String(), firstWord(a.Name)
		count, complete := 0, true
		for _, b := range possible {
			if strings.HasPrefix(b.Name, verb) {
				count++
				complete = complete && in[b]
			}
		}
		if complete && count > 2 {
			name = s.Prefix + ":" + verb + "*"
		}
		if len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return out
}

// firstWord returns the first word of a name such as GetObject.
func firstWord(name string) string {
	for i := 1; i < len(name); i++ {
		if name[i] >= 'A' && name[i] <= 'Z' {
			return name[:i]
		}
	}
	return name
}
