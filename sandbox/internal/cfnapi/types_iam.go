package cfnapi

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
)

// inlinePolicies is the property Policies of roles and users.
var inlinePolicies = property{kind: objectList, fields: map[string]property{
	"PolicyName":     {kind: textValue, required: true},
	"PolicyDocument": {kind: documentValue, required: true},
}}

// iamTypes returns the types of AWS::IAM. Whether a property replaces the
// resource is what the resource reference says under "Update requires", except
// for the path of a user, which the sandbox's IAM cannot change in place. None
// of them gets the tags aws:cloudformation:…: their schemas say
// cloudFormationSystemTags false, and IAM refuses such tags.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_IAM.html
func iamTypes(iam *iamapi.Service) []resourceType {
	t := iamResources{iam: iam, roles: roleIdentity(iam), users: userIdentity(iam)}
	return []resourceType{
		{
			name: "AWS::IAM::Role", needsCapability: true, nameProperty: "RoleName", tagged: true,
			properties: map[string]property{
				"AssumeRolePolicyDocument": {kind: documentValue, required: true},
				"Description":              {},
				"ManagedPolicyArns":        {kind: textList},
				"MaxSessionDuration":       {kind: numberValue},
				"Path":                     {replaces: true},
				"PermissionsBoundary":      {},
				"Policies":                 inlinePolicies,
				"RoleName":                 {replaces: true},
				"Tags":                     tagsProperty,
			},
			attributes: []string{"Arn", "RoleId"},
			create:     t.createRole, update: t.updateRole, delete: t.deleteRole,
		},
		{
			name: "AWS::IAM::User", needsCapability: true, nameProperty: "UserName", tagged: true,
			properties: map[string]property{
				"Groups":              {unsupported: true},
				"LoginProfile":        {unsupported: true},
				"ManagedPolicyArns":   {kind: textList},
				"Path":                {replaces: true},
				"PermissionsBoundary": {},
				"Policies":            inlinePolicies,
				"Tags":                tagsProperty,
				"UserName":            {replaces: true},
			},
			attributes: []string{"Arn"},
			create:     t.createUser, update: t.updateUser, delete: t.deleteUser,
		},
		{
			name: "AWS::IAM::ManagedPolicy", needsCapability: true, nameProperty: "ManagedPolicyName",
			properties: map[string]property{
				"Description":       {replaces: true},
				"Groups":            {unsupported: true},
				"ManagedPolicyName": {replaces: true},
				"Path":              {replaces: true},
				"PolicyDocument":    {kind: documentValue, required: true},
				"Roles":             {kind: textList},
				"Users":             {kind: textList},
			},
			attributes: []string{
				"AttachmentCount", "CreateDate", "DefaultVersionId", "IsAttachable",
				"PermissionsBoundaryUsageCount", "PolicyArn", "PolicyId", "UpdateDate",
			},
			create: t.createManagedPolicy, update: t.updateManagedPolicy, delete: t.deleteManagedPolicy,
		},
		{
			name: "AWS::IAM::Policy", needsCapability: true,
			properties: map[string]property{
				"Groups":         {unsupported: true},
				"PolicyDocument": {kind: documentValue, required: true},
				"PolicyName":     {required: true},
				"Roles":          {kind: textList},
				"Users":          {kind: textList},
			},
			attributes: []string{"Id"},
			create:     t.createPolicy, update: t.updatePolicy, delete: t.deletePolicy,
		},
		t.inlineType("AWS::IAM::RolePolicy", "RoleName", t.roles),
		t.inlineType("AWS::IAM::UserPolicy", "UserName", t.users),
		{
			name: "AWS::IAM::AccessKey", needsCapability: true,
			properties: map[string]property{
				"Serial":   {kind: numberValue, replaces: true},
				"Status":   {},
				"UserName": {required: true, replaces: true},
			},
			attributes: []string{"Id", "SecretAccessKey"},
			create:     t.createAccessKey, update: t.updateAccessKey, delete: t.deleteAccessKey,
		},
	}
}

// iamResources does the work of the AWS::IAM types.
type iamResources struct {
	iam   *iamapi.Service
	roles identity
	users identity
}

