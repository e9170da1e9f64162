package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// completed fills in what follows from the policy itself.
func (o Options) completed(p *iam.Policy) Options {
	if o.Kind == 0 {
		o.Kind = DetectKind(p)
	}
	o.Service = strings.ToLower(o.Service)
	if a, err := iam.ParseARN(o.Resource); err == nil {
		if o.Service == "" && o.Kind == iam.KindResource {
			o.Service = a.Service
		}
		if id, err := iam.ParseAccountID(a.Account); err == nil && o.Account == "" {
			o.Account = id
		}
	}
	if o.Kind == iam.KindResource {
		service, account := ownResources(p)
		if o.Service == "" {
			o.Service = DetectService(p)
		}
		if o.Service == "" {
			o.Service = service
		}
		if o.Account == "" {
			o.Account, o.derived = account, account != ""
		}
	}
	return o
}

// ownResources returns the service and the account of the resources that a
// resource policy names, which are its own, each empty where they do not agree
// or do not say.
func ownResources(p *iam.Policy) (service string, account iam.AccountID) {
	services, accounts := make(map[string]bool), make(map[string]bool)
	for i := range p.Statements {
		for _, resource := range p.Statements[i].Resource {
			if a, err := iam.ParseARN(resource); err == nil {
				services[a.Service], accounts[a.Account] = true, true
			}
		}
	}
	if len(services) == 1 {
		for service = range services {
			if open(service) || hasWildcard(service) {
				service = ""
			}
		}
	}
	if len(accounts) == 1 {
		for id := range accounts {
			account, _ = iam.ParseAccountID(id)
		}
	}
	return service, account
}

// DetectKind says what a policy looks like when nobody knows what it is attached
// to. A document with principals is a trust policy if it only assumes roles, and
// a resource policy otherwise. One without principals is an identity policy: a
// boundary, a session policy and a service control policy look the same, and so
// do a resource control policy and a resource policy.
func DetectKind(p *iam.Policy) iam.Kind {
	principals, trust, resources := false, len(p.Statements) > 0, false
	for i := range p.Statements {
		s := &p.Statements[i]
		principals = principals || s.Principal != nil || s.NotPrincipal != nil
		resources = resources || s.Resource != nil || s.NotResource != nil
		trust = trust && len(s.Action) > 0 && !slices.ContainsFunc(s.Action, func(action string) bool {
			// With a resource, sts:* is what the endpoint of STS allows.
			return !isTrustAction(action) && (s.Resource != nil || !strings.EqualFold(action, "sts:*"))
		})
	}
	switch {
	case trust && (principals || !resources):
		return iam.KindTrust
	case isEndpointDefault(p):
		return iam.KindEndpoint
	case principals:
		return iam.KindResource
	}
	return iam.KindIdentity
}

// isTrustAction reports whether an action is one of those of trust policies, or
// is meant to be: any action of STS beginning like them.
func isTrustAction(action string) bool {
	lower := strings.ToLower(action)
	return slices.Contains(trustActions, lower) || strings.HasPrefix(lower, "sts:assume")
}

// isEndpointDefault recognises the policy that AWS gives a VPC endpoint:
// everything, for everybody, on everything. It means nothing anywhere else.
//
// https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
func isEndpointDefault(p *iam.Policy) bool {
	if len(p.Statements) != 1 {
		return false
	}
	s := &p.Statements[0]
	return s.Effect == iam.Allow && s.Principal != nil && (s.Principal.All || slices.Equal(s.Principal.AWS, []string{"*"})) &&
		slices.Equal(s.Action, []string{"*"}) && slices.Equal(s.Resource, []string{"*"})
}

// DetectService returns the service that all actions of a resource policy belong
// to, or "" if they do not agree.
func DetectService(p *iam.Policy) string {
	service := ""
	for i := range p.Statements {
		for _, list := range [][]string{p.Statements[i].Action, p.Statements[i].NotAction} {
			for _, action := range list {
				prefix, _, hasColon := strings.Cut(strings.ToLower(action), ":")
				if isBearerToken(action) || allWildcards(action) {
					continue
				}
				if !hasColon || open(prefix) || hasWildcard(prefix) || service != "" && service != prefix {
					return ""
				}
				service = prefix
			}
		}
	}
	for owner, prefixes := range policyServices {
		if owner != service && slices.Contains(prefixes, service) {
			return owner
		}
	}
	return service
}
