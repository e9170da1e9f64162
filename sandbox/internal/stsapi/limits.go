package stsapi

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// checkTags reports tags of the wrong form.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html
func (v *violations) checkTags(tags []directory.Tag) {
	if len(tags) > 50 {
		v.add("tags", "(list)", "have length less than or equal to 50")
		return
	}
	for i, tag := range tags {
		v.check(tagText("tags", i+1, "key", 1, 128, tagKeyPattern, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`), &tag.Key)
		v.check(tagText("tags", i+1, "value", 0, 256, tagValuePattern, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`), &tag.Value)
		if strings.HasPrefix(strings.ToLower(tag.Key), "aws:") {
			v.add("tags", "'"+wire.Clip(tag.Key)+"'", "not begin with the reserved prefix aws:")
		}
		for _, earlier := range tags[:i] {
			if strings.EqualFold(earlier.Key, tag.Key) {
				v.add("tags", "'"+wire.Clip(tag.Key)+"'", "be unique: tag keys are case insensitive")
				break
			}
		}
	}
}

func tagText(list string, i int, field string, min, max int, pattern *regexp.Regexp, shown string) text {
	return text{name: list + "." + strconv.Itoa(i) + ".member." + field, min: min, max: max, pattern: pattern, shown: shown}
}

func containsFold(list []string, s string) bool {
	for _, other := range list {
		if strings.EqualFold(other, s) {
			return true
		}
	}
	return false
}

// AWS packs session policies and tags into one binary form and does not say
// how. These budgets agree with what users reported: nine tags of 252
// characters took 498%, and policies may have 2,048 characters together with
// the ARNs of managed ones.
//
// https://github.com/aws-actions/configure-aws-credentials/issues/1898
const (
	policyBudget = 2048
	tagBudget    = 462
	tagOverhead  = 4
)

// limit compiles the session policies and returns how much of the budget they
// and the tags take, in percent; nil if there are none. Inherited tags do not
// count.
func (s *session) limit(view directory.View, role *directory.Role, in *AssumeRoleInput) (*int, error) {
	policies, tags := 0, 0
	for _, tag := range in.Tags {
		tags += len(tag.Key) + len(tag.Value) + tagOverhead
	}
	if in.Policy != nil {
		document, err := directory.NewDocument(*in.Policy, iam.KindSession, "session policy")
		if err != nil {
			return nil, err
		}
		s.Policies = append(s.Policies, document.Compiled)
		policies += utf8.RuneCountInString(*in.Policy)
	}
	for _, descriptor := range in.PolicyArns {
		compiled, err := managedPolicy(view, role, descriptor.Arn)
		if err != nil {
			return nil, err
		}
		s.Policies = append(s.Policies, compiled)
		s.PolicyARNs = append(s.PolicyARNs, descriptor.Arn)
		policies += len(descriptor.Arn)
	}
	if policies == 0 && tags == 0 {
		return nil, nil
	}
	packed := 100*policies/policyBudget + 100*tags/tagBudget
	switch {
	case packed <= 100:
		return &packed, nil
	case policies == 0:
		return nil, wire.BadRequest("PackedPolicyTooLarge", "Packed size of session tags consumes %d%% of allotted space.", packed)
	}
	return nil, wire.BadRequest("PackedPolicyTooLarge", "Packed policy consumes %d%% of allotted space, please use smaller policy.", packed)
}

// managedPolicy returns a managed policy of the role's account or of AWS. The
// session keeps the version that was in force when it was made.
func managedPolicy(view directory.View, role *directory.Role, arn string) (*eval.Policy, error) {
	parsed, err := iam.ParseARN(arn)
	if err != nil || parsed.Service != "iam" || !strings.HasPrefix(parsed.Resource, "policy/") {
		return nil, invalid("ARN %s is not valid.", wire.Clip(arn))
	}
	policy, ok := view.ManagedPolicy(arn)
	if !ok || policy.Account != role.Account && policy.Account != directory.AWSAccount {
		return nil, invalid("Policy %s does not exist or is not attachable.", wire.Clip(arn))
	}
	return policy.DefaultDocument().Compiled, nil
}
