package iamapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Service is IAM. It is safe for concurrent use.
type Service struct {
	directory *directory.Directory
}

// New returns the IAM of a directory's accounts.
func New(d *directory.Directory) *Service { return &Service{directory: d} }

// latest is what the API answers from; what it writes takes effect later.
func (s *Service) latest() directory.View { return s.directory.Latest() }

const version = "2010-05-08"

// ServeAPI answers a request of the AWS query protocol. The caller has verified
// its signature. The parameters are read from the body and the URL.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	out, name, err := s.serve(r, c)
	if err != nil {
		wire.WriteQueryError(w, wire.NamespaceIAM, c.RequestID, wire.AsError(err))
		return
	}
	wire.WriteQuery(w, name, wire.NamespaceIAM, c.RequestID, out)
}

func (s *Service) serve(r *http.Request, c *authz.Call) (out any, name string, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, "", wire.BadRequest("MalformedInput", "the request body is not a form")
	}
	name = r.Form.Get("Action")
	operation, known := operations[name]
	switch {
	case name == "":
		return nil, "", wire.BadRequest("MissingAction", "the request has no parameter Action")
	case !known || r.Form.Get("Version") != version:
		return nil, "", wire.BadRequest("InvalidAction", "Could not find operation %s for version %s", clip(name), clip(r.Form.Get("Version")))
	}
	c.Operation = name
	if c.Caller.Anonymous() {
		return nil, "", wire.Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	if operation == nil {
		return nil, "", wire.NotImplemented("iam", name)
	}
	out, err = operation(s, c, r.Form)
	return out, name, err
}

// An operation decodes its input, runs and returns its output, nil for none.
type operation func(*Service, *authz.Call, url.Values) (any, error)

// query makes an operation of a method with an output.
func query[In, Out any](method func(*Service, *authz.Call, *In) (*Out, error)) operation {
	return func(s *Service, c *authz.Call, form url.Values) (any, error) {
		in := new(In)
		if err := wire.DecodeQuery(form, in); err != nil {
			return nil, err
		}
		out, err := method(s, c, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// command makes an operation of a method without output.
func command[In any](method func(*Service, *authz.Call, *In) error) operation {
	return func(s *Service, c *authz.Call, form url.Values) (any, error) {
		in := new(In)
		if err := wire.DecodeQuery(form, in); err != nil {
			return nil, err
		}
		return nil, method(s, c, in)
	}
}

// A target is what an operation is about: the resource that policies match, the
// way messages show it, and its tags.
type target struct {
	arn   string
	shown string // "role demo"; the ARN if empty
	tags  []directory.Tag
}

// details are the parts of a question that only some operations have.
type details struct {
	requestTags []directory.Tag
	keys        func(*iam.Context)
}

// authorize asks whether the caller may do action ("GetRole") on the target.
func (s *Service) authorize(c *authz.Call, action string, t target, more details) error {
	q := authz.Query{
		Action:       "iam:" + action,
		Resource:     t.arn,
		ResourceTags: t.tags,
		RequestTags:  more.requestTags,
		Context: func(ctx *iam.Context) {
			for _, tag := range t.tags { // IAM's older name for aws:ResourceTag
				ctx.Set("iam:ResourceTag/"+tag.Key, tag.Value)
			}
			if more.keys != nil {
				more.keys(ctx)
			}
		},
	}
	// The account part of AWS's own policies is "aws", whose owner counts as
	// the caller's account: no policy of AWS has to agree.
	if arn, err := iam.ParseARN(t.arn); err != nil || arn.Account == string(directory.AWSAccount) {
		q.ResourceAccount = c.Account()
	}
	err := c.Authorize(q)
	if err == nil || t.shown == "" {
		return err
	}
	// IAM's messages name most resources by kind and name.
	refusal := *wire.AsError(err)
	refusal.Message = strings.Replace(refusal.Message, "on resource: "+t.arn, "on resource: "+t.shown, 1)
	return &refusal
}

// account returns the caller's account and the partition its ARNs have.
func (s *Service) account(c *authz.Call) (*directory.Account, error) {
	a, ok := s.directory.Account(c.Account())
	if !ok {
		return nil, wire.Errorf(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	return a, nil
}

// accountTarget is the target of operations that list a whole account: a
// resource such as "arn:aws:iam::111122223333:role/".
func (s *Service) accountTarget(c *authz.Call, resource string) (target, error) {
	a, err := s.account(c)
	if err != nil {
		return target{}, err
	}
	return target{arn: "arn:" + a.Partition + ":iam::" + string(a.ID) + ":" + resource}, nil
}

func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
