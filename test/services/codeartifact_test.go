package services

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact"
	"github.com/aws/aws-sdk-go-v2/service/codeartifact/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	third         = "333333333333"
	domainARN     = "arn:aws:codeartifact:us-east-1:111111111111:domain/shop"
	repositoryARN = "arn:aws:codeartifact:us-east-1:111111111111:repository/shop/clients"
	bearerRight   = `{"Effect":"Allow","Action":"sts:GetServiceBearerToken","Resource":"*","Condition":{"StringEquals":{"sts:AWSServiceName":"codeartifact.amazonaws.com"}}}`
	tokenRight    = `{"Effect":"Allow","Action":"codeartifact:GetAuthorizationToken","Resource":"` + domainARN + `"}`
	readRight     = `{"Effect":"Allow","Action":["codeartifact:ReadFromRepository","codeartifact:GetRepositoryEndpoint"],"Resource":"` + repositoryARN + `"}`
)

// policyOf makes a policy out of statements.
func policyOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// openTo is a statement of a resource policy.
func openTo(principal, actions string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + actions + `,"Resource":"*"}`
}

// A shop is a domain with a repository and, in it, the npm package
// @shop/orders and the Python package shop-orders.
type shop struct {
	t      *testing.T
	box    *sandboxtest.Sandbox
	admin  *codeartifact.Client
	domain *string
	name   *string // of the repository
}

func newShop(t *testing.T, o sandbox.Options, domainPolicy, repositoryPolicy string) *shop {
	t.Helper()
	s := &shop{t: t, box: sandboxtest.NewWith(t, o, owner, friend, third), domain: aws.String("shop"), name: aws.String("clients")}
	s.admin = codeartifact.NewFromConfig(s.box.Account(owner).User("admin", allowAll))
	if _, err := s.admin.CreateDomain(ctx, &codeartifact.CreateDomainInput{Domain: s.domain}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admin.CreateRepository(ctx, &codeartifact.CreateRepositoryInput{Domain: s.domain, Repository: s.name}); err != nil {
		t.Fatal(err)
	}
	s.setPolicies(domainPolicy, repositoryPolicy)
	base, token := s.endpoint(s.admin, types.PackageFormatNpm), s.token(s.admin)
	if status, body := s.call(http.MethodPut, base+"@shop%2forders", token, npmPackage("1.0.0", "package")); status != http.StatusOK {
		t.Fatalf("publishing: %d %s", status, body)
	}
	base = s.endpoint(s.admin, types.PackageFormatPypi)
	if status, body := s.upload(base, token, "shop_orders-1.0.0-py3-none-any.whl", "wheel"); status != http.StatusOK {
		t.Fatalf("uploading: %d %s", status, body)
	}
	return s
}

func (s *shop) setPolicies(domain, repository string) {
	s.t.Helper()
	if domain != "" {
		if _, err := s.admin.PutDomainPermissionsPolicy(ctx, &codeartifact.PutDomainPermissionsPolicyInput{Domain: s.domain, PolicyDocument: &domain}); err != nil {
			s.t.Fatal(err)
		}
	}
	if repository != "" {
		if _, err := s.admin.PutRepositoryPermissionsPolicy(ctx, &codeartifact.PutRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name, PolicyDocument: &repository}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shop) endpoint(client *codeartifact.Client, format types.PackageFormat) string {
	s.t.Helper()
	out, err := client.GetRepositoryEndpoint(ctx, &codeartifact.GetRepositoryEndpointInput{Domain: s.domain, DomainOwner: aws.String(owner), Repository: s.name, Format: format})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.RepositoryEndpoint
}

func (s *shop) token(client *codeartifact.Client) string {
	s.t.Helper()
	out, err := client.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner)})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.AuthorizationToken
}

// call makes a request to an endpoint with a token, or none.
func (s *shop) call(method, url, token, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.box.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(got)
}

const (
	packumentURL = "https://shop-111111111111.d.codeartifact.us-east-1.amazonaws.com/npm/clients/@shop%2forders"
	simpleURL    = "https://shop-111111111111.d.codeartifact.us-east-1.amazonaws.com/pypi/clients/simple/Shop.Orders/"
)

