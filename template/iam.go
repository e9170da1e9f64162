package template

import (
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// A Role is an IAM role with its inline policies.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-role.html
type Role struct {
	Name                string // required: 1 to 64 characters
	Path                string // "" for "/"
	Description         string // at most 1,000 characters
	MaxSessionDuration  int    // seconds, 3,600 to 43,200; 0 for AWS's default of 3,600
	Trust               *iam.Policy
	Inline              []InlinePolicy
	ManagedPolicyARNs   []string // of policies that exist already, such as AWS's own
	PermissionsBoundary string   // ARN of a managed policy; "" for none
	Tags                []Tag
}

// An InlinePolicy is a policy that is part of its role.
type InlinePolicy struct {
	Name     string
	Document *iam.Policy
}

// A Tag is a key with a value.
type Tag struct{ Key, Value string }

// Type returns "AWS::IAM::Role".
func (*Role) Type() string { return "AWS::IAM::Role" }

func (r *Role) attributes() map[string]string {
	return map[string]string{
		"Arn":  "arn:" + Partition + ":iam::" + AccountID + ":role" + pathOrRoot(r.Path) + r.Name,
		"Name": r.Name,
	}
}

func (r *Role) rewrite(w rewriter, at string) Kind {
	out := &Role{
		Name:                w.text(at+".Name", r.Name),
		Path:                w.text(at+".Path", r.Path),
		Description:         w.text(at+".Description", r.Description),
		MaxSessionDuration:  r.MaxSessionDuration,
		Trust:               w.policy(at+".Trust", r.Trust),
		ManagedPolicyARNs:   w.list(at+".ManagedPolicyARNs", r.ManagedPolicyARNs),
		PermissionsBoundary: w.text(at+".PermissionsBoundary", r.PermissionsBoundary),
	}
	for i, p := range r.Inline {
		at := index(at+".Inline", i)
		out.Inline = append(out.Inline, InlinePolicy{w.text(at+".Name", p.Name), w.policy(at+".Document", p.Document)})
	}
	for i, t := range r.Tags {
		at := index(at+".Tags", i)
		out.Tags = append(out.Tags, Tag{w.text(at+".Key", t.Key), w.text(at+".Value", t.Value)})
	}
	return out
}

func (r *Role) check(c *checker, at string) {
	c.name(at+".Name", r.Name, reference.CheckRoleName)
	c.path(at+".Path", r.Path)
	c.limit(at+".Description", reference.CheckRoleDescription(c.longest(r.Description)))
	if d := r.MaxSessionDuration; d != 0 {
		c.limit(at+".MaxSessionDuration", reference.CheckMaxSessionDuration(time.Duration(d)*time.Second))
	}
	c.limit(at+".Trust", reference.CheckTrustPolicySize(c.policy(at+".Trust", r.Trust, iam.KindTrust)))
	total := 0
	names := map[string]bool{}
	for i, p := range r.Inline {
		at := index(at+".Inline", i)
		c.name(at+".Name", p.Name, reference.CheckPolicyName)
		if names[p.Name] {
			c.problem(at+".Name", "two inline policies have this name; names must be unique in a role")
		}
		names[p.Name] = true
		total += c.policy(at+".Document", p.Document, iam.KindIdentity)
	}
	c.limit(at+".Inline", reference.CheckRoleInlineSize(total))
	for i, arn := range r.ManagedPolicyARNs {
		c.arn(index(at+".ManagedPolicyARNs", i), arn)
	}
	if r.PermissionsBoundary != "" {
		c.arn(at+".PermissionsBoundary", r.PermissionsBoundary)
	}
	c.tags(at+".Tags", r.Tags)
}

// A ManagedPolicy is a customer managed policy, attached to roles of the stack.
//
// CloudFormation replaces the policy when its Description, Path or Name change,
// and cannot replace a policy that keeps its name. A stack that is to be
// updated later must therefore keep the first two as they are.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-managedpolicy.html
type ManagedPolicy struct {
	Name        string // required: 1 to 128 characters
	Path        string // "" for "/"
	Description string // at most 1,000 characters
	Document    *iam.Policy
	Roles       []string // logical ids of roles of this stack
}

// Type returns "AWS::IAM::ManagedPolicy".
func (*ManagedPolicy) Type() string { return "AWS::IAM::ManagedPolicy" }

func (p *ManagedPolicy) attributes() map[string]string {
	return map[string]string{
		"Arn":  "arn:" + Partition + ":iam::" + AccountID + ":policy" + pathOrRoot(p.Path) + p.Name,
		"Name": p.Name,
	}
}

func (p *ManagedPolicy) rewrite(w rewriter, at string) Kind {
	return &ManagedPolicy{
		Name:        w.text(at+".Name", p.Name),
		Path:        w.text(at+".Path", p.Path),
		Description: w.text(at+".Description", p.Description),
		Document:    w.policy(at+".Document", p.Document),
		Roles:       append([]string(nil), p.Roles...),
	}
}

func (p *ManagedPolicy) check(c *checker, at string) {
	c.name(at+".Name", p.Name, reference.CheckPolicyName)
	c.path(at+".Path", p.Path)
	c.limit(at+".Description", reference.CheckPolicyDescription(c.longest(p.Description)))
	c.limit(at+".Document", reference.CheckManagedPolicySize(c.policy(at+".Document", p.Document, iam.KindIdentity)))
	for i, id := range p.Roles {
		at := index(at+".Roles", i)
		r, ok := c.resources[id]
		role, isRole := r.Kind.(*Role)
		switch {
		case !ok:
			c.problem(at, "there is no resource %q", id)
		case !isRole:
			c.problem(at, "resource %q is no role", id)
		default:
			c.attachments[role]++
			c.needs(at, r)
		}
	}
}

func pathOrRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}
