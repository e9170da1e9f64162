package directory

import (
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// awsPolicy is one of AWS's own managed policies. Documents were written down
// by hand in 2026 and say what AWS's said then; AWS changes its policies without
// notice. If Short is set, the document names whole families of actions
// (s3:Get*) for a few dozen services where AWS's lists hundreds of actions, so
// that it allows a little more or less than AWS's.
type awsPolicy struct {
	Path, Name  string
	Description string
	Short       bool
	Allow       []string // actions, on every resource
	Document    string   // instead of Allow
}

// The policies our examples and most people's roles attach. Many more exist;
// attaching one that is not here fails with NoSuchEntity.
//
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
var awsPolicies = []awsPolicy{
	{Path: "/", Name: "AdministratorAccess", Description: "Provides full access to AWS services and resources.", Allow: []string{"*"}},
	{Path: "/", Name: "PowerUserAccess", Description: "Provides full access to AWS services and resources, but does not allow management of Users and groups.",
		Document: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},
			{"Effect":"Allow","Action":["account:GetAccountInformation","account:GetGovCloudAccountInformation","account:GetPrimaryEmail","account:ListRegions","iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles","organizations:DescribeEffectivePolicy","organizations:DescribeOrganization"],"Resource":"*"}]}`},
	{Path: "/", Name: "IAMFullAccess", Description: "Provides full access to IAM via the AWS Management Console.",
		Allow: []string{"iam:*", "organizations:DescribeAccount", "organizations:DescribeOrganization", "organizations:DescribeOrganizationalUnit", "organizations:DescribePolicy", "organizations:ListChildren", "organizations:ListParents", "organizations:ListPoliciesForTarget", "organizations:ListRoots", "organizations:ListPolicies", "organizations:ListTargetsForPolicy"}},
	{Path: "/", Name: "IAMReadOnlyAccess", Description: "Provides read only access to IAM via the AWS Management Console.",
		Allow: []string{"iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails", "iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy"}},
	{Path: "/", Name: "ReadOnlyAccess", Description: "Provides read-only access to AWS services and resources.", Short: true, Allow: readOnlyActions},
	{Path: "/job-function/", Name: "ViewOnlyAccess", Description: "This policy grants permissions to view resources and basic metadata across all AWS services.", Short: true,
		Allow: []string{"athena:List*", "autoscaling:Describe*", "cloudformation:DescribeStacks", "cloudformation:List*", "cloudfront:List*", "cloudtrail:DescribeTrails", "cloudtrail:LookupEvents", "cloudwatch:List*", "dynamodb:ListTables", "ec2:Describe*", "ecs:Describe*", "ecs:List*", "elasticloadbalancing:Describe*", "iam:Get*", "iam:List*", "kinesis:List*", "kms:ListAliases", "kms:ListKeys", "lambda:List*", "logs:Describe*", "rds:Describe*", "route53:List*", "s3:ListAllMyBuckets", "s3:ListBucket", "secretsmanager:ListSecrets", "sns:List*", "sqs:ListQueues", "ssm:DescribeParameters", "states:List*"}},
	{Path: "/", Name: "SecurityAudit", Description: "The security audit template grants access to read security configuration metadata.", Short: true,
		Allow: []string{"access-analyzer:Get*", "access-analyzer:List*", "acm:Describe*", "acm:List*", "apigateway:GET", "cloudformation:Describe*", "cloudformation:GetStackPolicy", "cloudformation:GetTemplate", "cloudformation:List*", "cloudfront:Get*", "cloudfront:List*", "cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:List*", "cloudtrail:LookupEvents", "cloudwatch:Describe*", "config:Describe*", "config:Get*", "config:List*", "dynamodb:Describe*", "dynamodb:List*", "ec2:Describe*", "ecr:Describe*", "ecr:GetRepositoryPolicy", "ecs:Describe*", "ecs:List*", "eks:Describe*", "eks:List*", "elasticloadbalancing:Describe*", "guardduty:Get*", "guardduty:List*", "iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails", "iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy", "kinesis:Describe*", "kinesis:List*", "kms:Describe*", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:List*", "lambda:GetAccountSettings", "lambda:GetFunctionConfiguration", "lambda:GetPolicy", "lambda:List*", "logs:Describe*", "organizations:Describe*", "organizations:List*", "rds:Describe*", "route53:Get*", "route53:List*", "s3:GetAccountPublicAccessBlock", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetObjectAcl", "s3:GetReplicationConfiguration", "s3:ListAllMyBuckets", "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:ListSecrets", "securityhub:Get*", "securityhub:List*", "sns:GetTopicAttributes", "sns:List*", "sqs:GetQueueAttributes", "sqs:List*", "ssm:Describe*", "ssm:List*", "states:Describe*", "states:List*", "wafv2:Get*", "wafv2:List*"}},
	{Path: "/", Name: "AmazonS3FullAccess", Description: "Provides full access to all buckets via the AWS Management Console.", Allow: []string{"s3:*", "s3-object-lambda:*"}},
	{Path: "/", Name: "AmazonS3ReadOnlyAccess", Description: "Provides read only access to all buckets via the AWS Management Console.",
		Allow: []string{"s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*"}},
	{Path: "/", Name: "AWSCloudFormationFullAccess", Description: "Provides full access to AWS CloudFormation.", Allow: []string{"cloudformation:*"}},
	{Path: "/", Name: "AWSCloudFormationReadOnlyAccess", Description: "Provides access to AWS CloudFormation via the AWS Management Console.",
		Allow: []string{"cloudformation:Describe*", "cloudformation:EstimateTemplateCost", "cloudformation:Get*", "cloudformation:List*", "cloudformation:ValidateTemplate", "cloudformation:Detect*"}},
	{Path: "/service-role/", Name: "AWSLambdaBasicExecutionRole", Description: "Provides write permissions to CloudWatch Logs.",
		Allow: []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}},
	{Path: "/service-role/", Name: "AWSLambdaVPCAccessExecutionRole", Description: "Provides minimum permissions for a Lambda function to execute while accessing a resource within a VPC.", Short: true,
		Allow: []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}},
	{Path: "/service-role/", Name: "AWSLambdaKinesisExecutionRole", Description: "Provides list and read access to Kinesis streams and write permissions to CloudWatch logs.",
		Allow: []string{"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kinesis:ListStreams", "kinesis:SubscribeToShard", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}},
	{Path: "/service-role/", Name: "AWSLambdaSQSQueueExecutionRole", Description: "Provides receive message, delete message, and read attribute access to SQS queues, and write permissions to CloudWatch logs.",
		Allow: []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}},
	{Path: "/service-role/", Name: "AWSLambdaDynamoDBExecutionRole", Description: "Provides list and read access to DynamoDB streams and write permissions to CloudWatch logs.",
		Allow: []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}},
}

var readOnlyActions = []string{
	"access-analyzer:Get*", "access-analyzer:List*", "acm:Describe*", "acm:Get*", "acm:List*", "apigateway:GET", "athena:Get*", "athena:List*",
	"autoscaling:Describe*", "cloudformation:Describe*", "cloudformation:Get*", "cloudformation:List*", "cloudfront:Get*", "cloudfront:List*",
	"cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:List*", "cloudtrail:LookupEvents", "cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*",
	"codeartifact:Describe*", "codeartifact:Get*", "codeartifact:List*", "codeartifact:Read*", "config:Describe*", "config:Get*", "config:List*",
	"dynamodb:BatchGet*", "dynamodb:Describe*", "dynamodb:Get*", "dynamodb:List*", "dynamodb:Query", "dynamodb:Scan", "ec2:Describe*", "ec2:Get*",
	"ecr:BatchCheck*", "ecr:BatchGet*", "ecr:Describe*", "ecr:Get*", "ecr:List*", "ecs:Describe*", "ecs:List*", "eks:Describe*", "eks:List*",
	"elasticloadbalancing:Describe*", "events:Describe*", "events:List*", "glue:Get*", "glue:List*", "guardduty:Get*", "guardduty:List*",
	"iam:Generate*", "iam:Get*", "iam:List*", "iam:Simulate*", "kinesis:Describe*", "kinesis:Get*", "kinesis:List*", "kms:Describe*",
	"kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:List*", "lambda:Get*", "lambda:List*", "logs:Describe*", "logs:FilterLogEvents", "logs:Get*",
	"logs:List*", "organizations:Describe*", "organizations:List*", "rds:Describe*", "rds:List*", "route53:Get*", "route53:List*",
	"s3:Get*", "s3:List*", "secretsmanager:Describe*", "secretsmanager:GetResourcePolicy", "secretsmanager:List*", "sns:Get*", "sns:List*",
	"sqs:Get*", "sqs:List*", "sqs:Receive*", "ssm:Describe*", "ssm:Get*", "ssm:List*", "states:Describe*", "states:GetExecutionHistory", "states:List*",
	"sts:GetAccessKeyInfo", "sts:GetCallerIdentity", "sts:GetSessionToken", "tag:Get*", "wafv2:Get*", "wafv2:List*", "xray:BatchGet*", "xray:Get*",
}

// awsManagedSince stands for the day AWS made its policies. They all show the
// same one.
var awsManagedSince = time.Date(2015, time.February, 6, 18, 39, 46, 0, time.UTC)

// awsDocuments compiles awsPolicies, in their order. Every directory shares the
// result.
var awsDocuments = sync.OnceValue(func() []*Document {
	documents := make([]*Document, len(awsPolicies))
	for i, p := range awsPolicies {
		document, err := NewDocument(p.text(), iam.KindIdentity, "AWS managed policy "+p.Name)
		if err != nil {
			panic("directory: AWS managed policy " + p.Name + ": " + err.Error())
		}
		documents[i] = document
	}
	return documents
})

// awsManaged returns AWS's own policies by ARN, in every partition.
func awsManaged(ids *generator) map[string]*ManagedPolicy {
	byARN := make(map[string]*ManagedPolicy)
	for i, p := range awsPolicies {
		document, id := awsDocuments()[i], ids.uniqueID(prefixPolicy)
		for _, partition := range iam.Partitions() {
			policy := &ManagedPolicy{
				Account: AWSAccount, Partition: partition.ID, Path: p.Path, Name: p.Name, ID: id,
				Description: p.description(), Created: awsManagedSince, Updated: awsManagedSince,
			}
			policy.Default = policy.AddVersion(document, awsManagedSince)
			byARN[policy.ARN()] = policy
		}
	}
	return byARN
}

func (p awsPolicy) description() string {
	if p.Short {
		return p.Description + " (shortened in the sandbox)"
	}
	return p.Description
}

func (p awsPolicy) text() string {
	if p.Document != "" {
		return p.Document
	}
	return "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Allow\",\n            \"Action\": [\n                \"" +
		strings.Join(p.Allow, "\",\n                \"") + "\"\n            ],\n            \"Resource\": \"*\"\n        }\n    ]\n}"
}

// AWSManagedPolicies returns AWS's own managed policies in a partition, sorted
// by name.
func (d *Directory) AWSManagedPolicies(partition string) []*ManagedPolicy {
	var policies []*ManagedPolicy
	for _, p := range d.managed {
		if p.Partition == partition {
			policies = append(policies, p)
		}
	}
	sort.Slice(policies, func(i, j int) bool { return policies[i].Name < policies[j].Name })
	return policies
}
