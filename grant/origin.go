package grant

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// source checks where an id is found.
func (v *validator) source(at string, s *Origin) {
	ways := 0
	for _, set := range []bool{s.Stack != "" || s.Output != "", s.Export != "", s.Parameter != ""} {
		if set {
			ways++
		}
	}
	if ways != 1 || (s.Stack == "") != (s.Output == "") {
		v.report(v.m.problem(RuleValue, at, "give stack and output, or export, or parameter", "one place is needed where the id is found"))
	}
	for key, text := range map[string]string{"stack": s.Stack, "export": s.Export, "parameter": s.Parameter} {
		v.placeholders(at+"."+key, text)
	}
}

// fromElsewhere gives an instance an id that is known when the plan is deployed.
func (x *expander) fromElsewhere(i *instance) bool {
	s, values := i.decl.IDFrom, i.values()
	key := "from:" + i.name + "/" + i.stage
	at := i.path + ".id_from"
	in := Input{Parameter: camel(i.stage, i.name, "Id"), FromOutput: s.Output, FromAccount: i.site.ID, FromRegion: i.site.Region, Elsewhere: true, profile: i.site.Profile}
	for _, part := range []struct {
		from string
		to   *string
	}{{s.Stack, &in.FromStack}, {s.Export, &in.FromExport}, {s.Parameter, &in.FromParameter}} {
		text, missing := expandText(part.from, values)
		if len(missing) > 0 {
			x.report(x.m.problem(RuleValue, at, "use {stage}, {app}, {region} or {account}", "%s has no meaning for a resource: it is the same for all consumers", missing[0]))
			return false
		}
		*part.to = text
	}
	x.found[key] = in
	i.id = iam.Symbol(key)
	i.arn = i.kind.arn(i)
	return true
}

// findable refuses what is found elsewhere in the format that has no stacks.
func (b *builder) findable() {
	if b.options.Format != Policies {
		return
	}
	for _, name := range sortedKeys(b.m.Resources) {
		if b.m.Resources[name].IDFrom != nil {
			b.report(b.m.problem(RuleValue, "resources."+name+".id_from", "give the id, or compile for cloudformation or terraform", "plain policies have no parameters that could get the id"))
		}
	}
}

// origin says in words where the value comes from.
func (in *Input) origin() string {
	switch {
	case in.FromExport != "":
		return fmt.Sprintf("the export %s", in.FromExport)
	case in.FromParameter != "":
		return fmt.Sprintf("the SSM parameter %s", in.FromParameter)
	}
	return fmt.Sprintf("the output %s of the stack %s", in.FromOutput, in.FromStack)
}

// command prints the value. Names have no characters that a shell or a query
// would take for something else; the reader sees to that.
func (in *Input) command() string {
	call := fmt.Sprintf("aws --profile %s --region %s ", word(in.profile), word(in.FromRegion))
	switch {
	case in.FromExport != "":
		return call + fmt.Sprintf(`cloudformation list-exports --query "Exports[?Name=='%s'].Value" --output text`, in.FromExport)
	case in.FromParameter != "":
		return call + fmt.Sprintf("ssm get-parameter --name %s --query Parameter.Value --output text", word(in.FromParameter))
	}
	return call + fmt.Sprintf(`cloudformation describe-stacks --stack-name %s --query "Stacks[0].Outputs[?OutputKey=='%s'].OutputValue" --output text`, word(in.FromStack), in.FromOutput)
}

// argument writes an argument of a command for a shell. A value that is found
// elsewhere is asked for there.
func (s *Stack) argument(text string) string {
	if !iam.HasSymbol(text) {
		return word(text)
	}
	var b strings.Builder
	for _, piece := range iam.Pieces(text) {
		in, ok := s.found[piece.Text]
		if !piece.IsSymbol || !ok {
			b.WriteString(word(piece.Text))
			continue
		}
		b.WriteString(`"$(` + in.command() + `)"`)
	}
	return b.String()
}

// shown is a command as plan.json lists it, for people and programs that know
// what to put in the place of values that are found elsewhere.
func (s *Stack) shown(args []string) []string {
	var out []string
	for _, a := range args {
		out = append(out, iam.ReplaceSymbols(a, func(id string) string {
			if in, ok := s.found[id]; ok {
				return "<" + in.origin() + ">"
			}
			return iam.Symbol(id)
		}))
	}
	return out
}

// An elsewhere is a resource whose id is only known when the plan is deployed.
type elsewhere struct {
	name, origin string
	policy       bool // it has one, which the plan replaces
}

// identify gives resources with id_from the ids that are known now. What is left
// is returned by the ids that stand for them.
func (c *checking) identify(ids map[string]string) (map[string]elsewhere, error) {
	left, used, policies := map[string]elsewhere{}, map[string]bool{}, map[string]bool{}
	for _, e := range c.plan.edges {
		for _, i := range []*instance{e.resource, e.resource.key} {
			if i != nil && i.kind.policy != nil {
				policies["from:"+i.name+"/"+i.stage] = true
			}
		}
	}
	var known []string
	for _, id := range sortedKeys(c.plan.found) {
		in := c.plan.found[id]
		resource, stage, _ := strings.Cut(strings.TrimPrefix(id, "from:"), "/")
		known = append(known, resource+"."+stage)
		given := false
		for _, name := range []string{resource + "." + stage, resource} {
			if value, ok := ids[name]; ok {
				used[name] = true
				if given {
					continue
				}
				if reason := in.mismatch(value); reason != "" {
					return nil, &IDError{name, reason}
				}
				c.samples[id], given = value[strings.LastIndexAny(value, ":/")+1:], true
			}
		}
		if !given {
			left[c.samples[id]] = elsewhere{resource + "." + stage, in.origin(), policies[id]}
		}
	}
	for _, name := range sortedKeys(ids) {
		if !used[name] {
			slices.Sort(known)
			return nil, &IDError{name, fmt.Sprintf("no resource %q has id_from in the manifest; those that have are: %s", name, cmp.Or(strings.Join(known, ", "), "none"))}
		}
	}
	return left, nil
}

// mismatch says why a value is no id of the resource that the input is for: it
// is the ARN of something in another account or region. ARNs of some services
// leave out the account.
func (in *Input) mismatch(value string) string {
	if !strings.HasPrefix(value, "arn:") {
		return ""
	}
	arn, err := iam.ParseARN(value)
	switch {
	case err != nil:
		return err.Error()
	case arn.Account != "" && arn.Account != in.FromAccount:
		return fmt.Sprintf("the ARN is in the account %s, and the resource in %s", arn.Account, in.FromAccount)
	case arn.Region != "" && arn.Region != in.FromRegion:
		return fmt.Sprintf("the ARN is in the region %s, and the resource in %s", arn.Region, in.FromRegion)
	}
	return ""
}

// An IDError is about an id that was given to [Plan.CheckWorld] and is that of
// no resource of the plan.
type IDError struct {
	Name   string // to which the id was given: a resource, or a resource and a stage
	Reason string
}

func (e *IDError) Error() string { return e.Name + ": " + e.Reason }
