package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/internal/stacktest"
	"github.com/crossaccount/crossaccount/template/terraform"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// That Terraform reads what is written as it is meant is shown in
// test/templates, with Terraform itself.

func TestWriteGolden(t *testing.T) {
	got, err := terraform.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "full.tf.json")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

func TestHostileStacksGiveTheSameValidJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stack, _ := stacktest.Hostile(t)
		data, err := terraform.Write(stack)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(data) {
			t.Fatalf("not JSON:\n%s", data)
		}
		if again, _ := terraform.Write(stack); !bytes.Equal(data, again) {
			t.Fatal("the same stack gives other bytes")
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	t.Run("an illegal stack", func(t *testing.T) {
		s := stacktest.Full()
		s.Resources = nil
		var e *template.Error
		if _, err := terraform.Write(s); !errors.As(err, &e) {
			t.Errorf("error %v, want a *template.Error", err)
		}
	})
	// Terraform writes & with six characters.
	t.Run("a policy that only Terraform makes too large", func(t *testing.T) {
		s := stacktest.Full()
		p := s.Resources[1].Kind.(*template.ManagedPolicy)
		p.Document.Statements[0].Resource = []string{"arn:aws:s3:::" + strings.Repeat("&", 2000)}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		_, err := terraform.Write(s)
		if err == nil || !strings.Contains(err.Error(), "Always.Document") || !strings.Contains(err.Error(), "6144") {
			t.Errorf("error %v, want one that names the policy and the limit", err)
		}
	})
}

// Every kind of resource has a writer here.
func TestAllKindsAreWritten(t *testing.T) {
	written := map[string]bool{}
	for _, r := range stacktest.Full().Resources {
		written[r.Kind.Type()] = true
	}
	for _, k := range template.Kinds() {
		if !written[k.Type()] {
			t.Errorf("stacktest.Full has no %s, so nothing shows that it is written", k.Type())
		}
	}
}
