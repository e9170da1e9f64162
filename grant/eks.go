package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// Roles of pods on EKS. With IRSA a pod shows the token of its service account,
// and the role trusts the cluster's identity provider for exactly one namespace
// and service account. With Pod Identity an agent on the node asks EKS, and the
// role trusts EKS.
//
// https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html

// audience is what the tokens of service accounts are made for.
const audience = "sts.amazonaws.com"

// A pods is the service account that uses a role, in one stage.
type pods struct {
	*ServiceAccount
	clusters []cluster
}

type cluster struct {
	key string // in the manifest
	Cluster
	site *site
}

func (c *cluster) name() string {
	if c.Name != "" {
		return c.Name
	}
	return c.key
}

// issuer is the identity provider without its scheme, as condition keys and ARNs
// have it.
func (c *cluster) issuer() string { return strings.TrimPrefix(c.Issuer, "https://") }

func (c *cluster) arn() string {
	return fmt.Sprintf("arn:%s:eks:%s:%s:cluster/%s", c.site.Partition, c.site.Region, c.site.ID, c.name())
}

// identity is the external ID that EKS sends when session tags are off.
func (p *pods) identity(c *cluster) string {
	return strings.Join([]string{c.site.Region, c.site.ID, c.name(), p.Namespace, p.Name}, "/")
}

func (p *pods) subject() string { return "system:serviceaccount:" + p.Namespace + ":" + p.Name }

func (p *pods) podIdentity() bool { return p != nil && p.Via == "pod-identity" }

// created reports whether the plan creates the role.
func (r *Role) created() bool { return r.Create != "" || r.ServiceAccount != nil }

// pods returns the service account of a role in a stage of its consumer.
func (x *expander) pods(role *Role, at, stage string, s *site) (*pods, bool) {
	if role.ServiceAccount == nil {
		return nil, true
	}
	p := &pods{ServiceAccount: role.ServiceAccount}
	names := role.ServiceAccount.Clusters[stage]
	if len(names) == 0 {
		x.report(x.m.problem(RuleMissing, at+".service_account", "add clusters."+stage, "there is no cluster for the consumer's stage %q", stage))
		return nil, false
	}
	for _, name := range names {
		c := cluster{key: name, Cluster: x.m.Clusters[name]}
		c.site = x.site(c.Account, c.Region)
		p.clusters = append(p.clusters, c)
		if p.podIdentity() && c.site.ID != s.ID {
			x.report(x.m.problem(RuleReference, at+".service_account", "use irsa, or a role in the cluster's account", "the role is in the account %q and the cluster %q in %q; Pod Identity needs both in one", s.Account, name, c.Account))
			return nil, false
		}
	}
	return p, true
}

// clusters checks the clusters.
func (v *validator) clusters() {
	for _, name := range sortedKeys(v.m.Clusters) {
		if _, ok := v.m.Accounts[v.m.Clusters[name].Account]; !ok {
			v.report(v.m.unknown("clusters."+name+".account", "account", v.m.Clusters[name].Account, sortedKeys(v.m.Accounts)))
		}
	}
}

func (v *validator) serviceAccount(at string, r *Role) {
	sa := r.ServiceAccount
	if sa == nil {
		return
	}
	if r.Create != "" {
		v.report(v.m.problem(RuleValue, at+".create", "remove it", "a role of a service account is created for that, and for no AWS service"))
	}
	for _, stage := range sortedKeys(sa.Clusters) {
		for i, name := range sa.Clusters[stage] {
			c, ok := v.m.Clusters[name]
			here := fmt.Sprintf("%s.service_account.clusters.%s[%d]", at, stage, i)
			if !ok {
				v.report(v.m.unknown(here, "cluster", name, sortedKeys(v.m.Clusters)))
			} else if c.Issuer == "" && sa.Via != "pod-identity" {
				v.report(v.m.problem(RuleMissing, here, "add clusters."+name+".issuer, as aws eks describe-cluster shows it", "the issuer of the cluster %q is not known", name))
			}
		}
	}
	if sa.SessionTags != nil && sa.Via != "pod-identity" {
		v.report(v.m.problem(RuleValue, at+".service_account.session_tags", "remove it", "only Pod Identity has session tags"))
	}
}

