// Package lambdaapi is the sandbox's Lambda: functions whose code is Go code
// that the program registers, their resource policies, and event source
// mappings that poll with the execution role's permissions.
//
// https://docs.aws.amazon.com/lambda/latest/api/welcome.html
package lambdaapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const servicePrincipal = "lambda.amazonaws.com"

// EchoHandler is the handler of functions that answer with their event.
const EchoHandler = "sandbox.echo"

// Code is what a function does. An error is a function error, not a failure of
// Lambda.
type Code func(context.Context, Invocation) ([]byte, error)

// An Invocation is one run of a function.
type Invocation struct {
	Payload     []byte // JSON
	FunctionARN string
	RequestID   string
	Environment map[string]string
	Session     *directory.Session // of the execution role
}

// A Service is the Lambda of all accounts and regions of a sandbox. It is safe
// for concurrent use.
type Service struct {
	options Options

	advancing sync.Mutex // held by the one that runs what is due; never waited for

	mu        sync.Mutex
	functions map[string]*function // by ARN
	code      map[string]Code      // by name or ARN
	mappings  []*mapping
	events    []*event // that wait to be run
}

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	Engine    *authz.Engine
	Kinesis   *kinesisapi.Service
	SQS       *sqsapi.Service
	Clock     func() time.Time
	Random    io.Reader
}

// New returns a service without functions.
func New(o Options) *Service {
	return &Service{options: o, functions: make(map[string]*function), code: make(map[string]Code)}
}

// Register says what a function does, by its name or ARN. The ARN wins.
func (s *Service) Register(name string, code Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code[name] = code
}

// A request is one request to a path of the API, taken apart.
type request struct {
	*http.Request
	name string // of the function, the id of the mapping, or the ARN: the variable part of the path
	last string // a second variable part
	body []byte
}

// An answer is what an operation returns; its body is JSON unless it is bytes.
type answer struct {
	status int
	header map[string]string
	body   any
}

func ok(body any) (*answer, error)      { return &answer{status: http.StatusOK, body: body}, nil }
func created(body any) (*answer, error) { return &answer{status: http.StatusCreated, body: body}, nil }
func nothing() (*answer, error)         { return &answer{status: http.StatusNoContent}, nil }

type operation struct {
	overview.Operation
	method, path string
	serve        func(*Service, *authz.Call, *request) (*answer, error)
}

func served(name, note, method, path string, serve func(*Service, *authz.Call, *request) (*answer, error)) operation {
	return operation{overview.Operation{Name: name, Real: true, Note: note}, method, path, serve}
}

const (
	functionsPath = "/2015-03-31/functions"
	mappingsPath  = "/2015-03-31/event-source-mappings"
	tagsPath      = "/2017-03-31/tags"
)

// operations is the one table of what this Lambda does. In paths, * stands for
// one part.
var operations = []operation{
	served("AddPermission", "on functions, not on versions", http.MethodPost, functionsPath+"/*/policy", (*Service).serveAddPermission),
	served("CreateEventSourceMapping", "of streams, stream consumers and queues; no filters, batching windows and destinations", http.MethodPost, mappingsPath, (*Service).serveCreateMapping),
	served("CreateFunction", "the code is Go code that the program registers, or the handler "+EchoHandler+"; a zip file is kept and not run; no layers, VPCs, images, code in S3", http.MethodPost, functionsPath, (*Service).serveCreateFunction),
	served("DeleteEventSourceMapping", "", http.MethodDelete, mappingsPath+"/*", (*Service).serveDeleteMapping),
	served("DeleteFunction", "", http.MethodDelete, functionsPath+"/*", (*Service).serveDeleteFunction),
	served("GetEventSourceMapping", "", http.MethodGet, mappingsPath+"/*", (*Service).serveGetMapping),
	served("GetFunction", "no code", http.MethodGet, functionsPath+"/*", (*Service).serveGetFunction),
	served("GetFunctionConfiguration", "", http.MethodGet, functionsPath+"/*/configuration", (*Service).serveGetFunctionConfiguration),
	served("GetPolicy", "", http.MethodGet, functionsPath+"/*/policy", (*Service).serveGetPolicy),
	served("Invoke", "no logs, no client context; events wait until the sandbox is called again or advanced", http.MethodPost, functionsPath+"/*/invocations", (*Service).serveInvoke),
	served("ListEventSourceMappings", "one page", http.MethodGet, mappingsPath, (*Service).serveListMappings),
	served("ListFunctions", "one page", http.MethodGet, functionsPath, (*Service).serveListFunctions),
	served("ListTags", "", http.MethodGet, tagsPath+"/*", (*Service).serveListTags),
	served("RemovePermission", "", http.MethodDelete, functionsPath+"/*/policy/*", (*Service).serveRemovePermission),
	served("TagResource", "functions", http.MethodPost, tagsPath+"/*", (*Service).serveTagResource),
	served("UntagResource", "functions", http.MethodDelete, tagsPath+"/*", (*Service).serveUntagResource),
	served("UpdateEventSourceMapping", "Enabled and BatchSize", http.MethodPut, mappingsPath+"/*", (*Service).serveUpdateMapping),
	served("UpdateFunctionConfiguration", "", http.MethodPut, functionsPath+"/*/configuration", (*Service).serveUpdateConfiguration),
}

