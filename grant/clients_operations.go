package grant

import (
	"slices"
	"strings"
)

// An sdk is how the SDKs name a service.
type sdk struct {
	node      string // "@aws-sdk/client-" before it is the package
	nodeClass string // "Client" after it
	python    string
	golang    string
	dotnet    string // namespace, "Amazon." before it
	class     string // "Client" after it
	nuget     string // "AWSSDK." before it
}

var sdks = map[string]sdk{
	"codeartifact":    {"codeartifact", "Codeartifact", "codeartifact", "codeartifact", "CodeArtifact", "AmazonCodeArtifact", "CodeArtifact"},
	"dynamodb":        {"dynamodb", "DynamoDB", "dynamodb", "dynamodb", "DynamoDBv2", "AmazonDynamoDB", "DynamoDBv2"},
	"dynamodbstreams": {"dynamodb-streams", "DynamoDBStreams", "dynamodbstreams", "dynamodbstreams", "DynamoDBStreams", "AmazonDynamoDBStreams", "DynamoDBStreams"},
	"ecr":             {"ecr", "ECR", "ecr", "ecr", "ECR", "AmazonECR", "ECR"},
	"events":          {"eventbridge", "EventBridge", "events", "eventbridge", "EventBridge", "AmazonEventBridge", "EventBridge"},
	"kinesis":         {"kinesis", "Kinesis", "kinesis", "kinesis", "Kinesis", "AmazonKinesis", "Kinesis"},
	"kms":             {"kms", "KMS", "kms", "kms", "KeyManagementService", "AmazonKeyManagementService", "KeyManagementService"},
	"lambda":          {"lambda", "Lambda", "lambda", "lambda", "Lambda", "AmazonLambda", "Lambda"},
	"s3":              {"s3", "S3", "s3", "s3", "S3", "AmazonS3", "S3"},
	"secretsmanager":  {"secrets-manager", "SecretsManager", "secretsmanager", "secretsmanager", "SecretsManager", "AmazonSecretsManager", "SecretsManager"},
	"sns":             {"sns", "SNS", "sns", "sns", "SimpleNotificationService", "AmazonSimpleNotificationService", "SimpleNotificationService"},
	"sqs":             {"sqs", "SQS", "sqs", "sqs", "SQS", "AmazonSQS", "SQS"},
	"states":          {"sfn", "SFN", "stepfunctions", "sfn", "StepFunctions", "AmazonStepFunctions", "StepFunctions"},
	"sts":             {"sts", "STS", "sts", "sts", "SecurityToken", "AmazonSecurityTokenService", "SecurityToken"},
}

// An operation is the example of a call that a snippet has.
type operation struct {
	service string
	Name    string // "ListShards"
	Action  string // that it needs
	Members []inputMember
}

// An inputMember is one member of an operation's input.
type inputMember struct {
	Name   string
	Value  value
	Blob   bool   // bytes
	Stream bool   // bytes that Go takes from a reader
	DotNet string // its name in .NET, if that differs
	List   string // type of the elements; then Value is empty and Of is the one element
	Of     []inputMember
}

// A value is a text, or comes from an environment variable.
type value struct{ Text, Variable string }

func text1(name, s string) inputMember { return inputMember{Name: name, Value: value{Text: s}} }

// example names what the examples of writing write.
const example = "crossaccount-example"

