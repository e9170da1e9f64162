package sigv4

import (
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

// canonicalRequest writes the request as its signer must have seen it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#create-canonical-request
func (s *Signature) canonicalRequest(r *http.Request, payloadHash string) (string, error) {
	path, err := canonicalPath(r.URL.EscapedPath(), s.Scope.Service)
	if err != nil {
		return "", err
	}
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + query + "\n")
	for _, name := range s.SignedHeaders {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.SignedHeaders, ";") + "\n" + payloadHash)
	return b.String(), nil
}

// canonicalPath encodes the path once for S3 and, for all other services, once
// more on top of the encoding on the wire.
func canonicalPath(escaped, service string) (string, error) {
	if escaped == "" {
		escaped = "/"
	}
	if service != "s3" {
		return encode(removeDots(escaped), true), nil
	}
	// The same path in one spelling: what needs no escape is written plain,
	// except that an escaped slash stays different from a separator.
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' {
			b.WriteString(encode(string(c), true))
			continue
		}
		decoded, err := unhex(escaped, i)
		if err != nil {
			return "", err
		}
		b.WriteString(encode(string([]byte{decoded}), false))
		i += 2
	}
	return b.String(), nil
}

// removeDots resolves "." and ".." and merges slashes, as RFC 3986 and the
// other signers do for every service but S3.
func removeDots(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") && len(kept) > 0 {
		clean += "/"
	}
	return clean
}

type parameter struct{ name, value string }

// parseQuery splits a raw query without losing anything: unlike net/url it
// keeps the order and refuses what it cannot read.
func parseQuery(raw string) ([]parameter, error) {
	var parameters []parameter
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := decode(name)
		if err != nil {
			return nil, err
		}
		if value, err = decode(value); err != nil {
			return nil, err
		}
		parameters = append(parameters, parameter{name, value})
	}
	return parameters, nil
}

func canonicalQuery(raw string) (string, error) {
	parameters, err := parseQuery(raw)
	if err != nil {
		return "", err
	}
	pairs := make([]parameter, 0, len(parameters))
	for _, p := range parameters {
		if p.name != "X-Amz-Signature" {
			pairs = append(pairs, parameter{encode(p.name, false), encode(p.value, false)})
		}
	}
	sort.Slice(pairs, func(i, j int) bool {
		if pairs[i].name != pairs[j].name {
			return pairs[i].name < pairs[j].name
		}
		return pairs[i].value < pairs[j].value
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String(), nil
}

// canonicalHeader returns a header's values joined by commas, with runs of
// spaces reduced to one. net/http moves Host and Content-Length out of the
// header.
func canonicalHeader(r *http.Request, name string) string {
	values := r.Header.Values(name)
	switch {
	case name == "host", name == authority:
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	trimmed := make([]string, len(values))
	for i, value := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '\t' }), " ")
	}
	return strings.Join(trimmed, ",")
}

const upperHex = "0123456789ABCDEF"

// encode percent-encodes everything but RFC 3986's unreserved characters.
func encode(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// decode undoes percent-encoding; a plus sign is a space, as in forms.
func decode(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '%':
			c, err := unhex(s, i)
			if err != nil {
				return "", err
			}
			b = append(b, c)
			i += 2
		case '+':
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return string(b), nil
}

func unhex(s string, i int) (byte, error) {
	if i+2 < len(s) {
		if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
			return byte(c), nil
		}
	}
	return 0, fmt.Errorf("invalid percent-encoding %s", clip(s[i:min(i+3, len(s))]))
}
