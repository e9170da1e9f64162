package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

// A backend onboards a customer with the Go client, from the link to the audit
// records.
func TestOnboarding(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	started := w.start(w.operator, "one")
	if again := w.start(w.operator, "one"); again.ExternalID != started.ExternalID || again.IntegrationID != started.IntegrationID {
		t.Error("starting again did not continue the pending onboarding")
	}
	id, role := started.IntegrationID, w.launch(oneID, started.LaunchURL)
	presented := &api.RoleRequest{CustomerID: "one", RoleARN: role, ExternalID: started.ExternalID}
	report, err := w.operator.Verify(ctx, id, presented)
	if err != nil {
		t.Fatal(err)
	}
	if report.Result != crossaccount.Passed || !report.Controlled || report.Step(crossaccount.StepMissing) == nil {
		t.Fatalf("the report is %+v", report)
	}
	integration, err := w.operator.Complete(ctx, id, presented)
	if err != nil {
		t.Fatal(err)
	}
	if integration.State != crossaccount.StateActive || integration.RoleARN != role || integration.AccountID != oneID {
		t.Errorf("completed: %+v", integration)
	}
	if report, err = w.operator.Check(ctx, "one", id); err != nil || report.Result != crossaccount.Passed {
		t.Errorf("check: %v, %v", report, err)
	}
	document, err := w.operator.Template(ctx, crossaccount.FormatCloudFormation)
	if err != nil || !json.Valid(document) {
		t.Errorf("template: %v", err)
	}
	if script, err := w.operator.Template(ctx, crossaccount.FormatScript); err != nil || !strings.HasPrefix(string(script), "#!") {
		t.Errorf("script: %v", err)
	}
	if integration, err = w.operator.Disconnect(ctx, "one", id); err != nil || integration.State != crossaccount.StateDisconnected {
		t.Errorf("disconnect: %v, %v", integration, err)
	}
	if integration, err = w.operator.Revoke(ctx, "one", id); err != nil || integration.State != crossaccount.StateRevoked {
		t.Errorf("revoke: %v, %v", integration, err)
	}
	_, err = w.operator.Check(ctx, "one", id)
	w.expect(err, crossaccount.CodeNotVerified)

	audit, err := w.operator.Audit(ctx, "one", id, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, record := range audit.Records {
		actions = append(actions, record.Action)
		if record.Actor != "operator" {
			t.Errorf("%s was done by %q", record.Action, record.Actor)
		}
	}
	for _, want := range []string{crossaccount.ActionStarted, crossaccount.ActionVerified, crossaccount.ActionActivated, crossaccount.ActionDisconnected, crossaccount.ActionRevoked} {
		if !slices.Contains(actions, want) {
			t.Errorf("the audit records lack %s: %v", want, actions)
		}
	}
	if actions[0] != crossaccount.ActionRevoked {
		t.Errorf("the newest record is %s", actions[0])
	}
	if strings.Contains(w.log.String(), started.ExternalID) {
		t.Error("the log contains the external ID")
	}
}

// External IDs are in the answer to the start, and in no other.
func TestRule5_ExternalIDIsShownOnce(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "one")
	role := w.launch(oneID, started.LaunchURL)
	path := "/v1/integrations/" + started.IntegrationID
	body := `{"customer_id":"one","role_arn":"` + role + `"}`
	wrong := `{"customer_id":"one","role_arn":"` + role + `","external_id":"` + strings.ToUpper(started.ExternalID) + `"}`
	for _, r := range [][3]string{
		{"POST", path + "/verify", wrong}, {"POST", path + "/verify", body}, {"POST", path + "/complete", body},
		{"POST", path + "/check", `{"customer_id":"one"}`}, {"GET", path + "?customer_id=one", ""},
		{"GET", path + "/audit?customer_id=one", ""}, {"GET", "/v1/integrations", ""}, {"GET", "/v1/template", ""},
		{"POST", path + "/revoke", `{"customer_id":"one"}`},
	} {
		response, answer := w.request(r[0], r[1], r[2])
		if strings.Contains(strings.ToLower(answer), strings.ToLower(started.ExternalID)) {
			t.Errorf("%s %s: %s contains the external ID", r[0], r[1], response.Status)
		}
	}
}

