package crossaccount

import (
	"context"
	"net/http"
	"net/url"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/setup"
)

// showPage fills in the page for a GET: where the customer's onboarding stands.
func (c *Client) showPage(r *http.Request, view *setup.View, query url.Values) error {
	named := query.Get("customer_id")
	if c.resolver == nil && named == "" {
		view.Start = c.startForm(IntegrationRequest{})
		return nil
	}
	customerID, err := c.caller(r, named)
	if err != nil {
		return err
	}
	named, err = confined(r.Context(), query.Get("integration"))
	if err != nil {
		return err
	}
	integration, others, err := c.choose(r.Context(), customerID, named, query.Has("new"))
	if err != nil {
		return err
	}
	if linkOf(r.Context()) != nil {
		others = nil
		defer func() { view.NewURL = "" }()
	}
	for _, other := range others {
		view.Accounts = append(view.Accounts, setup.Account{
			AccountID: other.AccountID, State: string(other.State), URL: c.pageURL(customerID, other.ID),
		})
	}
	if integration == nil {
		view.Start = c.startForm(IntegrationRequest{CustomerID: customerID})
		return nil
	}
	c.show(r.Context(), view, integration)
	return nil
}

// choose returns the integration that the page is about: the named one, else the
// one that waits for the customer, else the one that was made last, else nil.
// The others are those that are not over.
func (c *Client) choose(ctx context.Context, customerID, integrationID string, another bool) (chosen *Integration, others []*Integration, err error) {
	if integrationID != "" {
		if chosen, err = c.storage.Get(ctx, customerID, integrationID); err != nil {
			return nil, nil, err
		}
	}
	integrations, err := c.all(ctx, customerID)
	if err != nil {
		return nil, nil, err
	}
	if integrationID == "" {
		for _, i := range integrations {
			switch {
			case another && !i.State.Open():
			case chosen == nil, i.State.Open() && !chosen.State.Open(),
				i.State.Open() == chosen.State.Open() && i.CreatedAt.After(chosen.CreatedAt):
				chosen = i
			}
		}
	}
	for _, i := range integrations {
		if chosen == nil || i.ID != chosen.ID {
			others = append(others, i)
		}
	}
	return chosen, others, nil
}

// show fills in the page of one integration.
func (c *Client) show(ctx context.Context, view *setup.View, integration *Integration) {
	customerID := integration.CustomerID
	view.State = string(integration.State)
	if integration.State == StatePending && c.now().After(integration.LinkedAt.Add(c.pendingFor)) {
		view.State = string(StateExpired) // the record changes when somebody comes back with a role
	}
	complete := c.completeForm(customerID, integration.ID)
	candidate := integration.Candidate
	run := c.page.runs.of(integration)
	if run != nil {
		if ended, _, err := run.outcome(); !ended {
			view.State = string(StateVerifying)
			view.Live = c.live(integration, run)
			complete.Folded = true
			if run.roleARN != "" {
				view.Complete = complete
			}
			return
		} else if err != nil && run.report == nil {
			c.showError(view, err)
		}
	}
	if candidate != nil && candidate.Report != nil && candidate.Report.Result != Passed {
		complete.RoleARN = candidate.RoleARN
		c.showError(view, candidate.Report.Err())
		view.Report = shownSteps(candidate.Report.Steps)
	}

	defer func() {
		withoutEcho(view.Report, view.Notice)
		if view.Live != nil {
			withoutEcho(view.Live.Steps, view.Notice)
		}
	}()
	switch State(view.State) {
	case StatePending:
		view.Launch, view.Complete = c.shownLaunch(ctx, integration), complete
	case StateVerifying:
		view.Live = c.live(integration, nil)
		view.Report = nil
		complete.Folded = true
		view.Complete = complete
	case StateRejected:
		view.Launch, view.Complete = c.shownLaunch(ctx, integration), complete
		view.Launch.Folded = true
	case StateExpired:
		view.Start = c.startForm(IntegrationRequest{CustomerID: customerID, IntegrationID: integration.ID, Region: integration.Region})
	case StateActive, StateDegraded, StateDisconnected:
		c.showDone(view, integration)
		complete.Folded = true
		view.Complete = complete
	case StateRevoked:
		view.Done = c.done(integration)
		view.NewURL = c.newURL(customerID)
	}
}

// showDone fills in the page of a role that is, or was, in use.
func (c *Client) showDone(view *setup.View, integration *Integration) {
	view.Done = c.done(integration)
	view.NewURL = c.newURL(integration.CustomerID)
	view.Check = &setup.Again{IntegrationID: integration.ID}
	if c.resolver == nil {
		view.Check.CustomerID = integration.CustomerID
	}
	report := integration.Verification
	if report == nil {
		return
	}
	view.Checks = shownChecks(report)
	if view.Report == nil {
		view.Report = shownSteps(report.Steps)
	}
	if integration.State == StateDegraded && view.Notice == nil && report.Err() != nil {
		c.showError(view, report.Err())
	}
}