// Reading a package takes a token, for which domain and caller must both allow
// one thing and the caller alone another, and then the repository: each missing
// part is refused where it is missing.
func TestPackagesAcrossAccounts(t *testing.T) {
	const root = "arn:aws:iam::222222222222:root"
	domain, repository := policyOf(openTo(root, `"codeartifact:GetAuthorizationToken"`)), policyOf(openTo(root, `["codeartifact:ReadFromRepository","codeartifact:GetRepositoryEndpoint"]`))
	for _, test := range []struct {
		name, domain, repository, identity string
		token                              string // the error's code
		read                               int
	}{
		{"all of it", domain, repository, policyOf(tokenRight, readRight, bearerRight), "", 200},
		{"no domain policy", "", repository, policyOf(tokenRight, readRight, bearerRight), "AccessDeniedException", 0},
		{"the domain is open to another account", policyOf(openTo("arn:aws:iam::333333333333:root", `"codeartifact:*"`)), repository, policyOf(tokenRight, readRight, bearerRight), "AccessDeniedException", 0},
		{"the caller may not ask the domain", domain, repository, policyOf(readRight, bearerRight), "AccessDeniedException", 0},
		{"no bearer token", domain, repository, policyOf(tokenRight, readRight), "AccessDeniedException", 0},
		{"a bearer token for another service", domain, repository, policyOf(tokenRight, readRight, strings.Replace(bearerRight, "codeartifact", "other", 1)), "AccessDeniedException", 0},
		{"a bearer token that the resource policies would give", policyOf(openTo(root, `["codeartifact:GetAuthorizationToken","sts:GetServiceBearerToken"]`)), repository, policyOf(tokenRight, readRight), "AccessDeniedException", 0},
		{"no repository policy", domain, "", policyOf(tokenRight, readRight, bearerRight), "", 403},
		{"the domain's policy lets read", policyOf(openTo(root, `["codeartifact:GetAuthorizationToken","codeartifact:ReadFromRepository"]`)), "", policyOf(tokenRight, readRight, bearerRight), "", 200},
		{"the domain's policy denies", policyOf(openTo(root, `"codeartifact:GetAuthorizationToken"`), strings.Replace(openTo(root, `"codeartifact:ReadFromRepository"`), "Allow", "Deny", 1)), repository, policyOf(tokenRight, readRight, bearerRight), "", 403},
		{"the caller may not read", domain, repository, policyOf(tokenRight, bearerRight), "", 403},
		{"another repository", domain, repository, policyOf(tokenRight, bearerRight, strings.Replace(readRight, "clients", "tools", 1)), "", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShop(t, sandbox.Options{}, test.domain, test.repository)
			client := codeartifact.NewFromConfig(s.box.Account(friend).User("app", test.identity))
			out, err := client.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner)})
			wantCode(t, err, test.token)
			if err != nil {
				return
			}
			for _, url := range []string{packumentURL, simpleURL} {
				if status, body := s.call(http.MethodGet, url, *out.AuthorizationToken, ""); status != test.read {
					t.Errorf("GET %s: %d %s, want %d", url, status, body, test.read)
				}
			}
			// Reading is all there is.
			if status, body := s.call(http.MethodPut, packumentURL, *out.AuthorizationToken, npmPackage("2.0.0", "x")); status != http.StatusForbidden || !strings.Contains(body, "codeartifact:PublishPackageVersion") {
				t.Errorf("publishing: %d %s", status, body)
			}
			if status, body := s.call(http.MethodPut, "https://shop-111111111111.d.codeartifact.us-east-1.amazonaws.com/npm/clients/-/package/@shop%2forders/dist-tags/stable", *out.AuthorizationToken, `"1.0.0"`); status != http.StatusForbidden || !strings.Contains(body, "codeartifact:PutPackageMetadata") {
				t.Errorf("tagging: %d %s", status, body)
			}
			if status, body := s.upload("https://shop-111111111111.d.codeartifact.us-east-1.amazonaws.com/pypi/clients/", *out.AuthorizationToken, "shop_orders-2.0.0-py3-none-any.whl", "x"); status != http.StatusForbidden {
				t.Errorf("uploading: %d %s", status, body)
			}
		})
	}
}

