package s3api

import (
	"encoding/base64"
	"encoding/xml"
	"net/url"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// maxListed is how many keys and common prefixes one page has at most.
const maxListed = 1000

// A listing is what all list operations ask for.
type listing struct {
	prefix, delimiter string
	after             string // keys up to this one were listed before
	max               int
	encode            func(string) string
	encoding          string
}

type owner struct {
	ID          string
	DisplayName string `xml:",omitempty"`
}

type commonPrefix struct{ Prefix string }

type objectEntry struct {
	Key               string
	LastModified      string
	ETag              string
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
	Size              int
	StorageClass      string
	Owner             *owner `xml:",omitempty"`
}

// listing reads the parameters that all list operations share.
func (q *request) listing() (listing, error) {
	l := listing{prefix: q.query.Get("prefix"), delimiter: q.query.Get("delimiter"), max: maxListed}
	if text := q.query.Get("max-keys"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return l, invalidArgument("max-keys", text, "Provided max-keys not an integer or within integer range")
		}
		if n < 0 {
			return l, invalidArgument("maxKeys", text, "Argument maxKeys must be an integer between 0 and 2147483647")
		}
		l.max = min(int(n), maxListed)
	}
	switch l.encoding = q.query.Get("encoding-type"); l.encoding {
	case "":
		l.encode = func(s string) string { return s }
	case "url":
		l.encode = encodeKey
	default:
		return l, invalidArgument("encoding-type", l.encoding, "Invalid Encoding Method specified in Request")
	}
	return l, nil
}

// encodeKey escapes a key for encoding-type=url: like a query, but slashes
// stay and spaces are pluses, which is what clients undo.
func encodeKey(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }

// listKeys adds the condition keys of listings, which are there only if the
// parameter is.
func (q *request) listKeys(c *iam.Context) {
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if q.query.Has(name) {
			c.Set("s3:"+name, q.query.Get(name))
		}
	}
}

// A page is what one list operation returns: versions and groups, together at
// most the listing's maximum.
type page struct {
	versions  []*version
	groups    []string
	last      *version // the last one listed, nil if that was a group
	lastName  string   // its key, or the group
	truncated bool
}

// cut makes a page of the versions, which are sorted by key and all lie after
// what was listed before. Keys that share the part up to the delimiter become
// one group.
func (l listing) cut(versions []*version) page {
	var p page
	for _, v := range versions {
		group, grouped := l.group(v.key)
		if grouped && (group == l.after || len(p.groups) > 0 && p.groups[len(p.groups)-1] == group) {
			continue
		}
		if len(p.versions)+len(p.groups) == l.max {
			// Asked for nothing, S3 says that nothing is left.
			p.truncated = l.max > 0
			return p
		}
		if grouped {
			p.groups = append(p.groups, group)
			p.last, p.lastName = nil, group
			continue
		}
		p.versions = append(p.versions, v)
		p.last, p.lastName = v, v.key
	}
	return p
}

// group returns the part of key up to the first delimiter behind the prefix.
func (l listing) group(key string) (string, bool) {
	if l.delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(l.prefix):], l.delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(l.prefix)+i+len(l.delimiter)], true
}

// objects returns the current objects to list, without deleted ones.
func (l listing) objects(b *bucket) []*version {
	var objects []*version
	for _, key := range b.keysFrom(l.prefix, l.after) {
		if v := b.object(key); v != nil && (l.after == "" || key > l.after) {
			objects = append(objects, v)
		}
	}
	return objects
}

func (l listing) prefixes(groups []string) []commonPrefix {
	list := make([]commonPrefix, len(groups))
	for i, group := range groups {
		list[i] = commonPrefix{l.encode(group)}
	}
	return list
}

func (l listing) entries(b *bucket, versions []*version, withOwner bool) []objectEntry {
	list := make([]objectEntry, len(versions))
	for i, v := range versions {
		list[i] = objectEntry{
			Key: l.encode(v.key), LastModified: isoTime(v.modified), ETag: v.etag,
			ChecksumAlgorithm: v.checksum.algorithm, ChecksumType: v.checksum.kind(),
			Size: len(v.body), StorageClass: v.storageClass,
		}
		if withOwner {
			list[i].Owner = &owner{ID: canonicalUser(b.owner)}
		}
	}
	return list
}

type listObjectsV2Result struct {
	XMLName xml.Name `xml:"ListBucketResult"`
	xmlns
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []objectEntry
	CommonPrefixes        []commonPrefix
}

// listObjectsV2 serves ListObjectsV2.
func (q *request) listObjectsV2() error {
	if q.query.Get("list-type") != "2" {
		return invalidArgument("list-type", q.query.Get("list-type"), "Invalid List Type specified in Request")
	}
	l, err := q.listing()
	if err != nil {
		return err
	}
	l.after = q.query.Get("start-after")
	token := q.query.Get("continuation-token")
	if q.query.Has("continuation-token") {
		after, err := base64.URLEncoding.DecodeString(token)
		if err != nil || token == "" {
			return invalidArgument("continuation-token", token, "The continuation token provided is incorrect")
		}
		l.after = string(after)
	}
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:ListBucket", b.arn(), q.listKeys); err != nil {
		return err
	}
	p := l.cut(l.objects(b))
	out := listObjectsV2Result{
		xmlns: inNamespace, Name: b.name, Prefix: l.encode(l.prefix), Delimiter: l.encode(l.delimiter),
		StartAfter: l.encode(q.query.Get("start-after")), ContinuationToken: token,
		KeyCount: len(p.versions) + len(p.groups), MaxKeys: l.max, EncodingType: l.encoding, IsTruncated: p.truncated,
		Contents: l.entries(b, p.versions, q.query.Get("fetch-owner") == "true"), CommonPrefixes: l.prefixes(p.groups),
	}
	if p.truncated {
		out.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(p.lastName))
	}
	return q.writeXML(out)
}

