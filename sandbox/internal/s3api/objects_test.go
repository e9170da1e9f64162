package s3api_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

func TestObjectRoundTrip(t *testing.T) {
	w := newWorld(t)
	w.bucket("round-trip")
	client := w.s3(owner)
	for _, key := range []string{"a", "dir/", "a b+c%2F?é&=", "/leading", "a//b/../c", "日本/語", strings.Repeat("k", 1024)} {
		body := "body of " + key
		put, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: ptr("round-trip"), Key: &key, Body: strings.NewReader(body),
			ContentType: ptr("text/x"), CacheControl: ptr("no-cache"), Metadata: map[string]string{"Shade": "blue"},
			Tagging: ptr("a=1&b=x%20y"),
		})
		w.want(err, "")
		sum := md5.Sum([]byte(body))
		if want := `"` + hex.EncodeToString(sum[:]) + `"`; err == nil && *put.ETag != want {
			t.Errorf("%q: ETag %s, want %s", key, *put.ETag, want)
		}
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: ptr("round-trip"), Key: &key, ChecksumMode: types.ChecksumModeEnabled})
		w.want(err, "")
		if err != nil {
			continue
		}
		got, err := io.ReadAll(out.Body) // the SDK verifies the checksum while it reads
		if string(got) != body || err != nil {
			t.Errorf("%q: read %q, %v", key, got, err)
		}
		if *out.ContentType != "text/x" || *out.CacheControl != "no-cache" || out.Metadata["shade"] != "blue" || *out.TagCount != 2 {
			t.Errorf("%q: headers %+v", key, out)
		}
		if out.ChecksumCRC32 == nil && out.ChecksumCRC64NVME == nil {
			t.Errorf("%q: no checksum was kept", key)
		}
		tags, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: ptr("round-trip"), Key: &key})
		w.want(err, "")
		if diff := cmp.Diff("a=1 b=x y", tagText(tags.TagSet)); diff != "" {
			t.Errorf("%q: tags %s", key, diff)
		}
	}
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr("round-trip"), Key: ptr(strings.Repeat("k", 1025))})
	w.want(err, "KeyTooLongError")
}

func tagText(tags []types.Tag) string {
	var parts []string
	for _, tag := range tags {
		parts = append(parts, *tag.Key+"="+*tag.Value)
	}
	return strings.Join(parts, " ")
}

func TestChecksumsAreVerified(t *testing.T) {
	w := newWorld(t)
	w.bucket("checksums")
	client := w.s3(owner)
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		put := func(mutate func(*s3.PutObjectInput)) error {
			in := &s3.PutObjectInput{Bucket: ptr("checksums"), Key: ptr(string(algorithm)), Body: strings.NewReader("hello"), ChecksumAlgorithm: algorithm}
			mutate(in)
			_, err := client.PutObject(t.Context(), in)
			return err
		}
		w.want(put(func(*s3.PutObjectInput) {}), "")
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("checksums"), Key: ptr(string(algorithm)), ChecksumMode: types.ChecksumModeEnabled})
		w.want(err, "")
		if head.ChecksumType != types.ChecksumTypeFullObject {
			t.Errorf("%s: type %s", algorithm, head.ChecksumType)
		}
	}
	// Known values of "hello": what other implementations say.
	for name, want := range map[string]string{"CRC32": "NhCmhg==", "CRC32C": "mnG7TA==", "SHA1": "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "CRC64NVME": "M3eFcAZSQlc="} {
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("checksums"), Key: &name, ChecksumMode: types.ChecksumModeEnabled})
		w.want(err, "")
		got := map[string]*string{"CRC32": head.ChecksumCRC32, "CRC32C": head.ChecksumCRC32C, "SHA1": head.ChecksumSHA1, "CRC64NVME": head.ChecksumCRC64NVME}[name]
		if got == nil || *got != want {
			t.Errorf("%s: got %v, want %s", name, got, want)
		}
	}
	wrong := func(mutate func(*s3.PutObjectInput)) error {
		in := &s3.PutObjectInput{Bucket: ptr("checksums"), Key: ptr("wrong"), Body: strings.NewReader("hello")}
		mutate(in)
		_, err := client.PutObject(t.Context(), in)
		return err
	}
	w.want(wrong(func(in *s3.PutObjectInput) { in.ChecksumCRC32 = ptr("AAAAAA==") }), "BadDigest")
	w.want(wrong(func(in *s3.PutObjectInput) { in.ChecksumSHA256 = ptr("AAAA") }), "InvalidRequest")
	w.want(wrong(func(in *s3.PutObjectInput) { in.ContentMD5 = ptr("1B2M2Y8AsgTpgAmY7PhCfg==") }), "BadDigest")
	w.want(wrong(func(in *s3.PutObjectInput) { in.ContentMD5 = ptr("no") }), "InvalidDigest")
	if _, err := get(t.Context(), client, "checksums", "wrong"); codeOf(err) != "NoSuchKey" {
		t.Errorf("an object with a wrong digest was stored: %v", err)
	}
}

