package cli

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// advice says what to do about a refusal of which nothing but the message is
// known.
func advice(d *world.Denial) []string {
	q := &d.Question
	what := fmt.Sprintf("%s on %s", orUnknown(q.Action, "action"), orUnknown(q.Resource, "resource"))
	who := orUnknown(q.Principal, "principal")
	var lines []string
	if d.Reason.Explicit {
		return []string{denyAdvice(d.Reason)}
	}
	switch d.Reason.Layer {
	case eval.LayerIdentity:
		lines = append(lines, fmt.Sprintf("allow %s in a policy of %s", what, who))
	case eval.LayerResource:
		lines = append(lines, fmt.Sprintf("allow %s to %s in %s", what, who, resourcePolicyName(q)))
	case eval.LayerBoundary:
		lines = append(lines, fmt.Sprintf("allow %s in the permissions boundary of %s; a boundary grants nothing, but what it does not allow is not possible", what, who))
	case eval.LayerSession:
		lines = append(lines, fmt.Sprintf("allow %s in the session policy that was passed when the session of %s was opened (parameters Policy and PolicyArns of AssumeRole)", what, who))
	case eval.LayerServiceControl:
		lines = append(lines, fmt.Sprintf("allow %s in the service control policies of every level above account %s; its organisation's administrators do that", q.Action, accountOr(q.Principal)))
	case eval.LayerResourceControl:
		lines = append(lines, fmt.Sprintf("have the administrators of the resource's organisation look at its resource control policies for %s", q.Action))
	case eval.LayerEndpoint:
		lines = append(lines, fmt.Sprintf("allow %s in the policy of the VPC endpoint that the request went through", what))
	case eval.LayerNone:
		own := fmt.Sprintf("make sure that a policy of %s allows %s, and that no boundary or session policy leaves it out", who, what)
		if oneAccount(d) && !mustAllow(q) {
			lines = append(lines, own+"; in one account the resource's own policy, if it can have one, may allow it instead")
			break
		}
		lines = append(lines, own, fmt.Sprintf("make sure that %s allows it to %s", resourcePolicyName(q), who))
		if strings.EqualFold(q.Action, "sts:AssumeRole") {
			lines = append(lines, "make sure that the caller sends the external ID that the trust policy demands, exactly as written there, and that the role's ARN is right")
		}
	}
	if across(d) && d.Reason.Layer == eval.LayerIdentity {
		lines = append(lines, fmt.Sprintf("then make sure that %s allows it to %s too", resourcePolicyName(q), who))
	}
	if across(d) && d.Reason.Layer == eval.LayerResource {
		lines = append(lines, fmt.Sprintf("then make sure that a policy of %s allows it too", who))
	}
	return lines
}

// oneAccount reports whether the refusal shows that only one account is involved.
func oneAccount(d *world.Denial) bool {
	principal, resource := accountsOf(d)
	return principal != "" && principal == resource
}

// mustAllow reports whether the resource's own policy has to allow whatever
// others do: trust policies and key policies.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func mustAllow(q *world.Question) bool {
	return strings.HasPrefix(strings.ToLower(q.Action), "sts:assumerole") || strings.HasPrefix(strings.ToLower(q.Action), "kms:")
}

func denyAdvice(r world.Reason) string {
	switch {
	case r.Policy != "":
		return fmt.Sprintf("look in %s for the Deny statement that matches, and meet its exception or change it", r.Policy)
	case r.Layer != eval.LayerNone:
		return fmt.Sprintf("look for the Deny statement in the %s, and meet its exception or change it", r.Layer)
	}
	return "look for Deny statements in every policy that bears on it, and meet the exception or change it"
}

// resourcePolicyName says what AWS calls the policy of the resource.
func resourcePolicyName(q *world.Question) string {
	arn, err := iam.ParseARN(q.Resource)
	if err != nil {
		return "the resource's policy"
	}
	switch {
	case arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/"):
		return "the trust policy of " + q.Resource
	case arn.Service == "s3":
		bucket, _, _ := strings.Cut(arn.Resource, "/")
		return "the bucket policy of " + bucket
	case arn.Service == "kms":
		return "the key policy of " + q.Resource
	}
	return "the policy of " + q.Resource
}

func accountOr(arn string) string {
	if a, err := iam.ParseARN(arn); err == nil && a.Account != "" {
		return a.Account
	}
	return "(unknown)"
}

// collect lists the commands that collect what is needed to explain a refusal
// with a world.
func collect(d *world.Denial) []string {
	principal, resource := accountsOf(d)
	var lines []string
	details := func(account, file string) {
		lines = append(lines, fmt.Sprintf("aws iam get-account-authorization-details > %s   # in account %s", file, account))
	}
	files := []string{}
	if principal != "" {
		details(principal, "principal.json")
		files = append(files, "principal.json")
	}
	arn, err := iam.ParseARN(d.Question.Resource)
	if err != nil || d.Question.Resource == "" {
		arn = iam.ARN{}
	}
	owner := ""
	switch {
	case arn.Service == "iam" && resource != "" && resource != principal:
		details(resource, "resource.json")
		files = append(files, "resource.json")
	case arn.Service == "s3":
		bucket, _, _ := strings.Cut(arn.Resource, "/")
		lines = append(lines, fmt.Sprintf("aws s3api get-bucket-policy --bucket %s > bucket.json   # in the bucket's account", bucket))
		files = append(files, fmt.Sprintf("arn:%s:s3:::%s=bucket.json", arn.Partition, bucket))
		owner = " --owner ACCOUNT"
		if resource != "" {
			owner = " --owner " + resource
		}
	case arn.Service == "kms":
		lines = append(lines, fmt.Sprintf("aws kms get-key-policy --key-id %s > key.json   # in account %s", d.Question.Resource, resource))
		files = append(files, d.Question.Resource+"=key.json")
	case arn.Service == "secretsmanager":
		lines = append(lines, fmt.Sprintf("aws secretsmanager get-resource-policy --secret-id %s > secret.json   # in account %s", d.Question.Resource, resource))
		files = append(files, "secret.json")
	case arn.Service == "sqs" || arn.Service == "sns" || arn.Service == "lambda":
		lines = append(lines, fmt.Sprintf("# the policy of %s, in account %s; docs/world.md has the command", d.Question.Resource, resource))
	}
	if len(files) == 0 {
		return lines
	}
	return append(lines,
		"crossaccount world import "+strings.Join(files, " ")+owner,
		"crossaccount why --world world.json …   # the same message again")
}
