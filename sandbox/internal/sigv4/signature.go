package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
	terminator = "aws4_request"

	// MaxSkew is how far a request's date may be from the server's clock.
	MaxSkew = 15 * time.Minute

	// MaxExpires is the longest life of a presigned URL.
	MaxExpires = 7 * 24 * time.Hour
)

// A Signature is what a request says about its signer. Nothing of it is proven
// before [Signature.Verify].
type Signature struct {
	AccessKeyID   string
	Scope         Scope
	SessionToken  string
	SignedHeaders []string // lower case, as listed
	Time          time.Time
	Presigned     bool
	Expires       time.Duration // presigned only

	signature []byte
}

// A Scope is the credential scope: where and for what a signature is valid.
type Scope struct {
	Date    string // YYYYMMDD
	Region  string
	Service string
}

func (s Scope) String() string {
	return s.Date + "/" + s.Region + "/" + s.Service + "/" + terminator
}

// Parse reads the signature of a request from its Authorization header or, for
// a presigned URL, from its query. It returns nil without an error for a
// request that does not claim to be signed, and an [*Error] for one whose claim
// cannot be read.
func Parse(r *http.Request) (*Signature, error) {
	query, err := parseQuery(r.URL.RawQuery)
	authorization := r.Header.Values("Authorization")
	inQuery := false
	for _, p := range query {
		switch p.name {
		case "X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential":
			inQuery = true
		case "AWSAccessKeyId":
			return nil, fail(Unsupported, "the authorization mechanism you have provided is not supported; use %s", algorithm)
		}
	}
	switch {
	case err != nil && (inQuery || len(authorization) > 0):
		return nil, fail(Malformed, "the query string is not valid: %v", err)
	case len(authorization) == 0 && !inQuery:
		return nil, nil
	case len(authorization) > 0 && inQuery:
		return nil, fail(Ambiguous, "only one authentication mechanism allowed: the Authorization header or the query string")
	case len(authorization) > 1:
		return nil, fail(Malformed, "there is more than one Authorization header")
	case inQuery:
		return parsePresigned(query)
	}
	return parseHeader(r, authorization[0])
}

func parseHeader(r *http.Request, header string) (*Signature, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return nil, fail(Unsupported, "the authorization mechanism you have provided is not supported; use %s", algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, fail(Malformed, "%s is not a key=value pair (missing equal-sign) in the Authorization header", clip(part))
		}
		if _, twice := fields[name]; twice {
			return nil, fail(Malformed, "the Authorization header gives %s twice", clip(name))
		}
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return nil, fail(Malformed, "the Authorization header requires the '%s' parameter", name)
		}
	}
	s := &Signature{SessionToken: r.Header.Get("X-Amz-Security-Token")}
	if len(r.Header.Values("X-Amz-Security-Token")) > 1 {
		return nil, fail(Malformed, "there is more than one X-Amz-Security-Token header")
	}
	if err := s.parseFields(fields["Credential"], fields["SignedHeaders"], fields["Signature"]); err != nil {
		return nil, err
	}
	switch dates := r.Header.Values("X-Amz-Date"); {
	case len(dates) > 1:
		return nil, fail(Malformed, "there is more than one X-Amz-Date header")
	case len(dates) == 1:
		return s, s.parseTime(dates[0])
	case r.Header.Get("Date") == "":
		return nil, fail(Malformed, "the request must contain either a valid X-Amz-Date header or a valid Date header")
	}
	t, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return s, s.parseTime(r.Header.Get("Date"))
	}
	s.Time = t.UTC()
	return s, s.checkDate()
}

