package grant

import (
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// ecrRepository is the kind of private ECR repositories. Statements of their
// policies have no Resource element.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html
func ecrRepository() *kind {
	token := right{sid: "GetAuthorizationToken", actions: []string{"ecr:GetAuthorizationToken"}, on: everything, side: consumerSide}
	pull := []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"}
	push := []string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
	return &kind{
		name: "ecr-repository", title: "ECR repository", service: "ecr",
		page: "https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html",
		arn:  arnOf("ecr", "repository/"),
		accesses: []access{
			{word: "pull", doc: "pull images", readOnly: true, rights: []right{token, {sid: "PullImages", actions: pull}}},
			{word: "push", doc: "push images", rights: []right{token, {sid: "PushImages", actions: append(slices.Clone(push), pull...)}}},
		},
		policy: &policyType{
			service: "ecr", property: "RepositoryPolicyText", bare: true,
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_ecr_repository_policy", Arguments: template.Object{{Key: "repository", Value: i.physical}, {Key: "policy", Value: p}}}
			},
			put: func(i *instance, _ string) []string {
				return []string{"aws", "ecr", "set-repository-policy", "--registry-id", i.site.ID, "--repository-name", i.physical, "--policy-text", documentFile}
			},
			remove: func(i *instance, _ string) []string {
				return []string{"aws", "ecr", "delete-repository-policy", "--registry-id", i.site.ID, "--repository-name", i.physical}
			},
		},
		create: &createType{cloudFormation: "AWS::ECR::Repository", nameProperty: "RepositoryName", arnAttribute: "Arn", policies: []string{"RepositoryPolicyText"}},
		caveats: []string{
			"The token for docker login comes from the consumer's own account: GetAuthorizationToken cannot be granted by a repository.",
			"Functions that run an image of another account need a statement for lambda.amazonaws.com as well; put it in keep.",
		},
	}
}
