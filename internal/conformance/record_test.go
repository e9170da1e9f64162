package conformance_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	policy "github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/internal/conformance"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// operatorIn makes somebody who may do everything in an account.
func operatorIn(t testing.TB, box *sandboxtest.Sandbox, account string, propagate func()) *conformance.Operator {
	t.Helper()
	config := box.Account(account).User("operator", everything)
	propagate()
	identity, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return &conformance.Operator{Config: config, Account: policy.AccountID(account), ARN: *identity.Arn, UserID: *identity.UserId}
}

func recorder(t testing.TB, box *sandboxtest.Sandbox) *conformance.Recorder {
	return slowRecorder(t, box, func() {})
}

func slowRecorder(t testing.TB, box *sandboxtest.Sandbox, propagate func()) *conformance.Recorder {
	return &conformance.Recorder{
		Principal: operatorIn(t, box, principalID, propagate), Resource: operatorIn(t, box, resourceID, propagate),
		Batch: 10, Now: time.Now, Say: func(string) {},
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

// nothingLeft asserts that the accounts have no roles, policies or buckets.
func nothingLeft(t *testing.T, r *conformance.Recorder) {
	t.Helper()
	for _, o := range []*conformance.Operator{r.Principal, r.Resource} {
		roles, err := iam.NewFromConfig(o.Config).ListRoles(t.Context(), &iam.ListRolesInput{})
		if err != nil {
			t.Fatal(err)
		}
		policies, err := iam.NewFromConfig(o.Config).ListPolicies(t.Context(), &iam.ListPoliciesInput{Scope: "Local"})
		if err != nil {
			t.Fatal(err)
		}
		buckets, err := s3.NewFromConfig(o.Config).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(roles.Roles) + len(policies.Policies) + len(buckets.Buckets); n > 0 {
			t.Errorf("account %s: %d roles, %d policies, %d buckets are left", o.Account, len(roles.Roles), len(policies.Policies), len(buckets.Buckets))
		}
	}
}

// Everything recordable is recorded in two accounts, agrees with the engine,
// and leaves nothing behind.
func TestRecordAndCheck(t *testing.T) {
	box := sandboxtest.New(t, principalID, resourceID)
	r := recorder(t, box)
	list := append(conformance.Builtin(), ourCases(t)...)
	p := planOf(t, sides(), list)
	f, err := r.Record(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, r)
	if len(f.Verdicts)+len(f.NotRecorded) != len(list) {
		t.Errorf("%d verdicts and %d not recorded of %d cases", len(f.Verdicts), len(f.NotRecorded), len(list))
	}
	refused := 0
	for _, s := range f.NotRecorded {
		planned := false
		for _, i := range p.Recordable() {
			planned = planned || i.Name == s.Name
		}
		if planned {
			refused++
			t.Logf("planned, not recorded: %s: %s", s.Name, s.Reason)
		}
	}
	if len(f.Verdicts) < 80 {
		t.Errorf("only %d cases are recorded; AWS would not take %d", len(f.Verdicts), refused)
	}

	var written bytes.Buffer
	if err := f.Write(&written); err != nil {
		t.Fatal(err)
	}
	if s := written.String(); strings.Contains(s, principalID) || strings.Contains(s, resourceID) {
		t.Error("the fixtures contain the ids of the accounts")
	}
	again, err := conformance.ReadFixtures(&written)
	if err != nil {
		t.Fatal(err)
	}
	comparisons, err := again.Check()
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for _, c := range comparisons {
		if !c.Equal {
			t.Errorf("%s: recorded %s, the engine says %s\n%s", c.Name, c.Recorded, c.Engine, c.Message)
		}
		if c.Recorded != "Allowed" {
			denied++
		}
	}
	if denied == 0 || denied == len(comparisons) {
		t.Errorf("%d of %d verdicts are denials", denied, len(comparisons))
	}
}

// A verdict that was tampered with, or an engine that changes its mind, shows.
func TestCheckFindsDifferences(t *testing.T) {
	box := sandboxtest.New(t, principalID, resourceID)
	f, err := recorder(t, box).Record(t.Context(), planOf(t, sides(), conformance.Builtin()[:2]))
	if err != nil {
		t.Fatal(err)
	}
	f.Verdicts[0].Response, f.Verdicts[1].Response = "Denied", "Denied"
	comparisons, err := f.Check()
	if err != nil {
		t.Fatal(err)
	}
	if comparisons[0].Equal || !comparisons[1].Equal {
		t.Errorf("got %+v", comparisons)
	}
}

// An answer that contradicts the engine is asked for again until patience ends,
// here because IAM takes its time.
func TestRecordWaitsForPropagation(t *testing.T) {
	now := time.Now() // clients sign with the real time
	box := sandboxtest.NewWith(t, sandbox.Options{Clock: func() time.Time { return now }, IAMDelay: 30 * time.Second}, principalID, resourceID)
	r := slowRecorder(t, box, func() { now = now.Add(time.Minute) })
	r.Now = func() time.Time { return now }
	r.Sleep = func(ctx context.Context, d time.Duration) error { now = now.Add(d); return ctx.Err() }
	r.Settle, r.Interval, r.Patience = time.Second, 5*time.Second, 3*time.Minute
	f, err := r.Record(t.Context(), planOf(t, sides(), conformance.Builtin()[:1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Verdicts) != 1 || f.Verdicts[0].Response != "Allowed" {
		t.Errorf("got %+v, not recorded %+v", f.Verdicts, f.NotRecorded)
	}
	if waited := now.Sub(f.Recorded); waited > 2*time.Minute {
		t.Errorf("it took %s", waited)
	}
}

// A flaky client lets every third call of a session fail, so that no answer is
// ever given three times in a row.
type flaky struct {
	aws.HTTPClient
	code  string
	calls *int
}

func (f flaky) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Security-Token") == "" {
		return f.HTTPClient.Do(r)
	}
	if *f.calls++; *f.calls%3 != 0 {
		return f.HTTPClient.Do(r)
	}
	body := "<Error><Code>" + f.code + "</Code><Message>not now</Message></Error>"
	status := map[string]int{"AccessDenied": http.StatusForbidden}[f.code]
	if status == 0 {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// Answers that change, and calls that are neither answered nor refused, are not
// recorded.
func TestRecordWantsStableAnswers(t *testing.T) {
	for code, want := range map[string]string{
		"AccessDenied": "did not give the same answer 3 times in a row",
		"NoSuchBucket": "neither succeeded nor was refused",
	} {
		t.Run(code, func(t *testing.T) {
			box := sandboxtest.New(t, principalID, resourceID)
			r := recorder(t, box)
			r.Principal.Config.HTTPClient = flaky{r.Principal.Config.HTTPClient, code, new(int)}
			f, err := r.Record(t.Context(), planOf(t, sides(), conformance.Builtin()[:1]))
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Verdicts) != 0 || len(f.NotRecorded) != 1 || !strings.Contains(f.NotRecorded[0].Reason, want) {
				t.Errorf("got %+v, not recorded %+v; want nothing recorded because it %s", f.Verdicts, f.NotRecorded, want)
			}
			nothingLeft(t, r)
		})
	}
}

// An interruption removes what was made, and says what was not recorded.
func TestInterrupted(t *testing.T) {
	box := sandboxtest.New(t, principalID, resourceID)
	r := recorder(t, box)
	ctx, stop := context.WithCancel(t.Context())
	made := 0
	r.Say = func(what string) {
		if strings.HasPrefix(what, "making") {
			if made++; made == 5 {
				stop()
			}
		}
	}
	list := conformance.Builtin()
	f, err := r.Record(ctx, planOf(t, sides(), list))
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v", err)
	}
	if len(f.NotRecorded) != len(list) {
		t.Errorf("%d of %d cases are listed as not recorded", len(f.NotRecorded), len(list))
	}
	nothingLeft(t, r)
}

// A run that is killed leaves things behind, which cleanup removes, and only
// those.
func TestCleanupAfterKill(t *testing.T) {
	box := sandboxtest.New(t, principalID, resourceID)
	r := recorder(t, box)
	type killed struct{}
	r.Say = func(what string) {
		if strings.HasPrefix(what, "waiting") {
			panic(killed{})
		}
	}
	kill := func() {
		defer func() {
			if _, ok := recover().(killed); !ok {
				t.Fatal("it was not killed")
			}
		}()
		// A killed process does not run deferred functions; removal must fail.
		r.Resource.Config.Credentials, r.Principal.Config.Credentials = dying(r.Resource.Config.Credentials), dying(r.Principal.Config.Credentials)
		saying := r.Say
		r.Say = func(what string) {
			if strings.HasPrefix(what, "waiting") {
				dead = true
			}
			saying(what)
		}
		list := conformance.Builtin()
		_, _ = r.Record(t.Context(), planOf(t, sides(), append(list[:8:8], list[16:20]...)))
	}
	r.Batch = 20
	kill()
	dead = false

	// Somebody else's things stay, whatever they are called.
	other := box.Account(resourceID)
	foreign := conformance.Prefix + "-of-somebody-else"
	other.Role("of-somebody-else", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, nil,
		func(in *iam.CreateRoleInput) { in.Path = aws.String("/" + conformance.Prefix + "/") })
	storage := s3.NewFromConfig(other.Config())
	if _, err := storage.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &foreign}); err != nil {
		t.Fatal(err)
	}
	// A bucket of ours that was never tagged goes, if it is empty.
	for _, name := range []string{conformance.Prefix + "-0123abcd-77", conformance.Prefix + "-0123abcd-78"} {
		if _, err := storage.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	full := conformance.Prefix + "-0123abcd-78"
	if _, err := storage.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &full, Key: aws.String("k"), Body: strings.NewReader("v")}); err != nil {
		t.Fatal(err)
	}

	var found []string
	say := func(what string) { found = append(found, what) }
	n, err := conformance.Cleanup(t.Context(), r.Principal, true, say)
	if err != nil || n == 0 {
		t.Fatalf("found %d things, %v", n, err)
	}
	if again, err := conformance.Cleanup(t.Context(), r.Principal, false, say); err != nil || again != n {
		t.Errorf("the dry run found %d things, the real one %d, %v", n, again, err)
	}
	_, err = conformance.Cleanup(t.Context(), r.Resource, false, say)
	for _, want := range []string{"role of-somebody-else is not ours", foreign + " is not ours", "BucketNotEmpty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}

	if _, err := storage.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &full, Key: aws.String("k")}); err != nil {
		t.Fatal(err)
	}
	left, err := storage.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{full, foreign}, bucketNames(left.Buckets)); diff != "" {
		t.Errorf("buckets that are left (-want +got):\n%s", diff)
	}
	roles, err := iam.NewFromConfig(other.Config()).ListRoles(t.Context(), &iam.ListRolesInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(roles.Roles) != 1 || aws.ToString(roles.Roles[0].RoleName) != "of-somebody-else" {
		t.Errorf("roles that are left: %d", len(roles.Roles))
	}
}

func bucketNames(buckets []s3types.Bucket) []string {
	names := []string{}
	for _, b := range buckets {
		names = append(names, aws.ToString(b.Name))
	}
	return names
}

// dead makes every further request of a killed recorder fail.
var dead bool

type mortal struct{ aws.CredentialsProvider }

func dying(p aws.CredentialsProvider) aws.CredentialsProvider { return mortal{p} }

func (m mortal) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if dead {
		return aws.Credentials{}, context.Canceled
	}
	return m.CredentialsProvider.Retrieve(ctx)
}

func TestReadFixturesRefuses(t *testing.T) {
	for data, want := range map[string]string{
		`{"format":2}`: "format 2",
		`{"format":1,"verdicts":[{"response":"Maybe"}]}`: `verdicts[0].response: "Maybe"`,
		`{"format":1,"verdict":[]}`:                      `unknown field "verdict"`,
		`nonsense`:                                       "read fixtures",
	} {
		if _, err := conformance.ReadFixtures(strings.NewReader(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", data, err, want)
		}
	}
}
