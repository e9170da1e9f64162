package cfnapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// role is a resource that is fine, for templates whose fault lies elsewhere.
const role = `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {AWS: "444455556666"}, Action: sts:AssumeRole}]}}}`

// What is wrong with a template or its parameters is said before anything is
// made, in CloudFormation's words.
func TestRefusedStacks(t *testing.T) {
	tests := []struct {
		name       string
		template   string
		parameters string // separated by spaces
		want       string // in the message, after "ValidationError: "
	}{
		{"empty", " ", "", "the template is empty"},
		{"not a template", "hello", "", "Template format error: unsupported structure."},
		{"broken YAML", "Resources:\n  A: {Type: x", "", "Template format error: YAML not well-formed. (line "},
		{"broken JSON", `{"Resources": {"A": {"Type": }}}`, "", "Template format error: JSON not well-formed. (line 1, column 30)"},
		{"no resources", "Outputs: {}", "", "At least one Resources member must be defined."},
		{"unknown section", "Resources: {A: " + role + "}\nVariables: {}", "", "Invalid template property or properties [Variables]"},
		{"version", "AWSTemplateFormatVersion: 2011-01-01\nResources: {A: " + role + "}", "", "unsupported value for AWSTemplateFormatVersion."},
		{"duplicate key", "Resources:\n  A: " + role + "\n  A: " + role, "", "duplicate key \"A\" (line 3, column 3)"},
		{"null", "Resources:\n  A: " + role + "\nMetadata:\n", "", "[/Metadata] 'null' values are not allowed in templates"},
		{"number as key", "Resources: {A: " + role + "}\nMappings: {M: {123456789012: {Name: x}}}", "", "[/Mappings/M] map keys must be strings; received numeric [123456789012] instead"},
		{"alias", "Resources: {A: &a " + role + ", B: *a}", "", "YAML aliases are not allowed in CloudFormation templates"},
		{"name of a resource", "Resources: {my-role: " + role + "}", "", "Resource name my-role is non alphanumeric."},
		{"resource without type", "Resources: {A: {Properties: {}}}", "", "[/Resources/A] Every Resources object must contain a Type member."},
		{"attribute of a resource", "Resources: {A: {Type: AWS::IAM::Role, Propertis: {}}}", "", "Invalid template resource property 'Propertis'"},
		{"transform", "Transform: AWS::Serverless-2016-10-31\nResources: {A: " + role + "}", "", "transforms and macros are not supported (section Transform)"},
		{"rules", "Rules: {}\nResources: {A: " + role + "}", "", "the Rules section is not supported"},
		{"macro function", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: {'Fn::Transform': {Name: X}}}}}", "", "Fn::Transform needs a macro or transform, which is not supported"},
		{"unknown function", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: {'Fn::Frobnicate': x}}}}", "", "the function Fn::Frobnicate is not supported"},
		{"unknown tag", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: !Frobnicate x}}}", "", "unsupported YAML tag !Frobnicate"},

		{"unknown type", "Resources: {A: {Type: Robot}}", "", "Unrecognized resource types: [Robot]"},
		{"unsupported type", "Resources: {A: {Type: AWS::EC2::Instance}}", "", "the sandbox does not support the resource types [AWS::EC2::Instance]"},
		{"custom resource", "Resources: {A: {Type: Custom::Phone}}", "", "the sandbox does not support the resource types [Custom::Phone]"},

		{"dangling Ref", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: !Ref Nobody}}}", "", "Unresolved resource dependencies [Nobody] in the Resources block of the template"},
		{"dangling Ref in Outputs", "Resources: {A: " + role + "}\nOutputs: {O: {Value: !Ref Nobody}}", "", "Unresolved resource dependencies [Nobody] in the Outputs block of the template"},
		{"dangling Sub", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: !Sub '${Nobody}-x'}}}", "", "Unresolved resource dependencies [Nobody]"},
		{"dangling DependsOn", "Resources: {A: {Type: AWS::IAM::Role, DependsOn: Nobody}}", "", "Unresolved resource dependencies [Nobody]"},
		{"dangling GetAtt", "Resources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: !GetAtt Nobody.Arn}}}", "", "instance of Fn::GetAtt references undefined resource Nobody"},
		{"attribute a type lacks", "Resources: {A: " + role + "}\nOutputs: {O: {Value: !GetAtt A.Colour}}", "", "resource A does not support attribute type Colour in Fn::GetAtt"},
		{"dangling condition", "Resources: {A: {Type: AWS::IAM::Role, Condition: Nobody}}", "", "Unresolved condition dependency Nobody in the Resources block"},
		{"resource in a condition", "Conditions: {C: !Equals [!Ref A, x]}\nResources: {A: " + role + "}", "", "Cannot reference resources in the Conditions block"},
		{"circle of conditions", "Conditions: {C: !Not [Condition: D], D: !Not [Condition: C]}\nResources: {A: " + role + "}", "", "circular condition dependency"},
		{
			"circle", "Resources: {A: {Type: AWS::IAM::ManagedPolicy, Properties: {Path: !Ref B, PolicyDocument: {}}}, B: {Type: AWS::IAM::ManagedPolicy, DependsOn: A}, C: {Type: AWS::IAM::ManagedPolicy, DependsOn: A}}",
			"", "Circular dependency between resources: [A, B]",
		},
		{"mapping", "Mappings: {M: {a: {b: c}}}\nResources: {A: {Type: AWS::IAM::Role, Properties: {RoleName: !FindInMap [M, a, z]}}}", "", "Template error: Unable to get mapping for M::a::z"},
		{"reference to an absent resource", "Conditions: {Never: !Equals [a, b]}\nResources: {A: {Type: AWS::IAM::Role, Condition: Never}, B: {Type: AWS::IAM::Role, Properties: {RoleName: !Ref A}}}", "", "Unresolved resource dependencies [A]"},

		{"missing parameters", "Parameters: {P: {Type: String}, Q: {Type: String}, R: {Type: String, Default: x}}\nResources: {A: " + role + "}", "", "Parameters: [P, Q] must have values"},
		{"unknown parameter", "Resources: {A: " + role + "}", "P=x", "Parameters: [P] do not exist in the template"},
		{"parameter twice", "Parameters: {P: {Type: String}}\nResources: {A: " + role + "}", "P=x P=y", "Parameter P is given more than once"},
		{"previous value of nothing", "Parameters: {P: {Type: String}}\nResources: {A: " + role + "}", "P", "Cannot specify usePreviousValue as true for a parameter key not in the previous template"},
		{"allowed values", "Parameters: {P: {Type: String, AllowedValues: [yes, no]}}\nResources: {A: " + role + "}", "P=yes", "Parameter 'P' must be one of AllowedValues"},
		{"pattern", "Parameters: {P: {Type: String, AllowedPattern: '[a-z]+'}}\nResources: {A: " + role + "}", "P=abc1", "Parameter 'P' must match pattern [a-z]+"},
		{"pattern, alternatives", "Parameters: {P: {Type: String, AllowedPattern: 'a|b'}}\nResources: {A: " + role + "}", "P=ax", "Parameter 'P' must match pattern a|b"},
		{"constraint in words", "Parameters: {P: {Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: only letters}}\nResources: {A: " + role + "}", "P=1", "Parameter 'P' failed to satisfy constraint: only letters"},
		{"pattern of Java", "Parameters: {P: {Type: String, AllowedPattern: '(?!x)y'}}\nResources: {A: " + role + "}", "P=y", "AllowedPattern of parameter P is not a regular expression the sandbox can match"},
		{"too short", "Parameters: {P: {Type: String, MinLength: 3}}\nResources: {A: " + role + "}", "P=ab", "Parameter 'P' must contain at least 3 characters"},
		{"too long", "Parameters: {P: {Type: String, MaxLength: 3}}\nResources: {A: " + role + "}", "P=abcd", "Parameter 'P' must contain at most 3 characters"},
		{"not a number", "Parameters: {P: {Type: Number}}\nResources: {A: " + role + "}", "P=0x10", "Parameter 'P' must be a number"},
		{"number too small", "Parameters: {P: {Type: Number, MinValue: 3600}}\nResources: {A: " + role + "}", "P=3599", "Parameter 'P' must be a number not less than 3600"},
		{"number too large", "Parameters: {P: {Type: Number, MaxValue: 43200}}\nResources: {A: " + role + "}", "P=43201", "Parameter 'P' must be a number not greater than 43200"},
		{"list of numbers", "Parameters: {P: {Type: List<Number>}}\nResources: {A: " + role + "}", "P=1,x", "Parameter 'P' must be a list of numbers"},
		{"list item", "Parameters: {P: {Type: CommaDelimitedList, AllowedValues: [a, b]}}\nResources: {A: " + role + "}", "P=a,c", "Parameter 'P' must be one of AllowedValues"},
		{"huge value", "Parameters: {P: {Type: String}}\nResources: {A: " + role + "}", "P=" + strings.Repeat("x", 4097), "Parameter 'P' is longer than 4096 bytes"},
		{"type of parameter", "Parameters: {P: {Type: Text}}\nResources: {A: " + role + "}", "", "Unrecognized parameter type: Text"},
		{"type of AWS", "Parameters: {P: {Type: 'AWS::SSM::Parameter::Value<String>'}}\nResources: {A: " + role + "}", "", "the sandbox does not support the parameter type AWS::SSM::Parameter::Value<String>"},
		{"snapshot", "Resources: {A: {Type: AWS::IAM::Role, DeletionPolicy: Snapshot}}", "", "does not support deletion policy Snapshot"},
	}
	b := newBench(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := b.tryCreate("refused", test.template, strings.Fields(test.parameters)...)
			wantRefusal(t, err, "ValidationError: ", test.want)
			if strings.Contains(refusal(t, err), "abcd") || strings.Contains(refusal(t, err), "3599") {
				t.Error("the message repeats the value")
			}
		})
	}
	out, err := b.cfn.ListStacks(ctx, &cloudformation.ListStacksInput{})
	if err != nil || len(out.StackSummaries) != 0 {
		t.Errorf("refused stacks left %v behind (%v)", out.StackSummaries, err)
	}
}

