package main

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/world"
)

var services = []string{"s3", "ec2", "dynamodb", "sqs", "sns", "lambda", "kms", "logs", "ecr", "states"}

// A shape says what a generated world is like.
type shape struct {
	roles         int
	own, managed  int // statements of each role, and of each managed policy
	policies      int // managed policies; 0 for none
	rolesPerUnit  int // roles of one account
	readsEvery    int // one role in so many may read the bucket
	bucket, owner string
}

// generate makes the organisation.
func generate(s shape) (*world.Snapshot, error) {
	out := &world.Snapshot{Format: world.Format}
	var err error
	document := func(p *iam.Policy) world.Document {
		d, failed := world.NewDocument(p)
		if failed != nil {
			err = failed
		}
		return d
	}
	root := world.Node{ID: "r-bench", ServiceControl: []string{"p-FullAWSAccess"}}
	unit := world.Node{ID: "ou-bench-workloads", ServiceControl: []string{"p-FullAWSAccess", "p-guard001"}}
	out.ControlPolicies = []world.ControlPolicy{{ID: "p-guard001", Type: world.TypeServiceControl, Document: document(guard())}}
	for i := range s.policies {
		out.Policies = append(out.Policies, world.ManagedPolicy{
			ARN:      fmt.Sprintf("arn:aws:iam::aws:policy/shared-%d", i),
			Document: document(&iam.Policy{Version: iam.Version2012, Statements: statements(s.managed, fmt.Sprintf("shared-%d", i))}),
		})
	}
	trust := document(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
		Effect: iam.Allow, Principal: &iam.Principals{Service: []string{"ec2.amazonaws.com"}}, Action: []string{"sts:AssumeRole"},
	}}})
	for i := range s.roles {
		account := fmt.Sprintf("%012d", 100000000000+i/s.rolesPerUnit)
		if i%s.rolesPerUnit == 0 {
			id := iam.AccountID(account)
			out.Accounts = append(out.Accounts, world.Account{ID: id, Complete: []string{world.CompletePrincipals, world.CompleteResources}})
			unit.Accounts = append(unit.Accounts, world.Member{ID: id})
		}
		list := statements(s.own, fmt.Sprintf("role-%d", i))
		if i%s.readsEvery == 0 {
			list[len(list)-1] = reads(s.bucket, i%(2*s.readsEvery) == 0)
		}
		role := world.Role{
			ARN:    fmt.Sprintf("arn:aws:iam::%s:role/service/role-%d", account, i),
			ID:     fmt.Sprintf("AROA%016d", i),
			Trust:  trust,
			Inline: []world.InlinePolicy{{Name: "own", Document: document(&iam.Policy{Version: iam.Version2012, Statements: list})}},
			Tags:   map[string]string{"team": s.bucket, "stage": "prod"},
		}
		if s.policies > 0 {
			role.Attached = []string{fmt.Sprintf("arn:aws:iam::aws:policy/shared-%d", i%s.policies)}
		}
		out.Roles = append(out.Roles, role)
	}
	root.Units = []world.Node{unit}
	out.Organizations = []world.Organization{{ID: "o-benchmark1", ManagementAccount: "999999999999", Root: root}}
	policy := document(bucketPolicy(s.bucket))
	out.Resources = []world.Resource{{ARN: "arn:aws:s3:::" + s.bucket, Account: iam.AccountID(s.owner), Policy: &policy}}
	return out, err
}

// statements makes n statements that no other owner has.
func statements(n int, owner string) []iam.Statement {
	var list []iam.Statement
	for i := range n {
		service := services[i%len(services)]
		s := iam.Statement{
			Effect:   iam.Allow,
			Action:   []string{service + ":Get*", service + ":List*", service + ":Describe*"},
			Resource: []string{fmt.Sprintf("arn:aws:%s:::%s-%d/*", service, owner, i)},
		}
		if i%17 == 16 {
			s.Effect = iam.Deny
		}
		if i%4 == 3 {
			s.Conditions = []iam.Condition{{Operator: "StringEquals", Key: "aws:RequestedRegion", Values: []string{"eu-west-1"}}}
		}
		list = append(list, s)
	}
	return list
}

func reads(bucket string, variable bool) iam.Statement {
	s := iam.Statement{Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::" + bucket + "/*"}}
	if variable {
		s.Resource = []string{"arn:aws:s3:::${aws:PrincipalTag/team}/*"}
	}
	return s
}

func guard() *iam.Policy {
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
		Effect: iam.Deny, NotAction: []string{"iam:*", "s3:*"}, Resource: []string{"*"},
		Conditions: []iam.Condition{{Operator: "StringNotEquals", Key: "aws:RequestedRegion", Values: []string{"eu-west-1"}}},
	}}}
}

func bucketPolicy(bucket string) *iam.Policy {
	all := &iam.Principals{All: true}
	resource := []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"}
	organization := iam.Condition{Operator: "StringEquals", Key: "aws:PrincipalOrgID", Values: []string{"o-benchmark1"}}
	plain := iam.Condition{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}}
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{
		{Effect: iam.Deny, Principal: all, Action: []string{"s3:*"}, Resource: resource, Conditions: []iam.Condition{plain}},
		{Effect: iam.Allow, Principal: all, Action: []string{"s3:GetObject"}, Resource: resource, Conditions: []iam.Condition{organization}},
	}}
}

// name describes a world in a table.
func (s shape) name() string {
	var parts []string
	if s.policies > 0 {
		parts = append(parts, fmt.Sprintf("%d shared", s.managed))
	}
	parts = append(parts, fmt.Sprintf("%d own", s.own))
	return fmt.Sprintf("%d roles × (%s)", s.roles, strings.Join(parts, " + "))
}
