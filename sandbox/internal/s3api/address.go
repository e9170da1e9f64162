package s3api

import (
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An address is what a request's URL names.
type address struct {
	bucket string
	key    string
	region string // of the endpoint, "" for the global one and for local ports
}

// parseAddress reads bucket and key from the host (virtual-host style) or from
// the path (path style).
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
func parseAddress(r *http.Request) (address, error) {
	a, kind := parseHost(r.Host)
	if kind == hostUnsupported {
		return a, wire.NotImplemented("s3", "the endpoint "+strconv.Quote(r.Host))
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if a.bucket != "" {
		a.key = path
	} else {
		a.bucket, a.key, _ = strings.Cut(path, "/")
	}
	return a, checkKey(a.key)
}

func checkKey(key string) error {
	if len(key) > 1024 {
		return refuse(http.StatusBadRequest, "KeyTooLongError", "Your key is too long",
			"Size", strconv.Itoa(len(key)), "MaxSizeAllowed", "1024")
	}
	if !utf8.ValidString(key) {
		return refuse(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
	}
	return nil
}

// IsEndpoint reports whether host, with or without a port, is a name that S3
// answers to: s3.amazonaws.com, a regional endpoint, or either with a bucket
// before it. Local names with a bucket before them (bucket.localhost) count
// too, because only S3 has such names.
func IsEndpoint(host string) bool {
	a, kind := parseHost(host)
	return kind == hostAWS || a.bucket != ""
}

type hostKind int

const (
	hostLocal       hostKind = iota // a name or address of this machine
	hostAWS                         // a name of S3
	hostUnsupported                 // a name of AWS that is no S3 endpoint the sandbox has: website, access point, control
)

// The endpoint names of S3, in front of which a bucket may stand, and after
// which the partition's suffix comes.
var endpointPattern = regexp.MustCompile(`^(?:(.+)\.)?s3(?:-fips)?(?:\.dualstack)?(?:[.-]([a-z0-9-]+))?$`)

func parseHost(host string) (address, hostKind) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	for _, p := range iam.Partitions() {
		if rest, ok := strings.CutSuffix(host, "."+p.DNSSuffix); ok {
			m := endpointPattern.FindStringSubmatch(rest)
			if m == nil {
				return address{}, hostUnsupported
			}
			if _, ok := iam.PartitionOfRegion(m[2]); m[2] != "" && !ok {
				return address{}, hostUnsupported
			}
			return address{bucket: m[1], region: m[2]}, hostAWS
		}
	}
	if rest, ok := strings.CutSuffix(host, ".localhost"); ok && rest != "s3" {
		return address{bucket: strings.TrimSuffix(rest, ".s3")}, hostLocal
	}
	return address{}, hostLocal
}
