package crossaccount

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/setup"
)

// maxForm is more than the largest form of the pages can be.
const maxForm = 64 << 10

// setupPage answers with the customer's pages.
type setupPage struct {
	pages          *setup.Pages
	ongoing, setup []setup.Permission
	crossOrigin    *http.CrossOriginProtection
	believing      func() // says once that the page believes its visitors
}

func newSetupPage(c *Client) setupPage {
	options := c.config.BrandingOptions
	name := options[BrandingDisplayName]
	if name == "" {
		name = c.config.ServiceName
	}
	return setupPage{
		pages: setup.New(setup.Brand{
			Name:         name,
			LogoURL:      options[BrandingLogoURL],
			PrimaryColor: options[BrandingPrimaryColor],
			SupportURL:   options[BrandingSupportURL],
			PrivacyURL:   options[BrandingPrivacyURL],
		}),
		ongoing:     shownPermissions(c.config.OngoingPermissions),
		setup:       shownPermissions(c.config.SetupPermissions),
		crossOrigin: http.NewCrossOriginProtection(),
		believing: sync.OnceFunc(func() {
			c.log.Warn("crossaccount: the setup page believes the customer id that a visitor types; use WithTenantResolver, or let only authenticated staff reach it")
		}),
	}
}

func shownPermissions(permissions []Permission) []setup.Permission {
	var shown []setup.Permission
	for _, p := range permissions {
		s := setup.Permission{Name: p.Sid, Effect: p.Effect, Actions: p.Actions, Resources: p.Resources}
		if s.Effect == "" {
			s.Effect = "Allow"
		}
		if len(p.Condition) > 0 {
			if condition, err := json.Marshal(p.Condition); err == nil {
				s.Condition = string(condition)
			}
		}
		shown = append(shown, s)
	}
	return shown
}

// Handler returns the customer's pages as a handler: [Client.ServeSetupUI].
func (c *Client) Handler() http.Handler { return http.HandlerFunc(c.ServeSetupUI) }