// podTrust is the trust policy of a role for pods.
func (b *builder) podTrust(r *roleUnit) *iam.Policy {
	out := &iam.Policy{Version: iam.Version2012}
	if r.pods.podIdentity() {
		s := iam.Statement{Sid: "AllowPods", Effect: iam.Allow, Principal: &iam.Principals{Service: []string{"pods.eks.amazonaws.com"}}, Action: []string{"sts:AssumeRole", "sts:TagSession"}}
		if r.pods.tagged() {
			s.Conditions = r.pods.tags()
		} else {
			// AWS documents no conditions for associations without tags: samples of its
			// own have aws:SourceAccount, and the form of aws:SourceArn, whether of the
			// cluster or of the association, is nowhere, so a guess could lock pods out.
			// Who may use the role is then who may associate it (iam:PassRole), and
			// roles in other accounts ask for the external ID.
			// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
			s.Conditions = condition("StringEquals", "aws:SourceAccount", r.site.ID)
		}
		out.Statements = append(out.Statements, s)
		return out
	}
	for i := range r.pods.clusters {
		c := &r.pods.clusters[i]
		s := iam.Statement{
			Sid: "AllowPods", Effect: iam.Allow,
			Principal: &iam.Principals{Federated: []string{b.provider(r, c)}},
			Action:    []string{"sts:AssumeRoleWithWebIdentity"},
			// Without :sub any pod of the cluster could use the role.
			Conditions: append(condition("StringEquals", c.issuer()+":aud", audience), condition("StringEquals", c.issuer()+":sub", r.pods.subject())...),
		}
		out.Statements = append(out.Statements, s)
	}
	uniqueSids(out)
	return out
}

// tagged reports whether EKS sends session tags, as it does unless told not to.
func (p *pods) tagged() bool { return p.SessionTags == nil || *p.SessionTags }

// tags are conditions on the tags that EKS puts on sessions of pods. They are
// transitive, so the next role in a chain sees them too.
func (p *pods) tags() []iam.Condition {
	var arns []string
	for i := range p.clusters {
		arns = append(arns, p.clusters[i].arn())
	}
	return slices.Concat(
		condition("StringEquals", "aws:RequestTag/eks-cluster-arn", arns...),
		condition("StringEquals", "aws:RequestTag/kubernetes-namespace", p.Namespace),
		condition("StringEquals", "aws:RequestTag/kubernetes-service-account", p.Name),
	)
}

// provider returns the ARN of the identity provider of a cluster in the role's
// account, where one is made unless there is one: an account has one for each
// issuer.
func (b *builder) provider(r *roleUnit, c *cluster) string {
	arn := "arn:" + r.site.Partition + ":iam::" + r.site.ID + ":oidc-provider/" + c.issuer()
	if c.Provider == "exists" || b.options.Format == Policies {
		return arn
	}
	key := "oidc/" + r.site.ID + "/" + c.issuer()
	tags := b.tags(r.owner, r.app, r.stage, nil)
	b.unit(&unit{
		key: key, id: camel(c.key, "Provider"), site: r.site, stage: r.stage, phase: phaseRoles, path: "clusters." + c.key, owner: r.owner, app: r.app, grants: r.grants,
		kind: &template.Generic{
			TypeName:   "AWS::IAM::OIDCProvider",
			Properties: template.Object{{Key: "Url", Value: c.Issuer}, {Key: "ClientIdList", Value: []any{audience}}, {Key: "Tags", Value: tagList(tags)}},
			Attributes: map[string]string{"Arn": "Ref"},
			Terraform: []template.Block{{Type: "aws_iam_openid_connect_provider", Attributes: map[string]string{"Arn": "arn"},
				Arguments: template.Object{{Key: "url", Value: c.Issuer}, {Key: "client_id_list", Value: []any{audience}}, {Key: "tags", Value: tagMap(tags)}}}},
		},
	})
	b.providers[unitValue(key, "Arn")] = arn
	return unitValue(key, "Arn")
}

// associations tell EKS which role the pods of a service account get. If the
// pods use one role in another account and nothing else, EKS assumes it for
// them.
func (b *builder) associations(r *roleUnit) {
	if !r.pods.podIdentity() || b.options.Format == Policies {
		return
	}
	for i := range r.pods.clusters {
		c := &r.pods.clusters[i]
		o := template.Object{
			{Key: "ClusterName", Value: c.name()}, {Key: "Namespace", Value: r.pods.Namespace}, {Key: "ServiceAccount", Value: r.pods.Name},
			{Key: "RoleArn", Value: r.arn},
		}
		arguments := template.Object{
			{Key: "cluster_name", Value: c.name()}, {Key: "namespace", Value: r.pods.Namespace}, {Key: "service_account", Value: r.pods.Name},
			{Key: "role_arn", Value: r.arn},
		}
		if target := r.target(); target != "" {
			o.Add("TargetRoleArn", target)
			arguments.Add("target_role_arn", target)
		}
		if !r.pods.tagged() {
			o.Add("DisableSessionTags", true)
			arguments.Add("disable_session_tags", true)
		}
		o.Add("Tags", tagList(r.tags))
		arguments.Add("tags", tagMap(r.tags))
		b.unit(&unit{
			key: r.key + "/association/" + c.key, id: camel(r.name, c.key, "Association"), site: c.site, stage: r.stage, phase: phaseIntegrations, path: r.path, owner: r.owner, app: r.app, grants: r.grants, needs: []string{r.key},
			kind: &template.Generic{TypeName: "AWS::EKS::PodIdentityAssociation", Properties: o, Terraform: []template.Block{{Type: "aws_eks_pod_identity_association", Arguments: arguments}}},
		})
	}
}

// target returns the one role that the pods use, or "".
func (r *roleUnit) target() string {
	if len(r.assumes) == 1 && !r.direct {
		return r.assumes[0]
	}
	return ""
}
