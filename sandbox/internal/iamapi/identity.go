package iamapi

import (
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A kind is one of the two kinds of identities. Their operations differ in
// names and limits only, and are written once here.
type kind struct {
	noun, Noun  string // "role", "Role"
	parameter   string // "roleName"
	checkName   func(string) error
	inlineLimit int // characters of all inline policies together
	missing     func(name string) error
}

var (
	roles = kind{"role", "Role", "roleName", reference.CheckRoleName, reference.MaxRoleInlineSize,
		func(name string) error { return directory.NoSuchRole(name) }}
	users = kind{"user", "User", "userName", reference.CheckUserName, reference.MaxUserInlineSize,
		func(name string) error { return directory.NoSuchUser(name) }}
)

// A found is a user or role that the caller may act on.
type found struct {
	*directory.Identity
	arn string
}

// find checks the name of a user or role and asks whether the caller may do
// action on it. The error for one that does not exist comes last, so that only
// those who may ask learn it. More adds to the question, given the identity,
// which is nil if there is none.
func (s *Service) find(c *authz.Call, k kind, name, action string, more func(*directory.Identity) details) (found, error) {
	if err := first(required(k.parameter, name), check(k.parameter, k.checkName(name))); err != nil {
		return found{}, err
	}
	t, err := s.accountTarget(c, k.noun+"/"+name)
	if err != nil {
		return found{}, err
	}
	t.shown = k.noun + " " + name
	f := s.lookup(c, k, name)
	if f.Identity != nil {
		t.arn, t.tags = f.arn, f.Tags
	}
	var d details
	if more != nil {
		d = more(f.Identity)
	}
	if err := s.authorize(c, action, t, d); err != nil {
		return found{}, err
	}
	if f.Identity == nil {
		return found{}, k.missing(name)
	}
	return f, nil
}

func (s *Service) lookup(c *authz.Call, k kind, name string) found {
	if k.noun == users.noun {
		if user, ok := s.latest().User(c.Account(), name); ok {
			return found{&user.Identity, user.ARN()}
		}
	} else if role, ok := s.latest().Role(c.Account(), name); ok {
		return found{&role.Identity, role.ARN()}
	}
	return found{}
}

// edit writes a new version of a user or role.
func (s *Service) edit(c *authz.Call, k kind, name string, f func(*directory.Identity) error) error {
	var err error
	if k.noun == users.noun {
		_, err = s.directory.UpdateUser(c.Now, c.Account(), name, func(u *directory.User) error { return f(&u.Identity) })
	} else {
		_, err = s.directory.UpdateRole(c.Now, c.Account(), name, func(r *directory.Role) error { return f(&r.Identity) })
	}
	return err
}

// bounded adds the condition key iam:PermissionsBoundary as it is for changes
// to an identity's policies: the boundary that the identity has.
func bounded(i *directory.Identity) details {
	if i == nil || i.Boundary == "" {
		return details{}
	}
	return boundaryKey(i.Boundary)
}

// boundaryKey adds the condition key iam:PermissionsBoundary.
func boundaryKey(arn string) details {
	if arn == "" {
		return details{}
	}
	return details{keys: func(ctx *iam.Context) { ctx.Set("iam:PermissionsBoundary", arn) }}
}

func (s *Service) putPolicy(c *authz.Call, k kind, name, policyName, document string) error {
	if err := first(checkPolicyName(policyName), checkDocument(document)); err != nil {
		return err
	}
	f, err := s.find(c, k, name, "Put"+k.Noun+"Policy", bounded)
	if err != nil {
		return err
	}
	d, err := directory.NewDocument(document, iam.KindIdentity, "inline policy "+policyName+" of "+f.arn)
	if err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		i.Inline = directory.SetInline(i.Inline, directory.InlinePolicy{Name: policyName, Document: d})
		return inlineSize(k, i.Name, i.Inline)
	})
}

func (s *Service) getPolicy(c *authz.Call, k kind, name, policyName string) (owner, document string, err error) {
	if err := checkPolicyName(policyName); err != nil {
		return "", "", err
	}
	f, err := s.find(c, k, name, "Get"+k.Noun+"Policy", nil)
	if err != nil {
		return "", "", err
	}
	p, ok := f.InlinePolicy(policyName)
	if !ok {
		return "", "", noSuchInline(k, policyName)
	}
	return f.Name, encode(p.Document.Text), nil
}

func (s *Service) listPolicies(c *authz.Call, k kind, name string, p Paging) ([]string, Paged, error) {
	f, err := s.find(c, k, name, "List"+k.Noun+"Policies", nil)
	if err != nil {
		return nil, Paged{}, err
	}
	names := make([]string, len(f.Inline))
	for i, policy := range f.Inline {
		names[i] = policy.Name
	}
	return page(names, p, func(s string) string { return s })
}

