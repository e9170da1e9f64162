package cfnapi

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
)

// pageSize is how many items one answer lists.
const pageSize = 100

// page returns the items after those that a token counts, and the token for
// the rest.
func page[T any](items []T, token string) ([]T, *string, error) {
	start := 0
	if token != "" {
		data, err := base64.RawURLEncoding.DecodeString(token)
		number, ok := strings.CutPrefix(string(data), "after:")
		if start, _ = strconv.Atoi(number); err != nil || !ok || start < 1 {
			return nil, nil, invalid("NextToken is not one that this operation returned")
		}
	}
	items = items[min(start, len(items)):]
	if len(items) <= pageSize {
		return items, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte("after:" + strconv.Itoa(start+pageSize)))
	return items[:pageSize], &next, nil
}

// DescribeStacks describes a stack, or all that are not deleted.
func (s *Service) DescribeStacks(c *authz.Call, in *DescribeStacksInput) (*DescribeStacksOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.StackName != "" {
		st, err := s.authorizedStack(c, p, "DescribeStacks", in.StackName)
		if err != nil {
			return nil, err
		}
		return &DescribeStacksOutput{Stacks: []Stack{st.describe()}}, nil
	}
	if err := s.authorize(c, "DescribeStacks", p.stackARN("*", "*"), nil, nil); err != nil {
		return nil, err
	}
	stacks, next, err := page(s.visibleStacks(p, (*stack).exists), in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeStacksOutput{NextToken: next}
	for _, st := range stacks {
		out.Stacks = append(out.Stacks, st.describe())
	}
	return out, nil
}

func (st *stack) describe() Stack {
	d := Stack{
		StackId: st.id, StackName: st.name, CreationTime: st.created, LastUpdatedTime: st.updated, DeletionTime: st.deleted,
		StackStatus: st.status, StackStatusReason: st.reason, DisableRollback: st.disableRollback,
		TimeoutInMinutes: st.timeoutInMinutes, RoleARN: st.roleARN, EnableTerminationProtection: st.terminationProtection,
	}
	d.DriftInformation.StackDriftStatus = "NOT_CHECKED"
	if r := st.revision; r != nil {
		d.Description, d.Parameters, d.Capabilities = r.template.Description, shownParameters(r), r.capabilities
		d.NotificationARNs, d.Tags = r.notificationARNs, r.tags
	}
	for _, o := range st.outputs {
		d.Outputs = append(d.Outputs, Output{OutputKey: o.key, OutputValue: o.value, Description: o.description, ExportName: o.exportName})
	}
	return d
}

// shownParameters lists parameters with NoEcho values masked.
func shownParameters(r *revision) []Parameter {
	var shown []Parameter
	for _, p := range r.parameters {
		value := p.shown()
		shown = append(shown, Parameter{ParameterKey: p.name, ParameterValue: &value})
	}
	return shown
}

// DescribeStackEvents lists the events of a stack, newest first.
func (s *Service) DescribeStackEvents(c *authz.Call, in *DescribeStackEventsInput) (*DescribeStackEventsOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "DescribeStackEvents", in.StackName)
	if err != nil {
		return nil, err
	}
	newestFirst := slices.Clone(st.events)
	slices.Reverse(newestFirst)
	events, next, err := page(newestFirst, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeStackEventsOutput{NextToken: next}
	for _, e := range events {
		out.StackEvents = append(out.StackEvents, StackEvent{
			StackId: st.id, StackName: st.name, EventId: e.id, LogicalResourceId: e.logicalID,
			PhysicalResourceId: e.physicalID, ResourceType: e.typeName, Timestamp: e.at,
			ResourceStatus: e.status, ResourceStatusReason: e.reason, ResourceProperties: e.properties,
			ClientRequestToken: e.token,
		})
	}
	return out, nil
}

// DescribeStackResources describes the resources of a stack, named by the
// stack or by a physical ID in it.
func (s *Service) DescribeStackResources(c *authz.Call, in *DescribeStackResourcesInput) (*DescribeStackResourcesOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.StackName
	switch {
	case name == "" && in.PhysicalResourceId == "":
		return nil, invalid("Either stack name or physical resource id must be specified.")
	case name != "" && in.PhysicalResourceId != "":
		return nil, invalid("Specify either stack name or physical resource id, not both.")
	case name == "":
		for _, st := range s.visibleStacks(p, (*stack).exists) {
			if slices.ContainsFunc(st.resources, func(r *resource) bool { return r.physicalID == in.PhysicalResourceId }) {
				name = st.id
			}
		}
		if name == "" {
			if err := s.authorize(c, "DescribeStackResources", p.stackARN("*", "*"), nil, nil); err != nil {
				return nil, err
			}
			return nil, invalid("Stack for %s does not exist", clip(in.PhysicalResourceId))
		}
	}
	st, err := s.authorizedStack(c, p, "DescribeStackResources", name)
	if err != nil {
		return nil, err
	}
	out := &DescribeStackResourcesOutput{}
	for _, r := range st.resources {
		if in.LogicalResourceId != "" && in.LogicalResourceId != r.logicalID {
			continue
		}
		shape := StackResource{
			StackName: st.name, StackId: st.id, LogicalResourceId: r.logicalID, PhysicalResourceId: r.physicalID,
			ResourceType: r.typeName, Timestamp: r.changed, ResourceStatus: r.status, ResourceStatusReason: r.reason,
		}
		shape.DriftInformation.StackResourceDriftStatus = "NOT_CHECKED"
		out.StackResources = append(out.StackResources, shape)
	}
	if in.LogicalResourceId != "" && len(out.StackResources) == 0 {
		return nil, noResource(in.LogicalResourceId, st)
	}
	return out, nil
}

func noResource(logicalID string, st *stack) error {
	return invalid("Resource %s does not exist for stack %s", clip(logicalID), st.name)
}

// DescribeStackResource describes one resource of a stack.
func (s *Service) DescribeStackResource(c *authz.Call, in *DescribeStackResourceInput) (*DescribeStackResourceOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "DescribeStackResource", in.StackName)
	if err != nil {
		return nil, err
	}
	r := st.resource(in.LogicalResourceId)
	if r == nil {
		return nil, noResource(in.LogicalResourceId, st)
	}
	d := StackResourceDetail{
		StackName: st.name, StackId: st.id, LogicalResourceId: r.logicalID, PhysicalResourceId: r.physicalID,
		ResourceType: r.typeName, LastUpdatedTimestamp: r.changed, ResourceStatus: r.status, ResourceStatusReason: r.reason,
	}
	d.DriftInformation.StackResourceDriftStatus = "NOT_CHECKED"
	if r.metadata != nil {
		data, err := r.metadata.MarshalJSON()
		if err != nil {
			return nil, err
		}
		d.Metadata = string(data)
	}
	return &DescribeStackResourceOutput{StackResourceDetail: d}, nil
}

