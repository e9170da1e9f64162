package world

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A caller is the principal of a question with all that is known about it.
type caller struct {
	kind     FindingKind
	text     string // as in Question.Principal
	iam      iam.Principal
	record   *principal // nil if the world does not have it
	account  *account   // nil for services and anonymous callers
	userID   string     // aws:userid, "" if unknown
	userName string
	policies []*policy
	limit    *policy
	assumed  []string // assumptions
}

// caller resolves the principal of a question. The world must be locked.
func (w *World) caller(text string) (*caller, error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("principal: is empty; name an ARN, a service such as states.amazonaws.com, or %s", Anonymous)
	case text == Anonymous:
		return &caller{kind: FindAnonymous, text: text, iam: iam.Principal{Type: iam.PrincipalAnonymous}}, nil
	case text == AnyPrincipal:
		return w.anyone(), nil
	case isServicePrincipal(text):
		return &caller{kind: FindService, text: text, iam: iam.Principal{Type: iam.PrincipalService, ARN: text}}, nil
	}
	if id, err := iam.ParseAccountID(text); err == nil {
		return w.anyOf(id), nil
	}
	arn, err := iam.ParseARN(text)
	if err != nil && isProviderName(text) {
		return &caller{kind: FindProvider, text: text, iam: iam.Principal{Type: iam.PrincipalWebIdentity, ARN: text}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("principal: %w; name an ARN, an account, a service such as states.amazonaws.com, or %s", err, Anonymous)
	}
	if strings.ContainsAny(text, "*?") {
		return nil, fmt.Errorf("principal: %q has a wildcard; name one principal", text)
	}
	return w.arnCaller(text, arn)
}

// AnyPrincipal stands for an AWS principal of an account that the world does not
// list, about which nothing is known.
const AnyPrincipal = "*"

func isServicePrincipal(s string) bool {
	return !strings.Contains(s, ":") && (strings.HasSuffix(s, ".amazonaws.com") || strings.HasSuffix(s, ".amazonaws.com.cn")) &&
		!strings.HasPrefix(s, "cognito-identity.")
}

// isProviderName reports whether s names a provider that policies call by its
// host, such as accounts.google.com.
func isProviderName(s string) bool {
	return strings.Contains(s, ".") && !strings.ContainsAny(s, ":/* ")
}

func (w *World) arnCaller(text string, arn iam.ARN) (*caller, error) {
	id, err := iam.ParseAccountID(arn.Account)
	if err != nil {
		return nil, fmt.Errorf("principal: %q names no account: %w", text, err)
	}
	kind, rest, _ := strings.Cut(arn.Resource, "/")
	c := &caller{kind: FindPrincipal, text: text, account: w.account(id), iam: iam.Principal{ARN: text, Account: id}}
	switch {
	case arn.Service == "iam" && (kind == "oidc-provider" || kind == "saml-provider") && rest != "":
		return &caller{kind: FindProvider, text: text, iam: iam.Principal{Type: iam.PrincipalWebIdentity, ARN: text}}, nil
	case arn.Service == "iam" && arn.Resource == "root":
		c.iam.Type, c.userID = iam.PrincipalRootUser, string(id)
		c.record = w.principals[text]
	case arn.Service == "iam" && kind == "user" && rest != "":
		c.iam.Type, c.userName = iam.PrincipalUser, lastName(rest)
		c.record = w.principals[text]
		if c.record != nil {
			c.userID = c.record.id
		}
	case arn.Service == "iam" && kind == "role" && rest != "":
		c.iam.Type = iam.PrincipalRole
		c.record = w.principals[text]
	case arn.Service == "sts" && kind == "assumed-role":
		role, session, ok := strings.Cut(rest, "/")
		if !ok || role == "" || session == "" {
			return nil, fmt.Errorf("principal: %q is no session of a role: …:assumed-role/ROLE/SESSION", text)
		}
		c.iam.Type = iam.PrincipalRoleSession
		if c.record = w.names[nameKey{id, role}]; c.record != nil {
			c.iam.RoleARN = c.record.arn
			if c.record.id != "" {
				c.userID = c.record.id + ":" + session
			}
		}
	case arn.Service == "sts" && kind == "federated-user" && rest != "":
		// Its permissions are those of a user that the ARN does not name.
		c.iam.Type = iam.PrincipalFederatedUser
		c.userID = string(id) + ":" + rest
		c.unknown("the policies of the user behind " + text)
		return c, nil
	default:
		return nil, fmt.Errorf("principal: %q is not the ARN of a user, role, role session, federated user, identity provider or account root", text)
	}
	if c.record == nil {
		if c.account.listed && c.account.principal {
			return nil, fmt.Errorf("principal: %q does not exist: the world lists all principals of account %s", text, id)
		}
		if c.iam.Type != iam.PrincipalRootUser {
			c.unknown("the policies of " + text)
		}
		c.kind = FindExternal
		return c, nil
	}
	c.known()
	return c, nil
}

// known takes over what the world knows of the principal.
func (c *caller) known() {
	c.iam.UniqueID = c.record.id
	c.policies, c.limit = c.record.policies, c.record.limit
	if c.account.org == "" && c.account.listed {
		c.assumed = append(c.assumed, fmt.Sprintf("account %s is in no organisation of this world: no service control policies were considered", c.account.id))
	}
}

// unknown says that the principal's own policies are not in the world. A
// federated user's session policies are among them.
func (c *caller) unknown(what string) {
	c.policies = []*policy{newStandIn(iam.KindIdentity, what)}
}

