package cli

import (
	"fmt"
	"path/filepath"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// places finds where in a world's file a statement is written. The file is
// taken apart when it is first asked.
type places struct {
	file  string
	data  []byte
	found map[string][]place // by the policy's text
}

// A place is a policy in the file.
type place struct {
	owner      string // the ARN or id of what it belongs to
	statements []int  // their lines
}

func newPlaces(name string, data []byte) *places {
	return &places{file: filepath.Base(name), data: data}
}

// of returns something like "world.json:12", or "" if the statement is not in
// the file. Where several things have the same policy, the owners say which is
// meant.
func (p *places) of(ref eval.StatementRef, owners ...string) string {
	if p == nil || p.data == nil || ref.Policy == nil {
		return ""
	}
	if p.found == nil {
		p.found = map[string][]place{}
		if root, err := iam.ReadValue(p.data); err == nil {
			p.collect(&root, "")
		}
	}
	document, err := world.NewDocument(ref.Policy.Source())
	if err != nil {
		return ""
	}
	candidates := p.found[document.String()]
	if len(candidates) == 0 {
		return ""
	}
	chosen := candidates[0]
	for _, owner := range owners {
		for _, c := range candidates {
			if c.owner == owner {
				chosen = c
			}
		}
	}
	if int(ref.Index) >= len(chosen.statements) {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.file, chosen.statements[ref.Index])
}

func (p *places) collect(v *iam.Value, owner string) {
	for _, name := range []string{"arn", "id"} {
		if id := v.Get(name); id != nil && id.Kind == iam.ValueString {
			owner = id.Text
			break
		}
	}
	if statements := v.Get("Statement"); statements != nil {
		p.policy(v, statements, owner)
		return
	}
	for i := range v.Members {
		p.collect(&v.Members[i].Value, owner)
	}
	for i := range v.Items {
		p.collect(&v.Items[i], owner)
	}
}

func (p *places) policy(v, statements *iam.Value, owner string) {
	parsed, problems := iam.ParseValue(*v)
	if len(problems) > 0 {
		return
	}
	document, err := world.NewDocument(parsed)
	if err != nil {
		return
	}
	found := place{owner: owner}
	for i := range statements.Items {
		found.statements = append(found.statements, statements.Items[i].Position.Line)
	}
	if statements.Kind == iam.ValueObject {
		found.statements = []int{statements.Position.Line}
	}
	p.found[document.String()] = append(p.found[document.String()], found)
}
