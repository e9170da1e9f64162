package clients_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

func runBoto3(t *testing.T, s *scenario) []observation {
	t.Helper()
	return s.runScript(t, nil, testenv.Python(t, "boto3"), "testdata/scenario.py")
}

func runJavaScript(t *testing.T, s *scenario) []observation {
	t.Helper()
	node, npm := testenv.Tool(t, "node"), testenv.Tool(t, "npm")
	return s.runScript(t, []string{"NODE_PATH=" + installJavaScript(t, npm)}, node, "testdata/js/scenario.js")
}

// installJavaScript installs the packages of testdata/js/package.json, once for
// every content of that file, and returns the folder to load them from.
func installJavaScript(t *testing.T, npm string) string {
	t.Helper()
	wanted, err := os.ReadFile("testdata/js/package.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wanted)
	tools, err := filepath.Abs("../../.tools/js")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(tools, hex.EncodeToString(sum[:6]))
	modules := filepath.Join(folder, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	// Installed elsewhere and then renamed, so that what is there is complete.
	work := folder + ".installing-" + strconv.Itoa(os.Getpid())
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "package.json"), wanted, 0o644); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = work
	if out, err := install.CombinedOutput(); err != nil {
		testenv.Missing(t, "npm", "npm cannot install the packages of test/clients/testdata/js/package.json: "+string(out))
	}
	if err := os.Rename(work, folder); err != nil {
		if _, gone := os.Stat(modules); gone != nil { // else another test was faster
			t.Fatal(err)
		}
	}
	return modules
}
