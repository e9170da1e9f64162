package policies

import "github.com/crossaccount/crossaccount/iam"

// An attachment says where a type of resource carries a policy.
type attachment struct {
	path    string // below Properties; an asterisk stands for every item of a list
	kind    iam.Kind
	service string // of a resource policy
	inline  bool
	on      string   // the property that names what the policy is attached to; "" is the resource itself
	except  []string // rules that do not hold here
}

// registry is the policy of an ECR registry. Unlike those of repositories, it
// names the repositories it is about.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html
func registry(path string) []attachment {
	return []attachment{{path: path, kind: iam.KindResource, service: "ecr", except: []string{"GX-S06"}}}
}

func onResource(service, path, on string) []attachment {
	return []attachment{{path: path, kind: iam.KindResource, service: service, on: on}}
}

func embedded(path string) attachment {
	return attachment{path: path, kind: iam.KindIdentity, inline: true}
}

// attachments lists the types of CloudFormation resources that carry policies in
// the language of IAM, with where. Policies of AWS IoT and those in Cedar are
// other languages.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
var attachments = map[string][]attachment{
	"AWS::IAM::Role":          {{path: "AssumeRolePolicyDocument", kind: iam.KindTrust}, embedded("Policies/*/PolicyDocument")},
	"AWS::IAM::User":          {embedded("Policies/*/PolicyDocument")},
	"AWS::IAM::Group":         {embedded("Policies/*/PolicyDocument")},
	"AWS::IAM::Policy":        {embedded("PolicyDocument")},
	"AWS::IAM::RolePolicy":    {embedded("PolicyDocument")},
	"AWS::IAM::UserPolicy":    {embedded("PolicyDocument")},
	"AWS::IAM::GroupPolicy":   {embedded("PolicyDocument")},
	"AWS::IAM::ManagedPolicy": {{path: "PolicyDocument", kind: iam.KindIdentity}},
	"AWS::SSO::PermissionSet": {embedded("InlinePolicy")},

	"AWS::Serverless::Function":     {{path: "AssumeRolePolicyDocument", kind: iam.KindTrust}},
	"AWS::Serverless::StateMachine": {},
	"AWS::Serverless::Api":          onResource("execute-api", "Auth/ResourcePolicy/CustomStatements", ""),

	"AWS::EC2::VPCEndpoint":              {{path: "PolicyDocument", kind: iam.KindEndpoint}},
	"AWS::EKS::PodIdentityAssociation":   {{path: "Policy", kind: iam.KindSession}},
	"AWS::Transfer::User":                {{path: "Policy", kind: iam.KindSession}},
	"AWS::Organizations::ResourcePolicy": onResource("organizations", "Content", ""),

	"AWS::S3::BucketPolicy":                  onResource("s3", "PolicyDocument", "Bucket"),
	"AWS::S3::AccessPoint":                   onResource("s3", "Policy", ""),
	"AWS::S3::MultiRegionAccessPointPolicy":  onResource("s3", "Policy", ""),
	"AWS::S3ObjectLambda::AccessPointPolicy": onResource("s3-object-lambda", "PolicyDocument", ""),
	"AWS::S3Outposts::AccessPoint":           onResource("s3-outposts", "Policy", ""),
	"AWS::S3Outposts::BucketPolicy":          onResource("s3-outposts", "PolicyDocument", ""),
	"AWS::S3Express::BucketPolicy":           onResource("s3express", "PolicyDocument", ""),
	"AWS::S3Express::AccessPoint":            onResource("s3express", "Policy", ""),
	"AWS::S3Tables::TableBucketPolicy":       onResource("s3tables", "ResourcePolicy", ""),
	"AWS::S3Tables::TablePolicy":             onResource("s3tables", "ResourcePolicy", ""),
	"AWS::S3Vectors::VectorBucketPolicy":     onResource("s3vectors", "Policy", ""),
	"AWS::S3Files::FileSystemPolicy":         onResource("s3files", "Policy", ""),

	"AWS::SQS::QueuePolicy":               onResource("sqs", "PolicyDocument", "Queues"),
	"AWS::SQS::QueueInlinePolicy":         onResource("sqs", "PolicyDocument", "Queue"),
	"AWS::SNS::TopicPolicy":               onResource("sns", "PolicyDocument", "Topics"),
	"AWS::SNS::TopicInlinePolicy":         onResource("sns", "PolicyDocument", "TopicArn"),
	"AWS::KMS::Key":                       onResource("kms", "KeyPolicy", ""),
	"AWS::KMS::ReplicaKey":                onResource("kms", "KeyPolicy", ""),
	"AWS::SecretsManager::ResourcePolicy": onResource("secretsmanager", "ResourcePolicy", "SecretId"),
	"AWS::SSM::ResourcePolicy":            onResource("ssm", "Policy", "ResourceArn"),
	"AWS::Lambda::ResourcePolicy":         onResource("lambda", "PolicyDocument", "ResourceArn"),
	"AWS::ECR::Repository":                onResource("ecr", "RepositoryPolicyText", ""),
	"AWS::ECR::RegistryPolicy":            registry("PolicyText"),
	"AWS::ECR::PublicRepository":          onResource("ecr-public", "RepositoryPolicyText", ""),
	"AWS::ECR::RepositoryCreationTemplate": onResource("ecr",
		"RepositoryPolicy", ""),
	"AWS::Kinesis::ResourcePolicy": onResource("kinesis", "ResourcePolicy", "ResourceArn"),
	"AWS::DynamoDB::Table": {
		{path: "ResourcePolicy/PolicyDocument", kind: iam.KindResource, service: "dynamodb"},
		{path: "StreamSpecification/ResourcePolicy/PolicyDocument", kind: iam.KindResource, service: "dynamodb", on: "?"},
	},
	"AWS::DynamoDB::GlobalTable": {
		{path: "Replicas/*/ResourcePolicy/PolicyDocument", kind: iam.KindResource, service: "dynamodb", on: "?"},
		{path: "Replicas/*/ReplicaStreamSpecification/ResourcePolicy/PolicyDocument", kind: iam.KindResource, service: "dynamodb", on: "?"},
	},
	"AWS::ApiGateway::RestApi":                   onResource("execute-api", "Policy", ""),
	"AWS::ApiGateway::DomainNameV2":              onResource("execute-api", "Policy", ""),
	"AWS::Events::EventBus":                      onResource("events", "Policy", ""),
	"AWS::Backup::BackupVault":                   onResource("backup", "AccessPolicy", ""),
	"AWS::Backup::LogicallyAirGappedBackupVault": onResource("backup", "AccessPolicy", ""),
	"AWS::EFS::FileSystem":                       onResource("elasticfilesystem", "FileSystemPolicy", ""),
	"AWS::CodeArtifact::Domain":                  onResource("codeartifact", "PermissionsPolicyDocument", ""),
	"AWS::CodeArtifact::Repository":              onResource("codeartifact", "PermissionsPolicyDocument", ""),
	"AWS::OpenSearchService::Domain":             onResource("es", "AccessPolicies", ""),
	"AWS::Elasticsearch::Domain":                 onResource("es", "AccessPolicies", ""),
	"AWS::MSK::ClusterPolicy":                    onResource("kafka", "Policy", "ClusterArn"),
	"AWS::MediaStore::Container":                 onResource("mediastore", "Policy", ""),
	"AWS::MediaPackageV2::ChannelPolicy":         onResource("mediapackagev2", "Policy", ""),
	"AWS::MediaPackageV2::OriginEndpointPolicy":  onResource("mediapackagev2", "Policy", ""),
	"AWS::Logs::ResourcePolicy":                  onResource("logs", "PolicyDocument", ""),
	"AWS::Logs::Destination":                     onResource("logs", "DestinationPolicy", ""),
	"AWS::Logs::LogGroup":                        onResource("logs", "ResourcePolicyDocument", ""),
	"AWS::Logs::DeliveryDestination":             onResource("logs", "DeliveryDestinationPolicy/DeliveryDestinationPolicy", ""),
	"AWS::XRay::ResourcePolicy":                  onResource("xray", "PolicyDocument", ""),
	"AWS::CloudTrail::ResourcePolicy":            onResource("cloudtrail", "ResourcePolicy", "ResourceArn"),
	"AWS::VpcLattice::AuthPolicy":                onResource("vpc-lattice-svcs", "Policy", "ResourceIdentifier"),
	"AWS::VpcLattice::ResourcePolicy":            onResource("vpc-lattice", "Policy", "ResourceArn"),
	"AWS::Redshift::Cluster":                     onResource("redshift", "NamespaceResourcePolicy", ""),
	"AWS::RedshiftServerless::Namespace":         onResource("redshift-serverless", "NamespaceResourcePolicy", ""),
	"AWS::OSIS::Pipeline":                        onResource("osis", "ResourcePolicy/Policy", ""),
	"AWS::Oam::Sink":                             onResource("oam", "Policy", ""),
	"AWS::APS::ResourcePolicy":                   onResource("aps", "PolicyDocument", ""),
	"AWS::Bedrock::ResourcePolicy":               onResource("bedrock", "PolicyDocument", "ResourceArn"),
	"AWS::DSQL::Cluster":                         onResource("dsql", "PolicyDocument", ""),
	"AWS::Lex::ResourcePolicy":                   onResource("lex", "Policy", "ResourceArn"),
	"AWS::RUM::AppMonitor":                       onResource("rum", "ResourcePolicy/PolicyDocument", ""),
	"AWS::SageMaker::ModelPackageGroup":          onResource("sagemaker", "ModelPackageGroupPolicy", ""),
}

// otherLanguages are types whose policies look like IAM's and are not.
var otherLanguages = []string{"AWS::IoT::", "AWS::VerifiedPermissions::", "AWS::OpenSearchServerless::", "AWS::EC2::VerifiedAccess", "AWS::NetworkFirewall::", "AWS::FMS::", "AWS::DLM::"}
