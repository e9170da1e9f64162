package script

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// role writes the steps for a role and its inline policies. A permissions
// boundary is never taken away: the customer may have set it.
func (w *writer) role(r template.Resource, k *template.Role) {
	var b bytes.Buffer
	name, arn := nameAndARN(r.ID)
	trust := w.newVariable()
	fmt.Fprintf(&b, "%s=%s\n", trust, w.document(&b, template.Document(k.Trust)))

	var create, update template.Object
	create.Add("RoleName", k.Name)
	create.AddText("Path", k.Path)
	create.Add("AssumeRolePolicyDocument", raw(trust))
	create.AddText("PermissionsBoundary", k.PermissionsBoundary)
	var tags []any
	for _, t := range k.Tags {
		tags = append(tags, template.Object{{Key: "Key", Value: t.Key}, {Key: "Value", Value: t.Value}})
	}
	if len(tags) > 0 {
		create.Add("Tags", tags)
	}
	update.Add("RoleName", k.Name)
	for _, o := range []*template.Object{&create, &update} {
		o.AddText("Description", k.Description)
		if k.MaxSessionDuration != 0 {
			o.Add("MaxSessionDuration", k.MaxSessionDuration)
		}
	}
	trustUpdate := template.Object{{Key: "RoleName", Value: k.Name}, {Key: "PolicyDocument", Value: raw(trust)}}
	fmt.Fprintf(&b, "put_role \"$%s\" \"$%s\" %s %s %s\n", name, arn, w.document(&b, create), w.document(&b, update), w.document(&b, trustUpdate))
	if k.PermissionsBoundary != "" {
		w.call(&b, "put-role-permissions-boundary", template.Object{{Key: "RoleName", Value: k.Name}, {Key: "PermissionsBoundary", Value: k.PermissionsBoundary}})
	}
	if len(tags) > 0 {
		w.call(&b, "tag-role", template.Object{{Key: "RoleName", Value: k.Name}, {Key: "Tags", Value: tags}})
	}
	for _, p := range k.Inline {
		document := w.newVariable()
		fmt.Fprintf(&b, "%s=%s\n", document, w.document(&b, template.Document(p.Document)))
		w.call(&b, "put-role-policy", template.Object{
			{Key: "RoleName", Value: k.Name}, {Key: "PolicyName", Value: p.Name}, {Key: "PolicyDocument", Value: raw(document)},
		})
	}
	for _, managed := range k.ManagedPolicyARNs {
		w.call(&b, "attach-role-policy", template.Object{{Key: "RoleName", Value: k.Name}, {Key: "PolicyArn", Value: managed}})
	}
	w.prune(&b, r.ID, name, k.Path, true)

	var remove, policies bytes.Buffer
	w.prune(&policies, r.ID, name, k.Path, false)
	if policies.Len() > 0 {
		fmt.Fprintf(&remove, "if exists aws iam get-role --role-name=\"$%s\"; then\n", name)
		indent(&remove, policies.String())
		remove.WriteString("fi\n")
	}
	fmt.Fprintf(&remove, "remove_role \"$%s\" \"$%s\"\n", name, arn)
	w.step(r, b.String(), remove.String())
}

// prune writes the removal of policies on the role's own path that are attached
// to it and do not belong to the stack (any more). The root path is everybody's
// and is left alone.
func (w *writer) prune(b *bytes.Buffer, id, roleName, path string, keep bool) {
	if path == "" || path == "/" {
		return
	}
	var arns []string
	for _, r := range w.stack.Resources {
		p, ok := r.Kind.(*template.ManagedPolicy)
		if ok && keep && slices.Contains(p.Roles, id) {
			_, arn := nameAndARN(r.ID)
			arns = append(arns, ` "$`+arn+`"`)
		}
	}
	fmt.Fprintf(b, "prune \"$%s\" %s%s\n", roleName, w.word(b, path), strings.Join(arns, ""))
}

// managedPolicy writes the steps for a policy and its attachments.
func (w *writer) managedPolicy(r template.Resource, k *template.ManagedPolicy) {
	var b bytes.Buffer
	_, arn := nameAndARN(r.ID)
	document := w.newVariable()
	fmt.Fprintf(&b, "%s=%s\n", document, w.document(&b, template.Document(k.Document)))
	var create template.Object
	create.Add("PolicyName", k.Name)
	create.AddText("Path", k.Path)
	create.AddText("Description", k.Description)
	create.Add("PolicyDocument", raw(document))
	version := template.Object{{Key: "PolicyArn", Value: template.Attribute(r.ID, "Arn")}, {Key: "PolicyDocument", Value: raw(document)}, {Key: "SetAsDefault", Value: true}}
	fmt.Fprintf(&b, "put_policy \"$%s\" %s %s\n", arn, w.document(&b, create), w.document(&b, version))
	for _, role := range k.Roles {
		w.call(&b, "attach-role-policy", template.Object{
			{Key: "RoleName", Value: template.Attribute(role, "Name")}, {Key: "PolicyArn", Value: template.Attribute(r.ID, "Arn")},
		})
	}
	w.step(r, b.String(), fmt.Sprintf("remove_policy \"$%s\"\n", arn))
}

// nameAndARN returns the variables with a resource's name and ARN.
func nameAndARN(id string) (name, arn string) {
	return attributeName(template.AttributeRef{Resource: id, Attribute: "Name"}), attributeName(template.AttributeRef{Resource: id, Attribute: "Arn"})
}

// call writes one call of the IAM service.
func (w *writer) call(b *bytes.Buffer, operation string, input template.Object) {
	word := w.document(b, input)
	fmt.Fprintf(b, "aws iam %s --cli-input-json %s\n", operation, word)
}

// uses reports whether the stack refers to a variable.
func uses(s *template.Stack, v template.Variable) bool {
	return slices.Contains(s.Variables(), v)
}
