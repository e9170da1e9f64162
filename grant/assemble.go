package grant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// assemble puts the units into stacks and the stacks into waves.
func (b *builder) assemble(edges []*edge) (*Plan, problems) {
	plan := &Plan{Format: b.options.Format, edges: edges}
	a := &assembler{builder: b, refs: map[string][]string{}, state: map[string]int{}}
	for _, key := range b.unitOrder {
		a.refs[key] = a.references(b.units[key])
	}
	for _, key := range b.unitOrder {
		a.wave(key, nil)
	}
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	stacks := a.stacks()
	for _, s := range stacks {
		a.ids(s)
	}
	for _, s := range stacks {
		a.fill(s)
	}
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	waves := map[int]*Wave{}
	for _, s := range stacks {
		n := s.units[0].wave
		if waves[n] == nil {
			waves[n] = &Wave{}
		}
		waves[n].Stacks = append(waves[n].Stacks, s)
	}
	for i, n := range sortedInts(waves) {
		waves[n].Number = i + 1
		plan.Waves = append(plan.Waves, waves[n])
	}
	b.describe(plan)
	return plan, b.problems
}

func sortedInts(m map[int]*Wave) []int {
	var out []int
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

type assembler struct {
	*builder
	refs  map[string][]string // :: unit key → keys of the units it refers to
	state map[string]int      // :: unit key → 1 while its wave is worked out, 2 after
}

// references returns the units that must exist before u: those its texts refer
// to, and those it needs without saying so.
func (a *assembler) references(u *unit) []string {
	found := map[string]bool{}
	for _, key := range u.needs {
		found[key] = true
	}
	if u.kind != nil {
		template.Rewrite(u.kind, func(s string) string {
			for _, piece := range iam.Pieces(s) {
				if key, _, ok := splitUnitValue(piece.Text); ok && piece.IsSymbol {
					found[key] = true
				}
			}
			return s
		})
		if g, ok := u.kind.(*template.Generic); ok {
			for _, key := range g.After {
				found[key] = true
			}
		}
	}
	delete(found, u.key)
	return sortedKeys(found)
}

// wave works out when a unit can be created: after everything it needs, and in
// the same stack as what it needs of its own account and stage.
func (a *assembler) wave(key string, trail []string) int {
	u := a.units[key]
	switch a.state[key] {
	case 2:
		return u.wave
	case 1:
		a.cycle(append(trail, key))
		return 0
	}
	a.state[key] = 1
	u.wave = u.phase
	for _, other := range a.refs[key] {
		if a.units[other] == nil {
			continue
		}
		n := a.wave(other, append(trail, key))
		if a.units[other].group() != u.group() {
			n++
		}
		u.wave = max(u.wave, n)
	}
	a.state[key] = 2
	return u.wave
}

func (u *unit) group() string { return u.site.ID + "/" + u.site.Region + "/" + u.stage }

// cycle reports roles that would have to exist before each other.
func (a *assembler) cycle(trail []string) {
	start := slices.Index(trail, trail[len(trail)-1])
	loop := trail[start:]
	var names []string
	path := ""
	for i := 0; i+1 < len(loop); i++ {
		u := a.units[loop[i]]
		names = append(names, fmt.Sprintf("%q in %s", u.name(), u.stage))
		if p := u.blame[loop[i+1]]; p != "" && (path == "" || a.m.Position(p).Line < a.m.Position(path).Line) {
			path = p
		}
	}
	if path == "" {
		path = a.units[loop[0]].path
	}
	a.report(a.m.problem(RuleCycle, path, "set trust: matched on one of the grants: the account is then the principal, and nothing has to exist first",
		"%s would each have to exist before the next one, and the last before the first, because their policies name each other's roles", strings.Join(names, " and ")))
}

func (u *unit) name() string {
	if r, ok := u.kind.(*template.Role); ok {
		return r.Name
	}
	return u.id
}

// stacks divides the units by account, region, stage and wave, and large stacks
// further, so that each fits CloudFormation's limits.
func (a *assembler) stacks() []*Stack {
	byKey := map[string]*Stack{}
	var order []string
	for _, key := range a.unitOrder {
		u := a.units[key]
		wave := fmt.Sprintf("wave-%d", u.wave)
		if u.wave < len(phaseNames) {
			wave = phaseNames[u.wave]
		}
		name := "crossaccount-" + slug(u.site.Account) + "-" + slug(u.stage) + "-" + wave
		if home := a.m.Accounts[u.site.Account].Regions[0]; u.site.Region != home {
			name += "-" + u.site.Region
		}
		s, ok := byKey[u.group()+"/"+wave]
		if !ok {
			s = &Stack{
				Name: clipTo(name, reference.MaxStackName), Account: u.site.Account, AccountID: u.site.ID, Partition: u.site.Partition, Region: u.site.Region,
				Profile: u.site.Profile, Stage: u.stage, found: a.found,
			}
			byKey[u.group()+"/"+wave] = s
			order = append(order, u.group()+"/"+wave)
		}
		s.units = append(s.units, u)
		u.stack = s
	}
	var all []*Stack
	for _, key := range order {
		all = append(all, a.divided(byKey[key])...)
	}
	slices.SortStableFunc(all, func(x, y *Stack) int { return strings.Compare(x.Name, y.Name) })
	used := map[string]bool{}
	for _, s := range all {
		for n, name := 2, s.Name; used[strings.ToLower(s.Name)+s.AccountID+s.Region]; n++ {
			s.Name = fmt.Sprintf("%s-%d", clipTo(name, reference.MaxStackName-8), n)
		}
		used[strings.ToLower(s.Name)+s.AccountID+s.Region] = true
		s.Directory = s.Account + "/" + s.Name
	}
	return all
}

// What one stack may hold. A template of more bytes could not be passed to
// CloudFormation without a bucket; the estimate of a unit's size is generous.
const (
	maxStackResources = reference.MaxTemplateResources
	maxStackBytes     = reference.MaxTemplateBody
	maxStackValues    = 150 // parameters and outputs, of 200
)

// divided returns the stack, or several that hold its units. Units that refer to
// each other stay together.
func (a *assembler) divided(s *Stack) []*Stack {
	if a.options.Format != CloudFormation {
		return []*Stack{s}
	}
	together := map[string]string{} // :: unit key → key of the first unit of its group
	var find func(string) string
	find = func(k string) string {
		if together[k] == "" || together[k] == k {
			return k
		}
		return find(together[k])
	}
	for _, u := range s.units {
		for _, other := range a.refs[u.key] {
			if v := a.units[other]; v != nil && v.stack == s && find(other) != find(u.key) {
				together[find(u.key)] = find(other)
			}
		}
	}
	groups := map[string][]*unit{}
	var order []string
	for _, u := range s.units {
		k := find(u.key)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], u)
	}
	var out []*Stack
	resources, bytes, values := maxStackResources+1, 0, 0
	for _, k := range order {
		n, size, refs := 0, 0, 0
		for _, u := range groups[k] {
			n++
			size += estimate(u)
			refs += len(a.refs[u.key]) + 1
		}
		if resources+n > maxStackResources || bytes+size > maxStackBytes-4096 || values+refs > maxStackValues && values > 0 {
			part := *s
			part.units = nil
			out = append(out, &part)
			resources, bytes, values = 0, 0, 0
		}
		resources, bytes, values = resources+n, bytes+size, values+refs
		part := out[len(out)-1]
		for _, u := range groups[k] {
			part.units = append(part.units, u)
			u.stack = part
		}
	}
	return out
}

