package cfnapi

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// loadTemplate reads and checks the template of a request. It must be called
// without the service's mutex, because a TemplateURL is read from S3.
func (s *Service) loadTemplate(c *authz.Call, src TemplateSource) (body string, t *cfn.Template, err error) {
	switch {
	case src.TemplateBody != "" && src.TemplateURL != "":
		return "", nil, invalid("Specify either TemplateBody or TemplateURL, not both.")
	case src.TemplateBody != "":
		if len(src.TemplateBody) > cfn.MaxBodySize {
			return "", nil, invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to %d", cfn.MaxBodySize)
		}
		body = src.TemplateBody
	case src.TemplateURL != "":
		if body, err = s.fetchTemplate(c, src.TemplateURL); err != nil {
			return "", nil, err
		}
	default:
		return "", nil, invalid("Either Template URL or Template Body must be specified.")
	}
	t, err = s.readTemplate(body)
	return body, t, err
}

// readTemplate parses a template and refuses what the sandbox cannot carry
// out.
func (s *Service) readTemplate(body string) (*cfn.Template, error) {
	t, err := cfn.Read([]byte(body))
	if err != nil {
		return nil, asValidationError(err)
	}
	if err := t.Check(); err != nil {
		return nil, asValidationError(err)
	}
	if err := checkDeclarations(t); err != nil {
		return nil, err
	}
	return t, s.checkTypes(t)
}

// asValidationError words a template's faults as CloudFormation does. Other
// errors are passed on.
func asValidationError(err error) error {
	var bad *cfn.SyntaxError
	if !errors.As(err, &bad) {
		return err
	}
	var messages []string
	for _, p := range bad.Problems {
		if len(messages) == 5 {
			break
		}
		messages = append(messages, p.Message)
	}
	e := wire.BadRequest("ValidationError", "%s", strings.Join(messages, "\n"))
	e.Cause = err
	return e
}

// fetchTemplate reads a template from S3: as the caller, or with the URL's own
// signature if it is presigned.
func (s *Service) fetchTemplate(c *authz.Call, rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.User != nil || u.Fragment != "" ||
		!(u.Scheme == "https" && s3api.IsEndpoint(u.Host) || isLoopback(u.Hostname())) {
		return "", invalid("TemplateURL must be a supported URL: https and an object of S3.")
	}
	if u.Path == "" || u.Path == "/" {
		return "", invalid("TemplateURL must reference a valid S3 object to which you have access.")
	}
	reader := c
	if u.Query().Has("X-Amz-Signature") || u.Query().Has("Signature") {
		reader = nil // the URL says itself who signed it
	}
	data, err := s.options.Fetch(reader, u)
	if err != nil {
		return "", err
	}
	if len(data) > cfn.MaxURLSize {
		return "", invalid("Template may not exceed %d bytes in size.", cfn.MaxURLSize)
	}
	return string(data), nil
}

// isLoopback reports whether a host is this machine, where `crossaccount
// sandbox` serves S3 without TLS.
func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || strings.HasSuffix(host, ".localhost")
}

// checkTypes refuses templates with a type the sandbox does not have, and
// attributes in Fn::GetAtt that a type does not have.
func (s *Service) checkTypes(t *cfn.Template) error {
	var unknown []string
	for _, r := range t.Resources {
		switch known := s.types[r.Type]; {
		case known != nil:
			if r.CreationPolicy != nil || r.UpdatePolicy != nil {
				return invalid("the sandbox does not support CreationPolicy and UpdatePolicy (resource %s)", r.Name)
			}
			for _, policy := range []string{r.DeletionPolicy, r.UpdateReplacePolicy} {
				if policy == "Snapshot" {
					return invalid("Template error: resource type %s does not support deletion policy Snapshot", r.Type)
				}
			}
		case strings.HasPrefix(r.Type, "AWS::") && !slices.Contains(unknown, r.Type), strings.HasPrefix(r.Type, "Custom::") && !slices.Contains(unknown, r.Type):
			unknown = append(unknown, r.Type)
		case !strings.HasPrefix(r.Type, "AWS::") && !strings.HasPrefix(r.Type, "Custom::"):
			return invalid("Template format error: Unrecognized resource types: [%s]", clip(r.Type))
		}
	}
	if len(unknown) > 0 {
		return invalid("Template format error: the sandbox does not support the resource types [%s]; docs/sandbox.md lists those it has", clip(strings.Join(unknown, ", ")))
	}
	return nil
}

// capabilities returns what a caller must acknowledge for a template, and the
// types that are the reason. Custom names are those of resources' own name
// properties.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-template.html
func (s *Service) capabilities(t *cfn.Template) (needed, reasons []string) {
	capability := ""
	for _, r := range t.Resources {
		rt := s.types[r.Type]
		if rt == nil || !rt.needsCapability {
			continue
		}
		if !slices.Contains(reasons, r.Type) {
			reasons = append(reasons, r.Type)
		}
		if capability == "" {
			capability = "CAPABILITY_IAM"
		}
		if rt.nameProperty != "" && r.Properties.Get(rt.nameProperty) != nil {
			capability = "CAPABILITY_NAMED_IAM"
		}
	}
	if capability == "" {
		return nil, nil
	}
	return []string{capability}, reasons
}

func capabilitiesReason(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return "The following resource(s) require capabilities: [" + strings.Join(reasons, ", ") + "]"
}

