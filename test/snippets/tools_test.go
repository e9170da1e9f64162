package snippets

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

// npmPackages installs the packages of testdata/package.json, once for every
// content of that file, and returns the folder that has node_modules.
func npmPackages(t *testing.T) string {
	t.Helper()
	testenv.Tool(t, "node")
	npm := testenv.Tool(t, "npm")
	wanted, err := os.ReadFile("testdata/package.json")
	if err != nil {
		t.Fatal(err)
	}
	return installed(t, "js", wanted, func(work string) *exec.Cmd {
		if err := os.WriteFile(filepath.Join(work, "package.json"), wanted, 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
		c.Dir = work
		return c
	})
}

// pythonPackages installs packages beside boto3, once, and returns the folder for
// PYTHONPATH.
func pythonPackages(t *testing.T, wanted ...string) (python, path string) {
	t.Helper()
	python = testenv.Python(t, "boto3", "pip")
	return python, installed(t, "py", []byte(strings.Join(wanted, " ")), func(work string) *exec.Cmd {
		return exec.CommandContext(t.Context(), python, append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", work}, wanted...)...)
	})
}

// signing is what the modules for Python need beside boto3.
const signing = "requests-aws4auth==1.4.0"

// installed runs an installation unless there is one of that content.
func installed(t *testing.T, what string, content []byte, install func(work string) *exec.Cmd) string {
	t.Helper()
	sum := sha256.Sum256(content)
	tools, err := filepath.Abs("../../.tools/" + what)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(tools, "snippets-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	// Installed elsewhere and then renamed, so that what is there is complete.
	work := folder + ".installing-" + strconv.Itoa(os.Getpid())
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	if out, err := install(work).CombinedOutput(); err != nil {
		testenv.Missing(t, map[string]string{"js": "npm", "py": "python3"}[what], "the packages of test/snippets cannot be installed: "+string(out))
	}
	if err := os.Rename(work, folder); err != nil {
		if _, gone := os.Stat(folder); gone != nil { // else another test was faster
			t.Fatal(err)
		}
	}
	return folder
}
