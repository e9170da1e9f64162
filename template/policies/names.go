package policies

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A namedProperty is a property that holds a name in IAM, perhaps in each
// element of a list.
type namedProperty struct {
	list, property string
	what           string
	limit          int
}

// names lists the names that resources of CloudFormation give in IAM. A name
// that is too long is refused when the stack has already made other resources.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
var names = map[string][]namedProperty{
	"AWS::IAM::Role":            {{"", "RoleName", "role", reference.MaxRoleName}, policyNames},
	"AWS::IAM::User":            {{"", "UserName", "user", reference.MaxUserName}, policyNames},
	"AWS::IAM::Group":           {{"", "GroupName", "group", reference.MaxGroupName}, policyNames},
	"AWS::IAM::ManagedPolicy":   {{"", "ManagedPolicyName", "policy", reference.MaxPolicyName}},
	"AWS::IAM::Policy":          {policyName},
	"AWS::IAM::RolePolicy":      {policyName},
	"AWS::IAM::UserPolicy":      {policyName},
	"AWS::IAM::GroupPolicy":     {policyName},
	"AWS::IAM::InstanceProfile": {{"", "InstanceProfileName", "instance profile", reference.MaxPolicyName}},
}

var (
	policyName  = namedProperty{"", "PolicyName", "policy", reference.MaxPolicyName}
	policyNames = namedProperty{"Policies", "PolicyName", "policy", reference.MaxPolicyName}
)

// names judges the names that a resource of a template gives.
func (f *finder) names(r *resource, p place) {
	for _, n := range names[r.typ] {
		if n.list == "" {
			f.name(r.properties.Get(n.property), n, below(p, n.property))
			continue
		}
		for i, item := range items(r.properties.Get(n.list)) {
			f.name(item.Get(n.property), n, below(below(below(p, n.list), strconv.Itoa(i)), n.property))
		}
	}
}

// name judges one name by the characters that are known of it.
func (f *finder) name(n *cfn.Node, of namedProperty, p place) {
	if n == nil {
		return
	}
	r := &resolver{source: f.source, template: f.template, choice: choice{}}
	known := iam.ReplaceSymbols(r.text(n), func(string) string { return "" })
	if length := utf8.RuneCountInString(known); length > of.limit {
		f.about("GX-R01", lint.Error, n.Position, p, fmt.Sprintf("the name of the %s has at least %d characters; IAM allows %d", of.what, length, of.limit), "shorten the name, or leave it out so that one is made", "the stack fails when it comes to the resource")
	}
}

// about adds a finding about a part of a template that is no policy.
func (f *finder) about(rule string, severity lint.Severity, at iam.Position, p place, message, fix, why string) {
	finding := ruleFinding(rule, severity, at, message, fix)
	finding.Why = why
	finding.Where, finding.Construct = p.where, p.construct
	f.document.Findings = append(f.document.Findings, finding)
}

// externalIDParameters looks at the parameters that trust policies take for
// sts:ExternalId: whoever fills them in must be able to enter every external ID
// that was made for them.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (f *finder) externalIDParameters(root *cfn.Node) {
	judged := make(map[string]bool)
	root.Walk(func(_ string, n *cfn.Node) bool {
		value := n.Get("sts:ExternalId")
		if value == nil {
			return true
		}
		for _, v := range append([]*cfn.Node{value}, value.Items...) {
			if fn, argument, ok := v.Function(); ok && fn == "Ref" && !judged[argument.Text] {
				judged[argument.Text] = true
				f.externalIDParameter(argument.Text)
			}
		}
		return true
	})
}

func (f *finder) externalIDParameter(name string) {
	parameter := f.template.parameters[name]
	maximum := parameter.Get("MaxLength")
	if maximum == nil {
		return
	}
	limit, err := strconv.Atoi(maximum.Text)
	if err != nil {
		return
	}
	p := place{where: "/Parameters/" + name}
	if d := parameter.Get("Default"); d != nil && utf8.RuneCountInString(d.Text) > limit {
		f.about("GX-T03", lint.Error, d.Position, p, fmt.Sprintf("the default of the parameter %s has %d characters, but its MaxLength is %d", name, utf8.RuneCountInString(d.Text), limit), fmt.Sprintf("raise MaxLength; external IDs have up to %d characters", reference.MaxExternalID), "CloudFormation refuses the default")
	} else if limit < reference.MaxExternalID {
		f.about("GX-T03", lint.Info, maximum.Position, p, fmt.Sprintf("the parameter %s takes at most %d characters, so a longer external ID cannot be entered", name, limit), fmt.Sprintf("raise MaxLength to what is generated; external IDs have up to %d characters", reference.MaxExternalID), "whoever was given a longer one cannot make the stack")
	}
}
