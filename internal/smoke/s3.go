package smoke

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// s3Calls are those of buckets and their objects. One byte of an object is read,
// and thrown away.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
var s3Calls = &service{
	calls: []call{
		s3Call("GetBucketLocation", http.MethodGet, url.Values{"location": {""}}),
		{action: "s3:ListBucket", learn: learnObject, request: func(t *target) (*request, string) {
			r := t.s3(http.MethodGet, url.Values{"list-type": {"2"}, "max-keys": {"1"}})
			if len(t.only.Prefixes) > 0 {
				r.query.Set("prefix", strings.TrimSuffix(t.only.Prefixes[0], "*"))
			}
			return r, ""
		}},
		s3Call("GetObject", http.MethodGet, nil, "NoSuchKey", "InvalidRange").unless(needsTags).learning(func(t *target, a *answer) {
			if t.known.version = a.version; a.version == "" && a.status < 300 {
				t.known.version = "null" // what buckets without versions call theirs
			}
		}),
		s3Call("GetObjectVersion", http.MethodGet, nil, "InvalidRange").unless(func(t *target) string {
			if t.known.version == "" {
				return "no object was seen, and of those that do not exist S3 says nothing"
			}
			return ""
		}),
		s3Call("ListMultipartUploadParts", http.MethodGet, url.Values{"uploadId": {probeName}}, "NoSuchUpload"),
		s3Call("AbortMultipartUpload", http.MethodDelete, url.Values{"uploadId": {probeName}}, "NoSuchUpload"),
		s3Call("PutObject", http.MethodPut, nil).writing(),
		s3Call("DeleteObject", http.MethodDelete, nil).writing(),
		s3Call("GetBucketVersioning", http.MethodGet, url.Values{"versioning": {""}}),
	},
	others: []string{"s3:GetBucketVersioning"},
}

// onObjects are actions whose resource is an object.
var onObjects = map[string]bool{"s3:GetObject": true, "s3:GetObjectVersion": true, "s3:ListMultipartUploadParts": true, "s3:AbortMultipartUpload": true, "s3:PutObject": true, "s3:DeleteObject": true}

func s3Call(operation, method string, query url.Values, passed ...string) call {
	return call{action: "s3:" + operation, passed: passed, request: func(t *target) (*request, string) {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		r := t.s3(method, q)
		if operation == "GetObject" || operation == "GetObjectVersion" {
			r.header = map[string]string{"Range": "bytes=0-0"}
		}
		if operation == "GetObjectVersion" {
			r.query.Set("versionId", t.known.version)
		}
		if method == http.MethodPut {
			r.body = []byte("-")
		}
		return r, ""
	}}
}

// s3 makes a request to the target's bucket or object. Names with dots have no
// certificate as part of a host name, so they go into the path.
func (t *target) s3(method string, query url.Values) *request {
	bucket, key, object := strings.Cut(t.arn.Resource, "/")
	host, path := bucket+".s3."+t.owner.Region, "/"
	local := "/" + bucket
	if strings.Contains(bucket, ".") {
		host, path, local = "s3."+t.owner.Region, "/"+bucket, ""
	}
	if object {
		if method != http.MethodPut && method != http.MethodDelete && t.known.object != "" && iam.MatchWildcard(t.pattern, "arn:"+t.owner.Partition+":s3:::"+bucket+"/"+t.known.object) {
			key = t.known.object
		}
		path = strings.TrimSuffix(path, "/") + "/" + escapeKey(key)
	}
	return &request{service: "s3", host: host, method: method, path: path, local: local, query: query}
}

// escapeKey escapes an object's key as Signature Version 4 does, all but slashes.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(parts[i]), "+", "%20")
	}
	return strings.Join(parts, "/")
}

func learnObject(t *target, a *answer) {
	var out struct{ Contents []struct{ Key string } }
	if xml.Unmarshal(a.body, &out) == nil && len(out.Contents) > 0 {
		t.known.object = out.Contents[0].Key
	}
}

func needsTags(t *target) string {
	if len(t.only.ObjectTags) > 0 && t.pattern != "" {
		return "only objects with certain tags may be read, and which have them is not known"
	}
	return ""
}
