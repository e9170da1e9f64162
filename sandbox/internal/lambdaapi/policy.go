package lambdaapi

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit of a function's resource policy in bytes.
//
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxPolicySize = 20 << 10

// A statement is one of a function's resource policy, as Lambda writes it.
type statement struct {
	Sid       string
	Effect    string
	Principal any // "*", or a kind and a name
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// AddPermissionInput is the input of AddPermission.
type AddPermissionInput struct {
	FunctionName          string
	StatementID           string `json:"StatementId"`
	Action                string
	Principal             string
	SourceARN             string `json:"SourceArn"`
	SourceAccount         string
	EventSourceToken      string
	PrincipalOrgID        string
	FunctionURLAuthType   string `json:"FunctionUrlAuthType"`
	InvokedViaFunctionURL *bool  `json:"InvokedViaFunctionUrl"`
	RevisionID            string `json:"RevisionId"`
}

var (
	sidPattern    = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)
	actionPattern = regexp.MustCompile(`^(lambda:(\*|[a-zA-Z]+)|\*)$`)
)

func (s *Service) serveAddPermission(c *authz.Call, r *request) (*answer, error) {
	if _, err := s.functionARN(c, r.name, r.URL.Query().Get("Qualifier")); err != nil {
		return nil, err
	}
	var in AddPermissionInput
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	in.FunctionName = r.name
	text, err := s.AddPermission(c, &in)
	if err != nil {
		return nil, err
	}
	return created(struct{ Statement string }{text})
}

// AddPermission adds a statement to a function's resource policy and returns it
// as JSON.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
func (s *Service) AddPermission(c *authz.Call, in *AddPermissionInput) (string, error) {
	switch {
	case !sidPattern.MatchString(in.StatementID):
		return "", wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)", wire.Clip(in.StatementID))
	case !actionPattern.MatchString(in.Action):
		return "", wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])", wire.Clip(in.Action))
	case in.Principal == "":
		return "", wire.BadRequest("ValidationException", "1 validation error detected: Value at 'principal' failed to satisfy constraint: Member must not be null")
	case in.FunctionURLAuthType != "" && in.FunctionURLAuthType != "NONE" && in.FunctionURLAuthType != "AWS_IAM":
		return "", wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'functionUrlAuthType' failed to satisfy constraint: Member must satisfy enum value set: [NONE, AWS_IAM]", wire.Clip(in.FunctionURLAuthType))
	case in.FunctionURLAuthType != "" && in.Action != "lambda:InvokeFunctionUrl":
		return "", invalid("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, in.FunctionName, "AddPermission", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) {
			ctx.Set("lambda:Principal", in.Principal)
			if in.FunctionURLAuthType != "" {
				ctx.Set("lambda:FunctionUrlAuthType", in.FunctionURLAuthType)
			}
		}
	})
	if err != nil {
		return "", err
	}
	if err := f.checkRevision(in.RevisionID); err != nil {
		return "", err
	}
	if slices.ContainsFunc(f.statements, func(st statement) bool { return st.Sid == in.StatementID }) {
		return "", conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.StatementID)
	}
	added := statement{Sid: in.StatementID, Effect: "Allow", Principal: principal(f, in.Principal), Action: in.Action, Resource: f.arn, Condition: conditions(in)}
	if err := s.setPolicy(f, append(slices.Clone(f.statements), added)); err != nil {
		return "", err
	}
	text, err := json.Marshal(added)
	return string(text), err
}

// principal is who a permission is for, as the policy writes it.
func principal(f *function, name string) any {
	switch {
	case name == "*":
		return "*"
	case strings.Contains(name, ".") && !strings.HasPrefix(name, "arn:"):
		return map[string]string{"Service": name}
	}
	if id, err := iam.ParseAccountID(name); err == nil {
		arn, _ := iam.ParseARN(f.arn) // made by the sandbox
		name = "arn:" + arn.Partition + ":iam::" + string(id) + ":root"
	}
	return map[string]string{"AWS": name}
}

func conditions(in *AddPermissionInput) map[string]map[string]string {
	all := make(map[string]map[string]string)
	add := func(operator, key, value string) {
		if value == "" {
			return
		}
		if all[operator] == nil {
			all[operator] = make(map[string]string)
		}
		all[operator][key] = value
	}
	add("ArnLike", "AWS:SourceArn", in.SourceARN)
	add("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	add("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	add("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	add("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionURLAuthType)
	if in.InvokedViaFunctionURL != nil && *in.InvokedViaFunctionURL {
		add("Bool", "lambda:InvokedViaFunctionUrl", "true")
	}
	return all
}

func policyText(statements []statement) (string, error) {
	text, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []statement
	}{"2012-10-17", "default", statements})
	return string(text), err
}

// setPolicy gives a function statements, or changes nothing.
func (s *Service) setPolicy(f *function, statements []statement) error {
	if len(statements) == 0 {
		f.statements, f.policy = nil, nil
		return nil
	}
	text, err := policyText(statements)
	if err != nil {
		return err
	}
	if len(text) > maxPolicySize {
		return wire.BadRequest("PolicyLengthExceededException", "The final policy size (%d) is bigger than the limit (%d).", len(text), maxPolicySize)
	}
	d, err := s.options.Directory.Latest().NewResourceDocument(text, iam.KindResource, "resource policy of "+f.name)
	var unknown *directory.InvalidPrincipalError
	switch {
	case errors.As(err, &unknown):
		e := wire.BadRequest("InvalidParameterValueException", "The provided principal was invalid. Please check the principal and try again.")
		e.Cause = err
		return e
	case err != nil:
		return invalid("%s", wire.AsError(err).Message)
	}
	f.statements, f.policy = statements, d
	return nil
}

func (f *function) policyRevision() string {
	if f.policy == nil {
		return ""
	}
	return revision(f.arn, f.policy.Text)
}

func (f *function) checkRevision(given string) error {
	if given == "" || given == f.policyRevision() {
		return nil
	}
	return wire.Errorf(412, "PreconditionFailedException", "The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the latest RevisionId")
}

func (s *Service) serveGetPolicy(c *authz.Call, r *request) (*answer, error) {
	if _, err := s.functionARN(c, r.name, r.URL.Query().Get("Qualifier")); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, r.name, "GetPolicy", nil)
	if err != nil {
		return nil, err
	}
	if f.policy == nil {
		return nil, notFound("The resource you requested does not exist.")
	}
	return ok(struct {
		Policy     string
		RevisionID string `json:"RevisionId"`
	}{s.options.Directory.Latest().Text(f.policy), f.policyRevision()})
}

func (s *Service) serveRemovePermission(c *authz.Call, r *request) (*answer, error) {
	if _, err := s.functionARN(c, r.name, r.URL.Query().Get("Qualifier")); err != nil {
		return nil, err
	}
	if err := s.RemovePermission(c, r.name, r.last, r.URL.Query().Get("RevisionId")); err != nil {
		return nil, err
	}
	return nothing()
}

// RemovePermission takes a statement out of a function's resource policy.
func (s *Service) RemovePermission(c *authz.Call, functionName, sid, revisionID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, functionName, "RemovePermission", nil)
	if err != nil {
		return err
	}
	if err := f.checkRevision(revisionID); err != nil {
		return err
	}
	i := slices.IndexFunc(f.statements, func(st statement) bool { return st.Sid == sid })
	if i < 0 {
		return notFound("Statement %s is not found in resource policy.", wire.Clip(sid))
	}
	return s.setPolicy(f, slices.Delete(slices.Clone(f.statements), i, i+1))
}