// estimate returns about how many bytes a unit takes in a template.
func estimate(u *unit) int {
	if u.kind == nil {
		return 0
	}
	n, lines := 200, 12
	count := func(s string) string {
		n += len(s) + 24
		lines++
		return s
	}
	k := template.Rewrite(u.kind, count)
	if g, ok := k.(*template.Generic); ok {
		for _, p := range policiesIn(g.Properties) {
			for _, s := range p.Statements {
				n += 150 + 30*len(s.Action)
			}
		}
	}
	if r, ok := k.(*template.Role); ok {
		for _, p := range r.Inline {
			for _, s := range p.Document.Statements {
				n += 150 + 30*len(s.Action)
			}
		}
	}
	return n + lines*12
}

func policiesIn(v any) []*iam.Policy {
	switch v := v.(type) {
	case *iam.Policy:
		return []*iam.Policy{v}
	case template.Object:
		var all []*iam.Policy
		for _, m := range v {
			all = append(all, policiesIn(m.Value)...)
		}
		return all
	}
	return nil
}

// fill makes the template of a stack: references become references within it,
// or parameters that get outputs of earlier stacks.
func (a *assembler) fill(s *Stack) {
	t := &template.Stack{
		Description: fmt.Sprintf("Access across accounts, stage %s. Made by crossaccount from a manifest; change that, not this.", s.Stage),
		Metadata:    template.Metadata{Generator: a.options.Generator},
	}
	inputs := map[string]Input{}
	owners, apps := map[string]bool{}, map[string]bool{}
	for _, u := range s.units {
		s.Grants = union(s.Grants, u.grants)
		owners[u.owner], apps[u.app] = true, true
		for _, c := range u.then {
			s.then, s.Then = append(s.then, c), append(s.Then, s.shown(c))
		}
		if u.apply != nil {
			a.applyDocument(s, u)
			continue
		}
		referred := map[string]bool{} // which CloudFormation waits for anyhow
		bind := func(text string) string {
			// A role that a policy names must exist before it; within a stack a
			// reference says so.
			for _, key := range u.needs {
				if r := a.roles[key]; r != nil && text == r.arn && a.units[key] != nil && a.units[key].stack == s {
					return template.Attribute(a.units[key].id, "Arn")
				}
			}
			return iam.ReplaceSymbols(text, func(id string) string {
				if in, ok := a.found[id]; ok {
					inputs[in.Parameter] = in
					return template.Ref(in.Parameter)
				}
				key, attribute, ok := splitUnitValue(id)
				if !ok {
					return iam.Symbol(id)
				}
				other := a.units[key]
				if other.stack == s {
					referred[key] = true
					return template.Attribute(other.id, attribute)
				}
				name := camel(other.id, attribute)
				if other.stack.Stage != s.Stage || other.site.ID != s.AccountID {
					name = camel(other.stage, other.id, attribute)
				}
				inputs[name] = Input{Parameter: name, FromStack: other.stack.Name, FromOutput: camel(other.id, attribute),
					FromAccount: other.stack.AccountID, FromRegion: other.stack.Region, profile: other.stack.Profile, from: other.stack}
				a.output(other, attribute)
				return template.Ref(name)
			})
		}
		kind := template.Rewrite(u.kind, bind)
		if g, ok := kind.(*template.Generic); ok {
			g.After = a.afterIn(s, slices.DeleteFunc(slices.Clone(g.After), func(key string) bool { return referred[key] }))
		}
		t.Resources = append(t.Resources, template.Resource{ID: u.id, Kind: kind})
	}
	for _, name := range sortedKeys(inputs) {
		in := inputs[name]
		s.Inputs = append(s.Inputs, in)
		t.Parameters = append(t.Parameters, template.Parameter{ID: name, Description: upperFirst(in.origin()), MinLength: 1, MaxLength: 2048, SizeHint: 160})
	}
	s.Tags = a.tags(one(owners), one(apps), s.Stage, s.Grants)
	if len(t.Resources) == 0 {
		return
	}
	if s.Template != nil { // an output was wanted before the stack was made
		t.Outputs = s.Template.Outputs
	}
	s.Template = t
}

