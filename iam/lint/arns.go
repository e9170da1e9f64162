package lint

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

func checkARNs(r *reporter) {
	eachResource(r, func(path, resource string) {
		if resource == "" || allWildcards(resource) || r.isShorthand(resource) {
			return
		}
		if first := iam.Pieces(resource)[0]; first.IsSymbol {
			return // the symbol may be any beginning of an ARN
		}
		a, err := iam.ParseARN(resource)
		if err != nil {
			parts := strings.Split(resource, ":")
			// A wildcard at the end, or a symbol, may stand for the parts
			// that seem to be missing.
			if parts[0] == "arn" && len(parts) < 6 && (iam.HasSymbol(resource) || strings.HasSuffix(resource, "*")) {
				return
			}
			if fault := arnFault(resource); fault == emptyResource {
				r.report(Error, path, "", "%q is not an ARN: %s", clip(resource), fault) // IAM takes it, and it matches nothing
			} else {
				r.refuse(path, "", "%q is not an ARN: %s", clip(resource), fault)
			}
			return
		}
		if fault, refused := faultOfARN(a); fault != "" {
			if refused {
				r.refuse(path, "", "the ARN %q %s", clip(resource), fault)
			} else {
				r.report(Error, path, "", "the ARN %q %s", clip(resource), fault)
			}
			return
		}
		if fault := r.faultOfForm(a, resource); fault != "" {
			r.report(Error, path, "", "the ARN %q %s", clip(resource), fault)
			return
		}
		if unknownRegion(a) {
			r.report(Warning, path, "", "the ARN %q has the unknown region %q", clip(resource), clip(a.Region))
		}
	})
}

// isShorthand recognises execute-api:/stage/GET/path, which API Gateway
// completes to an ARN.
func (r *reporter) isShorthand(resource string) bool {
	return r.options.Kind == iam.KindResource && strings.HasPrefix(resource, "execute-api:/")
}

const emptyResource = "the resource is empty"

func arnFault(s string) string {
	parts := strings.SplitN(s, ":", 6)
	switch {
	case parts[0] != "arn":
		return `it does not begin with "arn:"`
	case len(parts) < 6:
		return fmt.Sprintf("it has %d of 6 parts", len(parts))
	case parts[1] == "":
		return "the partition is empty"
	case parts[2] == "":
		return "the service is empty"
	}
	return emptyResource
}

// faultOfARN says what is impossible about an ARN, and whether IAM refuses it.
func faultOfARN(a iam.ARN) (fault string, refused bool) {
	unknown := func(s string) bool { return open(s) || hasWildcard(s) }
	if !unknown(a.Partition) {
		if _, ok := iam.LookupPartition(a.Partition); !ok {
			return fmt.Sprintf("has the unknown partition %q", clip(a.Partition)), true
		}
	}
	if hasWildcard(a.Service) {
		return "has a wildcard in its service", true
	}
	if !open(a.Service) && a.Service != strings.ToLower(a.Service) {
		return fmt.Sprintf("has the service %q, which must be in lower case", clip(a.Service)), true
	}
	if fault := faultOfName(a); fault != "" {
		return fault, false
	}
	if !unknown(a.Account) && a.Account != "" && strings.Trim(a.Account, "0123456789") == "" && len(a.Account) != 12 {
		return fmt.Sprintf("has an account of %d digits instead of 12", len(a.Account)), false
	}
	if unknown(a.Region) || a.Region == "" {
		return "", false
	}
	if a.Service == "iam" {
		return "has a region, but IAM's resources have none", true
	}
	if p, ok := iam.PartitionOfRegion(a.Region); ok && !unknown(a.Partition) && p.ID != a.Partition {
		return fmt.Sprintf("has the region %s, which is in the partition %s", clip(a.Region), p.ID), false
	}
	return "", false
}

// nameLimits are the longest names of IAM's resources.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
var nameLimits = map[string]int{
	"role": 64, "user": 64, "group": 128, "policy": 128, "instance-profile": 128,
}

// faultOfName says whether the name at the end of an ARN of IAM is too long to
// exist.
func faultOfName(a iam.ARN) string {
	kind, rest, ok := strings.Cut(a.Resource, "/")
	limit := nameLimits[kind]
	if a.Service != "iam" || !ok || limit == 0 {
		return ""
	}
	name := iam.ReplaceSymbols(withoutVariables(rest[strings.LastIndexByte(rest, '/')+1:]), func(string) string { return "" })
	if n := len(strings.ReplaceAll(name, "*", "")); n > limit {
		return fmt.Sprintf("names a %s of %d characters; IAM allows %d", kind, n, limit)
	}
	return ""
}

// faultOfForm remembers what [faultOfForm] says, which several rules ask.
func (r *reporter) faultOfForm(a iam.ARN, resource string) string {
	fault, known := r.forms[resource]
	if !known {
		if r.forms == nil {
			r.forms = make(map[string]string)
		}
		fault = faultOfForm(a, resource)
		r.forms[resource] = fault
	}
	return fault
}

// faultOfForm says whether the region or account of an ARN is missing, or is
// there although the resource's ARNs have none. It judges only resources that
// can be recognised without them.
func faultOfForm(a iam.ARN, resource string) string {
	const longestARN = 2048
	service, ok := reference.LookupService(a.Service)
	if !ok || len(resource) > longestARN || open(a.Region) || open(a.Account) {
		return ""
	}
	var form iam.ARN
	least := 3 // parts that differ
	for _, t := range service.ResourceTypes() {
		template, err := iam.ParseARN(t.ARN)
		if err != nil || template.Service != a.Service {
			continue
		}
		fitted := a
		fitted.Region, fitted.Account = fit(a.Region, template.Region), fit(a.Account, template.Account)
		if !t.MatchesARN(fitted.String()) {
			continue
		}
		differ := 0
		for _, pair := range [][2]string{{a.Region, template.Region}, {a.Account, template.Account}} {
			if !hasWildcard(pair[0]) && (pair[0] == "") != (pair[1] == "") {
				differ++
			}
		}
		if differ == 0 {
			return ""
		}
		if differ < least {
			form, least = template, differ
		}
	}
	switch {
	case form.Service == "":
		return ""
	case a.Account != "" && form.Account == "":
		return "has an account, but such ARNs have none"
	case a.Region != "" && form.Region == "":
		return "has a region, but such ARNs have none"
	case !ownedByAccounts[a.Service]:
		return "" // AWS's own documents, images and parameters have neither
	case a.Account == "":
		return "lacks the account"
	}
	return "lacks the region"
}

// ownedByAccounts are services all of whose resources that policies name belong
// to an account and a region.
var ownedByAccounts = map[string]bool{
	"codeartifact": true, "dynamodb": true, "ecr": true, "execute-api": true, "kinesis": true, "lambda": true,
	"secretsmanager": true, "sns": true, "sqs": true, "states": true,
}

// fit returns the part of an ARN as the template has it: empty if the template's
// is, and something if it is not.
func fit(part, template string) string {
	switch {
	case template == "":
		return ""
	case part != "":
		return part
	case strings.HasPrefix(template, "${"):
		return "x"
	}
	return template
}

func unknownRegion(a iam.ARN) bool {
	if a.Region == "" || open(a.Region) || hasWildcard(a.Region) {
		return false
	}
	_, ok := iam.PartitionOfRegion(a.Region)
	return !ok
}
