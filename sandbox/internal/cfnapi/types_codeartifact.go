package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/codeartifactapi"
)

// codeArtifactTypes returns the types of AWS::CodeArtifact.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_CodeArtifact.html
func codeArtifactTypes(packages *codeartifactapi.Service) []resourceType {
	t := packageResources{packages}
	return []resourceType{
		{
			name: "AWS::CodeArtifact::Domain", tagged: true,
			properties: map[string]property{
				"DomainName":                {required: true, replaces: true},
				"EncryptionKey":             {unsupported: true},
				"PermissionsPolicyDocument": {kind: documentValue},
				"Tags":                      tagsProperty,
			},
			attributes: []string{"Arn", "Name", "Owner"},
			create:     t.createDomain, update: t.updateDomain, delete: t.deleteDomain,
		},
		{
			name: "AWS::CodeArtifact::Repository", tagged: true,
			properties: map[string]property{
				"Description":               {},
				"DomainName":                {required: true, replaces: true},
				"DomainOwner":               {replaces: true},
				"ExternalConnections":       {unsupported: true},
				"PermissionsPolicyDocument": {kind: documentValue},
				"RepositoryName":            {required: true, replaces: true},
				"Tags":                      tagsProperty,
				"Upstreams":                 {unsupported: true},
			},
			attributes: []string{"Arn", "DomainName", "DomainOwner", "Name"},
			create:     t.createRepository, update: t.updateRepository, delete: t.deleteRepository,
		},
	}
}

// packageResources does the work of the AWS::CodeArtifact types. Their physical
// ids are ARNs.
type packageResources struct{ packages *codeartifactapi.Service }

// domain is the domain of a resource that exists.
func (j *job) domain() codeartifactapi.DomainNamed {
	arn, err := iam.ParseARN(j.physicalID)
	if err != nil {
		return codeartifactapi.DomainNamed{} // it was written here
	}
	_, name, _ := strings.Cut(arn.Resource, "/")
	name, _, _ = strings.Cut(name, "/")
	return codeartifactapi.DomainNamed{Domain: name, DomainOwner: arn.Account}
}

// packageRepository is the repository of a resource that exists.
func (j *job) packageRepository() codeartifactapi.Named {
	return codeartifactapi.Named{DomainNamed: j.domain(), Repository: j.physicalID[strings.LastIndexByte(j.physicalID, '/')+1:]}
}

func packageTags(tags []Tag) []codeartifactapi.Tag {
	var list []codeartifactapi.Tag
	for _, tag := range tags {
		list = append(list, codeartifactapi.Tag(tag))
	}
	return list
}

func (t packageResources) retag(j *job) error {
	set, remove := diffTags(j.oldTags, j.tags)
	named := codeartifactapi.TagNamed{ResourceARN: j.physicalID}
	if len(remove) > 0 {
		if _, err := t.packages.UntagResource(j.call, &codeartifactapi.UntagResourceInput{TagNamed: named, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.packages.TagResource(j.call, &codeartifactapi.TagResourceInput{TagNamed: named, Tags: packageTags(set)}); err != nil {
			return err
		}
	}
	return nil
}

const packagePolicy = "PermissionsPolicyDocument"

// policyGone reports whether an update takes the policy away.
func (j *job) policyGone() bool {
	return j.properties.Get(packagePolicy) == nil && j.old != nil && j.old.Get(packagePolicy) != nil
}

func (t packageResources) createDomain(j *job) error {
	out, err := t.packages.CreateDomain(j.call, &codeartifactapi.CreateDomainInput{Domain: j.text("DomainName"), Tags: packageTags(j.tags)})
	if err != nil {
		return err
	}
	j.physicalID = out.Domain.ARN
	return t.finishDomain(j)
}

// finishDomain sets what follows a domain's creation or update.
func (t packageResources) finishDomain(j *job) error {
	domain := j.domain()
	j.attributes["Arn"], j.attributes["Name"], j.attributes["Owner"] = j.physicalID, domain.Domain, domain.DomainOwner
	switch {
	case j.policyGone():
		_, err := t.packages.DeleteDomainPermissionsPolicy(j.call, &codeartifactapi.DomainPolicyInput{DomainNamed: domain})
		return unlessGone(err)
	case j.properties.Get(packagePolicy) == nil:
		return nil
	}
	_, err := t.packages.PutDomainPermissionsPolicy(j.call, &codeartifactapi.PutDomainPolicyInput{
		Domain: domain.Domain, DomainOwner: domain.DomainOwner, PolicyDocument: document(j.properties, packagePolicy),
	})
	return err
}

func (t packageResources) updateDomain(j *job) error {
	if err := t.retag(j); err != nil {
		return err
	}
	return t.finishDomain(j)
}

func (t packageResources) deleteDomain(j *job) error {
	domain := j.domain()
	_, err := t.packages.DeleteDomain(j.call, &domain)
	return unlessGone(err)
}

func (t packageResources) createRepository(j *job) error {
	in := &codeartifactapi.CreateRepositoryInput{Description: j.text("Description"), Tags: packageTags(j.tags)}
	in.Domain, in.DomainOwner, in.Repository = j.text("DomainName"), j.text("DomainOwner"), j.text("RepositoryName")
	out, err := t.packages.CreateRepository(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.Repository.ARN
	return t.finishRepository(j)
}

// finishRepository sets what follows a repository's creation or update.
func (t packageResources) finishRepository(j *job) error {
	repository := j.packageRepository()
	j.attributes["Arn"], j.attributes["Name"] = j.physicalID, repository.Repository
	j.attributes["DomainName"], j.attributes["DomainOwner"] = repository.Domain, repository.DomainOwner
	switch {
	case j.policyGone():
		_, err := t.packages.DeleteRepositoryPermissionsPolicy(j.call, &codeartifactapi.RepositoryPolicyInput{Named: repository})
		return unlessGone(err)
	case j.properties.Get(packagePolicy) == nil:
		return nil
	}
	_, err := t.packages.PutRepositoryPermissionsPolicy(j.call, &codeartifactapi.PutRepositoryPolicyInput{
		Named: repository, PolicyDocument: document(j.properties, packagePolicy),
	})
	return err
}

func (t packageResources) updateRepository(j *job) error {
	if j.changed("Description") {
		description := j.text("Description")
		in := &codeartifactapi.UpdateRepositoryInput{Named: j.packageRepository(), Description: &description}
		if _, err := t.packages.UpdateRepository(j.call, in); err != nil {
			return err
		}
	}
	if err := t.retag(j); err != nil {
		return err
	}
	return t.finishRepository(j)
}

func (t packageResources) deleteRepository(j *job) error {
	repository := j.packageRepository()
	_, err := t.packages.DeleteRepository(j.call, &repository)
	return unlessGone(err)
}
