package crossaccount

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/setup"
)

// Limits of a request. A verification that takes longer goes on without it.
const (
	maxForm     = 64 << 10         // more than the largest form or body can be
	readTime    = 10 * time.Second // for the body
	requestTime = 30 * time.Second
)

// setupPage answers with the customer's pages.
type setupPage struct {
	pages       *setup.Pages
	grants      func() *setup.Grants
	crossOrigin *http.CrossOriginProtection
	runs        runs
	streams     streams
	believing   func() // says once that the page believes its visitors
}

func newSetupPage(c *Client) *setupPage {
	options := maps.Clone(c.config.BrandingOptions)
	for key := range brandingProblems(options) {
		delete(options, key)
	}
	name := options[BrandingDisplayName]
	if name == "" {
		name = c.config.ServiceName
	}
	if len(name) > maxServiceName {
		name = strings.ToValidUTF8(name[:maxServiceName], "") + "…"
	}
	return &setupPage{
		pages: setup.New(setup.Brand{
			Name:         name,
			LogoURL:      options[BrandingLogoURL],
			PrimaryColor: options[BrandingPrimaryColor],
			SupportURL:   options[BrandingSupportURL],
			PrivacyURL:   options[BrandingPrivacyURL],
		}),
		// Describing permissions loads AWS's reference, which a client without
		// pages does not need.
		grants:      sync.OnceValue(c.grants),
		crossOrigin: http.NewCrossOriginProtection(),
		streams:     streams{each: make(map[string]int), closing: make(chan struct{})},
		believing: sync.OnceFunc(func() {
			c.log.Warn("crossaccount: the setup page believes the customer id that a visitor types; use WithTenantResolver, or let only authenticated staff reach it")
		}),
	}
}

func (c *Client) grants() *setup.Grants {
	return &setup.Grants{
		VendorAccount: c.config.ServiceAccountID,
		Ongoing:       c.phaseOf(c.config.OngoingPermissions),
		Setup:         c.phaseOf(c.config.SetupPermissions),
		SelfReading:   c.selfInspection,
	}
}

// phaseOf describes permissions as they will be in the customer's account, as
// far as that is known already.
func (c *Client) phaseOf(permissions []Permission) setup.Phase {
	var checked findings // New has reported what is wrong
	known := map[string]string{"AWS::Partition": c.partition.ID, "AWS::URLSuffix": c.partition.DNSSuffix}
	fill := func(list []string) []string {
		filled := make([]string, len(list))
		for i, text := range list {
			filled[i] = iam.ReplaceSymbols(text, func(id string) string {
				if value, ok := known[id]; ok {
					return value
				}
				return "${" + id + "}"
			})
		}
		return filled
	}
	var phase setup.Phase
	policy := &iam.Policy{Version: iam.Version2012}
	for _, s := range checked.statements("permissions", permissions) {
		s.Resource = fill(s.Resource)
		conditions := slices.Clone(s.Conditions)
		for i := range conditions {
			conditions[i].Values = fill(conditions[i].Values)
		}
		s.Conditions = conditions
		phase.Permissions = append(phase.Permissions, setup.Describe(s))
		policy.Statements = append(policy.Statements, s)
	}
	if len(policy.Statements) > 0 {
		phase.Policy = string(policy.Indent())
	}
	return phase
}

