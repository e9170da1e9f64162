package crossaccount_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
)

// readsItself lets a role show us its trust policy.
const readsItself = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:GetRole","Resource":"*"}]}`

// No probe can find these out by trying, because nobody knows what to try.
func TestRule2_OnlyExactlyTheExternalIDWillDo(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	others := w.start("two").ExternalID
	vendor := w.box.Account(vendorID)
	vendor.Role("support", trustWith("", ""), nil)

	allow := func(principal, conditions string) string {
		if conditions != "" {
			conditions = `,"Condition":{` + conditions + `}`
		}
		return `{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + conditions + `}`
	}
	us := `{"AWS":"` + vendorID + `"}`
	condition := func(operator string, values ...string) string {
		return `"` + operator + `":{"sts:ExternalId":["` + strings.Join(values, `","`) + `"]}`
	}
	exact := allow(us, condition("StringEquals", id))
	const refused = crossaccount.CodeExternalIDNotRequired
	for _, test := range []struct {
		name       string
		statements []string
		code       crossaccount.Code
	}{
		{"another-value", []string{allow(us, condition("StringEquals", id, "zz-another"))}, refused},
		{"another-tenants", []string{allow(us, condition("StringEquals", id, others))}, refused},
		{"like-itself", []string{allow(us, condition("StringLike", id))}, refused},
		{"longer", []string{allow(us, condition("StringLike", id+"*"))}, refused},
		{"before", []string{allow(us, condition("StringLike", "*"+id))}, refused},
		{"last-character", []string{allow(us, condition("StringLike", id[:len(id)-1]+"?"))}, refused},
		{"half", []string{allow(us, condition("StringLike", id[:len(id)/2]+"*"))}, refused},
		{"second-statement", []string{exact, allow(us, condition("StringLike", "zzz*"))}, refused},
		{"second-id", []string{exact, allow(us, condition("StringEquals", "zzz"))}, refused},
		{"any-value", []string{allow(us, condition("ForAnyValue:StringLike", id, "zzz*"))}, refused},
		{"any-value-equals", []string{allow(us, condition("ForAnyValue:StringEquals", id))}, refused},
		{"ignores-case-elsewhere", []string{exact, allow(us, condition("StringEqualsIgnoreCase", "zzz"))}, refused},
		{"variable", []string{exact, allow(us, condition("StringEquals", "${aws:PrincipalTag/id}"))}, refused},
		{"by-role", []string{exact, allow(`{"AWS":"arn:aws:iam::`+vendorID+`:role/support"}`, condition("StringEquals", "zzz"))}, refused},
		{"by-session", []string{exact, allow(`{"AWS":"arn:aws:sts::`+vendorID+`:assumed-role/support/night"}`, "")}, refused},
		{"by-user", []string{exact, allow(`{"AWS":"arn:aws:iam::`+vendorID+`:user/secret-probe-name"}`, condition("StringLike", "zzz*"))}, refused},
		{"anybody", []string{exact, allow(`"*"`, condition("StringLike", "zzz*"))}, refused},
		{"wildcard-action", []string{exact, strings.Replace(allow(us, condition("StringEquals", "zzz")), "sts:AssumeRole", "STS:Assume*", 1)}, refused},

		{"exact", []string{exact}, ""},
		{"said-twice", []string{exact, allow(us, condition("StringEquals", id, id))}, ""},
		{"other-spelling", []string{strings.Replace(exact, "sts:ExternalId", "STS:EXTERNALID", 1)}, ""},
		{"exact-and-like", []string{allow(us, condition("StringEquals", id)+","+condition("StringLike", "acme-*"))}, ""},
		{"narrowed", []string{allow(us, condition("StringEquals", id)+`,"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::`+vendorID+`:user/*"}`)}, ""},
		{"tags", []string{exact, strings.Replace(allow(us, ""), "sts:AssumeRole", "sts:TagSession", 1)}, ""},
		{"own-admin", []string{exact, allow(`{"AWS":"`+oneID+`"}`, "")}, ""},
		{"another-vendor", []string{exact, allow(`{"AWS":"`+twoID+`"}`, condition("StringLike", "their-*"))}, ""},
		{"another-vendors-role", []string{exact, allow(`{"AWS":"*"}`, `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::`+twoID+`:role/*"}`)}, ""},
		{"another-account-by-condition", []string{exact, allow(`"*"`, `"StringEquals":{"aws:PrincipalAccount":"`+twoID+`"}`)}, ""},
		{"own-service", []string{exact, allow(`{"Service":"ec2.amazonaws.com"}`, "")}, ""},
		{"denied-anyway", []string{exact, allow(`{"AWS":"arn:aws:iam::`+vendorID+`:role/support"}`, ""),
			`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + vendorID + `:role/support"},"Action":"sts:*"}`}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			role := w.box.Account(oneID).Role(test.name, `{"Version":"2012-10-17","Statement":[`+strings.Join(test.statements, ",")+`]}`, []string{readsItself})
			report := newVerification(t, w, "one", role)
			step := report.Step(crossaccount.StepTrustPolicy)
			if step == nil {
				t.Fatalf("the trust policy was not judged: %s (%s)", report.Result, report.Message)
			}
			want, result := crossaccount.Passed, crossaccount.Passed
			if test.code != "" {
				want, result = crossaccount.Failed, crossaccount.Failed
			}
			if report.Result != want || report.Code != test.code || step.Result != result {
				t.Errorf("got %s with code %q, step %+v, want %s with code %q", report.Result, report.Code, step, want, test.code)
			}
			if test.code != "" && (report.Remedy == "" || step.Remedy == "") {
				t.Error("the report says not what to do")
			}
			for _, secret := range []string{id, others, "zz-another", "zzz"} {
				if text := fmt.Sprintf("%+v", report); strings.Contains(text, secret) {
					t.Errorf("the report tells an external ID: %s", text)
				}
			}
		})
	}
}

func TestRule2_TheTemplatesOwnTrustPolicyIsExact(t *testing.T) {
	w := newWorld(t)
	report := w.verify("one", w.launch(oneID, w.start("one").LaunchURL))
	if step := report.Step(crossaccount.StepTrustPolicy); report.Result != crossaccount.Passed || step == nil || step.Result != crossaccount.Passed {
		t.Errorf("%s (%s): %+v", report.Result, report.Message, step)
	}
}

func TestRule2_AnUnreadTrustPolicyIsReported(t *testing.T) {
	w := newWorld(t)
	id := w.start("one").ExternalID
	silent := w.box.Account(oneID).Role("silent", trustWith("StringEquals", id), nil)
	report := newVerification(t, w, "one", silent)
	if step := report.Step(crossaccount.StepTrustPolicy); report.Result != crossaccount.Passed ||
		step == nil || step.Result != crossaccount.Skipped || !strings.Contains(step.Detail, "may not read its own policies") {
		t.Errorf("a role that may not read itself: %s, %+v", report.Result, step)
	}

	// AWS learns new elements before we do.
	role := w.box.Account(oneID).Role("novel", trustWith("StringEquals", id), []string{readsItself})
	for name, document := range map[string]string{
		"new element": strings.Replace(trustWith("StringEquals", id), `"Effect"`, `"Novelty":"x","Effect"`, 1),
		"no JSON":     "admits everybody",
		"bad escape":  "%",
	} {
		escaped := url.PathEscape(document)
		if name == "bad escape" {
			escaped = document
		}
		novel := &interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
			if form.Get("Action") != "GetRole" {
				return nil, nil
			}
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(
				`<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><RoleName>novel</RoleName><Arn>` + role +
					`</Arn><AssumeRolePolicyDocument>` + escaped + `</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>`))}, nil
		}}
		w.client = w.newClient(crossaccount.WithHTTPClient(novel))
		report := w.verify("one", role)
		step := report.Step(crossaccount.StepTrustPolicy)
		if report.Result != crossaccount.Inconclusive || report.Code != crossaccount.CodeInconclusive || report.Remedy == "" ||
			step == nil || step.Result != crossaccount.Inconclusive || !strings.Contains(step.Detail, "cannot be understood") {
			t.Errorf("%s: %s with code %q, %+v", name, report.Result, report.Code, step)
		}
		wantCode(t, w.storeRole(w.client, role), crossaccount.CodeInconclusive)
	}
	if i := w.only("one"); i.State.Usable() || i.RoleARN != "" {
		t.Errorf("the integration is %s with %q", i.State, i.RoleARN)
	}
}
