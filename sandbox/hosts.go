package sandbox

import (
	"net"
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
)

// An endpoint is what a host name of AWS stands for.
type endpoint struct {
	service   string // signing name
	region    string // the region requests must be signed for; empty if the name does not say
	partition string
}

// "sts", "sts.eu-west-1", "sts-fips.us-east-1", "cloudformation.us-east-1"
var endpointPattern = regexp.MustCompile(`^([a-z0-9-]+?)(?:-fips)?(?:\.([a-z0-9-]+))?$`)

// parseHost returns what a host name of AWS stands for, with or without a
// port, and false for every other name.
func parseHost(host string) (endpoint, bool) {
	host = hostName(host)
	for _, p := range iam.Partitions() {
		// EKS Auth has a name for both versions of IP, and no other.
		if m := authPattern.FindStringSubmatch(host); m != nil && m[2] == dualStackSuffixes[p.ID] {
			if partition, ok := iam.PartitionOfRegion(m[1]); ok && partition.ID == p.ID {
				return endpoint{service: "eks-auth", region: m[1], partition: p.ID}, true
			}
		}
		rest, ok := strings.CutSuffix(host, "."+p.DNSSuffix)
		if !ok {
			continue
		}
		if s3api.IsEndpoint(host) {
			region := strings.TrimPrefix(rest[strings.LastIndexByte(rest, '.')+1:], "s3-")
			partition, ok := iam.PartitionOfRegion(region)
			if !ok {
				region = "" // the global endpoint; the service looks at the bucket's region
			}
			return endpoint{service: "s3", region: region, partition: partition.ID}, true
		}
		m := endpointPattern.FindStringSubmatch(commonName(rest))
		if m == nil {
			return endpoint{}, false
		}
		e := endpoint{service: m[1], region: m[2], partition: p.ID}
		if e.region == "" {
			// Global endpoints are signed for the partition's first region.
			// Two partitions share amazonaws.com; its global names are those
			// of the commercial one, and GovCloud's IAM is iam.us-gov.
			e.region = p.DefaultRegion
		}
		if e.region == "us-gov" {
			e.region = "us-gov-west-1"
		}
		if partition, ok := iam.PartitionOfRegion(e.region); ok {
			e.partition = partition.ID
			return e, partition.DNSSuffix == p.DNSSuffix
		}
		return endpoint{}, false
	}
	return endpoint{}, false
}

// hostName returns a host in lower case and without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

var authPattern = regexp.MustCompile(`^eks-auth(?:-fips)?\.([a-z0-9-]+)\.(api\..+)$`)

// dualStackSuffixes end the names of endpoints that answer over IPv6 too.
//
// https://docs.aws.amazon.com/general/latest/gr/rande.html#dual-stack-endpoints
var dualStackSuffixes = map[string]string{"aws": "api.aws", "aws-us-gov": "api.aws", "aws-cn": "api.amazonwebservices.com.cn"}

// otherNames are endpoints whose name is not "service.region". SDKs choose the
// account's own endpoint of DynamoDB and Kinesis when they know the account.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-account-endpoints.html
var otherNames = []struct {
	pattern *regexp.Regexp
	service string
}{
	{regexp.MustCompile(`^\d{12}\.ddb\.([a-z0-9-]+)$`), "dynamodb"},
	{regexp.MustCompile(`^streams\.dynamodb\.([a-z0-9-]+)$`), "dynamodb"},
	{regexp.MustCompile(`^\d{12}\.(?:control|data)-kinesis\.([a-z0-9-]+)$`), "kinesis"},
	{regexp.MustCompile(`^api\.ecr\.([a-z0-9-]+)$`), "ecr"},
	{regexp.MustCompile(`^sync-states\.([a-z0-9-]+)$`), "states"},
	{regexp.MustCompile(`^[a-z0-9-]+-\d{12}\.d\.codeartifact\.([a-z0-9-]+)$`), "codeartifact"},
	{regexp.MustCompile(`^oidc\.eks\.([a-z0-9-]+)$`), "eks"}, // issuers of clusters
	{regexp.MustCompile(`^[a-z0-9]+\.execute-api\.([a-z0-9-]+)$`), "execute-api"},
}

// commonName returns an endpoint's name before the partition's suffix as
// "service.region".
func commonName(rest string) string {
	for _, other := range otherNames {
		if m := other.pattern.FindStringSubmatch(rest); m != nil {
			return other.service + "." + m[1]
		}
	}
	return rest
}

// isLocalName reports whether a browser can only have got this host from
// somebody who typed it: an address, or localhost. Any other name might be one
// that a foreign web page's owner has pointed at this machine.
func isLocalName(host string) bool {
	host = strings.Trim(hostName(host), "[]")
	return host == "localhost" || net.ParseIP(host) != nil
}