// A tenant reaches its own integrations and nothing else, whatever it names.
func TestRule6_TenantsAreConfined(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	one, two := w.tenant("one"), w.tenant("two")
	started := w.start(one, "")
	id, role := started.IntegrationID, w.launch(oneID, started.LaunchURL)
	if _, err := one.Verify(ctx, id, &api.RoleRequest{RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Complete(ctx, id, &api.RoleRequest{RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	own := w.start(two, "two").IntegrationID
	for name, call := range map[string]func() error{
		"get":      func() error { _, err := two.Integration(ctx, "", id); return err },
		"verify":   func() error { _, err := two.Verify(ctx, id, &api.RoleRequest{RoleARN: role}); return err },
		"complete": func() error { _, err := two.Complete(ctx, id, &api.RoleRequest{RoleARN: role}); return err },
		"check":    func() error { _, err := two.Check(ctx, "", id); return err },
		"revoke":   func() error { _, err := two.Revoke(ctx, "", id); return err },
		"audit":    func() error { _, err := two.Audit(ctx, "", id, 0, ""); return err },
	} {
		if err := call(); crossaccount.CodeOf(err) != crossaccount.CodeUnknownIntegration {
			t.Errorf("%s of another tenant's integration: %v", name, err)
		}
	}
	for name, call := range map[string]func() error{
		"start": func() error { _, err := two.Start(ctx, &api.StartRequest{CustomerID: "one"}); return err },
		"get":   func() error { _, err := two.Integration(ctx, "one", id); return err },
		"list":  func() error { _, err := two.Integrations(ctx, api.ListRequest{CustomerID: "one"}); return err },
		"verify": func() error {
			_, err := two.Verify(ctx, id, &api.RoleRequest{CustomerID: "one", RoleARN: role})
			return err
		},
		"revoke": func() error { _, err := two.Revoke(ctx, "one", id); return err },
		"audit":  func() error { _, err := two.Audit(ctx, "one", id, 0, ""); return err },
		"import": func() error {
			_, err := two.Import(ctx, &api.ImportRequest{RoleARN: role, ExternalID: "chosen-by-me", Reason: "mine"})
			return err
		},
	} {
		if err := call(); crossaccount.CodeOf(err) != crossaccount.CodeForbidden {
			t.Errorf("%s naming another tenant: %v", name, err)
		}
	}
	// The impostor presents the role for its own integration, and hears what is
	// said of a role that does not exist.
	for _, presented := range []string{role, role + "-nobodys"} {
		report, err := two.Verify(ctx, own, &api.RoleRequest{RoleARN: presented})
		if err != nil || report.Code != crossaccount.CodePropagating {
			t.Errorf("the impostor got %+v, %v", report, err)
		}
		_, err = two.Complete(ctx, own, &api.RoleRequest{RoleARN: presented})
		w.expect(err, crossaccount.CodePropagating)
	}
	page, err := two.Integrations(ctx, api.ListRequest{})
	if err != nil || len(page.Integrations) != 1 || page.Integrations[0].ID != own {
		t.Errorf("two sees %+v, %v", page, err)
	}
	if page, err = w.operator.Integrations(ctx, api.ListRequest{}); err != nil || len(page.Integrations) != 2 {
		t.Errorf("the operator sees %+v, %v", page, err)
	}
	// A backend that confines itself is confined.
	confined := w.newClient(api.WithToken(operatorToken), api.WithCustomer("two"))
	_, err = confined.Integration(ctx, "one", id)
	w.expect(err, crossaccount.CodeForbidden)
}

func TestRule2_LookAlikeIsRefused(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "two")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	role := w.box.Account(twoID).Role("forgot-the-condition", trust, nil)
	presented := &api.RoleRequest{CustomerID: "two", RoleARN: role}
	report, err := w.operator.Verify(t.Context(), started.IntegrationID, presented)
	if err != nil || report.Code != crossaccount.CodeExternalIDNotRequired {
		t.Errorf("verify: %+v, %v", report, err)
	}
	_, err = w.operator.Complete(t.Context(), started.IntegrationID, presented)
	w.expect(err, crossaccount.CodeExternalIDNotRequired)
	integration, err := w.operator.Integration(t.Context(), "two", started.IntegrationID)
	if err != nil || integration.State != crossaccount.StateRejected || integration.RoleARN != "" {
		t.Errorf("the integration is %+v, %v", integration, err)
	}
}

// A verification that AWS is slow to answer is no long request: the answer says
// where to look, a second one does not run beside it, and it goes on after the
// client has left.
func TestRule9_SlowVerificationIsNoLongRequest(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "one")
	role := w.launch(oneID, started.LaunchURL)
	path := "/v1/integrations/" + started.IntegrationID
	body := `{"customer_id":"one","role_arn":"` + role + `"}`

	w.aws.mu.Lock() // AWS does not answer
	response, answer := w.request("POST", path+"/verify", body, "Prefer", "respond-async")
	location, err := response.Location()
	if response.StatusCode != http.StatusAccepted || err != nil || location.Path != path || response.Header.Get("Retry-After") == "" {
		t.Fatalf("%s, %v: %s", response.Status, location, answer)
	}
	if response, _ = w.request("POST", path+"/verify", body, "Prefer", "respond-async"); response.StatusCode != http.StatusAccepted {
		t.Errorf("the same again: %s", response.Status)
	}
	if response, answer = w.request("POST", path+"/complete", body); response.StatusCode != http.StatusConflict {
		t.Errorf("something else meanwhile: %s: %s", response.Status, answer)
	}
	var shown api.Integration
	_, answer = w.request("GET", location.RequestURI(), "")
	if err := json.Unmarshal([]byte(answer), &shown); err != nil || shown.Operation == nil || !shown.Operation.Running {
		t.Errorf("the integration does not show what runs: %s", answer)
	}
	w.aws.mu.Unlock()

	// The client joins what runs and waits for it.
	report, err := w.operator.Verify(t.Context(), started.IntegrationID, &api.RoleRequest{CustomerID: "one", RoleARN: role})
	if err != nil || report.Result != crossaccount.Passed {
		t.Errorf("%+v, %v", report, err)
	}
}

// The client looks again as often as the server says.
func TestClientFollowsLongOperations(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Wait = time.Nanosecond })
	started := w.start(w.operator, "one")
	role := w.launch(oneID, started.LaunchURL)
	w.aws.mu.Lock()
	waits := 0
	client := w.newClient(api.WithToken(operatorToken), api.WithWait(func(_ context.Context, d time.Duration) error {
		if waits++; waits == 1 {
			w.aws.mu.Unlock()
		}
		if d != time.Second {
			t.Errorf("waits for %s", d)
		}
		return nil
	}))
	report, err := client.Verify(t.Context(), started.IntegrationID, &api.RoleRequest{CustomerID: "one", RoleARN: role})
	if err != nil || report.Result != crossaccount.Passed || waits == 0 {
		t.Errorf("%+v, %v after %d waits", report, err, waits)
	}
}