func (s *Service) deletePolicy(c *authz.Call, k kind, name, policyName string) error {
	if err := checkPolicyName(policyName); err != nil {
		return err
	}
	if _, err := s.find(c, k, name, "Delete"+k.Noun+"Policy", bounded); err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		at := slices.IndexFunc(i.Inline, func(p directory.InlinePolicy) bool { return p.Name == policyName })
		if at < 0 {
			return noSuchInline(k, policyName)
		}
		i.Inline = slices.Delete(slices.Clone(i.Inline), at, at+1)
		return nil
	})
}

func (s *Service) attach(c *authz.Call, k kind, name, policyARN string) error {
	if err := checkPolicyARN("policyArn", policyARN); err != nil {
		return err
	}
	if _, err := s.find(c, k, name, "Attach"+k.Noun+"Policy", attaching(policyARN)); err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		if slices.Contains(i.Attached, policyARN) {
			return nil
		}
		if len(i.Attached) >= reference.MaxManagedPoliciesPerRole {
			return limitExceeded("Cannot exceed quota for PoliciesPer%s: %d", k.Noun, reference.MaxManagedPoliciesPerRole)
		}
		i.Attached = append(slices.Clone(i.Attached), policyARN)
		return nil
	})
}

func (s *Service) detach(c *authz.Call, k kind, name, policyARN string) error {
	if err := checkPolicyARN("policyArn", policyARN); err != nil {
		return err
	}
	if _, err := s.find(c, k, name, "Detach"+k.Noun+"Policy", attaching(policyARN)); err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		at := slices.Index(i.Attached, policyARN)
		if at < 0 {
			return directory.NoSuchPolicy(policyARN)
		}
		i.Attached = slices.Delete(slices.Clone(i.Attached), at, at+1)
		return nil
	})
}

// attaching adds the keys for attaching and detaching a managed policy.
func attaching(policyARN string) func(*directory.Identity) details {
	return func(i *directory.Identity) details {
		return details{keys: func(ctx *iam.Context) {
			ctx.Set("iam:PolicyARN", policyARN)
			if d := bounded(i); d.keys != nil {
				d.keys(ctx)
			}
		}}
	}
}

func (s *Service) listAttached(c *authz.Call, k kind, name, prefix string, p Paging) ([]AttachedPolicy, Paged, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, Paged{}, err
	}
	f, err := s.find(c, k, name, "ListAttached"+k.Noun+"Policies", nil)
	if err != nil {
		return nil, Paged{}, err
	}
	var policies []AttachedPolicy
	for _, arn := range slices.Sorted(slices.Values(f.Attached)) {
		if prefix == "" || hasPathPrefix(arn, prefix) {
			policies = append(policies, attachedPolicy(arn))
		}
	}
	return page(policies, p, func(a AttachedPolicy) string { return a.PolicyArn })
}

func (s *Service) putBoundary(c *authz.Call, k kind, name, policyARN string) error {
	if err := checkPolicyARN("permissionsBoundary", policyARN); err != nil {
		return err
	}
	_, err := s.find(c, k, name, "Put"+k.Noun+"PermissionsBoundary", func(*directory.Identity) details { return boundaryKey(policyARN) })
	if err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		i.Boundary = policyARN
		return nil
	})
}

func (s *Service) deleteBoundary(c *authz.Call, k kind, name string) error {
	if _, err := s.find(c, k, name, "Delete"+k.Noun+"PermissionsBoundary", bounded); err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		if i.Boundary == "" {
			return noSuchEntity("%s %s does not have a permission boundary", k.Noun, i.Name)
		}
		i.Boundary = ""
		return nil
	})
}

func (s *Service) tag(c *authz.Call, k kind, name string, tags []Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	_, err := s.find(c, k, name, "Tag"+k.Noun, func(*directory.Identity) details { return details{requestTags: tags} })
	if err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) (err error) {
		i.Tags, err = withTags(i.Tags, tags)
		return err
	})
}

func (s *Service) untag(c *authz.Call, k kind, name string, keys []string) error {
	if _, err := s.find(c, k, name, "Untag"+k.Noun, func(*directory.Identity) details { return untagging(keys) }); err != nil {
		return err
	}
	return s.edit(c, k, name, func(i *directory.Identity) error {
		i.Tags = withoutTags(i.Tags, keys)
		return nil
	})
}

// untagging adds aws:TagKeys for tags that are taken away, of which the request
// has no values.
func untagging(tagKeys []string) details {
	return details{keys: func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", tagKeys...) }}
}

func (s *Service) listTags(c *authz.Call, k kind, name string, p Paging) ([]Tag, Paged, error) {
	f, err := s.find(c, k, name, "List"+k.Noun+"Tags", nil)
	if err != nil {
		return nil, Paged{}, err
	}
	return pageTags(f.Tags, p)
}

// creating asks whether the caller may create an identity or policy, and if it
// is created with tags, whether the caller may tag it.
func (s *Service) creating(c *authz.Call, noun, arn string, tags []Tag, d details) error {
	t := target{arn: arn}
	if len(tags) > 0 {
		d.requestTags = tags
	}
	if err := s.authorize(c, "Create"+noun, t, d); err != nil {
		return err
	}
	if len(tags) == 0 {
		return nil
	}
	return s.authorize(c, "Tag"+noun, t, details{requestTags: tags})
}