// operation chooses an example that the grant allows: what the access is for,
// where that does no harm, and else something to look at.
func (s *snippet) operation() *operation {
	e, i := s.edge, s.edge.resource
	arn := s.known(i.arn, "ARN", "the ARN of the "+i.kind.title)
	named := func(member1 string) inputMember { return inputMember{Name: member1, Value: arn} }
	op := func(service, name string, members ...inputMember) *operation {
		action := service + ":" + name
		switch action {
		case "s3:ListObjectsV2":
			action = "s3:ListBucket"
		case "lambda:Invoke":
			action = "lambda:InvokeFunction"
		case "dynamodbstreams:DescribeStream":
			action = "dynamodb:DescribeStream"
		}
		return &operation{service, name, action, members}
	}
	word := e.grant.Access[0]
	switch i.kind.name + " " + word {
	case "kinesis-stream read":
		return op("kinesis", "ListShards", named("StreamARN"))
	case "kinesis-stream subscribe":
		return op("kinesis", "DescribeStreamSummary", named("StreamARN"))
	case "kinesis-stream write":
		return op("kinesis", "PutRecord", named("StreamARN"), text1("PartitionKey", example), inputMember{Name: "Data", Value: value{Text: example}, Blob: true})
	case "secret read":
		o := op("secretsmanager", "GetSecretValue", named("SecretId"))
		if len(e.grant.Only.Versions) > 0 {
			o.Members = append(o.Members, text1("VersionStage", e.grant.Only.Versions[0]))
		}
		return o
	case "secret write":
		return op("secretsmanager", "DescribeSecret", named("SecretId"))
	case "sqs-queue send":
		return op("sqs", "SendMessage", s.queueURL(), text1("MessageBody", example))
	case "sqs-queue consume":
		return op("sqs", "ReceiveMessage", s.queueURL())
	case "sns-topic publish":
		return op("sns", "Publish", named("TopicArn"), text1("Message", example))
	case "sns-topic subscribe":
		return op("sns", "GetTopicAttributes", named("TopicArn"))
	case "dynamodb-table stream":
		return op("dynamodbstreams", "DescribeStream", inputMember{Name: "StreamArn", Value: s.streamARN()})
	case "lambda-function invoke", "lambda-function read":
		function := named("FunctionName")
		if q := e.grant.Only.Qualifier; q != "" && function.Value.Text != "" {
			function.Value.Text += ":" + q
		}
		if word == "read" {
			return op("lambda", "GetFunctionConfiguration", function)
		}
		return op("lambda", "Invoke", function, inputMember{Name: "Payload", Value: value{Text: "{}"}, Blob: true})
	case "event-bus put":
		return op("events", "PutEvents", inputMember{Name: "Entries", List: "PutEventsRequestEntry", Of: []inputMember{
			named("EventBusName"), text1("Source", first(e.grant.Only.Sources, example)), text1("DetailType", first(e.grant.Only.DetailTypes, example)), text1("Detail", "{}"),
		}})
	case "state-machine start":
		return op("states", "StartExecution", named("stateMachineArn"), text1("input", "{}"))
	case "state-machine start-sync":
		return op("states", "StartSyncExecution", named("stateMachineArn"), text1("input", "{}"))
	}
	switch i.kind.name {
	case "s3-bucket":
		return s.objects(op, word)
	case "dynamodb-table":
		return op("dynamodb", "DescribeTable", named("TableName"))
	case "kms-key":
		return op("kms", "DescribeKey", named("KeyId"))
	case "ecr-repository":
		return op("ecr", "BatchGetImage", text1("registryId", i.site.ID), text1("repositoryName", i.physical),
			inputMember{Name: "imageIds", List: "ImageIdentifier", Of: []inputMember{text1("imageTag", "latest")}})
	case "codeartifact-repository":
		return op("codeartifact", "GetAuthorizationToken", text1("domain", i.decl.Domain), text1("domainOwner", i.site.ID))
	}
	// A role is for whatever it is for; and whose credentials a program has,
	// AWS tells everybody.
	return op("sts", "GetCallerIdentity")
}

// objects is the example for a bucket. The owner is named, so that a bucket of
// that name that is somebody else's is refused.
func (s *snippet) objects(op func(string, string, ...inputMember) *operation, word string) *operation {
	n := &s.edge.grant.Only
	bucket := inputMember{Name: "Bucket", Value: value{Text: s.edge.resource.physical}, DotNet: "BucketName"}
	if bucket.Value.Text == "" {
		bucket.Value = s.known(unitValue("", ""), "BUCKET", "the name of the S3 bucket")
	}
	owner := text1("ExpectedBucketOwner", s.edge.resource.site.ID)
	prefix := strings.TrimSuffix(first(n.Prefixes, ""), "*")
	key := text1("Key", prefix+example)
	switch word {
	case "write":
		return op("s3", "PutObject", bucket, key, inputMember{Name: "Body", Value: value{Text: example}, Blob: true, Stream: true, DotNet: "ContentBody"}, owner)
	case "delete":
		return op("s3", "DeleteObject", bucket, key, owner)
	}
	if prefix != "" {
		return op("s3", "ListObjectsV2", bucket, text1("Prefix", prefix), owner)
	}
	return op("s3", "ListObjectsV2", bucket, owner)
}

