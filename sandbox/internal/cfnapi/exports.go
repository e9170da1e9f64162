package cfnapi

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/template/cfn"
)

// export returns the export of that name in an account and region, or nil.
func (s *Service) export(p place, name string) *Export {
	for _, st := range s.stacks {
		if st.place != p || !st.exists() {
			continue
		}
		for _, o := range st.outputs {
			if o.exportName == name {
				return &Export{ExportingStackId: st.id, Name: name, Value: o.value}
			}
		}
	}
	return nil
}

// importers returns the names of the stacks that import an export, other than
// the one that exports it.
func (s *Service) importers(p place, name string) []string {
	var names []string
	for _, st := range s.stacks {
		if st.place == p && st.exists() && st.revision != nil && slices.Contains(s.imports(st), name) {
			names = append(names, st.name)
		}
	}
	return names
}

// imports returns the names of the exports that a stack's resources and
// outputs import, as far as their conditions hold.
func (s *Service) imports(st *stack) []string {
	var names []string
	e, err := s.evaluatorNoting(st, &names)
	if err != nil {
		return nil
	}
	for _, d := range st.revision.template.Resources {
		if e.Condition(d.Condition) && d.Properties != nil && st.resource(d.Name) != nil {
			_, _ = e.Resolve(d.Properties) // only for what it imports; it resolved when the stack was made
		}
	}
	for _, o := range st.revision.template.Outputs {
		if e.Condition(o.Condition) {
			_, _ = e.Resolve(o.Value)
		}
	}
	return names
}

// evaluatorNoting returns an evaluator of a stack's revision that notes the
// names of what is imported.
func (s *Service) evaluatorNoting(st *stack, names *[]string) (*cfn.Evaluator, error) {
	return st.revision.template.Evaluator(cfn.Scope{
		Parameters: scopeParameters(st.revision.parameters),
		Pseudo:     pseudoParameters(st, st.revision),
		Ref:        func(logicalID string) (*cfn.Node, error) { return cfn.NewText(logicalID), nil },
		GetAtt:     func(_, attribute string) (*cfn.Node, error) { return cfn.NewText(attribute), nil },
		ImportValue: func(name string) (*cfn.Node, error) {
			*names = append(*names, name)
			return cfn.NewText(name), nil
		},
	})
}

// exportsInUse returns an error about the first export of a stack that another
// stack imports and that outputs would take away or change.
func (s *Service) exportsInUse(st *stack, outputs []output) error {
	for _, had := range st.outputs {
		if had.exportName == "" || slices.ContainsFunc(outputs, func(o output) bool { return o.exportName == had.exportName && o.value == had.value }) {
			continue
		}
		if users := s.importers(st.place, had.exportName); len(users) > 0 {
			verb := "deleted"
			if slices.ContainsFunc(outputs, func(o output) bool { return o.exportName == had.exportName }) {
				verb = "updated"
			}
			return invalid("Export %s cannot be %s as it is in use by %s", had.exportName, verb, strings.Join(users, " and "))
		}
	}
	return nil
}

// exportsTaken returns an error about the first export that another stack has
// already.
func (s *Service) exportsTaken(st *stack, outputs []output) error {
	seen := make(map[string]bool)
	for _, o := range outputs {
		if o.exportName == "" {
			continue
		}
		if seen[o.exportName] {
			return invalid("Output with duplicate export name %s", o.exportName)
		}
		seen[o.exportName] = true
		if e := s.export(st.place, o.exportName); e != nil && e.ExportingStackId != st.id {
			other := strings.Split(e.ExportingStackId, "/")[1]
			return invalid("Export with name %s is already exported by stack %s. Rollback requested by user.", o.exportName, other)
		}
	}
	return nil
}