func TestCapabilities(t *testing.T) {
	b := newBench(t)
	named := strings.Replace("Resources: {A: "+role+"}", "Properties: {", "Properties: {RoleName: demo, ", 1)
	tests := []struct {
		template string
		given    []types.Capability
		want     string
	}{
		{"Resources: {A: " + role + "}", nil, "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_IAM]"},
		{named, nil, "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_NAMED_IAM]"},
		{named, []types.Capability{"CAPABILITY_IAM"}, "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_NAMED_IAM]"},
		{named, []types.Capability{"CAPABILITY_EVERYTHING"}, "ValidationError: "},
		{"Resources: {A: " + role + "}", []types.Capability{"CAPABILITY_IAM"}, ""},
		{named, []types.Capability{"CAPABILITY_NAMED_IAM"}, ""},
	}
	for i, test := range tests {
		_, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
			StackName: aws.String("s" + string(rune('a'+i))), TemplateBody: &test.template, Capabilities: test.given,
		})
		if test.want != "" {
			wantRefusal(t, err, test.want)
		} else if err != nil {
			t.Errorf("%v: %v", test.given, err)
		}
	}
	out, err := b.cfn.ValidateTemplate(ctx, &cloudformation.ValidateTemplateInput{TemplateBody: &named})
	if err != nil || len(out.Capabilities) != 1 || out.Capabilities[0] != types.CapabilityCapabilityNamedIam ||
		aws.ToString(out.CapabilitiesReason) != "The following resource(s) require capabilities: [AWS::IAM::Role]" {
		t.Errorf("ValidateTemplate: %+v, %v", out, err)
	}
}

