package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const pulls = `["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability"]`

func repositoryPolicy(principal, actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"pull","Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + actions + `}]}`
}

func newRepository(t *testing.T, client *ecr.Client, policy string) {
	t.Helper()
	if _, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/app")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutImage(ctx, &ecr.PutImageInput{RepositoryName: aws.String("team/app"), ImageManifest: aws.String(`{"schemaVersion":2}`), ImageTag: aws.String("v1")}); err != nil {
		t.Fatal(err)
	}
	if policy == "" {
		return
	}
	if _, err := client.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: aws.String("team/app"), PolicyText: &policy}); err != nil {
		t.Fatal(err)
	}
}

func pull(client *ecr.Client, tag string) (*ecr.BatchGetImageOutput, error) {
	return client.BatchGetImage(ctx, &ecr.BatchGetImageInput{RegistryId: aws.String(owner), RepositoryName: aws.String("team/app"), ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}})
}

func TestPullAcrossAccounts(t *testing.T) {
	puller := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":` + pulls + `,"Resource":"arn:aws:ecr:us-east-1:111111111111:repository/team/app"}}`
	for _, test := range []struct{ name, policy, identity, want string }{
		{"both sides", repositoryPolicy(friend, pulls), puller, ""},
		{"no repository policy", "", puller, "AccessDeniedException"},
		{"no identity policy", repositoryPolicy(friend, pulls), justS3, "AccessDeniedException"},
		{"another action", repositoryPolicy(friend, `"ecr:PutImage"`), puller, "AccessDeniedException"},
		{"another account", repositoryPolicy(owner, pulls), puller, "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			newRepository(t, ecr.NewFromConfig(box.Account(owner).User("admin", allowAll)), test.policy)
			client := ecr.NewFromConfig(box.Account(friend).User("app", test.identity))
			got, err := pull(client, "v1")
			wantCode(t, err, test.want)
			if err == nil && (len(got.Images) != 1 || *got.Images[0].ImageManifest != `{"schemaVersion":2}`) {
				t.Fatalf("pulled %+v", got)
			}
			_, err = client.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{RegistryId: aws.String(owner), RepositoryName: aws.String("team/app"), LayerDigest: aws.String("sha256:" + strings.Repeat("0", 64))})
			if want := test.want; want == "" {
				wantCode(t, err, "LayersNotFoundException")
			} else {
				wantCode(t, err, want)
			}
			_, err = client.PutImage(ctx, &ecr.PutImageInput{RegistryId: aws.String(owner), RepositoryName: aws.String("team/app"), ImageManifest: aws.String(`{}`)})
			wantCode(t, err, "AccessDeniedException")
		})
	}
}

func TestRepositoryPolicyLimits(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := ecr.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newRepository(t, client, "")
	name := aws.String("team/app")
	_, err := client.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: name})
	wantCode(t, err, "RepositoryPolicyNotFoundException")
	well := repositoryPolicy("arn:aws:iam::111111111111:root", pulls)
	for _, test := range []struct{ name, policy, want string }{
		{"with a Resource", strings.Replace(well, `"Sid"`, `"Resource":"*","Sid"`, 1), "InvalidParameterException"},
		{"another service", repositoryPolicy(owner, `"s3:GetObject"`), "InvalidParameterException"},
		{"too long", well + strings.Repeat(" ", 10240), "InvalidParameterException"},
		{"a role that does not exist", repositoryPolicy("arn:aws:iam::111111111111:role/ghost", pulls), "InvalidParameterException"},
		{"no JSON", "policy", "InvalidParameterException"},
		{"well", well, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: &test.policy})
			wantCode(t, err, test.want)
		})
	}
	got, err := client.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: name})
	if err != nil || *got.PolicyText != well {
		t.Fatalf("%v %v", got, err)
	}
	missing, err := pull(client, "v2")
	if err != nil || len(missing.Images) != 0 || len(missing.Failures) != 1 {
		t.Fatalf("%+v %v", missing, err)
	}
	_, err = client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: name})
	wantCode(t, err, "RepositoryNotEmptyException")
	_, err = client.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: name})
	wantCode(t, err, "NotImplemented")
	token, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil || *token.AuthorizationData[0].ProxyEndpoint != "https://111111111111.dkr.ecr.us-east-1.amazonaws.com" {
		t.Fatalf("%+v %v", token, err)
	}
	_, err = ecr.NewFromConfig(box.Account(owner).User("app", justS3)).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	wantCode(t, err, "AccessDeniedException")
}

func TestRepositoryStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{"Repository":{"Type":"AWS::ECR::Repository","Properties":{"RepositoryName":"team/app","RepositoryPolicyText":` + repositoryPolicy("arn:aws:iam::222222222222:root", pulls) + `}}},
		"Outputs":{"Uri":{"Value":{"Fn::GetAtt":["Repository","RepositoryUri"]}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("r"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	shown, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("r")})
	if err != nil || *shown.Stacks[0].Outputs[0].OutputValue != "111111111111.dkr.ecr.us-east-1.amazonaws.com/team/app" {
		t.Fatalf("%+v %v", shown, err)
	}
	client := ecr.NewFromConfig(box.Account(friend).User("app", allowAll))
	if got, err := pull(client, "v1"); err != nil || len(got.Failures) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("r")}); err != nil {
		t.Fatal(err)
	}
	_, err = pull(client, "v1")
	wantCode(t, err, "AccessDeniedException")
}
