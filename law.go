package crossaccount

import "github.com/crossaccount/crossaccount/iam"

// This file holds the parts of the law of [CredentialStorage] that every
// implementation answers in the same way, and the errors that customers see, in
// the same words.

// Validate reports what a storage refuses to write: an integration without id
// or customer, in an unknown state, or with a malformed RoleARN.
func (i *Integration) Validate() error {
	if i == nil || i.ID == "" || i.CustomerID == "" {
		return NewError(CodeInvalidRequest, "integration: must have an id and a customer id", "", nil)
	}
	if _, known := legalMoves[i.State]; !known {
		return NewError(CodeInvalidRequest, "integration: unknown state "+clip(string(i.State)), "", nil)
	}
	if i.RoleARN != "" {
		if _, err := iam.ParseRoleARN(i.RoleARN); err != nil {
			return NewError(CodeInvalidRole, err.Error(), "", nil)
		}
	}
	return nil
}

// Validate refuses a query that names no tenant scope, or two.
func (q *IntegrationQuery) Validate() error { return checkScope(q.CustomerID, q.AllCustomers) }

// Validate refuses a query that names no tenant scope, or two.
func (q *AuditQuery) Validate() error { return checkScope(q.CustomerID, q.AllCustomers) }

func checkScope(customerID string, all bool) error {
	switch {
	case all && customerID != "":
		return NewError(CodeInvalidRequest, "query: names a customer and all customers", "", nil)
	case !all && customerID == "":
		return NewError(CodeInvalidRequest, "query: names no customer", "set the customer id, or say AllCustomers explicitly", nil)
	}
	return nil
}

// IllegalMove is the error for a transition that [State.CanBecome] refuses.
func IllegalMove(from, to State) *Error {
	return NewError(CodeIllegalState, "an integration that is "+string(from)+" cannot become "+string(to), "", nil)
}

// UnknownIntegration is the error for a record that does not exist or belongs
// to another customer; the two cannot be told apart.
func UnknownIntegration() *Error {
	return NewError(CodeUnknownIntegration, "the customer has no such integration", "start one with a launch link first", nil)
}

// RoleTaken is the error for a role that another integration uses. It does not
// say whose.
func RoleTaken() *Error {
	return NewError(CodeRoleTaken, "this role cannot be used for this integration because it is in use elsewhere", "create a role of its own with the launch link; if the role is yours, ask support", nil)
}
