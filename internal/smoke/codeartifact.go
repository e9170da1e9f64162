package smoke

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// codeArtifactCalls are those of package repositories. Packages are read as npm
// and pip read them, with a token; only what a package's index says is asked for,
// because asking for its files can copy them from an upstream repository.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_Operations.html
var codeArtifactCalls = &service{
	calls: []call{
		{action: "codeartifact:GetAuthorizationToken", request: tokenRequest, learn: learnToken},
		repositoryCall("GetRepositoryEndpoint", http.MethodGet, "/v1/repository/endpoint", "format", "npm").
			learning(func(t *target, _ *answer) { t.known.repository = t.resource }),
		repositoryCall("DescribeRepository", http.MethodGet, "/v1/repository").
			learning(func(t *target, _ *answer) { t.known.repository = t.resource }),
		repositoryCall("ListPackages", http.MethodPost, "/v1/packages", "max-results", "1").learning(learnPackage),
		{action: "codeartifact:ReadFromRepository", request: readPackage},
		call{action: "codeartifact:PublishPackageVersion", request: publishPackage}.writing(),
		repositoryCall("GetRepositoryPermissionsPolicy", http.MethodGet, "/v1/repository/permissions/policy"),
	},
	others: []string{"codeartifact:PublishPackageVersion", "codeartifact:GetRepositoryPermissionsPolicy"},
}

// bearerCalls is the permission that getting a token takes of the caller alone.
// It has no call of its own.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/tokens-authentication.html
var bearerCalls = &service{calls: []call{{action: "sts:GetServiceBearerToken", request: func(t *target) (*request, string) {
	if t.known.bearer.domain == "" {
		return nil, "GetAuthorizationToken, which needs it, gave no token"
	}
	domain := *t
	domain.resource, domain.arn = t.known.bearer.domain, parts(t.known.bearer.domain)
	return tokenRequest(&domain)
}}}}

// A bearer is a token of a domain, and whose it is.
type bearer struct{ principal, domain, token string }

// tokenRequest asks for a token of the shortest life there is, in seconds.
func tokenRequest(t *target) (*request, string) {
	return t.codeArtifact(http.MethodPost, "/v1/authorization-token", "domain", strings.TrimPrefix(t.arn.Resource, "domain/"), "duration", "900"), ""
}

func learnToken(t *target, a *answer) {
	t.known.bearer = bearer{t.principal, t.resource, field(a.body, "authorizationToken")}
}

// codeArtifact makes a request of the API. Query has names and values.
func (t *target) codeArtifact(method, path string, query ...string) *request {
	r := &request{service: "codeartifact", host: "codeartifact." + t.owner.Region, method: method, path: path, query: url.Values{"domain-owner": {t.arn.Account}}}
	for i := 0; i+1 < len(query); i += 2 {
		r.query.Set(query[i], query[i+1])
	}
	return r
}

func repositoryCall(operation, method, path string, query ...string) call {
	return call{action: "codeartifact:" + operation, request: func(t *target) (*request, string) {
		domain, repository := t.domainAndRepository()
		return t.codeArtifact(method, path, append([]string{"domain", domain, "repository", repository}, query...)...), ""
	}}
}

// domainAndRepository reads the ARN of a repository, or of a package in one.
func (t *target) domainAndRepository() (domain, repository string) {
	at := strings.SplitN(t.arn.Resource+"//", "/", 4)
	return at[1], at[2]
}

// learnPackage keeps the path of a package that is there. Formats other than
// those of npm and Python have none that says the same.
func learnPackage(t *target, a *answer) {
	name, namespace := field(a.body, "packages.0.package"), field(a.body, "packages.0.namespace")
	switch format := field(a.body, "packages.0.format"); {
	case name == "":
	case format == "npm" && namespace != "":
		t.known.path = "npm/" + url.PathEscape("@"+namespace+"/"+name)
	case format == "npm":
		t.known.path = "npm/" + url.PathEscape(name)
	case format == "pypi":
		t.known.path = "pypi/simple/" + url.PathEscape(name) + "/"
	}
}

// probePackage is a package that nobody has.
const probePackage = "@" + probeName + "/" + probeName

