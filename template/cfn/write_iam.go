package cfn

import "github.com/crossaccount/crossaccount/template"

// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-role.html
func role(r *template.Role) template.Object {
	var o template.Object
	o.Add("RoleName", r.Name)
	o.AddText("Path", r.Path)
	o.AddText("Description", r.Description)
	if r.MaxSessionDuration != 0 {
		o.Add("MaxSessionDuration", r.MaxSessionDuration)
	}
	o.Add("AssumeRolePolicyDocument", template.Document(r.Trust))
	if len(r.Inline) > 0 {
		var list []any
		for _, p := range r.Inline {
			list = append(list, template.Object{
				{Key: "PolicyName", Value: p.Name},
				{Key: "PolicyDocument", Value: template.Document(p.Document)},
			})
		}
		o.Add("Policies", list)
	}
	if len(r.ManagedPolicyARNs) > 0 {
		o.Add("ManagedPolicyArns", template.Texts(r.ManagedPolicyARNs))
	}
	o.AddText("PermissionsBoundary", r.PermissionsBoundary)
	if len(r.Tags) > 0 {
		var list []any
		for _, t := range r.Tags {
			list = append(list, template.Object{{Key: "Key", Value: t.Key}, {Key: "Value", Value: t.Value}})
		}
		o.Add("Tags", list)
	}
	return o
}

// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-managedpolicy.html
func managedPolicy(p *template.ManagedPolicy) template.Object {
	var o template.Object
	o.Add("ManagedPolicyName", p.Name)
	o.AddText("Path", p.Path)
	o.AddText("Description", p.Description)
	o.Add("PolicyDocument", template.Document(p.Document))
	var roles []any
	for _, id := range p.Roles {
		roles = append(roles, template.Attribute(id, "Name"))
	}
	if len(roles) > 0 {
		o.Add("Roles", roles)
	}
	return o
}
