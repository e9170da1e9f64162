package s3api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// The form of X-Amz-Date.
func parseSigningTime(s string) (time.Time, error) { return time.Parse("20060102T150405Z", s) }

// getObject serves GetObject and HeadObject.
func (q *request) getObject() error {
	if q.query.Has("partNumber") {
		return wire.NotImplemented("s3", "reading by partNumber")
	}
	if err := q.refuseCustomerKeys(); err != nil {
		return err
	}
	q.s.mu.RLock()
	b, v, err := q.readable()
	q.s.mu.RUnlock()
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("ETag", v.etag)
	h.Set("Last-Modified", httpTime(v.modified))
	if failed := q.readConditions(v, "If-"); failed != nil {
		return failed
	}
	// Whoever asks for neither content nor checksum needs no key.
	// https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
	if q.http.Method != http.MethodHead || q.wantsChecksum() {
		if err := q.open(b, v.sealed); err != nil {
			return err
		}
	}
	if err := q.describe(v); err != nil {
		return err
	}
	body, status, err := q.cut(v.body)
	if err != nil {
		return err
	}
	q.status, q.answer = status, body
	return nil
}

// readable returns the version to read and its bucket, and sets the headers that
// depend on the bucket.
func (q *request) readable() (*bucket, *version, error) {
	b, err := q.bucket()
	if err != nil {
		return nil, nil, err
	}
	v, err := q.find(b, q.key, q.query.Get("versionId"), "s3:GetObject", "s3:GetObjectVersion")
	if err != nil {
		return nil, nil, err
	}
	if b.versioning != versioningNever {
		q.w.Header().Set("X-Amz-Version-Id", v.id)
	}
	return b, v, nil
}

func (q *request) wantsChecksum() bool {
	return strings.EqualFold(q.header("X-Amz-Checksum-Mode"), "ENABLED")
}

// describe sets the headers that say what the object is.
func (q *request) describe(v *version) error {
	h := q.w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "binary/octet-stream")
	v.sealed.describe(h)
	for name, value := range v.headers {
		h.Set(name, value)
	}
	for name, value := range v.metadata {
		h["x-amz-meta-"+name] = []string{value} // in lower case, as S3 writes them and boto3 passes them on
	}
	if len(v.tags) > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(len(v.tags)))
	}
	if v.storageClass != storageStandard {
		h.Set("X-Amz-Storage-Class", v.storageClass)
	}
	if q.wantsChecksum() && q.header("Range") == "" {
		h.Set(v.checksum.header(), v.checksum.value)
		h.Set("X-Amz-Checksum-Type", v.checksum.kind())
	}
	return q.overrideHeaders()
}

// The headers that a reader may choose in the query of a signed request.
var overridable = []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires"}

func (q *request) overrideHeaders() error {
	for _, name := range overridable {
		parameter := "response-" + strings.ToLower(name)
		if !q.query.Has(parameter) {
			continue
		}
		if q.call.Caller.Anonymous() {
			return refuse(http.StatusBadRequest, "InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
		}
		q.w.Header().Set(name, q.query.Get(parameter))
	}
	return nil
}

// readConditions applies the conditional headers, which all begin with prefix:
// "If-" of a read, "X-Amz-Copy-Source-If-" of a copy. When If-Match holds,
// If-Unmodified-Since is not looked at, and likewise If-None-Match and
// If-Modified-Since.
//
// https://datatracker.ietf.org/doc/html/rfc7232#section-6
func (q *request) readConditions(v *version, prefix string) error {
	modified := v.modified.Truncate(time.Second)
	if match := q.header(prefix + "Match"); match != "" {
		if !matchesETag(match, v.etag) {
			return preconditionFailed(prefix + "Match")
		}
	} else if t, err := http.ParseTime(q.header(prefix + "Unmodified-Since")); err == nil && modified.After(t) {
		return preconditionFailed(prefix + "Unmodified-Since")
	}
	unchanged := false
	if match := q.header(prefix + "None-Match"); match != "" {
		unchanged = matchesETag(match, v.etag)
	} else if t, err := http.ParseTime(q.header(prefix + "Modified-Since")); err == nil {
		unchanged = !modified.After(t)
	}
	switch {
	case unchanged && prefix == "If-":
		return &wire.Error{Status: http.StatusNotModified, Code: "NotModified", Message: "Not Modified"}
	case unchanged:
		return preconditionFailed(prefix + "None-Match")
	}
	return nil
}

func matchesETag(list, etag string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == "*" || strings.Trim(item, `"`) == strings.Trim(etag, `"`) {
			return true
		}
	}
	return false
}

// cut returns the part of the body the Range header asks for. As S3 does, it
// ignores headers it cannot read and those that ask for several ranges.
func (q *request) cut(body []byte) (part []byte, status int, err error) {
	first, last, ok := parseRange(q.header("Range"), int64(len(body)))
	if !ok {
		return body, http.StatusOK, nil
	}
	if first >= int64(len(body)) || first > last {
		q.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(body)))
		return nil, 0, refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable",
			"RangeRequested", q.header("Range"), "ActualObjectSize", strconv.Itoa(len(body)))
	}
	last = min(last, int64(len(body))-1)
	q.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
	return body[first : last+1], http.StatusPartialContent, nil
}

// parseRange reads "bytes=1-3", "bytes=1-" and "bytes=-3". The range may lie
// behind the end of the body; then it is not satisfiable.
func parseRange(header string, size int64) (first, last int64, ok bool) {
	spec, found := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return 0, 0, false
	}
	if from == "" {
		n, err := strconv.ParseInt(to, 10, 64)
		if err != nil || n < 0 {
			return 0, 0, false
		}
		if n == 0 {
			return size, size, true
		}
		return max(0, size-n), size - 1, true
	}
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil || first < 0 {
		return 0, 0, false
	}
	if to == "" {
		return first, max(first, size-1), true
	}
	last, err = strconv.ParseInt(to, 10, 64)
	if err != nil || last < first {
		return 0, 0, false
	}
	return first, last, true
}