// readPackage reads the index of a package. Without one that is known to be
// there it is one that nobody has, and the answer that it is missing says that
// reading is allowed, if the repository itself is known to be there.
func readPackage(t *target) (*request, string) {
	path := t.known.path
	if path == "" || t.known.repository != t.resource {
		path = "npm/" + url.PathEscape(probePackage)
	}
	r, why := t.packages(http.MethodGet, path)
	if r != nil && t.known.repository == t.resource {
		r.missing = true
	}
	return r, why
}

// repositoryKind is the kind of resource that these calls are about.
const repositoryKind = "codeartifact-repository"

// packages is a request to a repository's endpoint for package managers, below
// the format: "npm/@scope%2fname".
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/npm-auth.html
func (t *target) packages(method, path string) (*request, string) {
	domain, repository := t.domainAndRepository()
	of := iam.ARN{Partition: t.arn.Partition, Service: "codeartifact", Region: t.arn.Region, Account: t.arn.Account, Resource: "domain/" + domain}
	if b := t.known.bearer; b.token == "" || b.principal != t.principal || b.domain != of.String() {
		return nil, "there is no token of the domain " + domain
	}
	format, rest, _ := strings.Cut(path, "/")
	name := domain + "-" + t.arn.Account
	return &request{
		service: "codeartifact", host: name + ".d.codeartifact." + t.owner.Region, local: "/codeartifact/" + name + "/" + t.owner.Region,
		method: method, path: "/" + format + "/" + repository + "/" + rest,
		header: map[string]string{"Authorization": "Bearer " + t.known.bearer.token}, bare: true, packages: true,
	}, ""
}

// publishPackage publishes what npm would: a package of nothing but a name.
func publishPackage(t *target) (*request, string) {
	r, why := t.packages(http.MethodPut, "npm/"+url.PathEscape(probePackage))
	if why != "" {
		return nil, why
	}
	const version = "0.0.1"
	tarball := emptyPackage(version)
	sum := sha512.Sum512(tarball)
	body, err := json.Marshal(map[string]any{
		"_id": probePackage, "name": probePackage, "dist-tags": map[string]string{"latest": version},
		"versions": map[string]any{version: map[string]any{"name": probePackage, "version": version, "dist": map[string]string{"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}},
		"_attachments": map[string]any{probePackage + "-" + version + ".tgz": map[string]any{
			"content_type": "application/octet-stream", "data": tarball, "length": len(tarball),
		}},
	})
	if err != nil {
		panic(err) // only text and numbers of this package's own
	}
	r.body, r.header["Content-Type"] = body, "application/json"
	return r, ""
}

// anotherRepository asks the domain's owner for a repository of the domain that
// no grant lets a principal read, and returns its ARN, or "" if there is none or
// the owner cannot be asked.
func (y *trying) anotherRepository(ctx context.Context, principal, pattern string) string {
	if y.Owner == nil {
		return ""
	}
	config, err := y.Owner(ctx, y.trial.Owner)
	if err != nil {
		return ""
	}
	t := y.target(&Attempt{Resource: pattern}, pattern, y.trial)
	domain, _ := t.domainAndRepository()
	owner := &caller{config: config, now: y.Now}
	a, err := owner.send(ctx, t.codeArtifact(http.MethodPost, "/v1/domain/repositories", "domain", domain), t.owner.Region, suffixOf(t.owner.Partition))
	if err != nil || a.status != http.StatusOK {
		return ""
	}
	var out struct{ Repositories []struct{ ARN string } }
	if json.Unmarshal(a.body, &out) != nil {
		return ""
	}
	for _, r := range out.Repositories {
		if parts(r.ARN).Service == "codeartifact" && !y.granted(ctx, principal, "codeartifact:ReadFromRepository", r.ARN) {
			return r.ARN
		}
	}
	return ""
}

// emptyPackage is the tarball of a package with a manifest and nothing else.
func emptyPackage(version string) []byte {
	manifest := `{"name":"` + probePackage + `","version":"` + version + `"}`
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	// Writing to a buffer fails only with a header that is wrong.
	_ = w.WriteHeader(&tar.Header{Name: "package/package.json", Mode: 0o644, Size: int64(len(manifest))})
	_, _ = w.Write([]byte(manifest))
	_ = w.Close()
	_ = z.Close()
	return b.Bytes()
}
