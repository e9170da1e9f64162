package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api/internal/params"
)

type (
	startInput struct {
		params.Key
		Body StartRequest
	}
	startOutput struct {
		Body crossaccount.IntegrationResponse
	}
	listInput struct {
		params.Customer
		params.Page
		State     []string `query:"state,explode" enum:"pending,verifying,active,degraded,rejected,expired,disconnected,revoked" maxItems:"8" doc:"Only integrations in one of these states."`
		AccountID string   `query:"account_id" pattern:"^[0-9]{12}$" doc:"Only those of this AWS account."`
	}
	listOutput struct {
		Body IntegrationPage
	}
	getInput struct {
		params.Integration
		params.Customer
	}
	integrationOutput struct {
		Body Integration
	}
	roleInput struct {
		params.Integration
		params.Key
		params.Preference
		Body RoleRequest
	}
	checkInput struct {
		params.Integration
		params.Key
		params.Preference
		Body CustomerRequest
	}
	operationOutput struct {
		Status     int
		Location   string `header:"Location" doc:"Where to see how it goes on, with status 202."`
		RetryAfter string `header:"Retry-After" doc:"Seconds until looking makes sense, with status 202."`
		Body       Integration
	}
	leaveInput struct {
		params.Integration
		params.Key
		Body CustomerRequest
	}
	linkInput struct {
		params.Integration
		params.Key
		Body SetupLinkRequest
	}
	linkOutput struct {
		Body SetupLink
	}
	auditInput struct {
		params.Integration
		params.Customer
		params.Page
		From  time.Time `query:"from" doc:"Not before this time."`
		Until time.Time `query:"until" doc:"Before this time."`
	}
	auditOutput struct {
		Body AuditPage
	}
	templateInput struct {
		Format string `query:"format" enum:"cloudformation,terraform,cli" default:"cloudformation" doc:"The notation."`
	}
	templateOutput struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	importInput struct {
		params.Key
		Body ImportRequest
	}
	healthOutput struct {
		Body Health
	}
)

func (h *Handler) start(ctx context.Context, in *startInput) (*startOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	response, err := h.client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{
		CustomerID: customerID, CustomerName: in.Body.CustomerName, Region: in.Body.Region,
		IntegrationID: in.Body.IntegrationID, AccountID: in.Body.AccountID,
	})
	if err != nil {
		return nil, err
	}
	link, err := h.sealLink(ctx, customerID, response.IntegrationID, crossaccount.DefaultSetupLinkFor)
	if err != nil {
		return nil, err
	}
	if link != nil {
		response.SetupURL, response.SetupURLExpiresAt = link.URL, link.ExpiresAt
	}
	return &startOutput{*response}, nil
}

// SetupLinkParameter is the query parameter in which the token of a setup link
// comes to the page of Options.SetupPage.
const SetupLinkParameter = "link"

// sealLink makes a setup link, or returns nil if there is no page for it.
func (h *Handler) sealLink(ctx context.Context, customerID, id string, validFor time.Duration) (*SetupLink, error) {
	if h.options.SetupPage == nil {
		return nil, nil
	}
	page := h.options.SetupPage()
	if page == "" {
		return nil, nil
	}
	expires := h.options.Now().Add(validFor).UTC().Truncate(time.Second)
	token, err := h.client.SealSetupLink(ctx, crossaccount.SetupLink{CustomerID: customerID, IntegrationID: id, ExpiresAt: expires})
	if err != nil {
		return nil, err
	}
	return &SetupLink{page + "?" + SetupLinkParameter + "=" + token, expires}, nil
}

func (h *Handler) setupLink(ctx context.Context, in *linkInput) (*linkOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	validFor := time.Duration(in.Body.ValidForSeconds) * time.Second
	if validFor == 0 {
		validFor = crossaccount.DefaultSetupLinkFor
	}
	link, err := h.sealLink(ctx, customerID, in.ID, validFor)
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, newProblem(CodeNoSetupPage, "this server does not know under which URL customers reach its setup page", "set public_url in its configuration")
	}
	return &linkOutput{*link}, nil
}

