package crossaccount_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
)

func TestOnboarding(t *testing.T) {
	w := newWorld(t)
	roleARN := w.onboard("one", oneID)

	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(who.Account) != oneID {
		t.Errorf("the credentials are %s, want some of account %s", aws.ToString(who.Arn), oneID)
	}
	i := w.only("one")
	if i.State != crossaccount.StateActive || i.RoleARN != roleARN || i.AccountID != oneID {
		t.Errorf("the integration is %s with %s in %s", i.State, i.RoleARN, i.AccountID)
	}
	for _, step := range i.Verification.Steps {
		t.Logf("%-16s %-12s %s %s", step.Name, step.Result, step.Detail, step.Remedy)
		if step.Result != crossaccount.Passed {
			t.Errorf("step %s: %s (%s)", step.Name, step.Result, step.Detail)
		}
	}
	for _, p := range append(i.Verification.Permissions, i.Verification.SetupPermissions...) {
		if p.State != crossaccount.PermissionPresent {
			t.Errorf("permission %s is %s (%s)", p.Sid, p.State, p.Reason)
		}
	}
	t.Log(w.audit("one"))
}
