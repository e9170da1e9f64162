package sandbox_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
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
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/secretsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/snsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ssmapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/stsapi"
)

var update = flag.Bool("update", false, "write docs/sandbox.md anew")

const (
	docsFile   = "../docs/sandbox.md"
	docsMarker = "<!-- The rest is written by go test ./sandbox -update from the services' tables. -->\n"
)

// The documentation says what the services' own tables say.
func TestDocumentedOperations(t *testing.T) {
	written, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	prose, tables, ok := strings.Cut(string(written), docsMarker)
	if !ok {
		t.Fatalf("%s lacks the line %s", docsFile, docsMarker)
	}
	want := operationTables()
	if *update {
		if err := os.WriteFile(docsFile, []byte(prose+docsMarker+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, tables); diff != "" {
		t.Errorf("%s is out of date; run go test ./sandbox -update (-want +got)\n%s", docsFile, diff)
	}
}

func operationTables() string {
	var identity []overview.Operation
	for _, op := range iamapi.Operations() {
		identity = append(identity, overview.Operation{Name: op.Name, Real: op.Real})
	}
	var b strings.Builder
	for _, service := range []struct {
		name       string
		operations []overview.Operation
	}{
		{"STS", stsapi.Operations()}, {"IAM", identity}, {"S3", s3api.Operations()}, {"CloudFormation", cfnapi.Operations()},
		{"KMS", kmsapi.Operations()}, {"Secrets Manager", secretsapi.Operations()}, {"Systems Manager (parameters)", ssmapi.Operations()}, {"API Gateway (REST APIs)", apigatewayapi.Operations()}, {"REST APIs that were deployed (execute-api)", apigatewayapi.Executions()}, {"SQS", sqsapi.Operations()}, {"Kinesis", kinesisapi.Operations()},
		{"DynamoDB", dynamodbapi.Operations()}, {"DynamoDB Streams", dynamodbapi.StreamOperations()},
		{"SNS", snsapi.Operations()}, {"Lambda", lambdaapi.Operations()}, {"EventBridge", eventsapi.Operations()}, {"ECR", ecrapi.Operations()}, {"Step Functions", sfnapi.Operations()},
		{"CodeArtifact", codeartifactapi.Operations()}, {"Package managers (CodeArtifact's endpoints)", codeartifactapi.Endpoints()},
		{"EKS", eksapi.Operations()}, {"EKS Auth", eksapi.AuthOperations()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| Operation | In the sandbox | Not included |\n|---|---|---|\n", service.name)
		var missing []string
		for _, op := range service.operations {
			if !op.Real {
				missing = append(missing, op.Name)
				continue
			}
			fmt.Fprintf(&b, "| %s | real | %s |\n", op.Name, op.Note)
		}
		if len(missing) > 0 {
			fmt.Fprintf(&b, "| %s | NotImplemented | |\n", strings.Join(missing, ", "))
		}
	}
	return b.String()
}
