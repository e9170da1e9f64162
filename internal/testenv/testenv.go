// Package testenv lets tests use programs that a machine may not have, without
// ever skipping in silence.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RequiredInCI are the optional programs that `make test` installs when CI=true.
// A test that needs one of them fails there instead of being skipped.
var RequiredInCI = []string{"aws", "cfn-lint", "chromium", "initdb", "moto", "node", "npm", "python3", "schemathesis"}

// Tool returns the path of a program, or skips the test. See [Missing].
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, fmt.Sprintf("%s is not on PATH", name))
	}
	return path
}

// Python returns the path of a python3 that can import the modules, or skips
// the test. See [Missing].
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	path := Tool(t, "python3")
	for _, module := range modules {
		if err := exec.CommandContext(t.Context(), path, "-c", "import "+module).Run(); err != nil {
			Missing(t, "python3", fmt.Sprintf("python3 cannot import %s", module))
		}
	}
	return path
}

// TerraformProviders returns a folder laid out as a filesystem mirror with
// Terraform's AWS provider, or skips the test. Nothing is downloaded:
// CROSSACCOUNT_TF_PLUGINS names the folder, /opt/tf-plugins if it is not set.
func TerraformProviders(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("CROSSACCOUNT_TF_PLUGINS")
	if dir == "" {
		dir = "/opt/tf-plugins"
	}
	if found, err := filepath.Glob(filepath.Join(dir, "*", "hashicorp", "aws")); err != nil || len(found) == 0 {
		Missing(t, "terraform", "there is no AWS provider for Terraform in "+dir+"; set CROSSACCOUNT_TF_PLUGINS to a mirror with hashicorp/aws")
	}
	return dir
}

// Missing skips the test because a tool is missing, and adds a line to the
// file named by CROSSACCOUNT_SKIPPED, which `make test` prints at its end. With
// CI=true the test fails instead if the tool is one of [RequiredInCI].
func Missing(t testing.TB, tool, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		for _, required := range RequiredInCI {
			if required == tool {
				t.Fatalf("%s, and with CI=true this test must not be skipped", reason)
			}
		}
	}
	if name := os.Getenv("CROSSACCOUNT_SKIPPED"); name != "" {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := fmt.Fprintf(f, "%s: %s\n", t.Name(), reason); err != nil {
			t.Fatal(err)
		}
	}
	t.Skipf("SKIPPED: %s", reason)
}

// IsolateAWS removes everything from the environment that could make an SDK or
// a command-line tool find real credentials, settings or endpoints.
func IsolateAWS(t testing.TB) {
	t.Helper()
	for _, entry := range os.Environ() {
		for i := range len(entry) {
			if entry[i] == '=' {
				if name := entry[:i]; len(name) > 4 && name[:4] == "AWS_" {
					t.Setenv(name, "")
					os.Unsetenv(name) // t.Setenv puts the old value back afterwards
				}
				break
			}
		}
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}