func TestRanges(t *testing.T) {
	w := newWorld(t)
	w.bucket("ranges")
	w.put("ranges", "k", "0123456789")
	tests := []struct{ header, body, contentRange, code string }{
		{"bytes=0-3", "0123", "bytes 0-3/10", ""},
		{"bytes=8-99", "89", "bytes 8-9/10", ""},
		{"bytes=5-", "56789", "bytes 5-9/10", ""},
		{"bytes=-3", "789", "bytes 7-9/10", ""},
		{"bytes=-99", "0123456789", "bytes 0-9/10", ""},
		{"bytes=10-", "", "", "InvalidRange"},
		{"bytes=-0", "", "", "InvalidRange"},
		{"bytes=3-1", "0123456789", "", ""},
		{"bytes=0-1,3-4", "0123456789", "", ""},
		{"lines=0-1", "0123456789", "", ""},
	}
	for _, test := range tests {
		out, err := w.s3(owner).GetObject(t.Context(), &s3.GetObjectInput{Bucket: ptr("ranges"), Key: ptr("k"), Range: &test.header})
		w.want(err, test.code)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(out.Body)
		contentRange := ""
		if out.ContentRange != nil {
			contentRange = *out.ContentRange
		}
		if string(body) != test.body || contentRange != test.contentRange {
			t.Errorf("%s: %q, %q", test.header, body, contentRange)
		}
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	w.bucket("conditions")
	etag := *w.put("conditions", "k", "one").ETag
	made := w.now()
	read := func(mutate func(*s3.GetObjectInput)) int {
		in := &s3.GetObjectInput{Bucket: ptr("conditions"), Key: ptr("k")}
		mutate(in)
		_, err := w.s3(owner).GetObject(t.Context(), in)
		if err == nil {
			return 200
		}
		return statusOf(err)
	}
	for _, test := range []struct {
		name   string
		mutate func(*s3.GetObjectInput)
		want   int
	}{
		{"match", func(in *s3.GetObjectInput) { in.IfMatch = &etag }, 200},
		{"match other", func(in *s3.GetObjectInput) { in.IfMatch = ptr(`"x"`) }, 412},
		{"none match", func(in *s3.GetObjectInput) { in.IfNoneMatch = &etag }, 304},
		{"none match other", func(in *s3.GetObjectInput) { in.IfNoneMatch = ptr(`"x"`) }, 200},
		{"modified since before", func(in *s3.GetObjectInput) { in.IfModifiedSince = ptr(made.Add(-time.Hour)) }, 200},
		{"modified since then", func(in *s3.GetObjectInput) { in.IfModifiedSince = &made }, 304},
		{"unmodified since before", func(in *s3.GetObjectInput) { in.IfUnmodifiedSince = ptr(made.Add(-time.Hour)) }, 412},
		{"match wins over unmodified since", func(in *s3.GetObjectInput) { in.IfMatch = &etag; in.IfUnmodifiedSince = ptr(made.Add(-time.Hour)) }, 200},
	} {
		if got := read(test.mutate); got != test.want {
			t.Errorf("%s: status %d, want %d", test.name, got, test.want)
		}
	}
	write := func(key string, mutate func(*s3.PutObjectInput)) error {
		in := &s3.PutObjectInput{Bucket: ptr("conditions"), Key: &key, Body: strings.NewReader("two")}
		mutate(in)
		_, err := w.s3(owner).PutObject(t.Context(), in)
		return err
	}
	w.want(write("k", func(in *s3.PutObjectInput) { in.IfNoneMatch = ptr("*") }), "PreconditionFailed")
	w.want(write("new", func(in *s3.PutObjectInput) { in.IfNoneMatch = ptr("*") }), "")
	w.want(write("k", func(in *s3.PutObjectInput) { in.IfMatch = ptr(`"x"`) }), "PreconditionFailed")
	w.want(write("missing", func(in *s3.PutObjectInput) { in.IfMatch = &etag }), "NoSuchKey")
	if body, _ := get(t.Context(), w.s3(owner), "conditions", "k"); body != "one" {
		t.Errorf("a write whose condition failed left %q", body)
	}
	w.want(write("k", func(in *s3.PutObjectInput) { in.IfMatch = &etag }), "")
}

func TestVersioning(t *testing.T) {
	w := newWorld(t)
	w.bucket("versions")
	client, ctx := w.s3(owner), t.Context()
	w.put("versions", "k", "before")
	_, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: ptr("versions"), VersioningConfiguration: enabled})
	w.want(err, "")
	first := *w.put("versions", "k", "first").VersionId
	second := *w.put("versions", "k", "second").VersionId
	version := func(id string) (string, error) {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: ptr("versions"), Key: ptr("k"), VersionId: &id})
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(out.Body)
		return string(body), err
	}
	for id, want := range map[string]string{"null": "before", first: "first", second: "second"} {
		if got, err := version(id); got != want || err != nil {
			t.Errorf("version %s: %q, %v", id, got, err)
		}
	}
	marker, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: ptr("versions"), Key: ptr("k")})
	w.want(err, "")
	if marker.DeleteMarker == nil || !*marker.DeleteMarker {
		t.Errorf("DeleteObject made no marker: %+v", marker)
	}
	_, err = get(ctx, client, "versions", "k")
	w.want(err, "NoSuchKey")
	if headerOf(err, "X-Amz-Delete-Marker") != "true" {
		t.Error("the answer does not say that a delete marker is there")
	}
	_, err = version(*marker.VersionId)
	w.want(err, "MethodNotAllowed")
	_, err = version("none")
	w.want(err, "NoSuchVersion")

	var lines []string
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: ptr("versions"), MaxKeys: ptr(int32(2))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.DeleteMarkers {
			lines = append(lines, fmt.Sprintf("marker latest=%v", *m.IsLatest))
		}
		for _, v := range page.Versions {
			lines = append(lines, fmt.Sprintf("%s latest=%v", map[string]string{"null": "null", first: "first", second: "second"}[*v.VersionId], *v.IsLatest))
		}
	}
	if diff := cmp.Diff([]string{"marker latest=true", "second latest=false", "first latest=false", "null latest=false"}, lines); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}

	// Removing the marker brings the object back; removing a version is final.
	for _, id := range []string{*marker.VersionId, second} {
		_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: ptr("versions"), Key: ptr("k"), VersionId: &id})
		w.want(err, "")
	}
	if body, err := get(ctx, client, "versions", "k"); body != "first" || err != nil {
		t.Errorf("after removing the marker and the second version: %q, %v", body, err)
	}

	// While suspended, writes replace the null version only.
	_, err = client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: ptr("versions"), VersioningConfiguration: &types.VersioningConfiguration{Status: "Suspended"}})
	w.want(err, "")
	w.put("versions", "k", "null again")
	for id, want := range map[string]string{"null": "null again", first: "first"} {
		if got, err := version(id); got != want || err != nil {
			t.Errorf("version %s: %q, %v", id, got, err)
		}
	}
	_, err = client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: ptr("versions")})
	w.want(err, "BucketNotEmpty")
}

