package crossaccount_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
)

// retrust replaces a role's trust policy, as the customer may at any time.
func (w *world) retrust(account, roleName, trust string) {
	w.Helper()
	if _, err := iam.NewFromConfig(w.box.Account(account).Config()).UpdateAssumeRolePolicy(w.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(roleName), PolicyDocument: aws.String(trust),
	}); err != nil {
		w.Fatal(err)
	}
}

// storeRole asks to take a role of customer "one" into use.
func (w *world) storeRole(client *crossaccount.Client, role string) error {
	return client.StoreCustomerCredentials(w.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role})
}

func TestRule2_AReportIsGoodForItsOwnRoleOnly(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	good := w.box.Account(oneID).Role("good", trustWith("StringEquals", id), nil)
	open := w.box.Account(oneID).Role("open", trustWith("", ""), nil)
	if report := w.verify("one", good); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	wantCode(t, w.storeRole(w.client, open), crossaccount.CodeExternalIDNotRequired)
	if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
		t.Fatalf("the integration is %s with %q", i.State, i.RoleARN)
	}

	// Records in which candidate and report are about different roles prove
	// nothing, whichever of the two is the presented one.
	report := w.verify("one", good)
	for name, candidate := range map[string]crossaccount.Candidate{
		"the report is about another role":     {RoleARN: open, Report: report},
		"the candidate is another role":        {RoleARN: good, Report: about(report, open)},
		"the report is about a role like it":   {RoleARN: open, Report: about(report, strings.ToUpper(open))},
		"there is no report":                   {RoleARN: open},
		"the report is about no role at all":   {RoleARN: open, Report: about(report, "")},
		"the report is right but inconclusive": {RoleARN: open, Report: &crossaccount.Report{RoleARN: open, Result: crossaccount.Inconclusive, FinishedAt: time.Now()}},
	} {
		i := w.only("one")
		i.Candidate = &candidate
		i.Candidate.PresentedAt = time.Now()
		i.State = crossaccount.StateVerifying
		if err := w.store.Update(t.Context(), i, crossaccount.Change{}); err != nil {
			t.Fatal(err)
		}
		if err := w.storeRole(w.newClient(), open); crossaccount.CodeOf(err) != crossaccount.CodeExternalIDNotRequired {
			t.Errorf("%s: got %v", name, err)
		}
		if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
			t.Fatalf("%s: the integration is %s with %q", name, i.State, i.RoleARN)
		}
	}
}

// about returns the report with another role's ARN.
func about(report *crossaccount.Report, role string) *crossaccount.Report {
	other := *report
	other.RoleARN = role
	return &other
}

func TestRule2_AReportIsGoodFor15Minutes(t *testing.T) {
	now := time.Now()
	clock := crossaccount.WithClock(func() time.Time { return now })
	w := newWorld(t, clock)
	id := w.start("one").ExternalID
	role := w.box.Account(oneID).Role("turning", trustWith("StringEquals", id), nil)
	if report := w.verify("one", role); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	now = now.Add(16 * time.Minute)
	w.retrust(oneID, "turning", trustWith("", ""))
	wantCode(t, w.storeRole(w.client, role), crossaccount.CodeExternalIDNotRequired)
	if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
		t.Errorf("the integration is %s with %q", i.State, i.RoleARN)
	}

	// The report grows old between the first look at it and the write.
	w.retrust(oneID, "turning", trustWith("StringEquals", id))
	if report := w.verify("one", role); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	slow := w.newClient(clock, crossaccount.WithStorage(&meddler{w.store, func() { now = now.Add(16 * time.Minute) }}))
	wantCode(t, w.storeRole(slow, role), crossaccount.CodeStaleVerification)
	if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
		t.Errorf("the integration is %s with %q", i.State, i.RoleARN)
	}
}

func TestStoringTwiceAtOnceIsDoneOnce(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	role := w.box.Account(oneID).Role("good", trustWith("StringEquals", id), nil)
	if report := w.verify("one", role); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	// The other click comes between the first look at the record and the write.
	client := w.newClient(crossaccount.WithStorage(&meddler{w.store, func() {
		if err := w.storeRole(w.client, role); err != nil {
			t.Error(err)
		}
	}}))
	if err := w.storeRole(client, role); err != nil {
		t.Errorf("the second of two clicks: %v", err)
	}

	better := w.box.Account(oneID).Role("better", trustWith("StringEquals", id), nil)
	if report := w.verify("one", better); report.Result != crossaccount.Passed {
		t.Fatal(report.Message)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := w.storeRole(w.client, better); err != nil {
				t.Errorf("one of eight clicks: %v", err)
			}
		})
	}
	group.Wait()
	activations := 0
	for _, record := range w.audit("one") {
		if record == crossaccount.ActionActivated+" ok" {
			activations++
		}
	}
	if i := w.only("one"); i.State != crossaccount.StateActive || i.RoleARN != better || activations != 2 {
		t.Errorf("the integration is %s with %s after %d activations", i.State, i.RoleARN, activations)
	}

	// What was found out since then counts.
	w.retrust(oneID, "better", trustWith("", ""))
	if report := w.verify("one", better); report.Code != crossaccount.CodeExternalIDNotRequired {
		t.Fatalf("%s, %q", report.Result, report.Code)
	}
	wantCode(t, w.storeRole(w.client, better), crossaccount.CodeExternalIDNotRequired)
}

