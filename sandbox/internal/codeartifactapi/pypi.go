package codeartifactapi

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What projects, versions and files may be called.
//
// https://packaging.python.org/en/latest/specifications/name-normalization/
var (
	pypiName    = regexp.MustCompile(`^(?i:[a-z0-9]|[a-z0-9][a-z0-9._-]{0,200}[a-z0-9])$`)
	pypiVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.!+_-]{0,100}$`)
	pypiFile    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.!+_-]{0,250}\.(?:whl|tar\.gz|zip)$`)
	separators  = regexp.MustCompile(`[-_.]+`)
)

// normalize returns the name by which a project is found, however it is written.
func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// pypi answers one request of pip or twine. Both ask for folders, whose paths end
// with a slash.
//
// https://packaging.python.org/en/latest/specifications/simple-repository-api/
func (v *visit) pypi() error {
	path := slices.DeleteFunc(slices.Clone(v.endpoint.path), func(part string) bool { return part == "" })
	switch {
	case len(path) == 0 && v.request.Method == http.MethodPost:
		return v.upload()
	case !v.isRead() || len(path) == 0 || path[0] != "simple":
		return v.missing()
	case len(path) == 1:
		return v.projects()
	case len(path) == 2:
		return v.files(path[1])
	case len(path) == 4:
		return v.file(path[1], path[2], path[3])
	}
	return v.missing()
}

// page writes a page of links. Each is a path below the endpoint's simple/, what
// it says, and further attributes.
func (v *visit) page(title string, links [][3]string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html>\n<head><meta name=\"pypi:repository-version\" content=\"1.0\"><title>%s</title></head>\n<body>\n", html.EscapeString(title))
	for _, link := range links {
		fmt.Fprintf(&b, "<a href=\"%ssimple/%s\"%s>%s</a><br>\n", html.EscapeString(v.endpoint.base), html.EscapeString(link[0]), link[2], html.EscapeString(link[1]))
	}
	b.WriteString("</body>\n</html>\n")
	v.answer("text/html; charset=utf-8", b.Bytes())
}

func (v *visit) projects() error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	r, err := v.read("ListProjects")
	if err != nil {
		return err
	}
	var links [][3]string
	for id := range r.packages {
		if id.format == pypi {
			links = append(links, [3]string{id.name + "/", id.name, ""})
		}
	}
	slices.SortFunc(links, func(a, b [3]string) int { return strings.Compare(a[0], b[0]) })
	v.page("Projects", links)
	return nil
}

func (v *visit) files(name string) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("ListFiles", packageID{format: pypi, name: normalize(name)})
	if err != nil {
		return err
	}
	var links [][3]string
	for _, x := range p.versions {
		for _, a := range x.assets {
			attribute := ""
			if a.requiresPython != "" {
				attribute = ` data-requires-python="` + html.EscapeString(a.requiresPython) + `"`
			}
			links = append(links, [3]string{p.name + "/" + url.PathEscape(x.name) + "/" + url.PathEscape(a.name) + "#sha256=" + a.sha256, a.name, attribute})
		}
	}
	v.page(p.name, links)
	return nil
}

func (v *visit) file(name, number, file string) error {
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	p, err := v.readPackage("GetFile", packageID{format: pypi, name: normalize(name)})
	if err != nil {
		return err
	}
	if x := p.version(number); x != nil {
		if a := x.asset(file); a != nil {
			v.answer("application/octet-stream", a.data)
			return nil
		}
	}
	return notFound("asset", "", "Asset not found.")
}

// upload takes a file as twine sends it.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/python-run-twine.html
func (v *visit) upload() error {
	body, err := v.sent()
	if err != nil {
		return err
	}
	fields, file, err := readForm(v.request.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	name, number := fields["name"], fields["version"]
	switch {
	case fields[":action"] != "file_upload":
		return v.missing()
	case !pypiName.MatchString(name) || !pypiVersion.MatchString(number):
		return invalid("The form has no name or no version, or one that is not allowed.")
	case !pypiFile.MatchString(file.name):
		return invalid("The form has no file whose name ends with .whl, .tar.gz or .zip.")
	case fields["sha256_digest"] != "" && !strings.EqualFold(fields["sha256_digest"], file.sha256):
		return invalid("sha256_digest is not the file's.")
	}
	file.requiresPython = fields["requires_python"]
	id := packageID{format: pypi, name: normalize(name)}
	v.service.mu.Lock()
	defer v.service.mu.Unlock()
	r, err := v.write("PublishPackageVersion", "PublishPackageVersion", id)
	if err != nil {
		return err
	}
	if err := r.publish(id, &version{
		name: number, revision: file.sha256[:40], published: v.call.Now, assets: []asset{file},
		summary: fields["summary"], homePage: fields["home_page"], license: fields["license"],
	}, true); err != nil {
		return err
	}
	return v.answerJSON(struct{}{})
}

// readForm reads the fields of a form and the file in it.
func readForm(kind string, body []byte) (map[string]string, asset, error) {
	bad := invalid("The body is not the form that twine uploads.")
	r := &http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(body))}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, asset{}, bad
	}
	fields, file := make(map[string]string), asset{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return fields, file, nil
		}
		if err != nil {
			return nil, asset{}, bad
		}
		data, err := readPart(part)
		if err != nil {
			return nil, asset{}, bad
		}
		if part.FormName() == "content" {
			file = newAsset(part.FileName(), data)
		} else if _, again := fields[part.FormName()]; !again {
			fields[part.FormName()] = string(data)
		}
	}
}

func readPart(part *multipart.Part) ([]byte, error) {
	defer part.Close()
	return io.ReadAll(part)
}
