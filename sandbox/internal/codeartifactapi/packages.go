package codeartifactapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A packageID says which package of a repository is meant.
type packageID struct {
	format    string
	namespace string // of npm packages the scope, without its @
	name      string
}

// arn is the package's, made from its repository's.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/repo-policies.html
func (id packageID) arn(repositoryARN string) string {
	return strings.Replace(repositoryARN, ":repository/", ":package/", 1) + "/" + id.format + "/" + id.namespace + "/" + id.name
}

// shown is the name as its users write it.
func (id packageID) shown() string {
	if id.namespace == "" {
		return id.name
	}
	return "@" + id.namespace + "/" + id.name
}

// A pkg is a package with its versions, in the order they were published in.
type pkg struct {
	packageID
	versions []*version
	tags     map[string]string // npm's dist-tags: version by tag
}

// A version's parts never change, except that files can be added.
type version struct {
	name      string
	revision  string
	published time.Time
	summary   string
	homePage  string
	license   string
	assets    []asset
	manifest  map[string]json.RawMessage // npm: package.json as it was published
}

// An asset is a file.
type asset struct {
	name           string
	data           []byte
	sha256         string // in hexadecimal
	requiresPython string
}

func newAsset(name string, data []byte) asset {
	sum := sha256.Sum256(data)
	return asset{name: name, data: data, sha256: hex.EncodeToString(sum[:])}
}

func (p *pkg) version(name string) *version {
	for _, v := range p.versions {
		if v.name == name {
			return v
		}
	}
	return nil
}

func (v *version) asset(name string) *asset {
	for i := range v.assets {
		if v.assets[i].name == name {
			return &v.assets[i]
		}
	}
	return nil
}

// publish adds a version's file to a package, which is made if it is new.
// Publishing the same bytes again changes nothing and succeeds; other bytes under
// the same name are refused, and so is a second file where more is false.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/packages-overview.html
func (r *repository) publish(id packageID, v *version, more bool) error {
	p := r.packages[id]
	if p == nil {
		p = &pkg{packageID: id, tags: make(map[string]string)}
	}
	file := v.assets[0]
	old := p.version(v.name)
	switch {
	case old == nil:
		p.versions = append(p.versions, v)
	case old.asset(file.name) != nil && old.asset(file.name).sha256 == file.sha256:
	case old.asset(file.name) != nil || !more:
		return conflict("package-version", id.arn(r.arn), "The package version %s %s exists, with other content.", id.shown(), v.name)
	default:
		old.assets = append(old.assets, file)
	}
	r.packages[id] = p
	return nil
}

// A FormatNamed request says which repository it means, and of packages which
// format and namespace.
type FormatNamed struct {
	Named
	Format    string `json:"-" query:"format"`
	Namespace string `json:"-" query:"namespace"`
}

// ListPackagesInput is the input of ListPackages.
type ListPackagesInput struct {
	FormatNamed
	PackagePrefix string `json:"-" query:"package-prefix"`
	Publish       string `json:"-" query:"publish"`
	Upstream      string `json:"-" query:"upstream"`
	NextToken     string `json:"-" query:"next-token"`
}

// Origin says where versions of a package may come from.
type Origin struct {
	Restrictions struct {
		Publish  string `json:"publish"`
		Upstream string `json:"upstream"`
	} `json:"restrictions"`
}

// published is the origin of packages that came to the repository by being
// published there.
func published() Origin {
	var o Origin
	o.Restrictions.Publish, o.Restrictions.Upstream = "ALLOW", "BLOCK"
	return o
}

// PackageSummary names a package.
type PackageSummary struct {
	Format              string `json:"format"`
	Namespace           string `json:"namespace,omitempty"`
	Package             string `json:"package"`
	OriginConfiguration Origin `json:"originConfiguration"`
}

// ListPackagesOutput has packages.
type ListPackagesOutput struct {
	Packages []PackageSummary `json:"packages"`
}

// ListPackages lists the packages of a repository.
func (s *Service) ListPackages(c *authz.Call, in *ListPackagesInput) (*ListPackagesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, in.Named, "ListPackages")
	if err != nil {
		return nil, err
	}
	if err := onePage("ListPackages", in.NextToken); err != nil {
		return nil, err
	}
	out := &ListPackagesOutput{Packages: []PackageSummary{}}
	if in.Publish == "BLOCK" || in.Upstream == "ALLOW" {
		return out, nil // there are none such
	}
	for id := range r.packages {
		if strings.HasPrefix(id.name, in.PackagePrefix) &&
			(in.Format == "" || id.format == in.Format) && (in.Namespace == "" || id.namespace == in.Namespace) {
			out.Packages = append(out.Packages, PackageSummary{id.format, id.namespace, id.name, published()})
		}
	}
	slices.SortFunc(out.Packages, func(a, b PackageSummary) int {
		return cmp.Or(cmp.Compare(a.Format, b.Format), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Package, b.Package))
	})
	return out, nil
}

// A PackageNamed request says which package it means.
type PackageNamed struct {
	FormatNamed
	Package string `json:"-" query:"package"`
}

func (in *PackageNamed) id() packageID {
	id := packageID{in.Format, in.Namespace, in.Package}
	if id.format == pypi {
		id.name = normalize(id.name)
	}
	return id
}

// findPackage returns a package after authorising the action on it. The caller
// holds the lock.
func (s *Service) findPackage(c *authz.Call, in PackageNamed, operation string) (*repository, *pkg, error) {
	if err := checkFormat(operation, in.Format); err != nil {
		return nil, nil, err
	}
	if in.Package == "" {
		return nil, nil, invalid("package must not be empty.")
	}
	id := in.id()
	r, err := s.find(c, in.Named, operation, id.arn)
	if err != nil {
		return nil, nil, err
	}
	p := r.packages[id]
	if p == nil {
		return nil, nil, notFound("package", id.arn(r.arn), "Package not found: %s.", wire.Clip(id.shown()))
	}
	return r, p, nil
}

