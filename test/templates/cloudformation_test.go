package templates

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// writeGrid writes all templates into a folder and returns it.
func writeGrid(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for _, v := range grid() {
		file := filepath.Join(dir, strings.ReplaceAll(v.name, " ", "-")+".json")
		if err := os.WriteFile(file, v.write(t, crossaccount.FormatCloudFormation), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return dir, files
}

// cfn-lint must have nothing to say, not even for information, in regions of
// three partitions. No rule is ignored except one:
//
// I1022 prefers Fn::Sub to Fn::Join. We use Join where the text has a "${" that
// Sub cannot express.
func TestCFNLint(t *testing.T) {
	lint := testenv.Tool(t, "cfn-lint")
	_, files := writeGrid(t)
	args := []string{"--include-checks", "I", "--ignore-checks", "I1022", "--format", "json", "--regions", "us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "--"}
	cmd := exec.CommandContext(t.Context(), lint, append(args, files...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.Output()
	var findings []struct {
		Filename, Level, Message string
		Rule                     struct{ ID string }
		Location                 struct{ Path []any }
	}
	if e := json.Unmarshal(out, &findings); e != nil {
		t.Fatalf("%v: %v\n%s", err, e, out)
	}
	for _, f := range findings {
		t.Errorf("%s %s %v: %s: %s", filepath.Base(f.Filename), f.Rule.ID, f.Location.Path, f.Level, f.Message)
	}
	if err != nil && len(findings) == 0 {
		t.Fatal(err)
	}
}

// moto creates the stacks and tells what is in the account. It accepts the
// update that ends the setup phase with all other parameters kept, but cannot
// remove policies then; that is shown in the sandbox.
func TestMoto(t *testing.T) {
	python := testenv.Python(t, "boto3", "moto")
	dir, files := writeGrid(t)
	cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/moto_grid.py", customerAccount, externalID}, files...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	var found []struct{ Created, Updated, Rotated, Done account } // in the order of the files
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	variants := grid()
	if len(found) != len(variants) {
		t.Fatalf("moto tells about %d stacks, want %d", len(found), len(variants))
	}
	for i, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			setup := len(v.config.SetupPermissions) > 0
			t.Run("created", func(t *testing.T) { v.check(t, found[i].Created, "", setup) })
			t.Run("updated", func(t *testing.T) {
				if next := found[i].Updated.Outputs["NextSteps"]; next == "" || strings.Contains(next, "SetupPhase=false") {
					t.Errorf("NextSteps: %q", next)
				}
				equal(t, "trust policy", found[i].Updated.Role.Trust, v.trust(""))
			})
			t.Run("two external IDs", func(t *testing.T) { v.check(t, found[i].Rotated, "acme-previous", setup) })
			t.Run("setup is done", func(t *testing.T) { v.check(t, found[i].Done, "", false) })
		})
	}
}