// A role that AWS does not know yet is no error of the server's.
func TestRoleThatMayBeNew(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "one")
	presented := &api.RoleRequest{CustomerID: "one", RoleARN: "arn:aws:iam::" + oneID + ":role/not-there-yet"}
	report, err := w.operator.Verify(t.Context(), started.IntegrationID, presented)
	if err != nil || report.Code != crossaccount.CodePropagating {
		t.Errorf("%+v, %v", report, err)
	}
	response, _ := w.request("POST", "/v1/integrations/"+started.IntegrationID+"/complete", `{"customer_id":"one","role_arn":"`+presented.RoleARN+`"}`)
	if response.StatusCode != http.StatusConflict || response.Header.Get("Retry-After") == "" {
		t.Errorf("completing: %s", response.Status)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(o *api.Options) { o.Now = func() time.Time { return now } })
	body := `{"customer_id":"one","customer_name":"One"}`
	first, answer := w.request("POST", "/v1/integrations", body, api.IdempotencyHeader, "k")
	again, repeated := w.request("POST", "/v1/integrations", body, api.IdempotencyHeader, "k")
	if again.StatusCode != first.StatusCode || repeated != answer || again.Header.Get(api.ReplayedHeader) != "true" || first.Header.Get(api.ReplayedHeader) != "" {
		t.Errorf("repeated: %s: %s", again.Status, repeated)
	}
	for name, r := range map[string][]string{
		"another body":  {"/v1/integrations", `{"customer_id":"two"}`, api.IdempotencyHeader, "k"},
		"another route": {"/v1/integrations/x/revoke", body, api.IdempotencyHeader, "k"},
	} {
		response, problem := w.request("POST", r[0], r[1], r[2:]...)
		if response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(problem, string(api.CodeKeyReused)) {
			t.Errorf("%s: %s: %s", name, response.Status, problem)
		}
	}
	// Keys of different callers have nothing to do with each other.
	response, other := w.request("POST", "/v1/integrations", `{}`, api.IdempotencyHeader, "k", "Authorization", "", tenantHeader, "two")
	if response.StatusCode != http.StatusOK || other == answer {
		t.Errorf("another caller: %s: %s", response.Status, other)
	}
	for _, key := range []string{strings.Repeat("k", 256), "two words", "ключ"} {
		if response, _ := w.request("POST", "/v1/integrations", body, api.IdempotencyHeader, key); response.StatusCode != http.StatusBadRequest {
			t.Errorf("the key %.20q: %s", key, response.Status)
		}
	}
	// Trouble that may pass is not remembered.
	role := `{"customer_id":"one","role_arn":"arn:aws:iam::` + oneID + `:role/not-there-yet"}`
	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(answer), &started); err != nil {
		t.Fatal(err)
	}
	complete := "/v1/integrations/" + started.IntegrationID + "/complete"
	for range 2 {
		response, _ := w.request("POST", complete, role, api.IdempotencyHeader, "c")
		if response.StatusCode != http.StatusConflict || response.Header.Get(api.ReplayedHeader) != "" {
			t.Errorf("propagating: %s, replayed %q", response.Status, response.Header.Get(api.ReplayedHeader))
		}
	}
	now = now.Add(25 * time.Hour)
	if response, _ := w.request("POST", "/v1/integrations", `{"customer_id":"one"}`, api.IdempotencyHeader, "k"); response.StatusCode != http.StatusOK {
		t.Errorf("after a day: %s", response.Status)
	}
}

