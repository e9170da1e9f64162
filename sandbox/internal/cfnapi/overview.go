package cfnapi

import (
	"slices"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// Operations lists all operations of CloudFormation that the sandbox knows of.
func Operations() []overview.Operation {
	notes := map[string]string{
		"CreateChangeSet":  "no change sets of type IMPORT, no nested stacks, no deployment modes; complete at once",
		"CreateStack":      "no stack policies, rollback triggers, notifications, transforms, Rules; types AWS::IAM Role, User, ManagedPolicy, Policy, RolePolicy, UserPolicy, AccessKey and AWS::S3 Bucket, BucketPolicy",
		"DeleteStack":      "no DeletionMode FORCE_DELETE_STACK",
		"UpdateStack":      "as CreateStack",
		"ValidateTemplate": "also refuses types and functions the sandbox does not have",
	}
	var list []overview.Operation
	for name := range operations {
		list = append(list, overview.Operation{Name: name, Real: true, Note: notes[name]})
	}
	for name := range notImplemented {
		list = append(list, overview.Operation{Name: name})
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Name < list[k].Name })
	return list
}

// Overview returns the stacks with their parameters, outputs and resources.
// Values of NoEcho parameters and everything named like an external ID are
// masked; deleted stacks are left out.
func (s *Service) Overview() []overview.Section {
	s.Advance(s.options.Clock())
	s.mu.Lock()
	defer s.mu.Unlock()
	stacks := overview.Section{Title: "Stacks", Columns: []string{"Account", "Region", "Stack", "Status", "Parameters", "Outputs"}}
	resources := overview.Section{Title: "Stack resources", Columns: []string{"Account", "Stack", "Resource", "Type", "Physical ID", "Status"}}
	for _, st := range slices.Backward(s.stacks) {
		if !st.exists() {
			continue
		}
		var parameters, outputs []string
		if st.revision != nil {
			for _, p := range st.revision.parameters {
				value := p.shown()
				if secretName(p.name) {
					value = masked
				}
				parameters = append(parameters, p.name+"="+value)
			}
		}
		for _, o := range st.outputs {
			outputs = append(outputs, o.key+"="+st.shownOutput(o))
		}
		stacks.Rows = append(stacks.Rows, []string{
			string(st.place.account), st.place.region, st.name, strings.TrimSpace(st.status + " " + st.reason),
			strings.Join(parameters, "\n"), strings.Join(outputs, "\n"),
		})
		for _, r := range st.resources {
			resources.Rows = append(resources.Rows, []string{
				string(st.place.account), st.name, r.logicalID, r.typeName, r.physicalID, r.status,
			})
		}
	}
	return []overview.Section{stacks, resources}
}

// secretName reports whether a name is that of something not to be shown. The
// parameter ExternalId cannot have NoEcho, because launch links then lose it.
func secretName(name string) bool {
	name = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	for _, part := range []string{"externalid", "secret", "password", "token", "accesskey"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// shownOutput returns an output's value, masked if it is named like a secret
// or contains a value that is masked.
func (st *stack) shownOutput(o output) string {
	if secretName(o.key) {
		return masked
	}
	if st.revision != nil {
		for _, p := range st.revision.parameters {
			if (p.noEcho || secretName(p.name)) && p.value != "" && strings.Contains(o.value, p.value) {
				return masked
			}
		}
	}
	for _, r := range st.resources {
		for name, value := range r.attributes {
			if secretName(name) && value != "" && strings.Contains(o.value, value) {
				return masked
			}
		}
	}
	return o.value
}
