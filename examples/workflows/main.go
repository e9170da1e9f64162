// Command workflows deploys crossaccount.yaml into AWS accounts that enforce IAM
// and are in this process, lets a Step Functions workflow of one get a token from
// a workflow of the other, tries what must be refused, looks for what is kept, does
// the same with a function in between, and removes everything.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

//go:embed crossaccount.yaml
var manifest []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "workflows:", err)
		os.Exit(1)
	}
}

const (
	region = "us-east-1"

	caller     = "arn:aws:states:us-east-1:222222222222:stateMachine:reports-caller"
	callerRole = "arn:aws:iam::222222222222:role/reports-workflow"
	parameter  = "/reports/token"

	workflow     = "arn:aws:states:us-east-1:111111111111:stateMachine:prod-token"
	workflowRole = "arn:aws:iam::111111111111:role/start-sync-token-prod-by-reports-production"
	payroll      = "arn:aws:states:us-east-1:111111111111:stateMachine:payroll"
	openRole     = "arn:aws:iam::111111111111:role/open"

	proxy     = "arn:aws:lambda:us-east-1:111111111111:function:prod-get-token"
	proxyRole = "arn:aws:iam::222222222222:role/reports-function"
)

// run tells the story. It ends with an error where something does not go as the
// README says.
func run(ctx context.Context, out io.Writer) error {
	m, err := grant.Parse(manifest)
	if err != nil {
		return err
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		return err
	}
	report, err := plan.Check()
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("the plan's own check: %+v", report.Failures)
	}
	w := &world{box: sandbox.New(sandbox.Options{}), accounts: map[string]*sandbox.Account{}}
	for name, a := range m.Accounts {
		if w.accounts[name], err = w.box.CreateAccount(a.ID); err != nil {
			return err
		}
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	stacks := sandboxtest.NewDeployment(w.box, plan)
	stacks.Out = out
	if err := stacks.Deploy(ctx); err != nil {
		return err
	}
	s := &story{ctx: ctx, w: w, out: out}
	for _, part := range []func() error{s.works, s.refuses, s.keeps, s.between} {
		if err := part(); err != nil {
			return err
		}
	}
	if err := stacks.Remove(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nRemoved in reverse.")
	return nil
}

// A story prints what happens. Its parts end with an error at what should not.
type story struct {
	ctx context.Context
	w   *world
	out io.Writer
}

// say prints what came of a step, and wants it to have some text in it.
func (s *story) say(what, got, want string) error {
	fmt.Fprintf(s.out, "  %-29s%s\n", what, got)
	if !strings.Contains(got, want) {
		return fmt.Errorf("%s: %q, where %q was expected", what, got, want)
	}
	return nil
}

func (s *story) states(account string) *sfn.Client { return sfn.NewFromConfig(s.w.config(account)) }

// run runs an Express workflow of the reports team and tells how it ended.
func (s *story) run(machine string) (string, error) {
	out, err := s.states("reports-prod").StartSyncExecution(s.ctx, &sfn.StartSyncExecutionInput{StateMachineArn: &machine})
	if err != nil {
		return "", err
	}
	if out.Status == types.SyncExecutionStatusSucceeded {
		return *out.Output, nil
	}
	return fmt.Sprintf("%s: %s", aws.ToString(out.Error), aws.ToString(out.Cause)), nil
}

// works is what the manifest declares.
func (s *story) works() error {
	fmt.Fprintln(s.out, "\nThe calling workflow")
	for _, what := range []string{"first", "again, from the cache"} {
		got, err := s.run(caller)
		if err != nil {
			return err
		}
		if err := s.say(what, got, `{"secret":"token 1, made of 24 characters"}`); err != nil {
			return err
		}
	}
	return nil
}

// configure changes the parameter, as somebody might who may do that and no more.
func (s *story) configure(old, changed string) error {
	client := ssm.NewFromConfig(s.w.config("reports-prod"))
	is, err := client.GetParameter(s.ctx, &ssm.GetParameterInput{Name: aws.String(parameter)})
	if err != nil {
		return err
	}
	if !strings.Contains(*is.Parameter.Value, `"`+old+`"`) {
		return fmt.Errorf("the parameter does not have %s", old)
	}
	_, err = client.PutParameter(s.ctx, &ssm.PutParameterInput{
		Name: aws.String(parameter), Value: aws.String(strings.Replace(*is.Parameter.Value, `"`+old+`"`, `"`+changed+`"`, 1)), Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(true),
	})
	return err
}

// refuses is what it does not.
func (s *story) refuses() error {
	fmt.Fprintln(s.out, "\nRefused")
	for _, try := range []struct{ what, old, changed, want string }{
		{"a role of no grant", workflowRole, openRole, "The role " + callerRole + " is not authorized to assume the task state's role, " + openRole},
		{"another workflow of the shop", workflow, payroll, "is not authorized to perform: states:StartSyncExecution on resource: " + payroll},
	} {
		if err := s.configure(try.old, try.changed); err != nil {
			return err
		}
		got, err := s.run(caller)
		if err != nil {
			return err
		}
		if err := s.say(try.what, anonymous(got), try.want); err != nil {
			return err
		}
		if err := s.configure(try.changed, try.old); err != nil {
			return err
		}
	}

	definition, err := s.definition()
	if err != nil {
		return err
	}
	reports := s.states("reports-prod")
	_, err = reports.CreateStateMachine(s.ctx, &sfn.CreateStateMachineInput{Name: aws.String("other"), Definition: &definition, RoleArn: aws.String(callerRole), Type: types.StateMachineTypeExpress})
	if err := s.say("another state machine", codeOf(err), "AccessDenied"); err != nil {
		return err
	}
	if err := s.w.trustAllMachines(s.ctx, "reports-workflow"); err != nil {
		return err
	}
	other, err := reports.CreateStateMachine(s.ctx, &sfn.CreateStateMachineInput{Name: aws.String("other"), Definition: &definition, RoleArn: aws.String(callerRole), Type: types.StateMachineTypeExpress})
	if err != nil {
		return err
	}
	got, err := s.run(*other.StateMachineArn)
	if err != nil {
		return err
	}
	if err := s.say("  if its role let it in", got, "is not authorized to assume the task state's role, "+workflowRole); err != nil {
		return err
	}
	_, err = reports.DeleteStateMachine(s.ctx, &sfn.DeleteStateMachineInput{StateMachineArn: other.StateMachineArn})
	return err
}

// definition returns the calling workflow's.
func (s *story) definition() (string, error) {
	out, err := s.states("reports-prod").DescribeStateMachine(s.ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(caller)})
	if err != nil {
		return "", err
	}
	return *out.Definition, nil
}