// Of two requests with one key at the same time, one is carried out.
func TestIdempotencyKeyInUse(t *testing.T) {
	w := newWorld(t)
	w.aws.mu.Lock() // the first request waits for AWS, to publish the template
	ended := make(chan string)
	go func() {
		response, _ := w.request("POST", "/v1/integrations", `{"customer_id":"one"}`, api.IdempotencyHeader, "k")
		ended <- response.Status
	}()
	<-w.aws.arrived
	response, problem := w.request("POST", "/v1/integrations", `{"customer_id":"two"}`, api.IdempotencyHeader, "k")
	if response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another request: %s: %s", response.Status, problem)
	}
	response, problem = w.request("POST", "/v1/integrations", `{"customer_id":"one"}`, api.IdempotencyHeader, "k")
	if response.StatusCode != http.StatusConflict || !strings.Contains(problem, string(api.CodeKeyInUse)) {
		t.Errorf("the same request: %s: %s", response.Status, problem)
	}
	w.aws.mu.Unlock()
	if status := <-ended; status != "200 OK" {
		t.Errorf("the first request: %s", status)
	}
}

func TestListing(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, customer := range []string{"a", "b", "c", "d", "e"} {
		w.start(w.operator, customer)
	}
	if _, err := w.operator.Start(ctx, &api.StartRequest{CustomerID: "c", AccountID: twoID}); err != nil {
		t.Fatal(err)
	}
	var customers []string
	for integration, err := range w.operator.All(ctx, api.ListRequest{Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		customers = append(customers, integration.CustomerID)
	}
	if got := strings.Join(customers, ""); got != "abcde" {
		t.Errorf("page by page: %s", got)
	}
	for name, tt := range map[string]struct {
		request api.ListRequest
		want    int
	}{
		"account":  {api.ListRequest{AccountID: twoID}, 1},
		"customer": {api.ListRequest{CustomerID: "b"}, 1},
		"prefix":   {api.ListRequest{CustomerID: "B"}, 0},
		"states":   {api.ListRequest{States: []crossaccount.State{crossaccount.StatePending, crossaccount.StateActive}}, 5},
		"revoked":  {api.ListRequest{States: []crossaccount.State{crossaccount.StateRevoked}}, 0},
	} {
		page, err := w.operator.Integrations(ctx, tt.request)
		if err != nil || len(page.Integrations) != tt.want {
			t.Errorf("%s: %d, %v; want %d", name, len(page.Integrations), err, tt.want)
		}
	}
	_, err := w.operator.Integrations(ctx, api.ListRequest{Cursor: "not one of ours"})
	w.expect(err, crossaccount.CodeInvalidRequest)
}

// An operator takes over a role that a customer made long ago.
func TestRule1_ImportIsAnAuditedException(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	trust := func(id string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + id + `"}}}]}`
	}
	const externalID = "made-in-2019-by-Hand"
	role := w.box.Account(oneID).Role("legacy", trust(externalID), nil)
	request := &api.ImportRequest{CustomerID: "one", RoleARN: role, ExternalID: externalID, Reason: "connected before crossaccount"}
	imported, err := w.operator.Import(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if imported.State != crossaccount.StatePending || imported.AccountID != oneID {
		t.Errorf("imported as %+v", imported)
	}
	if _, err := w.operator.Complete(ctx, imported.ID, &api.RoleRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	audit, err := w.operator.Audit(ctx, "one", imported.ID, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	first := audit.Records[len(audit.Records)-1]
	if first.Action != crossaccount.ActionImported || first.Actor != "operator" || first.Details["reason"] != request.Reason || first.Details["exception"] == "" {
		t.Errorf("the first audit record is %+v", first)
	}
	for name, tt := range map[string]struct {
		change func(*api.ImportRequest)
		want   crossaccount.Code
	}{
		"the same external ID for somebody else": {func(r *api.ImportRequest) {
			r.CustomerID, r.RoleARN = "two", w.box.Account(twoID).Role("legacy", trust(externalID), nil)
		}, crossaccount.CodeIllegalState},
		"the same role for somebody else": {func(r *api.ImportRequest) { r.CustomerID, r.ExternalID = "two", "another" }, crossaccount.CodeRoleTaken},
		"our own role":                    {func(r *api.ImportRequest) { r.RoleARN = canaryARN }, crossaccount.CodeInvalidRole},
		"no reason":                       {func(r *api.ImportRequest) { r.Reason = " " }, crossaccount.CodeInvalidRequest},
		"an illegal external ID":          {func(r *api.ImportRequest) { r.ExternalID = "white space" }, crossaccount.CodeInvalidRequest},
		"one without letters and digits":  {func(r *api.ImportRequest) { r.ExternalID = "::::" }, crossaccount.CodeInvalidRequest},
	} {
		changed := *request
		tt.change(&changed)
		if _, err := w.operator.Import(ctx, &changed); crossaccount.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	// An imported role is probed like every other.
	open := w.box.Account(twoID).Role("open", strings.Replace(trust("x"), `,"Condition":{"StringEquals":{"sts:ExternalId":"x"}}`, "", 1), nil)
	careless, err := w.operator.Import(ctx, &api.ImportRequest{CustomerID: "two", RoleARN: open, ExternalID: "not-required", Reason: "careless"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.operator.Complete(ctx, careless.ID, &api.RoleRequest{CustomerID: "two", RoleARN: open})
	w.expect(err, crossaccount.CodeExternalIDNotRequired)
}

// A check that fails degrades, and says so.
func TestRule4_FailedCheckDegrades(t *testing.T) {
	w := newWorld(t)
	started := w.start(w.operator, "one")
	role := w.launch(oneID, started.LaunchURL)
	if _, err := w.operator.Complete(t.Context(), started.IntegrationID, &api.RoleRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	name := role[strings.LastIndexByte(role, '/')+1:]
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
	if _, err := iam.NewFromConfig(w.box.Account(oneID).Config()).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(name), PolicyDocument: &trust,
	}); err != nil {
		t.Fatal(err)
	}
	report, err := w.operator.Check(t.Context(), "one", started.IntegrationID)
	if err != nil || report.Result != crossaccount.Failed {
		t.Errorf("%+v, %v", report, err)
	}
	integration, err := w.operator.Integration(t.Context(), "one", started.IntegrationID)
	if err != nil || integration.State != crossaccount.StateDegraded || integration.DegradedReason == "" || integration.RoleARN != role {
		t.Errorf("%+v, %v", integration, err)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if response, body := w.request("GET", path, "", "Authorization", ""); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: %s", path, response.Status, body)
		}
	}
	if err := w.handler.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expect(w.operator.Ready(t.Context()), api.CodeNotReady)
}
