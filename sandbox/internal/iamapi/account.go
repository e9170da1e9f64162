package iamapi

import (
	"regexp"

	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// everything is the target of operations that name no resource.
var everything = target{arn: "*"}

// ListAccountAliasesInput is the input of ListAccountAliases.
type ListAccountAliasesInput struct{ Paging }

// ListAccountAliasesOutput is the output of ListAccountAliases.
type ListAccountAliasesOutput struct {
	AccountAliases []string // none or one
	Paged
}

// ListAccountAliases returns the account's alias.
func (s *Service) ListAccountAliases(c *authz.Call, _ *ListAccountAliasesInput) (*ListAccountAliasesOutput, error) {
	if err := s.authorize(c, "ListAccountAliases", everything, details{}); err != nil {
		return nil, err
	}
	a, err := s.account(c)
	if err != nil {
		return nil, err
	}
	out := &ListAccountAliasesOutput{}
	if alias := a.Alias(); alias != "" {
		out.AccountAliases = []string{alias}
	}
	return out, nil
}

// AccountAliasInput names an account alias.
type AccountAliasInput struct{ AccountAlias string }

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccountAlias.html
var aliasPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9]|-[a-z0-9])+$`)

func checkAlias(alias string) error {
	if len(alias) < 3 || len(alias) > 63 || !aliasPattern.MatchString(alias) {
		return invalid("accountAlias", "Member must have 3 to 63 lower-case letters and digits, with single hyphens between them")
	}
	return nil
}

// CreateAccountAlias gives the account an alias in place of the one it had.
func (s *Service) CreateAccountAlias(c *authz.Call, in *AccountAliasInput) error {
	if err := checkAlias(in.AccountAlias); err != nil {
		return err
	}
	if err := s.authorize(c, "CreateAccountAlias", everything, details{}); err != nil {
		return err
	}
	return s.directory.SetAlias(c.Account(), in.AccountAlias)
}

// DeleteAccountAlias takes the account's alias away.
func (s *Service) DeleteAccountAlias(c *authz.Call, in *AccountAliasInput) error {
	if err := checkAlias(in.AccountAlias); err != nil {
		return err
	}
	if err := s.authorize(c, "DeleteAccountAlias", everything, details{}); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	if a.Alias() != in.AccountAlias {
		return noSuchEntity("The account alias %s cannot be found.", in.AccountAlias)
	}
	return s.directory.SetAlias(c.Account(), "")
}

// GetAccountSummaryInput is the input of GetAccountSummary.
type GetAccountSummaryInput struct{}

// GetAccountSummaryOutput is the output of GetAccountSummary.
type GetAccountSummaryOutput struct{ SummaryMap map[string]int }

// GetAccountSummary returns how many users, roles and policies the account
// has, and the quotas the sandbox enforces.
func (s *Service) GetAccountSummary(c *authz.Call, _ *GetAccountSummaryInput) (*GetAccountSummaryOutput, error) {
	if err := s.authorize(c, "GetAccountSummary", everything, details{}); err != nil {
		return nil, err
	}
	counts := s.latest().Count(c.Account())
	return &GetAccountSummaryOutput{SummaryMap: map[string]int{
		"Users":                             counts.Users,
		"Roles":                             counts.Roles,
		"Policies":                          counts.ManagedPolicies,
		"PolicyVersionsInUse":               counts.PolicyVersions,
		"Providers":                         len(s.latest().OIDCProviders(c.Account())),
		"Groups":                            0,
		"InstanceProfiles":                  0,
		"MFADevices":                        0,
		"AccountMFAEnabled":                 0,
		"AccountAccessKeysPresent":          1,
		"AccessKeysPerUserQuota":            reference.MaxAccessKeysPerUser,
		"AssumeRolePolicySizeQuota":         reference.MaxTrustPolicySize,
		"AttachedPoliciesPerRoleQuota":      reference.MaxManagedPoliciesPerRole,
		"AttachedPoliciesPerUserQuota":      reference.MaxManagedPoliciesPerRole,
		"PolicySizeQuota":                   reference.MaxManagedPolicySize,
		"UserPolicySizeQuota":               reference.MaxUserInlineSize,
		"VersionsPerPolicyQuota":            reference.MaxPolicyVersions,
		"GlobalEndpointTokenVersion":        2,
		"AccountSigningCertificatesPresent": 0,
	}}, nil
}

// GetAccountAuthorizationDetailsInput is the input of
// GetAccountAuthorizationDetails.
type GetAccountAuthorizationDetailsInput struct {
	Filter []string // "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"; empty means all
	Paging
}

// GetAccountAuthorizationDetailsOutput is the output of
// GetAccountAuthorizationDetails.
type GetAccountAuthorizationDetailsOutput struct {
	UserDetailList  []UserDetail
	GroupDetailList []struct{} // none: the sandbox has no groups
	RoleDetailList  []RoleDetail
	Policies        []ManagedPolicyDetail
	Paged
}

// A PolicyDetail is an inline policy.
type PolicyDetail struct {
	PolicyName     string
	PolicyDocument string // URL-encoded JSON (RFC 3986)
}

// A UserDetail is a user with its policies.
type UserDetail struct {
	User
	UserPolicyList          []PolicyDetail
	GroupList               []string
	AttachedManagedPolicies []AttachedPolicy
}

// A RoleDetail is a role with its policies.
type RoleDetail struct {
	Role
	InstanceProfileList     []struct{}
	RolePolicyList          []PolicyDetail
	AttachedManagedPolicies []AttachedPolicy
}

// A ManagedPolicyDetail is a managed policy with its versions.
type ManagedPolicyDetail struct {
	Policy
	PolicyVersionList []PolicyVersion
}

// GetAccountAuthorizationDetails returns users, roles and managed policies with
// everything that decides what they may do. Of AWS's own policies only those in
// use are returned.
func (s *Service) GetAccountAuthorizationDetails(c *authz.Call, in *GetAccountAuthorizationDetailsInput) (*GetAccountAuthorizationDetailsOutput, error) {
	after, limit, err := in.start()
	if err != nil {
		return nil, err
	}
	for _, filter := range in.Filter {
		if err := oneOf("filter", filter, "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"); err != nil {
			return nil, err
		}
	}
	if err := s.authorize(c, "GetAccountAuthorizationDetails", everything, details{}); err != nil {
		return nil, err
	}
	a, err := s.account(c)
	if err != nil {
		return nil, err
	}
	out := &GetAccountAuthorizationDetailsOutput{}
	out.Paged = s.gather(a, in.Filter, after, limit, func(item any) {
		switch v := item.(type) {
		case *directory.User:
			out.UserDetailList = append(out.UserDetailList, UserDetail{
				User: user(v), UserPolicyList: inlineDetails(&v.Identity), AttachedManagedPolicies: attachedPolicies(&v.Identity),
			})
		case *directory.Role:
			shape := s.role(v)
			shape.Description, shape.MaxSessionDuration = "", 0 // not among a role's details
			out.RoleDetailList = append(out.RoleDetailList, RoleDetail{
				Role: shape, RolePolicyList: inlineDetails(&v.Identity), AttachedManagedPolicies: attachedPolicies(&v.Identity),
			})
		case *directory.ManagedPolicy:
			out.Policies = append(out.Policies, s.policyDetail(c, v))
		}
	})
	return out, nil
}

func inlineDetails(i *directory.Identity) []PolicyDetail {
	list := make([]PolicyDetail, len(i.Inline))
	for n, p := range i.Inline {
		list[n] = PolicyDetail{p.Name, encode(p.Document.Text)}
	}
	return list
}

func attachedPolicies(i *directory.Identity) []AttachedPolicy {
	list := make([]AttachedPolicy, len(i.Attached))
	for n, arn := range i.Attached {
		list[n] = attachedPolicy(arn)
	}
	return list
}

func (s *Service) policyDetail(c *authz.Call, p *directory.ManagedPolicy) ManagedPolicyDetail {
	detail := ManagedPolicyDetail{Policy: s.policy(c, p)}
	detail.Description = p.Description
	for _, v := range p.Versions {
		shape := listedVersion(p, v)
		shape.Document = encode(v.Document.Text)
		detail.PolicyVersionList = append(detail.PolicyVersionList, shape)
	}
	return detail
}