// anyOf returns a caller that stands for any principal of an account.
func (w *World) anyOf(id iam.AccountID) *caller {
	c := &caller{kind: FindExternalAccount, text: string(id), account: w.account(id), iam: iam.Principal{Type: iam.PrincipalRole, Account: id}}
	c.unknown("the policies of a principal of account " + string(id))
	return c
}

// anyone returns a caller that stands for any principal of any account that the
// world does not list. Its account is none that a policy could name.
func (w *World) anyone() *caller {
	c := &caller{kind: FindAnyone, text: AnyPrincipal, account: &account{}, iam: iam.Principal{Type: iam.PrincipalRole, Account: "*"}}
	c.unknown("the policies of the principal")
	return c
}

// recordCaller returns the caller for a principal of the world.
func (w *World) recordCaller(p *principal) *caller {
	c := &caller{kind: FindPrincipal, text: p.arn, account: w.account(p.account), record: p}
	c.iam = iam.Principal{Type: p.kind, ARN: p.arn, Account: p.account}
	switch p.kind {
	case iam.PrincipalRootUser:
		c.userID = string(p.account)
	case iam.PrincipalUser:
		c.userID, c.userName = p.id, lastName(p.arn)
	default:
	}
	c.iam.UniqueID, c.policies, c.limit = p.id, p.policies, p.limit
	return c
}

// account returns what is known about an account, which may be nothing.
func (w *World) account(id iam.AccountID) *account {
	if a := w.accounts[id]; a != nil {
		return a
	}
	return &account{id: id}
}

// roleARN returns what aws:PrincipalArn is for the caller: for sessions the role
// itself; "" if that is unknown.
func (c *caller) principalARN() string {
	if c.iam.Type == iam.PrincipalRoleSession {
		return c.iam.RoleARN
	}
	return c.iam.ARN
}

// setKeys sets the condition keys about the caller. It sets the same keys for
// every kind of caller, apart from tags, so that a context can be used again.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func (c *caller) setKeys(ctx *keySetter) {
	switch c.iam.Type {
	case iam.PrincipalAnonymous:
		ctx.set("aws:PrincipalAccount", "anonymous")
		ctx.set("aws:PrincipalType", "Anonymous")
		ctx.set("aws:userid", "anonymous")
		ctx.absent("aws:PrincipalArn", "aws:username", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:FederatedProvider")
	case iam.PrincipalService:
		ctx.absent("aws:PrincipalAccount", "aws:PrincipalArn", "aws:username", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:FederatedProvider")
		ctx.unknown("aws:PrincipalType", "aws:userid")
	case iam.PrincipalWebIdentity:
		ctx.absent("aws:PrincipalArn", "aws:username", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths")
		ctx.unknown("aws:PrincipalAccount", "aws:PrincipalType", "aws:userid")
		ctx.set("aws:FederatedProvider", c.iam.ARN)
	default:
		c.setAccountKeys(ctx)
	}

	if c.record == nil { // else they are set, see World.keys
		c.setServiceKeys(ctx)
	}
	if c.record != nil {
		ctx.principalTags(c.record.tags)
	} else {
		ctx.principalTags(nil)
	}
}

// setServiceKeys sets the keys that only calls by services have.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalisawsservice
func (c *caller) setServiceKeys(ctx *keySetter) {
	if c.iam.Type == iam.PrincipalService {
		ctx.set("aws:PrincipalIsAWSService", "true")
		ctx.set("aws:PrincipalServiceName", c.iam.ARN)
		ctx.unknown("aws:PrincipalServiceNamesList", "aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths")
		return
	}
	ctx.set("aws:PrincipalIsAWSService", "false")
	ctx.absent("aws:PrincipalServiceName", "aws:PrincipalServiceNamesList",
		"aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths")
}

// tagsKnown reports whether the caller has no tags but those the world knows.
// For a role these are the tags of the role; session tags are for the question
// to give.
func (c *caller) tagsKnown() bool { return c.record != nil || c.account == nil }

// setAccountKeys is setKeys for callers that belong to an account.
func (c *caller) setAccountKeys(ctx *keySetter) {
	ctx.orUnknown("aws:PrincipalArn", c.principalARN())
	ctx.orUnknown("aws:userid", c.userID)
	if id := string(c.iam.Account); id != "*" {
		ctx.set("aws:PrincipalAccount", id)
	} else {
		ctx.unknown("aws:PrincipalAccount")
	}
	switch c.iam.Type {
	case iam.PrincipalUser:
		ctx.set("aws:PrincipalType", "User")
		ctx.set("aws:username", c.userName)
		ctx.absent("aws:FederatedProvider")
	case iam.PrincipalRootUser:
		ctx.set("aws:PrincipalType", "Account")
		ctx.absent("aws:username", "aws:FederatedProvider")
	case iam.PrincipalFederatedUser:
		ctx.set("aws:PrincipalType", "FederatedUser")
		ctx.absent("aws:username")
		ctx.unknown("aws:FederatedProvider")
	default:
		if c.iam.ARN == "" { // any principal, perhaps a user
			ctx.unknown("aws:PrincipalType", "aws:username", "aws:FederatedProvider")
			break
		}
		ctx.set("aws:PrincipalType", "AssumedRole")
		ctx.absent("aws:username")
		ctx.unknown("aws:FederatedProvider")
	}
	ctx.organization("aws:PrincipalOrgID", "aws:PrincipalOrgPaths", c.account)
}

// serviceControl returns the SCPs over the caller.
func (c *caller) serviceControl() [][]*eval.Policy {
	if c.account == nil {
		return nil
	}
	return c.account.serviceControl
}
