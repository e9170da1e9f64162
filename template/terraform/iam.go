package terraform

import (
	"fmt"

	"github.com/crossaccount/crossaccount/template"
)

// role writes the role, its inline policies and its attachments.
func (w *writer) role(r template.Resource, k *template.Role) {
	name := snake(r.ID)
	var o template.Object
	o.Add("name", code(w.text(k.Name)))
	w.addText(&o, "path", k.Path)
	w.addText(&o, "description", k.Description)
	if k.MaxSessionDuration != 0 {
		o.Add("max_session_duration", k.MaxSessionDuration)
	}
	o.Add("assume_role_policy", w.policy(r.ID+".Trust", k.Trust, trustLimit))
	w.addText(&o, "permissions_boundary", k.PermissionsBoundary)
	if len(k.Tags) > 0 {
		var tags template.Object
		for _, t := range k.Tags {
			tags.Add(w.text(t.Key), code(w.text(t.Value)))
		}
		o.Add("tags", tags)
	}
	w.add("aws_iam_role", name, r.Condition, o)

	roleName := code("${" + w.attribute(template.AttributeRef{Resource: r.ID, Attribute: "Name"}) + "}")
	for i, p := range k.Inline {
		w.add("aws_iam_role_policy", fmt.Sprintf("%s_%d", name, i+1), r.Condition, template.Object{
			{Key: "name", Value: code(w.text(p.Name))},
			{Key: "role", Value: roleName},
			{Key: "policy", Value: w.policy(fmt.Sprintf("%s.Inline[%d]", r.ID, i), p.Document, inlineLimit)},
		})
	}
	for i, arn := range k.ManagedPolicyARNs {
		w.add("aws_iam_role_policy_attachment", fmt.Sprintf("%s_%d", name, i+1), r.Condition, template.Object{
			{Key: "role", Value: roleName},
			{Key: "policy_arn", Value: code(w.text(arn))},
		})
	}
}

// managedPolicy writes the policy and its attachments to roles.
func (w *writer) managedPolicy(r template.Resource, k *template.ManagedPolicy) {
	name := snake(r.ID)
	var o template.Object
	o.Add("name", code(w.text(k.Name)))
	w.addText(&o, "path", k.Path)
	w.addText(&o, "description", k.Description)
	o.Add("policy", w.policy(r.ID+".Document", k.Document, managedLimit))
	w.add("aws_iam_policy", name, r.Condition, o)
	for _, role := range k.Roles {
		w.add("aws_iam_role_policy_attachment", snake(role)+"_"+name, r.Condition, template.Object{
			{Key: "role", Value: code("${" + w.attribute(template.AttributeRef{Resource: role, Attribute: "Name"}) + "}")},
			{Key: "policy_arn", Value: code("${" + w.attribute(template.AttributeRef{Resource: r.ID, Attribute: "Arn"}) + "}")},
		})
	}
}

func (w *writer) addText(o *template.Object, key, text string) {
	if text != "" {
		o.Add(key, code(w.text(text)))
	}
}

// attribute returns the expression for an attribute of a resource.
func (w *writer) attribute(a template.AttributeRef) string {
	r, _ := w.stack.Resource(a.Resource)
	if g, ok := r.Kind.(*template.Generic); ok {
		return g.Terraform[0].Type + "." + snake(a.Resource) + "." + g.Terraform[0].Attributes[a.Attribute]
	}
	kind := map[string]string{"AWS::IAM::Role": "aws_iam_role", "AWS::IAM::ManagedPolicy": "aws_iam_policy"}[r.Kind.Type()]
	index := ""
	if r.Condition != "" {
		index = "[0]" // Check lets only resources with the same condition refer to it
	}
	return kind + "." + snake(a.Resource) + index + "." + map[string]string{"Arn": "arn", "Name": "name"}[a.Attribute]
}
