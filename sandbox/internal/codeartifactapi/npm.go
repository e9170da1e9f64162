package codeartifactapi

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// npmName and npmVersion are what packages and versions may be called.
var (
	npmName    = regexp.MustCompile(`^[a-z0-9_][a-z0-9._-]{0,213}$`)
	npmVersion = regexp.MustCompile(`^\d{1,16}\.\d{1,16}\.\d{1,16}(-[0-9A-Za-z.-]{1,100})?(\+[0-9A-Za-z.-]{1,100})?$`)
)

// npm answers one request of npm.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/npm-commands.html
func (v *visit) npm() error {
	path := v.endpoint.path
	if len(path) > 0 && path[0] == "-" {
		return v.npmTools(path[1:])
	}
	id, rest, ok := readNPMName(path)
	switch {
	case !ok:
		return notFound("package", "", "The path names no npm package.")
	case v.isRead() && len(rest) == 0:
		return v.packument(id)
	case v.isRead() && len(rest) == 1:
		return v.manifest(id, rest[0])
	case v.isRead() && len(rest) >= 2 && rest[0] == "-":
		return v.tarball(id, rest[len(rest)-1])
	case v.request.Method == http.MethodPut && len(rest) == 0:
		return v.publishNPM(id)
	}
	return v.missing()
}

// readNPMName splits a path at the end of the package's name.
func readNPMName(path []string) (packageID, []string, bool) {
	id := packageID{format: npm}
	if len(path) > 1 && strings.HasPrefix(path[0], "@") {
		id.namespace, path = path[0][1:], path[1:]
		if !npmName.MatchString(id.namespace) {
			return id, nil, false
		}
	}
	if len(path) == 0 || !npmName.MatchString(path[0]) {
		return id, nil, false
	}
	id.name = path[0]
	return id, path[1:], true
}

// npmTools answers what is not below a package.
func (v *visit) npmTools(path []string) error {
	if len(path) == 1 && path[0] == "ping" && v.isRead() {
		v.service.mu.Lock()
		defer v.service.mu.Unlock()
		if _, err := v.read("Ping"); err != nil {
			return err
		}
		return v.answerJSON(struct{}{})
	}
	if len(path) < 2 || path[0] != "package" {
		return v.missing()
	}
	id, rest, ok := readNPMName(path[1:])
	if !ok || len(rest) == 0 || rest[0] != "dist-tags" {
		return v.missing()
	}
	switch {
	case v.isRead() && len(rest) == 1:
		return v.distTags(id)
	case v.request.Method == http.MethodPut && len(rest) == 2:
		return v.setDistTag(id, rest[1])
	case v.request.Method == http.MethodDelete && len(rest) == 2:
		return v.deleteDistTag(id, rest[1])
	}
	return v.missing()
}

// readPackage returns a package that the caller may read. The caller holds the
// lock.
func (v *visit) readPackage(operation string, id packageID) (*pkg, error) {
	r, err := v.read(operation)
	if err != nil {
		return nil, err
	}
	return r.lookPackage(id)
}

func (r *repository) lookPackage(id packageID) (*pkg, error) {
	p := r.packages[id]
	if p == nil {
		return nil, notFound("package", id.arn(r.arn), "Package not found: %s.", id.shown())
	}
	return p, nil
}

// packument shows a package with all its versions.
func (v *visit) packument(id packageID) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("GetPackument", id)
	if err != nil {
		return err
	}
	name := id.shown()
	out := struct {
		ID       string                                `json:"_id"`
		Name     string                                `json:"name"`
		DistTags map[string]string                     `json:"dist-tags"`
		Versions map[string]map[string]json.RawMessage `json:"versions"`
		Time     map[string]time.Time                  `json:"time"`
	}{name, name, p.tags, make(map[string]map[string]json.RawMessage), make(map[string]time.Time)}
	for _, x := range p.versions {
		out.Versions[x.name], out.Time[x.name] = x.manifest, x.published.UTC()
		if err := v.pointTo(id, x, out.Versions); err != nil {
			return err
		}
	}
	return v.answerJSON(out)
}

// pointTo puts a version's manifest into versions, its tarball where the client
// reached the repository.
func (v *visit) pointTo(id packageID, x *version, versions map[string]map[string]json.RawMessage) error {
	var dist map[string]any
	if err := json.Unmarshal(x.manifest["dist"], &dist); err != nil {
		return err // it was read when it was published
	}
	dist["tarball"] = v.endpoint.base + id.shown() + "/-/" + x.assets[0].name
	text, err := json.Marshal(dist)
	if err != nil {
		return err
	}
	shown := make(map[string]json.RawMessage, len(x.manifest))
	for key, value := range x.manifest {
		shown[key] = value
	}
	shown["dist"] = text
	versions[x.name] = shown
	return nil
}

