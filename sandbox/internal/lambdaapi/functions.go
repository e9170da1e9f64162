package lambdaapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type function struct {
	arn        string
	account    iam.AccountID
	region     string
	name       string
	settings   Settings
	role       string
	zip        []byte
	changed    time.Time
	tags       []directory.Tag
	statements []statement
	policy     *directory.Document // of the statements; nil if there are none

	runs     int
	session  *authz.Call // of the execution role, renewed now and then
	sessions time.Time   // when it was begun
}

// Settings are what UpdateFunctionConfiguration can change besides the role.
type Settings struct {
	Runtime     string `json:",omitempty"`
	Handler     string `json:",omitempty"`
	Description *string
	Timeout     int `json:",omitempty"` // seconds
	MemorySize  int `json:",omitempty"` // MB
	Environment *Environment
}

// Environment has a function's variables.
type Environment struct{ Variables map[string]string }

// unsupported are the settings that AWS has and the sandbox has not.
type unsupported struct {
	VpcConfig, DeadLetterConfig, ImageConfig, FileSystemConfigs, SnapStart, LoggingConfig, DurableConfig, CapacityProviderConfig, EphemeralStorage json.RawMessage
	Layers, TracingConfig                                                                                                                          json.RawMessage
	KMSKeyArn, CodeSigningConfigArn                                                                                                                string
	Publish                                                                                                                                        bool
}

func (u *unsupported) check(operation string) error {
	for name, value := range map[string]json.RawMessage{
		"VpcConfig": u.VpcConfig, "DeadLetterConfig": u.DeadLetterConfig, "ImageConfig": u.ImageConfig, "FileSystemConfigs": u.FileSystemConfigs,
		"SnapStart": u.SnapStart, "LoggingConfig": u.LoggingConfig, "DurableConfig": u.DurableConfig, "CapacityProviderConfig": u.CapacityProviderConfig,
		"EphemeralStorage": u.EphemeralStorage, "Layers": u.Layers, "TracingConfig": u.TracingConfig,
	} {
		if text := string(value); text != "" && text != "null" && text != "[]" && text != "{}" {
			return wire.NotImplemented("lambda", operation+" with "+name)
		}
	}
	if u.KMSKeyArn != "" || u.CodeSigningConfigArn != "" || u.Publish {
		return wire.NotImplemented("lambda", operation+" with KMSKeyArn, CodeSigningConfigArn or Publish")
	}
	return nil
}

// CreateFunctionInput is the input of CreateFunction.
type CreateFunctionInput struct {
	FunctionName  string
	Role          string
	PackageType   string
	Architectures []string
	Code          struct {
		ZipFile                     []byte
		S3Bucket, S3Key, ImageURI   string
		S3ObjectVersion, SourceKMSK string
	}
	Tags map[string]string
	Settings
	unsupported
}

// Configuration describes a function.
type Configuration struct {
	FunctionName     string
	FunctionARN      string `json:"FunctionArn"`
	Role             string
	CodeSize         int
	CodeSha256       string
	LastModified     string
	Version          string
	State            string
	LastUpdateStatus string
	PackageType      string
	Architectures    []string
	RevisionID       string `json:"RevisionId"`
	Settings
}

