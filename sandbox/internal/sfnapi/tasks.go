package sfnapi

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

func succeeded(output any) *asl.Done  { return &asl.Done{Output: output} }
func failed(f *asl.Failure) *asl.Done { return &asl.Done{Failure: f} }
func broken(format string, args ...any) *asl.Failure {
	return &asl.Failure{Name: asl.ErrRuntime, Cause: fmt.Sprintf(format, args...)}
}

// Begin does a task, with the permissions of the execution role, or of the role
// that the task's Credentials name.
func (e *execution) Begin(t *asl.Task) asl.Job {
	r, err := parseResource(t.Resource)
	if err != nil {
		return failed(broken("%s: %s", t.Resource, err))
	}
	c, f := e.session.as(r.service.service, r.operation(), t.Role)
	if f != nil {
		return failed(f)
	}
	if r.service.service == "states" && strings.HasPrefix(r.action, "start") {
		return e.beginExecution(c, r, t)
	}
	output, f := e.do(c, r, t.Input)
	return &asl.Done{Output: output, Failure: f}
}

// do sends a request and waits for the answer.
func (e *execution) do(c *authz.Call, r *resource, input any) (any, *asl.Failure) {
	if r.service.service == "lambda" {
		return e.invoke(c, r, input)
	}
	members, ok := input.(map[string]any)
	if !ok {
		return nil, broken("The Parameters of the task must be an object")
	}
	if r.old.integration == nil {
		for name := range members {
			if name == "" || name[0] < 'A' || name[0] > 'Z' {
				return nil, broken("The field '%s' is not supported by Step Functions: parameters begin with capital letters", clip(name))
			}
		}
	}
	if name := blob(input, r.service.blobs); name != "" {
		return nil, broken("the sandbox does not implement the binary parameter %s in tasks", name)
	}
	switch {
	case r.service.service == "s3":
		return e.object(c, r, members)
	case r.service.target == "":
		return e.query(c, r, members)
	}
	body := input
	if r.service.camel {
		body = renamed(input, strings.ToLower)
	}
	request := newRequest(http.MethodPost, "/", []byte(asl.Encode(body)))
	request.Header.Set("Content-Type", "application/x-amz-json-"+r.service.version)
	request.Header.Set("X-Amz-Target", r.service.target+"."+r.operation())
	answer := e.send(c, r.service.service, request)
	if f := answer.failure(r, c.RequestID); f != nil {
		return nil, f
	}
	output := any(map[string]any{})
	if len(bytes.TrimSpace(answer.Body)) > 0 {
		var err error
		if output, err = asl.Decode(answer.Body); err != nil {
			return nil, fault(err)
		}
	}
	if r.service.camel {
		output = renamed(output, strings.ToUpper)
	}
	return answer.told(r, c.RequestID, dated(output, r.old.integration == nil)), nil
}

// blob returns the name of a binary member that a task would send, or "". How
// Step Functions encodes them is not documented.
func blob(v any, names []string) string {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if name := blob(item, names); name != "" {
				return name
			}
		}
	case map[string]any:
		for name, item := range v {
			if slices.Contains(names, name) {
				return name
			}
			if name := blob(item, names); name != "" {
				return name
			}
		}
	}
	return ""
}

// renamed returns a value whose members begin with other letters. Tasks write
// parameters with capitals whatever the service does.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html#use-awssdk-integration
func renamed(v any, letter func(string) string) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = renamed(v[i], letter)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, item := range v {
			if name != "" {
				name = letter(name[:1]) + name[1:]
			}
			object[name] = renamed(item, letter)
		}
		return object
	}
	return v
}

// dated writes times as texts, as the SDK's integrations do.
func dated(v any, sdk bool) any {
	if !sdk {
		return v
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = dated(v[i], sdk)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, item := range v {
			seconds, ok := item.(json.Number)
			if ok && (strings.HasSuffix(name, "Date") || strings.HasSuffix(name, "DateTime") || strings.HasSuffix(name, "Timestamp")) {
				if f, err := seconds.Float64(); err == nil {
					object[name] = time.UnixMilli(int64(f*1000 + 0.5)).UTC().Format("2006-01-02T15:04:05.999Z")
					continue
				}
			}
			object[name] = dated(item, sdk)
		}
		return object
	}
	return v
}

func newRequest(method, path string, body []byte) *http.Request {
	r, err := http.NewRequest(method, "https://localhost"+path, bytes.NewReader(body))
	if err != nil {
		panic("sfnapi: " + err.Error()) // paths are escaped
	}
	return r
}

// send sends a request to a service and keeps a record of it.
func (e *execution) send(c *authz.Call, service string, r *http.Request) *Answer {
	answer := e.service.options.Request(c, service, r)
	e.service.remember(c, answer.code())
	return answer
}

