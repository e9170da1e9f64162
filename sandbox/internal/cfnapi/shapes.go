package cfnapi

import (
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// The inputs and outputs below have the fields of the API's own shapes; see
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/ for what
// each means. Input fields the sandbox refuses are there to be refused.

// A Tag is a tag of a stack, which those of its resources that take tags
// receive too.
type Tag = directory.Tag

// A Parameter is the value of a template's parameter in a request or answer.
type Parameter struct {
	ParameterKey     string
	ParameterValue   *string
	UsePreviousValue *bool
	ResolvedValue    string `wire:",omitempty"`
}

// A TemplateSource is where a template comes from: exactly one of the two.
type TemplateSource struct {
	TemplateBody string
	TemplateURL  string
}

// StackSettings is what CreateStack, UpdateStack and CreateChangeSet share.
type StackSettings struct {
	Capabilities                []string
	ClientRequestToken          string
	NotificationARNs            []string
	Parameters                  []Parameter
	ResourceTypes               []string
	RoleARN                     string
	Tags                        []Tag
	RollbackConfiguration       *RollbackConfiguration
	DisableRollback             bool
	StackPolicyBody             string
	StackPolicyURL              string
	UsePreviousTemplate         bool
	StackPolicyDuringUpdateBody string
	StackPolicyDuringUpdateURL  string
	RetainExceptOnCreate        bool
}

// RollbackConfiguration names alarms to watch; the sandbox has none to watch.
type RollbackConfiguration struct {
	MonitoringTimeInMinutes int
	RollbackTriggers        []struct{ Arn, Type string }
}

// CreateStackInput is the input of [Service.CreateStack].
type CreateStackInput struct {
	StackName string
	TemplateSource
	StackSettings
	EnableTerminationProtection bool
	OnFailure                   string
	TimeoutInMinutes            int
}

// StackIDOutput answers the operations that start work on a stack.
type StackIDOutput struct{ StackId string }

// UpdateStackInput is the input of [Service.UpdateStack].
type UpdateStackInput struct {
	StackName string
	TemplateSource
	StackSettings
}

// DeleteStackInput is the input of [Service.DeleteStack].
type DeleteStackInput struct {
	StackName          string
	ClientRequestToken string
	DeletionMode       string
	RetainResources    []string
	RoleARN            string
}

// Empty answers operations without output.
type Empty struct{}

// EmptyResult answers operations whose output is there but has no fields.
type EmptyResult struct{}

// UpdateTerminationProtectionInput is the input of
// [Service.UpdateTerminationProtection].
type UpdateTerminationProtectionInput struct {
	StackName                   string
	EnableTerminationProtection bool
}

// DescribeStacksInput is the input of [Service.DescribeStacks].
type DescribeStacksInput struct{ StackName, NextToken string }

// DescribeStacksOutput is the output of [Service.DescribeStacks].
type DescribeStacksOutput struct {
	Stacks    []Stack
	NextToken *string
}

// A Stack describes a stack.
type Stack struct {
	StackId                     string
	StackName                   string
	ChangeSetId                 string `wire:",omitempty"`
	Description                 string `wire:",omitempty"`
	Parameters                  []Parameter
	CreationTime                time.Time
	DeletionTime                *time.Time
	LastUpdatedTime             *time.Time
	RollbackConfiguration       struct{}
	StackStatus                 string
	StackStatusReason           string `wire:",omitempty"`
	DisableRollback             bool
	NotificationARNs            []string
	TimeoutInMinutes            int `wire:",omitempty"`
	Capabilities                []string
	Outputs                     []Output
	RoleARN                     string `wire:",omitempty"`
	Tags                        []Tag
	EnableTerminationProtection bool
	DriftInformation            struct{ StackDriftStatus string }
}

// An Output is an output of a stack.
type Output struct {
	OutputKey   string
	OutputValue string
	Description string `wire:",omitempty"`
	ExportName  string `wire:",omitempty"`
}

// DescribeStackEventsInput is the input of [Service.DescribeStackEvents].
type DescribeStackEventsInput struct{ StackName, NextToken string }

// DescribeStackEventsOutput is the output of [Service.DescribeStackEvents].
type DescribeStackEventsOutput struct {
	StackEvents []StackEvent // newest first
	NextToken   *string
}

// A StackEvent is one line of a stack's history.
type StackEvent struct {
	StackId              string
	EventId              string
	StackName            string
	LogicalResourceId    string
	PhysicalResourceId   string
	ResourceType         string
	Timestamp            time.Time
	ResourceStatus       string
	ResourceStatusReason string `wire:",omitempty"`
	ResourceProperties   string `wire:",omitempty"`
	ClientRequestToken   string `wire:",omitempty"`
}

// DescribeStackResourcesInput is the input of
// [Service.DescribeStackResources].
type DescribeStackResourcesInput struct{ StackName, LogicalResourceId, PhysicalResourceId string }

// DescribeStackResourcesOutput is the output of
// [Service.DescribeStackResources].
type DescribeStackResourcesOutput struct{ StackResources []StackResource }

// A StackResource describes a resource of a stack.
type StackResource struct {
	StackName            string
	StackId              string
	LogicalResourceId    string
	PhysicalResourceId   string `wire:",omitempty"`
	ResourceType         string
	Timestamp            time.Time
	ResourceStatus       string
	ResourceStatusReason string `wire:",omitempty"`
	DriftInformation     struct{ StackResourceDriftStatus string }
}

// DescribeStackResourceInput is the input of [Service.DescribeStackResource].
type DescribeStackResourceInput struct{ StackName, LogicalResourceId string }

// DescribeStackResourceOutput is the output of
// [Service.DescribeStackResource].
type DescribeStackResourceOutput struct{ StackResourceDetail StackResourceDetail }

// A StackResourceDetail describes a resource with its metadata.
type StackResourceDetail struct {
	StackName            string
	StackId              string
	LogicalResourceId    string
	PhysicalResourceId   string `wire:",omitempty"`
	ResourceType         string
	LastUpdatedTimestamp time.Time
	ResourceStatus       string
	ResourceStatusReason string `wire:",omitempty"`
	Metadata             string `wire:",omitempty"`
	DriftInformation     struct{ StackResourceDriftStatus string }
}

// ListStacksInput is the input of [Service.ListStacks].
type ListStacksInput struct {
	NextToken         string
	StackStatusFilter []string
}

// ListStacksOutput is the output of [Service.ListStacks].
type ListStacksOutput struct {
	StackSummaries []StackSummary // newest first
	NextToken      *string
}

// A StackSummary describes a stack in a list.
type StackSummary struct {
	StackId             string
	StackName           string
	TemplateDescription string `wire:",omitempty"`
	CreationTime        time.Time
	LastUpdatedTime     *time.Time
	DeletionTime        *time.Time
	StackStatus         string
	StackStatusReason   string `wire:",omitempty"`
	DriftInformation    struct{ StackDriftStatus string }
}

// ListStackResourcesInput is the input of [Service.ListStackResources].
type ListStackResourcesInput struct{ StackName, NextToken string }

// ListStackResourcesOutput is the output of [Service.ListStackResources].
type ListStackResourcesOutput struct {
	StackResourceSummaries []StackResourceSummary
	NextToken              *string
}

// A StackResourceSummary describes a resource in a list.
type StackResourceSummary struct {
	LogicalResourceId    string
	PhysicalResourceId   string `wire:",omitempty"`
	ResourceType         string
	LastUpdatedTimestamp time.Time
	ResourceStatus       string
	ResourceStatusReason string `wire:",omitempty"`
	DriftInformation     struct{ StackResourceDriftStatus string }
}

// GetTemplateInput is the input of [Service.GetTemplate].
type GetTemplateInput struct{ StackName, ChangeSetName, TemplateStage string }

// GetTemplateOutput is the output of [Service.GetTemplate].
type GetTemplateOutput struct {
	TemplateBody    string
	StagesAvailable []string
}

// ValidateTemplateInput is the input of [Service.ValidateTemplate].
type ValidateTemplateInput struct{ TemplateSource }

// ValidateTemplateOutput is the output of [Service.ValidateTemplate].
type ValidateTemplateOutput struct {
	Description        string `wire:",omitempty"`
	Parameters         []TemplateParameter
	Capabilities       []string
	CapabilitiesReason string `wire:",omitempty"`
}

// A TemplateParameter is a parameter as ValidateTemplate lists it.
type TemplateParameter struct {
	ParameterKey string
	DefaultValue *string
	NoEcho       bool
	Description  string `wire:",omitempty"`
}

// GetTemplateSummaryInput is the input of [Service.GetTemplateSummary].
type GetTemplateSummaryInput struct {
	TemplateSource
	StackName string
}

// GetTemplateSummaryOutput is the output of [Service.GetTemplateSummary].
type GetTemplateSummaryOutput struct {
	Parameters         []ParameterDeclaration
	Description        string `wire:",omitempty"`
	Capabilities       []string
	CapabilitiesReason string `wire:",omitempty"`
	ResourceTypes      []string
	Version            string `wire:",omitempty"`
	Metadata           string `wire:",omitempty"`
}

// A ParameterDeclaration is a parameter as GetTemplateSummary lists it.
type ParameterDeclaration struct {
	ParameterKey         string
	DefaultValue         *string
	ParameterType        string
	NoEcho               bool
	Description          string `wire:",omitempty"`
	ParameterConstraints struct{ AllowedValues []string }
}

// ListExportsInput is the input of [Service.ListExports].
type ListExportsInput struct{ NextToken string }

// ListExportsOutput is the output of [Service.ListExports].
type ListExportsOutput struct {
	Exports   []Export
	NextToken *string
}

// An Export is an output that other stacks may import.
type Export struct{ ExportingStackId, Name, Value string }

// ListImportsInput is the input of [Service.ListImports].
type ListImportsInput struct{ ExportName, NextToken string }

// ListImportsOutput is the output of [Service.ListImports].
type ListImportsOutput struct {
	Imports   []string // names of stacks
	NextToken *string
}

// CreateChangeSetInput is the input of [Service.CreateChangeSet].
type CreateChangeSetInput struct {
	StackName     string
	ChangeSetName string
	ChangeSetType string
	ClientToken   string
	Description   string
	TemplateSource
	StackSettings
	OnStackFailure          string
	IncludeNestedStacks     bool
	ImportExistingResources bool
	ResourcesToImport       []struct{ ResourceType, LogicalResourceId string }
	DeploymentMode          string
}

// CreateChangeSetOutput is the output of [Service.CreateChangeSet].
type CreateChangeSetOutput struct{ Id, StackId string }

// ChangeSetInput names a change set.
type ChangeSetInput struct {
	ChangeSetName string // or its ARN
	StackName     string
	NextToken     string
}

// DescribeChangeSetOutput is the output of [Service.DescribeChangeSet].
type DescribeChangeSetOutput struct {
	ChangeSetName         string
	ChangeSetId           string
	StackId               string
	StackName             string
	Description           string `wire:",omitempty"`
	Parameters            []Parameter
	CreationTime          time.Time
	ExecutionStatus       string
	Status                string
	StatusReason          string `wire:",omitempty"`
	NotificationARNs      []string
	RollbackConfiguration struct{}
	Capabilities          []string
	Tags                  []Tag
	Changes               []Change
	IncludeNestedStacks   bool
	OnStackFailure        string `wire:",omitempty"`
}

// A Change is a change that a change set would make.
type Change struct {
	Type           string
	ResourceChange ResourceChange
}

// A ResourceChange says what would happen to a resource.
type ResourceChange struct {
	Action             string
	LogicalResourceId  string
	PhysicalResourceId string `wire:",omitempty"`
	ResourceType       string
	Replacement        string `wire:",omitempty"`
	Scope              []string
	Details            []ChangeDetail
}

// A ChangeDetail says which part of a resource would change.
type ChangeDetail struct {
	Target       ChangeTarget
	Evaluation   string
	ChangeSource string
}

// A ChangeTarget names the part of a resource that would change.
type ChangeTarget struct {
	Attribute          string
	Name               string `wire:",omitempty"`
	RequiresRecreation string
}

// ExecuteChangeSetInput is the input of [Service.ExecuteChangeSet].
type ExecuteChangeSetInput struct {
	ChangeSetName        string // or its ARN
	StackName            string
	ClientRequestToken   string
	DisableRollback      bool
	RetainExceptOnCreate bool
}

// ListChangeSetsInput is the input of [Service.ListChangeSets].
type ListChangeSetsInput struct{ StackName, NextToken string }

// ListChangeSetsOutput is the output of [Service.ListChangeSets].
type ListChangeSetsOutput struct {
	Summaries []ChangeSetSummary
	NextToken *string
}

// A ChangeSetSummary describes a change set in a list.
type ChangeSetSummary struct {
	StackId         string
	StackName       string
	ChangeSetId     string
	ChangeSetName   string
	ExecutionStatus string
	Status          string
	StatusReason    string `wire:",omitempty"`
	CreationTime    time.Time
	Description     string `wire:",omitempty"`
}
