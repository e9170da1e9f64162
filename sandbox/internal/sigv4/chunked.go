package sigv4

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// A chunkSigner computes the signatures of a body's chunks, each of which
// covers the one before.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
type chunkSigner struct {
	key      []byte
	prefix   string // date and scope, each ending in a newline
	previous string // hexadecimal
}

func (c *chunkSigner) next(data hash.Hash) string {
	return c.sign("AWS4-HMAC-SHA256-PAYLOAD", emptyHash+"\n"+hex.EncodeToString(data.Sum(nil)))
}

func (c *chunkSigner) trailer(canonical string) string {
	return c.sign("AWS4-HMAC-SHA256-TRAILER", hexSHA256([]byte(canonical)))
}

func (c *chunkSigner) sign(kind, last string) string {
	c.previous = hex.EncodeToString(mac(c.key, kind+"\n"+c.prefix+c.previous+"\n"+last))
	return c.previous
}

// A chunkReader decodes an aws-chunked body:
//
//	SIZE-IN-HEX[;chunk-signature=HEX]\r\n DATA \r\n … 0[;chunk-signature=HEX]\r\n
//	[NAME:VALUE\r\n … [x-amz-trailer-signature:HEX\r\n]] \r\n
//
// Data is handed out before its signature can be checked, as the reader does
// not hold whole chunks; a wrong one makes a later Read fail, and io.EOF only
// comes after everything was right.
type chunkReader struct {
	src      *bufio.Reader
	closer   io.Closer
	signer   *chunkSigner // nil: chunks are not signed
	declared map[string]bool
	trailer  http.Header

	left    int64     // of the current chunk's data
	open    bool      // within a chunk
	hash    hash.Hash // of the current chunk
	want    string    // signature of the current chunk
	missing int64     // of the whole body
	err     error
}

// newChunkReader decodes body, which must have length bytes of data. Trailers
// other than the declared ones are refused; nil means there is no trailer part.
func newChunkReader(body io.ReadCloser, signer *chunkSigner, length int64, declared map[string]bool, trailer http.Header) *chunkReader {
	return &chunkReader{
		src:      bufio.NewReaderSize(body, 16<<10),
		closer:   body,
		signer:   signer,
		declared: declared,
		trailer:  trailer,
		hash:     sha256.New(),
		missing:  length,
	}
}

func (c *chunkReader) Close() error { return c.closer.Close() }

func (c *chunkReader) Read(p []byte) (int, error) {
	for c.err == nil && len(p) > 0 {
		switch {
		case !c.open:
			c.err = c.openChunk()
		case c.left > 0:
			n, err := c.src.Read(p[:min(int64(len(p)), c.left)])
			c.hash.Write(p[:n])
			c.left -= int64(n)
			c.missing -= int64(n)
			if err != nil {
				c.err = brokenOff(err)
			}
			if n > 0 {
				return n, nil
			}
		default:
			c.err = c.closeChunk()
		}
	}
	return 0, c.err
}

func brokenOff(err error) error {
	if errors.Is(err, io.EOF) {
		return fail(PayloadMalformed, "the aws-chunked body breaks off before its last chunk")
	}
	return err
}

// openChunk reads a chunk's header; for the last chunk also everything after
// it, and then returns io.EOF.
func (c *chunkReader) openChunk() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	if len(size) == 0 || len(size) > 16 {
		return fail(PayloadMalformed, "an aws-chunked body must have the size of each chunk in hexadecimal")
	}
	length, err := strconv.ParseUint(size, 16, 63)
	if err != nil {
		return fail(PayloadMalformed, "an aws-chunked body must have the size of each chunk in hexadecimal")
	}
	if int64(length) > c.missing {
		return fail(PayloadMalformed, "the aws-chunked body has more data than x-amz-decoded-content-length says")
	}
	c.want = ""
	if c.signer != nil {
		signature, ok := strings.CutPrefix(extension, "chunk-signature=")
		if !ok {
			return fail(PayloadMalformed, "a chunk of the body has no chunk-signature")
		}
		c.want = signature
	}
	c.hash.Reset()
	c.left, c.open = int64(length), true
	if length > 0 {
		return nil
	}
	if c.missing > 0 {
		return fail(PayloadMalformed, "the aws-chunked body has less data than x-amz-decoded-content-length says")
	}
	if err := c.checkChunk(); err != nil {
		return err
	}
	if err := c.readTrailer(); err != nil {
		return err
	}
	if _, err := c.src.ReadByte(); !errors.Is(err, io.EOF) {
		return fail(PayloadMalformed, "there is something after the last chunk of the body")
	}
	return io.EOF
}

// closeChunk checks a chunk whose data has been read.
func (c *chunkReader) closeChunk() error {
	c.open = false
	if line, err := c.line(); err != nil {
		return err
	} else if line != "" {
		return fail(PayloadMalformed, "a chunk of the body is longer than its size says")
	}
	return c.checkChunk()
}

func (c *chunkReader) checkChunk() error {
	if c.signer == nil {
		return nil
	}
	return equalSignature(c.signer.next(c.hash), c.want)
}

func equalSignature(computed, given string) error {
	if !hmac.Equal([]byte(computed), []byte(given)) {
		return fail(Mismatch, "The request signature we calculated does not match the signature you provided: the body was changed, or its chunks were signed with another key.")
	}
	return nil
}

const trailerSignature = "x-amz-trailer-signature"

func (c *chunkReader) readTrailer() error {
	var canonical strings.Builder
	for {
		line, err := c.line()
		var e *Error
		if errors.As(err, &e) && c.declared == nil && c.trailing() == 0 {
			return nil // without trailers, the last empty line may be missing
		}
		if err != nil {
			return err
		}
		if line == "" {
			if c.signer != nil && canonical.Len() > 0 {
				continue // some signers end trailers with a bare newline and then CRLF
			}
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		key := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !ok:
			return fail(PayloadMalformed, "a trailer of the body is not of the form name:value")
		case name == trailerSignature && c.signer != nil:
			if err := equalSignature(c.signer.trailer(canonical.String()), value); err != nil {
				return err
			}
			c.signer = nil // proven; nothing may follow
		case !c.declared[name] || c.trailer[key] != nil:
			return fail(PayloadMalformed, "the trailer %s was not announced by x-amz-trailer, or comes twice", clip(name))
		default:
			if c.signer != nil {
				canonical.WriteString(name + ":" + value + "\n")
			}
			c.trailer[key] = []string{value}
		}
	}
	for name := range c.declared {
		if c.trailer[textproto.CanonicalMIMEHeaderKey(name)] == nil {
			return fail(PayloadMalformed, "the trailer %s was announced by x-amz-trailer and is missing", clip(name))
		}
	}
	return nil
}

// trailing is how many bytes wait to be read.
func (c *chunkReader) trailing() int {
	rest, _ := c.src.Peek(1)
	return len(rest)
}

// line reads up to the end of a line, which may be no longer than the buffer.
func (c *chunkReader) line() (string, error) {
	line, err := c.src.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fail(PayloadMalformed, "a line of the aws-chunked body is too long")
	case err != nil:
		return "", brokenOff(err)
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}