func one(set map[string]bool) string {
	return clipTo(strings.Join(sortedKeys(set), " "), reference.MaxTagValue)
}

// output makes a stack tell an attribute of one of its units.
func (a *assembler) output(u *unit, attribute string) {
	s := u.stack
	if s.Template == nil {
		s.Template = &template.Stack{}
	}
	id := camel(u.id, attribute)
	if !slices.ContainsFunc(s.Template.Outputs, func(o template.Output) bool { return o.ID == id }) {
		s.Template.Outputs = append(s.Template.Outputs, template.Output{ID: id, Description: fmt.Sprintf("%s of %s", attribute, u.id), Value: template.Attribute(u.id, attribute)})
		slices.SortFunc(s.Template.Outputs, func(x, y template.Output) int { return strings.Compare(x.ID, y.ID) })
	}
}

// afterIn turns keys of units into the logical ids of those in the stack.
func (a *assembler) afterIn(s *Stack, keys []string) []string {
	var ids []string
	for _, key := range keys {
		if u := a.units[key]; u != nil && u.stack == s {
			ids = append(ids, u.id)
		}
	}
	return ids
}

// ids gives the units of a stack different logical ids.
func (a *assembler) ids(s *Stack) {
	used := map[string]bool{}
	for _, u := range s.units {
		if u.id == "" || u.id[0] >= '0' && u.id[0] <= '9' {
			u.id = "R" + u.id
		}
		u.id = clipTo(u.id, 200)
		if used[template.SnakeCase(u.id)] {
			u.id += hash(u.key)[:8]
		}
		used[template.SnakeCase(u.id)] = true
	}
}

func (a *assembler) applyDocument(s *Stack, u *unit) {
	at := slug(u.id) + ".json"
	command := func(args []string, file string) []string {
		out := slices.Clone(args)
		for i := range out {
			if out[i] == documentFile {
				out[i] = "file://" + s.Directory + "/" + file
			}
		}
		return out
	}
	one := Apply{Title: u.apply.title, File: at, Policy: u.apply.document, After: u.apply.after, put: command(u.apply.put, at), remove: command(u.apply.remove, at)}
	if p := u.apply.document; a.options.Format != Policies && iam.HasSymbol(string(p.Indent())) {
		a.report(a.m.problem(RuleValue, u.path, "let the plan create it, or give the ids of what the grants use instead of create or id_from",
			"the %s is written by a command and needs a value that is only known when the plan is deployed", u.apply.title))
	}
	if u.apply.wrap != nil {
		data, err := u.apply.wrap(u.apply.document)
		if err != nil {
			a.report(a.m.problem(RuleValue, u.path, "compile for cloudformation", "the %s: %v", u.apply.title, err))
		}
		one.Data = data
		if one.After != nil {
			one.AfterData, _ = u.apply.wrap(one.After) // it is a part of what was wrapped
		}
	}
	if one.After != nil {
		one.remove = command(u.apply.remove, removedFile(at))
	}
	one.Put, one.Remove = s.shown(one.put), s.shown(one.remove)
	s.Applies = append(s.Applies, one)
}

// checkTemplates writes every template once, so that what CloudFormation would
// refuse is refused here.
func (p *Plan) checkTemplates() error {
	if p.Format != CloudFormation {
		return nil
	}
	for _, s := range p.Stacks() {
		if s.Template == nil {
			continue
		}
		data, err := cfn.Write(s.Template)
		if err != nil {
			return errors.New("stack " + s.Name + ": " + err.Error())
		}
		s.data = data
	}
	return nil
}