// checkCapabilities refuses a request that does not acknowledge what its
// template needs. CAPABILITY_NAMED_IAM includes CAPABILITY_IAM.
func (s *Service) checkCapabilities(t *cfn.Template, given []string) error {
	for _, g := range given {
		if g != "CAPABILITY_IAM" && g != "CAPABILITY_NAMED_IAM" && g != "CAPABILITY_AUTO_EXPAND" {
			return invalid("1 validation error detected: Value at 'capabilities' failed to satisfy constraint: Member must satisfy enum value set: [CAPABILITY_IAM, CAPABILITY_NAMED_IAM, CAPABILITY_AUTO_EXPAND]")
		}
	}
	needed, _ := s.capabilities(t)
	for _, n := range needed {
		if !slices.Contains(given, n) && !slices.Contains(given, "CAPABILITY_NAMED_IAM") {
			return wire.BadRequest("InsufficientCapabilitiesException", "Requires capabilities : [%s]", n)
		}
	}
	return nil
}

// checkResourceTypes refuses a template with types that the request's
// ResourceTypes do not allow.
func checkResourceTypes(t *cfn.Template, allowed []string) error {
	if len(allowed) == 0 {
		return nil
	}
	for _, r := range t.Resources {
		ok := slices.ContainsFunc(allowed, func(pattern string) bool {
			prefix, wild := strings.CutSuffix(pattern, "*")
			return pattern == r.Type || wild && strings.HasPrefix(r.Type, prefix)
		})
		if !ok {
			return invalid("Resource type %s is not allowed by parameter ResourceTypes %v", r.Type, allowed)
		}
	}
	return nil
}

// GetTemplate returns the text of a stack's or a change set's template.
func (s *Service) GetTemplate(c *authz.Call, in *GetTemplateInput) (*GetTemplateOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.ChangeSetName != "" {
		cs, err := s.changeSet(c, p, "GetTemplate", in.StackName, in.ChangeSetName)
		if err != nil {
			return nil, err
		}
		return templateOutput(cs.target), nil
	}
	st, err := s.authorizedStack(c, p, "GetTemplate", in.StackName)
	if err != nil {
		return nil, err
	}
	if st.revision == nil {
		return nil, invalid("Stack with id %s does not have a template yet; execute its change set first", st.name)
	}
	return templateOutput(st.revision), nil
}

func templateOutput(r *revision) *GetTemplateOutput {
	return &GetTemplateOutput{TemplateBody: r.body, StagesAvailable: []string{"Original", "Processed"}}
}

// ValidateTemplate checks a template without making anything.
func (s *Service) ValidateTemplate(c *authz.Call, in *ValidateTemplateInput) (*ValidateTemplateOutput, error) {
	if err := s.authorize(c, "ValidateTemplate", "*", nil, nil); err != nil {
		return nil, err
	}
	_, t, err := s.loadTemplate(c, in.TemplateSource)
	if err != nil {
		return nil, err
	}
	out := &ValidateTemplateOutput{Description: t.Description}
	for _, p := range t.Parameters {
		out.Parameters = append(out.Parameters, TemplateParameter{
			ParameterKey: p.Name, DefaultValue: defaultOf(p), NoEcho: p.NoEcho, Description: p.Description,
		})
	}
	needed, reasons := s.capabilities(t)
	out.Capabilities, out.CapabilitiesReason = needed, capabilitiesReason(reasons)
	return out, nil
}

func defaultOf(p *cfn.Parameter) *string {
	if p.Default == nil {
		return nil
	}
	return &p.Default.Text
}

// GetTemplateSummary describes a template, given or a stack's.
func (s *Service) GetTemplateSummary(c *authz.Call, in *GetTemplateSummaryInput) (*GetTemplateSummaryOutput, error) {
	t, err := s.summarized(c, in)
	if err != nil {
		return nil, err
	}
	out := &GetTemplateSummaryOutput{Description: t.Description}
	if v := t.Root.Get("AWSTemplateFormatVersion"); v != nil {
		out.Version = v.Text
	}
	if t.Metadata != nil {
		data, err := t.Metadata.MarshalJSON()
		if err != nil {
			return nil, err
		}
		out.Metadata = string(data)
	}
	for _, p := range t.Parameters {
		d := ParameterDeclaration{ParameterKey: p.Name, DefaultValue: defaultOf(p), ParameterType: p.Type, NoEcho: p.NoEcho, Description: p.Description}
		d.ParameterConstraints.AllowedValues = p.AllowedValues
		out.Parameters = append(out.Parameters, d)
	}
	for _, r := range t.Resources {
		if !slices.Contains(out.ResourceTypes, r.Type) {
			out.ResourceTypes = append(out.ResourceTypes, r.Type)
		}
	}
	needed, reasons := s.capabilities(t)
	out.Capabilities, out.CapabilitiesReason = needed, capabilitiesReason(reasons)
	return out, nil
}

func (s *Service) summarized(c *authz.Call, in *GetTemplateSummaryInput) (*cfn.Template, error) {
	if in.StackName == "" {
		if err := s.authorize(c, "GetTemplateSummary", "*", nil, nil); err != nil {
			return nil, err
		}
		_, t, err := s.loadTemplate(c, in.TemplateSource)
		return t, err
	}
	if in.TemplateBody != "" || in.TemplateURL != "" {
		return nil, invalid("Specify only one of StackName, TemplateBody and TemplateURL.")
	}
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "GetTemplateSummary", in.StackName)
	if err != nil {
		return nil, err
	}
	if st.revision == nil {
		return nil, noStack(in.StackName)
	}
	return st.revision.template, nil
}
