package main

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam/world"
)

// Small worlds of both kinds are measured, and find who can read the bucket:
// the roles with a statement for it, all of the bucket's account, which its
// policy names directly, and the root users.
func TestMeasure(t *testing.T) {
	shapes := []shape{
		{roles: 300, own: 20, rolesPerUnit: 100, readsEvery: 10, bucket: bucket, owner: owner},
		{roles: 300, own: 4, managed: 20, policies: 5, rolesPerUnit: 100, readsEvery: 10, bucket: bucket, owner: owner},
	}
	var out strings.Builder
	if err := measureAll(&out, shapes, 1); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "| 123 findings |") != 4 || !strings.Contains(got, "after all questions") {
		t.Errorf("want 100 roles of the owner, 20 of the others and 3 root users:\n%s", got)
	}
	s, err := generate(shapes[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Roles) != 300 || len(s.Accounts) != 3 {
		t.Errorf("%d roles in %d accounts", len(s.Roles), len(s.Accounts))
	}
	if _, err := world.Compile(s); err != nil {
		t.Fatal(err)
	}
}
