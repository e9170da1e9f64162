package sandbox

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/cfnapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/codeartifactapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ecrapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/eksapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/eventsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/secretsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/snsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ssmapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/stsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A service is one AWS service of the sandbox. It authorises its operations
// itself, through the call it is given.
type service struct {
	handler interface {
		ServeAPI(http.ResponseWriter, *http.Request, *authz.Call)
	}

	protocol protocol

	// version is that of a query API, by which requests that are neither
	// signed nor sent to a name of AWS are told apart.
	version   string
	namespace string

	// targets are what X-Amz-Target may start with, for the same purpose, in
	// JSON APIs: "TrentService".
	targets []string

	// maxBody limits the body of a request, in bytes; zero means maxFormSize.
	maxBody int64
}

// A protocol says how requests are read and errors written.
type protocol int

const (
	queryProtocol   protocol = iota // parameters in a form, answers in XML
	jsonProtocol                    // the operation in X-Amz-Target, bodies in JSON
	restProtocol                    // paths and methods, bodies in JSON
	storageProtocol                 // S3's own
)

func (s *Sandbox) newServices() map[string]*service {
	s.issuers = &oidc.Issuers{}
	identity := iamapi.New(s.directory)
	tokens := stsapi.New(s.directory, s.issuers)
	s.eks = eksapi.New(eksapi.Options{Directory: s.directory, Engine: s.engine, STS: tokens, Issuers: s.issuers, Random: lockedReader{s}})
	keys := kmsapi.New(s.directory, lockedReader{s})
	storage := s3api.New(s3api.Options{Directory: s.directory, KMS: keys, Random: lockedReader{s}})
	secrets := secretsapi.New(s.directory, keys, lockedReader{s})
	parameters := ssmapi.New(s.directory, keys)
	queues := sqsapi.New(sqsapi.Options{Directory: s.directory, KMS: keys, Clock: s.clock, Random: lockedReader{s}})
	streams := kinesisapi.New(s.directory, keys, lockedReader{s})
	tables := dynamodbapi.New(s.directory, keys, lockedReader{s})
	s.lambda = lambdaapi.New(lambdaapi.Options{Directory: s.directory, Engine: s.engine, Kinesis: streams, SQS: queues, Clock: s.clock, Random: lockedReader{s}})
	events := eventsapi.New(eventsapi.Options{Directory: s.directory, SQS: queues, Lambda: s.lambda, Random: lockedReader{s}})
	repositories := ecrapi.New(s.directory, lockedReader{s})
	s.packages = codeartifactapi.New(s.directory, lockedReader{s})
	topics := snsapi.New(snsapi.Options{Directory: s.directory, KMS: keys, SQS: queues, Lambda: s.lambda, Random: lockedReader{s}})
	workflows := sfnapi.New(sfnapi.Options{Directory: s.directory, Engine: s.engine, Clock: s.clock, Random: lockedReader{s}, Request: s.taskRequest})
	s.apis = apigatewayapi.New(s.directory, s.lambda, lockedReader{s})
	stacks := cfnapi.New(cfnapi.Options{
		Clock:    s.clock,
		Random:   lockedReader{s},
		Step:     s.stackStep,
		IAM:      identity,
		S3:       storage,
		KMS:      keys,
		Secrets:  secrets,
		SSM:      parameters,
		SQS:      queues,
		Kinesis:  streams,
		DynamoDB: tables,
		SNS:      topics,
		Lambda:   s.lambda,
		Events:   events,
		ECR:      repositories,
		Packages: s.packages,
		APIs:     s.apis,
		EKS:      s.eks,
		SFN:      workflows,
		IAMDelay: s.iamDelay,
		Fetch:    s.fetchObject,
	})
	s.advance = func(now time.Time) {
		stacks.Advance(now)
		s.lambda.Advance(now)
		workflows.Advance(now)
	}
	return map[string]*service{
		"sts":            {handler: tokens, version: "2011-06-15", namespace: wire.NamespaceSTS},
		"iam":            {handler: identity, version: "2010-05-08", namespace: wire.NamespaceIAM},
		"cloudformation": {handler: stacks, version: "2010-05-15", namespace: wire.NamespaceCloudFormation},
		"s3":             {handler: storage, protocol: storageProtocol},
		"apigateway":     {handler: s.apis, protocol: restProtocol, maxBody: 6 << 20},
		"codeartifact":   {handler: s.packages, protocol: restProtocol},
		"execute-api":    {handler: misaddressed{}, protocol: restProtocol, maxBody: apigatewayapi.MaxPayload},
		"kms":            {handler: keys, protocol: jsonProtocol, targets: []string{"TrentService"}},
		"secretsmanager": {handler: secrets, protocol: jsonProtocol, targets: []string{"secretsmanager"}},
		"ssm":            {handler: parameters, protocol: jsonProtocol, targets: []string{"AmazonSSM"}},
		"sqs":            {handler: queues, protocol: jsonProtocol, targets: []string{"AmazonSQS"}},
		"sns":            {handler: topics, version: "2010-03-31", namespace: wire.NamespaceSNS},
		"events":         {handler: events, protocol: jsonProtocol, targets: []string{"AWSEvents"}},
		"ecr":            {handler: repositories, protocol: jsonProtocol, targets: []string{"AmazonEC2ContainerRegistry_V20150921"}},
		"lambda":         {handler: s.lambda, protocol: restProtocol, maxBody: 16 << 20},
		"eks":            {handler: s.eks, protocol: restProtocol},
		"eks-auth":       {handler: s.eks.Auth(), protocol: restProtocol},
		"dynamodb":       {handler: tables, protocol: jsonProtocol, targets: []string{"DynamoDB_20120810", "DynamoDBStreams_20120810"}, maxBody: 17 << 20},
		"states":         {handler: workflows, protocol: jsonProtocol, targets: []string{"AWSStepFunctions"}},
		"kinesis":        {handler: streams, protocol: jsonProtocol, targets: []string{"Kinesis_20131202"}, maxBody: 16 << 20},
	}
}

