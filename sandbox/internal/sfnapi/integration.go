package sfnapi

import (
	"errors"
	"slices"
	"strings"
)

// An integration is how tasks use a service.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
type integration struct {
	service string // signing name
	target  string // of AWS JSON: "AmazonSSM"
	version string // of AWS JSON
	prefix  string // of the names of errors of the SDK integration: "Ssm"
	camel   bool   // members begin with small letters, which tasks write with capitals
	blobs   []string
	actions []string // the only ones there are; nil is whatever the service has
}

// sdkServices are the services of aws-sdk integrations, by AWS's names for them
// in the SDK for Java.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
var sdkServices = map[string]*integration{
	"dynamodb":       {service: "dynamodb", target: "DynamoDB_20120810", version: "1.0", prefix: "DynamoDb"},
	"ecr":            {service: "ecr", target: "AmazonEC2ContainerRegistry_V20150921", version: "1.1", prefix: "Ecr", camel: true, blobs: []string{"LayerPartBlob"}},
	"eventbridge":    {service: "events", target: "AWSEvents", version: "1.1", prefix: "EventBridge"},
	"kinesis":        {service: "kinesis", target: "Kinesis_20131202", version: "1.1", prefix: "Kinesis", blobs: []string{"Data", "Records"}},
	"kms":            {service: "kms", target: "TrentService", version: "1.1", prefix: "Kms", blobs: []string{"Plaintext", "CiphertextBlob", "Message", "Signature", "Mac"}},
	"lambda":         {service: "lambda", prefix: "Lambda", actions: []string{"invoke"}},
	"s3":             {service: "s3", prefix: "S3", actions: []string{"getObject", "putObject"}},
	"secretsmanager": {service: "secretsmanager", target: "secretsmanager", version: "1.1", prefix: "SecretsManager", blobs: []string{"SecretBinary"}},
	"sfn":            {service: "states", target: "AWSStepFunctions", version: "1.0", prefix: "Sfn", camel: true},
	"sns":            {service: "sns", prefix: "Sns", actions: []string{"publish"}},
	"sqs":            {service: "sqs", target: "AmazonSQS", version: "1.0", prefix: "Sqs", blobs: []string{"BinaryValue"}},
	"ssm":            {service: "ssm", target: "AmazonSSM", version: "1.1", prefix: "Ssm"},
	"sts":            {service: "sts", prefix: "Sts", actions: []string{"getCallerIdentity"}},
}

// An optimized integration is one of those that Step Functions had before those
// of the SDK. Its errors have other names, and its output says how the request
// went.
type optimized struct {
	*integration
	prefix  string // "DynamoDB"
	general string // the error of what the service has no error for
}

var optimizedServices = map[string]optimized{
	"dynamodb": {&integration{service: "dynamodb", target: "DynamoDB_20120810", version: "1.0", actions: []string{"getItem", "putItem", "updateItem", "deleteItem"}}, "DynamoDB", "AmazonDynamoDBException"},
	"events":   {&integration{service: "events", target: "AWSEvents", version: "1.1", actions: []string{"putEvents"}}, "EventBridge", "AmazonEventBridgeException"},
	"lambda":   {&integration{service: "lambda", actions: []string{"invoke"}}, "Lambda", "AWSLambdaException"},
	"sns":      {&integration{service: "sns", actions: []string{"publish"}}, "SNS", "AmazonSNSException"},
	"sqs":      {&integration{service: "sqs", target: "AmazonSQS", version: "1.0", actions: []string{"sendMessage"}}, "SQS", "AmazonSQSException"},
	"states":   {&integration{service: "states", actions: []string{"startExecution", "startExecution.sync", "startExecution.sync:2"}}, "StepFunctions", "AWSStepFunctionsException"},
}

// A resource is what the Resource of a task names.
type resource struct {
	function string // ARN of a Lambda function, or ""
	service  *integration
	old      optimized // its integration is nil for those of the SDK
	action   string    // "getParameter"
}

// operation is the name of the API operation.
func (r *resource) operation() string { return strings.ToUpper(r.action[:1]) + r.action[1:] }

var errUnknownService = errors.New("the sandbox has no such integration")

// parseResource reads the Resource of a task.
func parseResource(arn string) (*resource, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return nil, errUnknownService
	}
	if parts[2] == "lambda" && strings.HasPrefix(parts[5], "function:") {
		return &resource{function: arn, service: optimizedServices["lambda"].integration, old: optimizedServices["lambda"], action: "invoke"}, nil
	}
	if parts[2] != "states" || parts[3] != "" || parts[4] != "" {
		return nil, errUnknownService
	}
	name, action, ok := strings.Cut(parts[5], ":")
	r := &resource{action: action}
	if name == "aws-sdk" {
		name, r.action, ok = strings.Cut(action, ":")
		r.service = sdkServices[name]
	} else {
		r.old = optimizedServices[name]
		r.service = r.old.integration
	}
	if !ok || r.service == nil || r.action == "" || r.service.actions != nil && !slices.Contains(r.service.actions, r.action) {
		return nil, errUnknownService
	}
	if r.action[0] < 'a' || r.action[0] > 'z' || strings.Contains(r.action, ".") && r.old.integration == nil {
		return nil, errors.New("the action begins with a small letter and waits for nothing")
	}
	return r, nil
}

func checkResource(arn string) error {
	_, err := parseResource(arn)
	return err
}
