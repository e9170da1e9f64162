package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