func TestRule4_AnInconclusiveCheckChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.start("one").ExternalID
		role := w.box.Account(oneID).Role("checked", trustWith("StringEquals", id), nil)
		if err := w.storeRole(w.client, role); err != nil {
			t.Fatal(err)
		}
		throttled := w.newClient(crossaccount.WithHTTPClient(&interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
			if isAssume(form, role) && !form.Has("ExternalId") {
				return stsError(400, "Throttling"), nil
			}
			return nil, nil
		}}))
		unchanged := func(want crossaccount.State) {
			t.Helper()
			before := w.only("one")
			report, err := throttled.Check(t.Context(), "one", before.ID)
			if err != nil || report.Result != crossaccount.Inconclusive {
				t.Fatalf("the throttled check: %+v, %v", report, err)
			}
			after := w.only("one")
			if after.State != want || after.DegradedReason != before.DegradedReason || !after.CheckedAt.Equal(before.CheckedAt) ||
				after.Verification.Result != before.Verification.Result || after.RoleARN != role {
				t.Errorf("a throttled check made an integration that was %s (%q) %s (%q)", before.State, before.DegradedReason, after.State, after.DegradedReason)
			}
			if records := w.audit("one"); !strings.HasSuffix(records[len(records)-1], " "+string(crossaccount.CodeInconclusive)) {
				t.Errorf("the check was not audited: %v", records)
			}
		}
		time.Sleep(time.Minute) // the bubble's clock
		unchanged(crossaccount.StateActive)

		w.retrust(oneID, "checked", trustWith("", ""))
		if report, err := w.client.Check(t.Context(), "one", w.only("one").ID); err != nil || report.Result != crossaccount.Failed {
			t.Fatalf("an open role: %+v, %v", report, err)
		}
		w.retrust(oneID, "checked", trustWith("StringEquals", id))
		time.Sleep(time.Minute)
		unchanged(crossaccount.StateDegraded)
	})
}

func TestAnotherInstanceReplacedTheRole(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil { // w.client now has credentials
		t.Fatal(err)
	}
	stored, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	better := w.box.Account(oneID).Role("better", trustWith("StringEquals", stored.ExternalID), nil)
	if err := w.storeRole(w.newClient(), better); err != nil {
		t.Fatal(err)
	}
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil || !strings.Contains(aws.ToString(who.Arn), ":assumed-role/better/") {
		t.Errorf("after another instance replaced the role we are %s (%v)", aws.ToString(who.Arn), err)
	}
}

// A trust policy that could tell probes from use could refuse only the probes.
func TestRule2_ProbesLookLikeOrdinaryUse(t *testing.T) {
	w := newWorld(t)
	role := w.launch(oneID, w.start("one").LaunchURL)
	var mu sync.Mutex
	var names []string
	w.client = w.newClient(crossaccount.WithHTTPClient(&interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
		if isAssume(form, role) {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, form.Get("RoleSessionName"))
		}
		return nil, nil
	}}))
	if err := w.storeRole(w.client, role); err != nil {
		t.Fatal(err)
	}
	probes := len(names)
	if _, err := w.client.AssumeCustomerRole(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(names); probes < 7 || len(names) != probes+1 || len(slices.Compact(names)) != 1 {
		t.Errorf("%d probes, session names %q", probes, slices.Compact(names))
	}
}

func TestRule9_ARetryDoesNotMultiply(t *testing.T) {
	for name, trouble := range map[string]struct {
		answer func() (*http.Response, error)
		want   int64
	}{
		"throttling":   {func() (*http.Response, error) { return stsError(400, "Throttling"), nil }, 3},
		"server fault": {func() (*http.Response, error) { return stsError(500, "InternalFailure"), nil }, 3},
		"network":      {func() (*http.Response, error) { return nil, errors.New("connection reset") }, 3},
		"validation":   {func() (*http.Response, error) { return stsError(400, "ValidationError"), nil }, 1},
		"refusal":      {func() (*http.Response, error) { return stsError(403, "AccessDenied"), nil }, 1},
	} {
		for _, action := range []string{"AssumeRole", "GetCallerIdentity", "GetRole"} {
			t.Run(action+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					role := w.launch(oneID, w.start("one").LaunchURL)
					var made atomic.Int64
					w.client = w.newClient(crossaccount.WithHTTPClient(&interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
						if form.Get("Action") == action {
							made.Add(1)
							return trouble.answer()
						}
						return nil, nil
					}}))
					w.verify("one", role)
					if made.Load() != trouble.want {
						t.Errorf("one %s was tried %d times, want %d", action, made.Load(), trouble.want)
					}
				})
			})
		}
	}
}
