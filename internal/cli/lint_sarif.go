package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/internal/server"
)

// The types below are those parts of SARIF 2.1.0 that a linter needs.
//
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	ColumnKind  string            `json:"columnKind"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifRule struct {
	ID               string             `json:"id"`
	ShortDescription sarifText          `json:"shortDescription"`
	FullDescription  sarifText          `json:"fullDescription"`
	Help             sarifText          `json:"help"`
	HelpURI          string             `json:"helpUri"`
	Configuration    sarifConfiguration `json:"defaultConfiguration"`
}

type sarifConfiguration struct {
	Level string `json:"level"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
}

func sarifLevel(s lint.Severity) string {
	if s == lint.Info {
		return "note"
	}
	return s.String()
}

// printSARIF writes the report for code scanning. Accepted findings are in it,
// marked as such.
func printSARIF(w io.Writer, r *lintReport) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "crossaccount", Version: server.Version(), InformationURI: "https://github.com/crossaccount/crossaccount"}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	index := make(map[string]int)
	for i, rule := range lint.Rules() {
		index[rule.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID:               rule.ID,
			ShortDescription: sarifText{Text: sentence(rule.Title)},
			FullDescription:  sarifText{Text: sentence(rule.Why)},
			Help: sarifText{
				Text:     fmt.Sprintf("%s %s To mend it, %s. See %s", sentence(rule.Title), sentence(rule.Why), rule.Fix, rule.Link),
				Markdown: fmt.Sprintf("**%s**\n\n%s\n\nTo mend it, %s.\n\n[AWS documentation](%s), [examples](%s)", sentence(rule.Title), sentence(rule.Why), rule.Fix, rule.Link, rule.Docs()),
			},
			HelpURI:       rule.Docs(),
			Configuration: sarifConfiguration{sarifLevel(rule.Severity)},
		})
	}
	for _, f := range append(append([]lintFinding{}, r.Findings...), r.Suppressed...) {
		message := f.Message
		if f.When != "" {
			message += " (when " + f.When + ")"
		}
		result := sarifResult{
			RuleID: f.ID, RuleIndex: index[f.ID], Level: sarifLevel(f.Severity),
			Message:      sarifText{Text: fmt.Sprintf("%s Why: %s. Fix: %s.", sentence(message), f.Why, f.Fix)},
			Locations:    []sarifLocation{sarifPlace(f.File, f.Position.Line, f.Position.Column, f.Where, f.Path)},
			Fingerprints: map[string]string{"crossaccount/v1": fingerprint(f)},
		}
		if f.Reason != "" {
			kind := "external"
			if f.inSource {
				kind = "inSource"
			}
			result.Suppressions = []sarifSuppression{{kind, f.Reason}}
		}
		run.Results = append(run.Results, result)
	}
	invocation := sarifInvocation{Successful: len(r.Errors) == 0}
	for _, u := range r.Unread {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{
			Level: "note", Message: sarifText{Text: "not read: " + u.Reason},
			Locations: []sarifLocation{sarifPlace(u.File, u.Position.Line, u.Position.Column, u.Where, "")},
		})
	}
	for _, e := range r.Errors {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{
			Level: "error", Message: sarifText{Text: "could not be read: " + e.Reason},
			Locations: []sarifLocation{sarifPlace(e.File, 0, 0, "", "")},
		})
	}
	run.Invocations = []sarifInvocation{invocation}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// sentence makes a sentence of a clause.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func sarifPlace(file string, line, column int, where, element string) sarifLocation {
	l := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{URI: fileURI(file)}}}
	if line > 0 {
		l.Physical.Region = &sarifRegion{line, max(1, column)}
	}
	if where != "" && element != "" {
		where += " "
	}
	if name := where + element; name != "" {
		l.Logical = []sarifLogical{{name}}
	}
	return l
}

// fileURI returns the relative reference of a file, or the URI of one with an
// absolute path.
func fileURI(file string) string {
	u := url.URL{Path: file}
	if path.IsAbs(file) {
		u.Scheme = "file"
	} else if first, _, _ := strings.Cut(file, "/"); strings.Contains(first, ":") {
		u.Path = "./" + file
	}
	return u.String()
}

// fingerprint names a finding by what it is about, so that it stays the same
// when lines move.
func fingerprint(f lintFinding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.ID, f.File, f.Where, f.Path, f.Message}, "\x00")))
	return hex.EncodeToString(sum[:16])
}
