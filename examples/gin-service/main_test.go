package main

import (
	"bufio"
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/examples/gin-service/demo"
	"github.com/crossaccount/crossaccount/sandbox"
)

// The service is started as the README says, with AWS's own variables leading to
// a sandbox.
func TestRun(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	f.server.Close()
	// With TLS, which the template bucket insists on.
	endpoint := httptest.NewTLSServer(f.world.Box)
	defer endpoint.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL", endpoint.URL)
	t.Setenv("AWS_CA_BUNDLE", certificate)
	signAs := func(config aws.Config) {
		t.Helper()
		credentials, err := config.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_ACCESS_KEY_ID", credentials.AccessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", credentials.SecretAccessKey)
		t.Setenv("AWS_SESSION_TOKEN", credentials.SessionToken)
	}
	folder := t.TempDir()
	environment := map[string]string{
		"LISTEN":             "127.0.0.1:0",
		"SERVICE_ACCOUNT_ID": demo.VendorAccount,
		"TEMPLATE_S3_BUCKET": demo.TemplateBucket,
		"BROKER_ROLE_ARN":    demo.BrokerRole,
		"PROBE_ROLE_ARN":     demo.ProbeRole,
		"CANARY_ROLE_ARN":    demo.CanaryRole,
		"CUSTOMER_TOKENS":    f.settings.tokens,
		"DATABASE":           filepath.Join(folder, "crossaccount.db"),
		"KEY_FILE":           filepath.Join(folder, "keys.json"),
	}
	getenv := func(name string) string { return environment[name] }
	log := slog.New(slog.NewTextHandler(f.log, nil))

	signAs(f.world.Administrator)
	if err := run(t.Context(), []string{"-prepare-bucket"}, getenv, io.Discard, log); err != nil {
		t.Fatal(err)
	}

	signAs(f.world.Broker)
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, nil, getenv, write, log)
		write.CloseWithError(io.EOF)
		ended <- err
	}()
	line, _ := bufio.NewReader(read).ReadString('\n')
	var ok bool
	if f.server.URL, ok = strings.CutPrefix(strings.TrimSpace(line), "serving on "); !ok {
		t.Fatalf("%q, %v", line, <-ended)
	}
	f.onboard("acme", acmeToken)
	f.want(f.report(acmeToken, "acme"), 200, "")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("after a graceful shutdown: %v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	account, bucket := "SERVICE_ACCOUNT_ID", "TEMPLATE_S3_BUCKET"
	token := configured("acme", acmeToken)
	for _, test := range []struct {
		environment map[string]string
		want        string // part of the error
	}{
		{nil, "-demo"},
		{map[string]string{account: "111122223333"}, bucket},
		{map[string]string{account: "12", bucket: "templates", "CUSTOMER_TOKENS": token}, "service_account_id"},
		{map[string]string{account: "111122223333", bucket: "T", "CUSTOMER_TOKENS": token}, "template_s3_bucket"},
		{map[string]string{account: "111122223333", bucket: "templates"}, "CUSTOMER_TOKENS"},
		{map[string]string{account: "111122223333", bucket: "templates", "CUSTOMER_TOKENS": "acme:" + acmeToken}, "entry 1"},
		{map[string]string{account: "111122223333", bucket: "templates", "CUSTOMER_TOKENS": token + ",:" + token[5:]}, "entry 2"},
	} {
		settings, err := settingsFrom(func(name string) string { return test.environment[name] })
		if err == nil {
			settings.keyFile = filepath.Join(t.TempDir(), "keys.json")
			_, err = newService(settings, aws.Config{}, nil, slog.New(slog.DiscardHandler))
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), acmeToken) {
			t.Errorf("%v: got error %v, want one with %q", test.environment, err, test.want)
		}
	}
}

func TestTheDemoStaysOnThisMachine(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:80", "nonsense"} {
		if l, err := listenLoopback(address); err == nil {
			l.Close()
			t.Errorf("the demo listens on %s", address)
		}
	}
}