// Handler returns the whole customer's side of an onboarding. It may be mounted
// in any router under any prefix, stripped or not: the end of the path decides.
//
//	GET, POST …/integrate                  the setup page, as ServeSetupUI; also …/
//	POST      …/api/integration/start      IntegrationRequest → IntegrationResponse
//	POST      …/api/integration/complete   VerificationRequest → Report, when the role is in use
//	GET       …/api/integration/status     ?integration_id= → IntegrationStatus
//
// Errors are [*Error] as JSON with the status of [StatusOf]. A verification that
// takes longer than 20 seconds is answered with 202, a Location where its status
// is and a Retry-After; it goes on, and the role is taken into use when it
// passes.
//
// With [WithTenantResolver] every request is for the customer it was
// authenticated for, and one that names another is refused. Without it the
// first caller who names a customer is believed, and only those who send the
// cookie of the answer may go on; so only authenticated staff may reach the
// handler.
func (c *Client) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		switch {
		case strings.HasSuffix(path, "/api/integration/start"):
			c.serveJSON(w, r, http.MethodPost, c.startJSON)
		case strings.HasSuffix(path, "/api/integration/complete"):
			c.serveJSON(w, r, http.MethodPost, c.completeJSON)
		case strings.HasSuffix(path, "/api/integration/status"):
			c.serveJSON(w, r, http.MethodGet, c.statusJSON)
		case path == "" || strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/integrate"):
			c.ServeSetupUI(w, r)
		default:
			http.Error(w, "there is no such page", http.StatusNotFound)
		}
	})
}