func TestRefusedRequests(t *testing.T) {
	b := newBench(t)
	template := "Resources: {A: " + role + "}"
	create := func(change func(*cloudformation.CreateStackInput)) error {
		in := &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: &template, Capabilities: everyCapability}
		change(in)
		_, err := b.cfn.CreateStack(ctx, in)
		return err
	}
	tests := []struct {
		want   string
		change func(*cloudformation.CreateStackInput)
	}{
		{"at 'stackName' failed to satisfy constraint", func(in *cloudformation.CreateStackInput) { in.StackName = aws.String("my stack") }},
		{"at 'stackName' failed to satisfy constraint", func(in *cloudformation.CreateStackInput) { in.StackName = aws.String(strings.Repeat("s", 129)) }},
		{"Either Template URL or Template Body must be specified.", func(in *cloudformation.CreateStackInput) { in.TemplateBody = nil }},
		{"less than or equal to 51200", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody = aws.String(template + strings.Repeat(" ", 51200))
		}},
		{"TemplateURL must be a supported URL", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody, in.TemplateURL = nil, aws.String("https://example.com/template")
		}},
		{"TemplateURL must be a supported URL", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody, in.TemplateURL = nil, aws.String("http://bucket.s3.amazonaws.com/template")
		}},
		{"TemplateURL must be a supported URL", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody, in.TemplateURL = nil, aws.String("file:///etc/passwd")
		}},
		{"Tag keys that begin with aws: are reserved", func(in *cloudformation.CreateStackInput) {
			in.Tags = []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("y")}}
		}},
		{"either DisableRollback or OnFailure, but not both", func(in *cloudformation.CreateStackInput) {
			in.OnFailure, in.DisableRollback = types.OnFailureDelete, aws.Bool(true)
		}},
		{"NotImplemented: the sandbox does not implement stack policies", func(in *cloudformation.CreateStackInput) { in.StackPolicyBody = aws.String("{}") }},
		{"Resource type AWS::IAM::Role is not allowed by parameter ResourceTypes", func(in *cloudformation.CreateStackInput) { in.ResourceTypes = []string{"AWS::S3::*"} }},
	}
	for _, test := range tests {
		wantRefusal(t, create(test.change), test.want)
	}
	if err := create(func(in *cloudformation.CreateStackInput) { in.ClientRequestToken = aws.String("one") }); err != nil {
		t.Fatal(err)
	}
	if err := create(func(in *cloudformation.CreateStackInput) { in.ClientRequestToken = aws.String("one") }); err != nil {
		t.Errorf("a retry with the same token: %v", err)
	}
	wantRefusal(t, create(func(in *cloudformation.CreateStackInput) {}), "AlreadyExistsException: Stack [s] already exists")

	_, err := b.cfn.ListStackSets(ctx, &cloudformation.ListStackSetsInput{})
	wantRefusal(t, err, "NotImplemented", "cloudformation:ListStackSets")
}