// keeps looks for the password and the token where they might have stayed.
func (s *story) keeps() error {
	fmt.Fprintln(s.out, "\nWhat is kept")
	reports, shop := s.states("reports-prod"), s.states("shop-prod")
	ran, err := reports.StartSyncExecution(s.ctx, &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(caller)})
	if err != nil {
		return err
	}
	_, err = reports.GetExecutionHistory(s.ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: ran.ExecutionArn})
	if err := s.say("history of the execution", "none: "+codeOf(err), "InvalidArn"); err != nil {
		return err
	}
	for _, m := range []struct {
		client *sfn.Client
		arn    string
	}{{reports, caller}, {shop, workflow}} {
		is, err := m.client.DescribeStateMachine(s.ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &m.arn})
		if err != nil {
			return err
		}
		logs := fmt.Sprintf("%s, logs %s, execution data %t", is.Type, is.LoggingConfiguration.Level, is.LoggingConfiguration.IncludeExecutionData)
		if err := s.say(*is.Name, logs, "EXPRESS, logs OFF, execution data false"); err != nil {
			return err
		}
	}
	tables := dynamodb.NewFromConfig(s.w.config("shop-prod"))
	table, err := tables.DescribeTable(s.ctx, &dynamodb.DescribeTableInput{TableName: aws.String("prod-tokens")})
	if err != nil {
		return err
	}
	life, err := tables.DescribeTimeToLive(s.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("prod-tokens")})
	if err != nil {
		return err
	}
	if table.Table.SSEDescription == nil || life.TimeToLiveDescription == nil {
		return errors.New("the cache is not encrypted or does not expire")
	}
	cache := fmt.Sprintf("encrypted with %s, time to live %s by %q", table.Table.SSEDescription.SSEType, life.TimeToLiveDescription.TimeToLiveStatus, aws.ToString(life.TimeToLiveDescription.AttributeName))
	if err := s.say("the cache", cache, `encrypted with KMS, time to live ENABLED by "expires"`); err != nil {
		return err
	}
	password, history, err := s.w.standard(s.ctx)
	if err != nil {
		return err
	}
	shown := "no password in its history"
	if strings.Contains(history, password) {
		shown = "its history shows the password, for 90 days"
	}
	return s.say("a STANDARD workflow instead", shown, "shows the password")
}

// between is the other way: a function of the shop, called by one of the team.
func (s *story) between() error {
	fmt.Fprintln(s.out, "\nA function in between")
	for _, try := range []struct{ what, role, input, want string }{
		{"from a function", proxyRole, `{}`, `{"secret":"token 1, made of 24 characters"}`},
		{"with a wrong input", proxyRole, `{"secret":"payroll"}`, "Unhandled: "},
		{"from another", "arn:aws:iam::222222222222:role/stranger", `{}`, "AccessDenied"},
	} {
		got, err := s.w.call(s.ctx, try.role, proxy, try.input)
		if err != nil {
			return err
		}
		if err := s.say(try.what, got, try.want); err != nil {
			return err
		}
	}
	return nil
}

// codeOf is AWS's code for what went wrong.
func codeOf(err error) string {
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		return api.ErrorCode()
	case err != nil:
		return err.Error()
	}
	return "no error"
}

// anonymous leaves the random parts out of a message: names of sessions and ids of
// requests.
func anonymous(message string) string {
	for _, part := range strings.Fields(message) {
		if i := strings.LastIndexByte(part, '/'); strings.Contains(part, ":assumed-role/") && i > 0 {
			message = strings.Replace(message, part, part[:i]+"/…", 1)
		}
	}
	if i := strings.Index(message, " (Service: "); i > 0 {
		message = message[:i]
	}
	return message
}

// text is a JSON string or object as it is shown.
func text(payload []byte) string {
	var s string
	if json.Unmarshal(payload, &s) == nil {
		return s
	}
	return string(payload)
}
