package lint_test

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
)

func ExampleDocument() {
	document := `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Action": ["s3:GetObject", "s3:ListObjects", "s3:ListBucket"],
    "Resource": "arn:aws:s3:::reports/*"
  }]
}`
	for _, f := range lint.Document([]byte(document), lint.Options{Kind: iam.KindIdentity}) {
		fmt.Println(f)
		fmt.Println("  fix:", f.Fix)
	}
	// Output:
	// GX-A02 error 5:32 Statement[0].Action[1]: the action "s3:ListObjects" is unknown; did you mean "s3:ListBucket"?
	//   fix: write s3:ListBucket
	// GX-R02 error 5:50 Statement[0].Action[2]: s3:ListBucket does not work on the statement's resources
	//   fix: name a resource like arn:${Partition}:s3:${Region}:${Account}:accesspoint/${AccessPointName} or arn:${Partition}:s3:::${BucketName}
}

func ExamplePolicy() {
	trust := &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
		Effect:    iam.Allow,
		Principal: &iam.Principals{AWS: []string{"arn:" + iam.Symbol("AWS::Partition") + ":iam::444455556666:root"}},
		Action:    []string{"sts:AssumeRole"},
	}}}
	options := lint.Options{Kind: iam.KindTrust}
	fmt.Println(lint.Policy(trust, options))

	options.Suppressions = []lint.Suppression{{ID: "GX-T02", Reason: "read-only access for the whole account is meant"}}
	fmt.Println(lint.Policy(trust, options))
	// Output:
	// [GX-T02 error Statement[0].Principal.AWS[0]: the whole account 444455556666 may assume the role, without external ID or any condition on the caller]
	// []
}
