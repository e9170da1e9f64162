package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/broker"
)

// This file is all that differs in code between the ways. Everything else of the
// application is in package app.

// byRole is the first way: the application's own credentials assume a role of the
// other account. The broker assumes it, keeps the session and renews it in time,
// so nothing of that is written again here. Close the broker at the end.
func byRole(own aws.Config, role string) (aws.Config, *broker.Broker, error) {
	b, err := broker.New(broker.Config{AWSConfig: own})
	if err != nil {
		return aws.Config{}, nil, err
	}
	h, err := b.For(broker.Request{Customer: "shop", Chain: []broker.Role{{ARN: role, SessionName: "reports"}}})
	if err != nil {
		return aws.Config{}, nil, err
	}
	return h.Config(own.Region), b, nil
}

// byPolicy is the second: the resources admit the application's own role.
func byPolicy(own aws.Config) aws.Config { return own }

// inPod is the third: the pod's token is a role of the team's account, which goes
// on to the role of the other account as in the first way. EKS puts role and token
// into the pod's environment, and config.LoadDefaultConfig does what the first two
// statements do.
func inPod(base aws.Config, podRole string, token stscreds.IdentityTokenRetriever, role string) (aws.Config, *broker.Broker, error) {
	own := base.Copy()
	own.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(base), podRole, token))
	return byRole(own, role)
}
