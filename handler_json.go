package crossaccount

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// An IntegrationStatus says where an onboarding stands.
type IntegrationStatus struct {
	CustomerID    string `json:"customer_id"`
	IntegrationID string `json:"integration_id"`
	State         State  `json:"state"`
	AccountID     string `json:"account_id,omitempty"`
	RoleARN       string `json:"role_arn,omitempty"` // the role in use

	// Verifying reports whether a verification goes on in this process. Steps
	// are what it found so far, or what the last one of a presented role found.
	Verifying bool   `json:"verifying"`
	Steps     []Step `json:"steps,omitempty"`

	// Code, Message and Remedy say why the presented role, or else the one in
	// use, did not pass.
	Code    Code   `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// answerTime is how long the answer to complete waits for the verification.
const answerTime = 20 * time.Second

// retryAfter is when to ask again for something that is not ready, in seconds.
const retryAfter = "5"

// serveJSON answers one of the API's requests.
func (c *Client) serveJSON(w http.ResponseWriter, r *http.Request, method string, answer func(http.ResponseWriter, *http.Request) (int, any, error)) {
	if c.resolver == nil {
		c.page.believing()
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		writeJSON(w, http.StatusMethodNotAllowed, NewError(CodeInvalidRequest, "the method is not allowed here", "use "+method, nil))
		return
	}
	ctx := r.Context()
	if actorOf(ctx) == "" {
		ctx = WithActor(ctx, "customer API")
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var status int
	var value any
	var err error = errForeignForm
	if c.page.crossOrigin.Check(r) == nil {
		status, value, err = answer(w, r.WithContext(ctx))
	}
	if err != nil {
		problem, status := c.problemOf(err)
		if problem.Retryable() {
			w.Header().Set("Retry-After", retryAfter)
		}
		writeJSON(w, status, problem)
		return
	}
	writeJSON(w, status, value)
}

// readJSON reads a body that is one JSON object with known fields.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return NewError(CodeInvalidRequest, "the body must be JSON", "send it with Content-Type: application/json", nil)
	}
	read := readBody(w, r)
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			read(nil)
			return nil
		}
	}
	return NewError(CodeInvalidRequest, fmt.Sprintf("the body must be one JSON object with the fields of this request and at most %d bytes", maxForm), "", nil)
}

func (c *Client) startJSON(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var request IntegrationRequest
	err := readJSON(w, r, &request)
	if err != nil {
		return 0, nil, err
	}
	if request.CustomerID, err = c.caller(r, request.CustomerID); err != nil {
		return 0, nil, err
	}
	if request.IntegrationID, err = confined(r.Context(), request.IntegrationID); err != nil {
		return 0, nil, err
	}
	response, err := c.GenerateIntegrationURL(r.Context(), &request)
	if err != nil {
		return 0, nil, err
	}
	if err := c.admit(w, r, request.CustomerID); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, response, nil
}

func (c *Client) completeJSON(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var request VerificationRequest
	err := readJSON(w, r, &request)
	if err != nil {
		return 0, nil, err
	}
	if request.CustomerID, err = c.caller(r, request.CustomerID); err != nil {
		return 0, nil, err
	}
	if request.IntegrationID, err = confined(r.Context(), request.IntegrationID); err != nil {
		return 0, nil, err
	}
	run, err := c.beginRun(r.Context(), request)
	if err != nil {
		return 0, nil, err
	}
	run.wait(r.Context(), answerTime)
	if ended, _, err := run.outcome(); ended {
		return http.StatusOK, run.report, err
	}
	integration, err := c.storage.Get(r.Context(), request.CustomerID, run.integrationID)
	if err != nil {
		return 0, nil, err
	}
	where := url.Values{"integration_id": {run.integrationID}}
	if c.resolver == nil {
		where.Set("customer_id", request.CustomerID)
	}
	w.Header().Set("Location", "status?"+where.Encode())
	w.Header().Set("Retry-After", retryAfter)
	return http.StatusAccepted, c.Status(integration), nil
}

func (c *Client) statusJSON(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	query := r.URL.Query()
	customerID, err := c.caller(r, query.Get("customer_id"))
	if err != nil {
		return 0, nil, err
	}
	id, err := confined(r.Context(), query.Get("integration_id"))
	if err != nil {
		return 0, nil, err
	}
	integration, _, err := c.choose(r.Context(), customerID, id, false)
	if err == nil && integration == nil {
		err = unknownCustomer()
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.Status(integration), nil
}

// Status says where the onboarding of a record stands, with what goes on in this
// process on the setup page and in the handler.
func (c *Client) Status(integration *Integration) *IntegrationStatus {
	status := &IntegrationStatus{
		CustomerID: integration.CustomerID, IntegrationID: integration.ID, State: integration.State,
		AccountID: integration.AccountID, RoleARN: integration.RoleARN,
	}
	report := integration.Verification
	if candidate := integration.Candidate; candidate != nil {
		report = candidate.Report
	}
	if report != nil {
		status.Steps, status.Code, status.Message, status.Remedy = report.Steps, report.Code, report.Message, report.Remedy
	}
	if run := c.page.runs.of(integration); run != nil {
		if ended, _, _ := run.outcome(); !ended {
			status.Verifying = true
			status.Steps, _, _ = run.progress()
			status.Code, status.Message, status.Remedy = "", "", ""
		}
	}
	return status
}
