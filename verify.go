package crossaccount

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// freshFor is how long a passed verification may be used to take the role into
// use without verifying again.
const freshFor = 15 * time.Minute

// VerifyIntegration verifies a role that a customer presents, and returns nil
// if it passed. See [Client.Verify].
func (c *Client) VerifyIntegration(ctx context.Context, request *VerificationRequest) error {
	report, err := c.Verify(ctx, request)
	if err != nil {
		return err
	}
	return report.Err()
}

// Verify runs the probe protocol against a role that a customer presents and
// returns what was found out, passed or not. The error is not nil only if there
// is no report: for a wrong request, or trouble on our side.
//
// Verifying takes nothing into use: it touches the integration's candidate only,
// so verifying another role cannot harm one that works. It stops waiting for a
// new role when the client's patience is used up; the report's code is then
// propagating, and the next call with the same role continues.
func (c *Client) Verify(ctx context.Context, request *VerificationRequest) (*Report, error) {
	if request == nil {
		return nil, NewError(CodeInvalidRequest, "verification request: is nil", "", nil)
	}
	integration, role, err := c.presented(ctx, *request)
	if err != nil {
		return nil, err
	}
	return c.verifyRole(ctx, integration, role)
}

// presented checks a request that presents a role, as far as it can be checked
// without asking AWS, and finds the integration it is about. A role of the
// wrong form has no account to match, so the integration is then the open one.
func (c *Client) presented(ctx context.Context, request VerificationRequest) (*Integration, string, error) {
	if err := checkCustomerID(request.CustomerID); err != nil {
		return nil, "", err
	}
	arn := strings.TrimSpace(request.RoleARN)
	if err := checkText("role_arn", arn, 2048, true); err != nil {
		return nil, "", err
	}
	integration, err := c.match(ctx, request.CustomerID, request.IntegrationID, arn)
	if err != nil {
		return nil, "", err
	}
	if err := c.checkRepeatedID(ctx, integration, request.ExternalID); err != nil {
		return nil, "", err
	}
	return integration, arn, nil
}

// match finds the integration that a presented role is for: the named one, else
// the one bound to the role's account, else the open one.
func (c *Client) match(ctx context.Context, customerID, integrationID, arn string) (*Integration, error) {
	if integrationID != "" {
		return c.storage.Get(ctx, customerID, integrationID)
	}
	integrations, err := c.all(ctx, customerID)
	if err != nil {
		return nil, err
	}
	if len(integrations) == 0 {
		return nil, unknownCustomer()
	}
	account := ""
	if role, err := iam.ParseRoleARN(arn); err == nil {
		account = string(role.Account)
	}
	var bound, open []*Integration
	for _, integration := range integrations {
		switch {
		case account != "" && integration.AccountID == account:
			bound = append(bound, integration)
		case integration.State.Open():
			open = append(open, integration)
		}
	}
	switch {
	case len(bound) == 1:
		return bound[0], nil
	case len(bound) > 1:
		return nil, ambiguous()
	}
	unbound := open[:0:0]
	for _, integration := range open {
		if integration.AccountID == "" {
			unbound = append(unbound, integration)
		}
	}
	switch {
	case len(unbound) == 1:
		return unbound[0], nil
	case len(unbound) > 1 || len(open) > 1:
		return nil, ambiguous()
	case len(open) == 1:
		return open[0], nil // bound to another account: verification says so
	case len(integrations) == 1:
		return integrations[0], nil // likewise
	}
	return nil, wrongAccount()
}

func ambiguous() *Error {
	return NewError(CodeAmbiguousIntegration, "the customer has several integrations that this could be about", "name one by its integration_id", nil)
}

func wrongAccount() *Error {
	return NewError(CodeWrongAccount, "the role is in another AWS account than the integration", "present the role of the account the integration was started for, or start another integration for this account", nil)
}

