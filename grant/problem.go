package grant

import (
	"fmt"
	"slices"
	"strings"
)

// Rules of the manifest that have no counterpart among the findings of package
// lint. Rules that do have one keep its id: GX-B03 is an encryption key that
// cannot be shared, GX-B05 two owners of one policy, GX-B06 a stage that may not
// be shared, GX-B09 a cycle, GX-R05 a secret without its suffix, GX-S07 a policy
// that is too large.
const (
	RuleSyntax    = "GX-M01" // the file is no YAML
	RuleUnknown   = "GX-M02" // a key that means nothing here
	RuleType      = "GX-M03" // a value of the wrong type
	RuleValue     = "GX-M04" // a value that is not allowed
	RuleMissing   = "GX-M05" // a required key is missing
	RuleDuplicate = "GX-M06" // a key is given twice
	RuleReference = "GX-M07" // a name that was not declared
	RuleNarrowing = "GX-M08" // a grant cannot be narrowed like this

	RuleSharedKey  = "GX-B03"
	RuleCollision  = "GX-B05"
	RuleStage      = "GX-B06"
	RuleCycle      = "GX-B09"
	RuleSuffix     = "GX-R05"
	RuleSize       = "GX-S07"
	RulePrincipals = "GX-P02" // a whole account gets access
	RuleExternalID = "GX-T02" // a third party without external ID
	RuleRegion     = "GX-R10" // partitions or regions do not fit together
)

// A Position is a place in the manifest. Both count from 1, columns in
// characters. The zero Position means that the manifest was not read from text.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// A Problem is one reason why a manifest does not compile.
type Problem struct {
	Position Position `json:"position"`
	Rule     string   `json:"rule"`    // stable: "GX-B06"
	Path     string   `json:"path"`    // "grants[2].access"; "" is the whole file
	Message  string   `json:"message"` // what is wrong
	Remedy   string   `json:"remedy"`  // what to do
}

// String returns "line:column: GX-B06 path: message; remedy".
func (p Problem) String() string {
	var b strings.Builder
	if p.Position.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Position.Line, p.Position.Column)
	}
	b.WriteString(p.Rule + " ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// An Error lists everything that is wrong with a manifest, in the order of the
// file.
type Error struct {
	Problems []Problem
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects them.
type problems []Problem

// err returns the problems in the order of the file, or nil.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		if a.Position.Line != b.Position.Line {
			return a.Position.Line - b.Position.Line
		}
		return a.Position.Column - b.Position.Column
	})
	return &Error{slices.Compact(sorted)}
}
