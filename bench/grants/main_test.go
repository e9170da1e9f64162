package main

import (
	"strings"
	"testing"
)

// The program works; what it measures with so few grants means nothing.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, "60", 1, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"compile, write the files", "compile, lint and check", "resources in", "no CDK"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing about %q in:\n%s", want, out.String())
		}
	}
}
