package sandboxtest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const vendorID = "111111111111"

// The machine's own AWS configuration cannot get in the way.
func TestConfigIgnoresTheEnvironment(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, []byte("no certificates"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": bundle, "AWS_PROFILE": "missing", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x",
		"AWS_SESSION_TOKEN": "x", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "https://example.com", "AWS_ENDPOINT_URL_STS": "https://example.com",
		"HTTPS_PROXY": "http://127.0.0.1:1", "AWS_USE_FIPS_ENDPOINT": "true",
	} {
		t.Setenv(name, value)
	}
	cfg := sandboxtest.New(t, vendorID).Account(vendorID).Config()
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(context.Background(), nil)
	if err != nil || *out.Account != vendorID {
		t.Errorf("STS: %+v, %v", out, err)
	}
	if _, err := s3.NewFromConfig(cfg).ListBuckets(context.Background(), nil); err != nil {
		t.Errorf("S3: %v", err)
	}
}

func TestClearEnvironment(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "/missing")
	t.Setenv("AWS_PROFILE", "missing")
	sandboxtest.ClearEnvironment(t)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED":
		default:
			if strings.HasPrefix(name, "AWS_") {
				t.Errorf("%s is still set", name)
			}
		}
	}
	box := sandboxtest.New(t, vendorID)
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(sandboxtest.Region), config.WithHTTPClient(box.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(context.Background(), nil); err == nil {
		t.Error("credentials came from somewhere")
	}
}
