package grant_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

func TestDev(t *testing.T) {
	data, _ := os.ReadFile("testdata/all.yaml")
	m, err := grant.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Check()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(r.Allowed, r.Denied, len(r.Failures), len(r.Findings))
	for _, f := range r.Failures {
		fmt.Printf("%s/%s %s [%s] %s %s %s want %s\n", f.Grant, f.Stage, f.Case, f.Side, f.Principal, f.Action, f.Resource, f.Want)
	}
	for _, f := range r.Findings {
		fmt.Println(f.Document, f.Finding)
	}
}
