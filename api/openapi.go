package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/crossaccount/crossaccount"
)

// tagAccess marks the routes that use customers' roles.
const tagAccess = "access"

const (
	jsonType   = "application/json"
	scriptType = "text/x-shellscript; charset=utf-8"
)

// routes registers every route, and describes it.
func (h *Handler) routes() error {
	version := h.options.Version
	if version == "" {
		version = "0"
	}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	format := huma.Format{
		// The standard encoder escapes what HTML could misunderstand.
		Marshal:   func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
		Unmarshal: json.Unmarshal,
	}
	a := humago.New(h.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "crossaccount", Version: version,
				Description: "Onboards customers' AWS accounts. Errors are problem details (RFC 9457). External IDs are in the answer to starting an onboarding and nowhere else.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "The operator token. A service that embeds the handler may authenticate in another way."},
				},
			},
		},
		Formats:                      map[string]huma.Format{jsonType: format, "json": format},
		DefaultFormat:                jsonType,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{h.transform},
	})
	a.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { next(&responseContext{humaContext: ctx}) })

	r := registrar{a, registry.Schema(reflect.TypeFor[Problem](), true, "")}
	const onboarding, operation = "onboarding", "operation"
	register(r, route{
		id: "start-integration", method: http.MethodPost, path: "/v1/integrations", tag: onboarding,
		summary:     "Begin an onboarding, or get the launch link of a pending one again",
		description: "The answer contains the external ID and the link with it. Both are for this customer only. Asking again gives the same external ID.",
	}, h.start)
	register(r, route{
		id: "list-integrations", method: http.MethodGet, path: "/v1/integrations", tag: operation,
		summary: "List integrations, ordered by customer and id",
	}, h.list)
	register(r, route{
		id: "get-integration", method: http.MethodGet, path: "/v1/integrations/{id}", tag: operation,
		summary: "Show an integration, and what is being done with it",
	}, h.get)
	register(r, route{
		id: "verify-integration", method: http.MethodPost, path: "/v1/integrations/{id}/verify", tag: onboarding, long: true,
		summary:     "Verify a role without taking it into use",
		description: "The report is in operation.report, passed or not. If its code is propagating, AWS may not know the role yet: verify again, and it continues.",
	}, h.verify)
	register(r, route{
		id: "complete-integration", method: http.MethodPost, path: "/v1/integrations/{id}/complete", tag: onboarding, long: true,
		summary:     "Take a verified role into use",
		description: "Verifies first if the role did not pass verification in the last 15 minutes.",
	}, h.complete)
	register(r, route{
		id: "check-integration", method: http.MethodPost, path: "/v1/integrations/{id}/check", tag: operation, long: true,
		summary:     "Verify the role in use again",
		description: "A failed check degrades the integration, which keeps working as far as AWS lets it.",
	}, h.check)
	register(r, route{
		id: "revoke-integration", method: http.MethodPost, path: "/v1/integrations/{id}/revoke", tag: operation,
		summary: "Give an integration up for good",
	}, h.revoke)
	register(r, route{
		id: "disconnect-integration", method: http.MethodPost, path: "/v1/integrations/{id}/disconnect", tag: operation,
		summary: "Record that the customer removed the stack",
	}, h.disconnect)
	register(r, route{
		id: "create-setup-link", method: http.MethodPost, path: "/v1/integrations/{id}/setup-link", tag: onboarding,
		summary:     "Make a link with which the customer uses the setup page without signing in",
		description: "The link works for this integration only, until it expires or the integration is revoked. Send it to the customer and nobody else.",
	}, h.setupLink)
	register(r, route{
		id: "list-audit-records", method: http.MethodGet, path: "/v1/integrations/{id}/audit", tag: operation,
		summary: "List who did what to an integration, newest first",
	}, h.audit)
	register(r, route{
		id: "import-integration", method: http.MethodPost, path: "/v1/imports", tag: operation,
		summary:     "Take over an existing role with an existing external ID",
		description: "The exception from the rule that we make external IDs, for operators only. The role is not in use until it was verified and completed.",
	}, h.importRole)
	register(r, route{
		id: "get-credentials", method: http.MethodPost, path: credentialsPath, tag: tagAccess,
		summary:     "Get credentials of a customer's role",
		description: "For operators only, over TLS or from the server's machine, and only if the server is set up so (operator_credentials). The credentials last for at least 15 minutes unless AWS gives shorter ones. Every call is audited. Answers are never kept: an idempotency key has no effect here.",
	}, h.handOut)
	register(r, route{
		id: "get-identity", method: http.MethodGet, path: "/v1/identity", tag: tagAccess,
		summary:     "Ask AWS who we are, or who we are in a customer's account",
		description: "For operators only. The answer has nothing secret.",
	}, h.identity)
	register(r, route{
		id: "get-template", method: http.MethodGet, path: "/v1/template", tag: onboarding,
		summary: "The stack that customers create",
		content: map[string]*huma.MediaType{
			jsonType: {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}},
			// The parameters of a media type are not a part of its name.
			strings.Split(scriptType, ";")[0]: {Schema: &huma.Schema{Type: huma.TypeString}},
		},
	}, h.template)
	register(r, route{id: "health", method: http.MethodGet, path: "/healthz", tag: "health", summary: "Whether the process runs"}, h.health)
	register(r, route{id: "readiness", method: http.MethodGet, path: "/readyz", tag: "health", summary: "Whether requests can be served"}, h.ready)

	delete(registry.Map(), "ErrorModel") // huma's own, which nothing refers to
	delete(registry.Map(), "ErrorDetail")
	return h.document(a.OpenAPI())
}

