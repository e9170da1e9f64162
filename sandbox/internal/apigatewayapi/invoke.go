package apigatewayapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// MaxPayload limits the body of a request to an API, in bytes.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
const MaxPayload = 10 << 20

// Executions describes, for documentation, what clients of APIs can do.
func Executions() []overview.Operation {
	return []overview.Operation{{
		Name: "Invoke", Real: true,
		Note: "no throttling, caches, usage plans, canaries, custom domains or private endpoints; a path that ends with a slash is another path",
	}}
}

// An Invocation is a client's request that has found its method.
type Invocation struct {
	Region string // of the API, for which requests are signed

	// Signed says that the method needs a signature. What comes without one, or
	// to a method that needs none, is anonymous, whoever signed it.
	Signed bool

	api       api // as it was
	stage     stage
	deployed  *deployment
	method    *Method
	node      *node
	labels    map[string]string
	verb      string
	path      string // as it was sent, without the stage: "/orders/7"
	requestID string
}

// Find returns the method that a request to an API is for. The region is that
// in the request's host, or empty. The path begins with the stage and is
// percent-encoded, as it was sent. What is not found is refused as API Gateway
// does: without an API or stage of that name it is forbidden, and without a
// method it lacks an authentication token.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
func (s *Service) Find(apiID, region, verb, path string) (*Invocation, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	a := s.apis[apiID]
	if a == nil || region != "" && region != a.region {
		return nil, forbidden()
	}
	t := a.stages[name]
	if t == nil {
		return nil, forbidden()
	}
	in := &Invocation{
		Region: a.region, api: *a, stage: *t, deployed: a.deployments[t.deployment],
		verb: verb, path: "/" + rest, labels: make(map[string]string),
	}
	if rest == "" {
		in.node = in.deployed.root
	} else {
		in.node = in.deployed.root.find(strings.Split(rest, "/"), in.labels)
	}
	if in.node != nil {
		in.method = in.node.methods[verb]
		if in.method == nil {
			in.method = in.node.methods["ANY"]
		}
	}
	if in.method == nil {
		return nil, MissingToken()
	}
	in.Signed = in.method.AuthorizationType == authorizationIAM
	return in, nil
}

// find returns the node of a path, and what its variables stand for. A plain
// segment goes before a variable one, and that before a greedy one.
func (n *node) find(segments []string, labels map[string]string) *node {
	if len(segments) == 0 {
		return n
	}
	for _, child := range n.children {
		switch child.rank() {
		case 2:
			labels[strings.Trim(child.part, "{}+")] = unescape(strings.Join(segments, "/"))
			return child
		case 1:
			if segments[0] == "" {
				continue
			}
			if found := child.find(segments[1:], labels); found != nil {
				labels[strings.Trim(child.part, "{}")] = unescape(segments[0])
				return found
			}
		default:
			if unescape(segments[0]) == child.part {
				if found := child.find(segments[1:], labels); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

func unescape(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}

func forbidden() error {
	return wire.Errorf(http.StatusForbidden, "ForbiddenException", "Forbidden")
}

// MissingToken is the answer to a request that is not signed and should be, and
// to one for a method that does not exist.
func MissingToken() error {
	return wire.Errorf(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
}

// arn is the method and path as permissions name them.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-using-iam-policies-to-invoke-api.html
func (in *Invocation) arn() string {
	return in.api.executionARN() + "/" + in.stage.name + "/" + in.verb + in.path
}

// Invoke answers a request whose signature the sandbox has verified, if the
// method needs one.
func (s *Service) Invoke(w http.ResponseWriter, r *http.Request, c *authz.Call, in *Invocation) {
	c.Operation = "Invoke"
	in.requestID = c.RequestID
	if err := in.authorize(c); err != nil {
		WriteError(w, c.RequestID, err)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	switch {
	case err != nil:
		WriteError(w, c.RequestID, wire.BadRequest("BadRequestException", "Bad Request"))
		return
	case len(body) > MaxPayload:
		WriteError(w, c.RequestID, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request Too Long"))
		return
	}
	if in.method.Integration.Type == "AWS_PROXY" {
		s.proxy(w, r, c, in, body)
		return
	}
	in.mock(w, r, c, body)
}

// authorize asks the caller's policies and the API's policy as it was deployed.
// A method that needs no signature asks the API's policy alone, and is open if
// there is none.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
func (in *Invocation) authorize(c *authz.Call) error {
	q := authz.Query{Action: "execute-api:Invoke", Resource: in.arn(), ResourceAccount: in.api.account}
	if in.deployed.policy != nil {
		q.ResourcePolicy = in.deployed.policy.Compiled
	} else if !in.Signed {
		return nil
	}
	d := c.Decide(q)
	if d.Allowed() {
		return nil
	}
	hidden := strings.Replace(q.Resource, ":"+string(in.api.account)+":", ":********"+string(in.api.account[8:])+":", 1)
	message := "User: " + c.CallerName() + " is not authorized to perform: " + q.Action + " on resource: " + hidden
	if d.Verdict == eval.ExplicitlyDenied {
		message += " with an explicit deny"
	}
	return wire.Errorf(http.StatusForbidden, "AccessDeniedException", "%s", message)
}

// WriteError answers with an error as an API does: a refusal by policies has a
// Message, every other error a message.
func WriteError(w http.ResponseWriter, requestID string, err error) {
	e := wire.AsError(err)
	member := "message"
	switch {
	case e.Code == "AccessDeniedException":
		member = "Message"
	case e.Code == "InternalFailure":
		e = wire.Errorf(http.StatusInternalServerError, "InternalServerErrorException", "Internal server error")
	}
	body, _ := json.Marshal(map[string]string{member: e.Message}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", e.Code)
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // fails only if the client is gone
}

// variable returns what a name in a template stands for.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
func (in *Invocation) variable(c *authz.Call, name string) string {
	anonymous := c.Caller.Principal.Type == iam.PrincipalAnonymous
	switch name {
	case "accountId":
		return string(in.api.account)
	case "apiId":
		return in.api.id
	case "httpMethod":
		return in.verb
	case "path":
		return "/" + in.stage.name + in.path
	case "requestId":
		return in.requestID
	case "resourcePath":
		return in.node.path
	case "stage":
		return in.stage.name
	case "identity.accountId":
		return string(c.Account())
	case "identity.sourceIp":
		return c.SourceIP
	case "identity.userAgent":
		return c.UserAgent
	case "identity.userArn":
		if !anonymous {
			return c.CallerName()
		}
	case "identity.caller", "identity.user":
		return c.Caller.UserID
	}
	return ""
}
