package apigatewayapi

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// mock answers for a method with a MOCK integration: the request's template
// says with which status, that status says which response it is, and the
// response's template is the body.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html
func (in *Invocation) mock(w http.ResponseWriter, r *http.Request, c *authz.Call, body []byte) {
	lookup := func(namespace, name string) string {
		switch namespace {
		case "context":
			return in.variable(c, name)
		case "stageVariables":
			return in.stage.variables[name]
		}
		if value, ok := in.labels[name]; ok {
			return value
		}
		if value := r.URL.Query().Get(name); value != "" {
			return value
		}
		return r.Header.Get(name)
	}
	response, err := in.choose(r, lookup, body)
	if err != nil {
		WriteError(w, c.RequestID, err)
		return
	}
	kind, text := pick(response.ResponseTemplates, r.Header.Get("Accept"))
	answer := render(text, lookup)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Amzn-Requestid", c.RequestID)
	for name, value := range response.ResponseParameters {
		if fixed, ok := literal(value); ok {
			w.Header().Set(strings.TrimPrefix(name, headerPrefix), fixed)
		}
	}
	writeBody(w, r, response.status(), answer)
}

var (
	errMediaType = wire.Errorf(http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException", "Unsupported Media Type")

	// errConfiguration is a mistake of whoever made the API, shown to clients as
	// an internal error.
	errConfiguration = errors.New("the integration of the method is not complete")
)

// choose returns the response for a request.
func (in *Invocation) choose(r *http.Request, lookup func(string, string) string, body []byte) (*IntegrationResponse, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = "application/json"
	}
	integration := in.method.Integration
	request := string(body)
	if template, ok := integration.RequestTemplates[kind]; ok {
		request = render(template, lookup)
	} else if integration.PassthroughBehavior == "NEVER" || integration.PassthroughBehavior == "WHEN_NO_TEMPLATES" && len(integration.RequestTemplates) > 0 {
		return nil, errMediaType
	}
	var asked struct {
		StatusCode json.Number `json:"statusCode"`
	}
	if err := json.Unmarshal([]byte(request), &asked); err != nil || asked.StatusCode == "" {
		return nil, errConfiguration
	}
	var usual *IntegrationResponse
	for _, status := range sortedKeys(integration.Responses) {
		response := integration.Responses[status]
		if response.SelectionPattern == "" {
			if usual == nil {
				usual = response
			}
			continue
		}
		if matched, err := regexp.MatchString("^(?:"+response.SelectionPattern+")$", asked.StatusCode.String()); err == nil && matched {
			return response, nil
		}
	}
	if usual == nil {
		return nil, errConfiguration
	}
	return usual, nil
}

// pick chooses a template by what the client accepts.
func pick(templates map[string]string, accept string) (kind, text string) {
	for part := range strings.SplitSeq(accept, ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil {
			if text, ok := templates[kind]; ok {
				return kind, text
			}
		}
	}
	if text, ok := templates["application/json"]; ok || len(templates) == 0 {
		return "application/json", text
	}
	kind = slices.Min(sortedKeys(templates))
	return kind, templates[kind]
}

// variables are what templates may hold.
var variables = regexp.MustCompile(`\$(?:\{)?(?:(context|stageVariables)\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)|(input)\.params\(['"]([^'"]+)['"]\))(?:\})?`)

// known are the variables of $context.
var known = strings.Fields(`accountId apiId httpMethod path requestId resourcePath stage identity.accountId identity.caller
	identity.sourceIp identity.user identity.userAgent identity.userArn`)

var directive = regexp.MustCompile(`#[A-Za-z@{*#\[]|\$`)

// checkTemplates refuses templates that hold more than variables: the sandbox
// has no Velocity.
func checkTemplates(templates map[string]string) error {
	for _, kind := range sortedKeys(templates) {
		if directive.MatchString(variables.ReplaceAllString(templates[kind], "")) {
			return missing("templates with more than $context, $stageVariables and $input.params('name')")
		}
		for _, m := range variables.FindAllStringSubmatch(templates[kind], -1) {
			if m[1] == "context" && !slices.Contains(known, m[2]) {
				return missing("templates with $context." + wire.Clip(m[2]))
			}
		}
	}
	return nil
}

// render fills the variables of a template in.
func render(template string, lookup func(namespace, name string) string) string {
	return variables.ReplaceAllStringFunc(template, func(found string) string {
		m := variables.FindStringSubmatch(found)
		return lookup(m[1]+m[3], m[2]+m[4])
	})
}