func (t iamResources) createRole(j *job) error {
	name := j.nameOrNew("RoleName", 64)
	out, err := t.iam.CreateRole(j.call, &iamapi.CreateRoleInput{
		RoleName: name, Path: j.text("Path"), Description: j.text("Description"),
		AssumeRolePolicyDocument: document(j.properties, "AssumeRolePolicyDocument"),
		MaxSessionDuration:       j.number("MaxSessionDuration"),
		PermissionsBoundary:      j.text("PermissionsBoundary"),
		Tags:                     j.tags,
	})
	if err != nil {
		return err
	}
	j.physicalID = name
	j.attributes["Arn"], j.attributes["RoleId"] = out.Role.Arn, out.Role.RoleId
	return t.roles.addPolicies(j)
}

func (t iamResources) updateRole(j *job) error {
	if j.changed("AssumeRolePolicyDocument") {
		err := t.iam.UpdateAssumeRolePolicy(j.call, &iamapi.UpdateAssumeRolePolicyInput{
			RoleName: j.physicalID, PolicyDocument: document(j.properties, "AssumeRolePolicyDocument"),
		})
		if err != nil {
			return err
		}
	}
	if j.changed("Description") || j.changed("MaxSessionDuration") {
		description := j.text("Description")
		_, err := t.iam.UpdateRole(j.call, &iamapi.UpdateRoleInput{
			RoleName: j.physicalID, Description: &description, MaxSessionDuration: j.number("MaxSessionDuration"),
		})
		if err != nil {
			return err
		}
	}
	return t.roles.changePolicies(j)
}

func (t iamResources) deleteRole(j *job) error {
	if err := t.roles.removePolicies(j); err != nil {
		return err
	}
	return unlessGone(t.iam.DeleteRole(j.call, &iamapi.DeleteRoleInput{RoleName: j.physicalID}))
}

func (t iamResources) createUser(j *job) error {
	name := j.nameOrNew("UserName", 64)
	out, err := t.iam.CreateUser(j.call, &iamapi.CreateUserInput{
		UserName: name, Path: j.text("Path"), PermissionsBoundary: j.text("PermissionsBoundary"),
		Tags: j.tags,
	})
	if err != nil {
		return err
	}
	j.physicalID, j.attributes["Arn"] = name, out.User.Arn
	return t.users.addPolicies(j)
}

func (t iamResources) updateUser(j *job) error { return t.users.changePolicies(j) }

func (t iamResources) deleteUser(j *job) error {
	if err := t.users.removePolicies(j); err != nil {
		return err
	}
	return unlessGone(t.iam.DeleteUser(j.call, &iamapi.DeleteUserInput{UserName: j.physicalID}))
}

func (t iamResources) createManagedPolicy(j *job) error {
	out, err := t.iam.CreatePolicy(j.call, &iamapi.CreatePolicyInput{
		PolicyName: j.nameOrNew("ManagedPolicyName", 128), Path: j.text("Path"), Description: j.text("Description"),
		PolicyDocument: document(j.properties, "PolicyDocument"),
	})
	if err != nil {
		return err
	}
	j.physicalID = out.Policy.Arn
	if err := t.attachTo(j, list(j.properties, "Roles"), list(j.properties, "Users")); err != nil {
		return err
	}
	t.describeManagedPolicy(j, out.Policy)
	return nil
}

// describeManagedPolicy sets the attributes. They are those at the end of the
// operation on the policy itself; CloudFormation does not refresh them later
// either.
func (t iamResources) describeManagedPolicy(j *job, p iamapi.Policy) {
	j.attributes["PolicyArn"], j.attributes["PolicyId"] = p.Arn, p.PolicyId
	j.attributes["AttachmentCount"] = strconv.Itoa(len(list(j.properties, "Roles")) + len(list(j.properties, "Users")))
	j.attributes["DefaultVersionId"] = p.DefaultVersionId
	j.attributes["IsAttachable"] = "true"
	j.attributes["PermissionsBoundaryUsageCount"] = strconv.Itoa(p.PermissionsBoundaryUsageCount)
	j.attributes["CreateDate"] = p.CreateDate.UTC().Format(time.RFC3339)
	j.attributes["UpdateDate"] = p.UpdateDate.UTC().Format(time.RFC3339)
}