// A whole organization is let in by its id, whose members still need their own
// account's permission.
func TestPackagesForAnOrganization(t *testing.T) {
	open := func(actions string) string {
		return policyOf(strings.Replace(openTo("*", actions), `"Resource"`, `"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}},"Resource"`, 1))
	}
	s := newShop(t, sandbox.Options{}, open(`"codeartifact:GetAuthorizationToken"`), open(`"codeartifact:ReadFromRepository"`))
	s.box.Account(friend).JoinOrganization("o-exampleorgid")
	s.box.Account(third).JoinOrganization("o-anotherorgid")
	reader := policyOf(tokenRight, readRight, bearerRight)
	member := codeartifact.NewFromConfig(s.box.Account(friend).User("app", reader))
	token := s.token(member)
	if status, body := s.call(http.MethodGet, packumentURL, token, ""); status != http.StatusOK {
		t.Errorf("a member: %d %s", status, body)
	}
	for _, caller := range []*codeartifact.Client{
		codeartifact.NewFromConfig(s.box.Account(third).User("app", reader)),
		codeartifact.NewFromConfig(s.box.Account(friend).User("other", justS3)),
	} {
		_, err := caller.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner)})
		wantCode(t, err, "AccessDeniedException")
	}
	s.box.Account(friend).JoinOrganization("") // the token does not outlive the membership
	if status, body := s.call(http.MethodGet, packumentURL, token, ""); status != http.StatusForbidden {
		t.Errorf("a former member: %d %s", status, body)
	}
}

// A token is good for its domain, its time and its principal, and each request is
// decided by the policies as they are then.
func TestPackageTokens(t *testing.T) {
	now := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	const root = "arn:aws:iam::222222222222:root"
	s := newShop(t, sandbox.Options{Clock: func() time.Time { return now }}, policyOf(openTo(root, `"codeartifact:GetAuthorizationToken"`)), policyOf(openTo(root, `"codeartifact:ReadFromRepository"`)))
	role := s.box.Account(friend).Role("app", policyOf(`{"Effect":"Allow","Principal":{"AWS":"`+root+`"},"Action":"sts:AssumeRole"}`), []string{policyOf(tokenRight, readRight, bearerRight)})
	caller := s.box.Account(friend).User("caller", allowAll)
	client := codeartifact.NewFromConfig(s.box.Assume(caller, role, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) }))
	get := func(seconds *int64) *codeartifact.GetAuthorizationTokenOutput {
		t.Helper()
		out, err := client.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner), DurationSeconds: seconds})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for seconds, code := range map[int64]string{1: "ValidationException", 899: "ValidationException", 43201: "ValidationException", 900: "", 43200: "", 0: ""} {
		_, err := client.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: s.domain, DomainOwner: aws.String(owner), DurationSeconds: &seconds})
		wantCode(t, err, code)
	}
	long, hour, session := get(nil), get(aws.Int64(3600)), get(aws.Int64(0))
	for name, want := range map[string][2]time.Time{
		"without a duration": {*long.Expiration, now.Add(12 * time.Hour)}, "an hour": {*hour.Expiration, now.Add(time.Hour)}, "the session's": {*session.Expiration, now.Add(15 * time.Minute)},
	} {
		if !want[0].Equal(want[1]) {
			t.Errorf("the token expires %s: %v, want %v", name, want[0], want[1])
		}
	}
	want := func(why, token string, status int) {
		t.Helper()
		if got, body := s.call(http.MethodGet, packumentURL, token, ""); got != status {
			t.Errorf("%s: %d %s, want %d", why, got, body, status)
		}
	}
	token := *long.AuthorizationToken
	want("a good token", token, 200)
	want("none", "", 401)
	want("a forged one", token[:len(token)-2]+"AA", 401)
	basic := func(user string) int {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, packumentURL, nil)
		r.SetBasicAuth(user, token)
		answer, err := s.box.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if aws, other := basic("aws"), basic("admin"); aws != 200 || other != 401 {
		t.Errorf("as a password of aws: %d, of another: %d", aws, other)
	}

	// A domain of the same owner has tokens of its own.
	if _, err := s.admin.CreateDomain(ctx, &codeartifact.CreateDomainInput{Domain: aws.String("other")}); err != nil {
		t.Fatal(err)
	}
	foreign, err := s.admin.GetAuthorizationToken(ctx, &codeartifact.GetAuthorizationTokenInput{Domain: aws.String("other")})
	if err != nil {
		t.Fatal(err)
	}
	want("another domain's", *foreign.AuthorizationToken, 401)

	// It outlives the session it was got with, and other tokens do not.
	now = now.Add(61 * time.Minute)
	want("after the session", token, 200)
	want("an hour's after an hour", *hour.AuthorizationToken, 401)
	want("the session's after the session", *session.AuthorizationToken, 401)

	s.setPolicies("", policyOf(openTo("arn:aws:iam::333333333333:root", `"codeartifact:ReadFromRepository"`)))
	want("after the repository was closed", token, 403)
	s.setPolicies("", policyOf(openTo(root, `"codeartifact:ReadFromRepository"`)))
	want("after it was opened again", token, 200)
	now = now.Add(11 * time.Hour)
	want("after twelve hours", token, 401)

	// Nobody inherits the token of a user who is gone, not even one of the same name.
	identities := iam.NewFromConfig(s.box.Account(owner).Config())
	client = codeartifact.NewFromConfig(s.box.Account(owner).User("leaver", policyOf(tokenRight, bearerRight)))
	s.setPolicies("", policyOf(openTo("arn:aws:iam::111111111111:user/leaver", `"codeartifact:ReadFromRepository"`)))
	leaving := *get(nil).AuthorizationToken
	want("a user's", leaving, 200)
	keys, err := identities.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("leaver")})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(identities.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("leaver"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})),
		second(identities.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("leaver"), PolicyName: aws.String("policy-1")})),
		second(identities.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("leaver")})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want("a user's who is gone", leaving, 401)
	s.box.Account(owner).User("leaver", allowAll)
	want("a user's who was made anew", leaving, 401)

	for _, call := range s.box.Calls() {
		if text := fmt.Sprintf("%+v", call); strings.Contains(text, token) {
			t.Fatal("the record has a token")
		}
	}
}