func TestListing(t *testing.T) {
	w := newWorld(t)
	w.bucket("listing")
	client, ctx := w.s3(owner), t.Context()
	for _, key := range []string{"a", "b/1", "b/2", "b/3/x", "c d+é", "b.txt", "b/0/y", "~"} {
		w.put("listing", key, key)
	}
	list := func(in s3.ListObjectsV2Input) (lines []string) {
		in.Bucket = ptr("listing")
		pages := s3.NewListObjectsV2Paginator(client, &in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				lines = append(lines, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				lines = append(lines, *p.Prefix+"…")
			}
			lines = append(lines, "|")
		}
		return lines
	}
	tests := []struct {
		name string
		in   s3.ListObjectsV2Input
		want string
	}{
		{"all", s3.ListObjectsV2Input{}, "a,b.txt,b/0/y,b/1,b/2,b/3/x,c d+é,~,|"},
		{"prefix", s3.ListObjectsV2Input{Prefix: ptr("b/")}, "b/0/y,b/1,b/2,b/3/x,|"},
		{"delimiter", s3.ListObjectsV2Input{Delimiter: ptr("/")}, "a,b.txt,c d+é,~,b/…,|"},
		{"both", s3.ListObjectsV2Input{Prefix: ptr("b/"), Delimiter: ptr("/")}, "b/1,b/2,b/0/…,b/3/…,|"},
		{"pages", s3.ListObjectsV2Input{MaxKeys: ptr(int32(3))}, "a,b.txt,b/0/y,|,b/1,b/2,b/3/x,|,c d+é,~,|"},
		{"pages of groups", s3.ListObjectsV2Input{MaxKeys: ptr(int32(1)), Delimiter: ptr("/")}, "a,|,b.txt,|,b/…,|,c d+é,|,~,|"},
		{"start after", s3.ListObjectsV2Input{StartAfter: ptr("b/2")}, "b/3/x,c d+é,~,|"},
		{"full page at the end", s3.ListObjectsV2Input{MaxKeys: ptr(int32(8))}, "a,b.txt,b/0/y,b/1,b/2,b/3/x,c d+é,~,|"},
		{"nothing", s3.ListObjectsV2Input{Prefix: ptr("zzz")}, "|"},
		{"encoded", s3.ListObjectsV2Input{Prefix: ptr("c"), EncodingType: "url"}, "c+d%2B%C3%A9,|"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, strings.Join(list(test.in), ",")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	first, err := client.ListObjects(ctx, &s3.ListObjectsInput{Bucket: ptr("listing"), MaxKeys: ptr(int32(3)), Delimiter: ptr("/")})
	w.want(err, "")
	if first.NextMarker == nil || *first.NextMarker != "b/" || len(first.Contents) != 2 || len(first.CommonPrefixes) != 1 {
		t.Errorf("ListObjects: %+v", first)
	}
	none, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: ptr("listing"), MaxKeys: ptr(int32(0))})
	w.want(err, "")
	if *none.IsTruncated || len(none.Contents) != 0 {
		t.Errorf("max-keys=0: %+v", none)
	}
}

