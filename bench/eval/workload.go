package main

import (
	"encoding/json"
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

const (
	callerAccount = "111122223333"
	bucketAccount = "444455556666"
	caller        = "arn:aws:iam::" + callerAccount + ":role/reader"
	object        = "arn:aws:s3:::data/a.txt"
)

var services = []string{"s3", "ec2", "dynamodb", "sqs", "sns", "lambda", "kms", "logs", "ecr", "states"}

// perPolicy is how many statements an identity policy has.
const perPolicy = 20

// identityStatements returns n statements, of which the last one matches.
func identityStatements(n int) []iam.Statement {
	statements := make([]iam.Statement, n)
	for i := range statements {
		service := services[i%len(services)]
		s := iam.Statement{
			Sid:      fmt.Sprintf("Statement%d", i),
			Effect:   iam.Allow,
			Action:   []string{service + ":Get*", service + ":List*", service + ":Describe*"},
			Resource: []string{fmt.Sprintf("arn:aws:%s:::thing-%d/*", service, i)},
		}
		if i%17 == 16 {
			s.Effect = iam.Deny
		}
		if i%4 == 3 {
			s.Conditions = []iam.Condition{{Operator: "StringEquals", Key: "aws:RequestedRegion", Values: []string{"eu-west-1"}}}
		}
		if i == n-1 {
			s.Effect, s.Action, s.Resource = iam.Allow, []string{"s3:GetObject"}, []string{"arn:aws:s3:::data/*"}
			s.Conditions = []iam.Condition{{Operator: "StringEquals", Key: "s3:ExistingObjectTag/team", Values: []string{"${aws:PrincipalTag/team}"}}}
		}
		statements[i] = s
	}
	return statements
}

const bucketPolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
	{"Effect":"Allow","Principal":{"AWS":"777788889999"},"Action":"s3:*","Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"]},
	{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"},
	{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::data/*"},
	{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"]}]}`

const fullAccess = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

const guardRails = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"*","Resource":"*"},
	{"Effect":"Deny","NotAction":["iam:*","s3:*"],"Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}]}`

// contextKeys are the six keys of the request.
var contextKeys = map[string]string{
	"aws:SecureTransport":       "true",
	"aws:RequestedRegion":       "eu-west-1",
	"aws:PrincipalArn":          caller,
	"aws:PrincipalAccount":      callerAccount,
	"aws:PrincipalTag/team":     "red",
	"s3:ExistingObjectTag/team": "red",
}

// newCase returns the question with n identity statements.
func newCase(n int) (*cases.Case, error) {
	c := &cases.Case{
		Name: fmt.Sprintf("%d statements", n),
		Request: cases.Request{
			Principal: cases.Principal{Principal: iam.Principal{Type: iam.PrincipalRole, ARN: caller, Account: callerAccount}},
			Action:    "s3:GetObject",
			Resource:  cases.Resource{Resource: object, AccountID: bucketAccount},
			Context:   map[string]cases.Value{},
		},
		ResourcePolicy: &cases.Policy{Document: json.RawMessage(bucketPolicy)},
		ServiceControlPolicies: []cases.Level{
			{OrgIdentifier: "root", Policies: []cases.Policy{{Name: "full", Document: json.RawMessage(fullAccess)}}},
			{OrgIdentifier: "account", Policies: []cases.Policy{{Name: "guard", Document: json.RawMessage(guardRails)}}},
		},
		Expected: &cases.Expected{Response: "Allowed"},
	}
	for key, value := range contextKeys {
		c.Request.Context[key] = cases.Value{Values: []string{value}}
	}
	statements := identityStatements(n)
	for from := 0; from < n; from += perPolicy {
		p := iam.Policy{Version: iam.Version2012, Statements: statements[from:min(n, from+perPolicy)]}
		document, err := p.MarshalJSON()
		if err != nil {
			return nil, err
		}
		c.IdentityPolicies = append(c.IdentityPolicies, cases.Policy{Name: fmt.Sprintf("policy-%d", from/perPolicy), Document: document})
	}
	return c, nil
}