func (h *Handler) list(ctx context.Context, in *listInput) (*listOutput, error) {
	query := crossaccount.IntegrationQuery{AccountID: in.AccountID, Limit: in.Limit, Cursor: in.Cursor}
	principal := principalOf(ctx)
	if principal.Operator && in.CustomerID == "" {
		query.AllCustomers = true
	} else {
		var err error
		if query.CustomerID, err = principal.customer(in.CustomerID); err != nil {
			return nil, err
		}
	}
	for _, state := range in.State {
		query.States = append(query.States, crossaccount.State(state))
	}
	page, err := h.client.ListIntegrations(ctx, query)
	if err != nil {
		return nil, err
	}
	out := &listOutput{IntegrationPage{Integrations: make([]Integration, 0, len(page.Integrations)), Next: page.Next}}
	for _, i := range page.Integrations {
		out.Body.Integrations = append(out.Body.Integrations, h.shown(i, h.operations.shown(i.CustomerID, i.ID)))
	}
	return out, nil
}

func (h *Handler) get(ctx context.Context, in *getInput) (*integrationOutput, error) {
	customerID, err := principalOf(ctx).customer(in.CustomerID)
	if err != nil {
		return nil, err
	}
	integration, err := h.integration(ctx, customerID, in.ID)
	if err != nil {
		return nil, err
	}
	return &integrationOutput{integration}, nil
}

// integration returns a record as it is now. The operation is looked at first:
// once it is seen to have ended, the record shows what it did.
func (h *Handler) integration(ctx context.Context, customerID, id string) (Integration, error) {
	operation := h.operations.shown(customerID, id)
	record, err := h.client.Integration(ctx, customerID, id)
	if err != nil {
		return Integration{}, err
	}
	return h.shown(record, operation), nil
}

// shown returns what of a record may be shown. A verification that nobody in
// this process carries out is shown as one that ended, so that no client waits
// for it.
func (h *Handler) shown(record *crossaccount.Integration, operation *Operation) Integration {
	if operation == nil && record.State == crossaccount.StateVerifying && record.Candidate != nil {
		switch candidate := record.Candidate; {
		case h.client.Status(record).Verifying: // on the setup page
			operation = &Operation{Kind: KindVerify, Running: true, StartedAt: candidate.PresentedAt}
		case candidate.Report == nil:
			operation = &Operation{Kind: KindVerify, StartedAt: candidate.PresentedAt, Problem: newProblem(CodeInterrupted,
				"a verification was begun, and this server does not go on with it: probably it was restarted", "verify the same role again; it continues")}
		}
	}
	return shown(record, operation)
}

func (h *Handler) verify(ctx context.Context, in *roleInput) (*operationOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	request := &crossaccount.VerificationRequest{
		CustomerID: customerID, RoleARN: in.Body.RoleARN, ExternalID: in.Body.ExternalID, IntegrationID: in.ID,
	}
	return h.operate(ctx, customerID, in.ID, in.Prefer, KindVerify, in.Body.RoleARN, func(ctx context.Context) (*crossaccount.Report, error) {
		return h.client.Verify(ctx, request)
	})
}

func (h *Handler) complete(ctx context.Context, in *roleInput) (*operationOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	request := &crossaccount.StoreCredentialsRequest{
		CustomerID: customerID, RoleARN: in.Body.RoleARN, ExternalID: in.Body.ExternalID, IntegrationID: in.ID,
	}
	return h.operate(ctx, customerID, in.ID, in.Prefer, KindComplete, in.Body.RoleARN, func(ctx context.Context) (*crossaccount.Report, error) {
		return nil, h.client.StoreCustomerCredentials(ctx, request)
	})
}

func (h *Handler) check(ctx context.Context, in *checkInput) (*operationOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	return h.operate(ctx, customerID, in.ID, in.Prefer, KindCheck, "", func(ctx context.Context) (*crossaccount.Report, error) {
		return h.client.Check(ctx, customerID, in.ID)
	})
}

// operate runs an operation and waits for it as long as is reasonable and
// preferred.
func (h *Handler) operate(ctx context.Context, customerID, id, prefer, kind, roleARN string, run func(context.Context) (*crossaccount.Report, error)) (*operationOutput, error) {
	if _, err := h.client.Integration(ctx, customerID, id); err != nil {
		return nil, err
	}
	op, problem := h.operations.start(ctx, customerID, id, kind, roleARN, run)
	if problem != nil {
		return nil, problem
	}
	out := &operationOutput{Status: http.StatusOK}
	if op.wait(ctx, h.waitFor(prefer)) {
		if op.err != nil {
			return nil, op.err
		}
	} else {
		out.Status, out.RetryAfter = http.StatusAccepted, "1"
		// Relative to the request, so that it also works below a prefix.
		out.Location = "../" + id
		if principalOf(ctx).Operator {
			out.Location += "?customer_id=" + url.QueryEscape(customerID)
		}
	}
	var err error
	out.Body, err = h.integration(ctx, customerID, id)
	return out, err
}

