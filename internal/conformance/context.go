package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// variable finds the keys of policy variables.
var variable = regexp.MustCompile(`\$\{\s*([A-Za-z0-9-]+:[^},\s]+)`)

// mentionedKeys returns the condition keys the case's policies look at, as they
// are written, each once.
func mentionedKeys(c *cases.Case) ([]string, error) {
	documents := slices.Concat(c.IdentityPolicies, c.PermissionBoundaries)
	for _, p := range []*cases.Policy{c.ResourcePolicy, c.SessionPolicy} {
		if p != nil {
			documents = append(documents, *p)
		}
	}
	var keys []string
	add := func(key string) {
		if !slices.ContainsFunc(keys, func(known string) bool { return strings.EqualFold(known, key) }) {
			keys = append(keys, key)
		}
	}
	for _, d := range documents {
		p, err := iam.ParsePolicy(d.Document)
		if err != nil {
			return nil, err
		}
		for _, s := range p.Statements {
			for _, c := range s.Conditions {
				add(c.Key)
			}
		}
		for _, found := range variable.FindAllSubmatch(d.Document, -1) {
			add(string(found[1]))
		}
	}
	return keys, nil
}

// unchosen are keys that AWS sets to values the recorder cannot choose or
// foretell.
var unchosen = []string{
	"aws:sourceip", "aws:currenttime", "aws:epochtime", "aws:tokenissuetime", "aws:useragent", "aws:referer",
	"aws:principalorgid", "aws:principalorgpaths", "aws:resourceorgid", "aws:resourceorgpaths", "aws:multifactorauthpresent",
}

// setContext gives the translated case the context keys that its real request
// has, as far as its policies look at them, and notes what has to be done for
// them: tags of roles and objects, parameters of the call.
func (i *Item) setContext(sides Sides, r *iam.Request) error {
	keys, err := mentionedKeys(&i.Case)
	if err != nil {
		return err
	}
	i.Case.Request.Context = nil
	set := func(key, value string) {
		if i.Case.Request.Context == nil {
			i.Case.Request.Context = map[string]cases.Value{}
		}
		i.Case.Request.Context[key] = cases.Value{Values: []string{value}}
	}
	always := map[string]string{
		"aws:principalarn":          i.role.arn,
		"aws:principalaccount":      string(sides.Principal),
		"aws:principaltype":         "AssumedRole",
		"aws:principalisawsservice": "false",
		"aws:viaawsservice":         "false",
		"aws:securetransport":       fmt.Sprint(sides.Secure),
		"aws:requestedregion":       sides.Region,
		"aws:userid":                "AROACONFORMANCEEXAMPLE:" + i.session,
	}
	if i.call.about != aboutNothing {
		always["aws:resourceaccount"] = string(i.owner)
	}
	i.parameters = map[string]string{}
	for _, key := range i.call.keys {
		if values, _, state := r.Context.Lookup(key); state == iam.KeyGiven && len(values) == 1 {
			i.parameters[key] = values[0]
		}
	}
	if i.call.roleSession {
		always["sts:rolesessionname"] = "conformance"
		if name, ok := i.parameters["sts:rolesessionname"]; ok {
			always["sts:rolesessionname"] = name
		}
	}
	for _, key := range keys {
		lower := strings.ToLower(key)
		if value, ok := always[lower]; ok {
			set(key, value)
			continue
		}
		if slices.Contains(unchosen, lower) {
			return fmt.Errorf("its policies look at %s, which the recorder cannot choose", key)
		}
		values, multi, state := r.Context.Lookup(key)
		if state != iam.KeyGiven {
			continue // absent, and AWS does not set it either
		}
		if _, parameter := i.parameters[lower]; multi || len(values) != 1 || !parameter && !i.tag(lower, key, values[0]) {
			return fmt.Errorf("the recorder cannot give %s the context key %s", i.Case.Request.Action, key)
		}
		set(key, values[0])
	}
	return nil
}

// tag arranges that a request has a key that stands for a tag. It reports false
// if that cannot be arranged.
func (i *Item) tag(lower, key, value string) bool {
	_, tag, _ := strings.Cut(key, "/")
	kind, _, _ := strings.Cut(lower, "/")
	switch {
	case kind == "aws:principaltag":
		i.role.tags[tag] = value
	case kind == "aws:resourcetag" && i.target.name != "":
		i.target.tags[tag] = value
	case kind == "s3:existingobjecttag" && i.call.existing:
		if i.object == nil {
			i.object = map[string]string{}
		}
		i.object[tag] = value
	default:
		return false
	}
	return tag != ""
}