// checkRepeatedID refuses a request that repeats another external ID than ours.
// It takes the same time wherever they differ.
func (c *Client) checkRepeatedID(ctx context.Context, integration *Integration, repeated string) error {
	if repeated == "" {
		return nil
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(externalID), []byte(repeated)) != 1 {
		return NewError(CodeExternalIDMismatch, "the external ID is not the one we made for this integration",
			"leave external_id out, or repeat the one from the launch link; it cannot be chosen or changed", nil)
	}
	return nil
}

// verifyRole checks the ARN against the records, marks the role as candidate,
// runs the protocol and keeps the report.
func (c *Client) verifyRole(ctx context.Context, integration *Integration, arn string) (*Report, error) {
	if err := c.reopenable(ctx, integration); err != nil {
		return nil, err
	}
	if !c.limits.allow(verificationLimits(integration.CustomerID, accountOf(arn))...) {
		return nil, NewError(CodeRateLimited, "too many verifications", "wait a minute, then try again", nil)
	}
	v := c.newVerification(integration, arn)
	if err := v.checkRecords(ctx, integration, arn); err != nil {
		return nil, err
	}
	if v.report.Result == Failed {
		return v.report, c.keepRefusal(ctx, integration, v.report)
	}
	arn = v.role.String()
	integration, err := c.present(ctx, integration, arn)
	if err != nil {
		return nil, err
	}
	if v.externalID, err = c.externalIDOf(ctx, integration); err != nil {
		return nil, err
	}
	v.patient, v.patience = true, c.patience
	v.deadline = integration.Candidate.PresentedAt.Add(propagationTime)
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	v.report.FinishedAt = storedTime(c.now())
	return v.report, c.keepReport(ctx, integration, v.report)
}

func accountOf(arn string) string {
	role, err := iam.ParseRoleARN(arn)
	if err != nil {
		return ""
	}
	return string(role.Account)
}

func (c *Client) newVerification(integration *Integration, arn string) *verification {
	region := integration.Region
	if region == "" {
		region = c.config.DefaultRegion
	}
	return &verification{client: c, region: region, report: &Report{
		CustomerID:    integration.CustomerID,
		IntegrationID: integration.ID,
		RoleARN:       arn,
		Result:        Inconclusive,
		Code:          CodeInconclusive,
		StartedAt:     storedTime(c.now()),
	}}
}

// checkRecords carries out the steps that need no AWS call.
func (v *verification) checkRecords(ctx context.Context, integration *Integration, arn string) error {
	role, problem, remedy := v.client.customerRole(arn)
	if problem != "" {
		v.fail(StepRole, Failed, CodeInvalidRole, problem, remedy)
		return v.finish(ctx)
	}
	v.role = role
	v.report.AccountID = string(role.Account)
	v.record(StepRole, Passed, "", "")

	customer, owner, err := v.client.storage.RoleOwner(ctx, role)
	switch {
	case err != nil:
		return err
	case owner != "" && customer != integration.CustomerID:
		v.taken = true // kept back until the role has admitted this customer
	case owner != "" && owner != integration.ID:
		v.owner(true) // a customer may know its own integrations
		return v.finish(ctx)
	}

	if integration.AccountID != "" && integration.AccountID != string(role.Account) {
		wrong := wrongAccount()
		v.fail(StepAccount, Failed, wrong.Code, wrong.Message, wrong.Remedy)
		return v.finish(ctx)
	}
	detail := ""
	if integration.AccountID == "" {
		detail = "this integration becomes the one for account " + string(role.Account)
	}
	v.record(StepAccount, Passed, detail, "")
	return nil
}

// customerRole parses the ARN of a customer's role and says what is wrong with
// it as one.
func (c *Client) customerRole(arn string) (role iam.RoleARN, problem, remedy string) {
	const copyIt = "copy the RoleArn output of the stack"
	role, err := iam.ParseRoleARN(arn)
	switch {
	case err != nil:
		return role, err.Error(), copyIt
	case role.Partition != c.partition.ID:
		return role, "the role is in partition " + role.Partition + ", we work in " + c.partition.ID, "create the stack in an account of partition " + c.partition.ID
	case c.isOwnAccount(string(role.Account)):
		return role, "the role is in our own account", "present a role of your account; " + copyIt
	case strings.HasPrefix(role.Path, "/aws-service-role/"), strings.HasPrefix(role.Path, "/aws-reserved/"), strings.HasPrefix(role.Path, "/service-role/aws-reserved/"):
		return role, "the role is reserved for AWS's own services", "create a role with the launch link"
	}
	return role, "", ""
}

