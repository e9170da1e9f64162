package crossaccount

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/broker"
)

// AuditHandOuts writes an audit record for each hand-out of credentials to
// another process; [broker.EndpointConfig] HandedOut can be this method. The actor
// is the hand-out's caller, after "token " if it had one, and the access key id
// joins the record with that of the assumption and with the customer's CloudTrail.
func (c *Client) AuditHandOuts(ctx context.Context, handOuts []broker.HandOut) error {
	records := make([]AuditRecord, 0, len(handOuts))
	for i := range handOuts {
		h := &handOuts[i]
		subject := &Integration{CustomerID: h.Customer, ID: h.Integration}
		actor := h.Caller
		if h.TokenID != "" {
			actor = "token " + actor // its name is free, and must not look like an operator's
		}
		record, err := c.audited(WithActor(ctx, actor), subject, ActionHandedOut, outcomeOK)
		if err != nil {
			return err
		}
		record.RoleARN, record.SessionName = h.RoleARN, h.SessionName
		record.Details = map[string]string{
			"access_key_id": h.AccessKeyID,
			"count":         strconv.Itoa(h.Count),
			"expires":       h.Expires.UTC().Format(time.RFC3339),
			"minute":        h.Minute.UTC().Format(time.RFC3339),
		}
		for name, value := range map[string]string{"purpose": h.Purpose, "token": h.TokenID} {
			if value != "" {
				record.Details[name] = value
			}
		}
		records = append(records, record)
	}
	if len(records) == 0 {
		return nil
	}
	return c.storage.AppendAudit(ctx, records...)
}

// AuditToken writes audit records of [ActionTokenIssued] or [ActionTokenRevoked] for
// a token of an endpoint: one for each of the token's integrations, which are the
// customer's that are not revoked if it names none, and one for a customer who has
// none of them. An integration that is made later has no record of a token that is good
// for it too. They have the token's id, which those of [Client.AuditHandOuts] have
// too, never the token.
func (c *Client) AuditToken(ctx context.Context, action string, token broker.TokenRecord) error {
	if action != ActionTokenIssued && action != ActionTokenRevoked {
		return NewError(CodeInvalidRequest, fmt.Sprintf("action %q: must be %s or %s", clip(action), ActionTokenIssued, ActionTokenRevoked), "", nil)
	}
	purposes := slices.Clone(token.Purposes)
	for i, p := range purposes {
		if p == "" {
			purposes[i] = "(whole role)"
		}
	}
	var records []AuditRecord
	for _, customer := range token.Customers {
		if err := checkCustomerID(customer); err != nil {
			return err
		}
		integrations, err := c.all(ctx, customer)
		if err != nil {
			return err
		}
		if len(token.Integrations) > 0 {
			integrations = slices.DeleteFunc(integrations, func(i *Integration) bool { return !slices.Contains(token.Integrations, i.ID) })
		}
		if len(integrations) == 0 {
			integrations = []*Integration{{CustomerID: customer}}
		}
		for _, integration := range integrations {
			record, err := c.audited(ctx, integration, action, outcomeOK)
			if err != nil {
				return err
			}
			record.RoleARN = integration.RoleARN
			record.Details = map[string]string{
				"token": token.ID, "name": token.Name, "purposes": strings.Join(purposes, ", "), "expires": token.ExpiresAt.UTC().Format(time.RFC3339),
			}
			records = append(records, record)
		}
	}
	if len(records) == 0 {
		return nil
	}
	return c.storage.AppendAudit(ctx, records...)
}

// A CallerIdentity is what AWS says about whoever asks it.
type CallerIdentity struct {
	AccountID string
	ARN       string // of an assumed role: arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
	UserID    string
}

// SessionName returns the name of the session if the identity is an assumed
// role, and "" otherwise.
func (i CallerIdentity) SessionName() string {
	parts := strings.Split(i.ARN, "/")
	if len(parts) != 3 || !strings.HasSuffix(parts[0], ":assumed-role") {
		return ""
	}
	return parts[2]
}

// Identity asks AWS who we are, with the client's own credentials.
func (c *Client) Identity(ctx context.Context) (CallerIdentity, error) {
	config, err := c.awsConfig(ctx)
	if err != nil {
		return CallerIdentity{}, err
	}
	return identityOf(ctx, config)
}

// Identity asks AWS who we are in the customer's account.
func (r *RoleCredentials) Identity(ctx context.Context) (CallerIdentity, error) {
	if _, err := r.Retrieve(ctx); err != nil {
		return CallerIdentity{}, err // says more than a failed call would
	}
	return identityOf(ctx, r.Config(""))
}

// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func identityOf(ctx context.Context, config aws.Config) (CallerIdentity, error) {
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case err != nil && ctx.Err() != nil:
		return CallerIdentity{}, cancelled(ctx.Err())
	case err != nil:
		if lacking := lackingCredentials(err); lacking != nil {
			return CallerIdentity{}, lacking
		}
		return CallerIdentity{}, NewError(CodeAWS, "AWS could not be asked who we are", "try again later", failure(err))
	}
	return CallerIdentity{aws.ToString(who.Account), aws.ToString(who.Arn), aws.ToString(who.UserId)}, nil
}
