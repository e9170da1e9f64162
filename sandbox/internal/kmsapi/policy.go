package kmsapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit of a key policy in bytes.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
const maxPolicySize = 32 << 10

// defaultPolicy is the key policy of keys made without one: the account's own
// policies decide.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func defaultPolicy(partition string, account iam.AccountID) string {
	return document(statement{
		Sid: "Enable IAM User Permissions", Effect: "Allow",
		Principal: map[string]string{"AWS": "arn:" + partition + ":iam::" + string(account) + ":root"},
		Action:    []string{"kms:*"}, Resource: "*",
	})
}

// managedPolicy is the key policy of an AWS-managed key.
func managedPolicy(k *key, service string) string {
	root := map[string]string{"AWS": "arn:" + k.partition + ":iam::" + string(k.account) + ":root"}
	return document(
		statement{
			Sid: "Allow access through the service for all principals in the account that are authorized to use it", Effect: "Allow",
			Principal: map[string]string{"AWS": "*"},
			Action:    []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"},
			Resource:  "*",
			Condition: map[string]map[string]string{"StringEquals": {
				"kms:CallerAccount": string(k.account),
				"kms:ViaService":    viaService(service, k.region),
			}},
		},
		statement{
			Sid: "Allow direct access to key metadata to the account", Effect: "Allow", Principal: root,
			Action: []string{"kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"}, Resource: "*",
		},
	)
}

type statement struct {
	Sid       string
	Effect    string
	Principal map[string]string
	Action    []string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func document(statements ...statement) string {
	data, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []statement
	}{"2012-10-17", "key-policy", statements})
	if err != nil {
		panic(err) // maps and strings always marshal
	}
	return string(data)
}

// viaService is the name a service has in kms:ViaService: "s3" of a region.
func viaService(service, region string) string {
	suffix := "amazonaws.com"
	if p, ok := iam.PartitionOfRegion(region); ok {
		suffix = p.DNSSuffix
	}
	return strings.TrimSuffix(service, ".amazonaws.com") + "." + region + "." + suffix
}

func (s *Service) parsePolicy(text string, k *key) (*directory.Document, error) {
	if len(text) > maxPolicySize {
		return nil, wire.BadRequest("LimitExceededException", "the key policy has %d bytes, and at most %d are allowed", len(text), maxPolicySize)
	}
	d, err := s.directory.Latest().NewResourceDocument(text, iam.KindResource, "key policy of "+k.id)
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code = "MalformedPolicyDocumentException"
		}
		return nil, &e
	}
	for _, st := range d.Compiled.Source().Statements {
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "kms:") {
				return nil, wire.BadRequest("MalformedPolicyDocumentException", "the action %s is none of KMS", wire.Clip(action))
			}
		}
	}
	return d, nil
}

// lockoutCheck refuses a policy under which the caller could not put another
// one.
//
// https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
func lockoutCheck(c *authz.Call, k *key) error {
	allowed, _ := c.Allowed(query(c, "kms:PutKeyPolicy", k, nil, "", nil))
	if !allowed {
		return wire.BadRequest("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// authorize asks whether the caller may use a key. Used is how the request
// named it.
func (s *Service) authorize(c *authz.Call, action string, k *key, used string) error {
	return c.Authorize(query(c, action, k, s.regions[k.place].aliasesOf(k.id), used, nil))
}

// query has the condition keys of KMS.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
func query(c *authz.Call, action string, k *key, aliases []string, used string, more func(*iam.Context)) authz.Query {
	return authz.Query{
		Action: action, Resource: k.arn(), ResourceAccount: k.account,
		ResourcePolicy: k.policy.Compiled, ResourceTags: k.tags,
		Context: func(ctx *iam.Context) {
			callerKeys(c, ctx)
			kindKeys(ctx)
			if len(aliases) > 0 {
				ctx.SetMulti("kms:ResourceAliases", aliases...)
			}
			if i := strings.Index(used, "alias/"); i >= 0 {
				ctx.Set("kms:RequestAlias", used[i:])
			}
			if more != nil {
				more(ctx)
			}
		},
	}
}

func callerKeys(c *authz.Call, ctx *iam.Context) {
	if account := c.Account(); account != "" {
		ctx.Set("kms:CallerAccount", string(account))
	}
	if len(c.Via) > 0 {
		ctx.Set("kms:ViaService", viaService(c.Via[len(c.Via)-1], c.Region))
	}
}

func kindKeys(ctx *iam.Context) {
	ctx.Set("kms:KeySpec", symmetric)
	ctx.Set("kms:KeyUsage", "ENCRYPT_DECRYPT")
	ctx.Set("kms:KeyOrigin", "AWS_KMS")
	ctx.Set("kms:MultiRegion", "false")
}

// GetKeyPolicyInput is the input of GetKeyPolicy.
type GetKeyPolicyInput struct {
	KeyID      string `json:"KeyId"`
	PolicyName string
}

// GetKeyPolicyOutput is the output of GetKeyPolicy.
type GetKeyPolicyOutput struct{ Policy, PolicyName string }

// GetKeyPolicy shows the key policy, principals as they are called now.
func (s *Service) GetKeyPolicy(c *authz.Call, in *GetKeyPolicyInput) (*GetKeyPolicyOutput, error) {
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.KeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "kms:GetKeyPolicy", k, ""); err != nil {
		return nil, err
	}
	return &GetKeyPolicyOutput{s.directory.Latest().Text(k.policy), "default"}, nil
}

func checkPolicyName(name string) error {
	if name != "" && name != "default" {
		return wire.BadRequest("NotFoundException", "No such policy exists")
	}
	return nil
}

// PutKeyPolicyInput is the input of PutKeyPolicy.
type PutKeyPolicyInput struct {
	KeyID                          string `json:"KeyId"`
	PolicyName, Policy             string
	BypassPolicyLockoutSafetyCheck bool
}

// PutKeyPolicy replaces the key policy.
func (s *Service) PutKeyPolicy(c *authz.Call, in *PutKeyPolicyInput) (*struct{}, error) {
	if err := awsjson.Required("Policy", in.Policy); err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(c, in.KeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	bypass := func(ctx *iam.Context) {
		ctx.Set("kms:BypassPolicyLockoutSafetyCheck", fmt.Sprint(in.BypassPolicyLockoutSafetyCheck))
	}
	if err := c.Authorize(query(c, "kms:PutKeyPolicy", k, s.regions[k.place].aliasesOf(k.id), "", bypass)); err != nil {
		return nil, err
	}
	if k.manager == managedByAWS {
		return nil, wire.BadRequest("AccessDeniedException", "%s is an AWS managed key, whose policy cannot be changed", k.arn())
	}
	changed := *k
	if changed.policy, err = s.parsePolicy(in.Policy, k); err != nil {
		return nil, err
	}
	if !in.BypassPolicyLockoutSafetyCheck {
		if err := lockoutCheck(c, &changed); err != nil {
			return nil, err
		}
	}
	k.policy = changed.policy
	return nil, nil
}

// ListKeyPoliciesOutput names the one policy a key has.
type ListKeyPoliciesOutput struct {
	PolicyNames []string
	Truncated   bool
}

// ListKeyPolicies lists the name of the one policy.
func (s *Service) ListKeyPolicies(c *authz.Call, in *KeyInput) (*ListKeyPoliciesOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.KeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "kms:ListKeyPolicies", k, ""); err != nil {
		return nil, err
	}
	return &ListKeyPoliciesOutput{PolicyNames: []string{"default"}}, nil
}
