package ssmapi

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const (
	kindString       = "String"
	kindStringList   = "StringList"
	kindSecureString = "SecureString"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_./-]+$`)

func checkName(name string) error {
	if err := awsjson.Required("Name", name); err != nil {
		return err
	}
	lower := strings.ToLower(strings.TrimPrefix(name, "/"))
	switch {
	case !namePattern.MatchString(name) || len(name) > 1011:
		return wire.BadRequest("ValidationException", "Parameter name must be a fully qualified name of letters, digits and the characters _.-/")
	case strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm"):
		return wire.BadRequest("ValidationException", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	case strings.Contains(strings.TrimPrefix(name, "/"), "/") && !strings.HasPrefix(name, "/"):
		return wire.BadRequest("ValidationException", "Parameter name must be a fully qualified name.")
	case strings.HasSuffix(name, "/"), strings.Contains(name, "//"):
		return wire.BadRequest("ValidationException", "Parameter name must not end with a slash or have two in a row.")
	case strings.Count(name, "/") > 15:
		return wire.BadRequest("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels.")
	}
	return nil
}

// PutParameterInput is the input of PutParameter.
type PutParameterInput struct {
	Name, Value, Type, Description           string
	KeyID                                    string `json:"KeyId"`
	Overwrite                                bool
	Tags                                     []Tag
	Tier, AllowedPattern, Policies, DataType string
}

// PutParameterOutput says which version was made.
type PutParameterOutput struct {
	Version int
	Tier    string
}

// PutParameter makes a parameter, or with Overwrite a version of it.
func (s *Service) PutParameter(c *authz.Call, in *PutParameterInput) (*PutParameterOutput, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if err := awsjson.Required("Value", in.Value); err != nil {
		return nil, err
	}
	limit := 4096
	if in.Tier == "Advanced" {
		limit = 8192
	}
	switch {
	case len(in.Value) > limit:
		return nil, wire.BadRequest("ValidationException", "the value has %d characters; a parameter of this tier holds at most %d", len(in.Value), limit)
	case in.AllowedPattern != "" || in.Policies != "" || in.DataType != "" && in.DataType != "text":
		return nil, wire.NotImplemented("ssm", "PutParameter with AllowedPattern, Policies or another DataType than text")
	case in.Overwrite && len(in.Tags) > 0:
		return nil, wire.BadRequest("ValidationException", "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag.")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parameters[here(c)][in.Name]
	q := authz.Query{Action: "ssm:PutParameter", Resource: arnOf(s.directory.Partition(c.Account()), here(c), in.Name), RequestTags: tags,
		Context: func(ctx *iam.Context) { ctx.Set("ssm:Overwrite", strconv.FormatBool(in.Overwrite)) }}
	if p != nil {
		q.ResourceTags = p.tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "ssm:AddTagsToResource", Resource: q.Resource, RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	kind := in.Type
	switch {
	case p != nil && !in.Overwrite:
		return nil, wire.BadRequest("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case p != nil && kind == "":
		kind = p.current().kind
	case kind == "":
		return nil, wire.BadRequest("ValidationException", "A parameter type is required when you create a parameter.")
	case kind != kindString && kind != kindStringList && kind != kindSecureString:
		return nil, wire.BadRequest("UnsupportedParameterType", "The parameter type %s is not supported.", kind)
	}
	v := version{kind: kind, value: in.Value, description: in.Description, changed: c.Now, by: c.CallerName()}
	fresh := p
	if p == nil {
		fresh = &parameter{place: here(c), partition: s.directory.Partition(c.Account()), name: in.Name, tags: tags}
	}
	if kind == kindSecureString {
		if v.keyID, v.value, err = s.seal(c, fresh, in.KeyID, in.Value); err != nil {
			return nil, err
		}
	} else if in.KeyID != "" {
		return nil, wire.BadRequest("ValidationException", "KeyId is for parameters of type SecureString")
	}
	if p == nil {
		if s.parameters[here(c)] == nil {
			s.parameters[here(c)] = make(map[string]*parameter)
		}
		s.parameters[here(c)][in.Name] = fresh
	}
	fresh.versions = append(fresh.versions, v)
	tier := in.Tier
	if tier == "" {
		tier = "Standard"
	}
	return &PutParameterOutput{len(fresh.versions), tier}, nil
}

// seal encrypts a value with the caller's permission for the key, as standard
// parameters do: by KMS itself.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
func (s *Service) seal(c *authz.Call, p *parameter, keyID, value string) (usedKey, sealed string, err error) {
	target := keyID
	if keyID == "" || keyID == "alias/aws/ssm" {
		keyID = "alias/aws/ssm"
		if target, err = s.kms.ManagedKey(c, p.account, "ssm"); err != nil {
			return "", "", err
		}
	}
	out, err := s.kms.Encrypt(c.Forward(forwardedBy), &kmsapi.EncryptInput{KeyID: target, Plaintext: []byte(value), EncryptionContext: p.encryptionContext()})
	if err != nil {
		return "", "", keyFailure(err)
	}
	return keyID, base64.StdEncoding.EncodeToString(out.CiphertextBlob), nil
}

func (p *parameter) encryptionContext() map[string]string {
	return map[string]string{"PARAMETER_ARN": p.arn()}
}

func (s *Service) open(c *authz.Call, p *parameter, v version) (string, error) {
	blob, err := base64.StdEncoding.DecodeString(v.value)
	if err != nil {
		return "", err
	}
	out, err := s.kms.Decrypt(c.Forward(forwardedBy), &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: p.encryptionContext()})
	if err != nil {
		return "", keyFailure(err)
	}
	return string(out.Plaintext), nil
}

// keyFailure words what KMS said as Systems Manager does.
func keyFailure(err error) error {
	e := wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		return &wire.Error{Status: 400, Code: "AccessDeniedException", Message: e.Message + " (Service: Kms)", Cause: e}
	case "NotFoundException", "DisabledException", "KMSInvalidStateException":
		return &wire.Error{Status: 400, Code: "InvalidKeyId", Message: e.Message, Cause: e}
	}
	return e
}

// A Parameter is a parameter with its value.
type Parameter struct {
	Name, Type, Value string
	Version           int
	LastModifiedDate  *wire.Timestamp
	ARN, DataType     string
	Selector          string `json:",omitempty"`
}

// GetParameterInput names a parameter, perhaps with ":VERSION".
type GetParameterInput struct {
	Name           string
	WithDecryption bool
}

// GetParameterOutput is one parameter.
type GetParameterOutput struct{ Parameter *Parameter }

// GetParameter returns a parameter. Those of other accounts cannot be read.
func (s *Service) GetParameter(c *authz.Call, in *GetParameterInput) (*GetParameterOutput, error) {
	if err := awsjson.Required("Name", in.Name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.get(c, "GetParameter", in.Name, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	return &GetParameterOutput{p}, nil
}

// get authorises and reads one parameter. The name may be an ARN of the
// caller's own account and may select a version.
func (s *Service) get(c *authz.Call, operation, name string, decrypt bool) (*Parameter, error) {
	name, selector := s.split(c, name)
	p := s.parameters[here(c)][name]
	q := authz.Query{Action: "ssm:" + operation, Resource: arnOf(s.directory.Partition(c.Account()), here(c), name)}
	if p != nil {
		q.ResourceTags = p.tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, wire.BadRequest("ParameterNotFound", "")
	}
	number := len(p.versions)
	if selector != "" {
		n, err := strconv.Atoi(selector)
		if err != nil || n < 1 || n > number {
			return nil, wire.BadRequest("ParameterVersionNotFound", "Systems Manager could not find version %s of %s. Verify the version and try again.", selector, name)
		}
		number = n
	}
	return s.shown(c, p, number, selector, decrypt)
}

func (s *Service) shown(c *authz.Call, p *parameter, number int, selector string, decrypt bool) (*Parameter, error) {
	v := p.versions[number-1]
	shown := &Parameter{Name: p.name, Type: v.kind, Value: v.value, Version: number, LastModifiedDate: wire.At(v.changed), ARN: p.arn(), DataType: "text"}
	if selector != "" {
		shown.Selector = ":" + selector
	}
	if v.kind == kindSecureString && decrypt {
		var err error
		if shown.Value, err = s.open(c, p, v); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// split takes the version off a name, and the ARN around it.
func (s *Service) split(c *authz.Call, name string) (bare, selector string) {
	own := strings.TrimSuffix(arnOf(s.directory.Partition(c.Account()), here(c), ""), "/")
	if rest, ok := strings.CutPrefix(name, own); ok {
		name = rest
		bare, selector, _ = strings.Cut(name, ":")
		if _, ok := s.parameters[here(c)][bare]; !ok {
			bare = strings.TrimPrefix(bare, "/") // parameters without a path have a slash in their ARN only
		}
		return bare, selector
	}
	if strings.HasPrefix(name, "arn:") {
		return name, ""
	}
	bare, selector, _ = strings.Cut(name, ":")
	return bare, selector
}

// GetParametersInput names up to ten parameters.
type GetParametersInput struct {
	Names          []string
	WithDecryption bool
}

// GetParametersOutput has those that exist, and the names of the others.
type GetParametersOutput struct {
	Parameters        []*Parameter
	InvalidParameters []string
}

// GetParameters returns several parameters.
func (s *Service) GetParameters(c *authz.Call, in *GetParametersInput) (*GetParametersOutput, error) {
	if len(in.Names) < 1 || len(in.Names) > 10 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &GetParametersOutput{Parameters: []*Parameter{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		p, err := s.get(c, "GetParameters", name, in.WithDecryption)
		switch {
		case err == nil:
			out.Parameters = append(out.Parameters, p)
		case strings.HasSuffix(wire.AsError(err).Code, "NotFound"):
			out.InvalidParameters = append(out.InvalidParameters, name)
		default:
			return nil, err
		}
	}
	return out, nil
}

// GetParametersByPathInput names a level of the hierarchy.
type GetParametersByPathInput struct {
	Path             string
	Recursive        bool
	WithDecryption   bool
	MaxResults       int
	NextToken        string
	ParameterFilters []struct{}
}

// GetParametersByPathOutput is a page of parameters.
type GetParametersByPathOutput struct {
	Parameters []*Parameter
	NextToken  string `json:",omitempty"`
}

// GetParametersByPath returns the parameters below a path.
func (s *Service) GetParametersByPath(c *authz.Call, in *GetParametersByPathInput) (*GetParametersByPathOutput, error) {
	if len(in.ParameterFilters) > 0 {
		return nil, wire.NotImplemented("ssm", "GetParametersByPath with ParameterFilters")
	}
	if !strings.HasPrefix(in.Path, "/") {
		return nil, wire.BadRequest("ValidationException", "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\".")
	}
	err := c.Authorize(authz.Query{Action: "ssm:GetParametersByPath", Resource: arnOf(s.directory.Partition(c.Account()), here(c), strings.TrimSuffix(in.Path, "/")),
		Context: func(ctx *iam.Context) { ctx.Set("ssm:Recursive", strconv.FormatBool(in.Recursive)) }})
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	prefix := strings.TrimSuffix(in.Path, "/") + "/"
	var below []*parameter
	for name, p := range s.parameters[here(c)] {
		rest, ok := strings.CutPrefix(name, prefix)
		if ok && (in.Recursive || !strings.Contains(rest, "/")) {
			below = append(below, p)
		}
	}
	below, next, err := sortedPage(below, in.MaxResults, 10, 10, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &GetParametersByPathOutput{Parameters: []*Parameter{}, NextToken: next}
	for _, p := range below {
		shown, err := s.shown(c, p, len(p.versions), "", in.WithDecryption)
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, shown)
	}
	return out, nil
}

func sortedPage(list []*parameter, limit, usual, most int, token string) ([]*parameter, string, error) {
	slices.SortFunc(list, func(a, b *parameter) int { return strings.Compare(a.name, b.name) })
	return awsjson.Page(list, limit, usual, most, token, func(p *parameter) string { return p.name })
}

// DescribeParametersInput pages.
type DescribeParametersInput struct {
	MaxResults                int
	NextToken                 string
	Filters, ParameterFilters []struct{}
}

// DescribeParametersOutput is a page of parameters without values.
type DescribeParametersOutput struct {
	Parameters []Metadata
	NextToken  string `json:",omitempty"`
}

// Metadata describes a parameter.
type Metadata struct {
	Name, ARN, Type  string
	KeyID            string `json:"KeyId,omitempty"`
	Description      string `json:",omitempty"`
	LastModifiedDate *wire.Timestamp
	LastModifiedUser string
	Version          int
	Tier, DataType   string
}

// DescribeParameters lists the account's parameters.
func (s *Service) DescribeParameters(c *authz.Call, in *DescribeParametersInput) (*DescribeParametersOutput, error) {
	if len(in.Filters)+len(in.ParameterFilters) > 0 {
		return nil, wire.NotImplemented("ssm", "DescribeParameters with filters")
	}
	if err := c.Authorize(authz.Query{Action: "ssm:DescribeParameters", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*parameter
	for _, p := range s.parameters[here(c)] {
		all = append(all, p)
	}
	all, next, err := sortedPage(all, in.MaxResults, 50, 50, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeParametersOutput{Parameters: []Metadata{}, NextToken: next}
	for _, p := range all {
		v := p.current()
		out.Parameters = append(out.Parameters, Metadata{p.name, p.arn(), v.kind, v.keyID, v.description, wire.At(v.changed), v.by, len(p.versions), "Standard", "text"})
	}
	return out, nil
}

// DeleteParameterInput names a parameter.
type DeleteParameterInput struct{ Name string }

// DeleteParameter deletes a parameter with all its versions.
func (s *Service) DeleteParameter(c *authz.Call, in *DeleteParameterInput) (*struct{}, error) {
	if err := awsjson.Required("Name", in.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.remove(c, "ssm:DeleteParameter", in.Name)
	if err == nil && !found {
		err = wire.BadRequest("ParameterNotFound", "")
	}
	return nil, err
}

func (s *Service) remove(c *authz.Call, action, name string) (bool, error) {
	p, found := s.parameters[here(c)][name]
	q := authz.Query{Action: action, Resource: arnOf(s.directory.Partition(c.Account()), here(c), name)}
	if found {
		q.ResourceTags = p.tags
	}
	if err := c.Authorize(q); err != nil {
		return false, err
	}
	delete(s.parameters[here(c)], name)
	return found, nil
}

// DeleteParametersInput names up to ten parameters.
type DeleteParametersInput struct{ Names []string }

// DeleteParametersOutput says which were there.
type DeleteParametersOutput struct{ DeletedParameters, InvalidParameters []string }

// DeleteParameters deletes several parameters.
func (s *Service) DeleteParameters(c *authz.Call, in *DeleteParametersInput) (*DeleteParametersOutput, error) {
	if len(in.Names) < 1 || len(in.Names) > 10 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &DeleteParametersOutput{[]string{}, []string{}}
	for _, name := range in.Names {
		found, err := s.remove(c, "ssm:DeleteParameters", name)
		switch {
		case err != nil:
			return nil, err
		case found:
			out.DeletedParameters = append(out.DeletedParameters, name)
		default:
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}