func (t iamResources) attachTo(j *job, roles, users []string) error {
	for _, name := range roles {
		if err := t.roles.attach(j.call, name, j.physicalID); err != nil {
			return err
		}
	}
	for _, name := range users {
		if err := t.users.attach(j.call, name, j.physicalID); err != nil {
			return err
		}
	}
	return nil
}

func (t iamResources) detachFrom(j *job, roles, users []string) error {
	for _, name := range roles {
		if err := unlessGone(t.roles.detach(j.call, name, j.physicalID)); err != nil {
			return err
		}
	}
	for _, name := range users {
		if err := unlessGone(t.users.detach(j.call, name, j.physicalID)); err != nil {
			return err
		}
	}
	return nil
}

func (t iamResources) updateManagedPolicy(j *job) error {
	if j.changed("PolicyDocument") {
		if err := t.newVersion(j); err != nil {
			return err
		}
	}
	err := t.attachTo(j,
		without(list(j.properties, "Roles"), list(j.old, "Roles")),
		without(list(j.properties, "Users"), list(j.old, "Users")))
	if err != nil {
		return err
	}
	err = t.detachFrom(j,
		without(list(j.old, "Roles"), list(j.properties, "Roles")),
		without(list(j.old, "Users"), list(j.properties, "Users")))
	if err != nil {
		return err
	}
	out, err := t.iam.GetPolicy(j.call, &iamapi.PolicyInput{PolicyArn: j.physicalID})
	if err != nil {
		return err
	}
	t.describeManagedPolicy(j, out.Policy)
	return nil
}

// newVersion puts the document in force as a new version, after making room
// for it by deleting the oldest one that is not in force.
func (t iamResources) newVersion(j *job) error {
	versions, err := t.iam.ListPolicyVersions(j.call, &iamapi.ListPolicyVersionsInput{PolicyArn: j.physicalID})
	if err != nil {
		return err
	}
	if len(versions.Versions) >= 5 {
		for _, v := range slices.Backward(versions.Versions) {
			if v.IsDefaultVersion {
				continue
			}
			if err := t.iam.DeletePolicyVersion(j.call, &iamapi.PolicyVersionInput{PolicyArn: j.physicalID, VersionId: v.VersionId}); err != nil {
				return err
			}
			break
		}
	}
	_, err = t.iam.CreatePolicyVersion(j.call, &iamapi.CreatePolicyVersionInput{
		PolicyArn: j.physicalID, PolicyDocument: document(j.properties, "PolicyDocument"), SetAsDefault: true,
	})
	return err
}

func (t iamResources) deleteManagedPolicy(j *job) error {
	if err := t.detachFrom(j, list(j.properties, "Roles"), list(j.properties, "Users")); err != nil {
		return err
	}
	versions, err := t.iam.ListPolicyVersions(j.call, &iamapi.ListPolicyVersionsInput{PolicyArn: j.physicalID})
	if err != nil {
		return unlessGone(err)
	}
	for _, v := range versions.Versions {
		if v.IsDefaultVersion {
			continue
		}
		if err := t.iam.DeletePolicyVersion(j.call, &iamapi.PolicyVersionInput{PolicyArn: j.physicalID, VersionId: v.VersionId}); err != nil {
			return err
		}
	}
	return unlessGone(t.iam.DeletePolicy(j.call, &iamapi.PolicyInput{PolicyArn: j.physicalID}))
}

func (t iamResources) createPolicy(j *job) error {
	roles, users := list(j.properties, "Roles"), list(j.properties, "Users")
	if len(roles)+len(users) == 0 {
		return invalid("At least one of [Groups,Roles,Users] must be non-empty.")
	}
	// There is nothing in IAM by this name; the name only names the resource.
	j.physicalID = j.newName(128)
	j.attributes["Id"] = j.physicalID
	return t.putOn(j, roles, users)
}

