package cfnapi

import (
	"errors"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A desired resource is what a revision asks for.
type desired struct {
	declaration *cfn.Resource
	typ         *resourceType
	properties  *cfn.Node
	tags        []Tag
	dependsOn   []string
}

// A change is a difference between a stack and a revision.
type change struct {
	action      string // "Add", "Modify" or "Remove"
	logicalID   string
	physicalID  string
	typeName    string
	replacement string // "True", "False" or "Conditional", for Modify
	details     []ChangeDetail
}

// A plan is what an operation would do, worked out before it does anything.
// Values that only the operation will know, such as the ARN of a new role, are
// symbols in it.
type plan struct {
	changes        []change
	outputsChanged bool
	tagsChanged    bool
}

func (p *plan) empty() bool { return len(p.changes) == 0 && !p.outputsChanged && !p.tagsChanged }

// pseudoParameters returns the values of CloudFormation's own parameters.
func pseudoParameters(st *stack, r *revision) map[string]*cfn.Node {
	partition, _ := iam.LookupPartition(st.place.partition)
	return map[string]*cfn.Node{
		"AWS::AccountId":        cfn.NewText(string(st.place.account)),
		"AWS::NotificationARNs": cfn.NewTextList(r.notificationARNs),
		"AWS::Partition":        cfn.NewText(st.place.partition),
		"AWS::Region":           cfn.NewText(st.place.region),
		"AWS::StackId":          cfn.NewText(st.id),
		"AWS::StackName":        cfn.NewText(st.name),
		"AWS::URLSuffix":        cfn.NewText(partition.DNSSuffix),
	}
}

// errNoExport is wrapped by the error about an export that does not exist, or
// not yet.
var errNoExport = errors.New("no such export")

type noExportError struct{ name string }

func (e *noExportError) Error() string { return "No export named " + e.name + " found" }
func (e *noExportError) Unwrap() error { return errNoExport }

// evaluator returns an evaluator for a revision whose resources answer as
// lookup says.
func (s *Service) evaluator(st *stack, r *revision, lookup func(logicalID string) *resource) (*cfn.Evaluator, error) {
	missing := func(logicalID string) error {
		return invalid("Template error: the resource %s has not been created", logicalID)
	}
	return r.template.Evaluator(cfn.Scope{
		Parameters: scopeParameters(r.parameters),
		Pseudo:     pseudoParameters(st, r),
		Ref: func(logicalID string) (*cfn.Node, error) {
			res := lookup(logicalID)
			if res == nil || res.physicalID == "" {
				return nil, missing(logicalID)
			}
			return cfn.NewText(res.physicalID), nil
		},
		GetAtt: func(logicalID, attribute string) (*cfn.Node, error) {
			if err := s.checkAttribute(r.template, logicalID, attribute); err != nil {
				return nil, err
			}
			res := lookup(logicalID)
			if res == nil || res.physicalID == "" {
				return nil, missing(logicalID)
			}
			return cfn.NewText(res.attributes[attribute]), nil
		},
		ImportValue: func(name string) (*cfn.Node, error) {
			if e := s.export(st.place, name); e != nil {
				return cfn.NewText(e.Value), nil
			}
			if iam.HasSymbol(name) {
				return cfn.NewText(iam.Symbol("import")), nil
			}
			return nil, &noExportError{name}
		},
	})
}

func (s *Service) checkAttribute(t *cfn.Template, logicalID, attribute string) error {
	r := t.Resource(logicalID)
	if rt := s.types[r.Type]; rt != nil && !slices.Contains(rt.attributes, attribute) {
		return invalid("Template error: resource %s does not support attribute type %s in Fn::GetAtt", logicalID, attribute)
	}
	return nil
}

// desire resolves one resource.
func (s *Service) desire(st *stack, r *revision, e *cfn.Evaluator, d *cfn.Resource) (*desired, error) {
	properties := &cfn.Node{Kind: cfn.NodeMap}
	if d.Properties != nil {
		resolved, err := e.Resolve(d.Properties)
		if err != nil {
			return nil, err
		}
		if resolved != nil {
			properties = resolved
		}
	}
	if err := checkDynamic("resource "+d.Name, properties); err != nil {
		return nil, err
	}
	dependsOn, err := e.Dependencies(d)
	if err != nil {
		return nil, err
	}
	want := &desired{declaration: d, typ: s.types[d.Type], properties: properties, dependsOn: dependsOn}
	if want.typ.tagged {
		want.tags = resourceTags(properties, r.tags)
	}
	return want, nil
}

// makePlan compares a stack with what a revision wants. Its errors are those
// of the template that show before anything is made; they are
// ValidationErrors.
func (s *Service) makePlan(st *stack, r *revision) (*plan, error) {
	fresh := make(map[string]bool) // logical IDs whose physical ID the operation will make
	isNew := func(logicalID string) bool { return fresh[logicalID] || st.made(logicalID) == nil }
	lookup := func(logicalID string) *resource {
		if !isNew(logicalID) {
			return st.resource(logicalID)
		}
		return unknownResource(s.types[r.template.Resource(logicalID).Type], logicalID)
	}
	e, err := s.evaluator(st, r, lookup)
	if err != nil {
		return nil, asValidationError(err)
	}
	order, err := e.Order()
	if err != nil {
		return nil, asValidationError(err)
	}
	p := &plan{}
	wanted := make(map[string]bool)
	for _, d := range order {
		wanted[d.Name] = true
		have := st.made(d.Name)
		if have != nil && have.typeName != d.Type {
			return nil, invalid("Update of resource type is not permitted. The new template modifies resource type of the following resources: [%s]", d.Name)
		}
		want, err := s.desire(st, r, e, d)
		open := errors.Is(err, errNoExport) || isTemplateError(err) && dependsOnUnknown(e, d, isNew)
		switch {
		case err != nil && !open:
			return nil, asValidationError(err)
		case have == nil:
			fresh[d.Name] = true
			p.changes = append(p.changes, change{action: "Add", logicalID: d.Name, typeName: d.Type})
		case open:
			p.changes = append(p.changes, change{action: "Modify", logicalID: d.Name, physicalID: have.physicalID, typeName: d.Type, replacement: "Conditional"})
		default:
			c, changed := compare(have, want)
			if changed {
				fresh[d.Name] = c.replacement == "True"
				p.changes = append(p.changes, c)
			}
		}
	}
	for _, have := range st.resources {
		if !wanted[have.logicalID] {
			p.changes = append(p.changes, change{action: "Remove", logicalID: have.logicalID, physicalID: have.physicalID, typeName: have.typeName})
		}
	}
	var outputs []output
	for _, o := range r.template.Outputs {
		if !e.Condition(o.Condition) {
			continue
		}
		resolved, err := s.resolveOutput(e, o)
		switch {
		case err == nil:
			outputs = append(outputs, resolved)
		case errors.Is(err, errNoExport), isTemplateError(err) && mentionsUnknown(e, o, isNew):
			p.outputsChanged = true
		default:
			return nil, asValidationError(err)
		}
	}
	p.outputsChanged = p.outputsChanged || !slices.Equal(outputs, st.outputs)
	p.tagsChanged = st.revision != nil && !slices.Equal(r.tags, st.revision.tags)
	return p, nil
}

// dependsOnUnknown reports whether a resource depends on one that is yet to be
// made. What a template does with the symbols of such a one, for example taking
// apart an ARN, may fail now and work later.
func dependsOnUnknown(e *cfn.Evaluator, d *cfn.Resource, isNew func(string) bool) bool {
	names, err := e.Dependencies(d)
	return err == nil && slices.ContainsFunc(names, isNew)
}

// mentionsUnknown is dependsOnUnknown for an output.
func mentionsUnknown(e *cfn.Evaluator, o *cfn.Output, isNew func(string) bool) bool {
	for _, n := range []*cfn.Node{o.Value, o.ExportName} {
		if n == nil {
			continue
		}
		if names, err := e.References(n); err == nil && slices.ContainsFunc(names, isNew) {
			return true
		}
	}
	return false
}

// isTemplateError reports whether a function of the template failed, which may
// be for want of a value.
func isTemplateError(err error) bool {
	var bad *cfn.SyntaxError
	return errors.As(err, &bad)
}

// unknownResource stands for a resource that is yet to be made.
func unknownResource(t *resourceType, logicalID string) *resource {
	r := &resource{logicalID: logicalID, physicalID: iam.Symbol(logicalID), attributes: make(map[string]string)}
	for _, a := range t.attributes {
		r.attributes[a] = iam.Symbol(logicalID + "." + a)
	}
	return r
}

// compare says what would change about a resource.
func compare(have *resource, want *desired) (change, bool) {
	c := change{action: "Modify", logicalID: have.logicalID, physicalID: have.physicalID, typeName: want.typ.name, replacement: "False"}
	for _, name := range sortedKeys(want.typ.properties) {
		before, after := have.properties.Get(name), want.properties.Get(name)
		if before.Equal(after) || name == "Tags" && want.typ.tagged {
			continue
		}
		d := ChangeDetail{Target: ChangeTarget{Attribute: "Properties", Name: name, RequiresRecreation: "Never"}, Evaluation: "Static", ChangeSource: "DirectModification"}
		if want.typ.properties[name].replaces {
			d.Target.RequiresRecreation = "Always"
		}
		if hasSymbol(after) {
			// Whether the value differs in the end is only known in the end.
			d.Evaluation = "Dynamic"
			d.ChangeSource = "ResourceAttribute"
			if d.Target.RequiresRecreation == "Always" {
				d.Target.RequiresRecreation = "Conditionally"
			}
		}
		switch {
		case d.Target.RequiresRecreation == "Always":
			c.replacement = "True"
		case d.Target.RequiresRecreation == "Conditionally" && c.replacement == "False":
			c.replacement = "Conditional"
		}
		c.details = append(c.details, d)
	}
	for _, e := range want.properties.Entries {
		if _, known := want.typ.properties[e.Key]; !known {
			// The operation refuses it; a change it is.
			c.details = append(c.details, ChangeDetail{Target: ChangeTarget{Attribute: "Properties", Name: e.Key, RequiresRecreation: "Never"}, Evaluation: "Static", ChangeSource: "DirectModification"})
		}
	}
	attribute := func(name string, changed bool) {
		if changed {
			c.details = append(c.details, ChangeDetail{Target: ChangeTarget{Attribute: name, RequiresRecreation: "Never"}, Evaluation: "Static", ChangeSource: "DirectModification"})
		}
	}
	attribute("Tags", !slices.Equal(have.tags, want.tags))
	attribute("Metadata", !have.metadata.Equal(want.declaration.Metadata))
	attribute("DeletionPolicy", have.deletionPolicy != want.declaration.DeletionPolicy)
	attribute("UpdateReplacePolicy", have.updateReplacePolicy != want.declaration.UpdateReplacePolicy)
	return c, len(c.details) > 0
}

func hasSymbol(n *cfn.Node) bool {
	found := false
	n.Walk(func(_ string, n *cfn.Node) bool {
		found = found || iam.HasSymbol(n.Text)
		return !found
	})
	return found
}

// resolveOutputs returns the outputs whose conditions hold.
func (s *Service) resolveOutputs(r *revision, e *cfn.Evaluator) ([]output, error) {
	var outputs []output
	for _, o := range r.template.Outputs {
		if !e.Condition(o.Condition) {
			continue
		}
		resolved, err := s.resolveOutput(e, o)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, resolved)
	}
	return outputs, nil
}