// code returns the code of an error, "" for a success.
func (a *Answer) code() string {
	if a.Status < 300 {
		return ""
	}
	code, _ := a.problem()
	return code
}

// problem reads the code and the message of an error, in JSON or in XML.
func (a *Answer) problem() (code, message string) {
	var text struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Capital string `json:"Message"`
	}
	if json.Unmarshal(a.Body, &text) == nil && (text.Type != "" || a.Header.Get("X-Amzn-Errortype") != "") {
		if text.Type == "" {
			text.Type = a.Header.Get("X-Amzn-Errortype")
		}
		return text.Type, text.Message + text.Capital
	}
	var list struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(a.Body, &list) == nil && list.Code != "" {
		return list.Code, list.Message
	}
	var one struct{ Code, Message string }
	if xml.Unmarshal(a.Body, &one) == nil && one.Code != "" {
		return one.Code, one.Message
	}
	return fmt.Sprint(a.Status), http.StatusText(a.Status)
}

// general are codes that the SDKs have no exceptions for.
var general = []string{"AccessDenied", "AccessDeniedException", "ValidationException", "ValidationError", "SerializationException", "UnknownOperationException", "InternalFailure", "AuthorizationError"}

// failure returns the failure of a task, nil if the request succeeded. The names
// and the wording are those of AWS's SDKs for Java.
func (a *Answer) failure(r *resource, requestID string) *asl.Failure {
	if a.Status < 300 {
		return nil
	}
	code, message := a.problem()
	if code == "NotImplemented" {
		return broken("%s", message)
	}
	name := code
	if !strings.HasSuffix(name, "Exception") {
		name += "Exception"
	}
	if r.old.integration != nil {
		if slices.Contains(general, code) {
			name = r.old.general
		}
		return &asl.Failure{Name: r.old.prefix + "." + name, Cause: fmt.Sprintf("%s (Service: %s; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)", message, r.old.prefix, a.Status, code, requestID)}
	}
	if slices.Contains(general, code) && !(r.service.prefix == "Sfn" && code == "ValidationException") {
		name = r.service.prefix + "Exception"
	}
	return &asl.Failure{Name: r.service.prefix + "." + name, Cause: fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s)", message, r.service.prefix, a.Status, requestID)}
}

// told adds how the request went, as the optimized integrations do.
func (a *Answer) told(r *resource, requestID string, output any) any {
	members, ok := output.(map[string]any)
	if r.old.integration == nil || !ok {
		return output
	}
	return withMetadata(members, a.Status, requestID)
}

func withMetadata(members map[string]any, status int, requestID string) map[string]any {
	told := map[string]any{
		"SdkHttpMetadata":     map[string]any{"HttpStatusCode": asl.Number(status), "HttpHeaders": map[string]any{"x-amzn-RequestId": requestID}, "AllHttpHeaders": map[string]any{"x-amzn-RequestId": []any{requestID}}},
		"SdkResponseMetadata": map[string]any{"RequestId": requestID},
	}
	for name, v := range members {
		told[name] = v
	}
	return told
}

// query calls a service of the query protocol with parameters that are texts,
// objects or lists of them.
func (e *execution) query(c *authz.Call, r *resource, members map[string]any) (any, *asl.Failure) {
	form := url.Values{"Action": {r.operation()}, "Version": {map[string]string{"sns": "2010-03-31", "sts": "2011-06-15"}[r.service.service]}}
	for name, v := range members {
		if name == "MessageAttributes" {
			return nil, broken("the sandbox does not implement the parameter MessageAttributes in tasks")
		}
		text, ok := v.(string)
		if !ok && name == "Message" { // the optimized integration takes JSON
			text, ok = asl.Encode(v), true
		}
		if !ok {
			return nil, broken("the parameter %s must be a string", clip(name))
		}
		form.Set(name, text)
	}
	answer := e.send(c, r.service.service, formRequest(form))
	if f := answer.failure(r, c.RequestID); f != nil {
		return nil, f
	}
	output, err := resultOf(answer.Body)
	if err != nil {
		return nil, fault(err)
	}
	return answer.told(r, c.RequestID, output), nil
}

// resultOf reads the texts in the result of an answer of the query protocol.
func resultOf(body []byte) (map[string]any, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	output := make(map[string]any)
	depth, name := 0, ""
	for {
		token, err := d.Token()
		if token == nil {
			return output, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth == 2 && !strings.HasSuffix(t.Name.Local, "Result") {
				if err := d.Skip(); err != nil {
					return nil, err
				}
				depth--
			}
			name = t.Name.Local
		case xml.CharData:
			if depth == 3 {
				output[name] = string(t)
			}
		case xml.EndElement:
			depth--
		}
	}
}