type listObjectsResult struct {
	XMLName xml.Name `xml:"ListBucketResult"`
	xmlns
	Name           string
	Prefix         string
	Marker         string
	NextMarker     string `xml:",omitempty"`
	Delimiter      string `xml:",omitempty"`
	MaxKeys        int
	EncodingType   string `xml:",omitempty"`
	IsTruncated    bool
	Contents       []objectEntry
	CommonPrefixes []commonPrefix
}

// listObjects serves ListObjects, the first version of the operation.
func (q *request) listObjects() error {
	l, err := q.listing()
	if err != nil {
		return err
	}
	l.after = q.query.Get("marker")
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:ListBucket", b.arn(), q.listKeys); err != nil {
		return err
	}
	p := l.cut(l.objects(b))
	out := listObjectsResult{
		xmlns: inNamespace, Name: b.name, Prefix: l.encode(l.prefix), Marker: l.encode(l.after), Delimiter: l.encode(l.delimiter),
		MaxKeys: l.max, EncodingType: l.encoding, IsTruncated: p.truncated,
		Contents: l.entries(b, p.versions, true), CommonPrefixes: l.prefixes(p.groups),
	}
	if p.truncated && l.delimiter != "" { // without a delimiter the last key says it
		out.NextMarker = l.encode(p.lastName)
	}
	return q.writeXML(out)
}

type listVersionsResult struct {
	XMLName xml.Name `xml:"ListVersionsResult"`
	xmlns
	Name                string
	Prefix              string
	KeyMarker           string
	VersionIDMarker     string `xml:"VersionIdMarker"`
	NextKeyMarker       string `xml:",omitempty"`
	NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
	Delimiter           string `xml:",omitempty"`
	MaxKeys             int
	EncodingType        string `xml:",omitempty"`
	IsTruncated         bool
	Versions            []versionEntry
	CommonPrefixes      []commonPrefix
}

// A versionEntry is a Version or a DeleteMarker element, which the answer
// mixes in the order of the keys.
type versionEntry struct {
	XMLName           xml.Name
	Key               string
	VersionID         string `xml:"VersionId"`
	IsLatest          bool
	LastModified      string
	ETag              string `xml:",omitempty"`
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
	Size              *int   `xml:",omitempty"`
	StorageClass      string `xml:",omitempty"`
	Owner             owner
}

// listObjectVersions serves ListObjectVersions.
func (q *request) listObjectVersions() error {
	l, err := q.listing()
	if err != nil {
		return err
	}
	l.after = q.query.Get("key-marker")
	marker := q.query.Get("version-id-marker")
	if marker != "" && l.after == "" {
		return invalidArgument("version-id-marker", marker, "A version-id marker cannot be specified without a key marker.")
	}
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:ListBucketVersions", b.arn(), q.listKeys); err != nil {
		return err
	}
	p := l.cut(l.allVersions(b, marker))
	out := listVersionsResult{
		xmlns: inNamespace, Name: b.name, Prefix: l.encode(l.prefix), KeyMarker: l.encode(l.after), VersionIDMarker: marker,
		Delimiter: l.encode(l.delimiter), MaxKeys: l.max, EncodingType: l.encoding, IsTruncated: p.truncated,
		CommonPrefixes: l.prefixes(p.groups),
	}
	for _, v := range p.versions {
		e := versionEntry{
			XMLName: xml.Name{Local: "Version"}, Key: l.encode(v.key), VersionID: v.id, IsLatest: b.current(v.key) == v,
			LastModified: isoTime(v.modified), Owner: owner{ID: canonicalUser(b.owner)},
		}
		if v.deleteMarker {
			e.XMLName.Local = "DeleteMarker"
		} else {
			size := len(v.body)
			e.ETag, e.Size, e.StorageClass = v.etag, &size, v.storageClass
			e.ChecksumAlgorithm, e.ChecksumType = v.checksum.algorithm, v.checksum.kind()
		}
		out.Versions = append(out.Versions, e)
	}
	if p.truncated {
		out.NextKeyMarker = l.encode(p.lastName)
		if p.last != nil {
			out.NextVersionIDMarker = p.last.id
		}
	}
	return q.writeXML(out)
}

// allVersions returns the versions to list: those after the marker of the key
// that was listed last, and all of the keys after it.
func (l listing) allVersions(b *bucket, marker string) []*version {
	var list []*version
	for _, key := range b.keysFrom(l.prefix, l.after) {
		versions := b.versions[key]
		if l.after != "" && key == l.after {
			i := 0
			for i < len(versions) && versions[i].id != marker {
				i++
			}
			versions = versions[min(i+1, len(versions)):]
		}
		list = append(list, versions...)
	}
	return list
}
