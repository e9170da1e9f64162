package iamapi_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	language "github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
)

// parameters are enough for any operation; each takes what it knows.
var parameters = url.Values{
	"Version":                  {"2010-05-08"},
	"RoleName":                 {"name"},
	"UserName":                 {"name"},
	"PolicyName":               {"name"},
	"PolicyDocument":           {readBuckets},
	"AssumeRolePolicyDocument": {trustVendor},
	"PolicyArn":                {"arn:aws:iam::444455556666:policy/name"},
	"PermissionsBoundary":      {"arn:aws:iam::444455556666:policy/name"},
	"VersionId":                {"v1"},
	"AccessKeyId":              {"AKIAEXAMPLEEXAMPLE00"},
	"Status":                   {"Active"},
	"AccountAlias":             {"alias"},
	"Tags.member.1.Key":        {"key"},
	"Tags.member.1.Value":      {"value"},
	"TagKeys.member.1":         {"key"},
	"PolicySourceArn":          {"arn:aws:iam::444455556666:role/name"},
	"ActionNames.member.1":     {"s3:GetObject"},
	"PolicyInputList.member.1": {readBuckets},
	"OpenIDConnectProviderArn": {"arn:aws:iam::444455556666:oidc-provider/oidc.example.com"},
	"Url":                      {"https://oidc.example.com"},
	"ClientID":                 {"sts.amazonaws.com"},
	"ThumbprintList.member.1":  {"9e99a48a9960b14926bb7f3b02e22da2b0ab7280"},
}

// Every operation asks for the permission of its own name before it does
// anything or tells what exists, and takes a denial for an answer.
func TestEveryOperationAsksForItsPermission(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	d := directory.New(directory.Options{Random: rand.NewChaCha8([32]byte{1})})
	if _, err := d.CreateAccount(customer, "aws"); err != nil {
		t.Fatal(err)
	}
	nobody, err := d.CreateUser(now, directory.User{Identity: directory.Identity{Account: customer, Name: "nobody"}})
	if err != nil {
		t.Fatal(err)
	}
	engine, service := authz.New(d, 1), iamapi.New(d)
	for _, operation := range iamapi.Operations() {
		if !operation.Real {
			continue
		}
		call := engine.NewCall(authz.Call{
			Context: t.Context(), Service: "iam", Region: "us-east-1", RequestID: "id", Now: now,
			Caller: authz.Caller{
				Principal: language.Principal{Type: language.PrincipalUser, ARN: nobody.ARN(), Account: customer, UniqueID: nobody.ID},
				UserID:    nobody.ID, UserName: nobody.Name,
			},
		})
		parameters.Set("Action", operation.Name)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(parameters.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		service.ServeAPI(w, r, call)
		engine.Remember(authz.Record{Operation: call.Operation}, call)

		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "<Code>AccessDenied</Code>") {
			t.Errorf("%s: %d %s", operation.Name, w.Code, w.Body)
			continue
		}
		record := engine.Records()[0]
		decisions := record.Decisions()
		if record.Operation != operation.Name || len(decisions) != 1 || decisions[0].Action != "iam:"+operation.Name {
			t.Errorf("%s: recorded as %s with decisions %+v", operation.Name, record.Operation, decisions)
		}
	}
}