func (s *snippet) queueURL() inputMember {
	i := s.edge.resource
	url := "https://sqs." + i.site.Region + "." + dnsSuffix(i.site.Partition) + "/" + i.site.ID + "/" + i.physical
	if i.physical == "" {
		return inputMember{Name: "QueueUrl", Value: s.known(unitValue("", ""), "QUEUE_URL", "the URL of the SQS queue")}
	}
	return inputMember{Name: "QueueUrl", Value: value{Text: url}}
}

func (s *snippet) streamARN() value {
	if arn := s.edge.resource.stream; arn != "" {
		return value{Text: arn}
	}
	return s.known(unitValue("", ""), "STREAM_ARN", "the ARN of the table's stream")
}

func first(list []string, otherwise string) string {
	if len(list) == 0 {
		return otherwise
	}
	return list[0]
}

// The names of the SDKs, for the templates.

func (o *operation) Node() string      { return "@aws-sdk/client-" + sdks[o.service].node }
func (o *operation) NodeClass() string { return sdks[o.service].nodeClass + "Client" }
func (o *operation) Python() string    { return sdks[o.service].python }
func (o *operation) Go() string        { return sdks[o.service].golang }
func (o *operation) DotNet() string    { return "Amazon." + sdks[o.service].dotnet }
func (o *operation) Class() string     { return sdks[o.service].class + "Client" }

// Readers reports whether Go needs strings.NewReader, and Lists whether it needs
// the types of the service.
func (o *operation) Readers() bool {
	return slices.ContainsFunc(o.Members, func(m inputMember) bool { return m.Stream })
}

// Lists reports whether an input has a list of structures.
func (o *operation) Lists() bool {
	return slices.ContainsFunc(o.Members, func(m inputMember) bool { return m.List != "" })
}

// Bytes reports whether .NET needs a MemoryStream.
func (o *operation) Bytes() bool {
	return slices.ContainsFunc(o.Members, func(m inputMember) bool { return m.Blob && !m.Stream })
}

// Strings reports whether Go needs aws.String.
func (o *operation) Strings() bool {
	return slices.ContainsFunc(o.Members, func(m inputMember) bool { return m.List != "" || !m.Blob })
}

// NetName is the name of a member in .NET.
func (m inputMember) NetName() string {
	if m.DotNet != "" {
		return m.DotNet
	}
	return upperFirst(m.Name)
}

func (s *snippet) npm() string {
	packages := []string{"@aws-sdk/credential-providers"}
	switch {
	case s.API != nil:
		packages = append(packages, "aws4fetch")
	case s.Assume == "":
		packages = []string{s.Operation.Node()}
	default:
		packages = append(packages, s.Operation.Node())
	}
	return "npm install " + strings.Join(packages, " ")
}

func (s *snippet) pip() string {
	if s.API != nil {
		return "pip install boto3 requests requests-aws4auth"
	}
	return "pip install boto3"
}

func (s *snippet) goGet() string {
	const v2 = "github.com/aws/aws-sdk-go-v2/"
	packages := []string{v2 + "config"}
	if s.Assume != "" {
		packages = append(packages, v2+"credentials", v2+"service/sts")
	}
	if s.API == nil && !slices.Contains(packages, v2+"service/"+s.Operation.Go()) {
		packages = append(packages, v2+"service/"+s.Operation.Go())
	}
	return "go get " + strings.Join(packages, " ")
}

func (s *snippet) nuget() string {
	packages := []string{"AWSSDK.Core", "AWSSDK.SecurityToken"}
	if s.API != nil {
		packages = append(packages, "AwsSignatureVersion4")
	} else if name := "AWSSDK." + sdks[s.Operation.service].nuget; !slices.Contains(packages, name) {
		packages = append(packages, name)
	}
	return "dotnet add package " + strings.Join(packages, "; dotnet add package ")
}

// Setup returns the command that installs what a language needs, for templates.
func (s *snippet) Setup(language string) string {
	for _, l := range clientLanguages() {
		if l.name == language {
			return l.setup(s)
		}
	}
	return ""
}
