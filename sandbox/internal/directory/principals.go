package directory

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// An InvalidPrincipalError says that a policy names a principal that does not
// exist. Services give it their own code: MalformedPolicyDocument in IAM,
// MalformedPolicy in S3.
type InvalidPrincipalError struct {
	Type  string // "AWS", "SERVICE", "FEDERATED"
	Value string // as the policy has it
}

// Error returns IAM's message.
func (e *InvalidPrincipalError) Error() string {
	return "Invalid principal in policy: \"" + e.Type + "\":\"" + e.Value + "\""
}

// ResolvePrincipals returns the policy as AWS stores it when it is written: in
// Principal and NotPrincipal, ARNs of roles and users become their unique ids,
// and account ids become ARNs of root users. All of them must exist in this
// view; the error is otherwise an [*InvalidPrincipalError]. The argument is not
// changed, and it is returned if there is nothing to replace.
//
//   - A role or user is named by its exact ARN, path included, or by its
//     unique id. Wildcards other than a lone "*" are refused.
//   - A role session's ARN stays as it is. Its role must exist, the session
//     need not.
//   - Of a federated user's ARN the account must exist.
//   - Services are checked for the shape of their names, and identity
//     providers for that of their ARNs.
//
// Conditions are left alone: aws:PrincipalArn matches by name, also after a
// role was made anew.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (v View) ResolvePrincipals(p *iam.Policy) (*iam.Policy, error) {
	return rewrite(p, func(list *iam.Principals) (*iam.Principals, error) {
		for _, name := range list.Service {
			if !isServiceName(name) {
				return nil, &InvalidPrincipalError{"SERVICE", name}
			}
		}
		for _, provider := range list.Federated {
			if !isProvider(provider) {
				return nil, &InvalidPrincipalError{"FEDERATED", provider}
			}
		}
		return mapAWS(list, func(name string) (string, error) {
			stored, ok := v.resolve(name)
			if !ok {
				return "", &InvalidPrincipalError{"AWS", name}
			}
			return stored, nil
		})
	})
}

// RenderPrincipals returns the policy as AWS shows it when it is read: unique
// ids become the ARNs of the roles and users they belong to. The id of a
// principal that was deleted stays, also if there is a new one of its name.
func (v View) RenderPrincipals(p *iam.Policy) *iam.Policy {
	rendered, _ := rewrite(p, func(list *iam.Principals) (*iam.Principals, error) {
		return mapAWS(list, func(name string) (string, error) {
			if arn, ok := v.arnOf(name); ok {
				return arn, nil
			}
			return name, nil
		})
	})
	return rendered
}

// resolve returns what is stored for an entry of Principal.AWS.
func (v View) resolve(name string) (string, bool) {
	if name == "*" {
		return name, true
	}
	if account, ok := v.d.Account(iam.AccountID(name)); ok {
		return account.RootARN(), true
	}
	if _, ok := v.arnOf(name); ok {
		return name, true
	}
	arn, err := iam.ParseARN(name)
	if err != nil || arn.Region != "" {
		return "", false
	}
	account, ok := v.d.Account(iam.AccountID(arn.Account))
	if !ok || arn.Partition != account.Partition {
		return "", false
	}
	kind, rest, _ := strings.Cut(arn.Resource, "/")
	last := rest[strings.LastIndexByte(rest, '/')+1:]
	switch arn.Service + ":" + kind {
	case "iam:root":
		return name, rest == ""
	case "iam:role":
		if role, ok := v.Role(account.ID, last); ok && role.ARN() == name {
			return role.ID, true
		}
	case "iam:user":
		if user, ok := v.User(account.ID, last); ok && user.ARN() == name {
			return user.ID, true
		}
	case "sts:assumed-role":
		roleName, session, _ := strings.Cut(rest, "/")
		role, ok := v.Role(account.ID, roleName)
		return name, ok && role.Name == roleName && isSessionName(session)
	case "sts:federated-user":
		return name, isSessionName(rest)
	}
	return "", false
}

// arnOf returns the ARN of the role or user with a unique id.
func (v View) arnOf(id string) (string, bool) {
	switch {
	case strings.HasPrefix(id, prefixRole):
		if role, ok := v.RoleByID(id); ok {
			return role.ARN(), true
		}
	case strings.HasPrefix(id, prefixUser):
		if user, ok := v.UserByID(id); ok {
			return user.ARN(), true
		}
	}
	return "", false
}

// rewrite returns the policy with each Principal and NotPrincipal replaced, or
// the policy itself if none of them changes.
func rewrite(p *iam.Policy, replace func(*iam.Principals) (*iam.Principals, error)) (*iam.Policy, error) {
	result := p
	for i := range p.Statements {
		principal, err := replaceIn(p.Statements[i].Principal, replace)
		if err != nil {
			return nil, err
		}
		notPrincipal, err := replaceIn(p.Statements[i].NotPrincipal, replace)
		if err != nil {
			return nil, err
		}
		if principal == p.Statements[i].Principal && notPrincipal == p.Statements[i].NotPrincipal {
			continue
		}
		if result == p {
			copied := *p
			copied.Statements = slices.Clone(p.Statements)
			result = &copied
		}
		result.Statements[i].Principal = principal
		result.Statements[i].NotPrincipal = notPrincipal
	}
	return result, nil
}

func replaceIn(list *iam.Principals, replace func(*iam.Principals) (*iam.Principals, error)) (*iam.Principals, error) {
	if list == nil {
		return nil, nil
	}
	return replace(list)
}

// mapAWS returns list with the names under AWS replaced, or list itself if none
// of them changes.
func mapAWS(list *iam.Principals, replace func(string) (string, error)) (*iam.Principals, error) {
	result := list
	for i, name := range list.AWS {
		stored, err := replace(name)
		if err != nil {
			return nil, err
		}
		if stored == name {
			continue
		}
		if result == list {
			copied := *list
			copied.AWS = slices.Clone(list.AWS)
			result = &copied
		}
		result.AWS[i] = stored
	}
	return result, nil
}

// isServiceName accepts names of the shape every AWS service principal has. The
// sandbox has no list of all services.
func isServiceName(s string) bool {
	name, ok := strings.CutSuffix(s, ".amazonaws.com")
	if !ok {
		name, ok = strings.CutSuffix(s, ".amazonaws.com.cn")
	}
	return ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// isProvider accepts the web identity providers IAM knows by name and ARNs of
// identity providers. IAM does not look whether there is one.
func isProvider(s string) bool {
	switch s {
	case "cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com", "accounts.google.com":
		return true
	}
	arn, err := iam.ParseARN(s)
	return err == nil && arn.Service == "iam" &&
		(strings.HasPrefix(arn.Resource, "oidc-provider/") || strings.HasPrefix(arn.Resource, "saml-provider/"))
}

func isSessionName(s string) bool {
	return len(s) >= 2 && len(s) <= 64 && !strings.ContainsAny(s, "*?/: ")
}
