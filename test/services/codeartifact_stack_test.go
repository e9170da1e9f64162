package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// Domain and repository are made, changed and deleted by a stack, with their
// policies.
func TestPackageStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks, packages := cloudformation.NewFromConfig(config), codeartifact.NewFromConfig(config)
	const root = "arn:aws:iam::222222222222:root"
	body := `{"Resources":{
		"Domain":{"Type":"AWS::CodeArtifact::Domain","Properties":{"DomainName":"shop","Tags":[{"Key":"team","Value":"orders"}],
			"PermissionsPolicyDocument":` + policyOf(openTo(root, `"codeartifact:GetAuthorizationToken"`)) + `}},
		"Repository":{"Type":"AWS::CodeArtifact::Repository","Properties":{"DomainName":{"Fn::GetAtt":["Domain","Name"]},"DomainOwner":{"Fn::GetAtt":["Domain","Owner"]},"RepositoryName":"clients","Description":"first",
			"PermissionsPolicyDocument":` + policyOf(openTo(root, `"codeartifact:DescribeRepository"`)) + `}}},
		"Outputs":{"Domain":{"Value":{"Ref":"Domain"}},"Repository":{"Value":{"Fn::GetAtt":["Repository","Arn"]}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("p"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	shown, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("p")})
	if err != nil || len(shown.Stacks[0].Outputs) != 2 || *shown.Stacks[0].Outputs[0].OutputValue != domainARN || *shown.Stacks[0].Outputs[1].OutputValue != repositoryARN {
		t.Fatalf("%+v %v", shown, err)
	}
	tags, err := packages.ListTagsForResource(ctx, &codeartifact.ListTagsForResourceInput{ResourceArn: aws.String(domainARN)})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("%+v %v", tags, err)
	}
	reader := codeartifact.NewFromConfig(box.Account(friend).User("app", allowAll))
	describe := &codeartifact.DescribeRepositoryInput{Domain: aws.String("shop"), DomainOwner: aws.String(owner), Repository: aws.String("clients")}
	if out, err := reader.DescribeRepository(ctx, describe); err != nil || *out.Repository.Description != "first" {
		t.Fatalf("%+v %v", out, err)
	}
	get := &codeartifact.GetAuthorizationTokenInput{Domain: aws.String("shop"), DomainOwner: aws.String(owner)}
	if _, err := reader.GetAuthorizationToken(ctx, get); err != nil {
		t.Fatal(err)
	}

	// The repository's policy goes, the domain's changes.
	policy := `,
			"PermissionsPolicyDocument":` + policyOf(openTo(root, `"codeartifact:DescribeRepository"`))
	changed := strings.NewReplacer(policy, "", `"first"`, `"second"`, "codeartifact:GetAuthorizationToken", "codeartifact:DescribeDomain", `"team"`, `"unit"`).Replace(body)
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("p"), TemplateBody: &changed}); err != nil {
		t.Fatal(err)
	}
	if shown, err = stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("p")}); err != nil || shown.Stacks[0].StackStatus != "UPDATE_COMPLETE" {
		t.Fatalf("%+v %v", shown, err)
	}
	_, err = reader.DescribeRepository(ctx, describe)
	wantCode(t, err, "AccessDeniedException")
	_, err = reader.GetAuthorizationToken(ctx, get)
	wantCode(t, err, "AccessDeniedException")
	if _, err := reader.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: aws.String("shop"), DomainOwner: aws.String(owner)}); err != nil {
		t.Error(err)
	}
	if out, err := packages.DescribeRepository(ctx, &codeartifact.DescribeRepositoryInput{Domain: aws.String("shop"), Repository: aws.String("clients")}); err != nil || *out.Repository.Description != "second" {
		t.Errorf("%+v %v", out, err)
	}
	if tags, err = packages.ListTagsForResource(ctx, &codeartifact.ListTagsForResourceInput{ResourceArn: aws.String(domainARN)}); err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "unit" {
		t.Errorf("%+v %v", tags, err)
	}

	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("p")}); err != nil {
		t.Fatal(err)
	}
	_, err = packages.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: aws.String("shop")})
	wantCode(t, err, "ResourceNotFoundException")

	// A policy that CodeArtifact refuses fails the stack, and leaves nothing.
	wrong := strings.Replace(body, root, "arn:aws:iam::222222222222:role/ghost", 1)
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("wrong"), TemplateBody: &wrong}); err != nil {
		t.Fatal(err)
	}
	if shown, err = stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("wrong")}); err != nil || shown.Stacks[0].StackStatus != "ROLLBACK_COMPLETE" {
		t.Fatalf("%+v %v", shown, err)
	}
	_, err = packages.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: aws.String("shop")})
	wantCode(t, err, "ResourceNotFoundException")
}
