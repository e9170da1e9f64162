package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount"
)

// Console plays the customer who follows a launch link in the AWS console. POST
// /launch/{customer} takes the service's answer to start and answers with what
// complete wants. GET / shows what is in the accounts.
func (w *World) Console() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /launch/{customer}", func(rw http.ResponseWriter, r *http.Request) {
		var started crossaccount.IntegrationResponse
		if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 64<<10)).Decode(&started); err != nil {
			http.Error(rw, "send the answer to start", http.StatusBadRequest)
			return
		}
		roleARN, err := w.Launch(r.Context(), r.PathValue("customer"), started.LaunchURL)
		if err != nil {
			http.Error(rw, "the stack was not created: "+err.Error(), http.StatusBadRequest)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]string{"role_arn": roleARN})
	})
	mux.Handle("GET /{$}", w.Box)
	return http.NewCrossOriginProtection().Handler(mux)
}

// Launch creates the stack that a launch link describes in a customer's account
// and returns the ARN of the role in it.
func (w *World) Launch(ctx context.Context, customer, link string) (roleARN string, err error) {
	config, ok := w.Customers[customer]
	if !ok {
		return "", fmt.Errorf("there is no customer %q", customer)
	}
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		return "", err
	}
	create := &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL,
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam},
	}
	for name, value := range l.Parameters {
		create.Parameters = append(create.Parameters, types.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	config.Region = l.Region
	client := cloudformation.NewFromConfig(config)
	if _, err := client.CreateStack(ctx, create); err != nil {
		return "", err
	}
	described, err := cloudformation.NewStackCreateCompleteWaiter(client).WaitForOutput(ctx,
		&cloudformation.DescribeStacksInput{StackName: &l.StackName}, time.Minute)
	if err != nil {
		return "", err
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			return aws.ToString(output.OutputValue), nil
		}
	}
	return "", fmt.Errorf("stack %s has no output %s", l.StackName, crossaccount.OutputRoleARN)
}