// invoke calls a Lambda function.
func (e *execution) invoke(c *authz.Call, r *resource, input any) (any, *asl.Failure) {
	name, payload, header := r.function, input, http.Header{}
	sdk, query := r.old.integration == nil, ""
	if r.function == "" {
		members, ok := input.(map[string]any)
		if !ok {
			return nil, broken("The Parameters of the task must be an object")
		}
		payload = map[string]any{}
		for member, v := range members {
			text, isText := v.(string)
			switch {
			case member == "Payload" && (isText || !sdk):
				payload = v
				if isText && sdk {
					payload = json.RawMessage(text)
				}
			case member == "FunctionName" && isText:
				name = text
			case member == "InvocationType" && isText:
				header.Set("X-Amz-Invocation-Type", text)
			case member == "Qualifier" && isText:
				query = "?" + url.Values{"Qualifier": {text}}.Encode()
			default:
				return nil, broken("the sandbox does not implement the parameter %s of Lambda functions in tasks", clip(member))
			}
		}
	}
	body := []byte(asl.Encode(payload))
	if raw, ok := payload.(json.RawMessage); ok {
		body = raw
	}
	request := newRequest(http.MethodPost, "/2015-03-31/functions/"+url.PathEscape(name)+"/invocations"+query, body)
	request.Header = header
	answer := e.send(c, "lambda", request)
	if f := answer.failure(r, c.RequestID); f != nil {
		return nil, f
	}
	var output any
	if len(answer.Body) > 0 {
		var err error
		if output, err = asl.Decode(answer.Body); err != nil {
			return nil, fault(err)
		}
	}
	if answer.Header.Get("X-Amz-Function-Error") != "" && !sdk {
		f := &asl.Failure{Name: "Lambda.Unknown", Cause: string(answer.Body)}
		if members, ok := output.(map[string]any); ok {
			if kind, ok := members["errorType"].(string); ok && kind != "" {
				f.Name = kind
			}
		}
		return nil, f
	}
	if r.function != "" {
		return output, nil
	}
	members := map[string]any{"StatusCode": asl.Number(answer.Status), "Payload": output}
	if len(answer.Body) > 0 {
		members["ExecutedVersion"] = "$LATEST"
	}
	if sdk {
		members["Payload"] = string(answer.Body)
		if kind := answer.Header.Get("X-Amz-Function-Error"); kind != "" {
			members["FunctionError"] = kind
		}
	}
	return answer.told(r, c.RequestID, members), nil
}

// object reads or writes an object of S3.
func (e *execution) object(c *authz.Call, r *resource, members map[string]any) (any, *asl.Failure) {
	var bucket, key, kind string
	var body []byte
	for name, v := range members {
		text, ok := v.(string)
		switch {
		case name == "Bucket" && ok:
			bucket = text
		case name == "Key" && ok:
			key = text
		case name == "ContentType" && ok && r.action == "putObject":
			kind = text
		case name == "Body" && r.action == "putObject":
			if body = []byte(text); !ok {
				body = []byte(asl.Encode(v))
			}
		default:
			return nil, broken("the sandbox does not implement the parameter %s of %s in tasks", clip(name), r.action)
		}
	}
	if bucket == "" || key == "" {
		return nil, &asl.Failure{Name: "S3.S3Exception", Cause: "Bucket and Key must not be empty"}
	}
	method := http.MethodGet
	if r.action == "putObject" {
		method = http.MethodPut
	}
	request := newRequest(method, (&url.URL{Path: "/" + bucket + "/" + key}).EscapedPath(), body)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer := e.send(c, "s3", request)
	if f := answer.failure(r, c.RequestID); f != nil {
		return nil, f
	}
	output := map[string]any{"ETag": answer.Header.Get("ETag")}
	if method == http.MethodGet {
		output["Body"], output["ContentLength"], output["ContentType"] = strings.ToValidUTF8(string(answer.Body), "�"), asl.Number(len(answer.Body)), answer.Header.Get("Content-Type")
	}
	return output, nil
}

// asMembers returns an output of this API as tasks see it.
func asMembers(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	decoded, err := asl.Decode(text)
	if err != nil {
		return nil, err
	}
	return renamed(decoded, strings.ToUpper).(map[string]any), nil
}

// refusal is the failure of an operation of Step Functions itself.
func refusal(r *resource, c *authz.Call, err error) *asl.Failure {
	problem := table.Refusal(err)
	body, _ := json.Marshal(map[string]string{"__type": problem.Code, "message": problem.Message}) // strings always marshal
	return (&Answer{Status: problem.Status, Body: body}).failure(r, c.RequestID)
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return wire.AsError(err).Code
}
