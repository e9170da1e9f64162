package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// codeArtifactRepository is the kind of CodeArtifact repositories. Reading a
// package takes two policies, that of the domain, which gives the token, and
// that of the repository, and a permission that no policy of theirs can give.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/repo-policies.html
// https://docs.aws.amazon.com/codeartifact/latest/ug/domain-policies.html
func codeArtifactRepository() *kind {
	bearer := right{
		sid: "GetServiceBearerToken", actions: []string{"sts:GetServiceBearerToken"}, on: everything, side: consumerSide,
		when: func(*instance, *Narrowing) []iam.Condition {
			return condition("StringEquals", "sts:AWSServiceName", "codeartifact.amazonaws.com")
		},
	}
	token := right{sid: "GetToken", actions: []string{"codeartifact:GetAuthorizationToken"}, part: domainPart, on: func(i *instance, _ *Narrowing) []string {
		return []string{i.domainARN()}
	}}
	read := right{sid: "ReadPackages", actions: []string{"codeartifact:ReadFromRepository", "codeartifact:GetRepositoryEndpoint", "codeartifact:DescribeRepository", "codeartifact:ListPackages"}}
	return &kind{
		name: "codeartifact-repository", title: "CodeArtifact repository", service: "codeartifact",
		page: "https://docs.aws.amazon.com/codeartifact/latest/ug/repo-policies.html",
		arn: func(i *instance) string {
			return arnOf("codeartifact", "repository/"+i.decl.Domain+"/")(i)
		},
		accesses: []access{
			{word: "read", doc: "read packages and nothing else", readOnly: true, rights: []right{token, read, bearer}},
		},
		needsDomain: true, toTokens: true,
		policy: &policyType{
			service: "codeartifact", star: true, property: "PermissionsPolicyDocument",
			terraform: func(i *instance, part string, p *iam.Policy) template.Block {
				o := template.Object{{Key: "domain", Value: i.decl.Domain}, {Key: "domain_owner", Value: i.site.ID}}
				if part == domainPart {
					return template.Block{Type: "aws_codeartifact_domain_permissions_policy", Arguments: append(o, template.Member{Key: "policy_document", Value: p})}
				}
				return template.Block{Type: "aws_codeartifact_repository_permissions_policy", Arguments: append(o, template.Member{Key: "repository", Value: i.physical}, template.Member{Key: "policy_document", Value: p})}
			},
			put: func(i *instance, part string) []string {
				if part == domainPart {
					return []string{"aws", "codeartifact", "put-domain-permissions-policy", "--domain", i.decl.Domain, "--domain-owner", i.site.ID, "--policy-document", documentFile}
				}
				return []string{"aws", "codeartifact", "put-repository-permissions-policy", "--domain", i.decl.Domain, "--domain-owner", i.site.ID, "--repository", i.physical, "--policy-document", documentFile}
			},
			remove: func(i *instance, part string) []string {
				if part == domainPart {
					return []string{"aws", "codeartifact", "delete-domain-permissions-policy", "--domain", i.decl.Domain, "--domain-owner", i.site.ID}
				}
				return []string{"aws", "codeartifact", "delete-repository-permissions-policy", "--domain", i.decl.Domain, "--domain-owner", i.site.ID, "--repository", i.physical}
			},
		},
		create: &createType{cloudFormation: "AWS::CodeArtifact::Repository", nameProperty: "RepositoryName", arnAttribute: "Ref", policies: []string{"PermissionsPolicyDocument"}, also: inDomain},
		caveats: []string{
			"A repository is created in a domain that exists. Deleting its stack deletes its packages.",
			"A token lasts up to 12 hours, longer than the session it was asked for with.",
			"sts:GetServiceBearerToken has no effect in the policies of domains and repositories; it must be in the consumer's own permissions.",
			"Reading is granted for a whole repository: packages have ARNs, but ReadFromRepository does not use them.",
			"The domain has one policy. If several repositories of a domain are shared, their grants are in it together.",
		},
	}
}

// domainPart is the domain of a CodeArtifact repository.
const domainPart = "domain"

func (i *instance) domainARN() string {
	return "arn:" + i.site.Partition + ":codeartifact:" + i.site.Region + ":" + i.site.ID + ":domain/" + i.decl.Domain
}

// inDomain puts a repository that the plan creates into its domain.
func inDomain(b *builder, i *instance, g *template.Generic) []*unit {
	for _, key := range []string{"DomainName", "DomainOwner"} {
		if hasKey(g.Properties, key) {
			b.report(b.m.problem(RuleValue, i.path+".create."+key, "remove it", "the domain of the repository is given by domain, and its owner by the account"))
			return nil
		}
	}
	g.Properties.AddText("DomainName", i.decl.Domain)
	g.Properties.AddText("DomainOwner", i.site.ID)
	return nil
}
