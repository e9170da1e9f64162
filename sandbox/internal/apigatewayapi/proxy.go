package apigatewayapi

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// servicePrincipal is who calls functions for APIs.
const servicePrincipal = "apigateway.amazonaws.com"

// callerCredentials of an integration make the caller call the function itself,
// and need the caller's permissions for it.
//
// https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html
const callerCredentials = "arn:aws:iam::*:user/*"

// Functions calls Lambda functions, and says whether the answer is an error of
// the function.
type Functions interface {
	Call(c *authz.Call, functionARN string, payload []byte) (answer []byte, failed bool, err error)
}

// functionURI is how an integration names a function.
var functionURI = regexp.MustCompile(`^arn:[a-z-]+:apigateway:([a-z0-9-]+):lambda:path/2015-03-31/functions/(arn:[a-z-]+:lambda:[^/{}$]+)/invocations$`)

// checkProxy checks an integration with a function. Whoever gives it a role must
// be allowed to pass that.
func (in *PutIntegrationInput) checkProxy(c *authz.Call) error {
	m := functionURI.FindStringSubmatch(in.URI)
	switch {
	case m == nil:
		return missing("PutIntegration of type AWS_PROXY with anything but a function's URI")
	case m[1] != c.Region:
		return bad("AWS ARN for integration must contain path or action")
	case in.IntegrationHTTPMethod != http.MethodPost:
		return bad("functions are called with the integration HTTP method POST")
	case in.Credentials == "" || in.Credentials == callerCredentials:
		return nil
	}
	role, err := iam.ParseRoleARN(in.Credentials)
	switch {
	case err != nil:
		return bad("Invalid ARN specified in the request")
	case role.Account != c.Account():
		return wire.Errorf(http.StatusForbidden, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	return c.Authorize(authz.Query{Action: "iam:PassRole", Resource: in.Credentials, Context: func(ctx *iam.Context) {
		ctx.Set("iam:PassedToService", servicePrincipal)
	}})
}

// proxy lets a function answer. Everything that goes wrong behind the API is an
// internal error to its clients.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
func (s *Service) proxy(w http.ResponseWriter, r *http.Request, c *authz.Call, in *Invocation, body []byte) {
	as, err := in.caller(c)
	if err != nil {
		WriteError(w, c.RequestID, errConfiguration)
		return
	}
	function := functionURI.FindStringSubmatch(in.method.Integration.URI)[2]
	event, err := json.Marshal(in.event(r, c, body))
	if err != nil {
		WriteError(w, c.RequestID, err)
		return
	}
	answer, failed, err := s.functions.Call(as, function, event)
	if err != nil {
		if e := wire.AsError(err); e.Code == "NotImplemented" {
			WriteError(w, c.RequestID, e) // the sandbox is to blame, not the API
			return
		}
		WriteError(w, c.RequestID, errConfiguration)
		return
	}
	var out struct {
		StatusCode        json.Number         `json:"statusCode"`
		Headers           map[string]any      `json:"headers"`
		MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
		Body              string              `json:"body"`
		IsBase64Encoded   bool                `json:"isBase64Encoded"`
	}
	status := 0
	if !failed {
		if err = json.Unmarshal(answer, &out); err == nil {
			status, err = strconv.Atoi(out.StatusCode.String())
		}
	}
	if failed || err != nil || status < 200 || status > 599 {
		WriteError(w, c.RequestID, wire.Errorf(http.StatusBadGateway, "InternalServerErrorException", "Internal server error"))
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Amzn-Requestid", c.RequestID)
	for name, value := range out.Headers {
		text, ok := value.(string)
		if !ok {
			data, _ := json.Marshal(value) // it came from JSON
			text = string(data)
		}
		header.Set(name, text)
	}
	for name, values := range out.MultiValueHeaders {
		header.Del(name)
		for _, value := range values {
			header.Add(name, value)
		}
	}
	writeBody(w, r, status, out.Body)
}

// caller is who calls the function.
func (in *Invocation) caller(c *authz.Call) (*authz.Call, error) {
	switch credentials := in.method.Integration.Credentials; credentials {
	case "":
		source := in.api.executionARN() + "/" + in.stage.name + "/" + in.verb + in.node.path
		return c.AsService(servicePrincipal, source, in.api.region), nil
	case callerCredentials:
		return c.Forward(servicePrincipal), nil
	default:
		return c.AsServiceRole(credentials, servicePrincipal, "BackplaneAssumeRoleSession")
	}
}

// event is what a function is given. The signature and the session token of the
// request are left out.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-input-format
func (in *Invocation) event(r *http.Request, c *authz.Call, body []byte) map[string]any {
	header := r.Header.Clone()
	header.Del("Authorization")
	header.Del("X-Amz-Security-Token")
	host := r.Host
	header.Set("Host", host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	query := r.URL.Query()
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	var text any
	if len(body) > 0 {
		text = string(body)
	}
	identity := map[string]any{"sourceIp": c.SourceIP, "userAgent": c.UserAgent, "accessKey": nil, "accountId": nil, "caller": nil, "user": nil, "userArn": nil}
	if !c.Caller.Anonymous() {
		identity["accessKey"], identity["accountId"], identity["caller"] = c.Caller.AccessKeyID, string(c.Account()), c.Caller.UserID
		identity["user"], identity["userArn"] = c.Caller.UserID, c.CallerName()
	}
	return map[string]any{
		"resource": in.node.path, "path": unescape(in.path), "httpMethod": in.verb,
		"headers": last(header), "multiValueHeaders": orNull(header),
		"queryStringParameters": last(query), "multiValueQueryStringParameters": orNull(query),
		"pathParameters": orNull(in.labels), "stageVariables": orNull(in.stage.variables),
		"body": text, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"accountId": string(in.api.account), "apiId": in.api.id, "domainName": host, "httpMethod": in.verb, "identity": identity,
			"path": "/" + in.stage.name + unescape(in.path), "protocol": r.Proto, "requestId": c.RequestID, "requestTimeEpoch": c.Now.UnixMilli(),
			"requestTime": c.Now.UTC().Format("02/Jan/2006:15:04:05 -0700"), "resourcePath": in.node.path, "stage": in.stage.name,
		},
	}
}

// last returns the last of the values of each name.
func last[M http.Header | url.Values](values M) any {
	m := make(map[string]string)
	for name, list := range values {
		if len(list) > 0 {
			m[name] = list[len(list)-1]
		}
	}
	return orNull(m)
}

// orNull is nil for an empty map, as functions get it.
func orNull[M ~map[string]V, V any](m M) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// writeBody sends an answer whose header is complete.
func writeBody(w http.ResponseWriter, r *http.Request, status int, body string) {
	empty := status == http.StatusNoContent || status == http.StatusNotModified
	if !empty {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && !empty {
		_, _ = w.Write([]byte(body)) // fails only if the client is gone
	}
}