func TestDeleteObjects(t *testing.T) {
	w := newWorld(t)
	w.bucket("delete-many")
	for _, key := range []string{"keep/a", "b", "c"} {
		w.put("delete-many", key, key)
	}
	cleaner := w.user(owner, "cleaner", allow("s3:DeleteObject", "arn:aws:s3:::delete-many/*"), deny("s3:DeleteObject", "arn:aws:s3:::delete-many/keep/*"))
	out, err := cleaner.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: ptr("delete-many"), Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: ptr("keep/a")}, {Key: ptr("b")}, {Key: ptr("never there")}},
	}})
	w.want(err, "")
	if len(out.Deleted) != 2 || len(out.Errors) != 1 || *out.Errors[0].Code != "AccessDenied" || *out.Errors[0].Key != "keep/a" {
		t.Errorf("deleted %v, errors %v", out.Deleted, out.Errors)
	}
	if _, err := get(t.Context(), w.s3(owner), "delete-many", "keep/a"); err != nil {
		t.Errorf("a refused deletion was made: %v", err)
	}
}

func TestCopy(t *testing.T) {
	w := newWorld(t)
	w.bucket("source")
	w.bucket("target")
	client, ctx := w.s3(owner), t.Context()
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: ptr("source"), Key: ptr("a b"), Body: strings.NewReader("x"), ContentType: ptr("text/x"), Metadata: map[string]string{"m": "1"}, Tagging: ptr("t=1")})
	w.want(err, "")
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: ptr("target"), Key: ptr("copied"), CopySource: ptr("source/a%20b")})
	w.want(err, "")
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: ptr("target"), Key: ptr("copied")})
	w.want(err, "")
	if *head.ContentType != "text/x" || head.Metadata["m"] != "1" {
		t.Errorf("the copy lost its headers: %+v", head)
	}
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: ptr("target"), Key: ptr("replaced"), CopySource: ptr("source/a%20b"), MetadataDirective: "REPLACE", ContentType: ptr("text/y")})
	w.want(err, "")
	head, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: ptr("target"), Key: ptr("replaced")})
	w.want(err, "")
	if *head.ContentType != "text/y" || len(head.Metadata) != 0 {
		t.Errorf("REPLACE kept the headers: %+v", head)
	}
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: ptr("source"), Key: ptr("a b"), CopySource: ptr("source/a%20b")})
	w.want(err, "InvalidRequest")

	writer := w.user(owner, "writer", allow("s3:PutObject*", "arn:aws:s3:::target/*"))
	_, err = writer.CopyObject(ctx, &s3.CopyObjectInput{Bucket: ptr("target"), Key: ptr("stolen"), CopySource: ptr("source/a%20b")})
	w.want(err, "AccessDenied")
}

