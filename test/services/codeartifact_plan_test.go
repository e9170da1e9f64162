package services

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact/types"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const packagePlan = `
version: 1
accounts:
  shop-prod: {id: "111111111111", regions: [us-east-1]}
  bi-prod: {id: "222222222222", regions: [us-east-1]}
apps:
  shop: {accounts: {prod: shop-prod}}
consumers:
  bi: {accounts: {production: bi-prod}, role: {name: build}}
resources:
  clients: {kind: codeartifact-repository, domain: shop, name: clients, create: {Description: generated clients}}
grants:
  - {name: clients, consumer: bi, resource: clients, access: read}
`

// A plan creates a repository with its policy in a domain that exists, writes the
// domain's policy, and gives the consumer's role its permissions.
func TestPackagePlan(t *testing.T) {
	m, err := grant.Parse([]byte(packagePlan))
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, box: sandboxtest.New(t, owner, friend, third), domain: aws.String("shop"), name: aws.String("clients")}
	s.admin = codeartifact.NewFromConfig(s.box.Account(owner).User("admin", allowAll))
	if _, err := s.admin.CreateDomain(ctx, &codeartifact.CreateDomainInput{Domain: s.domain}); err != nil {
		t.Fatal(err)
	}
	role := s.box.Account(friend).Role("build", policyOf(`{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}`), nil)
	reader := codeartifact.NewFromConfig(s.box.Assume(s.box.Account(friend).User("developer", allowAll), role))
	other := codeartifact.NewFromConfig(s.box.Account(friend).User("other", allowAll))
	get := &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner)}

	wrote := 0
	stacks := sandboxtest.NewDeployment(s.box.Sandbox, p)
	stacks.Apply = func(context.Context, aws.Config, *grant.Apply) error { return nil } // below
	if err := stacks.Deploy(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = reader.GetAuthorizationToken(ctx, get)
	wantCode(t, err, "AccessDeniedException") // the domain's policy is still to be written
	for _, d := range p.Documents() {
		if d.Resource == domainARN {
			text, err := d.Policy.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			s.setPolicies(string(text), "")
			wrote++
		}
	}
	if wrote != 1 {
		t.Fatalf("the plan has %d policies of the domain", wrote)
	}

	base, token := s.endpoint(s.admin, types.PackageFormatNpm), s.token(s.admin)
	if status, body := s.call(http.MethodPut, base+"@shop%2forders", token, npmPackage("1.0.0", "package")); status != http.StatusOK {
		t.Fatalf("publishing: %d %s", status, body)
	}
	token = s.token(reader)
	if status, body := s.call(http.MethodGet, packumentURL, token, ""); status != http.StatusOK {
		t.Errorf("reading: %d %s", status, body)
	}
	if status, body := s.call(http.MethodPut, packumentURL, token, npmPackage("2.0.0", "x")); status != http.StatusForbidden {
		t.Errorf("publishing: %d %s", status, body)
	}
	_, err = other.GetAuthorizationToken(ctx, get)
	wantCode(t, err, "AccessDeniedException")

	if err := stacks.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if status, body := s.call(http.MethodGet, packumentURL, token, ""); status != http.StatusForbidden {
		t.Errorf("reading what was removed: %d %s", status, body)
	}
	if left, err := s.admin.ListRepositories(ctx, &codeartifact.ListRepositoriesInput{}); err != nil || len(left.Repositories) != 0 {
		t.Errorf("%+v %v", left, err)
	}
}
