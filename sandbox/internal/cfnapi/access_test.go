package cfnapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount/sandbox"
)

func allow(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// The stack does what its caller may do, and no more.
func TestStacksActAsTheirCaller(t *testing.T) {
	const everyStack = `{"Effect":"Allow","Action":"cloudformation:*","Resource":"*"}`
	template := "Resources: {Policy: " + policy("made", "s3:GetObject") + "}"
	tests := []struct {
		name, policy string
		want         string // of the stack; "AccessDenied" if the request itself is refused
	}{
		{"may do all", allow(everyStack, `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`), "CREATE_COMPLETE"},
		{"may not make policies", allow(everyStack), "ROLLBACK_COMPLETE"},
		{"only through CloudFormation", allow(everyStack, `{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:CalledVia":"cloudformation.amazonaws.com"}}}`), "CREATE_COMPLETE"},
		{"only directly", allow(everyStack, `{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"Bool":{"aws:ViaAWSService":"false"}}}`), "ROLLBACK_COMPLETE"},
		{"no stacks", allow(`{"Effect":"Allow","Action":"iam:*","Resource":"*"}`), "AccessDenied"},
		{"this stack", allow(`{"Effect":"Allow","Action":["cloudformation:*","iam:*"],"Resource":["arn:aws:cloudformation:us-east-1:111122223333:stack/example/*","arn:aws:iam::*:policy/made"]}`), "CREATE_COMPLETE"},
		{"another stack", allow(`{"Effect":"Allow","Action":["cloudformation:*","iam:*"],"Resource":["arn:aws:cloudformation:us-east-1:111122223333:stack/other/*","arn:aws:iam::*:policy/made"]}`), "AccessDenied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			admin := newBench(t)
			b := admin.as(admin.Account(customer).User("worker", test.policy))
			err := b.tryCreate("example", template)
			if test.want == "AccessDenied" {
				wantRefusal(t, err, "AccessDenied: User: arn:aws:iam::111122223333:user/worker is not authorized to perform: cloudformation:CreateStack on resource: arn:aws:cloudformation:us-east-1:111122223333:stack/example/*")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(admin.stack("example").StackStatus); got != test.want {
				t.Errorf("status %s, want %s:\n%s", got, test.want, strings.Join(admin.events("example"), "\n"))
			}
		})
	}
}

// With a service role, the stack does what the role may do; the caller must be
// allowed to pass it.
func TestServiceRole(t *testing.T) {
	admin := newBench(t)
	account := admin.Account(customer)
	byService := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudformation.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	role := account.Role("deployer", byService, []string{allow(`{"Effect":"Allow","Action":"iam:*","Resource":"arn:aws:iam::*:policy/made"}`)})
	useless := account.Role("useless", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}`, nil)
	stacks := `{"Effect":"Allow","Action":"cloudformation:*","Resource":"*"}`
	passer := admin.as(account.User("passer", allow(stacks, `{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"cloudformation.amazonaws.com"}}}`)))
	other := admin.as(account.User("other", allow(stacks)))
	create := func(b *bench, name, roleARN, template string) error {
		_, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: &name, RoleARN: &roleARN, TemplateBody: &template, Capabilities: everyCapability})
		return err
	}
	made := "Resources: {Policy: " + policy("made", "s3:GetObject") + "}"
	wantRefusal(t, create(other, "example", role, made), "AccessDenied: User: arn:aws:iam::111122223333:user/other is not authorized to perform: iam:PassRole on resource: "+role)
	wantRefusal(t, create(passer, "example", useless, made), "ValidationError: Role "+useless+" is invalid or cannot be assumed")
	wantRefusal(t, create(passer, "example", "arn:aws:iam::444455556666:role/deployer", made), "AccessDenied: Cross-account pass role is not allowed.")
	if err := create(passer, "example", role, made); err != nil {
		t.Fatal(err)
	}
	if st := admin.stack("example"); st.StackStatus != types.StackStatusCreateComplete || *st.RoleARN != role {
		t.Errorf("%s with role %s:\n%s", st.StackStatus, *st.RoleARN, strings.Join(admin.events("example"), "\n"))
	}
	if err := create(passer, "another", role, "Resources: {Policy: "+policy("unmade", "s3:GetObject")+"}"); err != nil {
		t.Fatal(err)
	}
	if history := strings.Join(admin.events("another"), "\n"); !strings.Contains(history, "arn:aws:sts::111122223333:assumed-role/deployer/AWSCloudFormation is not authorized to perform: iam:CreatePolicy") {
		t.Errorf("events:\n%s", history)
	}
	// The stack keeps its role: who may not pass it may still use the stack.
	other.delete("example")
	if names := admin.policyNames(); len(names) != 0 {
		t.Errorf("policies left: %v", names)
	}
}

// A template's URL is read as the caller, so the bucket's policy decides.
func TestTemplateURL(t *testing.T) {
	admin := newBench(t)
	store := s3.NewFromConfig(admin.Account(vendor).Config())
	bucket, key := "vendor-templates", "v1/template.yaml"
	body := "Resources: {Policy: " + policy("made", "s3:GetObject") + "}"
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	create := func(url string) error {
		out, err := admin.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("example"), TemplateURL: &url, Capabilities: everyCapability})
		if err == nil {
			admin.delete(*out.StackId)
		}
		return err
	}
	virtual := "https://" + bucket + ".s3.us-east-1.amazonaws.com/" + key
	path := "https://s3.us-east-1.amazonaws.com/" + bucket + "/" + key
	wantRefusal(t, create(virtual), "ValidationError: S3 error: Access Denied")

	presigned, err := s3.NewPresignClient(store).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(presigned.URL); err != nil {
		t.Errorf("presigned: %v", err)
	}
	wantRefusal(t, create(strings.Replace(presigned.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1)), "ValidationError: S3 error: ")

	_, err = store.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + customer + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/v1/*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{virtual, path} {
		if err := create(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	wantRefusal(t, create(virtual+"x"), "ValidationError: S3 error: ")
}

// Secrets stay out of what the API and the page show.
func TestSecretsAreMasked(t *testing.T) {
	b := newBench(t)
	template := `
