package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/crossaccount/crossaccount/sandbox"
)

// A world is AWS accounts in this process.
type world struct {
	box      *sandbox.Sandbox
	accounts map[string]*sandbox.Account // :: name in the manifest
}

// config returns an administrator's configuration of an account.
func (w *world) config(account string) aws.Config {
	c := w.accounts[account].Root()
	return aws.Config{Region: region, HTTPClient: w.box.Client(), Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}
}
