package iamapi_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	language "github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
)

// Whatever a root user sends, IAM answers in XML and never with a fault of its
// own.
func FuzzServeAPI(f *testing.F) {
	for _, operation := range iamapi.Operations() {
		f.Add("Action=" + operation.Name)
	}
	for _, seed := range []string{
		"", "%zz", "Action=None", "Action=GetRole&RoleName=there", "Action=ListRoles&Marker=YWZ0ZXI6eA&MaxItems=1",
		"Action=GetAccountAuthorizationDetails&Marker=YWZ0ZXI6Um9sZS8&Filter.member.1=Role",
		"Action=PutRolePolicy&RoleName=there&PolicyName=p&PolicyDocument=" + readBuckets,
		"Action=CreateRole&RoleName=new&AssumeRolePolicyDocument=" + trustVendor,
		"Action=CreatePolicy&PolicyName=p&PolicyDocument=" + readBuckets,
		"Action=GetPolicy&PolicyArn=arn:aws:iam::aws:policy/", "Action=GetPolicy&PolicyArn=arn:aws:iam::444455556666:policy/x/",
		"Action=AttachRolePolicy&RoleName=there&PolicyArn=" + readOnly, "Action=ListEntitiesForPolicy&PolicyArn=" + readOnly,
		"Action=SimulatePrincipalPolicy&PolicySourceArn=arn:aws:iam::444455556666:role/there&ActionNames.member.1=s3:GetObject&ContextEntries.member.1.ContextKeyName=a",
		"Action=SimulateCustomPolicy&ActionNames.member.1=a:b&PolicyInputList.member.1=" + readBuckets + "&ResourcePolicy=" + trustVendor,
		"Action=TagRole&RoleName=there&Tags.member.1.Key=a&Tags.member.1.Value=b", "Action=UpdateRole&RoleName=there&MaxSessionDuration=9223372036854775807",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		d := directory.New(directory.Options{Random: rand.NewChaCha8([32]byte{1})})
		account, err := d.CreateAccount(customer, "aws")
		if err != nil {
			t.Fatal(err)
		}
		trust, err := d.Latest().NewResourceDocument(strings.ReplaceAll(trustVendor, vendor, customer), language.KindTrust, "trust")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.CreateRole(now, directory.Role{Identity: directory.Identity{Account: customer, Name: "there"}, Trust: trust}); err != nil {
			t.Fatal(err)
		}
		call := authz.New(d, 1).NewCall(authz.Call{
			Context: t.Context(), Service: "iam", Region: "us-east-1", RequestID: "id", Now: now,
			Caller: authz.Caller{Principal: language.Principal{Type: language.PrincipalRootUser, ARN: account.RootARN(), Account: customer}, UserID: customer},
		})
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("Version=2010-05-08&"+form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		iamapi.New(d).ServeAPI(w, r, call)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented || !strings.HasPrefix(w.Body.String(), "<") {
			t.Errorf("%s gives %d %s", form, w.Code, w.Body)
		}
	})
}