Parameters: {Password: {Type: String, NoEcho: true}, ExternalId: {Type: String}}
Resources:
  User: {Type: AWS::IAM::User, Properties: {Tags: [{Key: p, Value: !Ref Password}]}}
  Key: {Type: AWS::IAM::AccessKey, Properties: {UserName: !Ref User}}
Outputs:
  Id: {Value: !Ref ExternalId}
  KeySecret: {Value: !GetAtt Key.SecretAccessKey}
  Plain: {Value: !Sub "arn for ${AWS::AccountId}"}
`
	st := b.create("example", template, "Password=hunter2hunter2", "ExternalId=tenant-4711-id")
	for _, p := range st.Parameters {
		if *p.ParameterKey == "Password" && *p.ParameterValue != "****" {
			t.Errorf("DescribeStacks shows the password as %s", *p.ParameterValue)
		}
	}
	secret := output(st, "KeySecret")
	if len(secret) != 40 {
		t.Errorf("the secret key has %d characters", len(secret))
	}
	events, err := b.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String("example")})
	if err != nil {
		t.Fatal(err)
	}
	shown := false
	for _, e := range events.StackEvents {
		properties := aws.ToString(e.ResourceProperties)
		shown = shown || strings.Contains(properties, `"Value":"****"`)
		if strings.Contains(properties, "hunter2") {
			t.Errorf("an event shows the password: %s", properties)
		}
	}
	if !shown {
		t.Error("no event shows the masked property")
	}
	request, err := http.NewRequest(http.MethodGet, b.Serve(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte("arn for 111122223333")) {
		t.Error("the page does not show the stack")
	}
	for _, s := range []string{"hunter2", "tenant-4711-id", secret} {
		if bytes.Contains(page, []byte(s)) {
			t.Errorf("the page shows %s", s)
		}
	}
}

// With a Step, an operation is in progress for as long as the clock says, and
// the work is done even if nobody asks CloudFormation.
func TestOperationsTakeTime(t *testing.T) {
	clock := sandbox.NewClock(time.Now()) // near the SDK's, or it retries
	b := newBenchWith(t, sandbox.Options{Clock: clock.Now, StackStep: time.Second})
	if err := b.tryCreate("example", "Resources: {Policy: "+policy("made", "s3:GetObject")+"}"); err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for range 6 {
		statuses = append(statuses, fmt.Sprintf("%s %d", b.stack("example").StackStatus, len(b.policyNames())))
		clock.Advance(time.Second)
	}
	want := "CREATE_IN_PROGRESS 0, CREATE_IN_PROGRESS 0, CREATE_IN_PROGRESS 0, CREATE_IN_PROGRESS 1, CREATE_COMPLETE 1, CREATE_COMPLETE 1"
	if got := strings.Join(statuses, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wantBusy := b.tryUpdate("example", "Resources: {Policy: "+policy("made", "s3:PutObject")+"}")
	if wantBusy != nil {
		t.Fatal(wantBusy)
	}
	wantRefusal(t, b.tryUpdate("example", "Resources: {Policy: "+policy("made", "s3:List*")+"}"), "is in UPDATE_IN_PROGRESS state and can not be updated.")
	_, err := b.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("example")})
	wantRefusal(t, err, "Stack [example] cannot be deleted while in status UPDATE_IN_PROGRESS")
	clock.Advance(time.Minute)
	b.delete("example")
	clock.Advance(time.Minute)
	if names := b.policyNames(); len(names) != 0 { // asks IAM, not CloudFormation
		t.Errorf("policies left: %v", names)
	}
}

// A creation that is deleted half-way leaves nothing.
func TestDeletionDuringCreation(t *testing.T) {
	clock := sandbox.NewClock(time.Now()) // near the SDK's, or it retries
	b := newBenchWith(t, sandbox.Options{Clock: clock.Now, StackStep: time.Second})
	if err := b.tryCreate("example", "Resources:\n  A: "+policy("a", "s3:GetObject")+"\n  B: "+policy("b", "s3:GetObject")); err != nil {
		t.Fatal(err)
	}
	clock.Advance(4 * time.Second)
	if names := b.policyNames(); len(names) != 1 {
		t.Fatalf("half-way there are %v", names)
	}
	b.delete("example")
	clock.Advance(time.Minute)
	if names := b.policyNames(); len(names) != 0 {
		t.Errorf("policies left: %v", names)
	}
}

// A stack may trust a role that it has just made, however slow IAM is.
func TestStacksWaitForIAM(t *testing.T) {
	clock := sandbox.NewClock(time.Now()) // near the SDK's, or it retries
	b := newBenchWith(t, sandbox.Options{Clock: clock.Now, IAMDelay: 10 * time.Second})
	trusts := strings.Replace(role, `"444455556666"`, "!GetAtt A.Arn", 1)
	if err := b.tryCreate("example", "Resources:\n  A: "+role+"\n  B: "+trusts); err != nil {
		t.Fatal(err)
	}
	for b.stack("example").StackStatus == types.StackStatusCreateInProgress {
		clock.Advance(time.Second)
	}
	if st := b.stack("example"); st.StackStatus != types.StackStatusCreateComplete {
		t.Errorf("status %s:\n%s", st.StackStatus, strings.Join(b.events("example"), "\n"))
	}

	// A principal that never comes is not waited for for ever.
	if err := b.tryCreate("hopeless", "Resources: {A: "+strings.Replace(role, `"444455556666"`, `"arn:aws:iam::444455556666:role/nobody"`, 1)+"}"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	if st := b.stack("hopeless"); st.StackStatus != types.StackStatusRollbackComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	out, err := b.iam.ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil || len(out.Roles) != 2 {
		t.Errorf("%d roles, want 2 (%v)", len(out.Roles), err)
	}
}

func TestTimeout(t *testing.T) {
	clock := sandbox.NewClock(time.Now())
	b := newBenchWith(t, sandbox.Options{Clock: clock.Now, StackStep: 20 * time.Second})
	_, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String("slow"), TimeoutInMinutes: aws.Int32(1), Capabilities: everyCapability,
		TemplateBody: aws.String("Resources:\n  A: " + policy("a", "s3:GetObject") + "\n  B: " + policy("b", "s3:GetObject")),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 15 {
		clock.Advance(15 * time.Second)
	}
	st := b.stack("slow")
	if st.StackStatus != types.StackStatusRollbackComplete || len(b.policyNames()) != 0 {
		t.Errorf("status %s, policies %v", st.StackStatus, b.policyNames())
	}
	if history := strings.Join(b.events("slow"), "\n"); !strings.Contains(history, "Stack creation time exceeded the specified timeout.") {
		t.Errorf("events:\n%s", history)
	}
}

// Of many callers who make the same stack, one does.
func TestConcurrentCreations(t *testing.T) {
	b := newBench(t)
	const callers = 8
	results := make(chan error, callers)
	for range callers {
		go func() { results <- b.tryCreate("same", "Resources: {A: "+role+"}") }()
	}
	made := 0
	for range callers {
		if err := <-results; err == nil {
			made++
		} else {
			wantRefusal(t, err, "AlreadyExistsException")
		}
	}
	if made != 1 {
		t.Errorf("%d callers made the stack", made)
	}
}

// Generated names stay within IAM's limits, whatever stack and resource are
// called.
func TestGeneratedNames(t *testing.T) {
	b := newBench(t)
	stack, logicalID := strings.Repeat("stack", 25), strings.Repeat("Resource", 31)
	b.create(stack, "Resources: {"+logicalID+": "+role+"}")
	b.create("s", "Resources: {"+logicalID+": "+role+"}")
	b.create(stack+"x", "Resources: {R: "+role+"}")
	out, err := b.iam.ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil || len(out.Roles) != 3 {
		t.Fatalf("%d roles, %v", len(out.Roles), err)
	}
	for _, r := range out.Roles {
		if len(*r.RoleName) != 64 {
			t.Errorf("%s has %d characters, want all 64", *r.RoleName, len(*r.RoleName))
		}
	}
}

// Policies may look at what a request asks for, and at a stack's tags.
func TestConditionKeys(t *testing.T) {
	template := "Resources: {Policy: " + policy("made", "s3:GetObject") + "}"
	tests := []struct {
		name, condition string
		change          func(*cloudformation.CreateStackInput)
		allowed         bool
	}{
		{"types allowed", `{"ForAllValues:StringEquals":{"cloudformation:ResourceTypes":"AWS::IAM::ManagedPolicy"},"Null":{"cloudformation:ResourceTypes":"false"}}`,
			func(in *cloudformation.CreateStackInput) { in.ResourceTypes = []string{"AWS::IAM::ManagedPolicy"} }, true},
		{"types not given", `{"Null":{"cloudformation:ResourceTypes":"false"}}`, func(*cloudformation.CreateStackInput) {}, false},
		{"no template URL", `{"Null":{"cloudformation:TemplateUrl":"true"}}`, func(*cloudformation.CreateStackInput) {}, true},
		{"only template URLs", `{"StringLike":{"cloudformation:TemplateUrl":"https://vendor-templates.s3.*"}}`, func(*cloudformation.CreateStackInput) {}, false},
		{"role", `{"StringEquals":{"cloudformation:RoleArn":"arn:aws:iam::111122223333:role/other"}}`,
			func(in *cloudformation.CreateStackInput) {
				in.RoleARN = aws.String("arn:aws:iam::111122223333:role/deployer")
			}, false},
		{"tags", `{"StringEquals":{"aws:RequestTag/Team":"platform"}}`,
			func(in *cloudformation.CreateStackInput) {
				in.Tags = []types.Tag{{Key: aws.String("Team"), Value: aws.String("platform")}}
			}, true},
		{"other tags", `{"StringEquals":{"aws:RequestTag/Team":"platform"}}`,
			func(in *cloudformation.CreateStackInput) {
				in.Tags = []types.Tag{{Key: aws.String("Team"), Value: aws.String("security")}}
			}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			admin := newBench(t)
			b := admin.as(admin.Account(customer).User("worker", allow(
				`{"Effect":"Allow","Action":"cloudformation:CreateStack","Resource":"*","Condition":`+test.condition+`}`,
				`{"Effect":"Allow","Action":"iam:*","Resource":"*"}`)))
			in := &cloudformation.CreateStackInput{StackName: aws.String("example"), TemplateBody: &template, Capabilities: everyCapability}
			test.change(in)
			_, err := b.cfn.CreateStack(ctx, in)
			if test.allowed && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !test.allowed {
				wantRefusal(t, err, "AccessDenied: ", "cloudformation:CreateStack")
			}
		})
	}

	admin := newBench(t)
	_, err := admin.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String("example"), TemplateBody: &template, Capabilities: everyCapability,
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("platform")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for team, allowed := range map[string]bool{"platform": true, "security": false} {
		b := admin.as(admin.Account(customer).User(team, allow(`{"Effect":"Allow","Action":"cloudformation:DescribeStacks","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"`+team+`"}}}`)))
		_, err := b.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("example")})
		if allowed != (err == nil) {
			t.Errorf("team %s: %v", team, err)
		}
	}
}