// document serves the OpenAPI document.
func (h *Handler) document(openAPI *huma.OpenAPI) error {
	var err error
	if h.openAPI, err = json.MarshalIndent(openAPI, "", "  "); err != nil {
		return fmt.Errorf("api: the OpenAPI document cannot be written: %w", err)
	}
	asYAML, err := openAPI.YAML()
	if err != nil {
		return fmt.Errorf("api: the OpenAPI document cannot be written: %w", err)
	}
	for name, document := range map[string][]byte{"json": h.openAPI, "yaml": asYAML} {
		h.mux.HandleFunc("GET /openapi."+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openapi+"+name)
			_, _ = w.Write(document) // the connection is gone
		})
	}
	return nil
}

type registrar struct {
	api     huma.API
	problem *huma.Schema
}

type route struct {
	id, method, path, tag, summary, description string

	long    bool                       // may be answered with 202
	content map[string]*huma.MediaType // of the answer, if it is not JSON
}

// problems are the statuses of errors. Which of them a route can have depends on
// its parts only.
func (r *route) problems() []int {
	if !strings.HasPrefix(r.path, "/v1/") {
		return []int{http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable}
	}
	statuses := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if r.method == http.MethodPost {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusConflict, http.StatusTooManyRequests, http.StatusNotFound)
	}
	if strings.Contains(r.path, "{id}") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if r.tag == tagAccess { // the customer has no integration, several, or one that AWS refuses
		statuses = append(statuses, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

func register[I, O any](r registrar, route route, handle func(context.Context, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: route.id, Method: route.method, Path: route.path,
		Summary: route.summary, Description: route.description, Tags: []string{route.tag},
		MaxBodyBytes: MaxBody + 1, BodyReadTimeout: -1, // the body is in memory already
		Responses: map[string]*huma.Response{},
	}
	if strings.HasPrefix(route.path, "/v1/") {
		o.Security = []map[string][]string{{"token": {}}}
	}
	for _, status := range route.problems() {
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemType: {Schema: r.problem}},
		}
	}
	if route.content != nil {
		o.Responses["200"] = &huma.Response{Content: route.content}
	}
	if route.long {
		schema := r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Integration](), true, "")
		o.Responses["202"] = &huma.Response{
			Description: "Under way. Location says where to look, Retry-After when.",
			Content:     map[string]*huma.MediaType{jsonType: {Schema: schema}},
			Headers: map[string]*huma.Param{
				"Location":    {Schema: &huma.Schema{Type: huma.TypeString, Format: "uri-reference"}},
				"Retry-After": {Schema: &huma.Schema{Type: huma.TypeString}},
			},
		}
	}
	huma.Register(r.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// responseContext lets transform decide about the status of what huma refuses.
type responseContext struct {
	humaContext
	status int
}

// humaContext is another name, because the interface has a method Context.
type humaContext = huma.Context

// SetStatus sends the status.
func (c *responseContext) SetStatus(status int) {
	if c.status != 0 {
		status = c.status
	}
	c.humaContext.SetStatus(status)
}

// Unwrap returns the context of the adapter.
func (c *responseContext) Unwrap() huma.Context { return c.humaContext }

// transform makes problems of huma's own errors, completes all problems, and
// logs those that are our fault.
func (h *Handler) transform(ctx huma.Context, _ string, body any) (any, error) {
	var problem *Problem
	switch b := body.(type) {
	case *Problem:
		copied := *b // an operation's error may be answered several times
		problem = &copied
	case *huma.ErrorModel:
		problem = problemOfHuma(b)
		for name, values := range problem.header {
			ctx.SetHeader(name, values[0])
		}
		if c, ok := ctx.(*responseContext); ok {
			c.status = problem.Status
		}
	default:
		return body, nil
	}
	_, w := humago.Unwrap(ctx)
	problem.RequestID = w.Header().Get(requestIDHeader)
	h.logProblem(problem.RequestID, problem)
	return problem, nil
}

// ourLocation is what a location in our schemas looks like. Others contain what
// was sent.
var ourLocation = regexp.MustCompile(`^(body|query|path|header)(\.[A-Za-z_-]{1,40}|\[[0-9]{1,6}\]){0,4}$`)

func problemOfHuma(e *huma.ErrorModel) *Problem {
	code := map[int]crossaccount.Code{
		http.StatusBadRequest:            crossaccount.CodeInvalidRequest,
		http.StatusUnprocessableEntity:   crossaccount.CodeInvalidRequest,
		http.StatusRequestEntityTooLarge: CodeTooLarge,
		http.StatusUnsupportedMediaType:  CodeMediaType,
	}[e.Status]
	switch code {
	case "":
		p := newProblem(CodeInternal, "something went wrong", "the cause is in the server's log under the request's id")
		p.cause = e
		return p
	case CodeMediaType:
		return newProblem(code, "the body must be JSON", "send Content-Type: application/json")
	}
	fields := map[string]string{}
	for _, detail := range e.Errors {
		location, message := detail.Location, detail.Message
		if !ourLocation.MatchString(location) {
			location, _, _ = strings.Cut(location, ".")
		}
		if location == "body" && detail.Value != nil && message != "unexpected property" {
			if _, isText := detail.Value.(string); isText {
				message = "is not the JSON it should be" // the decoder's message quotes it
			}
		}
		if fields[location] == "" {
			fields[location] = message
		}
	}
	problem := newProblem(code, e.Detail, "the schema is in /openapi.json")
	locations := slices.Sorted(maps.Keys(fields))
	var said []string
	for _, location := range locations[:min(len(locations), 20)] {
		problem.Errors = append(problem.Errors, FieldError{location, fields[location]})
		said = append(said, location+": "+fields[location])
	}
	if len(said) > 0 {
		problem.Detail = strings.Join(said[:min(len(said), 3)], "; ")
	}
	return problem
}
