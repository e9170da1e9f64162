package reference_test

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam/reference"
)

func ExampleLookupAction() {
	a, _ := reference.LookupAction("s3:getobject")
	fmt.Println(a, a.Level)
	for _, r := range a.Resources {
		fmt.Println(r.Type.ARN, r.Type.MatchesARN("arn:aws:s3:::reports/2026/*"))
	}
	// Output:
	// s3:GetObject Read
	// arn:${Partition}:s3:${Region}:${Account}:accesspoint/${AccessPointName}/object/${ObjectName} false
	// arn:${Partition}:s3:::${BucketName}/${ObjectName} true
}

func ExampleCheckRoleName() {
	fmt.Println(reference.CheckRoleName("vendor/access"))
	// Output:
	// role name has an illegal character at position 7; allowed are letters, digits and _+=,.@-
}