// waitFor reads the Prefer header; what it does not know is ignored.
//
// https://www.rfc-editor.org/rfc/rfc7240
func (h *Handler) waitFor(prefer string) time.Duration {
	wait := h.options.Wait
	for preference := range strings.SplitSeq(prefer, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
		switch strings.ToLower(name) {
		case "respond-async":
			return 0
		case "wait":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 && n < 3600 {
				wait = min(time.Duration(n)*time.Second, h.options.RequestTimeout/2)
			}
		}
	}
	return wait
}

func (h *Handler) revoke(ctx context.Context, in *leaveInput) (*integrationOutput, error) {
	return h.leave(ctx, in, h.client.Revoke)
}

func (h *Handler) disconnect(ctx context.Context, in *leaveInput) (*integrationOutput, error) {
	return h.leave(ctx, in, h.client.Disconnect)
}

func (h *Handler) leave(ctx context.Context, in *leaveInput, leave func(ctx context.Context, customerID, id string) error) (*integrationOutput, error) {
	customerID, err := principalOf(ctx).customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	if err := leave(ctx, customerID, in.ID); err != nil {
		return nil, err
	}
	integration, err := h.integration(ctx, customerID, in.ID)
	if err != nil {
		return nil, err
	}
	return &integrationOutput{integration}, nil
}

func (h *Handler) audit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	customerID, err := principalOf(ctx).customer(in.CustomerID)
	if err != nil {
		return nil, err
	}
	if _, err := h.client.Integration(ctx, customerID, in.ID); err != nil {
		return nil, err
	}
	page, err := h.client.Audit(ctx, crossaccount.AuditQuery{
		CustomerID: customerID, IntegrationID: in.ID, From: in.From, Until: in.Until, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &auditOutput{AuditPage{Records: page.Records, Next: page.Next}}
	if out.Body.Records == nil {
		out.Body.Records = []crossaccount.AuditRecord{}
	}
	return out, nil
}

func (h *Handler) template(_ context.Context, in *templateInput) (*templateOutput, error) {
	format := crossaccount.TemplateFormat(in.Format)
	document, err := h.client.Template(format)
	if err != nil {
		return nil, err
	}
	out := &templateOutput{ContentType: jsonType, Body: document}
	if format == crossaccount.FormatScript {
		out.ContentType = scriptType
	}
	return out, nil
}

func (h *Handler) importRole(ctx context.Context, in *importInput) (*integrationOutput, error) {
	principal := principalOf(ctx)
	if !principal.Operator {
		return nil, crossaccount.NewError(crossaccount.CodeForbidden, "importing a role with an external ID of its own is for operators", "start an onboarding instead", nil)
	}
	customerID, err := principal.customer(in.Body.CustomerID)
	if err != nil {
		return nil, err
	}
	record, err := h.client.Import(ctx, &crossaccount.ImportRequest{
		CustomerID: customerID, CustomerName: in.Body.CustomerName, RoleARN: in.Body.RoleARN, ExternalID: in.Body.ExternalID,
		Reason: in.Body.Reason, IntegrationID: in.Body.IntegrationID, Region: in.Body.Region,
	})
	if err != nil {
		return nil, err
	}
	return &integrationOutput{shown(record, nil)}, nil
}

func (*Handler) health(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{Health{Status: "ok"}}, nil
}

// readyTimeout bounds the question whether the storage answers.
const readyTimeout = 5 * time.Second

func (h *Handler) ready(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if h.operations.isClosed() {
		return nil, newProblem(CodeNotReady, "the server is shutting down", "")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	_, err := h.client.ListIntegrations(ctx, crossaccount.IntegrationQuery{AllCustomers: true, Limit: 1})
	if err == nil && h.options.Ready != nil {
		err = h.options.Ready(ctx)
	}
	if err != nil {
		problem := newProblem(CodeNotReady, "the server is not ready to work", "the cause is in the server's log")
		problem.cause = err
		return nil, problem
	}
	return &healthOutput{Health{Status: "ok"}}, nil
}

var _ huma.StatusError = (*Problem)(nil)
