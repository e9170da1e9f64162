package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// pods checks the trust policies of roles that pods use by IRSA: the service
// account gets the role from each of its clusters, and no other service account,
// namespace, audience or cluster does. AssumeRoleWithWebIdentity is an unsigned
// call, so the trust policy alone decides.
func (c *checking) pods() {
	for _, r := range c.plan.roles {
		if r.pods == nil || r.pods.podIdentity() {
			continue
		}
		trust := c.policy(iam.KindTrust, r.arn)
		for i := range r.pods.clusters {
			cluster := &r.pods.clusters[i]
			provider := "arn:" + r.site.Partition + ":iam::" + r.site.ID + ":oidc-provider/" + cluster.issuer()
			ask := func(what, provider, issuer, sub, aud string, want bool) {
				request := &iam.Request{
					Principal:       iam.Principal{Type: iam.PrincipalWebIdentity, ARN: provider},
					Action:          "sts:AssumeRoleWithWebIdentity",
					Resource:        r.arn,
					ResourceAccount: iam.AccountID(r.site.ID),
				}
				if sub != "" {
					request.Context.Set(issuer+":sub", sub)
				}
				if aud != "" {
					request.Context.Set(issuer+":aud", aud)
				}
				c.count(&eval.Input{Request: request, Resource: trust}, want, Failure{
					Grant: r.grants[0], Stage: r.stage, Case: what, Side: "resource", Principal: sub, Action: request.Action, Resource: r.arn,
				})
			}
			issuer, sub := cluster.issuer(), r.pods.subject()
			ask("declared", provider, issuer, sub, audience, true)
			ask("another service account", provider, issuer, sub+"-other", audience, false)
			ask("another namespace", provider, issuer, "system:serviceaccount:other:"+r.pods.Name, audience, false)
			ask("another audience", provider, issuer, sub, "other", false)
			ask("without a subject", provider, issuer, "", audience, false)
			ask("without an audience", provider, issuer, sub, "", false)
			ask("another cluster", provider+"0", issuer+"0", sub, audience, false)
		}
	}
}
