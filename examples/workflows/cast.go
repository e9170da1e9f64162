package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/crossaccount/crossaccount/sandbox"
)

// trusts is the trust policy of roles for an AWS service or an account.
func trusts(kind, who string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"` + kind + `":"` + who + `"},"Action":"sts:AssumeRole"}]}`)
}

// role makes a role that may do everything in its account.
func (w *world) role(ctx context.Context, account, name string, trust *string) (string, error) {
	client := iam.NewFromConfig(w.config(account))
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust})
	if err != nil {
		return "", err
	}
	_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	return *made.Role.Arn, err
}

// prepare makes what exists before the plan: the shop's functions, a workflow of
// the shop that is nobody's business, a role that lets the whole team in, and one
// of the team that may do everything.
func (w *world) prepare(ctx context.Context) error {
	functions, err := w.role(ctx, "shop-prod", "functions", trusts("Service", "lambda.amazonaws.com"))
	if err != nil {
		return err
	}
	w.box.RegisterFunction("prod-exchange", new(exchange).handle)
	w.box.RegisterFunction("prod-get-token", w.getToken)
	for _, name := range []string{"prod-exchange", "prod-get-token"} {
		if err := w.function(ctx, "shop-prod", name, functions); err != nil {
			return err
		}
	}
	machines, err := w.role(ctx, "shop-prod", "payroll", trusts("Service", "states.amazonaws.com"))
	if err != nil {
		return err
	}
	if _, err := sfn.NewFromConfig(w.config("shop-prod")).CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String("payroll"), RoleArn: &machines, Type: types.StateMachineTypeExpress, Definition: aws.String(`{"StartAt":"Pay","States":{"Pay":{"Type":"Succeed"}}}`),
	}); err != nil {
		return err
	}
	if _, err := w.role(ctx, "shop-prod", "open", trusts("AWS", "arn:aws:iam::222222222222:root")); err != nil {
		return err
	}
	_, err = w.role(ctx, "reports-prod", "stranger", trusts("Service", "lambda.amazonaws.com"))
	return err
}

func (w *world) function(ctx context.Context, account, name, role string) error {
	_, err := lambda.NewFromConfig(w.config(account)).CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Role: &role, Timeout: aws.Int32(60), Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	})
	return err
}

// An exchange is the shop's function that makes a token of the password. It counts
// them.
type exchange struct{ made int }

func (e *exchange) handle(_ context.Context, in sandbox.Invocation) ([]byte, error) {
	var event struct{ Secret string }
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return nil, err
	}
	e.made++
	until := time.Now().Add(time.Hour)
	return json.Marshal(map[string]any{
		"secret": fmt.Sprintf("token %d, made of %d characters", e.made, len(event.Secret)), "until": until.UTC().Format(time.RFC3339), "expires": until.Unix(),
	})
}

// getToken is the function in between. All that the workflow has declared is code
// here: which secret, the exchange, its errors. It keeps no cache.
func (w *world) getToken(ctx context.Context, in sandbox.Invocation) ([]byte, error) {
	var event struct{ Secret string }
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return nil, err
	}
	if event.Secret != "" && event.Secret != "password" {
		return nil, errors.New("only the secret password is given")
	}
	secret, err := secretsmanager.NewFromConfig(w.session(in.Credentials)).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("prod/password")})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"secret": fmt.Sprintf("token 1, made of %d characters", len(*secret.SecretString))})
}

// session is the configuration of code in a function.
func (w *world) session(c sandbox.Credentials) aws.Config {
	return aws.Config{Region: region, HTTPClient: w.box.Client(), Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}
}

// call calls a function from another, which is one of the team with the given
// role, and tells how it ended.
func (w *world) call(ctx context.Context, role, function, input string) (string, error) {
	const name = "reports"
	w.box.RegisterFunction(name, func(ctx context.Context, in sandbox.Invocation) ([]byte, error) {
		out, err := lambda.NewFromConfig(w.session(in.Credentials)).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: in.Payload})
		switch {
		case err != nil:
			return json.Marshal(codeOf(err))
		case out.FunctionError != nil: // the call succeeds all the same
			return json.Marshal(*out.FunctionError + ": " + string(out.Payload))
		}
		return out.Payload, nil
	})
	if err := w.function(ctx, "reports-prod", name, role); err != nil {
		return "", err
	}
	client := lambda.NewFromConfig(w.config("reports-prod"))
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(name), Payload: []byte(input)})
	if err != nil {
		return "", err
	}
	_, err = client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(name)})
	return text(out.Payload), err
}

// trustAllMachines lets every state machine of the account use a role, as a
// careless administrator might.
func (w *world) trustAllMachines(ctx context.Context, role string) error {
	_, err := iam.NewFromConfig(w.config("reports-prod")).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: trusts("Service", "states.amazonaws.com")})
	return err
}

// standard reads the password with a Standard workflow, and returns it and the
// history of that.
func (w *world) standard(ctx context.Context) (password, history string, err error) {
	shop := w.config("shop-prod")
	secret, err := secretsmanager.NewFromConfig(shop).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("prod/password")})
	if err != nil {
		return "", "", err
	}
	client := sfn.NewFromConfig(shop)
	machine, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String("standard"), RoleArn: aws.String("arn:aws:iam::111111111111:role/payroll"), Type: types.StateMachineTypeStandard,
		LoggingConfiguration: &types.LoggingConfiguration{Level: types.LogLevelOff},
		Definition:           aws.String(`{"StartAt":"Read","States":{"Read":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:secretsmanager:getSecretValue","Parameters":{"SecretId":"prod/password"},"End":true}}}`),
	})
	if err != nil {
		return "", "", err
	}
	started, err := client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn})
	if err != nil {
		return "", "", err
	}
	out, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: started.ExecutionArn})
	if err != nil {
		return "", "", err
	}
	var events []byte
	for _, e := range out.Events {
		if e.TaskSucceededEventDetails != nil {
			events = append(events, aws.ToString(e.TaskSucceededEventDetails.Output)...)
		}
	}
	_, err = client.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: machine.StateMachineArn})
	var read struct{ SecretString string }
	if err := json.Unmarshal(events, &read); err != nil {
		return "", "", fmt.Errorf("the history: %w", err)
	}
	return *secret.SecretString, read.SecretString, err
}
