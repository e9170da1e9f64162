// Command rest-api deploys crossaccount.yaml into AWS accounts that enforce IAM
// and are in this process, calls the API as the consumer's Lambda function from
// Go, Node.js and Python, in both ways, tries what must be refused, and removes
// everything.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/crossaccount/crossaccount/examples/rest-api/client"
	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

//go:embed crossaccount.yaml
var manifest []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, installed(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "rest-api:", err)
		os.Exit(1)
	}
}

// tools are the programs for clients in other languages; empty if they or their
// packages are missing.
type tools struct {
	node, python string
	environment  []string // of both
}

// installed finds them.
func installed(ctx context.Context) tools {
	var t tools
	if node, err := exec.LookPath("node"); err == nil {
		if _, err := os.Stat("node/node_modules/aws4fetch"); err == nil {
			t.node = node
		}
	}
	if python, err := exec.LookPath("python3"); err == nil && exec.CommandContext(ctx, python, "-c", "import boto3, requests_aws4auth").Run() == nil {
		t.python = python
	}
	return t
}

const region = "us-east-1"

// A caller calls the API in one language, with the credentials of the function.
type caller struct {
	name string
	call func(ctx context.Context, in *invocation) (string, error)
}

// An invocation is what a function is asked to do, and who it is.
type invocation struct {
	URL, RoleARN, Method, Path string
	credentials                sandbox.Credentials
}

// run tells the story.
func run(ctx context.Context, out io.Writer, t tools) error {
	m, err := grant.Parse(manifest)
	if err != nil {
		return err
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		return err
	}
	w := &world{box: sandbox.New(sandbox.Options{}), accounts: map[string]*sandbox.Account{}}
	for name, a := range m.Accounts {
		if w.accounts[name], err = w.box.CreateAccount(a.ID); err != nil {
			return err
		}
	}
	endpoint, stop, err := w.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	stacks := sandboxtest.NewDeployment(w.box, plan)
	stacks.Out = out
	if err := stacks.Deploy(ctx); err != nil {
		return err
	}

	url, err := apiURL(ctx, stacks, endpoint, "alpha")
	if err != nil {
		return err
	}
	other, err := apiURL(ctx, stacks, endpoint, "prod")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nWithout a signature:\n  %s\n", unsigned(ctx, url+"/orders"))
	const readOnly = "arn:aws:iam::111111111111:role/readonly-invoke-alpha-orders-by-web-testing"
	for _, c := range w.callers(endpoint, t, out) {
		fmt.Fprintf(out, "\nFrom the function, in %s:\n", c.name)
		if err := w.function(ctx, c); err != nil {
			return err
		}
		for _, try := range []struct {
			what string
			in   invocation
		}{
			{"directly, GET", invocation{url, "", "GET", "/orders", sandbox.Credentials{}}},
			{"directly, POST", invocation{url, "", "POST", "/orders", sandbox.Credentials{}}},
			{"directly, GET in prod", invocation{other, "", "GET", "/orders", sandbox.Credentials{}}},
			{"through the role, GET", invocation{url, readOnly, "GET", "/orders", sandbox.Credentials{}}},
			{"through the role, POST", invocation{url, readOnly, "POST", "/orders", sandbox.Credentials{}}},
		} {
			answer, err := w.invoke(ctx, c, &try.in)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  %-24s%s\n", try.what, answer)
		}
		if _, err := lambda.NewFromConfig(w.config("web-testing")).DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(functionName(c))}); err != nil {
			return err
		}
	}
	if err := stacks.Remove(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nRemoved in reverse.")
	return nil
}

// serve makes the sandbox an address for programs in other languages.
func (w *world) serve(ctx context.Context) (url string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: w.box, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// apiURL finds the API that the plan made. In AWS the address is
// https://ID.execute-api.REGION.amazonaws.com/STAGE.
func apiURL(ctx context.Context, stacks *sandboxtest.Deployment, endpoint, stage string) (string, error) {
	source, ok := stacks.Plan.Created("api", stage)
	if !ok {
		return "", fmt.Errorf("the plan makes no API in %s", stage)
	}
	id, err := stacks.PhysicalID(ctx, source)
	if err != nil {
		return "", err
	}
	return endpoint + "/execute-api/" + id + "/" + stage, nil
}

func unsigned(ctx context.Context, url string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(answer.StatusCode, " ", string(body))
}

// callers are the clients that can be run here.
func (w *world) callers(endpoint string, t tools, out io.Writer) []caller {
	all := []caller{{"Go", func(ctx context.Context, in *invocation) (string, error) {
		own := aws.Config{Region: region, BaseEndpoint: &endpoint, HTTPClient: &http.Client{Timeout: 10 * time.Second},
			Credentials: credentials.NewStaticCredentialsProvider(in.credentials.AccessKeyID, in.credentials.SecretAccessKey, in.credentials.SessionToken)}
		status, body, err := client.New(own, in.URL, in.RoleARN).Call(ctx, in.Method, in.Path, nil)
		return fmt.Sprint(status, " ", body), err
	}}}
	program := func(path, script string) func(context.Context, *invocation) (string, error) {
		return func(ctx context.Context, in *invocation) (string, error) {
			c := exec.CommandContext(ctx, path, filepath.FromSlash(script), in.Method, in.Path)
			c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "API_URL=" + in.URL, "ROLE_ARN=" + in.RoleARN, "AWS_REGION=" + region,
				"AWS_ENDPOINT_URL=" + endpoint, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
				"AWS_ACCESS_KEY_ID=" + in.credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + in.credentials.SecretAccessKey, "AWS_SESSION_TOKEN=" + in.credentials.SessionToken}, t.environment...)
			var stderr strings.Builder
			c.Stderr = &stderr
			answer, err := c.Output()
			if err != nil {
				return "", fmt.Errorf("%s: %w: %s", script, err, stderr.String())
			}
			return strings.TrimSpace(string(answer)), nil
		}
	}
	if t.node != "" {
		all = append(all, caller{"Node.js", program(t.node, "node/client.mjs")})
	} else {
		fmt.Fprintln(out, "\nNode.js is left out: (cd node && npm install) brings what it needs.")
	}
	if t.python != "" {
		all = append(all, caller{"Python", program(t.python, "python/client.py")})
	} else {
		fmt.Fprintln(out, "\nPython is left out: pip install -r python/requirements.txt brings what it needs.")
	}
	return all
}

func functionName(c caller) string {
	return "read-orders-" + strings.ToLower(strings.Trim(c.name, ".js"))
}

// function makes a Lambda function with the role that the plan made for it.
func (w *world) function(ctx context.Context, c caller) error {
	w.box.RegisterFunction(functionName(c), func(ctx context.Context, in sandbox.Invocation) ([]byte, error) {
		var asked invocation
		if err := json.Unmarshal(in.Payload, &asked); err != nil {
			return nil, err
		}
		asked.credentials = in.Credentials
		answer, err := c.call(ctx, &asked)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	})
	_, err := lambda.NewFromConfig(w.config("web-testing")).CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String(functionName(c)), Role: aws.String("arn:aws:iam::333333333333:role/testing-web"), Timeout: aws.Int32(60),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	})
	return err
}

func (w *world) invoke(ctx context.Context, c caller, in *invocation) (string, error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	out, err := lambda.NewFromConfig(w.config("web-testing")).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(functionName(c)), Payload: payload})
	if err != nil {
		return "", err
	}
	if out.FunctionError != nil {
		return "", errors.New(string(out.Payload))
	}
	var answer string
	return answer, json.Unmarshal(out.Payload, &answer)
}