func (f *function) configuration() *Configuration {
	return &Configuration{
		FunctionName: f.name, FunctionARN: f.arn, Role: f.role, CodeSize: len(f.zip), CodeSha256: digest(f.zip),
		LastModified: f.changed.UTC().Format("2006-01-02T15:04:05.000+0000"), Version: "$LATEST", State: "Active", LastUpdateStatus: "Successful",
		PackageType: "Zip", Architectures: []string{"x86_64"}, RevisionID: revision(f.arn, f.changed.String()), Settings: f.settings,
	}
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

func (s *Service) serveCreateFunction(c *authz.Call, r *request) (*answer, error) {
	var in CreateFunctionInput
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	out, err := s.CreateFunction(c, &in)
	if err != nil {
		return nil, err
	}
	return created(out)
}

// CreateFunction makes a function. The caller passes the execution role, which
// Lambda must be able to assume.
func (s *Service) CreateFunction(c *authz.Call, in *CreateFunctionInput) (*Configuration, error) {
	name := in.FunctionName
	if m := referencePattern.FindStringSubmatch(name); m != nil && m[5] == "" && (m[3] == "" || iam.AccountID(m[3]) == c.Account()) {
		name = m[4]
	}
	if !namePattern.MatchString(name) {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+", wire.Clip(in.FunctionName))
	}
	if err := in.check("CreateFunction"); err != nil {
		return nil, err
	}
	switch {
	case in.Code.S3Bucket != "" || in.Code.ImageURI != "" || in.PackageType == "Image":
		return nil, wire.NotImplemented("lambda", "CreateFunction with code in S3 or an image")
	case len(in.Architectures) > 0 && !slices.Equal(in.Architectures, []string{"x86_64"}):
		return nil, wire.NotImplemented("lambda", "CreateFunction for other architectures than x86_64")
	case len(in.Code.ZipFile) == 0:
		return nil, invalid("Please provide a source for function code.")
	case in.Runtime == "" || in.Handler == "":
		return nil, invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	f := &function{
		account: c.Account(), region: c.Region, name: name, arn: s.newARN(c.Account(), c.Region, "function:"+name), zip: in.Code.ZipFile, tags: tags,
		changed: c.Now, settings: Settings{Timeout: 3, MemorySize: 128, Description: new(string)},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.Authorize(authz.Query{Action: "lambda:CreateFunction", Resource: f.arn, RequestTags: tags}); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "lambda:TagResource", Resource: f.arn, RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if err := f.set(in.Settings); err != nil {
		return nil, err
	}
	if err := s.pass(c, f, in.Role); err != nil {
		return nil, err
	}
	if s.functions[f.arn] != nil {
		return nil, conflict("Function already exist: %s", name)
	}
	s.functions[f.arn] = f
	return f.configuration(), nil
}

// pass gives a function its execution role: the caller must be allowed to pass
// it, and it must trust Lambda.
//
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
func (s *Service) pass(c *authz.Call, f *function, roleARN string) error {
	role, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return wire.BadRequest("ValidationException", "1 validation error detected: Value '%s' at 'role' failed to satisfy constraint: Member must be the ARN of a role", wire.Clip(roleARN))
	}
	if role.Account != f.account {
		return wire.Errorf(http.StatusForbidden, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	err = c.Authorize(authz.Query{Action: "iam:PassRole", Resource: roleARN, Context: func(ctx *iam.Context) {
		ctx.Set("iam:PassedToService", servicePrincipal)
		ctx.Set("iam:AssociatedResourceArn", f.arn)
	}})
	if err != nil {
		return err
	}
	session, err := c.AsServiceRole(roleARN, servicePrincipal, f.name)
	if err != nil {
		e := wire.BadRequest("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
		e.Cause = err
		return e
	}
	f.role, f.session, f.sessions = roleARN, session, c.Now
	return nil
}

// set checks settings and sets those that are given, or none.
func (f *function) set(in Settings) error {
	size := 0
	if in.Environment != nil {
		for name, value := range in.Environment.Variables {
			size += len(name) + len(value)
		}
	}
	switch {
	case in.Timeout < 0 || in.Timeout > 900:
		return wire.BadRequest("ValidationException", "1 validation error detected: Value '%d' at 'timeout' failed to satisfy constraint: Member must be between 1 and 900", in.Timeout)
	case in.MemorySize != 0 && (in.MemorySize < 128 || in.MemorySize > 10240):
		return wire.BadRequest("ValidationException", "1 validation error detected: Value '%d' at 'memorySize' failed to satisfy constraint: Member must be between 128 and 10240", in.MemorySize)
	case size > 4096:
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit.")
	}
	now := &f.settings
	if in.Runtime != "" {
		now.Runtime = in.Runtime
	}
	if in.Handler != "" {
		now.Handler = in.Handler
	}
	if in.Description != nil {
		now.Description = in.Description
	}
	if in.Timeout != 0 {
		now.Timeout = in.Timeout
	}
	if in.MemorySize != 0 {
		now.MemorySize = in.MemorySize
	}
	if in.Environment != nil {
		now.Environment = in.Environment
	}
	return nil
}

// UpdateFunctionConfigurationInput is the input of UpdateFunctionConfiguration.
type UpdateFunctionConfigurationInput struct {
	FunctionName string
	Role         string
	RevisionID   string `json:"RevisionId"`
	Settings
	unsupported
}

func (s *Service) serveUpdateConfiguration(c *authz.Call, r *request) (*answer, error) {
	var in UpdateFunctionConfigurationInput
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	in.FunctionName = r.name
	out, err := s.UpdateFunctionConfiguration(c, &in)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

// UpdateFunctionConfiguration changes a function.
func (s *Service) UpdateFunctionConfiguration(c *authz.Call, in *UpdateFunctionConfigurationInput) (*Configuration, error) {
	if err := in.check("UpdateFunctionConfiguration"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, in.FunctionName, "UpdateFunctionConfiguration", nil)
	if err != nil {
		return nil, err
	}
	if in.RevisionID != "" && in.RevisionID != f.configuration().RevisionID {
		return nil, wire.Errorf(http.StatusPreconditionFailed, "PreconditionFailedException", "The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias API to retrieve the latest RevisionId")
	}
	edited := *f
	if err := edited.set(in.Settings); err != nil {
		return nil, err
	}
	if in.Role != "" && in.Role != f.role {
		if err := s.pass(c, &edited, in.Role); err != nil {
			return nil, err
		}
	}
	edited.changed = c.Now
	*f = edited
	return f.configuration(), nil
}

// FunctionInput names a function.
type FunctionInput struct{ FunctionName string }

func (s *Service) serveDeleteFunction(c *authz.Call, r *request) (*answer, error) {
	if r.URL.Query().Get("Qualifier") != "" {
		return nil, wire.NotImplemented("lambda", "DeleteFunction of versions")
	}
	if err := s.DeleteFunction(c, &FunctionInput{r.name}); err != nil {
		return nil, err
	}
	return nothing()
}

// DeleteFunction deletes a function. Its event source mappings stay, and fail,
// as they do in AWS.
func (s *Service) DeleteFunction(c *authz.Call, in *FunctionInput) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, in.FunctionName, "DeleteFunction", nil)
	if err != nil {
		return err
	}
	delete(s.functions, f.arn)
	return nil
}

// GetFunctionOutput shows a function.
type GetFunctionOutput struct {
	Configuration *Configuration
	Tags          map[string]string `json:",omitempty"`
}

func (s *Service) serveGetFunction(c *authz.Call, r *request) (*answer, error) {
	out, err := s.GetFunction(c, &FunctionInput{r.name}, r.URL.Query().Get("Qualifier"))
	if err != nil {
		return nil, err
	}
	return ok(out)
}

// GetFunction shows a function.
func (s *Service) GetFunction(c *authz.Call, in *FunctionInput, qualifier string) (*GetFunctionOutput, error) {
	if _, err := s.functionARN(c, in.FunctionName, qualifier); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, in.FunctionName, "GetFunction", nil)
	if err != nil {
		return nil, err
	}
	return &GetFunctionOutput{f.configuration(), tagMap(f.tags)}, nil
}

func (s *Service) serveGetFunctionConfiguration(c *authz.Call, r *request) (*answer, error) {
	if _, err := s.functionARN(c, r.name, r.URL.Query().Get("Qualifier")); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, r.name, "GetFunctionConfiguration", nil)
	if err != nil {
		return nil, err
	}
	return ok(f.configuration())
}

func (s *Service) serveListFunctions(c *authz.Call, r *request) (*answer, error) {
	if q := r.URL.Query(); q.Get("Marker") != "" || q.Get("MasterRegion") != "" || q.Get("FunctionVersion") != "" {
		return nil, wire.NotImplemented("lambda", "ListFunctions with Marker, MasterRegion or FunctionVersion")
	}
	if err := c.Authorize(authz.Query{Action: "lambda:ListFunctions", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*Configuration{}
	for _, arn := range slices.Sorted(maps.Keys(s.functions)) {
		if f := s.functions[arn]; f.account == c.Account() && f.region == c.Region {
			list = append(list, f.configuration())
		}
	}
	return ok(struct{ Functions []*Configuration }{list})
}

const maxTags = 50

func checkTags(tags map[string]string) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len([]rune(key)) > 128 || len([]rune(tags[key])) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalid("a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: key, Value: tags[key]})
	}
	if len(list) > maxTags {
		return nil, invalid("a function has at most %d tags", maxTags)
	}
	return list, nil
}

func tagMap(tags []directory.Tag) map[string]string {
	m := make(map[string]string)
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func (s *Service) serveTagResource(c *authz.Call, r *request) (*answer, error) {
	var in struct{ Tags map[string]string }
	if err := wire.DecodeJSON(r.body, &in); err != nil {
		return nil, err
	}
	if err := s.TagResource(c, r.name, in.Tags); err != nil {
		return nil, err
	}
	return nothing()
}

// TagResource adds tags to a function, or changes them.
func (s *Service) TagResource(c *authz.Call, arn string, add map[string]string) error {
	tags, err := checkTags(add)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, arn, "TagResource", func(q *authz.Query) { q.RequestTags = tags })
	if err != nil {
		return err
	}
	merged := tagMap(f.tags)
	maps.Copy(merged, add)
	if tags, err = checkTags(merged); err != nil {
		return err
	}
	f.tags = tags
	return nil
}

func (s *Service) serveUntagResource(c *authz.Call, r *request) (*answer, error) {
	if err := s.UntagResource(c, r.name, r.URL.Query()["tagKeys"]); err != nil {
		return nil, err
	}
	return nothing()
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, arn string, keys []string) error {
	if len(keys) == 0 {
		return errors.New("lambdaapi: UntagResource without keys")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, arn, "UntagResource", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", keys...) }
	})
	if err != nil {
		return err
	}
	f.tags = directory.RemoveTags(f.tags, keys)
	return nil
}

func (s *Service) serveListTags(c *authz.Call, r *request) (*answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(c, r.name, "ListTags", nil)
	if err != nil {
		return nil, err
	}
	return ok(struct{ Tags map[string]string }{tagMap(f.tags)})
}
