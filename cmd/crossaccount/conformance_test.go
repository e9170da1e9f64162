package main

import (
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// conformanceAccounts makes a sandbox with two accounts in which somebody may do
// everything:
//
//	conformance-accounts
//
// It sets FIRST_…, SECOND_… and ROOT_… to credentials, and AWS_ENDPOINT_URL.
func conformanceAccounts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: conformance-accounts")
	}
	const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	box := sandboxtest.New(testingT(ts), vendorID, customerID)
	server := httptest.NewServer(box)
	ts.Defer(server.Close)
	for prefix, c := range map[string]sandbox.Credentials{
		"FIRST":  box.Account(vendorID).UserCredentials("operator", everything),
		"SECOND": box.Account(customerID).UserCredentials("operator", everything),
		"ROOT":   box.Account(vendorID).Root(),
	} {
		ts.Setenv(prefix+"_ACCESS_KEY_ID", c.AccessKeyID)
		ts.Setenv(prefix+"_SECRET_ACCESS_KEY", c.SecretAccessKey)
	}
	ts.Setenv("AWS_ENDPOINT_URL", server.URL)
	ts.Setenv("AWS_REGION", "us-east-1")
}
