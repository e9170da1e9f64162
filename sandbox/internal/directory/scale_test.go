package directory_test

import (
	"fmt"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// An account with 10,000 roles: what a write, a decision's reads and a page
// cost there.
func BenchmarkTenThousandRoles(b *testing.B) {
	d := newDirectory(b, 0)
	document := anyTrust(b, d)
	for i := range 10_000 {
		if _, err := d.CreateRole(start, directory.Role{Identity: directory.Identity{Account: customer, Name: fmt.Sprint("role-", i)}, Trust: document}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("update", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.UpdateRole(start, customer, "role-5000", func(r *directory.Role) error { r.Description = "x"; return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("create and delete", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.CreateRole(start, directory.Role{Identity: directory.Identity{Account: customer, Name: "new"}, Trust: document}); err != nil {
				b.Fatal(err)
			}
			if err := d.DeleteRole(start, customer, "new"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			role, ok := d.Effective(start).Role(customer, "role-5000")
			if !ok {
				b.Fatal("the role is missing")
			}
			d.Effective(start).Policies(&role.Identity)
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if roles, _ := d.Latest().Roles(customer, "", "role-5000", 100); len(roles) != 100 {
				b.Fatalf("the page has %d roles", len(roles))
			}
		}
	})
}

// What one more account costs among 10,000.
func BenchmarkTenThousandAccounts(b *testing.B) {
	d := newDirectory(b, 0)
	for i := range 10_000 {
		if _, err := d.CreateAccount(iam.AccountID(fmt.Sprintf("%012d", 500_000_000_000+i)), "aws"); err != nil {
			b.Fatal(err)
		}
	}
	next := 600_000_000_000
	b.Run("create account", func(b *testing.B) {
		for b.Loop() {
			next++
			if _, err := d.CreateAccount(iam.AccountID(fmt.Sprintf("%012d", next)), "aws"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("find root key", func(b *testing.B) {
		account, _ := d.Account("500000005000")
		for b.Loop() {
			if _, ok := d.Latest().AccessKey(account.RootKey().ID); !ok {
				b.Fatal("the key is missing")
			}
		}
	})
}