func TestMultipart(t *testing.T) {
	w := newWorld(t)
	w.bucket("multipart")
	client, ctx := w.s3(owner), t.Context()
	one, two := bytes.Repeat([]byte("1"), 5<<20), []byte("the end")
	upload := func(algorithm types.ChecksumAlgorithm) *s3.CompleteMultipartUploadOutput {
		t.Helper()
		created, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("k"), ContentType: ptr("text/x"), ChecksumAlgorithm: algorithm})
		w.want(err, "")
		var parts []types.CompletedPart
		for i, body := range [][]byte{one, two} {
			part, err := client.UploadPart(ctx, &s3.UploadPartInput{Bucket: ptr("multipart"), Key: ptr("k"), UploadId: created.UploadId, PartNumber: ptr(int32(i + 1)), Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
			w.want(err, "")
			parts = append(parts, types.CompletedPart{PartNumber: ptr(int32(i + 1)), ETag: part.ETag, ChecksumSHA256: part.ChecksumSHA256})
		}
		listed, err := client.ListParts(ctx, &s3.ListPartsInput{Bucket: ptr("multipart"), Key: ptr("k"), UploadId: created.UploadId})
		w.want(err, "")
		if len(listed.Parts) != 2 || *listed.Parts[0].Size != 5<<20 {
			t.Errorf("ListParts: %+v", listed.Parts)
		}
		_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("k"), UploadId: created.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{parts[1], parts[0]}}})
		w.want(err, "InvalidPartOrder")
		done, err := client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("k"), UploadId: created.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		w.want(err, "")
		_, err = client.ListParts(ctx, &s3.ListPartsInput{Bucket: ptr("multipart"), Key: ptr("k"), UploadId: created.UploadId})
		w.want(err, "NoSuchUpload")
		return done
	}
	whole := upload("")
	if !strings.HasSuffix(*whole.ETag, `-2"`) || whole.ChecksumType != types.ChecksumTypeFullObject {
		t.Errorf("ETag %s, checksum %s", *whole.ETag, whole.ChecksumType)
	}
	if body, err := get(ctx, client, "multipart", "k"); err != nil || body != string(one)+string(two) {
		t.Errorf("read %d bytes, %v", len(body), err)
	}
	composite := upload("SHA256")
	if composite.ChecksumType != types.ChecksumTypeComposite || !strings.HasSuffix(*composite.ChecksumSHA256, "-2") {
		t.Errorf("checksum %v %s", composite.ChecksumSHA256, composite.ChecksumType)
	}

	created, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("small")})
	w.want(err, "")
	var parts []types.CompletedPart
	for i := range int32(2) {
		part, err := client.UploadPart(ctx, &s3.UploadPartInput{Bucket: ptr("multipart"), Key: ptr("small"), UploadId: created.UploadId, PartNumber: ptr(i + 1), Body: strings.NewReader("x")})
		w.want(err, "")
		parts = append(parts, types.CompletedPart{PartNumber: ptr(i + 1), ETag: part.ETag})
	}
	_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("small"), UploadId: created.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	w.want(err, "EntityTooSmall")
	uploads, err := client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: ptr("multipart")})
	w.want(err, "")
	if len(uploads.Uploads) != 1 || *uploads.Uploads[0].Key != "small" {
		t.Errorf("ListMultipartUploads: %+v", uploads.Uploads)
	}
	_, err = client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: ptr("multipart"), Key: ptr("small"), UploadId: created.UploadId})
	w.want(err, "")
	_, err = get(ctx, client, "multipart", "small")
	w.want(err, "NoSuchKey")
}

