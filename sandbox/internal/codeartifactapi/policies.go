package codeartifactapi

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit of a policy in characters.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_PutDomainPermissionsPolicy.html
const maxPolicySize = 7168

// A policy is that of a domain or repository; the zero policy is none.
type policy struct {
	document *directory.Document
	revision string
}

func (p policy) compiled() *eval.Policy {
	if p.document == nil {
		return nil
	}
	return p.document.Compiled
}

// together is the policy that allows what one of two allows, and denies what one
// of them denies. Both have been checked, so they compile again.
func together(a, b policy) *eval.Policy {
	if a.document == nil || b.document == nil {
		if a.document == nil {
			a = b
		}
		return a.compiled()
	}
	first, second := a.compiled().Source(), b.compiled().Source()
	both := &iam.Policy{Version: currentVersion, Statements: slices.Concat(first.Statements, second.Statements)}
	for i := range both.Statements[len(first.Statements):] {
		// Explanations name statements; two policies may use one name.
		st := &both.Statements[len(first.Statements)+i]
		if st.Sid != "" && slices.ContainsFunc(first.Statements, func(f iam.Statement) bool { return f.Sid == st.Sid }) {
			st.Sid += " of the repository"
		}
	}
	compiled, err := eval.Compile(both, iam.KindResource, "policies of domain and repository")
	if err != nil {
		panic("codeartifactapi: two policies that compiled do not compile together: " + err.Error())
	}
	return compiled
}

const currentVersion = "2012-10-17"

// PutDomainPolicyInput is the input of PutDomainPermissionsPolicy.
type PutDomainPolicyInput struct {
	Domain, DomainOwner, PolicyRevision, PolicyDocument string
}

// DomainPolicyInput is the input of operations on a domain's policy.
type DomainPolicyInput struct {
	DomainNamed
	PolicyRevision string `json:"-" query:"policy-revision"`
}

// PutRepositoryPolicyInput is the input of PutRepositoryPermissionsPolicy.
type PutRepositoryPolicyInput struct {
	Named
	PolicyRevision, PolicyDocument string
}

// RepositoryPolicyInput is the input of operations on a repository's policy.
type RepositoryPolicyInput struct {
	Named
	PolicyRevision string `json:"-" query:"policy-revision"`
}

// ResourcePolicy is a policy as it is shown.
type ResourcePolicy struct {
	ResourceARN string `json:"resourceArn"`
	Revision    string `json:"revision"`
	Document    string `json:"document"`
}

// PolicyOutput shows a policy.
type PolicyOutput struct {
	Policy ResourcePolicy `json:"policy"`
}

func (s *Service) shown(arn string, p policy) *PolicyOutput {
	return &PolicyOutput{ResourcePolicy{arn, p.revision, s.directory.Latest().Text(p.document)}}
}

// replace makes a policy out of a text and puts it in place of an old one, if
// that is the one the request means.
func (s *Service) replace(p *policy, what, arn, text, revision string) (*PolicyOutput, error) {
	if err := p.check(what, arn, revision); err != nil {
		return nil, err
	}
	if len([]rune(text)) > maxPolicySize {
		return nil, invalid("policyDocument must have at most %d characters.", maxPolicySize)
	}
	document, err := s.directory.Latest().NewResourceDocument(text, iam.KindResource, "policy of "+what+" "+arn)
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code, e.Fields = "ValidationException", []wire.Field{{Name: "reason", Value: "CANNOT_PARSE"}}
			e.Message = "The provided resource policy is invalid. " + e.Message
		}
		return nil, &e
	}
	// Two policies are evaluated as one, which has one version.
	if document.Compiled.Source().Version != currentVersion && strings.Contains(text, "${") {
		return nil, wire.NotImplemented("codeartifact", "policies with ${ and without Version "+currentVersion)
	}
	id, err := wire.NewUUID(s.random)
	if err != nil {
		return nil, err
	}
	*p = policy{document, strings.ReplaceAll(id, "-", "")}
	return s.shown(arn, *p), nil
}

// check refuses a revision that is not the policy's.
func (p *policy) check(what, arn, revision string) error {
	if revision == "" || revision == p.revision {
		return nil
	}
	return conflict(what, arn, "The provided policy revision is not the current one. Read the policy again.")
}

func (s *Service) remove(p *policy, what, arn, revision string) (*PolicyOutput, error) {
	if p.document == nil {
		return nil, noPolicy(what, arn)
	}
	if err := p.check(what, arn, revision); err != nil {
		return nil, err
	}
	out := s.shown(arn, *p)
	*p = policy{}
	return out, nil
}

func noPolicy(what, arn string) error {
	return notFound(what, arn, "No resource policy is attached to %s.", arn)
}

// PutDomainPermissionsPolicy replaces a domain's policy, which has no say in
// that.
func (s *Service) PutDomainPermissionsPolicy(c *authz.Call, in *PutDomainPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, DomainNamed{in.Domain, in.DomainOwner}, "PutDomainPermissionsPolicy", withoutPolicy)
	if err != nil {
		return nil, err
	}
	return s.replace(&d.policy, "domain", d.arn, in.PolicyDocument, in.PolicyRevision)
}

// GetDomainPermissionsPolicy shows a domain's policy.
func (s *Service) GetDomainPermissionsPolicy(c *authz.Call, in *DomainPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, in.DomainNamed, "GetDomainPermissionsPolicy")
	if err != nil {
		return nil, err
	}
	if d.policy.document == nil {
		return nil, noPolicy("domain", d.arn)
	}
	return s.shown(d.arn, d.policy), nil
}

// DeleteDomainPermissionsPolicy takes a domain's policy away.
func (s *Service) DeleteDomainPermissionsPolicy(c *authz.Call, in *DomainPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, in.DomainNamed, "DeleteDomainPermissionsPolicy")
	if err != nil {
		return nil, err
	}
	return s.remove(&d.policy, "domain", d.arn, in.PolicyRevision)
}

// PutRepositoryPermissionsPolicy replaces a repository's policy, which has no
// say in that; the domain's has.
func (s *Service) PutRepositoryPermissionsPolicy(c *authz.Call, in *PutRepositoryPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, _, err := s.lookDomain(c, in.DomainNamed)
	if err != nil {
		return nil, err
	}
	r, err := s.findRepository(c, in.Named, "PutRepositoryPermissionsPolicy", func(q *authz.Query) {
		q.ResourcePolicy = nil
		if d != nil {
			q.ResourcePolicy = d.policy.compiled()
		}
	})
	if err != nil {
		return nil, err
	}
	return s.replace(&r.policy, "repository", r.arn, in.PolicyDocument, in.PolicyRevision)
}

// GetRepositoryPermissionsPolicy shows a repository's policy.
func (s *Service) GetRepositoryPermissionsPolicy(c *authz.Call, in *RepositoryPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, in.Named, "GetRepositoryPermissionsPolicy")
	if err != nil {
		return nil, err
	}
	if r.policy.document == nil {
		return nil, noPolicy("repository", r.arn)
	}
	return s.shown(r.arn, r.policy), nil
}

// DeleteRepositoryPermissionsPolicy takes a repository's policy away.
func (s *Service) DeleteRepositoryPermissionsPolicy(c *authz.Call, in *RepositoryPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, in.Named, "DeleteRepositoryPermissionsPolicy")
	if err != nil {
		return nil, err
	}
	return s.remove(&r.policy, "repository", r.arn, in.PolicyRevision)
}
