package crossaccount_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
)

// calls returns how many calls of an operation the sandbox has seen.
func (w *world) calls(operation string) (n int) {
	for _, call := range w.box.Calls() {
		if call.Operation == operation {
			n++
		}
	}
	return n
}

func TestCompleteVerifiesAndStores(t *testing.T) {
	w := newWorld(t)
	role := w.launch(oneID, w.start("one").LaunchURL)
	request := &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role}
	report, err := w.client.Complete(t.Context(), request)
	if err != nil || report.Result != crossaccount.Passed || !report.Controlled {
		t.Fatalf("report %+v, %v", report, err)
	}
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	asked := w.calls("AssumeRole")
	again, err := w.client.Complete(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, again); diff != "" {
		t.Errorf("said twice, the report is another one (-first +second):\n%s", diff)
	}
	if now := w.calls("AssumeRole"); now != asked {
		t.Errorf("said twice, AWS was asked %d times more", now-asked)
	}
}

// A report that Verify just made is used, not made again.
func TestCompleteUsesAFreshVerification(t *testing.T) {
	w := newWorld(t)
	role := w.launch(oneID, w.start("one").LaunchURL)
	request := &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role}
	verified, err := w.client.Verify(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	asked := w.calls("AssumeRole")
	completed, err := w.client.Complete(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(verified, completed); diff != "" || w.calls("AssumeRole") != asked {
		t.Errorf("the role was verified again (-first +second):\n%s", diff)
	}
}

func TestCompleteSaysWhatIsRetryable(t *testing.T) {
	w := newWorld(t)
	link := w.start("one").LaunchURL
	request := &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: "arn:aws:iam::" + oneID + ":role/not-yet"}
	report, err := w.client.Complete(t.Context(), request)
	var problem *crossaccount.Error
	if !errors.As(err, &problem) || problem.Code != crossaccount.CodePropagating || !problem.Retryable() {
		t.Fatalf("for a role that does not exist yet: %v", err)
	}
	if report == nil || report.Result != crossaccount.Inconclusive {
		t.Errorf("its report is %+v", report)
	}
	if status := crossaccount.StatusOf(problem.Code); status != 409 {
		t.Errorf("its status is %d", status)
	}

	open := w.box.Account(oneID).Role("open", anyone, nil)
	report, err = w.client.Complete(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: open})
	if crossaccount.CodeOf(err) != crossaccount.CodeExternalIDNotRequired || report == nil || report.Result != crossaccount.Failed {
		t.Errorf("for a role that is open: %+v, %v", report, err)
	}
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); crossaccount.CodeOf(err) != crossaccount.CodeNotVerified {
		t.Errorf("a refused role is used: %v", err)
	}
	if report, err := w.client.Complete(t.Context(), nil); report != nil || crossaccount.CodeOf(err) != crossaccount.CodeInvalidRequest {
		t.Errorf("for nothing: %v, %v", report, err)
	}

	request.RoleARN = w.launch(oneID, link)
	if _, err := w.client.Complete(t.Context(), request); err != nil {
		t.Errorf("a refused role stands in the way of the right one: %v", err)
	}
}

// To name the probe role is enough: it is assumed with the vendor's own
// configuration, and its refusals are controlled.
func TestProbeRoleIsAssumed(t *testing.T) {
	w := newWorld(t)
	vendor := w.box.Account(vendorID)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"}]}`
	probe := vendor.Role("probe", trust, []string{probePolicy})
	broker := vendor.Role("broker", trust, []string{brokerPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + probe + `"}]}`})
	w.config.AWSConfig = w.box.Assume(w.probe, broker)
	client, err := crossaccount.New(w.config,
		crossaccount.WithStorage(w.store), crossaccount.WithEncryption(testKeys(t)), crossaccount.WithLogger(nil), crossaccount.WithPatience(0),
		crossaccount.WithProbeRole(probe), crossaccount.WithCanaryRole(canaryARN))
	if err != nil {
		t.Fatal(err)
	}
	w.client = client
	role := w.launch(oneID, w.start("one").LaunchURL)
	report, err := client.Complete(t.Context(), &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role})
	if err != nil || !report.Controlled {
		t.Fatalf("report %+v, %v", report, err)
	}

	// A probe role that we may not assume is our own trouble, and no proof.
	if _, err := iam.NewFromConfig(vendor.Config()).DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{
		RoleName: aws.String("broker"), PolicyName: aws.String("policy-2"),
	}); err != nil {
		t.Fatal(err)
	}
	client, err = crossaccount.New(w.config,
		crossaccount.WithStorage(w.store), crossaccount.WithEncryption(testKeys(t)), crossaccount.WithLogger(nil), crossaccount.WithPatience(0),
		crossaccount.WithProbeRole(probe), crossaccount.WithCanaryRole(canaryARN))
	if err != nil {
		t.Fatal(err)
	}
	report, err = client.Check(t.Context(), "one", report.IntegrationID)
	if err != nil || report.Result != crossaccount.Inconclusive {
		t.Errorf("without the probe: %+v, %v", report, err)
	}
}