// manifest shows one version, named by its number or by a tag.
func (v *visit) manifest(id packageID, name string) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("GetManifest", id)
	if err != nil {
		return err
	}
	if tagged, ok := p.tags[name]; ok {
		name = tagged
	}
	x := p.version(name)
	if x == nil {
		return notFound("package-version", "", "Package version not found: %s %s.", id.shown(), wire.Clip(name))
	}
	versions := make(map[string]map[string]json.RawMessage)
	if err := v.pointTo(id, x, versions); err != nil {
		return err
	}
	return v.answerJSON(versions[x.name])
}

func (v *visit) tarball(id packageID, file string) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("GetTarball", id)
	if err != nil {
		return err
	}
	for _, x := range p.versions {
		if a := x.asset(file); a != nil {
			v.answer("application/octet-stream", a.data)
			return nil
		}
	}
	return notFound("asset", "", "Asset not found: %s.", wire.Clip(file))
}

// A publication is what npm publish sends.
type publication struct {
	Name        string                                `json:"name"`
	DistTags    map[string]string                     `json:"dist-tags"`
	Versions    map[string]map[string]json.RawMessage `json:"versions"`
	Attachments map[string]struct {
		Data []byte `json:"data"`
	} `json:"_attachments"`
}

// publishNPM takes a new version. Its tarball comes with it.
func (v *visit) publishNPM(id packageID) error {
	body, err := v.sent()
	if err != nil {
		return err
	}
	var in publication
	if err := json.Unmarshal(body, &in); err != nil {
		return invalid("The body is not what npm publish sends.")
	}
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	r, err := v.write("PublishPackageVersion", "PublishPackageVersion", id)
	if err != nil {
		return err
	}
	if len(in.Attachments) == 0 {
		return wire.NotImplemented("codeartifact", "npm changes of versions that are published")
	}
	x, err := in.version(id)
	if err != nil {
		return err
	}
	x.published = v.call.Now
	if err := r.publish(id, x, false); err != nil {
		return err
	}
	for tag := range in.DistTags {
		r.packages[id].tags[tag] = x.name
	}
	return v.answerJSON(map[string]bool{"ok": true})
}

// version checks a publication and makes a version of it.
func (in *publication) version(id packageID) (*version, error) {
	if in.Name != id.shown() || len(in.Versions) != 1 || len(in.Attachments) != 1 {
		return nil, invalid("npm publish must send one version with its tarball, of the package in the path.")
	}
	x := &version{}
	for name, manifest := range in.Versions {
		x.name, x.manifest = name, manifest
	}
	if !npmVersion.MatchString(x.name) {
		return nil, invalid("The version is not a semantic version.")
	}
	for tag, name := range in.DistTags {
		if name != x.name || tag == "" || len(tag) > 200 {
			return nil, invalid("dist-tags must name the version that is published.")
		}
	}
	var data []byte
	for _, attachment := range in.Attachments {
		data = attachment.Data
	}
	x.assets = []asset{newAsset(id.name+"-"+x.name+".tgz", data)}
	x.revision = x.assets[0].sha256[:40]
	var dist struct {
		Integrity string `json:"integrity"`
	}
	sum := sha512.Sum512(data)
	if err := json.Unmarshal(x.manifest["dist"], &dist); err != nil || dist.Integrity != "sha512-"+base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, invalid("dist.integrity of the version is not the tarball's.")
	}
	x.summary, x.homePage, x.license = text(x.manifest["description"]), text(x.manifest["homepage"]), text(x.manifest["license"])
	return x, nil
}

// text reads a member that is a text, "" if it is none.
func text(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return ""
	}
	return s
}

// sent reads what is to be published.
func (v *visit) sent() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(v.request.Body, MaxPackage+1))
	switch {
	case err != nil:
		return nil, invalid("The body cannot be read.")
	case len(body) > MaxPackage:
		return nil, wire.Errorf(http.StatusRequestEntityTooLarge, "ServiceQuotaExceededException", "The sandbox takes at most %d bytes in one request.", MaxPackage)
	}
	return body, nil
}

func (v *visit) distTags(id packageID) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("GetDistTags", id)
	if err != nil {
		return err
	}
	return v.answerJSON(p.tags)
}

// changePackage returns a package whose tags the caller may change. The caller
// holds the lock.
func (v *visit) changePackage(operation string, id packageID) (*pkg, error) {
	r, err := v.write(operation, "PutPackageMetadata", id)
	if err != nil {
		return nil, err
	}
	return r.lookPackage(id)
}

func (v *visit) setDistTag(id packageID, tag string) error {
	body, err := v.sent()
	if err != nil {
		return err
	}
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.changePackage("SetDistTag", id)
	if err != nil {
		return err
	}
	name := text(body)
	if tag == "" || len(tag) > 200 || p.version(name) == nil {
		return invalid("A tag has a name, and names a version of the package.")
	}
	p.tags[tag] = name
	return v.answerJSON(map[string]bool{"ok": true})
}

func (v *visit) deleteDistTag(id packageID, tag string) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.changePackage("DeleteDistTag", id)
	if err != nil {
		return err
	}
	if _, ok := p.tags[tag]; !ok || tag == "latest" {
		return invalid("There is no such tag, or it is latest.")
	}
	delete(p.tags, tag)
	return v.answerJSON(map[string]bool{"ok": true})
}