// DescribePackageOutput shows a package.
type DescribePackageOutput struct {
	Package struct {
		Format              string `json:"format"`
		Namespace           string `json:"namespace,omitempty"`
		Name                string `json:"name"`
		OriginConfiguration Origin `json:"originConfiguration"`
	} `json:"package"`
}

// DescribePackage shows a package.
func (s *Service) DescribePackage(c *authz.Call, in *PackageNamed) (*DescribePackageOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p, err := s.findPackage(c, *in, "DescribePackage")
	if err != nil {
		return nil, err
	}
	out := &DescribePackageOutput{}
	out.Package.Format, out.Package.Namespace, out.Package.Name = p.format, p.namespace, p.name
	out.Package.OriginConfiguration = published()
	return out, nil
}

// ListPackageVersionsInput is the input of ListPackageVersions.
type ListPackageVersionsInput struct {
	PackageNamed
	Status     string `json:"-" query:"status"`
	SortBy     string `json:"-" query:"sortBy"`
	OriginType string `json:"-" query:"originType"`
	NextToken  string `json:"-" query:"next-token"`
}

// VersionOrigin says how a version came into the repository.
type VersionOrigin struct {
	DomainEntryPoint struct {
		RepositoryName string `json:"repositoryName"`
	} `json:"domainEntryPoint"`
	OriginType string `json:"originType"`
}

func (r *repository) origin() VersionOrigin {
	o := VersionOrigin{OriginType: "INTERNAL"}
	o.DomainEntryPoint.RepositoryName = r.name
	return o
}

// VersionSummary names a version.
type VersionSummary struct {
	Version  string        `json:"version"`
	Revision string        `json:"revision"`
	Status   string        `json:"status"`
	Origin   VersionOrigin `json:"origin"`
}

// ListPackageVersionsOutput has the versions of a package.
type ListPackageVersionsOutput struct {
	DefaultDisplayVersion string           `json:"defaultDisplayVersion,omitempty"`
	Format                string           `json:"format"`
	Namespace             string           `json:"namespace,omitempty"`
	Package               string           `json:"package"`
	Versions              []VersionSummary `json:"versions"`
}

// ListPackageVersions lists the versions of a package, the newest first.
func (s *Service) ListPackageVersions(c *authz.Call, in *ListPackageVersionsInput) (*ListPackageVersionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, p, err := s.findPackage(c, in.PackageNamed, "ListPackageVersions")
	if err != nil {
		return nil, err
	}
	if err := onePage("ListPackageVersions", in.NextToken); err != nil {
		return nil, err
	}
	out := &ListPackageVersionsOutput{Format: p.format, Namespace: p.namespace, Package: p.name, Versions: []VersionSummary{}}
	if out.DefaultDisplayVersion = p.tags["latest"]; out.DefaultDisplayVersion == "" {
		out.DefaultDisplayVersion = p.versions[len(p.versions)-1].name
	}
	if in.Status != "" && in.Status != statusPublished || in.OriginType != "" && in.OriginType != "INTERNAL" {
		return out, nil
	}
	for _, v := range slices.Backward(p.versions) {
		out.Versions = append(out.Versions, VersionSummary{v.name, v.revision, statusPublished, r.origin()})
	}
	return out, nil
}

// statusPublished is the only status of versions here.
const statusPublished = "Published"

// DescribePackageVersionInput is the input of DescribePackageVersion.
type DescribePackageVersionInput struct {
	PackageNamed
	PackageVersion string `json:"-" query:"version"`
}

// License is a license's name.
type License struct {
	Name string `json:"name"`
}

// PackageVersion describes a version of a package.
type PackageVersion struct {
	Format        string          `json:"format"`
	Namespace     string          `json:"namespace,omitempty"`
	PackageName   string          `json:"packageName"`
	DisplayName   string          `json:"displayName"`
	Version       string          `json:"version"`
	Summary       string          `json:"summary,omitempty"`
	HomePage      string          `json:"homePage,omitempty"`
	PublishedTime *wire.Timestamp `json:"publishedTime"`
	Licenses      []License       `json:"licenses"`
	Revision      string          `json:"revision"`
	Status        string          `json:"status"`
	Origin        VersionOrigin   `json:"origin"`
}

// DescribePackageVersionOutput shows a version.
type DescribePackageVersionOutput struct {
	PackageVersion PackageVersion `json:"packageVersion"`
}

// DescribePackageVersion shows a version of a package.
func (s *Service) DescribePackageVersion(c *authz.Call, in *DescribePackageVersionInput) (*DescribePackageVersionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, p, err := s.findPackage(c, in.PackageNamed, "DescribePackageVersion")
	if err != nil {
		return nil, err
	}
	v := p.version(in.PackageVersion)
	if v == nil {
		return nil, notFound("package-version", p.arn(r.arn), "Package version not found: %s %s.", p.shown(), wire.Clip(in.PackageVersion))
	}
	out := PackageVersion{
		Format: p.format, Namespace: p.namespace, PackageName: p.name, DisplayName: p.name, Version: v.name, Summary: v.summary, HomePage: v.homePage,
		PublishedTime: wire.At(v.published), Licenses: []License{}, Revision: v.revision, Status: statusPublished, Origin: r.origin(),
	}
	if v.license != "" {
		out.Licenses = []License{{v.license}}
	}
	return &DescribePackageVersionOutput{out}, nil
}
