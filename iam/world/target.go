package world

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A target is the resource of a question with all that is known about it.
type target struct {
	arn     string
	owner   *account // nil if it is the caller's own account, whichever that is
	exact   *resource
	role    *principal // if the resource is a role
	policy  *policy    // of the resource, nil if it has none
	missing bool       // policy is a stand-in
	assumed []string
	orgIDs  []string // values of conditions on organisations in policy and RCPs
}

// target resolves the resource of a question. The world must be locked.
func (w *World) target(q *Question) (*target, error) {
	service, name, ok := strings.Cut(q.Action, ":")
	if !ok || service == "" || name == "" || strings.ContainsAny(q.Action, "*?") {
		return nil, fmt.Errorf("action: %q is not one action, such as s3:GetObject", q.Action)
	}
	t := &target{arn: q.Resource}
	if q.ResourceAccount != "" {
		if _, err := iam.ParseAccountID(string(q.ResourceAccount)); err != nil {
			return nil, fmt.Errorf("resource account: %w", err)
		}
		t.owner = w.account(q.ResourceAccount)
	}
	if q.Resource == "*" {
		return t, nil
	}
	arn, err := iam.ParseARN(q.Resource)
	if err != nil {
		return nil, fmt.Errorf("resource: %w; name an ARN, or * for actions that have no resource", err)
	}
	service = strings.ToLower(service)
	if t.owner == nil {
		if id := accountOf(q.Resource); id != "" {
			t.owner = w.account(id)
		}
	}
	if arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/") {
		w.roleTarget(t, q, service)
		return t, nil
	}
	w.resourceTarget(t, q, service)
	return t, nil
}

// roleTarget is target for a role. Its trust policy decides about sts actions
// only; others, such as iam:PassRole, are up to identity policies.
func (w *World) roleTarget(t *target, q *Question, service string) {
	t.role = w.principals[q.Resource]
	if service != "sts" {
		return
	}
	switch {
	case t.role != nil:
		t.setPolicy(t.role.trust)
	case t.owner.listed && (t.owner.principal || q.Closed):
		t.assumed = append(t.assumed, fmt.Sprintf("%s does not exist in this world", q.Resource))
	default:
		t.setMissing(iam.KindTrust, "the trust policy of "+q.Resource)
	}
}

func (w *World) resourceTarget(t *target, q *Question, service string) {
	t.exact = w.resources[q.Resource]
	holder := t.exact
	if holder == nil || holder.policy == nil {
		holder = w.policyHolder(q.Resource, holder)
	}
	if t.owner == nil && holder != nil && holder.account != "" {
		t.owner = w.account(holder.account)
	}
	switch {
	case holder != nil && holder.policy != nil:
		t.setPolicy(holder.policy)
	case holder != nil || !hasResourcePolicies(service):
	case t.owner != nil && t.owner.listed && (t.owner.resource || q.Closed):
	case t.owner == nil && q.Closed:
	default:
		t.setMissing(iam.KindResource, "the policy of "+q.Resource)
	}
	if t.owner == nil {
		t.assumed = append(t.assumed, fmt.Sprintf("%s is taken to belong to the principal's own account: neither the ARN nor the world says whose it is", q.Resource))
	}
	if t.owner != nil && t.owner.listed && t.owner.org == "" {
		t.assumed = append(t.assumed, fmt.Sprintf("account %s is in no organisation of this world: no resource control policies were considered", t.owner.id))
	}
}

// policyHolder returns the resource whose policy counts for a resource inside
// it: the bucket of an object, the function of a version, the table of an
// index. It is the listed resource with the longest ARN that the given one
// continues after a / or a colon, and has a policy; failing that exact.
func (w *World) policyHolder(arn string, exact *resource) *resource {
	found := exact
	for i := len(arn) - 1; i > 0; i-- {
		if arn[i] != '/' && arn[i] != ':' {
			continue
		}
		if r := w.resources[arn[:i]]; r != nil {
			if r.policy != nil {
				return r
			}
			if found == nil {
				found = r
			}
		}
	}
	return found
}

func (t *target) setPolicy(p *policy) {
	t.policy = p
	t.orgIDs = orgIDsIn(p.eval().Source())
}

func (t *target) setMissing(kind iam.Kind, what string) {
	t.policy, t.missing = newStandIn(kind, what), true
}

// owned returns the account that owns the resource when c asks for it.
func (t *target) owned(c *caller) *account {
	if t.owner != nil {
		return t.owner
	}
	if c.account != nil {
		return c.account
	}
	return &account{}
}

func (t *target) resourceControl(c *caller) [][]*eval.Policy { return t.owned(c).resourceControl }

// setKeys sets the condition keys that follow from the resource alone.
func (t *target) setKeys(ctx *keySetter, service string) {
	switch {
	case t.role != nil:
		ctx.resourceTags("aws:ResourceTag/", t.role.tags)
		ctx.resourceTags("iam:ResourceTag/", t.role.tags)
	case t.exact != nil && service == "s3" && strings.Contains(t.arn, "/"):
		ctx.resourceTags("s3:ExistingObjectTag/", t.exact.tags)
	case t.exact != nil:
		ctx.resourceTags("aws:ResourceTag/", t.exact.tags)
		ctx.resourceTags(service+":ResourceTag/", t.exact.tags)
	}
	if region := regionOf(t.arn); region != "" {
		ctx.set("aws:RequestedRegion", region)
	}
}

// setOwnerKeys sets the condition keys about the account that owns the resource.
func (t *target) setOwnerKeys(ctx *keySetter, service string, owner *account) {
	if t.arn == "*" || owner.id == "" {
		return
	}
	ctx.set("aws:ResourceAccount", string(owner.id))
	ctx.organization("aws:ResourceOrgID", "aws:ResourceOrgPaths", owner)
	if service == "s3" {
		ctx.set("s3:ResourceAccount", string(owner.id))
	}
}

func regionOf(arn string) string {
	a, err := iam.ParseARN(arn)
	if err != nil || strings.ContainsAny(a.Region, "*?") {
		return ""
	}
	return a.Region
}

// hasResourcePolicies reports whether resources of a service can have policies
// of their own, as of 2026-11. Of a service that is missing here a resource that
// is not in the world is taken to have none.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
func hasResourcePolicies(service string) bool {
	return slices.Contains([]string{
		"acm-pca", "aoss", "apigateway", "backup", "backup-storage", "bedrock", "bedrock-agentcore", "cassandra",
		"cloudtrail", "codeartifact", "codebuild", "dynamodb", "dsql", "ecr", "ecr-public", "elasticfilesystem", "es", "events",
		"execute-api", "glacier", "glue", "iot", "kafka", "kinesis", "kinesisvideo", "kms", "lambda", "lex", "logs",
		"mediastore", "mediaconvert", "network-firewall", "networkmanager", "organizations", "pca-connector-ad",
		"private-networks", "ram", "redshift", "redshift-serverless", "rekognition", "resource-groups", "route53",
		"route53resolver", "s3", "s3express", "s3-object-lambda", "s3-outposts", "s3tables", "s3vectors", "schemas",
		"secretsmanager", "serverlessrepo", "ses", "signer", "sns", "sqs", "ssm", "ssm-contacts", "ssm-incidents",
		"verified-access", "vpc-lattice", "xray",
	}, service)
}
