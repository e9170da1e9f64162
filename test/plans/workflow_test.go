package plans

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// D1 and D2: a workflow of the consumer fetches a secret through a workflow of
// the owner, which exchanges it for a token and keeps that in a cache.
const workflows = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  bi-testing: {id: "333333333333", regions: [us-east-1]}
apps:
  shop: {owner: shop-team, accounts: {alpha: shop-alpha}}
consumers:
  bi: {accounts: {testing: bi-testing}, role: {name: "{consumer_stage}-workflow", create: states.amazonaws.com}}
resources:
  token: {kind: state-machine, name: "{stage}-token", create: {}, workflow: {secret: db, function: exchange, cache: tokens}}
  db: {kind: secret, name: "{stage}/db", encryption: key, create: {SecretString: the-password}}
  key: {kind: kms-key, create: {Description: secrets}}
  tokens: {kind: dynamodb-table, name: "{stage}-tokens", create: {}}
  exchange: {kind: lambda-function, name: "{stage}-exchange"}
grants:
  - {name: token, consumer: bi, resource: token, access: start-sync, state_machine: "{consumer_stage}-caller", caller: {parameter: "/{consumer_stage}/token", secret: db}}
`

const (
	parameterName = "/testing/token"
	callerARN     = "arn:aws:states:us-east-1:333333333333:stateMachine:testing-caller"
	tokenARN      = "arn:aws:states:us-east-1:111111111111:stateMachine:alpha-token"
	callerRole    = "arn:aws:iam::333333333333:role/testing-workflow"
	tokenRole     = "arn:aws:iam::111111111111:role/start-sync-token-alpha-by-bi-testing"
	trustsStates  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// A caller runs the state machines of an account.
type caller struct {
	t      *testing.T
	client *sfn.Client
}

func (c caller) run(arn, input string) *sfn.StartSyncExecutionOutput {
	c.t.Helper()
	out, err := c.client.StartSyncExecution(c.t.Context(), &sfn.StartSyncExecutionInput{StateMachineArn: &arn, Input: &input})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// create makes a state machine that is a copy of the caller's, under a name, with
// a role and of a type.
func (c caller) create(name, role string, kind types.StateMachineType) string {
	c.t.Helper()
	shown, err := c.client.DescribeStateMachine(c.t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(callerARN)})
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := c.client.CreateStateMachine(c.t.Context(), &sfn.CreateStateMachineInput{Name: &name, Definition: shown.Definition, RoleArn: &role, Type: kind})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.StateMachineArn
}

// wantFailed checks that an execution failed because its role may not assume
// another.
func wantFailed(t *testing.T, what string, out *sfn.StartSyncExecutionOutput, role, assumed string) {
	t.Helper()
	cause := fmt.Sprintf("The role %s is not authorized to assume the task state's role, %s.", role, assumed)
	if out.Status != types.SyncExecutionStatusFailed || aws.ToString(out.Error) != "States.TaskFailed" || aws.ToString(out.Cause) != cause {
		t.Errorf("%s: %s %s %s %s", what, out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), aws.ToString(out.Output))
	}
}

func TestWorkflowFetchesSecretFromAnotherAccount(t *testing.T) {
	box := sandboxtest.New(t, ownerA, consumerT, stranger)
	d := newDeployment(t, box, workflows)
	shop, bi := box.Account(ownerA).User("admin", allowAll), box.Account(consumerT).User("admin", allowAll)
	exchanges := exchange(t, box, shop)
	before := map[string]bool{}
	for _, name := range d.leftovers(map[string]bool{}) {
		before[name] = true
	}
	d.deploy()
	c := caller{t, sfn.NewFromConfig(bi)}

	// It works, and the second time without the function.
	for range 2 {
		out := c.run(callerARN, `{}`)
		if out.Status != types.SyncExecutionStatusSucceeded || aws.ToString(out.Output) != `{"secret":"token for the-password"}` {
			t.Fatalf("%s %s: %s %s", out.Status, aws.ToString(out.Output), aws.ToString(out.Error), aws.ToString(out.Cause))
		}
	}
	if *exchanges != 1 {
		t.Errorf("the function was called %d times, want 1: the cache keeps the token", *exchanges)
	}
	wantCache(t, dynamodb.NewFromConfig(shop))
	wantUnseen(t, c, shop)
	if record := fmt.Sprintf("%+v", box.Calls()); strings.Contains(record, "the-password") || !strings.Contains(record, "GetSecretValue") {
		t.Error("the sandbox's record of calls has the secret, or lacks the call that read it")
	}

	// A role that no grant names is refused, even if it would let the caller in.
	open := box.Account(ownerA).Role("open", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"sts:AssumeRole"}]}`,
		[]string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"states:StartSyncExecution","Resource":"*"}]}`})
	configured := configure(t, bi, open)
	wantFailed(t, "a role that was not declared", c.run(callerARN, `{}`), callerRole, open)
	restore(t, bi, configured)

	// Another state machine with the role's permissions has another external ID.
	// The role does not let it in; a role that does is not trusted by the owner.
	_, err := c.client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: aws.String("other"), RoleArn: aws.String(callerRole), Definition: aws.String(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`)})
	wantRefused(t, "another state machine with the caller's role", err)
	openTrust(t, bi)
	other := c.create("other", callerRole, types.StateMachineTypeExpress)
	wantFailed(t, "another state machine", c.run(other, `{}`), callerRole, tokenRole)
	impostor := box.Account(consumerT).Role("impostor", trustsStates, []string{allowAll})
	wantFailed(t, "another role", c.run(c.create("impostor", impostor, types.StateMachineTypeExpress), `{}`), impostor, tokenRole)

	// A Standard workflow would have kept what it fetched.
	standard := c.create("standard", impostor, types.StateMachineTypeStandard)
	trustAlso(t, shop, impostor, standard)
	if history := c.history(standard); !strings.Contains(history, "the-password") {
		t.Errorf("the history of a Standard workflow does not show the secret, so that the Express one's absence proves nothing: %s", history)
	}

	// Nobody else may call the owner's workflow, or the caller.
	for account, arn := range map[string]string{consumerT: tokenARN, stranger: callerARN} {
		outsider := sfn.NewFromConfig(box.Account(account).User("outsider", allowAll))
		_, err := outsider.StartSyncExecution(t.Context(), &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(arn)})
		if err == nil {
			t.Errorf("account %s ran %s", account, arn)
		}
	}
	_, err = sfn.NewFromConfig(box.Account(consumerT).User("powerless", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)).StartSyncExecution(t.Context(), &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(callerARN)})
	wantRefused(t, "a user without permissions", err)

	for _, name := range []string{"other", "impostor", "standard"} {
		if _, err := c.client.DeleteStateMachine(t.Context(), &sfn.DeleteStateMachineInput{StateMachineArn: aws.String(strings.Replace(callerARN, "testing-caller", name, 1))}); err != nil {
			t.Fatal(err)
		}
	}
	d.remove()
	left := slices.DeleteFunc(d.leftovers(map[string]bool{}), func(name string) bool {
		return before[name] || strings.Contains(name, "role/open") || strings.Contains(name, "role/impostor")
	})
	if len(left) > 0 {
		t.Errorf("left over: %s", left)
	}
	if list, err := c.client.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{}); err != nil || len(list.StateMachines) > 0 {
		t.Errorf("state machines left: %v %v", list, err)
	}
}