func (s *Service) resolveOutput(e *cfn.Evaluator, o *cfn.Output) (output, error) {
	value, err := e.Resolve(o.Value)
	if err != nil {
		return output{}, err
	}
	if value == nil || !value.IsScalar() {
		return output{}, invalid("Template format error: The Value field of every Outputs member must evaluate to a String. (output %s)", o.Name)
	}
	if err := checkDynamic("output "+o.Name, value); err != nil {
		return output{}, err
	}
	out := output{key: o.Name, value: value.Text, description: o.Description}
	if o.ExportName == nil {
		return out, nil
	}
	name, err := e.Resolve(o.ExportName)
	if err != nil {
		return output{}, err
	}
	if name == nil || !name.IsScalar() || name.Text == "" {
		return output{}, invalid("Template format error: Output %s is malformed. The Name field of every Export member must evaluate to a String that is not empty.", o.Name)
	}
	out.exportName = name.Text
	return out, nil
}

// shape returns a change as DescribeChangeSet shows it.
func (c *change) shape() Change {
	rc := ResourceChange{
		Action: c.action, LogicalResourceId: c.logicalID, PhysicalResourceId: c.physicalID,
		ResourceType: c.typeName, Replacement: c.replacement, Details: c.details,
	}
	for _, d := range c.details {
		if !slices.Contains(rc.Scope, d.Target.Attribute) {
			rc.Scope = append(rc.Scope, d.Target.Attribute)
		}
	}
	return Change{Type: "Resource", ResourceChange: rc}
}
