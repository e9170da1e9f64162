package crossaccount

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// sampleValues are what a customer's stack could have. A template is checked
// with them before it is issued.
func sampleValues() map[string]string {
	return map[string]string{
		ParameterExternalID: "sample-external-id-0123456789abcdef", ParameterPreviousExternalID: "sample-external-id-fedcba9876543210",
		ParameterSetupPhase: "true",
		"AWS::Partition":    "aws", "AWS::AccountId": "123456789012", "AWS::Region": "us-east-1", "AWS::URLSuffix": "amazonaws.com",
	}
}

// checkIssued reads the bytes of a CloudFormation template back as CloudFormation
// would, with sample values. Every policy in them must be the one the stack was
// built with, and must be accepted by the linter. An error means that a writer
// is wrong; the template must not leave the house.
func checkIssued(data []byte, s *template.Stack) error {
	values := sampleValues()
	want, err := s.Resolve(values)
	if err != nil {
		return err
	}
	read, err := cfn.Read(data)
	if err != nil {
		return err
	}
	if err := read.Check(); err != nil {
		return err
	}
	e, err := read.Evaluator(sampleScope(read, want, values))
	if err != nil {
		return err
	}
	resources := 0
	for _, r := range read.Resources {
		if !e.Condition(r.Condition) {
			continue
		}
		resources++
		built, ok := want.Resource(r.Name)
		if !ok || built.Kind.Type() != r.Type {
			return fmt.Errorf("resource %s is not the one that was built", r.Name)
		}
		properties, err := e.Resolve(r.Properties)
		if err != nil {
			return fmt.Errorf("resource %s: %w", r.Name, err)
		}
		switch k := built.Kind.(type) {
		case *template.Role:
			if err := sameDocument(properties.Get("AssumeRolePolicyDocument"), k.Trust, iam.KindTrust); err != nil {
				return fmt.Errorf("resource %s: trust policy: %w", r.Name, err)
			}
			inline := properties.Get("Policies")
			if inline == nil && len(k.Inline) > 0 || inline != nil && len(inline.Items) != len(k.Inline) {
				return fmt.Errorf("resource %s: inline policies are missing", r.Name)
			}
			for i, p := range k.Inline {
				if err := sameDocument(inline.Items[i].Get("PolicyDocument"), p.Document, iam.KindIdentity); err != nil {
					return fmt.Errorf("resource %s: inline policy %s: %w", r.Name, p.Name, err)
				}
			}
		case *template.ManagedPolicy:
			if err := sameDocument(properties.Get("PolicyDocument"), k.Document, iam.KindIdentity); err != nil {
				return fmt.Errorf("resource %s: %w", r.Name, err)
			}
		}
	}
	if resources != len(want.Resources) {
		return fmt.Errorf("%d resources of %d are there", resources, len(want.Resources))
	}
	return nil
}

// sampleScope answers what the template asks from outside.
func sampleScope(read *cfn.Template, want *template.Stack, values map[string]string) cfn.Scope {
	scope := cfn.Scope{Parameters: map[string]*cfn.Node{}, Pseudo: map[string]*cfn.Node{}}
	for _, p := range read.Parameters {
		scope.Parameters[p.Name] = p.Default
	}
	for name, value := range values {
		if strings.HasPrefix(name, "AWS::") {
			scope.Pseudo[name] = cfn.NewText(value)
		} else {
			scope.Parameters[name] = cfn.NewText(value)
		}
	}
	scope.GetAtt = func(resource, attribute string) (*cfn.Node, error) {
		text := want.AttributeText(template.AttributeRef{Resource: resource, Attribute: attribute})
		if text == "" {
			return nil, errors.New("there is no such attribute")
		}
		return cfn.NewText(iam.ReplaceSymbols(text, func(id string) string { return values[id] })), nil
	}
	scope.Ref = func(resource string) (*cfn.Node, error) {
		attribute := "Arn"
		if r, ok := want.Resource(resource); ok && r.Kind.Type() == (&template.Role{}).Type() {
			attribute = "Name"
		}
		return scope.GetAtt(resource, attribute)
	}
	return scope
}

// sameDocument compares a policy of the template with the one it was made from
// and lints it.
func sameDocument(n *cfn.Node, want *iam.Policy, kind iam.Kind) error {
	if n == nil {
		return errors.New("there is no policy")
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	p, err := iam.ParsePolicy(data)
	if err != nil {
		return err
	}
	if !bytes.Equal(p.Canonical(), want.Canonical()) {
		return errors.New("the policy is not the one that was built")
	}
	for _, f := range lint.Document(data, lint.Options{Kind: kind, CrossAccount: kind == iam.KindTrust}) {
		if f.Refused || kind == iam.KindTrust && f.Severity >= lint.Error {
			return fmt.Errorf("%s: %s (%s)", f.Path, f.Message, f.ID)
		}
	}
	return nil
}