// exchange makes the function that the workflow uses, and counts its calls.
func exchange(t *testing.T, box *sandboxtest.Sandbox, shop aws.Config) *int {
	t.Helper()
	calls := 0
	box.RegisterFunction("alpha-exchange", func(_ context.Context, in sandbox.Invocation) ([]byte, error) {
		calls++
		var event struct{ Secret string }
		if err := json.Unmarshal(in.Payload, &event); err != nil {
			return nil, err
		}
		until := time.Now().Add(time.Hour)
		return json.Marshal(map[string]any{"secret": "token for " + event.Secret, "until": until.UTC().Format(time.RFC3339), "expires": until.Unix()})
	})
	role := box.Account(ownerA).Role("exchange", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, nil)
	if _, err := lambda.NewFromConfig(shop).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("alpha-exchange"), Role: &role, Runtime: lambdatypes.RuntimeNodejs22x, Handler: aws.String("index.handler"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	}); err != nil {
		t.Fatal(err)
	}
	return &calls
}

// wantCache checks that what the cache keeps is encrypted and expires.
func wantCache(t *testing.T, client *dynamodb.Client) {
	t.Helper()
	table, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("alpha-tokens")})
	if err != nil {
		t.Fatal(err)
	}
	if sse := table.Table.SSEDescription; sse == nil || sse.Status != "ENABLED" || sse.SSEType != "KMS" {
		t.Errorf("the cache is not encrypted with a key of KMS: %+v", sse)
	}
	life, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("alpha-tokens")})
	if err != nil {
		t.Fatal(err)
	}
	if ttl := life.TimeToLiveDescription; ttl.TimeToLiveStatus != "ENABLED" || aws.ToString(ttl.AttributeName) != "expires" {
		t.Errorf("the cache does not expire: %+v", ttl)
	}
	items, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("alpha-tokens")})
	if err != nil || len(items.Items) != 1 {
		t.Fatalf("items %v %v", items, err)
	}
	if _, ok := items.Items[0]["expires"]; !ok {
		t.Errorf("the item has no time to live: %v", items.Items[0])
	}
}