func parsePresigned(query []parameter) (*Signature, error) {
	fields := map[string]string{}
	for _, p := range query {
		if !strings.HasPrefix(p.name, "X-Amz-") {
			continue
		}
		if _, twice := fields[p.name]; twice {
			return nil, fail(Malformed, "the query string gives %s twice", clip(p.name))
		}
		fields[p.name] = p.value
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"} {
		// Other services than S3 give presigned URLs a fixed life of fifteen
		// minutes when X-Amz-Expires is missing.
		if fields[name] == "" && name != "X-Amz-Expires" {
			return nil, fail(Malformed, "query-string authentication requires X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires; %s is missing", name)
		}
	}
	if fields["X-Amz-Algorithm"] != algorithm {
		return nil, fail(Unsupported, "X-Amz-Algorithm only supports %q", algorithm)
	}
	s := &Signature{Presigned: true, SessionToken: fields["X-Amz-Security-Token"], Expires: MaxSkew}
	if err := s.parseFields(fields["X-Amz-Credential"], fields["X-Amz-SignedHeaders"], fields["X-Amz-Signature"]); err != nil {
		return nil, err
	}
	if expires, given := fields["X-Amz-Expires"]; given {
		seconds, err := strconv.Atoi(expires)
		switch {
		case err != nil:
			return nil, fail(Malformed, "X-Amz-Expires should be a number")
		case seconds < 0:
			return nil, fail(Malformed, "X-Amz-Expires must be non-negative")
		case seconds > int(MaxExpires/time.Second):
			return nil, fail(Malformed, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
		}
		s.Expires = time.Duration(seconds) * time.Second
	} else if s.Scope.Service == "s3" {
		return nil, fail(Malformed, "query-string authentication requires X-Amz-Expires")
	}
	return s, s.parseTime(fields["X-Amz-Date"])
}

var (
	accessKeyPattern = regexp.MustCompile(`^\w{1,128}$`)
	scopePattern     = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	headerPattern    = regexp.MustCompile("^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$")
)

func (s *Signature) parseFields(credential, signedHeaders, signature string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || !accessKeyPattern.MatchString(parts[0]) || parts[4] != terminator {
		return fail(Malformed, "the credential must have the form ACCESS-KEY-ID/YYYYMMDD/REGION/SERVICE/%s", terminator)
	}
	if _, err := time.Parse(dateFormat, parts[1]); err != nil {
		return fail(Malformed, "the credential's date %s is not of the form YYYYMMDD", clip(parts[1]))
	}
	if !scopePattern.MatchString(parts[2]) || !scopePattern.MatchString(parts[3]) {
		return fail(Malformed, "the credential's region %s or service %s is not valid", clip(parts[2]), clip(parts[3]))
	}
	s.AccessKeyID = parts[0]
	s.Scope = Scope{Date: parts[1], Region: parts[2], Service: parts[3]}

	s.SignedHeaders = strings.Split(signedHeaders, ";")
	if len(s.SignedHeaders) > 100 {
		return fail(Malformed, "there are more than 100 signed headers")
	}
	for i, name := range s.SignedHeaders {
		if !headerPattern.MatchString(name) && name != authority {
			return fail(Malformed, "the signed header %s is not a lower-case header name", clip(name))
		}
		if i > 0 && s.SignedHeaders[i-1] >= name {
			return fail(Malformed, "the signed headers must be sorted and named once")
		}
	}
	decoded, err := hex.DecodeString(signature)
	if err != nil || len(decoded) != sha256.Size {
		return fail(Malformed, "the signature must be 64 hexadecimal digits")
	}
	s.signature = decoded
	return nil
}

func (s *Signature) parseTime(value string) error {
	t, err := time.Parse(timeFormat, value)
	if err != nil {
		return fail(Malformed, "the date %s is not in ISO 8601 basic format, for example 20260102T150405Z", clip(value))
	}
	s.Time = t
	return s.checkDate()
}

func (s *Signature) checkDate() error {
	if s.Time.Format(dateFormat) != s.Scope.Date {
		return fail(Malformed, "the date in the credential scope does not match the date of the request")
	}
	return nil
}

// checkTime compares the request's date with the server's clock.
func (s *Signature) checkTime(now time.Time) error {
	stamp := func(t time.Time) string { return t.UTC().Format(timeFormat) }
	if s.Time.After(now.Add(MaxSkew)) {
		return fail(NotYetValid, "Signature not yet current: %s is still later than %s (%s + 15 min.)",
			stamp(s.Time), stamp(now.Add(MaxSkew)), stamp(now))
	}
	if s.Presigned {
		if end := s.Time.Add(s.Expires); now.After(end) {
			return fail(Expired, "Signature expired: %s is now earlier than %s", stamp(end), stamp(now))
		}
		return nil
	}
	if s.Time.Before(now.Add(-MaxSkew)) {
		return fail(TooOld, "Signature expired: %s is now earlier than %s (%s - 15 min.)",
			stamp(s.Time), stamp(now.Add(-MaxSkew)), stamp(now))
	}
	return nil
}

// authority is what HTTP/2 has in place of the header Host. The SDK for JavaScript
// signs it under this name in clients that speak HTTP/2, such as that of Kinesis.
//
// https://datatracker.ietf.org/doc/html/rfc9113#section-8.3.1
const authority = ":authority"

// checkHeaders demands that host, and every x-amz- header that is present, is
// signed: otherwise somebody could add one to a captured request.
func (s *Signature) checkHeaders(r *http.Request) error {
	named := slices.Contains(s.SignedHeaders, "host") || r.ProtoMajor >= 2 && slices.Contains(s.SignedHeaders, authority)
	if !named {
		return &Error{Reason: Unsigned, Detail: "'Host' must be a 'SignedHeader' in the AWS Authorization", Headers: []string{"host"}}
	}
	var missing []string
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(s.SignedHeaders, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return &Error{Reason: Unsigned, Detail: "There were headers present in the request which were not signed", Headers: missing}
	}
	return nil
}

// signingKey derives the key of a scope from a secret access key.
func signingKey(secret string, scope Scope) []byte {
	key := mac([]byte("AWS4"+secret), scope.Date)
	key = mac(key, scope.Region)
	key = mac(key, scope.Service)
	return mac(key, terminator)
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
