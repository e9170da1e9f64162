package grant_test

import (
	"fmt"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/template/cfn"
)

func TestDev(t *testing.T) {
	m, err := grant.Parse(grant.Starter())
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Stacks() {
		data, err := cfn.Write(s.Template)
		fmt.Println(s.Name, s.Account, string(data), err)
	}
}
