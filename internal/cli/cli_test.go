package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/internal/cli"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

func TestExitCodes(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(`{"service_name": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx  context.Context
		args string
		want int
	}{
		{t.Context(), "", cli.ExitDone},
		{t.Context(), "--help", cli.ExitDone},
		{t.Context(), "template --service-name Example --service-account-id 111122223333", cli.ExitDone},
		{t.Context(), "demo --once", cli.ExitDone},
		{t.Context(), "nonsense", cli.ExitUsage},
		{t.Context(), "template --nonsense", cli.ExitUsage},
		{t.Context(), "template", cli.ExitUsage},
		{t.Context(), "template --config " + config, cli.ExitUsage},
		{t.Context(), "template --config " + config + ".missing", cli.ExitUsage},
		{t.Context(), "sandbox --listen 192.0.2.1:80", cli.ExitUsage},
		{cancelled, "demo --once", cli.ExitUndetermined},
		{cancelled, "demo --once --json", cli.ExitUndetermined},
		{t.Context(), "status --server http://127.0.0.1:1", cli.ExitUndetermined},
		{t.Context(), "status --server nonsense", cli.ExitUsage},
		{t.Context(), "bucket --service-name Example --service-account-id 111122223333", cli.ExitUsage},
		{t.Context(), "template --server http://127.0.0.1:1 --service-name Example", cli.ExitUsage},
		{t.Context(), "sandbox --listen 127.0.0.1:0 --tls --ca-file " + config, cli.ExitUsage},
		{t.Context(), "integration audit acme --limit -1 --server http://127.0.0.1:1", cli.ExitUsage},
	} {
		var out, errs bytes.Buffer
		got := cli.Main(tt.ctx, strings.Fields(tt.args), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if got != tt.want {
			t.Errorf("crossaccount %s: exit code %d, want %d\n%s%s", tt.args, got, tt.want, out.Bytes(), errs.Bytes())
		}
		if got != cli.ExitDone && errs.Len() == 0 {
			t.Errorf("crossaccount %s: failed without a word", tt.args)
		}
	}
}

// The served sandbox answers SDK clients over the network, shows its page, and
// stops when it is told to.
func TestSandboxServes(t *testing.T) {
	testenv.IsolateAWS(t)
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(ctx, []string{"sandbox", "--listen", "127.0.0.1:0", "--json", "--account", "444455556666"},
			cli.Streams{In: strings.NewReader(""), Out: write, Err: io.Discard})
		write.Close()
	}()
	var served struct {
		Endpoint string
		Accounts []struct {
			ID     string
			Key    string `json:"access_key_id"`
			Secret string `json:"secret_access_key"`
		}
	}
	if err := json.NewDecoder(read).Decode(&served); err != nil {
		t.Fatal(err)
	}
	root := served.Accounts[0]
	identity, err := sts.NewFromConfig(aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: &served.Endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider(root.Key, root.Secret, ""),
	}).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(identity.Arn); got != "arn:aws:iam::444455556666:root" {
		t.Errorf("the root user is %s", got)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, served.Endpoint, nil)
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
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("444455556666")) {
		t.Errorf("the page answers %s, %v:\n%s", response.Status, err, page)
	}
	stop()
	if code := <-done; code != cli.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// Over TLS the aws command line can do what a bucket policy that demands TLS
// refuses over plain HTTP.
func TestSandboxServesTLS(t *testing.T) {
	aws := testenv.Tool(t, "aws")
	testenv.IsolateAWS(t)
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(ctx, []string{"sandbox", "--listen", "127.0.0.1:0", "--json", "--account", "444455556666", "--tls", "--ca-file", filepath.Join(t.TempDir(), "ca.pem")},
			cli.Streams{In: strings.NewReader(""), Out: write, Err: io.Discard})
		write.Close()
	}()
	var served struct {
		Endpoint string
		CAFile   string `json:"ca_file"`
		Accounts []struct {
			Key    string `json:"access_key_id"`
			Secret string `json:"secret_access_key"`
		}
	}
	if err := json.NewDecoder(read).Decode(&served); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(served.Endpoint, "https://127.0.0.1:") {
		t.Errorf("the sandbox is at %s", served.Endpoint)
	}
	run := func(bundle string, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), aws, args...)
		command.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+served.Endpoint, "AWS_CA_BUNDLE="+bundle, "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=",
			"AWS_ACCESS_KEY_ID="+served.Accounts[0].Key, "AWS_SECRET_ACCESS_KEY="+served.Accounts[0].Secret)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b-4444","arn:aws:s3:::b-4444/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	for _, args := range [][]string{
		{"sts", "get-caller-identity"},
		{"s3api", "create-bucket", "--bucket", "b-4444"},
		{"s3api", "put-bucket-policy", "--bucket", "b-4444", "--policy", policy},
		{"s3api", "put-object", "--bucket", "b-4444", "--key", "k"},
	} {
		if out, err := run(served.CAFile, args...); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args[:2], " "), err, out)
		}
	}
	other, err := os.CreateTemp(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if out, err := run(other.Name(), "sts", "get-caller-identity"); err == nil {
		t.Errorf("without the authority's certificate the sandbox is trusted:\n%s", out)
	}
	stop()
	if code := <-done; code != cli.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// Every command and subcommand teaches: a long text, an example, and --json
// wherever it prints a result.
func TestHelpTeaches(t *testing.T) {
	var commands []string
	help := func(args ...string) string {
		var out bytes.Buffer
		if code := cli.Main(t.Context(), append(args, "--help"), cli.Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard}); code != cli.ExitDone {
			t.Errorf("%v --help: exit code %d", args, code)
		}
		return out.String()
	}
	var walk func(path []string)
	walk = func(path []string) {
		text := help(path...)
		_, listed, found := strings.Cut(text, "Available Commands:\n")
		if !found {
			commands = append(commands, strings.Join(path, " "))
			// init writes a file, exec and curl hand on what others print, and the
			// output of credential-process is AWS's JSON always.
			silent := slices.Contains([]string{"init", "exec", "curl", "credential-process"}, strings.Join(path, " "))
			if !strings.Contains(text, "\nExamples:\n") || !strings.Contains(text, "--json") && !silent {
				t.Errorf("crossaccount %s --help has no example, or there is no --json:\n%s", strings.Join(path, " "), text)
			}
			return
		}
		listed, _, _ = strings.Cut(listed, "\n\n")
		for line := range strings.Lines(listed) {
			if name := strings.Fields(line)[0]; name != "help" && name != "completion" {
				walk(append(slices.Clone(path), name))
			}
		}
	}
	walk(nil)
	for _, want := range []string{"demo", "bucket", "integration disconnect", "integration audit", "status"} {
		if !slices.Contains(commands, want) {
			t.Errorf("there is no command %q among %q", want, commands)
		}
	}
}

// fullDisk fails as a file does on a disk without space.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A result that could not be written is no success, even where a command does
// not look at the error of every line.
func TestLostOutputIsNoSuccess(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"demo", "--once"}, {"--help"}} {
		var messages bytes.Buffer
		code := cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: fullDisk{}, Err: &messages})
		if code != cli.ExitInternal || !strings.Contains(messages.String(), "no space left on device") {
			t.Errorf("%v: exit code %d, %q", args, code, messages.String())
		}
	}
}
