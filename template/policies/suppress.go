package policies

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A Suppression is a recorded decision to accept findings of a document.
type Suppression struct {
	lint.Suppression

	// Where limits it to the policies whose Where is this or below it. An
	// asterisk stands for any text. Empty means all policies.
	Where string

	// First and Last limit it to lines of the document. 0 means all lines.
	First, Last int

	// Position is where the document says so; zero if it came from elsewhere.
	Position iam.Position
}

// Covers reports whether the suppression is usable and accepts the finding.
func (s Suppression) Covers(f Finding) bool {
	if !s.Suppression.Covers(f.Finding) {
		return false
	}
	if s.Where != "" && !iam.MatchWildcard(s.Where, f.Where) && !iam.MatchWildcard(s.Where+"/*", f.Where) {
		return false
	}
	return s.First == 0 || f.Position.Line >= s.First && f.Position.Line <= s.Last
}

// A Suppressed is a finding that somebody decided to accept.
type Suppressed struct {
	Finding
	Reason string `json:"reason"`
}

// Suppress takes the findings that suppressions cover out of a list. Suppressions
// written in the document that are unusable or cover nothing become findings
// themselves (GX-X01, GX-X02). used says, for each suppression, whether it
// covered a finding.
func Suppress(findings []Finding, suppressions []Suppression) (left []Finding, suppressed []Suppressed, used []bool) {
	used = make([]bool, len(suppressions))
	for _, f := range findings {
		covered := false
		for i, s := range suppressions {
			if !s.Covers(f) {
				continue
			}
			if !covered {
				suppressed = append(suppressed, Suppressed{f, s.Reason})
			}
			covered, used[i] = true, true
		}
		if !covered {
			left = append(left, f)
		}
	}
	for i, s := range suppressions {
		if s.Position.Line == 0 {
			continue
		}
		if err := s.Check(); err != nil {
			left = append(left, ruleFinding("GX-X01", lint.Error, s.Position, err.Error(), ""))
		} else if !used[i] && !s.Optional {
			left = append(left, ruleFinding("GX-X02", lint.Warning, s.Position, "the suppression of "+s.ID+" covers no finding", ""))
		}
	}
	sortFindings(left)
	return left, suppressed, used
}

// metadataSuppressions reads the Metadata of a template and of its resources:
//
//	Metadata:
//	  crossaccount:
//	    suppress:
//	      - {id: GX-P02, reason: the whole account is meant}
func metadataSuppressions(root *cfn.Node, t *template) []Suppression {
	found := suppressionsIn(root.Get("Metadata"), "")
	for _, r := range t.resources {
		found = append(found, suppressionsIn(r.metadata, "/Resources/"+r.name)...)
	}
	return found
}

func suppressionsIn(metadata *cfn.Node, where string) []Suppression {
	var found []Suppression
	list := metadata.Get("crossaccount").Get("suppress")
	for _, n := range blocks(list) {
		s := Suppression{Where: where, Position: n.Position}
		s.ID, s.Reason, s.Path = textOf(n.Get("id")), textOf(n.Get("reason")), textOf(n.Get("path"))
		found = append(found, s)
	}
	return found
}

var comment = regexp.MustCompile(`#\s*crossaccount:ignore\b\s*([^\s,]*)[\s,:]*(.*?)\s*$`)

// commentSuppressions reads comments of YAML documents:
//
//	# crossaccount:ignore GX-P02 the whole account is meant
//
// Behind a value such a comment is about that line and what is indented below
// it; alone in its line, about the next line and what is indented below that.
func commentSuppressions(data []byte) []Suppression {
	trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff")
	if len(trimmed) == 0 || trimmed[0] == '{' || trimmed[0] == '[' || !bytes.Contains(data, []byte("crossaccount:ignore")) {
		return nil
	}
	lines := strings.Split(string(data), "\n")
	var found []Suppression
	for i, line := range lines {
		m := comment.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		about := i
		for about < len(lines)-1 && (strings.TrimSpace(lines[about]) == "" || strings.HasPrefix(strings.TrimSpace(lines[about]), "#")) {
			about++
		}
		last := about
		for next := about + 1; next < len(lines); next++ {
			if strings.TrimSpace(lines[next]) == "" {
				continue
			}
			if indentation(lines[next]) <= indentation(lines[about]) {
				break
			}
			last = next
		}
		s := Suppression{First: about + 1, Last: last + 1, Position: iam.Position{Line: i + 1, Column: m[0] + 1}}
		s.ID, s.Reason = line[m[2]:m[3]], line[m[4]:m[5]]
		found = append(found, s)
	}
	return found
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
