package policies_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/policies"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// render shows what was read in a document. Beside each place stands the text
// found there, so that a wrong position is plain to see.
func render(name string, data []byte, d *policies.Document, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n", d.Format)
	for _, p := range d.Policies {
		fmt.Fprintf(&b, "policy %s %s", at(data, p.Position), p.Kind)
		for _, s := range []string{p.Service, iam.ReplaceSymbols(p.Resource, func(id string) string { return "<" + id + ">" }), p.Where, p.Construct} {
			if s != "" {
				b.WriteString(" " + s)
			}
		}
		if len(p.Variants) > 1 {
			fmt.Fprintf(&b, " in %d forms", len(p.Variants))
		}
		b.WriteByte('\n')
	}
	left, suppressed, _ := policies.Suppress(d.Lint(lint.Options{}), d.Suppressions)
	for _, f := range left {
		fmt.Fprintf(&b, "%s %s %s %s: %s", f.ID, f.Severity, at(data, f.Position), f.Path, f.Message)
		if f.When != "" {
			fmt.Fprintf(&b, " (when %s)", f.When)
		}
		b.WriteByte('\n')
	}
	for _, s := range suppressed {
		fmt.Fprintf(&b, "suppressed %s %s: %s\n", s.ID, at(data, s.Position), s.Reason)
	}
	for _, u := range d.Unread {
		fmt.Fprintf(&b, "unread %s %s: %s\n", at(data, u.Position), u.Where, u.Reason)
	}
	return b.String()
}

func at(data []byte, p iam.Position) string {
	lines := strings.Split(string(data), "\n")
	if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
		return fmt.Sprintf("%d:%d OUTSIDE", p.Line, p.Column)
	}
	text := lines[p.Line-1][p.Column-1:]
	if len(text) > 24 {
		text = text[:24]
	}
	return fmt.Sprintf("%d:%d `%s`", p.Line, p.Column, strings.TrimRight(text, " "))
}

// Every archive holds documents with what is found in them.
func TestDocuments(t *testing.T) {
	paths, err := filepath.Glob("testdata/documents/*.txtar")
	if err != nil || len(paths) < 5 {
		t.Fatalf("found %d archives (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[string]string)
			for _, f := range archive.Files {
				if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
					want[name] = string(f.Data)
				}
			}
			var updated []txtar.File
			for _, f := range archive.Files {
				if strings.HasSuffix(f.Name, ".want") {
					continue
				}
				d, err := policies.Read(f.Name, f.Data, policies.Options{})
				got := render(f.Name, f.Data, d, err)
				if strings.Contains(got, "OUTSIDE") {
					t.Errorf("%s: a place is outside the document:\n%s", f.Name, got)
				}
				updated = append(updated, f, txtar.File{Name: f.Name + ".want", Data: []byte(got)})
				if diff := cmp.Diff(want[f.Name], got); diff != "" && !*update {
					t.Errorf("%s (-want +got):\n%s", f.Name, diff)
				}
				if strings.HasPrefix(f.Name, "good") && strings.Contains(got, "GX-") {
					t.Errorf("%s has findings:\n%s", f.Name, got)
				}
			}
			if *update {
				archive.Files = updated
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		file, data string
		want       error
	}{
		"terraform":  {"main.tf", `resource "aws_iam_policy" "p" {}`, policies.ErrTerraformSource},
		"package":    {"package.json", `{"name": "x", "version": "1.0.0"}`, policies.ErrNotRecognised},
		"manifests":  {"k.yaml", "kind: A\n---\nkind: B\n", policies.ErrNotRecognised},
		"prose":      {"x.yaml", "just text", policies.ErrNotRecognised},
		"empty":      {"x.json", "", policies.ErrNotRecognised},
		"not utf-8":  {"x.json", "\xff\xfe", policies.ErrNotRecognised},
		"only a tab": {"x.yaml", "a:\n\tb: 1\n", policies.ErrNotRecognised},
	} {
		d, err := policies.Read(test.file, []byte(test.data), policies.Options{})
		if !errors.Is(err, test.want) || d != nil {
			t.Errorf("%s: got %+v and error %v, want %v", name, d, err, test.want)
		}
	}
}

// A document that was ours before somebody broke it is never passed over.
func TestBrokenDocumentsAreFindings(t *testing.T) {
	for name, data := range map[string]string{
		"policy.json":   `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject",}]}`,
		"cut.json":      `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":`,
		"template.yaml": "AWSTemplateFormatVersion: 2010-09-09\nResources:\n  A: {Type: AWS::SNS::Topic\n",
		"star.yaml":     "Statement:\n- Effect: Allow\n  Action: [s3:GetObject, *]\n",
		"machine.json":  `{"StartAt": "A", "States": {"A": {"Type": "Pass" "End": true}}}`,
		"plan.json":     `{"format_version": "1.2", "terraform_version": "1.11.4", "planned_values": `,
		"symbols.yaml":  "Statement:\n- Effect: Allow\n  Action: \"\ue000s3:GetObject\"\n  Resource: x\n",
		"twice.yaml":    "Resources:\n  A: {Type: AWS::SNS::Topic}\n  A: {Type: AWS::SNS::Topic}\n",
		"bomb.yaml":     bomb(),
	} {
		d, err := policies.Read(name, []byte(data), policies.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		findings := d.Lint(lint.Options{})
		if len(findings) != 1 || findings[0].ID != "GX-S01" || findings[0].Severity != lint.Error || findings[0].Position.Line == 0 {
			t.Errorf("%s: got %v", name, findings)
		}
	}
}

// bomb is a template whose aliases stand for a billion values.
func bomb() string {
	var b strings.Builder
	b.WriteString("AWSTemplateFormatVersion: 2010-09-09\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	return b.String()
}

// Many conditions in one policy are bounded work.
func TestManyConditions(t *testing.T) {
	var b strings.Builder
	b.WriteString("Parameters:\n")
	const n = 40
	for i := range n {
		fmt.Fprintf(&b, "  P%d: {Type: String}\n", i)
	}
	b.WriteString("Conditions:\n")
	for i := range n {
		fmt.Fprintf(&b, "  C%d: !Equals [!Ref P%d, x]\n", i, i)
	}
	b.WriteString("Resources:\n  Policy:\n    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      PolicyDocument:\n        Version: 2012-10-17\n        Statement:\n")
	for i := range n {
		fmt.Fprintf(&b, "          - !If [C%d, {Effect: Allow, Action: s3:GetObjekt%d, Resource: \"*\"}, !Ref AWS::NoValue]\n", i, i)
	}
	d, err := policies.Read("t.yaml", []byte(b.String()), policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	unknown := 0
	for _, f := range d.Lint(lint.Options{}) {
		if f.ID == "GX-A02" {
			unknown++
		}
	}
	if unknown != n {
		t.Errorf("found %d of %d unknown actions", unknown, n)
	}
}

func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob("testdata/documents/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if !strings.HasSuffix(file.Name, ".want") {
				f.Add(file.Name, file.Data)
			}
		}
	}
	f.Add("bomb.yaml", []byte(bomb()))
	f.Add("x.tf.json", []byte(`{"resource":{"aws_iam_policy":{"p":{"policy":"${jsonencode({a=[for x in y : x]})}"}}}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		d, err := policies.Read(name, data, policies.Options{})
		if err != nil {
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, finding := range d.Lint(lint.Options{}) {
			if finding.ID == "" || finding.Message == "" || finding.Position.Line < 1 || finding.Position.Line > lines {
				t.Errorf("incomplete finding %+v", finding)
			}
		}
	})
}