func TestPresigned(t *testing.T) {
	w := newWorld(t)
	w.bucket("presigned")
	w.put("presigned", "k", "secret")
	signer := s3.NewPresignClient(w.s3(owner))
	link, err := signer.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: ptr("presigned"), Key: ptr("k"), ResponseContentType: ptr("text/z")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(method, url, body string) (int, http.Header, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return w.do(r)
	}
	status, header, body := fetch("GET", link.URL, "")
	if status != 200 || body != "secret" || header.Get("Content-Type") != "text/z" {
		t.Errorf("presigned GET: %d %q %v", status, body, header)
	}
	if status, _, body := fetch("GET", strings.Replace(link.URL, "/k?", "/other?", 1), ""); status != 403 || !strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>") {
		t.Errorf("the link opens another object: %d %s", status, body)
	}
	w.advance(2 * time.Minute)
	if status, _, body := fetch("GET", link.URL, ""); status != 403 || !strings.Contains(body, "Request has expired") {
		t.Errorf("after its time: %d %s", status, body)
	}
	w.advance(-2 * time.Minute)
	put, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr("presigned"), Key: ptr("up")})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := fetch("PUT", put.URL, "uploaded"); status != 200 {
		t.Errorf("presigned PUT: %d %s", status, body)
	}
	// Headers may be part of the URL; then they bind whoever uses it.
	sum, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr("presigned"), Key: ptr("sum"), ChecksumSHA256: ptr("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="), Tagging: ptr("a=1")})
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, sum.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range sum.SignedHeader {
			r.Header[name] = values
		}
		status, _, answer := w.do(r)
		return status, answer
	}
	if status, answer := send("xyz"); status != 400 || !strings.Contains(answer, "<Code>BadDigest</Code>") {
		t.Errorf("other content than was promised: %d %s", status, answer)
	}
	if status, answer := send("abc"); status != 200 {
		t.Errorf("the promised content: %d %s", status, answer)
	}
	if body, err := get(t.Context(), w.s3(owner), "presigned", "up"); body != "uploaded" || err != nil {
		t.Errorf("read %q, %v", body, err)
	}
}

// Of many writers that may create an object but not replace it, one wins.
func TestConcurrentCreation(t *testing.T) {
	w := newWorld(t)
	w.bucket("race")
	client := w.s3(owner)
	var wg sync.WaitGroup
	results := make([]string, 16)
	for i := range results {
		wg.Go(func() {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr("race"), Key: ptr("k"), Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: ptr("*")})
			results[i] = codeOf(err)
			_, _ = get(t.Context(), client, "race", "k")
			_, _ = client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: ptr("race")})
			_, _ = client.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: ptr("race"), Key: ptr("k"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: ptr("n"), Value: ptr(fmt.Sprint(i))}}}})
		})
	}
	wg.Wait()
	won := 0
	for i, code := range results {
		switch code {
		case "":
			won++
			if body, err := get(t.Context(), client, "race", "k"); body != fmt.Sprint(i) || err != nil {
				t.Errorf("writer %d won and the object holds %q, %v", i, body, err)
			}
		case "PreconditionFailed":
		default:
			t.Errorf("writer %d: %s", i, code)
		}
	}
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
}
