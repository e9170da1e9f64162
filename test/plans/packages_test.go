package plans

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/smoke"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const packages = `
resources:
  clients: {kind: codeartifact-repository, domain: shop, name: clients, create: {}}
grants:
  - {name: clients, consumer: bi, resource: clients, access: read}
`

// newDomain makes a domain with another repository, which nothing grants.
func newDomain(t *testing.T, owner aws.Config, _ string) {
	t.Helper()
	client := codeartifact.NewFromConfig(owner)
	if _, err := client.CreateDomain(t.Context(), &codeartifact.CreateDomainInput{Domain: aws.String("shop")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateRepository(t.Context(), &codeartifact.CreateRepositoryInput{Domain: aws.String("shop"), Repository: aws.String("internal")}); err != nil {
		t.Fatal(err)
	}
}

// domainPolicy writes the policy of an owner's only domain.
func domainPolicy(t *testing.T, owner aws.Config, policy string) {
	t.Helper()
	client := codeartifact.NewFromConfig(owner)
	list, err := client.ListDomains(t.Context(), &codeartifact.ListDomainsInput{})
	if err != nil || len(list.Domains) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err := client.PutDomainPermissionsPolicy(t.Context(), &codeartifact.PutDomainPermissionsPolicyInput{Domain: list.Domains[0].Name, PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
}

func TestPackageRepository(t *testing.T) {
	in := func(stage string) (domain, owner, repository *string) {
		return aws.String("shop"), aws.String(owners[stage]), aws.String("clients")
	}
	(&kindTest{
		manifest: packages, before: newDomain, apply: domainPolicy,
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			client := codeartifact.NewFromConfig(c)
			domain, owner, repository := in(stage)
			if _, err := client.GetAuthorizationToken(t.Context(), &codeartifact.GetAuthorizationTokenInput{Domain: domain, DomainOwner: owner}); err != nil {
				return err
			}
			if _, err := client.GetRepositoryEndpoint(t.Context(), &codeartifact.GetRepositoryEndpointInput{Domain: domain, DomainOwner: owner, Repository: repository, Format: types.PackageFormatPypi}); err != nil {
				return err
			}
			_, err := client.ListPackages(t.Context(), &codeartifact.ListPackagesInput{Domain: domain, DomainOwner: owner, Repository: repository})
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"deleting the repository": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				domain, owner, repository := in(stage)
				_, err := codeartifact.NewFromConfig(c).DeleteRepository(t.Context(), &codeartifact.DeleteRepositoryInput{Domain: domain, DomainOwner: owner, Repository: repository})
				return err
			},
			"another repository of the domain": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				domain, owner, _ := in(stage)
				_, err := codeartifact.NewFromConfig(c).DescribeRepository(t.Context(), &codeartifact.DescribeRepositoryInput{Domain: domain, DomainOwner: owner, Repository: aws.String("internal")})
				return err
			},
		},
	}).run(t)
}

// tokens keeps the tokens that CodeArtifact gave, and counts requests that
// brought one.
type tokens struct {
	next  aws.HTTPClient
	given []string
	used  int
}

func (k *tokens) Do(r *http.Request) (*http.Response, error) {
	if slices.Contains(k.given, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		k.used++
	}
	answer, err := k.next.Do(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/authorization-token") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	var out struct{ AuthorizationToken string }
	if json.Unmarshal(body, &out) == nil && out.AuthorizationToken != "" {
		k.given = append(k.given, out.AuthorizationToken)
	}
	return answer, nil
}

// The probe reads with the consumer's token and does not tell it; it finds a
// permission that is missing, and policies that let in more than was declared.
func TestProbePackages(t *testing.T) {
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP)
	role := newRole(box, consumerT, "testing-bi")
	newRole(box, consumerP, "production-bi")
	for stage, account := range owners {
		newDomain(t, box.Account(account).Config(), stage)
	}
	d := newDeployment(t, box, parties+packages)
	d.applying(func(c aws.Config, policy string) { domainPolicy(t, c, policy) })
	d.deploy()
	watched := &tokens{next: role.HTTPClient}
	role.HTTPClient = watched
	run := func(write bool) *smoke.Result {
		return d.run(role, func(o *smoke.Options) {
			o.Write = write
			o.Owner = func(_ context.Context, at grant.Place) (aws.Config, error) { return box.Account(at.ID).Config(), nil }
		})
	}

	r := run(false)
	wantAsDeclared(t, []smoke.Result{*r})
	for _, a := range []*smoke.Attempt{
		find(r, "codeartifact:ReadFromRepository", "another repository of the domain"), find(r, "codeartifact:GetAuthorizationToken", "stage prod"),
		find(r, "codeartifact:GetRepositoryPermissionsPolicy", "another action"),
	} {
		if a.Outcome != smoke.Refused {
			t.Errorf("a neighbour was not tried, or not refused: %+v\n%s", a, told(r))
		}
	}
	for _, action := range []string{"codeartifact:ReadFromRepository", "sts:GetServiceBearerToken", "codeartifact:ListPackages"} {
		if a := find(r, action, "declared"); a.Outcome != smoke.Allowed {
			t.Errorf("%s: %+v", action, a)
		}
	}
	if len(watched.given) < 2 || watched.used < 2 {
		t.Fatalf("%d tokens were given, and used %d times", len(watched.given), watched.used)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range watched.given {
		if strings.Contains(string(text)+told(r), token) {
			t.Error("the result has a token")
		}
	}
	if r := run(true); r.Verdict() != smoke.Allowed || find(r, "codeartifact:PublishPackageVersion", "another action").Outcome != smoke.Refused {
		t.Errorf("with --write\n%s", told(r))
	}

	// Somebody gives too much: the domain's policy and the role's permissions.
	owner := codeartifact.NewFromConfig(box.Account(ownerA).Config())
	before, err := owner.GetDomainPermissionsPolicy(t.Context(), &codeartifact.GetDomainPermissionsPolicyInput{Domain: aws.String("shop")})
	if err != nil {
		t.Fatal(err)
	}
	domainPolicy(t, box.Account(ownerA).Config(), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:role/testing-bi"},"Action":"codeartifact:*","Resource":"*"}]}`)
	roles := iam.NewFromConfig(box.Account(consumerT).Config())
	if _, err := roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("testing-bi"), PolicyName: aws.String("more"), PolicyDocument: aws.String(allowAll)}); err != nil {
		t.Fatal(err)
	}
	for write, action := range map[bool]string{false: "codeartifact:GetRepositoryPermissionsPolicy", true: "codeartifact:PublishPackageVersion"} {
		r := run(write)
		for _, a := range []*smoke.Attempt{find(r, action, "another action"), find(r, "codeartifact:ReadFromRepository", "another repository of the domain")} {
			if r.Verdict() != smoke.Refused || !a.Wrong() {
				t.Errorf("open policies: %+v\n%s", a, told(r))
			}
		}
	}

	// Somebody takes the permission that no policy of a domain can give.
	domainPolicy(t, box.Account(ownerA).Config(), *before.Policy.Document)
	if _, err := roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("testing-bi"), PolicyName: aws.String("more"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:GetServiceBearerToken","Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	r = run(false)
	a := find(r, "codeartifact:GetAuthorizationToken", "declared")
	if r.Verdict() != smoke.Refused || !a.Wrong() || a.Denial == nil || a.Denial.Question.Action != "sts:GetServiceBearerToken" {
		t.Errorf("without a bearer token: %+v\n%s", a, told(r))
	}
	if a := find(r, "codeartifact:ReadFromRepository", "declared"); a.Outcome != smoke.NotTried {
		t.Errorf("reading without a token: %+v", a)
	}

	// A repository that is not there is no proof of anything.
	if _, err := roles.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("testing-bi"), PolicyName: aws.String("more")}); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.DeleteRepository(t.Context(), &codeartifact.DeleteRepositoryInput{Domain: aws.String("shop"), Repository: aws.String("clients")}); err != nil {
		t.Fatal(err)
	}
	if r := run(false); r.Verdict() == smoke.Allowed || find(r, "codeartifact:ReadFromRepository", "declared").Outcome == smoke.Allowed {
		t.Errorf("without the repository: %s\n%s", r.Verdict(), told(r))
	}
}
