package crossaccount

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A LaunchLink is a quick-create link: it opens the AWS console at the page that
// creates a stack, with everything filled in. Whoever follows it can still
// change every value, so what comes back must be checked.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-create-stacks-quick-create-links.html
type LaunchLink struct {
	Region      string
	TemplateURL string // https, in S3
	StackName   string
	Parameters  map[string]string
}

// maxTemplateURL is how long CloudFormation lets the URL of a template be.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
const maxTemplateURL = 5120

// URL returns the link for a stack made from the template. Everything in it is
// checked first: the region, because it becomes part of a host name; the stack
// name; and that the template has each parameter and would accept its value,
// because the console silently ignores a parameter that it does not know. The
// error has the code invalid_request or, for parameters, template; it never
// repeats a value.
//
// Parameters come in the template's order, so equal links are equal strings.
func (l LaunchLink) URL(stack *template.Stack) (string, error) {
	page, err := quickCreatePage(l.Region)
	if err != nil {
		return "", err
	}
	if err := reference.CheckStackName(l.StackName); err != nil {
		return "", NewError(CodeInvalidRequest, err.Error(), "", nil)
	}
	if err := checkTemplateURL(l.TemplateURL); err != nil {
		return "", err
	}
	link := page + "?templateURL=" + escapeQuery(l.TemplateURL) + "&stackName=" + escapeQuery(l.StackName)
	written := 0
	for _, p := range stack.Parameters {
		value, ok := l.Parameters[p.ID]
		if !ok {
			continue
		}
		if err := p.Accepts(value); err != nil {
			return "", NewError(CodeTemplate, fmt.Sprintf("launch link: parameter %s: %v", p.ID, err), "", nil)
		}
		link += "&param_" + escapeQuery(p.ID) + "=" + escapeQuery(value)
		written++
	}
	if written != len(l.Parameters) {
		return "", NewError(CodeTemplate, "launch link: the template has no parameter "+strings.Join(unknownParameters(l.Parameters, stack), ", "),
			"links may only set parameters of the template, which the console would otherwise ignore", nil)
	}
	return link, nil
}

func unknownParameters(given map[string]string, stack *template.Stack) []string {
	var unknown []string
	for id := range given {
		if _, ok := stack.Parameter(id); !ok {
			unknown = append(unknown, fmt.Sprintf("%q", clip(id)))
		}
	}
	slices.Sort(unknown)
	return unknown
}

const (
	consolePath     = "/cloudformation/home"
	quickCreateRoot = "/stacks/quickcreate"
	reviewRoot      = "/stacks/create/review" // the same page's older address
)

// quickCreatePage returns the address of the console's page up to its query.
// Commercial regions have a console host of their own; in the other partitions
// one host serves all regions.
func quickCreatePage(region string) (string, error) {
	partition, ok := iam.PartitionOfRegion(region)
	if !ok {
		return "", NewError(CodeInvalidRequest, fmt.Sprintf("region %q: is not an AWS region name such as us-east-1", clip(region)), "", nil)
	}
	if partition.ConsoleDomain == "" {
		return "", NewError(CodeInvalidRequest, fmt.Sprintf("region %q: the console of partition %s has no public address", region, partition.ID),
			"create the stack with the AWS CLI instead", nil)
	}
	return "https://" + consoleHost(partition, region) + consolePath + "?region=" + region + "#" + quickCreateRoot, nil
}

func consoleHost(partition iam.Partition, region string) string {
	if partition.ID == "aws" {
		return region + "." + partition.ConsoleDomain
	}
	return partition.ConsoleDomain
}

// checkTemplateURL checks what CloudFormation would refuse.
func checkTemplateURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "":
		return NewError(CodeInvalidRequest, "template URL: must be an https URL of an S3 object", "", nil)
	case len(text) > maxTemplateURL:
		return NewError(CodeInvalidRequest, fmt.Sprintf("template URL: has %d characters, CloudFormation takes at most %d", len(text), maxTemplateURL),
			"presign it with credentials that have a shorter session token, or let customers read the bucket", nil)
	}
	return nil
}

// escapeQuery escapes everything but letters, digits and -_.~ and writes a
// space as %20. The console reads this query from behind the #, where nothing
// turns a plus into a space.
func escapeQuery(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// ParseLaunchLink reads a link back, as the console does. It accepts links of
// [LaunchLink.URL] and of the console's older address, and refuses those that
// lead elsewhere.
func ParseLaunchLink(link string) (*LaunchLink, error) {
	invalid := func(problem string) (*LaunchLink, error) {
		return nil, NewError(CodeInvalidRequest, "launch link: "+problem, "", nil)
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Path != consolePath {
		return invalid("is not a link to the CloudFormation console")
	}
	region, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(region) != 1 || len(region["region"]) != 1 {
		return invalid("must have the region and nothing else before the #")
	}
	l := &LaunchLink{Region: region.Get("region"), Parameters: make(map[string]string)}
	partition, ok := iam.PartitionOfRegion(l.Region)
	if !ok || partition.ConsoleDomain == "" || u.Host != consoleHost(partition, l.Region) {
		return invalid("does not lead to the console of its region")
	}
	page, query, _ := strings.Cut(u.EscapedFragment(), "?")
	if page != quickCreateRoot && page != reviewRoot {
		return invalid("does not lead to the page that creates a stack")
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.PathUnescape(name)
		value, err2 := url.PathUnescape(value)
		if err1 != nil || err2 != nil || seen[name] {
			return invalid("has a part that is not correctly escaped, or that comes twice")
		}
		seen[name] = true
		parameter, isParameter := strings.CutPrefix(name, "param_")
		switch {
		case name == "templateURL":
			l.TemplateURL = value
		case name == "stackName":
			l.StackName = value
		case isParameter:
			l.Parameters[parameter] = value
		}
	}
	if err := checkTemplateURL(l.TemplateURL); err != nil {
		return nil, err
	}
	return l, nil
}

// stackNameHash is how many hexadecimal digits keep apart the stacks of
// customers whose ids cannot be part of a stack's name as they are.
const stackNameHash = 12

// stackName returns the name of a customer's stack: the service's short name
// and the customer's id. An id that is too long or has other characters than
// letters, digits and hyphens is shortened and gets a hash of itself, so the
// same customer always has the same name and different ones have different
// names.
func stackName(serviceName, customerID string) string {
	service := slug(serviceName, 40)
	if c := service[0]; c >= '0' && c <= '9' {
		service = "x-" + service
	}
	name := service + "-" + customerID
	if reference.CheckStackName(name) == nil {
		return name
	}
	return hashedName(service, customerID, reference.MaxStackName)
}