// Operations lists the operations of Lambda that the sandbox has, and those
// about functions, versions and policies that it has not.
func Operations() []overview.Operation {
	var list []overview.Operation
	for _, op := range operations {
		list = append(list, op.Operation)
	}
	for _, name := range strings.Fields(`AddLayerVersionPermission CreateAlias CreateCodeSigningConfig CreateFunctionUrlConfig DeleteAlias
		DeleteFunctionConcurrency DeleteFunctionEventInvokeConfig DeleteFunctionUrlConfig DeleteLayerVersion DeleteResourcePolicy GetAccountSettings GetAlias
		GetFunctionConcurrency GetFunctionEventInvokeConfig GetFunctionUrlConfig GetLayerVersion GetLayerVersionPolicy GetResourcePolicy InvokeAsync
		InvokeWithResponseStream ListAliases ListFunctionEventInvokeConfigs ListFunctionUrlConfigs ListLayers ListVersionsByFunction
		PublishLayerVersion PublishVersion PutFunctionConcurrency PutFunctionEventInvokeConfig PutResourcePolicy
		RemoveLayerVersionPermission UpdateAlias UpdateFunctionCode UpdateFunctionEventInvokeConfig UpdateFunctionUrlConfig`) {
		list = append(list, overview.Operation{Name: name})
	}
	return list
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	out, err := s.dispatch(r, c)
	if err != nil {
		wire.WriteJSONError(w, c.RequestID, refusal(err))
		return
	}
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	if payload, raw := out.body.([]byte); raw {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Requestid", c.RequestID)
		w.WriteHeader(out.status)
		_, _ = w.Write(payload) // fails only if the client is gone
		return
	}
	wire.WriteJSON(w, "", c.RequestID, out.status, out.body)
}

func (s *Service) dispatch(r *http.Request, c *authz.Call) (*answer, error) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	for _, op := range operations {
		parts, matches := match(op.path, path)
		if op.method != r.Method || !matches {
			continue
		}
		c.Operation = op.Name
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err // the sandbox has read and limited it when it verified the signature
		}
		in := &request{Request: r, body: body}
		if len(parts) > 0 {
			in.name = parts[0]
		}
		if len(parts) > 1 {
			in.last = parts[1]
		}
		return op.serve(s, c, in)
	}
	return nil, wire.NotImplemented("lambda", r.Method+" "+wire.Clip(path))
}

// match compares a path with a pattern and returns what the stars stand for.
func match(pattern, path string) ([]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	var parts []string
	for i := range want {
		switch {
		case want[i] == "*" && got[i] != "":
			parts = append(parts, got[i])
		case want[i] != got[i]:
			return nil, false
		}
	}
	return parts, true
}

func refusal(err error) *wire.Error {
	e := wire.AsError(err)
	if e.Code != "AccessDenied" {
		return e
	}
	denied := *e
	denied.Code = "AccessDeniedException"
	return &denied
}

func invalid(format string, args ...any) error {
	return wire.BadRequest("InvalidParameterValueException", format, args...)
}

func notFound(format string, args ...any) error {
	return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func conflict(format string, args ...any) error {
	return wire.Errorf(http.StatusConflict, "ResourceConflictException", format, args...)
}

// referencePattern is a function's name, ARN or part of an ARN, with or without
// a qualifier.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
var referencePattern = regexp.MustCompile(`^(?:arn:(aws[a-zA-Z-]*):lambda:([a-z0-9-]+):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9_-]{1,64})(?::(\$LATEST|[a-zA-Z0-9_-]+))?$`)

// functionARN is the ARN of the function that a request means.
func (s *Service) functionARN(c *authz.Call, reference, qualifier string) (string, error) {
	m := referencePattern.FindStringSubmatch(reference)
	if m == nil {
		return "", wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must be a function's name or ARN", wire.Clip(reference))
	}
	if m[5] != "" || qualifier != "" {
		return "", wire.NotImplemented("lambda", "versions and aliases of functions")
	}
	account := c.Account()
	if m[3] != "" {
		account = iam.AccountID(m[3])
	}
	if m[2] != "" && m[2] != c.Region {
		return "", notFound("Functions from '%s' are not reachable in this region ('%s')", m[2], c.Region)
	}
	return s.newARN(account, c.Region, "function:"+m[4]), nil
}

func (s *Service) newARN(account iam.AccountID, region, resource string) string {
	partition := "aws"
	if a, ok := s.options.Directory.Account(account); ok {
		partition = a.Partition
	}
	return "arn:" + partition + ":lambda:" + region + ":" + string(account) + ":" + resource
}

// find returns a function after authorising the action on it. One that does
// not exist is reported only to those who might have used it. The caller holds
// the lock.
func (s *Service) find(c *authz.Call, reference, action string, more func(*authz.Query)) (*function, error) {
	arn, err := s.functionARN(c, reference, "")
	if err != nil {
		return nil, err
	}
	f := s.functions[arn]
	q := authz.Query{Action: "lambda:" + action, Resource: arn}
	if f != nil {
		q.ResourceTags = f.tags
		if f.policy != nil {
			q.ResourcePolicy = f.policy.Compiled
		}
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if f == nil {
		return nil, notFound("Function not found: %s", arn)
	}
	return f, nil
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.options.Random) }

// revision identifies a state of something by its content.
func revision(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Overview shows the functions and the event source mappings.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	functions := overview.Section{Title: "Functions", Columns: []string{"Function", "Execution role", "Runs"}}
	for _, f := range s.functions {
		functions.Rows = append(functions.Rows, []string{f.arn, f.role, fmt.Sprint(f.runs)})
	}
	slices.SortFunc(functions.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	mappings := overview.Section{Title: "Event source mappings", Columns: []string{"Source", "Function", "Last result"}}
	for _, m := range s.mappings {
		mappings.Rows = append(mappings.Rows, []string{m.source, m.function, m.result})
	}
	return []overview.Section{functions, mappings}
}
