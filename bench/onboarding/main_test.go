package main

import (
	"strings"
	"testing"
)

// The program works; what it measures with so few customers means nothing.
func TestMeasure(t *testing.T) {
	var out strings.Builder
	if err := measure(t.Context(), &out, 5, 1, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"start ", "verify ", "complete ", "ready after", "processor"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing about %q in:\n%s", want, out.String())
		}
	}
}