// What was published is what is read, once.
func TestPackageVersions(t *testing.T) {
	s := newShop(t, sandbox.Options{}, "", "")
	base, token := s.endpoint(s.admin, types.PackageFormatNpm), s.token(s.admin)
	status, body := s.call(http.MethodGet, packumentURL, token, "")
	var packument struct {
		DistTags map[string]string `json:"dist-tags"`
		Versions map[string]struct {
			Dist struct{ Tarball string }
		}
	}
	if err := json.Unmarshal([]byte(body), &packument); err != nil || status != 200 || packument.DistTags["latest"] != "1.0.0" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	tarball := packument.Versions["1.0.0"].Dist.Tarball
	if want := base + "@shop/orders/-/orders-1.0.0.tgz"; tarball != want {
		t.Errorf("the tarball is at %s, want %s", tarball, want)
	}
	_, page := s.call(http.MethodGet, simpleURL, token, "")
	_, link, _ := strings.Cut(page, `<a href="`)
	link, _, _ = strings.Cut(link, "#")
	for _, test := range []struct {
		name, method, url, body string
		want                    int
		content                 string
	}{
		{"the tarball", "GET", tarball, "", 200, "package"},
		{"the file", "GET", link, "", 200, "wheel"},
		{"the list of projects", "GET", s.endpoint(s.admin, types.PackageFormatPypi) + "simple/", "", 200, ">shop-orders<"},
		{"the head alone", "HEAD", tarball, "", 200, ""},
		{"one version", "GET", base + "@shop/orders/1.0.0", "", 200, `"version":"1.0.0"`},
		{"one version by its tag", "GET", base + "@shop/orders/latest", "", 200, `"version":"1.0.0"`},
		{"the same again", "PUT", base + "@shop%2forders", npmPackage("1.0.0", "package"), 200, ""},
		{"other bytes", "PUT", base + "@shop%2forders", npmPackage("1.0.0", "changed"), 409, "exists"},
		{"under another name", "PUT", base + "orders", npmPackage("1.0.1", "package"), 400, "of the package in the path"},
		{"bytes that are not the ones", "PUT", base + "@shop%2forders", strings.Replace(npmPackage("1.0.1", "package"), "sha512-", "sha512-A", 1), 400, "integrity"},
		{"no version", "PUT", base + "@shop%2forders", npmPackage("one", "package"), 400, "semantic"},
		{"a newer one", "PUT", base + "@shop%2forders", npmPackage("1.1.0", "newer"), 200, ""},
		{"the tags", "GET", base + "-/package/@shop%2forders/dist-tags", "", 200, `{"latest":"1.1.0"}`},
		{"a new tag", "PUT", base + "-/package/@shop%2forders/dist-tags/stable", `"1.0.0"`, 200, ""},
		{"a tag of what is not there", "PUT", base + "-/package/@shop%2forders/dist-tags/stable", `"7.0.0"`, 400, ""},
		{"without latest", "DELETE", base + "-/package/@shop%2forders/dist-tags/latest", "", 400, ""},
		{"without the tag", "DELETE", base + "-/package/@shop%2forders/dist-tags/stable", "", 200, ""},
		{"nothing", "GET", base + "nothing", "", 404, "not found"},
		{"a repository that is not there", "GET", strings.Replace(base, "clients", "nowhere", 1) + "nothing", "", 404, "Repository not found"},
		{"unpublishing", "DELETE", base + "@shop%2forders/-rev/1", "", 501, "NotImplemented"},
		{"another format", "GET", strings.Replace(base, "npm", "maven", 1) + "x", "", 501, "NotImplemented"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := s.call(test.method, test.url, token, test.body)
			if status != test.want || !strings.Contains(body, test.content) {
				t.Errorf("%s %s: %d %s", test.method, test.url, status, body)
			}
		})
	}
	scope, orders, npm := aws.String("shop"), aws.String("orders"), types.PackageFormatNpm
	listed, err := s.admin.ListPackages(ctx, &codeartifact.ListPackagesInput{Domain: s.domain, Repository: s.name})
	if err != nil || len(listed.Packages) != 2 || *listed.Packages[0].Namespace != "shop" || *listed.Packages[1].Package != "shop-orders" {
		t.Errorf("%+v %v", listed, err)
	}
	versions, err := s.admin.ListPackageVersions(ctx, &codeartifact.ListPackageVersionsInput{Domain: s.domain, Repository: s.name, Format: npm, Namespace: scope, Package: orders})
	if err != nil || len(versions.Versions) != 2 || *versions.Versions[0].Version != "1.1.0" || *versions.DefaultDisplayVersion != "1.1.0" {
		t.Errorf("%+v %v", versions, err)
	}
	described, err := s.admin.DescribePackageVersion(ctx, &codeartifact.DescribePackageVersionInput{Domain: s.domain, Repository: s.name, Format: npm, Namespace: scope, Package: orders, PackageVersion: aws.String("1.0.0")})
	if err != nil || *described.PackageVersion.Summary != "clients of the orders API" || *described.PackageVersion.Licenses[0].Name != "Apache-2.0" {
		t.Errorf("%+v %v", described, err)
	}
	one, err := s.admin.DescribePackage(ctx, &codeartifact.DescribePackageInput{Domain: s.domain, Repository: s.name, Format: types.PackageFormatPypi, Package: aws.String("Shop_Orders")})
	if err != nil || *one.Package.Name != "shop-orders" {
		t.Errorf("%+v %v", one, err)
	}
	_, err = s.admin.DescribePackage(ctx, &codeartifact.DescribePackageInput{Domain: s.domain, Repository: s.name, Format: npm, Package: orders})
	wantCode(t, err, "ResourceNotFoundException")
	shown, err := s.admin.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: s.domain})
	if err != nil || shown.Domain.RepositoryCount != 1 || shown.Domain.AssetSizeBytes != int64(len("package"+"newer"+"wheel")) {
		t.Errorf("%+v %v", shown, err)
	}
	_, err = s.admin.PublishPackageVersion(ctx, &codeartifact.PublishPackageVersionInput{
		Domain: s.domain, Repository: s.name, Format: types.PackageFormatGeneric, Namespace: scope, Package: orders, PackageVersion: aws.String("1"),
		AssetName: aws.String("a"), AssetSHA256: aws.String(strings.Repeat("0", 64)), AssetContent: strings.NewReader("a"),
	})
	wantCode(t, err, "NotImplemented")
	_, err = s.admin.GetRepositoryEndpoint(ctx, &codeartifact.GetRepositoryEndpointInput{Domain: s.domain, Repository: s.name, Format: types.PackageFormatMaven})
	wantCode(t, err, "NotImplemented")
}

