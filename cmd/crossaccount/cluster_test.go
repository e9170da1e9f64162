package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// clusterStack is a cluster and a role for its service account reports/reader, by
// IAM roles for service accounts and by Pod Identity.
const clusterStack = `
Resources:
  ClusterRole: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: eks.amazonaws.com}, Action: "sts:AssumeRole"}]}}}
  Cluster: {Type: AWS::EKS::Cluster, Properties: {Name: shop, RoleArn: !GetAtt ClusterRole.Arn, ResourcesVpcConfig: {SubnetIds: [subnet-1, subnet-2]}}}
  Provider: {Type: AWS::IAM::OIDCProvider, Properties: {Url: !GetAtt Cluster.OpenIdConnectIssuerUrl, ClientIdList: [sts.amazonaws.com]}}
  Reader:
    Type: AWS::IAM::Role
    Properties:
      RoleName: reader
      AssumeRolePolicyDocument: !Sub
        - '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"${Provider}"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"${Issuer}:sub":"system:serviceaccount:reports:reader","${Issuer}:aud":"sts.amazonaws.com"}}},{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}'
        - Issuer: !Select [1, !Split ["//", !GetAtt Cluster.OpenIdConnectIssuerUrl]]
  Association: {Type: AWS::EKS::PodIdentityAssociation, Properties: {ClusterName: !Ref Cluster, Namespace: reports, ServiceAccount: reader, RoleArn: !GetAtt Reader.Arn}}
`

// eksCluster makes a cluster called shop in the vendor's account:
//
//	eks-cluster
//
// It sets READER to the role of its service account reports/reader, and NODE_… to
// credentials of a user who may do nothing but ask EKS for credentials of pods.
func eksCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: eks-cluster")
	}
	box, ok := worlds.Load(ts.Getenv("AWS_ENDPOINT_URL"))
	if !ok {
		ts.Fatalf("eks-cluster comes after aws-world")
	}
	vendor := box.(*sandboxtest.Sandbox).Account(vendorID)
	client := cloudformation.NewFromConfig(vendor.Config())
	_, err := client.CreateStack(context.Background(), &cloudformation.CreateStackInput{StackName: aws.String("pods"), TemplateBody: aws.String(clusterStack), Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}})
	ts.Check(err)
	out, err := client.DescribeStacks(context.Background(), &cloudformation.DescribeStacksInput{StackName: aws.String("pods")})
	ts.Check(err)
	if s := out.Stacks[0]; s.StackStatus != types.StackStatusCreateComplete {
		ts.Fatalf("the stack of the cluster is %s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	node := vendor.UserCredentials("node", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"*"}}`)
	ts.Setenv("READER", "arn:aws:iam::"+vendorID+":role/reader")
	ts.Setenv("NODE_KEY_ID", node.AccessKeyID)
	ts.Setenv("NODE_SECRET", node.SecretAccessKey)
}
