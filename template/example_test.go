package template_test

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A role that another account may assume, in a partition and an account that
// only the stack's creation decides.
func Example() {
	stack := &template.Stack{
		Parameters: []template.Parameter{{ID: "ExternalId", MinLength: 2, MaxLength: 64}},
		Resources: []template.Resource{{ID: "Reader", Kind: &template.Role{
			Name: "reader",
			Trust: &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
				Effect:     iam.Allow,
				Principal:  &iam.Principals{AWS: []string{"arn:" + template.Partition + ":iam::111122223333:root"}},
				Action:     []string{"sts:AssumeRole"},
				Conditions: []iam.Condition{{Operator: "StringEquals", Key: "sts:ExternalId", Values: []string{template.Ref("ExternalId")}}},
			}}},
		}}},
		Outputs: []template.Output{{ID: "RoleArn", Value: template.Attribute("Reader", "Arn")}},
	}
	if _, err := cfn.Write(stack); err != nil { // or terraform.Write, or script.Write
		fmt.Println(err)
	}
	created, err := stack.Resolve(map[string]string{"ExternalId": "acme-1", "AWS::Partition": "aws", "AWS::AccountId": "444455556666"})
	if err != nil {
		fmt.Println(err)
		return
	}
	role := created.Resources[0].Kind.(*template.Role)
	fmt.Println(created.Outputs[0].Value)
	fmt.Println(role.Trust.Statements[0].Principal.AWS[0])
	// Output:
	// arn:aws:iam::444455556666:role/reader
	// arn:aws:iam::111122223333:root
}
