package crossaccount_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
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
	"github.com/crossaccount/crossaccount/sandbox"
)

// An interceptor is AWS in trouble: it answers some requests instead of the
// sandbox.
type interceptor struct {
	next   aws.HTTPClient
	answer func(r *http.Request, form url.Values) (*http.Response, error) // nil, nil: let it through
}

func (i *interceptor) Do(r *http.Request) (*http.Response, error) {
	var form url.Values
	if r.Body != nil && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, _ = url.ParseQuery(string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if response, err := i.answer(r, form); response != nil || err != nil {
		return response, err
	}
	return i.next.Do(r)
}

// stsError is an error answer of STS.
func stsError(status int, code string) *http.Response {
	body := `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>User: arn:aws:sts::111111111111:assumed-role/secret-broker-name/x is not authorized</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// isAssume reports whether the form assumes the named role.
func isAssume(form url.Values, role string) bool {
	return form.Get("Action") == "AssumeRole" && strings.HasSuffix(form.Get("RoleArn"), role)
}

func TestRule2_OnlyAccessDeniedIsARefusal(t *testing.T) {
	type probe struct {
		name string
		is   func(form url.Values, id string) bool
	}
	probes := []probe{
		{crossaccount.StepMissing, func(f url.Values, id string) bool { return !f.Has("ExternalId") }},
		{crossaccount.StepWrong, func(f url.Values, id string) bool {
			return f.Has("ExternalId") && !strings.EqualFold(f.Get("ExternalId"), id)
		}},
		{crossaccount.StepCaseFlipped, func(f url.Values, id string) bool {
			return f.Get("ExternalId") != id && strings.EqualFold(f.Get("ExternalId"), id)
		}},
	}
	troubles := map[string]struct {
		tries  int64 // of one probe
		answer func() (*http.Response, error)
	}{
		"throttling":      {3, func() (*http.Response, error) { return stsError(400, "Throttling"), nil }},
		"slow down":       {3, func() (*http.Response, error) { return stsError(503, "SlowDown"), nil }},
		"server fault":    {3, func() (*http.Response, error) { return stsError(500, "InternalFailure"), nil }},
		"expired token":   {1, func() (*http.Response, error) { return stsError(403, "ExpiredToken"), nil }},
		"invalid key":     {1, func() (*http.Response, error) { return stsError(403, "InvalidClientTokenId"), nil }},
		"region disabled": {1, func() (*http.Response, error) { return stsError(403, "RegionDisabledException"), nil }},
		"validation":      {1, func() (*http.Response, error) { return stsError(400, "ValidationError"), nil }},
		"network":         {3, func() (*http.Response, error) { return nil, errors.New("connection reset") }},
		"timeout":         {3, func() (*http.Response, error) { return nil, context.DeadlineExceeded }},
		"empty success": {1, func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(
				`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult/></AssumeRoleResponse>`))}, nil
		}},
		"a web page": {1, func() (*http.Response, error) {
			return &http.Response{StatusCode: 403, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`<html>AccessDenied by a proxy</html>`))}, nil
		}},
	}
	for _, probe := range probes {
		for name, trouble := range troubles {
			t.Run(probe.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					started := w.start("one")
					role := w.launch(oneID, started.LaunchURL)
					var tries atomic.Int64
					aws := &interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
						if isAssume(form, role) && probe.is(form, started.ExternalID) {
							tries.Add(1)
							return trouble.answer()
						}
						return nil, nil
					}}
					w.client = w.newClient(crossaccount.WithHTTPClient(aws))
					report := w.verify("one", role)
					if report.Result != crossaccount.Inconclusive || report.Code != crossaccount.CodeInconclusive || !report.Code.Retryable() {
						t.Errorf("got %s with code %q, want inconclusive", report.Result, report.Code)
					}
					if step := report.Step(probe.name); step == nil || step.Result != crossaccount.Inconclusive {
						t.Errorf("step: %+v", step)
					}
					if tries.Load() != trouble.tries {
						t.Errorf("the probe was tried %d times, want %d", tries.Load(), trouble.tries)
					}
					if i := w.only("one"); i.State != crossaccount.StateVerifying || i.RoleARN != "" {
						t.Errorf("the integration is %s with %q", i.State, i.RoleARN)
					}
					w.client = w.newClient()
					if report := w.verify("one", role); report.Result != crossaccount.Passed {
						t.Errorf("after the trouble: %s (%s)", report.Result, report.Message)
					}
				})
			})
		}
	}
}

func TestRule2_ThrottledProbesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		role := w.launch(oneID, w.start("one").LaunchURL)
		var mu sync.Mutex
		seen := map[string]int{}
		aws := &interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			key := form.Encode()
			if seen[key]++; form.Get("Action") == "AssumeRole" && seen[key] < 3 {
				return stsError(400, "Throttling"), nil
			}
			return nil, nil
		}}
		w.client = w.newClient(crossaccount.WithHTTPClient(aws))
		if report := w.verify("one", role); report.Result != crossaccount.Passed {
			t.Errorf("with every call throttled twice: %s (%s)", report.Result, report.Message)
		}
	})
}

func TestRule2_WithoutAWorkingControlRefusalsProveNothing(t *testing.T) {
	w := newWorld(t)
	response := w.start("one")
	role := w.launch(oneID, response.LaunchURL)
	open := w.box.Account(oneID).Role("open", trustWith("", ""), nil)

	// The probe identity is subject to the same condition as the broker, so it
	// is refused by the vendor's own policy.
	blind := w.box.Account(vendorID).User("blind", brokerPolicy)
	w.client = w.newClient(crossaccount.WithProbe(blind))
	report := w.verify("one", role)
	if report.Result != crossaccount.Inconclusive || report.Code != crossaccount.CodeInconclusive || report.Controlled {
		t.Errorf("with a blind probe: %s (%s), controlled %v", report.Result, report.Code, report.Controlled)
	}
	for _, step := range []string{crossaccount.StepControl, crossaccount.StepMissing, crossaccount.StepWrong, crossaccount.StepCaseFlipped} {
		if got := report.Step(step).Result; got != crossaccount.Inconclusive {
			t.Errorf("step %s is %s, want inconclusive", step, got)
		}
	}
	err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role})
	wantCode(t, err, crossaccount.CodeInconclusive)

	// Without probe and canary refusals count, but the report says what they
	// are worth; here an open role even passes, because the broker's own policy
	// is what refuses.
	w.client = w.newClient(crossaccount.WithoutProbe)
	if report := w.verify("one", role); report.Result != crossaccount.Passed || report.Controlled {
		t.Errorf("without a probe: %s, controlled %v", report.Result, report.Controlled)
	}
	if !strings.Contains(w.log.String(), "uncontrolled") {
		t.Error("New did not warn that verification is uncontrolled")
	}

	// A control that fails does not hide a role that is open.
	w.client = w.newClient(crossaccount.WithCanaryRole("arn:aws:iam::" + vendorID + ":role/missing"))
	if report := w.verify("one", open); report.Result != crossaccount.Failed || report.Code != crossaccount.CodeExternalIDNotRequired {
		t.Errorf("an open role with a failing control: %s (%s)", report.Result, report.Code)
	}
}

func TestRule2_TheRoleMustAdmitTheProbeToo(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	narrow := strings.Replace(trustWith("StringEquals", id), `"Condition":{`,
		`"Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::`+vendorID+`:user/secret-broker-name"},`, 1)
	role := w.box.Account(oneID).Role("narrow", narrow, nil)
	report := w.verify("one", role)
	if report.Result == crossaccount.Passed || report.Step(crossaccount.StepAssumeAgain).Result != crossaccount.Inconclusive {
		t.Errorf("a role that refuses the probe for another reason: %s, %+v", report.Result, report.Step(crossaccount.StepAssumeAgain))
	}
}

func TestRule9_PropagationIsWaitedForWithinBoundsAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 50 * time.Second
		w := newWorldIn(t, sandbox.Options{IAMDelay: delay}, crossaccount.WithPatience(0))
		time.Sleep(delay) // the vendor's users are old; this is the bubble's clock
		var waits []time.Duration
		w.client = w.newClient(crossaccount.WithPatience(20*time.Second), crossaccount.WithObserver(func(_ context.Context, p crossaccount.Progress) {
			if p.Attempt > 1 {
				waits = append(waits, p.Waiting)
			}
		}))
		role := w.launch(oneID, w.start("one").LaunchURL)
		for call := 1; ; call++ {
			began := time.Now()
			report := w.verify("one", role)
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("call %d took %v", call, took)
			}
			if report.Result == crossaccount.Passed {
				if call < 2 || len(waits) < 5 {
					t.Errorf("passed in call %d after waiting %v", call, waits)
				}
				break
			}
			if report.Code != crossaccount.CodePropagating || !report.Code.Retryable() || call > 5 {
				t.Fatalf("call %d: %s with code %q", call, report.Result, report.Code)
			}
			if i := w.only("one"); i.State != crossaccount.StateVerifying || i.Candidate.Attempts != call || i.Candidate.Report.Code != crossaccount.CodePropagating {
				t.Errorf("after call %d: %s, %+v", call, i.State, i.Candidate)
			}
		}

		// A role that never comes is refused in the end, not promised for ever.
		never := strings.Replace(role, ":role/", ":role/never/", 1)
		if report := w.verify("one", never); report.Code != crossaccount.CodePropagating {
			t.Errorf("a missing role at first: %q", report.Code)
		}
		time.Sleep(6 * time.Minute)
		if report := w.verify("one", never); report.Code != crossaccount.CodeRoleRefused || report.Result != crossaccount.Failed {
			t.Errorf("a missing role after six minutes: %s, %q", report.Result, report.Code)
		}
	})
}

func TestRule9_ADeadlineEndsTheWaitingWithAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, crossaccount.WithPatience(time.Minute))
		w.start("one")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		report, err := w.client.Verify(ctx, &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: "arn:aws:iam::" + oneID + ":role/missing"})
		if err != nil || report.Code != crossaccount.CodePropagating {
			t.Errorf("got %+v, %v", report, err)
		}
	})
}

func TestRule9_EveryCallHasADeadline(t *testing.T) {
	for name, trouble := range map[string]func(url.Values) bool{
		"everything hangs": func(url.Values) bool { return true },
		"probes hang":      func(f url.Values) bool { return f.Get("Action") == "AssumeRole" && !f.Has("ExternalId") },
		"inspection hangs": func(f url.Values) bool { return f.Get("Action") == "GetRole" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				role := w.launch(oneID, w.start("one").LaunchURL)
				aws := &interceptor{next: w.box.Client(), answer: func(r *http.Request, form url.Values) (*http.Response, error) {
					if !trouble(form) {
						return nil, nil
					}
					if _, ok := r.Context().Deadline(); !ok {
						t.Error("a call has no deadline")
					}
					<-r.Context().Done()
					return nil, r.Context().Err()
				}}
				w.client = w.newClient(crossaccount.WithHTTPClient(aws))
				began := time.Now()
				report := w.verify("one", role)
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("verification took %v", took)
				}
				if name == "inspection hangs" {
					if report.Result != crossaccount.Passed || report.Permissions[0].State != crossaccount.PermissionNotChecked {
						t.Errorf("got %s, %+v", report.Result, report.Permissions)
					}
				} else if report.Result != crossaccount.Inconclusive {
					t.Errorf("got %s", report.Result)
				}
			})
		})
	}
}

func TestRule9_TheCallersContextIsHonoured(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "two"})
	wantCode(t, err, crossaccount.CodeCancelled)
	_, err = w.client.Verify(ctx, &crossaccount.VerificationRequest{CustomerID: "one", RoleARN: role})
	wantCode(t, err, crossaccount.CodeCancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not context.Canceled", err)
	}
	_, err = w.client.AssumeCustomerRole(ctx, "one")
	wantCode(t, err, crossaccount.CodeCancelled)
}

func TestRule10_NewOpensNoConnectionAndNothingElseIsReached(t *testing.T) {
	refuse := &interceptor{answer: func(r *http.Request, _ url.Values) (*http.Response, error) {
		t.Errorf("New made a request to %s", r.Host)
		return nil, errors.New("no network here")
	}}
	if _, err := crossaccount.New(&crossaccount.Config{ServiceName: "s", ServiceAccountID: vendorID, TemplateS3Bucket: bucket},
		crossaccount.WithHTTPClient(refuse), crossaccount.WithLogger(nil)); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://192.0.2.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := w.broker.HTTPClient.Do(request); err == nil {
		defer response.Body.Close()
		t.Error("a client of the tests reached another host than AWS's")
	}
}

func TestRule2_ARoleDeletedInTheMiddleDoesNotPass(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	role := w.box.Account(oneID).Role("vanishing", trustWith("StringEquals", id), nil)
	customer := iam.NewFromConfig(w.box.Account(oneID).Config())
	var deleted atomic.Bool
	trouble := &interceptor{next: w.box.Client(), answer: func(r *http.Request, form url.Values) (*http.Response, error) {
		if isAssume(form, role) && !form.Has("ExternalId") && !deleted.Swap(true) {
			if _, err := customer.DeleteRole(r.Context(), &iam.DeleteRoleInput{RoleName: aws.String("vanishing")}); err != nil {
				t.Error(err)
			}
		}
		return nil, nil
	}}
	w.client = w.newClient(crossaccount.WithHTTPClient(trouble))
	report := w.verify("one", role)
	if report.Result == crossaccount.Passed || !deleted.Load() || report.Step(crossaccount.StepMissing).Result != crossaccount.Passed {
		t.Errorf("got %s: its refusals prove nothing: %+v", report.Result, report.Steps)
	}
}

func TestRule2_AnotherRolesCredentialsAreNotAccepted(t *testing.T) {
	w := newWorld(t)
	started := w.start("one")
	role := w.launch(oneID, started.LaunchURL)
	other := w.box.Account(twoID).Role("other", trustWith("StringEquals", started.ExternalID), nil)
	trouble := &interceptor{next: w.box.Client(), answer: func(r *http.Request, form url.Values) (*http.Response, error) {
		if !isAssume(form, role) {
			return nil, nil
		}
		// Something between us and AWS answers with credentials of its own.
		out, err := sts.NewFromConfig(w.probe).AssumeRole(r.Context(), &sts.AssumeRoleInput{
			RoleArn: &other, ExternalId: &started.ExternalID, RoleSessionName: aws.String("Acme-Analytics@one"),
		})
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(
			`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>` + *out.Credentials.AccessKeyId +
				`</AccessKeyId><SecretAccessKey>` + *out.Credentials.SecretAccessKey + `</SecretAccessKey><SessionToken>` + *out.Credentials.SessionToken +
				`</SessionToken><Expiration>` + out.Credentials.Expiration.Format(time.RFC3339) + `</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`))}, nil
	}}
	w.client = w.newClient(crossaccount.WithHTTPClient(trouble))
	if report := w.verify("one", role); report.Result != crossaccount.Failed || report.Code != crossaccount.CodeWrongIdentity {
		t.Errorf("got %s, %q", report.Result, report.Code)
	}
}

func TestLinksOutliveS3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var down atomic.Bool
		trouble := &interceptor{next: w.box.Client(), answer: func(r *http.Request, _ url.Values) (*http.Response, error) {
			if down.Load() && strings.Contains(r.URL.Host, "s3") {
				return nil, errors.New("connection refused")
			}
			return nil, nil
		}}
		w.client = w.newClient(crossaccount.WithHTTPClient(trouble))
		w.start("one")
		down.Store(true)
		if _, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "two"}); err != nil {
			t.Errorf("with a published template and S3 down: %v", err)
		}
		fresh := w.newClient(crossaccount.WithHTTPClient(trouble))
		_, err := fresh.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "three"})
		wantCode(t, err, crossaccount.CodePublish)
		if strings.Contains(w.dump(), "three") {
			t.Error("an integration was stored although its template could not be published")
		}
	})
}
