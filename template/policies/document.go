package policies

import (
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// anyDocument finds policies anywhere in a document by what they look like, and
// tells their kinds from the keys around them. It reads what the AWS CLI prints:
// get-bucket-policy, get-policy-version, get-account-authorization-details and
// so on.
func (f *finder) anyDocument(root *cfn.Node) {
	f.anywhere(root, "", "", nil)
}

// anywhere looks at a value that is called name in the object parent.
func (f *finder) anywhere(n *cfn.Node, where, name string, parent *cfn.Node) {
	if n == nil {
		return
	}
	if looksLikePolicy(n) || n.Kind == cfn.NodeText && holdsPolicy(n.Text) {
		p := f.surroundings(name, parent)
		p.where = where
		f.add(n, p)
		return
	}
	if n.Get("StartAt") != nil && n.Get("States") != nil {
		f.stateMachine(n, stateMachineOf{where: where})
		return
	}
	for i, item := range n.Items {
		f.anywhere(item, where+"/"+itoa(i), name, n)
	}
	for _, e := range n.Entries {
		at := parent
		if n.Get("Arn") != nil || n.Get("ARN") != nil || len(n.Entries) > 1 || parent == nil {
			at = n
		}
		f.anywhere(e.Value, where+"/"+e.Key, e.Key, at)
	}
}

// holdsPolicy reports whether a text is a policy in JSON, perhaps URL-encoded as
// IAM's API returns it.
func holdsPolicy(text string) bool {
	decoded, ok := urlDecoded(text)
	if !ok {
		decoded = text
	}
	decoded = strings.TrimLeft(decoded, " \t\r\n")
	return strings.HasPrefix(decoded, "{") && strings.Contains(decoded, `"Statement"`)
}

func urlDecoded(text string) (string, bool) {
	if !strings.HasPrefix(text, "%7B") && !strings.HasPrefix(text, "%0A") && !strings.HasPrefix(text, "%20") {
		return "", false
	}
	decoded, err := url.PathUnescape(text)
	return decoded, err == nil
}

// surroundings tells what a policy is from its key and the object it is in. A
// kind that the caller gave is for policies about which the document says
// nothing.
func (f *finder) surroundings(name string, parent *cfn.Node) place {
	p := place{kind: f.options.Kind}
	switch name {
	case "AssumeRolePolicyDocument", "assumeRolePolicyDocument":
		p.kind = iam.KindTrust
		if arn := parent.Get("Arn"); arn != nil && strings.HasPrefix(arn.Text, "arn:") {
			p.resource = arn.Text
		}
	case "InlinePolicy":
		p.kind, p.inline = iam.KindIdentity, true
	case "PolicyDocument":
		switch {
		case parent.Get("VpcEndpointId") != nil:
			p.kind = iam.KindEndpoint
		case parent.Get("PolicyName") != nil:
			p.kind, p.inline = iam.KindIdentity, true
		}
	case "Document":
		if parent.Get("VersionId") != nil {
			p.kind = iam.KindIdentity
		}
	case "Content":
		switch typ := typeOf(parent); typ {
		case "SERVICE_CONTROL_POLICY":
			p.kind = iam.KindServiceControl
		case "RESOURCE_CONTROL_POLICY":
			p.kind = iam.KindResourceControl
		}
	case "policyText":
		p.kind = iam.KindResource
		if parent.Get("repositoryName") != nil {
			p.service = "ecr"
		}
	case "ResourcePolicy", "Policy", "policy", "document", "AccessPolicies", "RepositoryPolicyText":
		for _, key := range []string{"ARN", "Arn", "ResourceArn", "resourceArn", "BackupVaultArn", "FunctionArn", "TopicArn", "QueueArn"} {
			if arn := parent.Get(key); arn != nil && strings.HasPrefix(arn.Text, "arn:") {
				p.kind, p.resource = iam.KindResource, arn.Text
			}
		}
	}
	if p.resource != "" && p.kind == iam.KindResource {
		if a, err := iam.ParseARN(p.resource); err == nil {
			p.service = a.Service
		}
	}
	return p
}

// typeOf returns the type of a policy as Organizations describes it.
func typeOf(n *cfn.Node) string {
	for _, holder := range []*cfn.Node{n, n.Get("PolicySummary")} {
		if typ := holder.Get("Type"); typ != nil {
			return typ.Text
		}
	}
	return ""
}
