package cfnapi

import "github.com/crossaccount/crossaccount/sandbox/internal/ecrapi"

// ecrTypes returns the types of AWS::ECR.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ECR.html
func ecrTypes(ecr *ecrapi.Service) []resourceType {
	t := repositoryResources{ecr}
	properties := map[string]property{
		"EmptyOnDelete": {kind: boolValue}, "ImageTagMutability": {replaces: true}, "RepositoryName": {replaces: true}, "RepositoryPolicyText": {kind: documentValue}, "Tags": tagsProperty,
	}
	for name := range setOf("EncryptionConfiguration ImageScanningConfiguration ImageTagMutabilityExclusionFilters LifecyclePolicy") {
		properties[name] = property{unsupported: true}
	}
	return []resourceType{{
		name:       "AWS::ECR::Repository",
		properties: properties,
		attributes: []string{"Arn", "RepositoryUri"},
		tagged:     true,
		create:     t.create, update: t.update, delete: t.delete,
	}}
}

// repositoryResources does the work of AWS::ECR::Repository.
type repositoryResources struct{ ecr *ecrapi.Service }

func (t repositoryResources) create(j *job) error {
	in := &ecrapi.CreateRepositoryInput{ImageTagMutability: j.text("ImageTagMutability")}
	if in.RepositoryName = j.text("RepositoryName"); in.RepositoryName == "" {
		return invalid("the sandbox does not make up names of repositories; set RepositoryName")
	}
	for _, tag := range j.tags {
		in.Tags = append(in.Tags, ecrapi.Tag(tag))
	}
	out, err := t.ecr.CreateRepository(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = in.RepositoryName
	j.attributes["Arn"], j.attributes["RepositoryUri"] = out.Repository.RepositoryARN, out.Repository.RepositoryURI
	return t.setPolicy(j)
}

func (t repositoryResources) setPolicy(j *job) error {
	if j.properties.Get("RepositoryPolicyText") == nil {
		return nil
	}
	_, err := t.ecr.SetRepositoryPolicy(j.call, &ecrapi.SetRepositoryPolicyInput{Named: ecrapi.Named{RepositoryName: j.physicalID}, PolicyText: document(j.properties, "RepositoryPolicyText")})
	return err
}

func (t repositoryResources) update(j *job) error {
	shown, err := t.ecr.DescribeRepositories(j.call, &ecrapi.DescribeRepositoriesInput{RepositoryNames: []string{j.physicalID}})
	if err != nil {
		return err
	}
	j.attributes["Arn"], j.attributes["RepositoryUri"] = shown.Repositories[0].RepositoryARN, shown.Repositories[0].RepositoryURI
	set, remove := diffTags(j.oldTags, j.tags)
	tags := &ecrapi.TagsInput{ResourceARN: j.attributes["Arn"], TagKeys: remove}
	for _, tag := range set {
		tags.Tags = append(tags.Tags, ecrapi.Tag(tag))
	}
	if len(remove) > 0 {
		if _, err := t.ecr.UntagResource(j.call, tags); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.ecr.TagResource(j.call, tags); err != nil {
			return err
		}
	}
	if j.properties.Get("RepositoryPolicyText") == nil && j.old.Get("RepositoryPolicyText") != nil {
		_, err := t.ecr.DeleteRepositoryPolicy(j.call, &ecrapi.Named{RepositoryName: j.physicalID})
		return unlessGone(err)
	}
	return t.setPolicy(j)
}

func (t repositoryResources) delete(j *job) error {
	_, err := t.ecr.DeleteRepository(j.call, &ecrapi.DeleteRepositoryInput{Named: ecrapi.Named{RepositoryName: j.physicalID}, Force: isTrue(j.properties, "EmptyOnDelete")})
	return unlessGone(err)
}
