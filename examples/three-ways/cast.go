package main

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
)

// tokenFile is a pod's token, which EKS puts into a file.
type tokenFile string

func (f tokenFile) GetIdentityToken() ([]byte, error) { return []byte(f), nil }

func trusts(service string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`)
}

// cluster makes what exists before the plan: the platform's cluster, and a role
// of the reports team that may do everything in its own account.
func (w *world) cluster(ctx context.Context) (arn, issuer string, err error) {
	nodes, err := iam.NewFromConfig(w.config("platform-prod")).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("cluster"), AssumeRolePolicyDocument: trusts("eks.amazonaws.com")})
	if err != nil {
		return "", "", err
	}
	made, err := eks.NewFromConfig(w.config("platform-prod")).CreateCluster(ctx, &eks.CreateClusterInput{
		Name: aws.String("blue"), RoleArn: nodes.Role.Arn, ResourcesVpcConfig: &ekstypes.VpcConfigRequest{SubnetIds: []string{"subnet-1", "subnet-2"}},
	})
	if err != nil {
		return "", "", err
	}
	roles := iam.NewFromConfig(w.config("reports-prod"))
	stranger, err := roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("stranger"), AssumeRolePolicyDocument: trusts("lambda.amazonaws.com")})
	if err != nil {
		return "", "", err
	}
	w.stranger = *stranger.Role.Arn
	_, err = roles.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("stranger"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	return *made.Cluster.Arn, *made.Cluster.Identity.Oidc.Issuer, err
}

// fill puts a price into the table and gives the key an alias, and finds the ARNs
// that AWS has made up.
func (w *world) fill(ctx context.Context, plan *grant.Plan) (secretARN, keyARN string, err error) {
	shop := w.config("shop-prod")
	if _, err := dynamodb.NewFromConfig(shop).PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("prod-prices"), Item: tea("4.25")}); err != nil {
		return "", "", err
	}
	found := map[string]string{}
	for _, name := range []string{"database", "key"} {
		source, ok := plan.Created(name, "prod")
		if !ok {
			return "", "", errors.New("the plan does not create " + name)
		}
		out, err := cloudformation.NewFromConfig(shop).DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: &source.Stack.Name, LogicalResourceId: &source.LogicalID})
		if err != nil {
			return "", "", err
		}
		found[name] = *out.StackResourceDetail.PhysicalResourceId
	}
	keys := kms.NewFromConfig(shop)
	if _, err := keys.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String(keyAlias), TargetKeyId: aws.String(found["key"])}); err != nil {
		return "", "", err
	}
	key, err := keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(found["key"])})
	if err != nil {
		return "", "", err
	}
	return found["database"], *key.KeyMetadata.Arn, nil
}

// asFunction runs code in a Lambda function of reports-prod, with the credentials
// that Lambda gives it of its role.
func (w *world) asFunction(ctx context.Context, role string, code func(context.Context, aws.Config) error) error {
	name := aws.String("report")
	var failure error
	w.box.RegisterFunction(*name, func(ctx context.Context, in sandbox.Invocation) ([]byte, error) {
		failure = code(ctx, aws.Config{Region: region, HTTPClient: w.box.Client(),
			Credentials: credentials.NewStaticCredentialsProvider(in.Credentials.AccessKeyID, in.Credentials.SecretAccessKey, in.Credentials.SessionToken)})
		return []byte(`"done"`), nil
	})
	client := lambda.NewFromConfig(w.config("reports-prod"))
	if _, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: name, Role: &role, Timeout: aws.Int32(60), Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	}); err != nil {
		return err
	}
	ran, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: name})
	if err == nil && ran.FunctionError != nil {
		err = errors.New(string(ran.Payload))
	}
	_, deleted := client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name})
	return errors.Join(err, failure, deleted)
}

// tags returns the tags of a role of the shop, which everything that a plan creates
// has.
func (w *world) tags(ctx context.Context, role string) (string, error) {
	out, err := iam.NewFromConfig(w.config("shop-prod")).ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: &role})
	if err != nil {
		return "", err
	}
	var all []string
	for _, t := range out.Tags {
		all = append(all, *t.Key+"="+*t.Value)
	}
	return strings.Join(all, ", "), nil
}

// left names what is in the accounts of the shop and the team that was not there
// before the plan.
func (w *world) left(ctx context.Context) (string, error) {
	var all []string
	for _, account := range []string{"shop-prod", "reports-prod"} {
		client := iam.NewFromConfig(w.config(account))
		roles, err := client.ListRoles(ctx, &iam.ListRolesInput{})
		if err != nil {
			return "", err
		}
		for _, r := range roles.Roles {
			if *r.Arn != w.stranger {
				all = append(all, *r.Arn)
			}
		}
		providers, err := client.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
		if err != nil {
			return "", err
		}
		for _, p := range providers.OpenIDConnectProviderList {
			all = append(all, *p.Arn)
		}
		tables, err := dynamodb.NewFromConfig(w.config(account)).ListTables(ctx, &dynamodb.ListTablesInput{})
		if err != nil {
			return "", err
		}
		all = append(all, tables.TableNames...)
	}
	return strings.Join(all, " "), nil
}
