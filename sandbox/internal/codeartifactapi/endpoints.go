package codeartifactapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/restjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// The formats whose endpoints the sandbox has.
const (
	npm  = "npm"
	pypi = "pypi"
)

// otherFormats are those it has not.
const otherFormats = " maven nuget generic ruby swift cargo "

// MaxPackage limits what can be published in one request, in bytes.
const MaxPackage = 64 << 20

// localEndpoints begins the paths of endpoints where the host does not say which
// domain it is: /codeartifact/shop-111111111111/us-east-1/npm/clients/.
const localEndpoints = "/codeartifact/"

// An Endpoint is where the packages of one format in one repository are.
type Endpoint struct {
	Domain, Owner, Region string

	format     string
	repository string
	path       []string // below the endpoint, unescaped
	base       string   // the endpoint's own URL, with a slash at its end
}

// endpointHost is the name of a domain's endpoints, before the partition's
// suffix: shop-111111111111.d.codeartifact.us-east-1.
var endpointHost = regexp.MustCompile(`^([a-z][a-z0-9-]*)-(\d{12})\.d\.codeartifact\.([a-z0-9-]+)\.`)

var domainAndOwner = regexp.MustCompile(`^([a-z][a-z0-9-]*)-(\d{12})$`)

// FindEndpoint returns the endpoint that a request is for, and false if it is for
// none. The request is one to a name of AWS, or to a local address.
func FindEndpoint(r *http.Request, local bool) (Endpoint, bool) {
	path := r.URL.EscapedPath()
	var e Endpoint
	prefix := "/"
	if local {
		rest, ok := strings.CutPrefix(path, localEndpoints)
		if !ok {
			return e, false
		}
		name, rest, _ := strings.Cut(rest, "/")
		if m := domainAndOwner.FindStringSubmatch(name); m != nil {
			e.Domain, e.Owner = m[1], m[2]
		}
		e.Region, path, _ = strings.Cut(rest, "/")
		prefix = localEndpoints + name + "/" + e.Region + "/"
	} else {
		m := endpointHost.FindStringSubmatch(strings.ToLower(r.Host))
		if m == nil {
			return e, false
		}
		e.Domain, e.Owner, e.Region, path = m[1], m[2], m[3], strings.TrimPrefix(path, "/")
	}
	var rest string
	e.format, rest, _ = strings.Cut(path, "/")
	e.repository, rest, _ = strings.Cut(rest, "/")
	if plain, err := url.PathUnescape(rest); err == nil {
		e.path = strings.Split(plain, "/")
	}
	e.base = scheme(r) + "://" + r.Host + prefix + e.format + "/" + e.repository + "/"
	return e, true
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// An address is where a request was sent, which decides what endpoints are
// called: clients of a local address could not reach AWS's names.
type address struct {
	scheme, host string
	suffix       string // of AWS's names, if the host is one of them
}

func newAddress(r *http.Request) address {
	a := address{scheme: scheme(r), host: r.Host}
	for _, p := range iam.Partitions() {
		if strings.HasSuffix(strings.ToLower(r.Host), "."+p.DNSSuffix) {
			a.suffix = p.DNSSuffix
		}
	}
	return a
}

// endpoint is the URL of a repository's endpoint.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/npm-auth.html
func (a address) endpoint(r *repository, format string) string {
	name, rest := r.domain.name+"-"+string(r.domain.owner), format+"/"+r.name+"/"
	if a.suffix != "" {
		return "https://" + name + ".d.codeartifact." + r.domain.region + "." + a.suffix + "/" + rest
	}
	return a.scheme + "://" + a.host + localEndpoints + name + "/" + r.domain.region + "/" + rest
}

// GetRepositoryEndpointInput is the input of GetRepositoryEndpoint.
type GetRepositoryEndpointInput struct {
	Named
	Format       string `json:"-" query:"format"`
	EndpointType string `json:"-" query:"endpointType"`
}

// GetRepositoryEndpointOutput has a URL.
type GetRepositoryEndpointOutput struct {
	RepositoryEndpoint string `json:"repositoryEndpoint"`
}

// GetRepositoryEndpoint says where clients find the packages of a repository.
func (s addressed) GetRepositoryEndpoint(c *authz.Call, in *GetRepositoryEndpointInput) (*GetRepositoryEndpointOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, in.Named, "GetRepositoryEndpoint")
	if err != nil {
		return nil, err
	}
	if err := checkFormat("GetRepositoryEndpoint", in.Format); err != nil {
		return nil, err
	}
	if in.EndpointType != "" && in.EndpointType != "ipv4" {
		return nil, wire.NotImplemented("codeartifact", "GetRepositoryEndpoint with endpointType "+wire.Clip(in.EndpointType))
	}
	return &GetRepositoryEndpointOutput{s.address.endpoint(r, in.Format)}, nil
}