// wantUnseen checks that neither execution can be looked at afterwards, and that
// no log shows data.
func wantUnseen(t *testing.T, c caller, shop aws.Config) {
	t.Helper()
	for arn, client := range map[string]*sfn.Client{callerARN: c.client, tokenARN: sfn.NewFromConfig(shop)} {
		m, err := client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != types.StateMachineTypeExpress || m.LoggingConfiguration.IncludeExecutionData || m.LoggingConfiguration.Level != types.LogLevelOff {
			t.Errorf("%s: %s %+v", arn, m.Type, m.LoggingConfiguration)
		}
		if strings.Contains(*m.Definition, "the-password") {
			t.Errorf("the definition of %s has the secret", arn)
		}
	}
	out := c.run(callerARN, `{}`)
	if _, err := c.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: out.ExecutionArn}); err == nil || !strings.Contains(err.Error(), "InvalidArn") {
		t.Errorf("the history of an Express execution: %v", err)
	}
	if _, err := c.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: out.ExecutionArn}); err == nil || !strings.Contains(err.Error(), "InvalidArn") {
		t.Errorf("an Express execution: %v", err)
	}
}

// configure puts another role into the caller's parameter, and returns what was
// there.
func configure(t *testing.T, bi aws.Config, role string) string {
	t.Helper()
	out, err := ssm.NewFromConfig(bi).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(parameterName)})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]string
	if err := json.Unmarshal([]byte(*out.Parameter.Value), &members); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"trustingAccountRoleArn": tokenRole, "trustingAccountWorkflowArn": tokenARN, "secret": "db"}; fmt.Sprint(members) != fmt.Sprint(want) {
		t.Errorf("the parameter has %v, want %v", members, want)
	}
	restore(t, bi, strings.Replace(*out.Parameter.Value, tokenRole, role, 1))
	return *out.Parameter.Value
}

func restore(t *testing.T, bi aws.Config, value string) {
	t.Helper()
	if _, err := ssm.NewFromConfig(bi).PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(parameterName), Value: &value, Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
}

// openTrust lets every state machine use the caller's role, as a careless
// administrator might.
func openTrust(t *testing.T, bi aws.Config) {
	t.Helper()
	if _, err := iam.NewFromConfig(bi).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("testing-workflow"), PolicyDocument: aws.String(trustsStates)}); err != nil {
		t.Fatal(err)
	}
}

// trustAlso lets another role of the consumer's account in, for a state machine.
func trustAlso(t *testing.T, shop aws.Config, role, machine string) {
	t.Helper()
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + machine + `"}}}]}`
	if _, err := iam.NewFromConfig(shop).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("start-sync-token-alpha-by-bi-testing"), PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
}

// history runs a Standard state machine and returns its history.
func (c caller) history(arn string) string {
	c.t.Helper()
	started, err := c.client.StartExecution(c.t.Context(), &sfn.StartExecutionInput{StateMachineArn: &arn})
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := c.client.GetExecutionHistory(c.t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: started.ExecutionArn, MaxResults: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := json.Marshal(out.Events)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// A rotated secret needs no new deployment; an expired entry is made anew.
func TestWorkflowWithoutCacheSeesRotation(t *testing.T) {
	box := sandboxtest.New(t, ownerA, consumerT)
	d := newDeployment(t, box, strings.Replace(workflows, ", function: exchange, cache: tokens", "", 1))
	d.deploy()
	c := caller{t, sfn.NewFromConfig(box.Account(consumerT).User("admin", allowAll))}
	if out := c.run(callerARN, `{}`); aws.ToString(out.Output) != `{"secret":"the-password"}` {
		t.Errorf("%s %s %s", out.Status, aws.ToString(out.Output), aws.ToString(out.Cause))
	}
	if _, err := secretsmanager.NewFromConfig(box.Account(ownerA).User("admin", allowAll)).PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("alpha/db"), SecretString: aws.String("another")}); err != nil {
		t.Fatal(err)
	}
	if out := c.run(callerARN, `{}`); aws.ToString(out.Output) != `{"secret":"another"}` {
		t.Errorf("after rotation: %s %s", out.Status, aws.ToString(out.Output))
	}
	d.remove()
}
