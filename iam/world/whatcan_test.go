package world_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/world"
)

func TestWhatCan(t *testing.T) {
	w := compile(t, twoAccounts)
	for principal, want := range map[string]string{
		"arn:aws:iam::222222222222:user/ann": `
			* Allowed s3:GetObject
			arn:aws:s3:::data/* Allowed s3:GetObject
			arn:aws:s3:::public/* Allowed s3:GetObject
			arn:aws:s3:::shared/* Allowed s3:GetObject`,
		"arn:aws:iam::222222222222:role/vendor-access": `
			arn:aws:s3:::data/* Allowed s3:GetObject
			arn:aws:s3:::public/* Allowed s3:GetObject
			arn:aws:s3:::shared/* Allowed s3:GetObject`,
		"arn:aws:iam::111111111111:role/app/broker": `
			arn:aws:iam::*:role/vendor-* Depends sts:AssumeRole
			arn:aws:iam::222222222222:role/vendor-access Depends sts:AssumeRole`,
		"anonymous": `
			arn:aws:s3:::public/* Allowed s3:GetObject`,
	} {
		c, err := w.WhatCan(world.Question{Principal: principal})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, g := range c.Grants {
			fmt.Fprintf(&got, "\n\t\t\t%s %s %s", g.Resource, g.Verdict, strings.Join(g.Actions, " "))
			if g.Answer().Verdict() != g.Verdict {
				t.Errorf("%s: the answer behind %v is %v", principal, g, g.Answer().Verdict())
			}
		}
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("%s: %s", principal, diff)
		}
	}
}

func TestWhatAdministratorsCan(t *testing.T) {
	w := compile(t, `{"format": 1, "roles": [{"arn": "arn:aws:iam::111111111111:role/admin",
		"trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
		"inline": [{"name": "all", "document": {"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "sqs:Delete*", "Resource": "*"}]}}]}]}`)
	c, err := w.WhatCan(world.Question{Principal: "arn:aws:iam::111111111111:role/admin", Action: "sqs:*"})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Grants) != 1 || strings.Contains(strings.Join(c.Grants[0].Actions, " "), "Delete") || len(c.Grants[0].Actions) < 5 {
		t.Errorf("sqs: %+v", c.Grants)
	}
	c, err = w.WhatCan(world.Question{Principal: "arn:aws:iam::111111111111:role/admin"})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Grants[0].Actions); n < 100 || n > 600 || c.Grants[0].Resource != "*" {
		t.Errorf("an administrator's actions take %d patterns", n)
	}
}

// The parts of a resource that are asked about are those that a statement of its
// policy allows something on, once each; actions that hang on different
// statements are told apart.
func TestWhatCanOfParts(t *testing.T) {
	w := compile(t, `{"format": 1, "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}],
		"roles": [{"arn": "arn:aws:iam::111111111111:role/r",
			"trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
			"inline": [{"name": "i", "document": {"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::data/in/*", "arn:aws:s3:::data/mine/*"]},
				{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
				{"Effect": "Allow", "Action": "sqs:DeleteMessage", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
				{"Effect": "Allow", "Action": ["sns:ListTopics", "sns:ListSubscriptions"], "Resource": "*"},
				{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/denied/*"}]}}]}],
		"resources": [{"arn": "arn:aws:s3:::data", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::data/in/*", "arn:aws:s3:::data-2/*"]},
			{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/r"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::data*"},
			{"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::data/locked/*"}]}}]}`)
	c, err := w.WhatCan(world.Question{Principal: "arn:aws:iam::111111111111:role/r"})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, g := range c.Grants {
		fmt.Fprintf(&got, "\n\t\t%s %s %s", g.Resource, g.Verdict, strings.Join(g.Actions, " "))
	}
	want := `
		* Depends sqs:DeleteMessage
		* Depends sqs:SendMessage
		* Allowed sns:ListSubscriptions sns:ListTopics
		arn:aws:s3:::data/* Allowed s3:PutObject
		arn:aws:s3:::data/in/* Allowed s3:GetObject s3:PutObject
		arn:aws:s3:::data/mine/* Allowed s3:GetObject`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
