package iam

import (
	"fmt"
	"regexp"
	"strings"
)

// An AccountID is the twelve digits of an AWS account.
type AccountID string

// ParseAccountID checks that s is twelve digits.
func ParseAccountID(s string) (AccountID, error) {
	if !isAccountID(s) {
		return "", fmt.Errorf("account id %q: must be exactly 12 digits", clip(s))
	}
	return AccountID(s), nil
}

func isAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// An ARN is an Amazon Resource Name:
// arn:partition:service:region:account:resource. Region and account are empty
// for services that leave them out. Resource keeps everything after the fifth
// colon, including further colons and slashes.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type ARN struct {
	Partition string
	Service   string
	Region    string
	Account   string
	Resource  string
}

// ParseARN splits s at its first five colons. Wildcards and symbols are kept:
// it checks that the six parts are there and that the first is "arn", not that
// such a resource can exist.
func ParseARN(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	switch {
	case parts[0] != "arn":
		return ARN{}, fmt.Errorf("ARN %q: must begin with \"arn:\"", clip(s))
	case len(parts) < 6:
		return ARN{}, fmt.Errorf("ARN %q: has %d of 6 parts (arn:partition:service:region:account:resource)", clip(s), len(parts))
	case parts[1] == "":
		return ARN{}, fmt.Errorf("ARN %q: the partition is empty", clip(s))
	case parts[2] == "":
		return ARN{}, fmt.Errorf("ARN %q: the service is empty", clip(s))
	case parts[5] == "":
		return ARN{}, fmt.Errorf("ARN %q: the resource is empty", clip(s))
	}
	return ARN{Partition: parts[1], Service: parts[2], Region: parts[3], Account: parts[4], Resource: parts[5]}, nil
}

// String returns the ARN in its usual notation.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// A Partition is a group of AWS regions with its own accounts, endpoints and
// ARNs. Roles cannot be assumed from one partition into another.
type Partition struct {
	ID            string // first part of its ARNs: "aws", "aws-cn"
	DNSSuffix     string // end of its service endpoints: "amazonaws.com"
	ConsoleDomain string // end of its console's host names, "" where it is not public
	DefaultRegion string
	regions       *regexp.Regexp
}

// The region name patterns are those of the AWS SDKs' endpoint rules.
var partitions = []Partition{
	{"aws", "amazonaws.com", "console.aws.amazon.com", "us-east-1", regexp.MustCompile(`^(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+$`)},
	{"aws-cn", "amazonaws.com.cn", "console.amazonaws.cn", "cn-north-1", regexp.MustCompile(`^cn-[a-z]+-\d+$`)},
	{"aws-us-gov", "amazonaws.com", "console.amazonaws-us-gov.com", "us-gov-west-1", regexp.MustCompile(`^us-gov-[a-z]+-\d+$`)},
	{"aws-iso", "c2s.ic.gov", "", "us-iso-east-1", regexp.MustCompile(`^us-iso-[a-z]+-\d+$`)},
	{"aws-iso-b", "sc2s.sgov.gov", "", "us-isob-east-1", regexp.MustCompile(`^us-isob-[a-z]+-\d+$`)},
	{"aws-iso-e", "cloud.adc-e.uk", "", "eu-isoe-west-1", regexp.MustCompile(`^eu-isoe-[a-z]+-\d+$`)},
	{"aws-iso-f", "csp.hci.ic.gov", "", "us-isof-south-1", regexp.MustCompile(`^us-isof-[a-z]+-\d+$`)},
	{"aws-eusc", "amazonaws.eu", "console.amazonaws-eusc.eu", "eusc-de-east-1", regexp.MustCompile(`^eusc-[a-z]{2}-[a-z]+-\d+$`)},
}

// Partitions returns all partitions, the commercial one first.
func Partitions() []Partition { return append([]Partition(nil), partitions...) }

// LookupPartition returns the partition with the given id.
func LookupPartition(id string) (Partition, bool) {
	for _, p := range partitions {
		if p.ID == id {
			return p, true
		}
	}
	return Partition{}, false
}

// PartitionOfRegion returns the partition a region belongs to. It accepts every
// name of the right shape, so that regions AWS opens later need no new release;
// it is therefore also the check to make before a region becomes part of a host
// name.
func PartitionOfRegion(region string) (Partition, bool) {
	for _, p := range partitions {
		if p.regions.MatchString(region) {
			return p, true
		}
	}
	return Partition{}, false
}

// A RoleARN is the ARN of an IAM role, taken apart.
type RoleARN struct {
	Partition string
	Account   AccountID
	Path      string // begins and ends with a slash; "/" for none
	Name      string // 1 to 64 characters
}

// Character sets and lengths: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
var (
	roleNamePattern = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	rolePathPattern = regexp.MustCompile(`^(/|/[\x21-\x7E]+/)$`)
)

// ParseRoleARN checks that s names exactly one IAM role: a known partition, an
// account, no region, a legal path and a legal name. Wildcards and symbols are
// refused.
func ParseRoleARN(s string) (RoleARN, error) {
	a, err := ParseARN(s)
	if err != nil {
		return RoleARN{}, err
	}
	if _, ok := LookupPartition(a.Partition); !ok {
		return RoleARN{}, fmt.Errorf("role ARN %q: unknown partition %q", clip(s), clip(a.Partition))
	}
	if a.Service != "iam" || a.Region != "" {
		return RoleARN{}, fmt.Errorf("role ARN %q: must begin with \"arn:%s:iam::\"", clip(s), a.Partition)
	}
	account, err := ParseAccountID(a.Account)
	if err != nil {
		return RoleARN{}, fmt.Errorf("role ARN %q: %w", clip(s), err)
	}
	rest, ok := strings.CutPrefix(a.Resource, "role/")
	if !ok {
		return RoleARN{}, fmt.Errorf("role ARN %q: the resource must be \"role/NAME\"", clip(s))
	}
	slash := strings.LastIndexByte(rest, '/')
	path, name := "/"+rest[:slash+1], rest[slash+1:]
	if !roleNamePattern.MatchString(name) {
		return RoleARN{}, fmt.Errorf("role ARN %q: the role name must be 1 to 64 letters, digits or _+=,.@-", clip(s))
	}
	if len(path) > 512 || !rolePathPattern.MatchString(path) {
		return RoleARN{}, fmt.Errorf("role ARN %q: illegal path", clip(s))
	}
	return RoleARN{Partition: a.Partition, Account: account, Path: path, Name: name}, nil
}

// ARN returns the role's ARN.
func (r RoleARN) ARN() ARN {
	return ARN{Partition: r.Partition, Service: "iam", Account: string(r.Account), Resource: "role" + r.Path + r.Name}
}

// String returns the role's ARN in its usual notation.
func (r RoleARN) String() string { return r.ARN().String() }

// SessionARN returns the ARN of a session of the role. Session ARNs leave out
// the role's path.
func (r RoleARN) SessionARN(session string) ARN {
	return ARN{Partition: r.Partition, Service: "sts", Account: string(r.Account), Resource: "assumed-role/" + r.Name + "/" + session}
}

// clip keeps error messages readable when somebody passes ten thousand
// characters.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