func (c *Client) done(integration *Integration) *setup.Done {
	done := &setup.Done{
		AccountID: integration.AccountID, RoleARN: integration.RoleARN, Region: integration.Region, StackName: integration.StackName,
		InUse: integration.State.Usable(),
	}
	if !integration.CheckedAt.IsZero() {
		done.CheckedAt = integration.CheckedAt.UTC().Format("2 January 2006, 15:04 UTC")
	}
	if partition, ok := iam.PartitionOfRegion(integration.Region); ok && partition.ConsoleDomain != "" && integration.StackName != "" {
		done.StackURL = "https://" + consoleHost(partition, integration.Region) + consolePath + "?region=" + integration.Region +
			"#/stacks?filteringText=" + escapeQuery(integration.StackName)
	}
	for _, p := range c.stack.Parameters {
		done.Parameters = append(done.Parameters, p.ID)
	}
	if report := integration.Verification; report != nil && integration.State != StateRevoked {
		for _, check := range report.SetupPermissions {
			done.SetupLeft = done.SetupLeft || check.State != PermissionRemoved
		}
		done.SetupGone = len(report.SetupPermissions) > 0 && !done.SetupLeft
	}
	return done
}

func (c *Client) newURL(customerID string) string {
	values := url.Values{"new": {""}}
	if c.resolver == nil {
		values.Set("customer_id", customerID)
	}
	return "?" + values.Encode()
}

func (c *Client) startForm(request IntegrationRequest) *setup.Start {
	form := &setup.Start{AskCustomer: c.resolver == nil, IntegrationID: request.IntegrationID, Region: clip(request.Region)}
	if form.AskCustomer {
		form.CustomerID, form.CustomerName = request.CustomerID, clip(request.CustomerName)
	}
	if form.Region == "" {
		form.Region = c.config.DefaultRegion
	}
	return form
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

// shownLaunch returns the launch link again. If it cannot be made now, the other
// ways are still shown.
func (c *Client) shownLaunch(ctx context.Context, integration *Integration) *setup.Launch {
	launch := &setup.Launch{
		StackName: integration.StackName, Region: integration.Region, TemplateSHA256: integration.TemplateSHA256,
		RoleName: roleName(c.config.ServiceName, integration.CustomerID),
	}
	published, err := c.publishFor(ctx, integration.CustomerID)
	if err == nil {
		var response *IntegrationResponse
		if response, err = c.linkTo(ctx, published, integration, integration.Region); err == nil {
			launch.URL, launch.ExternalID, launch.TemplateSHA256 = response.LaunchURL, response.ExternalID, response.TemplateSHA256
			return launch
		}
	}
	c.log.Error("crossaccount: a launch link could not be made again", "integration", integration.ID, "code", CodeOf(err), "cause", causeOf(err))
	if launch.ExternalID, err = c.externalIDOf(ctx, integration); err != nil {
		c.log.Error("crossaccount: an external ID could not be opened", "integration", integration.ID, "cause", causeOf(err))
	}
	return launch
}

// live shows a verification that goes on, or without a run one that does not.
func (c *Client) live(integration *Integration, r *run) *setup.Live {
	live := &setup.Live{RoleARN: integration.RoleARN, ReloadURL: c.pageURL(integration.CustomerID, integration.ID)}
	if integration.Candidate != nil {
		live.RoleARN = integration.Candidate.RoleARN
	}
	events := url.Values{"events": {integration.ID}}
	if c.resolver == nil {
		events.Set("customer_id", integration.CustomerID)
	}
	var found []Step
	if r != nil {
		events.Set("running", "")
		found, live.Waiting, _ = r.progress()
		if r.roleARN != "" {
			live.RoleARN = r.roleARN
		}
	} else {
		live.Continue = c.completeForm(integration.CustomerID, integration.ID)
		live.Continue.RoleARN = live.RoleARN
		if integration.Candidate != nil && integration.Candidate.Report != nil {
			found = integration.Candidate.Report.Steps
		}
	}
	live.EventsURL = "?" + events.Encode()
	live.Steps = liveSteps(found, r != nil)
	return live
}

// liveSteps are all steps of the protocol: those that were found out, the one
// that goes on, and those to come. A page that shows them all does not jump.
func liveSteps(found []Step, going bool) []setup.Step {
	var steps []setup.Step
	next := "waiting"
	if going {
		next = "running"
	}
	for _, expected := range protocolSteps {
		step := setup.Step{Name: expected.name, Expectation: expected.expectation}
		for _, f := range found {
			if f.Name == expected.name && f.Detail != notReached {
				step = shownStep(f)
			}
		}
		if step.Result == "" {
			step.Result, next = next, "waiting"
		}
		steps = append(steps, step)
	}
	return steps
}

func shownStep(step Step) setup.Step {
	if step.Detail == notReached {
		step.Detail = "" // the mark says it
	}
	return setup.Step{
		Name: step.Name, Expectation: step.Expectation, Result: string(step.Result),
		Detail: sentence(step.Detail), Remedy: sentence(step.Remedy),
	}
}

// withoutEcho drops from steps what the notice above them says.
func withoutEcho(steps []setup.Step, notice *setup.Notice) {
	for i := range steps {
		if notice != nil && steps[i].Detail == notice.Text {
			steps[i].Detail, steps[i].Remedy = "", ""
		}
	}
}

func shownSteps(steps []Step) []setup.Step {
	var shown []setup.Step
	for _, step := range steps {
		shown = append(shown, shownStep(step))
	}
	return shown
}

func shownChecks(report *Report) []setup.Check {
	var shown []setup.Check
	for _, list := range [][]PermissionCheck{report.Permissions, report.SetupPermissions} {
		for _, check := range list {
			shown = append(shown, setup.Check{Name: check.Sid, Actions: listed(check.Actions), State: string(check.State), Reason: sentence(check.Reason)})
		}
	}
	return shown
}