// ServeSetupUI shows and processes the page on which a customer connects an AWS
// account. It lives at one URL of the vendor's choice, for GET and POST; its
// script, downloads and events have the same path with a query. POSTs from
// other origins are refused, and forms are small.
//
// Where the URL is routed for GET only, the page's script sends the forms as JSON
// to api/integration/start and api/integration/complete beside it: the service's
// own handlers, which take an [IntegrationRequest] and a [VerificationRequest].
// Without JavaScript the forms then do not work.
//
// With [WithTenantResolver] the page is for the customer the request was
// authenticated for; a form that names another is refused. Without it, the page
// asks for the customer's id and believes the first who gives it: a cookie ties
// the onboarding to that browser.
//
// Verifications go on when the request has ended, so the page needs a process
// that lives on; [Client.Close] ends them in order. If the process ends without,
// the customer continues with a button.
func (c *Client) ServeSetupUI(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !get && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case get && query.Has(setup.AssetParameter):
		c.page.pages.WriteAsset(w, query.Get(setup.AssetParameter))
		return
	case !get && query.Has("ping"): // the page asks whether its forms arrive here
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if c.resolver == nil {
		c.page.believing()
	}
	r = r.WithContext(asPage(r.Context()))
	if get && query.Has("events") {
		c.serveEvents(w, r, query)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	r = r.WithContext(ctx)
	view := &setup.View{Grants: c.page.grants()}
	var status int
	var err error
	switch {
	case get && query.Has("download"):
		if err = c.serveDownload(w, r, query.Get("download")); err == nil {
			return
		}
	case get && r.Header.Get(externalIDHeader) != "" && c.resolver == nil:
		if err = c.admitByExternalID(w, r, query.Get("customer_id")); err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	case get:
		err = c.showPage(r, view, query)
	default:
		var location string
		if location, err = c.post(w, r, view); location != "" {
			// Relative to the page, whose path a router may have changed.
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	status = http.StatusOK
	if err != nil {
		status = c.showError(view, err)
	}
	if err := c.page.pages.Write(w, status, view); err != nil {
		c.log.Warn("crossaccount: a page could not be written", "cause", err.Error())
	}
}

func asPage(ctx context.Context) context.Context {
	if actorOf(ctx) == "" {
		return WithActor(ctx, "setup page")
	}
	return ctx
}

// errUnauthenticated is answered with 401.
var errUnauthenticated = NewError(CodeForbidden, "you are not signed in", "sign in and come back to this page", nil)

// caller returns the customer that the request is for: the authenticated one
// if there is a resolver, else the one that the request names, as long as its
// onboarding did not begin in another browser.
func (c *Client) caller(r *http.Request, named string) (string, error) {
	if link := linkOf(r.Context()); link != nil {
		if named != "" && named != link.CustomerID {
			return "", NewError(CodeForbidden, "your link is for another customer", "use the link that you were sent", nil)
		}
		return link.CustomerID, nil
	}
	if c.resolver == nil {
		if err := checkCustomerID(named); err != nil {
			return "", err
		}
		return named, c.admitted(r, named)
	}
	customerID, err := c.resolver(r)
	if err != nil || customerID == "" {
		return "", errUnauthenticated
	}
	if named != "" && named != customerID {
		return "", NewError(CodeForbidden, "the request is for another customer than the one who is signed in", "reload the page", nil)
	}
	return customerID, checkCustomerID(customerID)
}

// pageURL is where the page of an integration is, relative to any other page.
func (c *Client) pageURL(customerID, integrationID string) string {
	values := url.Values{"integration": {integrationID}}
	if c.resolver == nil {
		values.Set("customer_id", customerID)
	}
	return "?" + values.Encode()
}

// readBody gives the body little time and space. The result must be called when
// the body was read: a deadline that stays would look as if the client were
// gone. After an error it stays, because the server waits for the rest of a body
// before it answers.
func readBody(w http.ResponseWriter, r *http.Request) (read func(error)) {
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(readTime)) != nil {
		control = nil // such a server has its own limits
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return func(err error) {
		if control != nil && err == nil {
			control.SetReadDeadline(time.Time{}) //nolint:errcheck // it worked a moment ago
		}
	}
}

var errForeignForm = NewError(CodeForbidden, "the request was sent from another site", "open the page itself and send the form from there", nil)

// post processes a form and says where the page is that shows the outcome. If
// it says nothing, the outcome is in the view.
func (c *Client) post(w http.ResponseWriter, r *http.Request, view *setup.View) (location string, err error) {
	if c.page.crossOrigin.Check(r) != nil {
		return "", errForeignForm
	}
	read := readBody(w, r)
	err = r.ParseForm()
	read(err)
	if err != nil {
		return "", NewError(CodeInvalidRequest, "the form could not be read, or is too large", "reload the page and try again", nil)
	}
	field := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	customerID, err := c.caller(r, field("customer_id"))
	if err != nil {
		if c.resolver == nil && CodeOf(err) == CodeInvalidRequest {
			view.Start = c.startForm(IntegrationRequest{})
		}
		return "", err
	}
	ctx := r.Context()
	integrationID, err := confined(ctx, field("integration_id"))
	if err != nil {
		return "", err
	}
	switch field("action") {
	case "start":
		request := IntegrationRequest{CustomerID: customerID, CustomerName: field("customer_name"), Region: field("region"), IntegrationID: integrationID}
		response, err := c.GenerateIntegrationURL(ctx, &request)
		if err != nil {
			view.Start = c.startForm(request)
			return "", err
		}
		if err := c.admit(w, r, customerID); err != nil {
			return "", err
		}
		return c.pageURL(customerID, response.IntegrationID), nil
	case "complete":
		return c.postComplete(ctx, view, VerificationRequest{
			CustomerID: customerID, RoleARN: field("role_arn"), ExternalID: field("external_id"), IntegrationID: integrationID,
		})
	case "check":
		return c.postCheck(ctx, view, customerID, integrationID)
	}
	return "", NewError(CodeInvalidRequest, "action: must be start, complete or check", "reload the page and try again", nil)
}

// moment is how long a form's answer waits for a verification. One that is done
// by then needs no page that shows its progress.
const moment = time.Second

func (c *Client) postComplete(ctx context.Context, view *setup.View, request VerificationRequest) (location string, err error) {
	r, err := c.beginRun(ctx, request)
	if err == nil {
		r.wait(ctx, moment)
		if ended, asked, outcome := r.outcome(); !ended || asked || outcome == nil {
			return c.pageURL(request.CustomerID, r.integrationID), nil
		} else if err = outcome; r.report != nil {
			view.Report = shownSteps(r.report.Steps)
		}
	}
	// AWS was not even asked, so no record tells why.
	integration, found := c.stored(ctx, request.CustomerID, request.IntegrationID)
	switch code := CodeOf(err); {
	case code == CodeInvalidRole || code == CodeRoleTaken || code == CodeWrongAccount || code == CodeExternalIDMismatch:
		view.State = string(StateRejected)
	case found:
		view.State = string(integration.State)
	}
	view.Complete = c.completeForm(request.CustomerID, request.IntegrationID)
	view.Complete.RoleARN = clip(request.RoleARN)
	if found && integration.State.Open() {
		view.Launch = c.shownLaunch(ctx, integration)
		view.Launch.Folded = true
	}
	return "", err
}

func (c *Client) stored(ctx context.Context, customerID, integrationID string) (*Integration, bool) {
	if integrationID == "" {
		return nil, false
	}
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	return integration, err == nil
}

func (c *Client) postCheck(ctx context.Context, view *setup.View, customerID, integrationID string) (location string, err error) {
	r, err := c.beginCheck(ctx, customerID, integrationID)
	if err != nil {
		return "", err
	}
	r.wait(ctx, moment)
	if ended, _, outcome := r.outcome(); ended && outcome != nil && r.report == nil {
		return "", outcome
	}
	return c.pageURL(customerID, integrationID), nil
}

var downloads = map[string]struct {
	format    TemplateFormat
	name      string
	mediaType string
}{
	string(FormatCloudFormation): {FormatCloudFormation, "template.json", "application/json"},
	string(FormatTerraform):      {FormatTerraform, "main.tf.json", "application/json"},
	string(FormatScript):         {FormatScript, "create-role.sh", "text/x-shellscript; charset=utf-8"},
}

// serveDownload sends the stack in another form. It is the same for all
// customers and contains no external ID.
func (c *Client) serveDownload(w http.ResponseWriter, r *http.Request, name string) error {
	if _, err := c.caller(r, ""); err != nil && c.resolver != nil {
		return err
	}
	file, ok := downloads[name]
	if !ok {
		return NewError(CodeInvalidRequest, "download: must be cloudformation, terraform or cli", "", nil)
	}
	body, err := c.Template(file.format)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", file.mediaType)
	h.Set("Content-Disposition", `attachment; filename="`+file.name+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.Write(body)
	return nil
}

// showError puts an error on the page and returns its status.
func (c *Client) showError(view *setup.View, err error) int {
	problem, status := c.problemOf(err)
	view.Notice = &setup.Notice{Kind: "error", Text: sentence(problem.Message), Remedy: sentence(problem.Remedy)}
	if problem.Code == CodePropagating {
		view.Notice.Kind = "wait"
	}
	return status
}

// problemOf returns what to tell a visitor about an error, and the status.
func (c *Client) problemOf(err error) (*Error, int) {
	var ours *Error
	if !errors.As(err, &ours) {
		c.log.Error("crossaccount: an unexpected error", "cause", err.Error())
		return NewError("internal", "something went wrong on our side", "try again later", nil), http.StatusInternalServerError
	}
	status := StatusOf(ours.Code)
	if ours == errUnauthenticated {
		status = http.StatusUnauthorized
	}
	if status >= http.StatusInternalServerError {
		c.log.Error("crossaccount: a request failed", "code", ours.Code, "cause", causeOf(err))
	}
	return ours, status
}

// sentence makes an error message one for a page.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// StatusOf returns the HTTP status that fits an error's code. It is what
// [Client.Handler] answers and what our examples do.
//
// A role that is not usable yet (propagating) is 409 and not 202: nothing goes on
// for the caller, who has to send the request again, and a program that looks
// at the status alone must not take "not yet" for "done". Retryable answers carry
// Retry-After; 202 is left for a verification that does go on, and says where.
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
	case CodeAWS, CodeStorage, CodePublish, CodeCancelled, CodeShuttingDown:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// writeJSON answers with a value that may contain an external ID.
func writeJSON(w http.ResponseWriter, status int, value any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal"}`)
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
