package policies

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/cfn"
)

func itoa(i int) string { return strconv.Itoa(i) }

// stateMachineOf says where a state machine's definition is.
type stateMachineOf struct {
	where     string
	construct string
	role      *executionRole // nil if its role is not visible
}

// An executionRole is what a template shows of the role that runs a state
// machine: everything it may assume.
type executionRole struct {
	name    string
	assumes []string // resources of Allow statements with sts:AssumeRole, wildcards included
}

// stateMachine looks at the roles that the tasks of a state machine assume.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html
func (f *finder) stateMachine(n *cfn.Node, of stateMachineOf) {
	r := &resolver{source: f.source, template: f.template, choice: choice{}}
	n.Walk(func(path string, n *cfn.Node) bool {
		credentials := n.Get("Credentials")
		if credentials == nil || n.Get("Type") == nil || n.Get("Type").Text != "Task" {
			return true
		}
		f.credentials(credentials, r, of, of.where+path+"/Credentials")
		return true
	})
}

// credentials judges the Credentials of a task.
func (f *finder) credentials(n *cfn.Node, r *resolver, of stateMachineOf, where string) {
	report := func(at iam.Position, severity lint.Severity, message, fix string) {
		finding := ruleFinding("GX-T08", severity, at, message, fix)
		finding.Why = "the task fails when it runs, or whoever starts an execution decides which role is assumed"
		finding.Where, finding.Construct, finding.Policy = where, of.construct, "state machine"
		f.document.Findings = append(f.document.Findings, finding)
	}
	const bound = "write the ARN of the role, or choose between tasks with fixed roles; limit sts:AssumeRole of the execution role to these roles in any case"
	if n.Kind == cfn.NodeText && strings.HasPrefix(strings.TrimSpace(n.Text), "{%") {
		report(n.Position, lint.Warning, "the role of the task is computed while it runs, so nothing shows which roles can be assumed", bound)
		return
	}
	if dynamic := n.Get("RoleArn.$"); dynamic != nil {
		report(dynamic.Position, lint.Warning, "the role of the task comes from the input ("+clip(dynamic.Text)+"), so whoever starts an execution chooses among all roles that trust it", bound)
		return
	}
	role := n.Get("RoleArn")
	if role == nil {
		report(n.Position, lint.Error, "the Credentials of the task name no role", "add RoleArn")
		return
	}
	text := r.text(role)
	switch {
	case strings.HasPrefix(strings.TrimSpace(text), "{%"):
		report(role.Position, lint.Warning, "the role of the task is computed while it runs, so nothing shows which roles can be assumed", bound)
	case strings.Contains(text, "${"): // a substitution of CloudFormation's DefinitionSubstitutions
	case !iam.HasSymbol(text) && !isRoleARN(text):
		report(role.Position, lint.Error, fmt.Sprintf("%q is not the ARN of a role, so the task always fails", clip(text)), "write arn:aws:iam::ACCOUNT:role/NAME")
	case of.role != nil && !of.role.mayAssume(text):
		report(role.Position, lint.Error, fmt.Sprintf("the execution role %s is not allowed to assume %s, so the task always fails", of.role.name, clip(text)),
			"allow sts:AssumeRole on that role in a policy of the execution role")
	}
}

func isRoleARN(s string) bool {
	a, err := iam.ParseARN(s)
	if err != nil || a.Service != "iam" || a.Region != "" || !strings.HasPrefix(a.Resource, "role/") {
		return false
	}
	_, err = iam.ParseAccountID(a.Account)
	return err == nil && !strings.ContainsAny(s, "*?")
}

// mayAssume reports whether the role's policies may allow it to assume a role.
// What is not known counts as allowed.
func (e *executionRole) mayAssume(role string) bool {
	if iam.HasSymbol(role) {
		return len(e.assumes) > 0
	}
	for _, pattern := range e.assumes {
		if iam.HasSymbol(pattern) {
			pattern = iam.ReplaceSymbols(pattern, func(string) string { return "*" })
		}
		if strings.Contains(pattern, "${") || iam.MatchWildcard(pattern, role) {
			return true
		}
	}
	return false
}

func clip(s string) string {
	s = iam.ReplaceSymbols(s, func(id string) string { return "<" + id + ">" })
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}

