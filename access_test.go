package crossaccount_test

import (
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
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// assumptions counts the calls that asked for a role.
func (w *world) assumptions() (n int) {
	for _, call := range w.box.Calls() {
		if call.Operation == "AssumeRole" {
			n++
		}
	}
	return n
}

func arnOf(t *testing.T, config aws.Config) string {
	t.Helper()
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return *who.Arn
}

const listOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`

func TestPurposesNarrowWhatAJobMayDo(t *testing.T) {
	w := newWorld(t, crossaccount.WithPurposes(broker.Purpose{Name: "inventory", Policy: listOnly}))
	w.onboard("one", oneID)
	owner := s3.NewFromConfig(w.box.Account(oneID).Config())
	for _, err := range []error{
		func() error {
			_, err := owner.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("customer-data")})
			return err
		}(),
		func() error {
			_, err := owner.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("customer-data"), Key: aws.String("a"), Body: strings.NewReader("x")})
			return err
		}(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(config aws.Config) error {
		_, err := s3.NewFromConfig(config).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("customer-data"), Key: aws.String("a")})
		return err
	}
	list := func(config aws.Config) error {
		_, err := s3.NewFromConfig(config).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("customer-data"), Prefix: aws.String("public/x")})
		return err
	}
	whole, err := w.client.Config(t.Context(), "one", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := read(whole); err != nil {
		t.Errorf("without a purpose the role may read: %v", err)
	}
	narrow, err := w.client.Config(t.Context(), "one", "", crossaccount.ForPurpose("inventory"))
	if err != nil {
		t.Fatal(err)
	}
	if err := list(narrow); err != nil {
		t.Errorf("the purpose may list: %v", err)
	}
	if err := read(narrow); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("the purpose must not read: %v", err)
	}
	if arn := arnOf(t, narrow); !strings.HasSuffix(arn, "@one+inventory") {
		t.Errorf("the customer's CloudTrail does not show the purpose: %s", arn)
	}
	byHand, err := w.client.Config(t.Context(), "one", "", crossaccount.NarrowedBy(listOnly))
	if err != nil {
		t.Fatal(err)
	}
	if err := read(byHand); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("the session policy must not let read: %v", err)
	}
	page, err := w.client.Audit(t.Context(), crossaccount.AuditQuery{CustomerID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := narrow.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range page.Records {
		found = found || r.Action == crossaccount.ActionAssumed && r.Details["purpose"] == "inventory" && r.Details["access_key_id"] == issued.AccessKeyID
	}
	if !found {
		t.Error("no audit record names the purpose and the access key id")
	}

	for name, option := range map[string]crossaccount.AccessOption{
		"unknown purpose":  crossaccount.ForPurpose("nothing"),
		"malformed policy": crossaccount.NarrowedBy("{"),
		"too long":         crossaccount.Lasting(13 * time.Hour),
	} {
		_, err := w.client.Credentials(t.Context(), "one", option)
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRolesBehindTheCustomersRole(t *testing.T) {
	w := newWorld(t)
	role := w.onboard("one", oneID)
	customer := iam.NewFromConfig(w.box.Account(oneID).Config())
	inner := w.box.Account(oneID).Role("inner", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+role+`"},"Action":"sts:AssumeRole"}]}`, nil)
	name := role[strings.LastIndex(role, "/")+1:]
	if _, err := customer.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("chain"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + inner + `"}]}`)}); err != nil {
		t.Fatal(err)
	}
	config, err := w.client.Config(t.Context(), "one", "", crossaccount.Through(broker.Role{ARN: inner}))
	if err != nil {
		t.Fatal(err)
	}
	if arn := arnOf(t, config); !strings.Contains(arn, ":assumed-role/inner/") {
		t.Errorf("calls are made as %s", arn)
	}
	// A session policy is for the last role, and does not keep the first from
	// assuming it.
	narrowed, err := w.client.Config(t.Context(), "one", "", crossaccount.Through(broker.Role{ARN: inner}), crossaccount.NarrowedBy(listOnly))
	if err != nil {
		t.Fatal(err)
	}
	if arn := arnOf(t, narrowed); !strings.Contains(arn, ":assumed-role/inner/") {
		t.Errorf("with a session policy calls are made as %s", arn)
	}
}