// checkFormat refuses formats that AWS or the sandbox does not have.
func checkFormat(operation, format string) error {
	switch {
	case format == npm || format == pypi:
		return nil
	case format != "" && strings.Contains(otherFormats, " "+format+" "):
		return wire.NotImplemented("codeartifact", operation+" with format "+format)
	}
	return invalid("format must be npm, pypi, maven, nuget, generic, ruby, swift or cargo.")
}

// Endpoints describes, for documentation, what package managers can do.
func Endpoints() []overview.Operation {
	return []overview.Operation{
		{Name: "npm: install, view, publish, dist-tag, ping", Real: true, Note: "one version for each request to publish; no upstreams"},
		{Name: "pip: install, download; twine: upload", Real: true, Note: "the simple API as HTML; no signatures, no metadata files"},
		{Name: "npm: unpublish, deprecate, audit, search, whoami"},
	}
}

// ServeEndpoint answers a package manager's request, which the caller of the
// token makes.
func (s *Service) ServeEndpoint(w http.ResponseWriter, r *http.Request, c *authz.Call, e Endpoint) {
	in := &visit{
		service: s, endpoint: e, request: r, call: c,
		named: Named{DomainNamed{e.Domain, e.Owner}, e.repository},
	}
	var err error
	switch {
	case e.format == npm:
		err = in.npm()
	case e.format == pypi:
		err = in.pypi()
	case strings.Contains(otherFormats, " "+e.format+" "):
		err = in.missing()
	default:
		err = notFound("repository", "", "The path of an endpoint begins with a format and a repository.")
	}
	if err != nil {
		WriteError(w, c.RequestID, err)
		return
	}
	w.Header().Set("Content-Type", in.kind)
	w.Header().Set("X-Amzn-Requestid", c.RequestID)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(in.body) // fails only if the client is gone
	}
}

// A visit is one request of a package manager. Its answer is written when the
// lock is free again: clients may be slow.
type visit struct {
	service  *Service
	endpoint Endpoint
	request  *http.Request
	call     *authz.Call
	named    Named

	kind string // of the answer's body
	body []byte
}

func (v *visit) missing() error {
	return wire.NotImplemented("codeartifact", v.endpoint.format+" "+v.request.Method+" "+wire.Clip(strings.Join(v.endpoint.path, "/")))
}

// read returns the repository if the caller may read it, for the operation that
// is then on record. The caller holds the lock.
func (v *visit) read(operation string) (*repository, error) {
	v.call.Operation = operation
	return v.service.findRepository(v.call, v.named, "ReadFromRepository")
}

// write returns the repository if the caller may do the action to a package of
// it. The caller holds the lock.
func (v *visit) write(operation, action string, id packageID) (*repository, error) {
	v.call.Operation = operation
	return v.service.find(v.call, v.named, action, id.arn)
}

// answer sets what will be answered.
func (v *visit) answer(kind string, body []byte) { v.kind, v.body = kind, body }

func (v *visit) answerJSON(out any) error {
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	v.answer("application/json", body)
	return nil
}

// isRead reports whether a request only reads.
func (v *visit) isRead() bool {
	return v.request.Method == http.MethodGet || v.request.Method == http.MethodHead
}

// WriteError answers a package manager with an error. The message is in the
// member error too, which npm shows.
func WriteError(w http.ResponseWriter, requestID string, err error) {
	e := *restjson.Refusal(err)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="codeartifact"`)
	}
	e.Fields = append(e.Fields[:len(e.Fields):len(e.Fields)], wire.Field{Name: "error", Value: e.Message})
	wire.WriteJSONError(w, requestID, &e)
}
