package lint

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Suppression is a recorded decision to accept a finding.
type Suppression struct {
	ID string `json:"id"` // of the rule, "GX-P02"

	// Path is an element and everything below it: "Statement[0]". An asterisk
	// stands for any text ("Statement[*].Principal"). "" is the whole document.
	Path string `json:"path,omitempty"`

	// Reason says why the finding is accepted. It is required: a suppression
	// without a reason suppresses nothing and is a finding itself.
	Reason string `json:"reason"`

	// Optional says that it is no mistake if the suppression covers nothing, as
	// where a program gives the same list for many documents.
	Optional bool `json:"optional,omitempty"`
}

// Check returns an error if the suppression is unusable: it has no reason, or
// names a rule that does not exist or cannot be suppressed.
func (s Suppression) Check() error {
	switch {
	case s.ID == "":
		return fmt.Errorf("a suppression names no rule; write the id of the finding, such as GX-P02")
	case ruleByID(s.ID) == nil:
		if near := nearestRule(s.ID); near != "" {
			return fmt.Errorf("a suppression names the unknown rule %q; did you mean %q?", clip(s.ID), near)
		}
		return fmt.Errorf("a suppression names the unknown rule %q", clip(s.ID))
	case isSuppressionRule(s.ID):
		return fmt.Errorf("%s is about suppressions and cannot be suppressed itself", s.ID)
	case strings.TrimSpace(s.Reason) == "":
		return fmt.Errorf("the suppression of %s has no reason; say why the finding is accepted", s.ID)
	}
	return nil
}

// Covers reports whether the suppression is usable and the finding is one it
// accepts.
func (s Suppression) Covers(f Finding) bool {
	if s.ID != f.ID || s.Check() != nil {
		return false
	}
	return s.Path == "" || iam.MatchWildcard(s.Path, f.Path) ||
		iam.MatchWildcard(s.Path+".*", f.Path) || iam.MatchWildcard(s.Path+"[*", f.Path)
}

// A Suppressed is a finding that somebody decided to accept.
type Suppressed struct {
	Finding
	By Suppression `json:"by"`
}

// Suppress takes the findings that suppressions cover out of a list. What is
// left has, at its end, a finding (GX-X01) for every suppression that is
// unusable and one (GX-X02) for every suppression that covers nothing and is not
// optional. [Document] and [Policy] do this with [Options.Suppressions]; it is
// for those who lint several documents with one list of suppressions.
func Suppress(findings []Finding, suppressions []Suppression) (left []Finding, suppressed []Suppressed) {
	used := make([]bool, len(suppressions))
	for _, f := range findings {
		covered := false
		for i, s := range suppressions {
			if !s.Covers(f) {
				continue
			}
			if !covered {
				suppressed = append(suppressed, Suppressed{f, s})
			}
			covered, used[i] = true, true
		}
		if !covered {
			left = append(left, f)
		}
	}
	for i, s := range suppressions {
		if err := s.Check(); err != nil {
			left = append(left, findingAbout(ruleUnusableSuppression, Error, s.Path, err.Error()))
		} else if !used[i] && !s.Optional {
			where := ""
			if s.Path != "" {
				where = " at " + clip(s.Path)
			}
			left = append(left, findingAbout(ruleUnusedSuppression, Warning, s.Path, "the suppression of "+s.ID+where+" covers no finding"))
		}
	}
	return left, suppressed
}

const (
	ruleUnusableSuppression = "GX-X01"
	ruleUnusedSuppression   = "GX-X02"
)

func isSuppressionRule(id string) bool {
	return id == ruleUnusableSuppression || id == ruleUnusedSuppression
}

var suppressionRules = []Rule{
	{
		ID:       ruleUnusableSuppression,
		Title:    "a suppression has no reason or names no rule",
		Why:      "an accepted risk that nobody explained cannot be judged later, so the suppression has no effect",
		Fix:      "give the suppression the id of a rule and a reason",
		Link:     grammarPage,
		Severity: Error,
		check:    func(*reporter) {}, // see Suppress
	},
	{
		ID:       ruleUnusedSuppression,
		Title:    "a suppression covers nothing",
		Why:      "what it accepted is gone, and it would hide the same mistake when it comes back",
		Fix:      "remove the suppression",
		Link:     grammarPage,
		Severity: Warning,
		check:    func(*reporter) {}, // see Suppress
	},
}

func findingAbout(rule string, severity Severity, path, message string) Finding {
	r := ruleByID(rule)
	return Finding{ID: r.ID, Severity: severity, Path: path, Message: message, Why: r.Why, Fix: r.Fix, Link: r.Link, Docs: r.Docs()}
}
