package services

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// Tags of repositories and buses come from stacks and from their own operations,
// and policies can ask for them.
func TestTagsOfRepositoriesAndBuses(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(admin)
	template := func(stage string) *string {
		return aws.String(`{"Resources":{
			"Bus":{"Type":"AWS::Events::EventBus","Properties":{"Name":"orders","Tags":[{"Key":"stage","Value":"` + stage + `"}]}},
			"Images":{"Type":"AWS::ECR::Repository","Properties":{"RepositoryName":"orders","Tags":[{"Key":"stage","Value":"` + stage + `"}]}}}}`)
	}
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("tags"), TemplateBody: template("beta"), Tags: []cftypes.Tag{{Key: aws.String("owner"), Value: aws.String("shop")}}}); err != nil {
		t.Fatal(err)
	}
	box.Advance()
	images, buses := ecr.NewFromConfig(admin), eventbridge.NewFromConfig(admin)
	repository, bus := aws.String("arn:aws:ecr:us-east-1:"+owner+":repository/orders"), aws.String("arn:aws:events:us-east-1:"+owner+":event-bus/orders")
	want := func(stage string, more ...string) {
		t.Helper()
		want := map[string]string{"stage": stage, "owner": "shop"}
		for _, name := range more {
			want[name] = "yes"
		}
		ofRepository, err := images.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: repository})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, tag := range ofRepository.Tags {
			got[*tag.Key] = *tag.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the repository's tags (-want +got):\n%s", diff)
		}
		ofBus, err := buses.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: bus})
		if err != nil {
			t.Fatal(err)
		}
		got = map[string]string{}
		for _, tag := range ofBus.Tags {
			got[*tag.Key] = *tag.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the bus's tags (-want +got):\n%s", diff)
		}
	}
	want("beta")
	if _, err := images.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: repository, Tags: []ecrtypes.Tag{{Key: aws.String("extra"), Value: aws.String("yes")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := buses.TagResource(ctx, &eventbridge.TagResourceInput{ResourceARN: bus, Tags: []eventtypes.Tag{{Key: aws.String("extra"), Value: aws.String("yes")}}}); err != nil {
		t.Fatal(err)
	}
	want("beta", "extra")
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("tags"), TemplateBody: template("prod"), Tags: []cftypes.Tag{{Key: aws.String("owner"), Value: aws.String("shop")}}}); err != nil {
		t.Fatal(err)
	}
	box.Advance()
	want("prod", "extra")

	tagger := box.Account(owner).User("tagger", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ecr:UntagResource","events:UntagResource"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/stage":"beta"}}}}`)
	_, err := ecr.NewFromConfig(tagger).UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: repository, TagKeys: []string{"extra"}})
	wantCode(t, err, "AccessDeniedException")
	_, err = eventbridge.NewFromConfig(tagger).UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: bus, TagKeys: []string{"extra"}})
	wantCode(t, err, "AccessDeniedException")
	if _, err := images.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: repository, TagKeys: []string{"extra"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := buses.UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: bus, TagKeys: []string{"extra"}}); err != nil {
		t.Fatal(err)
	}
	want("prod")
}
