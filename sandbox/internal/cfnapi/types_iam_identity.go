package cfnapi

import (
	"iter"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// An identity is what roles and users have in common: functions on one of
// them, named first.
type identity struct {
	put            func(c *authz.Call, name, policy, document string) error
	remove         func(c *authz.Call, name, policy string) error
	attach         func(c *authz.Call, name, arn string) error
	detach         func(c *authz.Call, name, arn string) error
	setBoundary    func(c *authz.Call, name, arn string) error
	removeBoundary func(c *authz.Call, name string) error
	tag            func(c *authz.Call, name string, tags []Tag) error
	untag          func(c *authz.Call, name string, keys []string) error
}

func roleIdentity(iam *iamapi.Service) identity {
	return identity{
		put: func(c *authz.Call, name, policy, document string) error {
			return iam.PutRolePolicy(c, &iamapi.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: document})
		},
		remove: func(c *authz.Call, name, policy string) error {
			return iam.DeleteRolePolicy(c, &iamapi.RolePolicyInput{RoleName: name, PolicyName: policy})
		},
		attach: func(c *authz.Call, name, arn string) error {
			return iam.AttachRolePolicy(c, &iamapi.AttachRolePolicyInput{RoleName: name, PolicyArn: arn})
		},
		detach: func(c *authz.Call, name, arn string) error {
			return iam.DetachRolePolicy(c, &iamapi.AttachRolePolicyInput{RoleName: name, PolicyArn: arn})
		},
		setBoundary: func(c *authz.Call, name, arn string) error {
			return iam.PutRolePermissionsBoundary(c, &iamapi.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: arn})
		},
		removeBoundary: func(c *authz.Call, name string) error {
			return iam.DeleteRolePermissionsBoundary(c, &iamapi.RoleInput{RoleName: name})
		},
		tag: func(c *authz.Call, name string, tags []Tag) error {
			return iam.TagRole(c, &iamapi.TagRoleInput{RoleName: name, Tags: tags})
		},
		untag: func(c *authz.Call, name string, keys []string) error {
			return iam.UntagRole(c, &iamapi.UntagRoleInput{RoleName: name, TagKeys: keys})
		},
	}
}

func userIdentity(iam *iamapi.Service) identity {
	return identity{
		put: func(c *authz.Call, name, policy, document string) error {
			return iam.PutUserPolicy(c, &iamapi.PutUserPolicyInput{UserName: name, PolicyName: policy, PolicyDocument: document})
		},
		remove: func(c *authz.Call, name, policy string) error {
			return iam.DeleteUserPolicy(c, &iamapi.UserPolicyInput{UserName: name, PolicyName: policy})
		},
		attach: func(c *authz.Call, name, arn string) error {
			return iam.AttachUserPolicy(c, &iamapi.AttachUserPolicyInput{UserName: name, PolicyArn: arn})
		},
		detach: func(c *authz.Call, name, arn string) error {
			return iam.DetachUserPolicy(c, &iamapi.AttachUserPolicyInput{UserName: name, PolicyArn: arn})
		},
		setBoundary: func(c *authz.Call, name, arn string) error {
			return iam.PutUserPermissionsBoundary(c, &iamapi.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: arn})
		},
		removeBoundary: func(c *authz.Call, name string) error {
			return iam.DeleteUserPermissionsBoundary(c, &iamapi.UserInput{UserName: name})
		},
		tag: func(c *authz.Call, name string, tags []Tag) error {
			return iam.TagUser(c, &iamapi.TagUserInput{UserName: name, Tags: tags})
		},
		untag: func(c *authz.Call, name string, keys []string) error {
			return iam.UntagUser(c, &iamapi.UntagUserInput{UserName: name, TagKeys: keys})
		},
	}
}

// addPolicies gives a new role or user its managed and inline policies.
func (i identity) addPolicies(j *job) error {
	for _, arn := range list(j.properties, "ManagedPolicyArns") {
		if err := i.attach(j.call, j.physicalID, arn); err != nil {
			return err
		}
	}
	for name, text := range inlineDocuments(j.properties) {
		if err := i.put(j.call, j.physicalID, name, text); err != nil {
			return err
		}
	}
	return nil
}

// changePolicies brings policies, boundary and tags of a role or user from the
// old properties to the new. What others attached stays.
func (i identity) changePolicies(j *job) error {
	name := j.physicalID
	if boundary := j.text("PermissionsBoundary"); j.changed("PermissionsBoundary") && boundary != "" {
		if err := i.setBoundary(j.call, name, boundary); err != nil {
			return err
		}
	} else if j.changed("PermissionsBoundary") && textOf(j.old, "PermissionsBoundary") != "" {
		if err := i.removeBoundary(j.call, name); err != nil {
			return err
		}
	}
	before, after := list(j.old, "ManagedPolicyArns"), list(j.properties, "ManagedPolicyArns")
	for _, arn := range without(before, after) { // first: the number of attachments is limited
		if err := unlessGone(i.detach(j.call, name, arn)); err != nil {
			return err
		}
	}
	for _, arn := range without(after, before) {
		if err := i.attach(j.call, name, arn); err != nil {
			return err
		}
	}
	if j.changed("Policies") {
		wanted := make(map[string]bool)
		for policy := range inlineDocuments(j.properties) {
			wanted[policy] = true
		}
		for policy := range inlineDocuments(j.old) {
			if wanted[policy] {
				continue
			}
			if err := unlessGone(i.remove(j.call, name, policy)); err != nil {
				return err
			}
		}
		for policy, text := range inlineDocuments(j.properties) {
			if err := i.put(j.call, name, policy, text); err != nil {
				return err
			}
		}
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if err := i.untag(j.call, name, remove); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		return i.tag(j.call, name, set)
	}
	return nil
}

// removePolicies takes away the policies that the template gave a role or user.
// What others attached stays, and then keeps it from being deleted, as in AWS.
func (i identity) removePolicies(j *job) error {
	for _, arn := range list(j.properties, "ManagedPolicyArns") {
		if err := unlessGone(i.detach(j.call, j.physicalID, arn)); err != nil {
			return err
		}
	}
	for policy := range inlineDocuments(j.properties) {
		if err := unlessGone(i.remove(j.call, j.physicalID, policy)); err != nil {
			return err
		}
	}
	return nil
}

// inlineDocuments yields the names and documents of the property Policies.
func inlineDocuments(properties *cfn.Node) iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		policies := properties.Get("Policies")
		if policies == nil {
			return
		}
		for _, p := range policies.Items {
			if !yield(textOf(p, "PolicyName"), document(p, "PolicyDocument")) {
				return
			}
		}
	}
}