func TestPackageRepositories(t *testing.T) {
	s := newShop(t, sandbox.Options{}, "", "")
	_, err := s.admin.CreateDomain(ctx, &codeartifact.CreateDomainInput{Domain: s.domain})
	wantCode(t, err, "ConflictException")
	_, err = s.admin.CreateDomain(ctx, &codeartifact.CreateDomainInput{Domain: aws.String("Shop")})
	wantCode(t, err, "ValidationException")
	_, err = s.admin.CreateRepository(ctx, &codeartifact.CreateRepositoryInput{Domain: s.domain, Repository: s.name})
	wantCode(t, err, "ConflictException")
	_, err = s.admin.CreateRepository(ctx, &codeartifact.CreateRepositoryInput{Domain: aws.String("none"), Repository: s.name})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = s.admin.DeleteDomain(ctx, &codeartifact.DeleteDomainInput{Domain: s.domain})
	wantCode(t, err, "ConflictException")

	if _, err := s.admin.UpdateRepository(ctx, &codeartifact.UpdateRepositoryInput{Domain: s.domain, Repository: s.name, Description: aws.String("clients")}); err != nil {
		t.Fatal(err)
	}
	one, err := s.admin.DescribeRepository(ctx, &codeartifact.DescribeRepositoryInput{Domain: s.domain, Repository: s.name})
	if err != nil || *one.Repository.Description != "clients" || *one.Repository.Arn != repositoryARN || *one.Repository.AdministratorAccount != owner {
		t.Errorf("%+v %v", one, err)
	}
	if _, err := s.admin.TagResource(ctx, &codeartifact.TagResourceInput{ResourceArn: aws.String(repositoryARN), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("orders")}, {Key: aws.String("a"), Value: aws.String("b")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admin.UntagResource(ctx, &codeartifact.UntagResourceInput{ResourceArn: aws.String(repositoryARN), TagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := s.admin.ListTagsForResource(ctx, &codeartifact.ListTagsForResourceInput{ResourceArn: aws.String(repositoryARN)})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "orders" {
		t.Errorf("%+v %v", tags, err)
	}
	byTag := codeartifact.NewFromConfig(s.box.Account(owner).User("byTag", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"codeartifact:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"orders"}}}}`))
	if _, err := byTag.DescribeRepository(ctx, &codeartifact.DescribeRepositoryInput{Domain: s.domain, Repository: s.name}); err != nil {
		t.Error(err)
	}
	_, err = byTag.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: s.domain})
	wantCode(t, err, "AccessDeniedException")

	domains, err := s.admin.ListDomains(ctx, &codeartifact.ListDomainsInput{})
	if err != nil || len(domains.Domains) != 1 || *domains.Domains[0].Arn != domainARN {
		t.Errorf("%+v %v", domains, err)
	}
	all, err := s.admin.ListRepositories(ctx, &codeartifact.ListRepositoriesInput{RepositoryPrefix: aws.String("cl")})
	if err != nil || len(all.Repositories) != 1 {
		t.Errorf("%+v %v", all, err)
	}
	of, err := s.admin.ListRepositoriesInDomain(ctx, &codeartifact.ListRepositoriesInDomainInput{Domain: s.domain, RepositoryPrefix: aws.String("x")})
	if err != nil || len(of.Repositories) != 0 {
		t.Errorf("%+v %v", of, err)
	}
	creates := func(statement string, tags ...types.Tag) error {
		name := fmt.Sprintf("maker%d", len(s.box.Calls()))
		maker := codeartifact.NewFromConfig(s.box.Account(owner).User(name, policyOf(statement)))
		_, err := maker.CreateRepository(ctx, &codeartifact.CreateRepositoryInput{Domain: s.domain, Repository: &name, Tags: tags})
		return err
	}
	anywhere, tag := `{"Effect":"Allow","Action":"codeartifact:CreateRepository","Resource":"*"}`, types.Tag{Key: aws.String("team"), Value: aws.String("orders")}
	wantCode(t, creates(anywhere), "")
	wantCode(t, creates(strings.Replace(anywhere, `"*"`, `"`+domainARN+`"`, 1)), "AccessDeniedException")
	wantCode(t, creates(anywhere, tag), "AccessDeniedException")
	wantCode(t, creates(strings.Replace(anywhere, `"codeartifact:CreateRepository"`, `["codeartifact:CreateRepository","codeartifact:TagResource"]`, 1), tag), "")
	wantCode(t, creates(anywhere, types.Tag{Key: aws.String("aws:team"), Value: aws.String("x")}), "ValidationException")
	made, err := s.admin.ListRepositories(ctx, &codeartifact.ListRepositoriesInput{RepositoryPrefix: aws.String("maker")})
	if err != nil || len(made.Repositories) != 2 {
		t.Errorf("%+v %v", made, err)
	}
	for _, r := range made.Repositories {
		if _, err := s.admin.DeleteRepository(ctx, &codeartifact.DeleteRepositoryInput{Domain: s.domain, Repository: r.Name}); err != nil {
			t.Error(err)
		}
	}

	outsider := codeartifact.NewFromConfig(s.box.Account(friend).User("app", allowAll))
	_, err = outsider.DescribeRepository(ctx, &codeartifact.DescribeRepositoryInput{Domain: s.domain, DomainOwner: aws.String(owner), Repository: aws.String("nowhere")})
	wantCode(t, err, "AccessDeniedException") // and not whether it exists
	if _, err := s.admin.DeleteRepository(ctx, &codeartifact.DeleteRepositoryInput{Domain: s.domain, Repository: s.name}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.admin.DeleteDomain(ctx, &codeartifact.DeleteDomainInput{Domain: s.domain}); err != nil {
			t.Error(err)
		}
	}
	_, err = s.admin.DescribeDomain(ctx, &codeartifact.DescribeDomainInput{Domain: s.domain})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestPackagePolicies(t *testing.T) {
	s := newShop(t, sandbox.Options{}, "", "")
	put := func(document string, revision *string) (*types.ResourcePolicy, error) {
		out, err := s.admin.PutRepositoryPermissionsPolicy(ctx, &codeartifact.PutRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name, PolicyDocument: &document, PolicyRevision: revision})
		if err != nil {
			return nil, err
		}
		return out.Policy, nil
	}
	_, err := s.admin.GetRepositoryPermissionsPolicy(ctx, &codeartifact.GetRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name})
	wantCode(t, err, "ResourceNotFoundException")
	well := policyOf(openTo("arn:aws:iam::222222222222:root", `"codeartifact:ReadFromRepository"`))
	for _, test := range []struct{ name, document, want string }{
		{"no JSON", "policy", "ValidationException"},
		{"no principal", allowAll, "ValidationException"},
		{"a role that does not exist", policyOf(openTo("arn:aws:iam::222222222222:role/ghost", `"codeartifact:ReadFromRepository"`)), "ValidationException"},
		{"an unknown operator", strings.Replace(well, `"Resource"`, `"Condition":{"StringIs":{"aws:PrincipalOrgID":"o-exampleorgid"}},"Resource"`, 1), "ValidationException"},
		{"too long", well + strings.Repeat(" ", 7168), "ValidationException"},
		{"just not too long", well + strings.Repeat(" ", 7168-len(well)), ""},
		{"an old one with variables", strings.Replace(strings.Replace(well, "2012-10-17", "2008-10-17", 1), "ReadFromRepository", "${x}", 1), "NotImplemented"},
		{"well", well, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := put(test.document, nil)
			wantCode(t, err, test.want)
		})
	}
	got, err := s.admin.GetRepositoryPermissionsPolicy(ctx, &codeartifact.GetRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(well, *got.Policy.Document); diff != "" {
		t.Error(diff)
	}
	_, err = put(well, aws.String("old"))
	wantCode(t, err, "ConflictException")
	next, err := put(well, got.Policy.Revision)
	if err != nil || *next.Revision == *got.Policy.Revision || *next.ResourceArn != repositoryARN {
		t.Errorf("%+v %v", next, err)
	}
	if _, err := s.admin.DeleteRepositoryPermissionsPolicy(ctx, &codeartifact.DeleteRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name, PolicyRevision: next.Revision}); err != nil {
		t.Fatal(err)
	}
	_, err = s.admin.DeleteRepositoryPermissionsPolicy(ctx, &codeartifact.DeleteRepositoryPermissionsPolicyInput{Domain: s.domain, Repository: s.name})
	wantCode(t, err, "ResourceNotFoundException")

	// Nobody can lock themselves out of a domain.
	locked := policyOf(`{"Effect":"Deny","Principal":"*","Action":"codeartifact:*","Resource":"*"}`)
	s.setPolicies(locked, "")
	_, err = s.admin.GetDomainPermissionsPolicy(ctx, &codeartifact.GetDomainPermissionsPolicyInput{Domain: s.domain})
	wantCode(t, err, "AccessDeniedException")
	_, err = put(well, nil)
	wantCode(t, err, "AccessDeniedException") // the domain's policy counts
	s.setPolicies(well, "")
	s.setPolicies("", locked)
	if _, err = put(well, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.admin.DeleteDomainPermissionsPolicy(ctx, &codeartifact.DeleteDomainPermissionsPolicyInput{Domain: s.domain}); err != nil {
		t.Error(err)
	}
}

// second is the error of a call whose output does not matter.
func second[T any](_ T, err error) error { return err }