// ServeSetupUI shows and processes the page on which a customer connects an AWS
// account. It lives at one URL of the vendor's choice, for GET and POST. POSTs
// from other origins are refused, and forms are small.
//
// With [WithTenantResolver] the page is for the customer the request was
// authenticated for; a form that names another is refused. Without it, the page
// asks for the customer's id and believes it.
func (c *Client) ServeSetupUI(w http.ResponseWriter, r *http.Request) {
	if c.resolver == nil {
		c.page.believing()
	}
	if actorOf(r.Context()) == "" {
		r = r.WithContext(WithActor(r.Context(), "setup page"))
	}
	view := &setup.View{Ongoing: c.page.ongoing, Setup: c.page.setup}
	status := http.StatusOK
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if customerID, err := c.caller(r, ""); err != nil && c.resolver != nil {
			status = c.showError(view, err)
		} else if err := c.showStart(r.Context(), view, customerID); err != nil {
			status = c.showError(view, err)
		}
	case http.MethodPost:
		if err := c.post(w, r, view); err != nil {
			status = c.showError(view, err)
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err := c.page.pages.Write(w, status, view); err != nil {
		c.log.Warn("crossaccount: a page could not be written", "cause", err.Error())
	}
}

// errUnauthenticated is answered with 401.
var errUnauthenticated = NewError(CodeForbidden, "you are not signed in", "sign in and come back to this page", nil)

// caller returns the customer that the request is for: the authenticated one
// if there is a resolver, else the one that the form names.
func (c *Client) caller(r *http.Request, named string) (string, error) {
	if c.resolver == nil {
		return named, checkCustomerID(named)
	}
	customerID, err := c.resolver(r)
	if err != nil || customerID == "" {
		return "", errUnauthenticated
	}
	if named != "" && named != customerID {
		return "", NewError(CodeForbidden, "the form is for another customer than the one who is signed in", "reload the page", nil)
	}
	return customerID, checkCustomerID(customerID)
}

// showStart fills in the page before anything was done.
func (c *Client) showStart(ctx context.Context, view *setup.View, customerID string) error {
	view.Start = &setup.Start{AskCustomer: c.resolver == nil, Region: c.config.DefaultRegion}
	if c.resolver == nil {
		return nil
	}
	integrations, err := c.all(ctx, customerID)
	if err != nil {
		return err
	}
	for _, integration := range integrations {
		if integration.State.Usable() {
			view.Start, view.Done = nil, c.done(integration)
			view.Checks = shownChecks(integration.Verification)
		}
	}
	return nil
}

func (c *Client) done(integration *Integration) *setup.Done {
	done := &setup.Done{AccountID: integration.AccountID, RoleARN: integration.RoleARN, State: string(integration.State)}
	if report := integration.Verification; report != nil {
		for _, check := range report.SetupPermissions {
			done.SetupLeft = done.SetupLeft || check.State != PermissionRemoved
		}
	}
	return done
}

// post processes a form.
func (c *Client) post(w http.ResponseWriter, r *http.Request, view *setup.View) error {
	if c.page.crossOrigin.Check(r) != nil {
		return NewError(CodeForbidden, "the form was sent from another site", "open the page itself and send the form from there", nil)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return NewError(CodeInvalidRequest, "the form could not be read, or is too large", "reload the page and try again", nil)
	}
	field := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	customerID, err := c.caller(r, field("customer_id"))
	if err != nil {
		return err
	}
	ctx := r.Context()
	switch field("action") {
	case "start":
		view.Start = &setup.Start{AskCustomer: c.resolver == nil, CustomerID: customerID, CustomerName: field("customer_name"), Region: field("region")}
		return c.postStart(ctx, view, IntegrationRequest{CustomerID: customerID, CustomerName: field("customer_name"), Region: field("region")})
	case "complete":
		return c.postComplete(ctx, view, VerificationRequest{
			CustomerID: customerID, RoleARN: field("role_arn"), ExternalID: field("external_id"), IntegrationID: field("integration_id"),
		})
	}
	return NewError(CodeInvalidRequest, "action: must be start or complete", "reload the page and try again", nil)
}

func (c *Client) postStart(ctx context.Context, view *setup.View, request IntegrationRequest) error {
	response, err := c.GenerateIntegrationURL(ctx, &request)
	if err != nil {
		return err
	}
	view.Start = nil
	view.Launch = &setup.Launch{
		URL: response.LaunchURL, StackName: response.StackName, ExternalID: response.ExternalID,
		Region: response.Region, TemplateSHA256: response.TemplateSHA256,
	}
	view.Complete = c.completeForm(request.CustomerID, response.IntegrationID)
	return nil
}

// completeForm repeats the customer's id in the form only if nothing else says
// who is calling.
func (c *Client) completeForm(customerID, integrationID string) *setup.Complete {
	form := &setup.Complete{IntegrationID: integrationID}
	if c.resolver == nil {
		form.CustomerID = customerID
	}
	return form
}

func (c *Client) postComplete(ctx context.Context, view *setup.View, request VerificationRequest) error {
	view.Complete = c.completeForm(request.CustomerID, request.IntegrationID)
	view.Complete.RoleARN = request.RoleARN
	report, err := c.Verify(ctx, &request)
	if err != nil {
		return err
	}
	for _, step := range report.Steps {
		view.Report = append(view.Report, setup.Step{Expectation: step.Expectation, Result: string(step.Result), Detail: step.Detail, Remedy: step.Remedy})
	}
	view.Checks = shownChecks(report)
	if err := report.Err(); err != nil {
		view.Complete.Again = report.Code.Retryable()
		return err
	}
	store := StoreCredentialsRequest(request)
	store.IntegrationID = report.IntegrationID
	if err := c.StoreCustomerCredentials(ctx, &store); err != nil {
		return err
	}
	integration, err := c.storage.Get(ctx, report.CustomerID, report.IntegrationID)
	if err != nil {
		return err
	}
	view.Complete, view.Done = nil, c.done(integration)
	view.Notice = &setup.Notice{Kind: "ok", Text: "Your AWS account is connected."}
	return nil
}

func shownChecks(report *Report) []setup.Check {
	if report == nil {
		return nil
	}
	var shown []setup.Check
	for _, list := range [][]PermissionCheck{report.Permissions, report.SetupPermissions} {
		for _, check := range list {
			shown = append(shown, setup.Check{Name: check.Sid, Actions: listed(check.Actions), State: string(check.State), Reason: check.Reason})
		}
	}
	return shown
}

// showError puts an error on the page and returns its status.
func (c *Client) showError(view *setup.View, err error) int {
	notice := &setup.Notice{Kind: "error", Text: "Something went wrong.", Remedy: "Please try again later."}
	view.Notice = notice
	var ours *Error
	if !errors.As(err, &ours) {
		c.log.Error("crossaccount: an unexpected error", "cause", err.Error())
		return http.StatusInternalServerError
	}
	notice.Text, notice.Remedy = sentence(ours.Message), sentence(ours.Remedy)
	if ours.Code == CodePropagating {
		notice.Kind = "wait"
	}
	status := StatusOf(ours.Code)
	if ours == errUnauthenticated {
		status = http.StatusUnauthorized
	}
	if status >= http.StatusInternalServerError {
		c.log.Error("crossaccount: a page failed", "code", ours.Code, "cause", causeOf(err))
	}
	return status
}

// sentence makes an error message one for a page.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// StatusOf returns the HTTP status that fits an error's code.
func StatusOf(code Code) int {
	switch code {
	case CodeInvalidRequest, CodeInvalidRole, CodeExternalIDMismatch, CodeAmbiguousIntegration:
		return http.StatusBadRequest
	case CodeForbidden:
		return http.StatusForbidden
	case CodeUnknownCustomer, CodeUnknownIntegration:
		return http.StatusNotFound
	case CodeRoleTaken, CodeWrongAccount, CodeConflict, CodeIllegalState, CodeNotVerified, CodeStaleVerification,
		CodePropagating, CodeInconclusive: // nothing is wrong with us
		return http.StatusConflict
	case CodeRoleRefused, CodeExternalIDNotRequired, CodeWrongIdentity:
		return http.StatusUnprocessableEntity
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeAWS, CodeStorage, CodePublish, CodeCancelled:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
