package cli

import (
	"net"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A signingScope is what a signature names beside the request.
type signingScope struct{ service, region string }

// signingNames are signing names that differ from the host's.
//
// https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html
var signingNames = map[string]string{
	"appsync-api": "appsync", "email": "ses", "lambda-url": "lambda", "bedrock-runtime": "bedrock", "bedrock-agent-runtime": "bedrock",
	"s3-accesspoint": "s3", "s3-control": "s3", "api.ecr": "ecr", "api.sagemaker": "sagemaker", "runtime.sagemaker": "sagemaker",
	"streams.dynamodb": "dynamodb", "data.iot": "iotdata", "elasticloadbalancing": "elasticloadbalancing",
	"application-autoscaling": "application-autoscaling", "session.qldb": "qldb",
}

// globalServices have one endpoint per partition, which signs for this region.
//
// https://docs.aws.amazon.com/general/latest/gr/rande.html#global-endpoints
var globalServices = map[string]string{
	"iam": "us-east-1", "sts": "us-east-1", "route53": "us-east-1", "cloudfront": "us-east-1", "organizations": "us-east-1", "s3": "us-east-1",
}

// scopeOfHost tells service and region from the form of one of AWS's own hosts.
// Either may be "" if the host does not say it; ours reports whether the host is
// one of AWS's at all.
func scopeOfHost(host string) (scope signingScope, ours bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	rest, ours := withoutSuffix(labels)
	if !ours {
		return signingScope{}, false
	}
	// The region is the last label that is one: some hosts have the service after it.
	at := -1
	for i, label := range rest {
		if _, ok := iam.PartitionOfRegion(label); ok {
			at = i
		}
	}
	var service []string
	switch {
	case at < 0:
		service = rest
	case at == len(rest)-1:
		scope.region, service = rest[at], rest[:at]
	default: // search-x.us-east-1.es.amazonaws.com
		scope.region, service = rest[at], rest[at+1:]
	}
	scope.service = serviceOf(service)
	if scope.region == "" {
		scope.region = globalServices[scope.service]
	}
	return scope, true
}

// awsSuffixes end the hosts of AWS's services.
var awsSuffixes = [][]string{
	{"amazonaws", "com"}, {"amazonaws", "com", "cn"}, {"amazonaws", "eu"}, {"on", "aws"}, {"api", "aws"}, {"c2s", "ic", "gov"}, {"sc2s", "sgov", "gov"},
}

func withoutSuffix(labels []string) (rest []string, ok bool) {
	for _, suffix := range awsSuffixes {
		n := len(labels) - len(suffix)
		if n > 0 && strings.Join(labels[n:], ".") == strings.Join(suffix, ".") {
			return labels[:n], true
		}
	}
	return nil, false
}

// serviceOf returns the signing name for the labels before the region, the last of
// which names the service; those in front are a bucket, an API or an account.
func serviceOf(labels []string) string {
	for len(labels) > 0 && (labels[len(labels)-1] == "dualstack" || labels[len(labels)-1] == "vpce") {
		labels = labels[:len(labels)-1]
	}
	if len(labels) == 0 {
		return ""
	}
	if n := len(labels); n > 1 {
		if name, ok := signingNames[labels[n-2]+"."+labels[n-1]]; ok {
			return name
		}
	}
	name := strings.TrimSuffix(labels[len(labels)-1], "-fips")
	if signing, ok := signingNames[name]; ok {
		return signing
	}
	if name == "iot" {
		return "iotdata" // abc-ats.iot.us-east-1.amazonaws.com; the control plane has another form
	}
	return name
}
