package s3api

import (
	"encoding/xml"
	"net/http"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// deleteObject serves DeleteObject.
func (q *request) deleteObject() error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	result, err := q.deleteOne(b, deletion{Key: q.key, VersionID: q.query.Get("versionId"), ETag: q.header("If-Match")})
	if err != nil {
		return err
	}
	h := q.w.Header()
	if result.versionID != "" {
		h.Set("X-Amz-Version-Id", result.versionID)
	}
	if result.marker {
		h.Set("X-Amz-Delete-Marker", "true")
	}
	q.status = http.StatusNoContent
	return nil
}

// A deletion is one object to delete, as DeleteObjects lists them.
type deletion struct {
	Key              string  `xml:"Key"`
	VersionID        string  `xml:"VersionId"`
	ETag             string  `xml:"ETag"`
	LastModifiedTime *string `xml:"LastModifiedTime"`
	Size             *string `xml:"Size"`
}

type deleted struct {
	versionID string // of the version that was removed or of the marker that was made
	marker    bool   // it is or was a delete marker
}

// deleteOne deletes one version for good, or the object as its bucket's
// versioning wants it. Deleting what is not there is a success.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html
func (q *request) deleteOne(b *bucket, d deletion) (deleted, error) {
	if d.LastModifiedTime != nil || d.Size != nil {
		return deleted{}, wire.NotImplemented("s3", "conditional deletes by LastModifiedTime or Size")
	}
	action := "s3:DeleteObject"
	existing := b.object(d.Key)
	if d.VersionID != "" {
		action = "s3:DeleteObjectVersion"
		existing = b.version(d.Key, d.VersionID)
	}
	if err := q.authorize(b, action, b.objectARN(d.Key), all(existingTags(existing), versionKey(d.VersionID))); err != nil {
		return deleted{}, err
	}
	if d.ETag != "" {
		switch {
		case existing == nil:
			return deleted{}, noSuchKey(d.Key)
		case !matchesETag(d.ETag, existing.etag):
			return deleted{}, preconditionFailed("If-Match")
		}
	}
	if d.VersionID != "" {
		removed := b.remove(d.Key, d.VersionID)
		return deleted{d.VersionID, removed != nil && removed.deleteMarker}, nil
	}
	if b.versioning == versioningNever {
		b.remove(d.Key, nullVersion)
		return deleted{}, nil
	}
	marker := &version{key: d.Key, deleteMarker: true, modified: q.call.Now}
	b.add(marker, q.s.newID)
	return deleted{marker.id, true}, nil
}

type deleteRequest struct {
	XMLName xml.Name   `xml:"Delete"`
	Quiet   bool       `xml:"Quiet"`
	Objects []deletion `xml:"Object"`
}

type deleteResult struct {
	XMLName xml.Name `xml:"DeleteResult"`
	xmlns
	Deleted []deletedEntry
	Errors  []deleteError `xml:"Error"`
}

type deletedEntry struct {
	Key                   string
	VersionID             string `xml:"VersionId,omitempty"`
	DeleteMarker          bool   `xml:",omitempty"`
	DeleteMarkerVersionID string `xml:"DeleteMarkerVersionId,omitempty"`
}

type deleteError struct {
	Key       string
	VersionID string `xml:"VersionId,omitempty"`
	Code      string
	Message   string
}

// deleteObjects serves DeleteObjects: each object is authorised by itself, and
// a refusal of one does not stop the others.
func (q *request) deleteObjects() error {
	if q.header("Content-Md5") == "" && !hasChecksum(q.http) {
		return refuse(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	var in deleteRequest
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	if len(in.Objects) == 0 || len(in.Objects) > 1000 {
		return malformedXML()
	}
	out := deleteResult{xmlns: inNamespace}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	for _, d := range in.Objects {
		result, err := q.deleteOne(b, d)
		if err != nil {
			e := wire.AsError(err)
			out.Errors = append(out.Errors, deleteError{d.Key, d.VersionID, e.Code, e.Message})
			continue
		}
		if in.Quiet {
			continue
		}
		entry := deletedEntry{Key: d.Key, VersionID: d.VersionID, DeleteMarker: result.marker}
		if result.marker {
			entry.DeleteMarkerVersionID = result.versionID
		}
		out.Deleted = append(out.Deleted, entry)
	}
	return q.writeXML(out)
}

func hasChecksum(r *http.Request) bool {
	if r.Header.Get("X-Amz-Trailer") != "" {
		return true
	}
	for _, a := range checksumAlgorithms {
		if r.Header.Get(a.header()) != "" {
			return true
		}
	}
	return false
}

// isoTime is a time as S3 writes it in documents.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