// stateMachineResource looks at the definition in a resource of a template.
func (f *finder) stateMachineResource(r *resource, p place) {
	of := stateMachineOf{where: p.where, construct: p.construct, role: f.executionRole(r)}
	for _, name := range []string{"Definition", "DefinitionString"} {
		n := r.properties.Get(name)
		if n == nil {
			continue
		}
		of.where = p.where + "/" + name
		if n.Kind == cfn.NodeMap && n.Get("States") != nil {
			f.stateMachine(n, of)
			continue
		}
		at := &resolver{source: f.source, template: f.template, choice: choice{}}
		pieces := at.pieces(n)
		text := joined(pieces)
		v, err := iam.ReadValue([]byte(text))
		switch {
		case err == nil:
			f.source.moved(&v, pieces)
			f.stateMachine(node(v), of)
		case len(iam.Pieces(text)) == 1 && iam.Pieces(text)[0].IsSymbol:
			f.unread(of.where, n.Position, "the definition of the state machine is not in the template")
		default:
			f.unread(of.where, n.Position, "the definition of the state machine is not JSON before deployment")
		}
	}
	if r.properties.Get("DefinitionUri") != nil || r.properties.Get("DefinitionS3Location") != nil {
		f.unread(p.where, r.node.Position, "the definition of the state machine is in another file; give that file too")
	}
}

// node turns a value back into a node of a template. Symbols stay as they are.
func node(v iam.Value) *cfn.Node {
	n := &cfn.Node{Text: v.Text, Position: v.Position}
	switch v.Kind {
	case iam.ValueObject:
		n.Kind = cfn.NodeMap
		for _, m := range v.Members {
			n.Entries = append(n.Entries, cfn.Entry{Key: m.Name, KeyPosition: m.Position, Value: node(m.Value)})
		}
	case iam.ValueArray:
		n.Kind = cfn.NodeList
		for _, item := range v.Items {
			n.Items = append(n.Items, node(item))
		}
	case iam.ValueString:
		n.Kind = cfn.NodeText
	case iam.ValueNumber:
		n.Kind = cfn.NodeNumber
	case iam.ValueBool:
		n.Kind = cfn.NodeBool
	}
	return n
}

// executionRole collects what the role of a state machine may assume, if the
// template shows all of the role: no managed policies, and no policies that
// other resources attach to unknown roles.
func (f *finder) executionRole(machine *resource) *executionRole {
	name, attribute := "", ""
	if fn, argument, ok := machine.properties.Get("RoleArn").Function(); ok && fn == "Fn::GetAtt" {
		name, attribute, _ = attributeOf(argument)
	}
	role := f.template.byName[name]
	if role == nil || role.typ != "AWS::IAM::Role" || attribute != "Arn" || role.properties.Get("ManagedPolicyArns") != nil {
		return nil
	}
	e := &executionRole{name: name}
	resolver := &resolver{source: f.source, template: f.template, choice: choice{}}
	for _, item := range items(role.properties.Get("Policies")) {
		if !e.allows(item.Get("PolicyDocument"), resolver) {
			return nil
		}
	}
	for _, r := range f.template.resources {
		switch r.typ {
		case "AWS::IAM::Policy", "AWS::IAM::RolePolicy":
			if !e.allows(r.properties.Get("PolicyDocument"), resolver) {
				return nil
			}
		case "AWS::IAM::ManagedPolicy":
			return nil
		}
	}
	return e
}

func items(n *cfn.Node) []*cfn.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

// allows adds what a policy lets its role assume. It reports false if the policy
// cannot be read in full.
func (e *executionRole) allows(n *cfn.Node, r *resolver) bool {
	if n == nil || n.Kind != cfn.NodeMap || len(conditionNames(n)) > 0 {
		return false
	}
	v, ok := r.value(n)
	if !ok || v.Kind != iam.ValueObject {
		return false
	}
	policy, problems := iam.ParseValue(v)
	if policy == nil || len(problems) > 0 {
		return false
	}
	for _, s := range policy.Statements {
		if s.Effect != iam.Allow {
			continue
		}
		if s.NotAction != nil || s.NotResource != nil {
			return false
		}
		for _, action := range s.Action {
			if iam.HasSymbol(action) {
				return false
			}
			if iam.MatchWildcard(strings.ToLower(action), "sts:assumerole") {
				e.assumes = append(e.assumes, s.Resource...)
			}
		}
	}
	return true
}