func (t iamResources) putOn(j *job, roles, users []string) error {
	name, text := j.text("PolicyName"), document(j.properties, "PolicyDocument")
	for _, role := range roles {
		if err := t.roles.put(j.call, role, name, text); err != nil {
			return err
		}
	}
	for _, user := range users {
		if err := t.users.put(j.call, user, name, text); err != nil {
			return err
		}
	}
	return nil
}

func (t iamResources) takeFrom(j *job, policyName string, roles, users []string) error {
	for _, role := range roles {
		if err := unlessGone(t.roles.remove(j.call, role, policyName)); err != nil {
			return err
		}
	}
	for _, user := range users {
		if err := unlessGone(t.users.remove(j.call, user, policyName)); err != nil {
			return err
		}
	}
	return nil
}

func (t iamResources) updatePolicy(j *job) error {
	roles, users := list(j.properties, "Roles"), list(j.properties, "Users")
	if len(roles)+len(users) == 0 {
		return invalid("At least one of [Groups,Roles,Users] must be non-empty.")
	}
	if err := t.putOn(j, roles, users); err != nil {
		return err
	}
	oldRoles, oldUsers := list(j.old, "Roles"), list(j.old, "Users")
	if !j.changed("PolicyName") {
		oldRoles, oldUsers = without(oldRoles, roles), without(oldUsers, users)
	}
	return t.takeFrom(j, textOf(j.old, "PolicyName"), oldRoles, oldUsers)
}

func (t iamResources) deletePolicy(j *job) error {
	return t.takeFrom(j, j.text("PolicyName"), list(j.properties, "Roles"), list(j.properties, "Users"))
}

// inlineType returns a type that is one inline policy of one role or user.
func (t iamResources) inlineType(name, owner string, who identity) resourceType {
	put := func(j *job) error {
		if err := who.put(j.call, j.text(owner), j.text("PolicyName"), document(j.properties, "PolicyDocument")); err != nil {
			return err
		}
		j.physicalID = j.text("PolicyName") + "|" + j.text(owner)
		return nil
	}
	return resourceType{
		name: name, needsCapability: true,
		properties: map[string]property{
			"PolicyDocument": {kind: documentValue, required: true},
			"PolicyName":     {required: true, replaces: true},
			owner:            {required: true, replaces: true},
		},
		create: put, update: put,
		delete: func(j *job) error {
			policy, of, _ := strings.Cut(j.physicalID, "|")
			return unlessGone(who.remove(j.call, of, policy))
		},
	}
}

func (t iamResources) createAccessKey(j *job) error {
	if err := checkKeyStatus(j.text("Status")); err != nil {
		return err
	}
	out, err := t.iam.CreateAccessKey(j.call, &iamapi.CreateAccessKeyInput{UserName: j.text("UserName")})
	if err != nil {
		return err
	}
	j.physicalID, j.attributes["Id"] = out.AccessKey.AccessKeyId, out.AccessKey.AccessKeyId
	j.attributes["SecretAccessKey"] = out.AccessKey.SecretAccessKey
	if j.text("Status") == "Inactive" {
		return t.setKeyStatus(j, "Inactive")
	}
	return nil
}

func checkKeyStatus(status string) error {
	if status != "" && status != "Active" && status != "Inactive" {
		return invalid("Value of property Status must be Active or Inactive")
	}
	return nil
}

func (t iamResources) updateAccessKey(j *job) error {
	status := j.text("Status")
	if err := checkKeyStatus(status); err != nil {
		return err
	}
	if status == "" {
		status = "Active"
	}
	return t.setKeyStatus(j, status)
}

func (t iamResources) setKeyStatus(j *job, status string) error {
	return t.iam.UpdateAccessKey(j.call, &iamapi.UpdateAccessKeyInput{UserName: j.text("UserName"), AccessKeyId: j.physicalID, Status: status})
}

func (t iamResources) deleteAccessKey(j *job) error {
	return unlessGone(t.iam.DeleteAccessKey(j.call, &iamapi.DeleteAccessKeyInput{UserName: j.text("UserName"), AccessKeyId: j.physicalID}))
}

// without returns the values that are not among others.
func without(values, others []string) []string {
	var rest []string
	for _, v := range values {
		if !slices.Contains(others, v) {
			rest = append(rest, v)
		}
	}
	return rest
}