// Whoever keeps credentials follows the record: to another role, and out.
func TestCredentialsFollowTheRecord(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	credentials, err := w.client.Credentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	config := credentials.Config("")
	arnOf(t, config)
	again, err := w.client.Credentials(t.Context(), "one")
	if err != nil || again != credentials {
		t.Errorf("the same access has other credentials (%v)", err)
	}

	i := w.only("one")
	externalID, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	moved := w.box.Account(oneID).Role("moved", trustWith("StringEquals", externalID.ExternalID), nil)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: moved}); err != nil {
		t.Fatal(err)
	}
	if arn := arnOf(t, config); !strings.Contains(arn, ":assumed-role/moved/") {
		t.Errorf("after the role was replaced calls are made as %s", arn)
	}
	if err := w.client.Revoke(t.Context(), "one", i.ID); err != nil {
		t.Fatal(err)
	}
	_, err = config.Credentials.Retrieve(t.Context())
	wantCode(t, err, crossaccount.CodeNotVerified)
	if err := credentials.Recheck(t.Context()); crossaccount.CodeOf(err) != crossaccount.CodeNotVerified {
		t.Errorf("Recheck: %v", err)
	}
}

// Whoever keeps credentials follows the record however often and by whomever it is
// changed: here by this process first and by another one then.
func TestCredentialsFollowTheRecordTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		config, err := w.client.Config(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		known, err := w.client.CustomerCredentials(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		move := func(client *crossaccount.Client, name string) {
			t.Helper()
			role := w.box.Account(oneID).Role(name, trustWith("StringEquals", known.ExternalID), nil)
			if err := client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
				t.Fatal(err)
			}
		}
		move(w.client, "second")
		if arn := arnOf(t, config); !strings.Contains(arn, ":assumed-role/second/") {
			t.Errorf("after this process replaced the role calls are made as %s", arn)
		}
		move(w.newClient(), "third")
		time.Sleep(56 * time.Minute) // at the next renewal at the latest
		if arn := arnOf(t, config); !strings.Contains(arn, ":assumed-role/third/") {
			t.Errorf("after another process replaced the role calls are made as %s", arn)
		}
	})
}

// What another process ended is dropped as soon as this one reads the record.
func TestAnEndElsewhereIsNoticedByReading(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	id, other := w.only("one").ID, w.newClient()
	for range 2 {
		if err := other.Disconnect(t.Context(), "one", id); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = w.client.AssumeIntegrationRole(t.Context(), "one", id)
			wantCode(t, err, crossaccount.CodeNotVerified)
			_, err = config.Credentials.Retrieve(t.Context())
			wantCode(t, err, crossaccount.CodeNotVerified)
		}
		// Checked again, it is in use again, also by those who kept credentials.
		if report, err := other.Check(t.Context(), "one", id); err != nil || report.Err() != nil {
			t.Fatalf("%+v, %v", report, err)
		}
		arnOf(t, config)
	}
}

// Another process revokes; here it shows at the next renewal at the latest.
func TestARevocationElsewhereEndsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		config, err := w.client.Config(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		arnOf(t, config)
		if err := w.newClient().Revoke(t.Context(), "one", w.only("one").ID); err != nil {
			t.Fatal(err)
		}
		before := w.assumptions()
		time.Sleep(56 * time.Minute)
		_, err = config.Credentials.Retrieve(t.Context())
		wantCode(t, err, crossaccount.CodeNotVerified)
		if after := w.assumptions(); after != before {
			t.Errorf("AWS was asked %d times for an integration that was given up", after-before)
		}
	})
}