// ListStackResources lists the resources of a stack.
func (s *Service) ListStackResources(c *authz.Call, in *ListStackResourcesInput) (*ListStackResourcesOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "ListStackResources", in.StackName)
	if err != nil {
		return nil, err
	}
	resources, next, err := page(st.resources, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListStackResourcesOutput{NextToken: next}
	for _, r := range resources {
		summary := StackResourceSummary{
			LogicalResourceId: r.logicalID, PhysicalResourceId: r.physicalID, ResourceType: r.typeName,
			LastUpdatedTimestamp: r.changed, ResourceStatus: r.status, ResourceStatusReason: r.reason,
		}
		summary.DriftInformation.StackResourceDriftStatus = "NOT_CHECKED"
		out.StackResourceSummaries = append(out.StackResourceSummaries, summary)
	}
	return out, nil
}

// ListStacks lists stacks, deleted ones too, newest first.
func (s *Service) ListStacks(c *authz.Call, in *ListStacksInput) (*ListStacksOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "ListStacks", "*", nil, nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stacks, next, err := page(s.visibleStacks(p, func(st *stack) bool {
		return len(in.StackStatusFilter) == 0 || slices.Contains(in.StackStatusFilter, st.status)
	}), in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListStacksOutput{NextToken: next}
	for _, st := range stacks {
		d := st.describe()
		summary := StackSummary{
			StackId: d.StackId, StackName: d.StackName, TemplateDescription: d.Description,
			CreationTime: d.CreationTime, LastUpdatedTime: d.LastUpdatedTime, DeletionTime: d.DeletionTime,
			StackStatus: d.StackStatus, StackStatusReason: d.StackStatusReason,
		}
		summary.DriftInformation.StackDriftStatus = "NOT_CHECKED"
		out.StackSummaries = append(out.StackSummaries, summary)
	}
	return out, nil
}

// ListExports lists what the stacks of the caller's account and region export,
// sorted by name.
func (s *Service) ListExports(c *authz.Call, in *ListExportsInput) (*ListExportsOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "ListExports", "*", nil, nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Export
	for _, st := range s.visibleStacks(p, (*stack).exists) {
		for _, o := range st.outputs {
			if o.exportName != "" {
				all = append(all, Export{ExportingStackId: st.id, Name: o.exportName, Value: o.value})
			}
		}
	}
	slices.SortFunc(all, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
	exports, next, err := page(all, in.NextToken)
	return &ListExportsOutput{Exports: exports, NextToken: next}, err
}

// ListImports lists the stacks that import an export.
func (s *Service) ListImports(c *authz.Call, in *ListImportsInput) (*ListImportsOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "ListImports", "*", nil, nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.importers(p, in.ExportName)
	if len(names) == 0 {
		return nil, invalid("Export '%s' is not imported by any stack.", clip(in.ExportName))
	}
	imports, next, err := page(names, in.NextToken)
	return &ListImportsOutput{Imports: imports, NextToken: next}, err
}
