package iamapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// invalid is IAM's answer to a parameter that breaks its shape.
func invalid(parameter, rule string) *wire.Error {
	return wire.BadRequest("ValidationError", "1 validation error detected: Value at '%s' failed to satisfy constraint: %s", parameter, rule)
}

func limitExceeded(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusConflict, "LimitExceeded", format, args...)
}

// check wraps what a Check function of package reference says about a
// parameter.
func check(parameter string, err error) error {
	if err != nil {
		return invalid(parameter, err.Error())
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func required(parameter, value string) error {
	if value == "" {
		return invalid(parameter, "Member must not be null")
	}
	return nil
}

func checkPolicyName(name string) error {
	return check("policyName", reference.CheckPolicyName(name))
}

// reservedPaths belong to roles that AWS makes itself.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
var reservedPaths = []string{"/aws-service-role/", "/aws-reserved/"}

// checkPath accepts the empty path, which means "/".
func checkPath(path string) error {
	if path == "" {
		return nil
	}
	for _, reserved := range reservedPaths {
		if strings.HasPrefix(path, reserved) {
			return wire.BadRequest("InvalidInput", "The path %s is reserved for roles that AWS creates.", reserved)
		}
	}
	return check("path", reference.CheckPath(path))
}

// checkPrefix checks the beginning of a path: it need not end in a slash.
func checkPrefix(prefix string) error {
	if prefix == "" || prefix[0] == '/' && len(prefix) <= reference.MaxPath {
		return nil
	}
	return invalid("pathPrefix", "Member must begin with / and have at most 512 characters")
}

// checkDocument makes the checks that come before a document is parsed.
func checkDocument(document string) error {
	if document == "" {
		return required("policyDocument", document)
	}
	if len(document) > reference.MaxPolicyDocumentText {
		return invalid("policyDocument", "Member must have length less than or equal to 131072")
	}
	return check("policyDocument", reference.CheckPolicyCharacters(document))
}

// maxSessionDuration returns the duration a role gets; nil means an hour.
func maxSessionDuration(seconds *int) (time.Duration, error) {
	if seconds == nil {
		return reference.DefaultSession, nil
	}
	// Bounded before it is multiplied, so that it cannot overflow.
	d := time.Duration(min(max(*seconds, 0), 1_000_000)) * time.Second
	return d, check("maxSessionDuration", reference.CheckMaxSessionDuration(d))
}

// checkPolicyARN checks that s can be the ARN of a managed policy.
func checkPolicyARN(parameter, s string) error {
	if err := required(parameter, s); err != nil {
		return err
	}
	arn, err := iam.ParseARN(s)
	if err != nil || arn.Service != "iam" || arn.Region != "" || !strings.HasPrefix(arn.Resource, "policy/") {
		return wire.BadRequest("InvalidInput", "ARN %s is not valid.", clip(s))
	}
	return nil
}

// checkTags checks tags that are to be added.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, tag := range tags {
		if err := check("tags", reference.CheckTag(tag.Key, tag.Value)); err != nil {
			return err
		}
		folded := strings.ToLower(tag.Key)
		if seen[folded] {
			return wire.BadRequest("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded] = true
	}
	return limitTags(tags)
}

func limitTags(tags []Tag) error {
	if len(tags) > reference.MaxTags {
		return limitExceeded("The number of tags has reached the maximum limit.")
	}
	return nil
}

// withTags returns old with tags added. A key that differs only in case from an
// old one replaces it.
func withTags(old, tags []Tag) ([]Tag, error) {
	merged := withoutTags(old, keys(tags))
	merged = append(merged, tags...)
	return merged, limitTags(merged)
}

func withoutTags(old []Tag, keys []string) []Tag {
	var rest []Tag
	for _, tag := range old {
		removed := false
		for _, key := range keys {
			removed = removed || strings.EqualFold(tag.Key, key)
		}
		if !removed {
			rest = append(rest, tag)
		}
	}
	return rest
}

func keys(tags []Tag) []string {
	list := make([]string, len(tags))
	for i, tag := range tags {
		list[i] = tag.Key
	}
	return list
}

// inlineSize checks the total size of an identity's inline policies.
func inlineSize(k kind, name string, list []directory.InlinePolicy) error {
	total := 0
	for _, p := range list {
		total += p.Document.Size
	}
	if total > k.inlineLimit {
		return limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", k.inlineLimit, k.noun, name)
	}
	return nil
}