func TestWithdrawnTrustDegradesTheIntegration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		role := w.onboard("one", oneID)
		config, err := w.client.Config(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		arnOf(t, config)
		time.Sleep(broker.Patience)
		customer := iam.NewFromConfig(w.box.Account(oneID).Config())
		name, trust := role[strings.LastIndex(role, "/")+1:], trustWith("StringEquals", "other-id")
		if _, err := customer.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust}); err != nil {
			t.Fatal(err)
		}
		// Nobody calls: renewing finds out, asks again half a minute later, and
		// lets the role be checked.
		time.Sleep(57 * time.Minute)
		synctest.Wait()
		i := w.only("one")
		if i.State != crossaccount.StateDegraded || i.DegradedReason != crossaccount.CodeRoleRefused {
			t.Errorf("the integration is %s for %q", i.State, i.DegradedReason)
		}
		page, err := w.client.Audit(t.Context(), crossaccount.AuditQuery{CustomerID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		events := map[string]bool{}
		for _, r := range page.Records {
			if r.Action == crossaccount.ActionAssumed && r.Outcome == string(crossaccount.CodeRoleRefused) {
				events[r.Details["event"]] = true
			}
		}
		if !events["suspected"] || !events["withdrawn"] {
			t.Errorf("the audit records hold %v", events)
		}
	})
}