// isOwnAccount reports whether the account is one of the vendor's, as far as it
// was configured.
func (c *Client) isOwnAccount(account string) bool {
	return account != "" && account == c.config.ServiceAccountID // broker, probe and canary are in it
}

// reopenable refuses to verify for an integration that is over.
func (c *Client) reopenable(ctx context.Context, integration *Integration) error {
	switch {
	case integration.State == StateRevoked:
		return NewError(CodeIllegalState, "the integration was revoked", "start another one with a launch link", nil)
	case integration.State == StatePending && c.now().After(integration.LinkedAt.Add(c.pendingFor)):
		if _, err := c.update(ctx, integration.CustomerID, integration.ID, func(i *Integration) (Change, error) {
			if i.State != StatePending || !c.now().After(i.LinkedAt.Add(c.pendingFor)) {
				return Change{}, errNoChange
			}
			i.State = StateExpired
			return c.changed(ctx, i, ActionExpired, outcomeOK, "")
		}); err != nil {
			return err
		}
		return expired()
	case integration.State == StateExpired:
		return expired()
	}
	return nil
}

func expired() *Error {
	return NewError(CodeIllegalState, "the onboarding was not completed in time", "ask for a new launch link; the external ID stays the same", nil)
}

// keepRefusal records that a role was refused by our records. The integration
// itself does not change.
func (c *Client) keepRefusal(ctx context.Context, integration *Integration, report *Report) error {
	report.FinishedAt = storedTime(c.now())
	record, err := c.audited(ctx, integration, ActionRejected, string(report.Code))
	if err != nil {
		return err
	}
	if report.AccountID != "" { // a legal ARN
		record.RoleARN = report.RoleARN
	}
	c.log.Warn("crossaccount: a presented role was refused", "customer", integration.CustomerID, "integration", integration.ID, "code", report.Code)
	return c.storage.AppendAudit(ctx, record)
}

// present makes the role the integration's candidate. If it is already, its
// verification continues.
func (c *Client) present(ctx context.Context, integration *Integration, arn string) (*Integration, error) {
	return c.update(ctx, integration.CustomerID, integration.ID, func(i *Integration) (Change, error) {
		if i.Candidate == nil || i.Candidate.RoleARN != arn {
			i.Candidate = &Candidate{RoleARN: arn, PresentedAt: storedTime(c.now())}
		}
		i.Candidate.Attempts++
		if i.State.Open() {
			if !i.State.CanBecome(StateVerifying) {
				return Change{}, expired()
			}
			i.State = StateVerifying
		}
		return c.changed(ctx, i, ActionVerifying, outcomeOK, arn)
	})
}

// keepReport stores a report with the candidate it is about. If another role
// was presented meanwhile, that one's report counts.
func (c *Client) keepReport(ctx context.Context, integration *Integration, report *Report) error {
	outcome := outcomeOK
	if report.Result != Passed {
		outcome = string(report.Code)
	}
	c.log.Info("crossaccount: verification ended", "customer", report.CustomerID, "integration", report.IntegrationID,
		"role", report.RoleARN, "result", report.Result, "outcome", outcome, "controlled", report.Controlled)
	_, err := c.update(ctx, integration.CustomerID, integration.ID, func(i *Integration) (Change, error) {
		if i.Candidate == nil || i.Candidate.RoleARN != report.RoleARN {
			return Change{}, errNoChange
		}
		i.Candidate.Report = report
		action := ActionVerified
		if report.Result == Failed && i.State == StateVerifying {
			i.State = StateRejected
			action = ActionRejected
		}
		return c.changed(ctx, i, action, outcome, report.RoleARN)
	})
	return err
}
