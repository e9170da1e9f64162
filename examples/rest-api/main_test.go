package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// install finds the clients' programs and installs their packages.
func install(t *testing.T) tools {
	t.Helper()
	node, npm := testenv.Tool(t, "node"), testenv.Tool(t, "npm")
	if _, err := os.Stat("node/node_modules/aws4fetch"); err != nil {
		c := exec.CommandContext(t.Context(), npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
		c.Dir = "node"
		if out, err := c.CombinedOutput(); err != nil {
			testenv.Missing(t, "npm", "npm cannot install the packages of examples/rest-api/node: "+string(out))
		}
	}
	python := testenv.Python(t, "boto3")
	wanted, err := os.ReadFile("python/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wanted)
	folder, err := filepath.Abs(filepath.Join("../../.tools/python", hex.EncodeToString(sum[:6])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "requests_aws4auth")); err != nil {
		c := exec.CommandContext(t.Context(), python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder, "-r", "python/requirements.txt")
		if out, err := c.CombinedOutput(); err != nil {
			testenv.Missing(t, "python3", "pip cannot install the packages of examples/rest-api/python: "+string(out))
		}
	}
	return tools{node, python, []string{"PYTHONPATH=" + folder}}
}

// The whole story, as the README tells it: every language gets the same answers.
func TestStory(t *testing.T) {
	testenv.IsolateAWS(t)
	programs := install(t)
	var out bytes.Buffer
	if err := run(t.Context(), &out, programs); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	story := out.String()
	if !strings.Contains(story, `403 {"message":"Missing Authentication Token"}`) {
		t.Errorf("without a signature:\n%s", story)
	}
	const (
		refused = `403 \{"Message":"User: arn:aws:sts::\d+:assumed-role/\S+ is not authorized to perform: execute-api:Invoke on resource: \S+.*`
		own     = `200 \{"stage": "alpha", "caller": "arn:aws:sts::333333333333:assumed-role/testing-web/.*`
		role    = `200 \{"stage": "alpha", "caller": "arn:aws:sts::111111111111:assumed-role/readonly-invoke-alpha-orders-by-web-testing/.*`
	)
	for _, language := range []string{"Go", "Node.js", "Python"} {
		_, part, ok := strings.Cut(story, "in "+language+":\n")
		if !ok {
			t.Fatalf("%s is not in\n%s", language, story)
		}
		part, _, _ = strings.Cut(part, "\n\n")
		for what, want := range map[string]string{
			"directly, GET": own, "directly, POST": refused, "directly, GET in prod": refused, "through the role, GET": role, "through the role, POST": refused,
		} {
			if !regexp.MustCompile(`(?mi)^  ` + regexp.QuoteMeta(what) + ` +` + want + `$`).MatchString(part) {
				t.Errorf("%s, %s:\n%s", language, what, part)
			}
		}
	}
	if !strings.Contains(story, "Removed in reverse") {
		t.Error("it was not removed")
	}
}

func TestManifest(t *testing.T) {
	m, err := grant.Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	report, err := plan.Check()
	if err != nil || !report.OK() {
		t.Errorf("%+v %v", report, err)
	}
}
