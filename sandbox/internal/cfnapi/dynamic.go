package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/template/cfn"
)

// checkDynamic refuses a resolved value with a dynamic reference. CloudFormation
// replaces those after all functions, by values of Parameter Store and Secrets
// Manager, which the sandbox does not have; leaving the text as it is would make
// another stack than CloudFormation does. The message repeats no more of the
// value than the kind of reference.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
func checkDynamic(where string, n *cfn.Node) error {
	kind, found := "", false
	n.Walk(func(_ string, n *cfn.Node) bool {
		texts := []string{n.Text}
		for _, e := range n.Entries {
			texts = append(texts, e.Key)
		}
		for _, text := range texts {
			if _, rest, ok := strings.Cut(text, "{{resolve:"); ok && !found {
				service, _, _ := strings.Cut(rest, ":")
				kind, found = clip(strings.TrimRight(service, "}")), true
			}
		}
		return !found
	})
	if !found {
		return nil
	}
	return invalid("Template error: %s has the dynamic reference {{resolve:%s:...}}, and dynamic references are not implemented in the sandbox", where, kind)
}
