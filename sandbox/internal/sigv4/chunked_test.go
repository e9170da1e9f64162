package sigv4_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
)

// The requests of AWS's documentation, with the signatures it gives:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
const (
	documentedChunks = "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nAAA\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\nBBB\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	documentedTrailerChunks = "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\nAAA\r\n" +
		"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\nBBB\r\n" +
		"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
		"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
		"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	documentedLength = 65536 + 1024
)

var documentedAt = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func expandChunks(s string) string {
	s = strings.Replace(s, "AAA", strings.Repeat("a", 65536), 1)
	return strings.Replace(s, "BBB", strings.Repeat("a", 1024), 1)
}

func documentedRequest(body string) *http.Request {
	r, _ := http.NewRequest("PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt", strings.NewReader(body))
	r.ContentLength = int64(len(body))
	for name, value := range map[string]string{
		"X-Amz-Date":                   "20130524T000000Z",
		"X-Amz-Storage-Class":          "REDUCED_REDUNDANCY",
		"X-Amz-Content-Sha256":         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
		"Content-Encoding":             "aws-chunked",
		"X-Amz-Decoded-Content-Length": "66560",
		"Content-Length":               "66824",
		"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
			"SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class," +
			"Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	} {
		r.Header.Set(name, value)
	}
	r.Host = "s3.amazonaws.com"
	return r
}

func documentedTrailerRequest(body string) *http.Request {
	r := documentedRequest(body)
	r.Header.Del("Content-Length")
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
	r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"+
		"SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,"+
		"Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")
	return r
}

func TestDocumentedChunks(t *testing.T) {
	r := documentedRequest(expandChunks(documentedChunks))
	_, body, err := verify(r, documentedAt)
	if err != nil || body != strings.Repeat("a", documentedLength) {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if r.ContentLength != documentedLength || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("length %d, encoding %q", r.ContentLength, r.Header.Get("Content-Encoding"))
	}
}

func TestDocumentedTrailer(t *testing.T) {
	for _, end := range []string{"\r\n", "\n\r\n"} { // the documentation shows the second
		chunks := strings.Replace(documentedTrailerChunks, "==\r\n", "=="+end, 1)
		r := documentedTrailerRequest(expandChunks(chunks))
		_, body, err := verify(r, documentedAt)
		if err != nil || body != strings.Repeat("a", documentedLength) {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		if got := r.Trailer.Get("X-Amz-Checksum-Crc32c"); got != "sOO8/Q==" {
			t.Errorf("trailer %q", got)
		}
	}
}

func TestChunkTampering(t *testing.T) {
	tests := []struct {
		name, old, new string
		trailer        bool
		want           sigv4.Reason
	}{
		{"data", "AAA", "bAA", false, 0}, // replaced below: the length must stay
		{"first signature", "ad80", "ad81", false, sigv4.Mismatch},
		{"last signature", "b6c6", "b6c7", false, sigv4.Mismatch},
		{"no signature", ";chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "", false, sigv4.PayloadMalformed},
		{"size", "400;", "3ff;", false, sigv4.PayloadMalformed},
		{"size too large", "400;", "ffffffffffffffff;", false, sigv4.PayloadMalformed},
		{"size negative", "400;", "-400;", false, sigv4.PayloadMalformed},
		{"size with a sign", "400;", "+400;", false, sigv4.PayloadMalformed},
		{"chunk left out", "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\nBBB\r\n", "", false, sigv4.PayloadMalformed},
		{"last chunk left out", "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n", "", false, sigv4.PayloadMalformed},
		{"something after the end", "\r\n\r\n", "\r\n\r\nmore", false, sigv4.PayloadMalformed},
		{"trailer not announced", "\r\n\r\n", "\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", false, sigv4.PayloadMalformed},
		{"trailer value", "sOO8/Q==", "sOO8/Z==", true, sigv4.Mismatch},
		{"trailer signature", "d81f", "d81e", true, sigv4.Mismatch},
		{"trailer signature left out", "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n", "", true, sigv4.PayloadMalformed},
		{"trailers left out", "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n", "", true, sigv4.PayloadMalformed},
		{"trailer after its signature", "17fe2e435\r\n", "17fe2e435\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n", true, sigv4.PayloadMalformed},
		{"endless line", "400;", strings.Repeat("4", 1<<17), false, sigv4.PayloadMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, make := documentedChunks, documentedRequest
			if test.trailer {
				source, make = documentedTrailerChunks, documentedTrailerRequest
			}
			body := expandChunks(strings.Replace(source, test.old, test.new, 1))
			if test.name == "data" {
				body = strings.Replace(expandChunks(source), "aaaa\r\n400", "aaab\r\n400", 1)
				test.want = sigv4.Mismatch
			}
			if body == expandChunks(source) {
				t.Fatal("nothing was changed")
			}
			if _, _, err := verify(make(body), documentedAt); reasonOf(err) != test.want {
				t.Errorf("got %v, want reason %d", err, test.want)
			}
		})
	}
}

func TestChunksInSmallReads(t *testing.T) {
	r := documentedRequest("")
	r.Body = io.NopCloser(iotest.OneByteReader(strings.NewReader(expandChunks(documentedChunks))))
	if _, body, err := verify(r, documentedAt); err != nil || len(body) != documentedLength {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
}

func anonymousChunks(body string, length int) *http.Request {
	r, _ := http.NewRequest("PUT", "https://h.example/k", strings.NewReader(body))
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(length))
	r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
	r.Header.Set("Content-Encoding", "gzip, aws-chunked")
	return r
}

func TestUnsignedChunks(t *testing.T) {
	r := anonymousChunks("5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", 11)
	if err := sigv4.DecodeAnonymous(r); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "hello world" || r.Trailer.Get("X-Amz-Checksum-Crc32") != "DUoRhQ==" || r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%q, %v, trailer %v, header %v", body, err, r.Trailer, r.Header)
	}
}

func FuzzChunks(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", 5)
	f.Add("0\r\n\r\n", 0)
	f.Add("fffffffffffffff\r\n", 1)
	f.Fuzz(func(t *testing.T, body string, length int) {
		r := anonymousChunks(body, length)
		if err := sigv4.DecodeAnonymous(r); err != nil {
			return
		}
		decoded, err := io.ReadAll(r.Body)
		if err != nil {
			if reasonOf(err) != sigv4.PayloadMalformed {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if len(decoded) != length || !bytes.Contains([]byte(body), []byte("0\r\n")) && !strings.Contains(body, "0\n") && !strings.Contains(body, "0;") {
			t.Fatalf("decoded %d of %d bytes from %q", len(decoded), length, body)
		}
	})
}
