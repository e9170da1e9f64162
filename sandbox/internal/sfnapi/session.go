package sfnapi

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// sessionLife is how long a session is used. AWS does not say; roles that are
// assumed by roles have sessions of an hour at most.
const sessionLife = 30 * time.Minute

// A session is one of an execution role.
type session struct {
	service *Service
	machine string // ARN
	role    string
	region  string

	call  *authz.Call
	since time.Time
}

// sessionName makes a name in the form of those that AWS uses: 32 letters.
func (s *Service) sessionName() (string, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := make([]byte, 32)
	if _, err := io.ReadFull(s.options.Random, b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b), nil
}

// assume begins a session of an execution role. AWS sends the ARN of the state
// machine as aws:SourceArn.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html#prevent-cross-service-confused-deputy
func (s *Service) assume(c *authz.Call, machine, role string) (*authz.Call, error) {
	name, err := s.sessionName()
	if err != nil {
		return nil, err
	}
	return c.AsServiceRoleFor(role, servicePrincipal, machine, name)
}

// newCall is a call that Step Functions makes for an execution, with a record of
// its own.
func (s *Service) newCall(service, operation, region string) (*authz.Call, error) {
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	return s.options.Engine.NewCall(authz.Call{
		Context: context.Background(), Service: service, Operation: operation, Region: region, RequestID: id, Now: s.options.Clock(), Secure: true,
	}), nil
}

func (s *Service) remember(c *authz.Call, code string) {
	status := http.StatusOK
	if code != "" {
		status = http.StatusBadRequest
	}
	s.options.Engine.Remember(authz.Record{
		Time: c.Now, RequestID: c.RequestID, Service: c.Service, Operation: c.Operation, Region: c.Region, Caller: c.CallerName(), Status: status, Code: code,
	}, c)
}

// as makes a call with the session of the execution role, or of the role that a
// task names.
func (x *session) as(service, operation, taskRole string) (*authz.Call, *asl.Failure) {
	s := x.service
	c, err := s.newCall(service, operation, x.region)
	if err != nil {
		return nil, fault(err)
	}
	if x.call == nil || c.Now.Sub(x.since) > sessionLife {
		own, err := s.newCall("states", "AssumeRole", x.region)
		if err != nil {
			return nil, fault(err)
		}
		if x.call, err = s.assume(own, x.machine, x.role); err != nil {
			s.remember(own, wire.AsError(err).Code)
			return nil, &asl.Failure{Name: asl.ErrTaskFailed, Cause: fmt.Sprintf("Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role. Role ARN: %s", x.role)}
		}
		x.since = c.Now
	}
	c.Caller = x.call.Caller
	if taskRole == "" {
		return c, nil
	}
	return x.chain(c, taskRole)
}

func fault(err error) *asl.Failure {
	return &asl.Failure{Name: asl.ErrRuntime, Cause: wire.AsError(err).Message}
}

// chain assumes the role of a task with the session of the execution role. Step
// Functions sends the ARN of the state machine as the external ID, and the
// error is the same whatever the reason.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html
func (x *session) chain(c *authz.Call, role string) (*authz.Call, *asl.Failure) {
	refused := &asl.Failure{Name: asl.ErrTaskFailed, Cause: fmt.Sprintf("The role %s is not authorized to assume the task state's role, %s.", x.role, clip(role))}
	name, err := x.service.sessionName()
	if err != nil {
		return nil, fault(err)
	}
	own, err := x.service.newCall("sts", "AssumeRole", x.region)
	if err != nil {
		return nil, fault(err)
	}
	own.Caller = c.Caller
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {name}, "ExternalId": {x.machine}}
	answer := x.service.options.Request(own, "sts", formRequest(form))
	x.service.remember(own, answer.code())
	if answer.Status != http.StatusOK {
		return nil, refused
	}
	var out struct {
		Key   string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Token string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal(answer.Body, &out); err != nil {
		return nil, fault(err)
	}
	credential, err := x.service.options.Engine.Resolve(out.Key, out.Token, c.Now)
	if err != nil {
		return nil, fault(err)
	}
	c.Caller = credential.Caller
	return c, nil
}

func formRequest(form url.Values) *http.Request {
	r, _ := http.NewRequest(http.MethodPost, "https://localhost/", strings.NewReader(form.Encode())) // a constant URL
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func clip(s string) string { return wire.Clip(s) }