// fetchObject reads an object on behalf of CloudFormation. A call that is not
// nil is who reads; without one the URL must be presigned, or the object public.
func (s *Sandbox) fetchObject(c *authz.Call, u *url.URL) ([]byte, error) {
	if e, ok := parseHost(u.Host); !ok || e.service != "s3" {
		return nil, wire.BadRequest("ValidationError", "TemplateURL must be a supported URL.")
	}
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, wire.BadRequest("ValidationError", "TemplateURL must be a supported URL.")
	}
	answer := newAnswer()
	if c == nil {
		s.ServeHTTP(answer, inbound(r))
	} else {
		read := c.Forward("cloudformation.amazonaws.com")
		read.Service, read.Operation = "s3", "GetObject"
		read.Secure = u.Scheme == "https" // however CloudFormation itself was called
		s.services["s3"].handler.ServeAPI(answer, inbound(r), read)
	}
	if answer.status != http.StatusOK {
		return nil, wire.BadRequest("ValidationError", "S3 error: %s", errorMessage(answer.body.Bytes(), answer.status))
	}
	return answer.body.Bytes(), nil
}

// taskRequest answers the request of a state machine's task. The call says who
// asks and is already authenticated.
func (s *Sandbox) taskRequest(c *authz.Call, name string, r *http.Request) *sfnapi.Answer {
	r = inbound(r)
	answer := newAnswer()
	service := s.services[name]
	if service.protocol == queryProtocol {
		if err := r.ParseForm(); err != nil {
			return &sfnapi.Answer{Status: http.StatusBadRequest, Header: http.Header{}}
		}
	}
	service.handler.ServeAPI(answer, r, c)
	answer.WriteHeader(http.StatusOK) // unless the service said otherwise
	return &sfnapi.Answer{Status: answer.status, Header: answer.sent, Body: answer.body.Bytes()}
}

// errorMessage reads the message out of an S3 error.
func errorMessage(body []byte, status int) string {
	if _, rest, ok := bytes.Cut(body, []byte("<Message>")); ok {
		if message, _, ok := bytes.Cut(rest, []byte("</Message>")); ok {
			return string(message)
		}
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}