// A trust policy that allowed tags and source identity when it was verified, and
// no longer does, costs those and not the access.
func TestTagsAreGivenUpBeforeAccess(t *testing.T) {
	w := newWorld(t)
	started := w.start("one")
	marked := strings.Replace(trustWith("StringEquals", started.ExternalID), `"Statement":[`,
		`"Statement":[{"Effect":"Allow","Principal":{"AWS":"`+vendorID+`"},"Action":["sts:TagSession","sts:SetSourceIdentity"]},`, 1)
	role := w.box.Account(oneID).Role("marked", marked, nil)
	if err := w.client.StoreCustomerCredentials(t.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: "one", RoleARN: role}); err != nil {
		t.Fatal(err)
	}
	if report := w.only("one").Verification; !report.SessionTags || !report.SourceIdentity {
		t.Fatalf("verification saw tags %v, source identity %v", report.SessionTags, report.SourceIdentity)
	}
	tagged, err := w.client.Config(t.Context(), "one", "", crossaccount.WithSessionTags(map[string]string{"job": "1"}), crossaccount.WithSourceIdentity("alice"))
	if err != nil {
		t.Fatal(err)
	}
	arnOf(t, tagged)
	customer := iam.NewFromConfig(w.box.Account(oneID).Config())
	plain := trustWith("StringEquals", started.ExternalID)
	if _, err := customer.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("marked"), PolicyDocument: &plain}); err != nil {
		t.Fatal(err)
	}
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatalf("without tags the role may be assumed: %v", err)
	}
	arnOf(t, config)
	other, err := w.newClient().Config(t.Context(), "one", "", crossaccount.WithSessionTags(map[string]string{"job": "2"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Credentials.Retrieve(t.Context()); err == nil {
		t.Error("tags that were asked for were given up silently")
	}

	// Once it was checked, the role is known to allow neither.
	if _, err := w.client.Check(t.Context(), "one", w.only("one").ID); err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]crossaccount.AccessOption{
		"tags": crossaccount.WithSessionTags(map[string]string{"job": "1"}), "source identity": crossaccount.WithSourceIdentity("alice"),
	} {
		if _, err := w.client.Credentials(t.Context(), "one", option); crossaccount.CodeOf(err) != crossaccount.CodeInvalidRequest {
			t.Errorf("%s the role does not allow: %v", name, err)
		}
	}
}

func TestReplicasShareSessionsSealed(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	store := broker.NewMemoryStore(time.Now)
	before := w.assumptions()
	keys := map[string]bool{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 4 {
		client := w.newClient(crossaccount.WithSharedSessions(store, nil))
		for range 10 {
			group.Go(func() {
				config, err := client.AssumeCustomerRole(t.Context(), "one")
				if err != nil {
					t.Error(err)
					return
				}
				issued, err := config.Credentials.Retrieve(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				keys[issued.AccessKeyID] = true
			})
		}
	}
	group.Wait()
	if calls := w.assumptions() - before; calls != 1 || len(keys) != 1 {
		t.Errorf("4 replicas with 10 callers each made %d calls and have %d sessions", calls, len(keys))
	}
}

// A client that is another identity of ours never uses the sessions of this one.
func TestIdentitiesShareNoSessions(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	store := broker.NewMemoryStore(time.Now)
	seen := map[string]bool{}
	for _, options := range [][]crossaccount.Option{nil, {
		crossaccount.WithBrokerRole("arn:aws:iam::" + vendorID + ":role/broker"), crossaccount.WithProbeRole("arn:aws:iam::" + vendorID + ":role/probe"),
	}} {
		config, err := w.newClient(append(options, crossaccount.WithSharedSessions(store, nil))...).AssumeCustomerRole(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		issued, err := config.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[issued.AccessKeyID] = true
	}
	if len(seen) != 2 || store.Len() != 2 {
		t.Errorf("two identities have %d sessions, and the store %d", len(seen), store.Len())
	}
}

func TestAnotherRegionTakesOver(t *testing.T) {
	w := newWorld(t)
	w.onboard("one", oneID)
	var down atomic.Int32
	client := w.newClient(crossaccount.WithSTSRegions("us-east-1", "us-west-2"), crossaccount.WithHTTPClient(&interceptor{next: w.box.Client(), answer: func(r *http.Request, form url.Values) (*http.Response, error) {
		if form.Get("Action") == "AssumeRole" && strings.Contains(r.Header.Get("Authorization"), "/us-east-1/") {
			down.Add(1)
			return stsError(503, "ServiceUnavailable"), nil
		}
		return nil, nil
	}}))
	if _, err := client.AssumeCustomerRole(t.Context(), "one"); err != nil || down.Load() == 0 {
		t.Errorf("with a region down (asked %d times): %v", down.Load(), err)
	}
}

// Readers that keep what they get are given credentials that last, whether they
// said so when they asked for them or only now.
func TestLastingCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		plain, err := w.client.Credentials(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		before, err := plain.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute) // not renewed yet: 10 minutes are left, and 8.4 are enough within a process
		same, err := plain.Retrieve(t.Context())
		if err != nil || same.AccessKeyID != before.AccessKeyID {
			t.Fatalf("renewed already: %v", err)
		}
		lasting, err := plain.RetrieveLasting(t.Context(), 15*time.Minute)
		if err != nil || time.Until(lasting.Expires) < 15*time.Minute {
			t.Errorf("they last %s, %v", time.Until(lasting.Expires), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		for _, options := range [][]crossaccount.AccessOption{nil, {crossaccount.OverHTTP()}} {
			credentials, err := w.client.Credentials(t.Context(), "one", options...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := credentials.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(46 * time.Minute)
		credentials, err := w.client.Credentials(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		if status := credentials.Status(); time.Until(status.Expires) < 15*time.Minute {
			t.Errorf("what is read over HTTP lasts %s", time.Until(status.Expires))
		}
	})
}

// Sessions of an external ID that the record does not have any more are not
// renewed, although the role is the same.
func TestCredentialsFollowTheExternalID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onboard("one", oneID)
		var mu sync.Mutex
		sent := map[string]int{}
		client := w.newClient(crossaccount.WithHTTPClient(&interceptor{next: w.box.Client(), answer: func(_ *http.Request, form url.Values) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			sent[form.Get("ExternalId")]++
			return nil, nil
		}}))
		config, err := client.Config(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		arnOf(t, config)
		known, err := client.CustomerCredentials(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		const next = "acme-analytics-0123456789abcdef0123456789abcdef"
		i, keys := w.only("one"), testKeys(t)
		if i.SealedExternalID, err = keys.Seal(t.Context(), []byte(next), crossaccount.Binding{CustomerID: "one", IntegrationID: i.ID, Field: "external_id"}); err != nil {
			t.Fatal(err)
		}
		if i.ExternalIDIndex, err = keys.BlindIndex(t.Context(), "external_id", []byte(next)); err != nil {
			t.Fatal(err)
		}
		if err := w.store.Update(t.Context(), i, crossaccount.Change{}); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		before := sent[known.ExternalID]
		mu.Unlock()
		time.Sleep(56 * time.Minute)
		_, err = config.Credentials.Retrieve(t.Context()) // the role does not know the new one
		wantCode(t, err, crossaccount.CodeRoleRefused)
		mu.Lock()
		defer mu.Unlock()
		if before == 0 || sent[known.ExternalID] != before || sent[next] == 0 {
			t.Errorf("the external ID of before was sent %d times, then %d times, and that of now %d times", before, sent[known.ExternalID], sent[next])
		}
	})
}
