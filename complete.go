package crossaccount

import "context"

// Complete verifies the role that a customer presents and takes it into use: it
// is [Client.Verify] and [Client.StoreCustomerCredentials] in one call. The
// report says what was found out; it is nil only if there is none, for a wrong
// request or trouble on our side. The error is nil if, and only if, the role is
// in use.
//
// A role that AWS does not know yet, or does not let us use yet, gives an error
// with the code propagating, which is [Error.Retryable]: calling again with the
// same request continues. Nothing goes on in the meantime. Calling again for a
// role that was taken into use a short while ago asks AWS nothing.
func (c *Client) Complete(ctx context.Context, request *VerificationRequest) (*Report, error) {
	if request == nil {
		return nil, NewError(CodeInvalidRequest, "completion request: is nil", "", nil)
	}
	integration, arn, err := c.presented(ctx, *request)
	if err != nil {
		return nil, err
	}
	var report *Report
	switch {
	case c.fresh(integration, arn) == nil:
		report = integration.Candidate.Report
	case c.settled(integration, arn):
		return integration.Verification, nil // said twice
	default:
		if report, err = c.verifyRole(ctx, integration, arn); err != nil {
			return nil, err
		}
		if err := report.Err(); err != nil {
			return report, err
		}
	}
	return report, c.activate(ctx, integration.CustomerID, integration.ID, arn)
}
