package setup

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
)

// A milestone is one of the three things that a customer gets done.
type milestone struct {
	Number int
	Text   string // key of its name
	Class  string // "past", "current" or "next"
}

// progressOf returns the milestones, or nil for a state that is on no way.
func progressOf(state string) []milestone {
	current := 0
	switch state {
	case "", "pending", "expired":
		current = 1
	case "verifying", "rejected":
		current = 2
	case "active":
		current = 4 // all are past
	default:
		return nil
	}
	var line []milestone
	for i, text := range []string{"progress.launch", "progress.confirm", "progress.done"} {
		m := milestone{Number: i + 1, Text: text, Class: "next"}
		switch {
		case m.Number < current:
			m.Class = "past"
		case m.Number == current:
			m.Class = "current"
		}
		line = append(line, m)
	}
	return line
}

// lead returns the first words of a page, with the vendor's name if they have
// it.
func lead(heading, name string) template.HTML {
	key := heading + ".lead"
	if strings.Contains(english[key], "%s") {
		return rich(key, name)
	}
	return rich(key)
}

// ReportOpen reports whether what was checked is what the page is about.
func (v *View) ReportOpen() bool {
	return len(v.Report) > 0 && (v.State == "rejected" || v.State == "degraded")
}

// Folds reports whether there is anything that the page shows only when asked.
func (v *View) Folds() bool {
	return len(v.Report) > 0 && !v.ReportOpen() || len(v.Checks) > 0 || v.Done != nil ||
		v.Complete != nil && v.Complete.Folded || v.Launch != nil && v.Launch.Folded
}

// mustRefuse reports whether a step passes when AWS says no.
func mustRefuse(name string) bool {
	return name == "missing" || name == "wrong" || name == "case_flipped"
}

// Passed counts the steps that passed, as text for the page.
func (l *Live) Passed() string {
	n := 0
	for _, s := range l.Steps {
		if s.Result == "passed" {
			n++
		}
	}
	return fmt.Sprint(n)
}

// Count returns how many steps there are, as text for the page.
func (l *Live) Count() string { return fmt.Sprint(len(l.Steps)) }

// MoreText returns how many resources are not listed, as text for the page.
func (p Permission) MoreText() string { return fmt.Sprint(p.More) }

// Event returns what a script needs to bring the page up to date, as JSON.
func (l *Live) Event() []byte {
	type step struct {
		Name   string `json:"name"`
		Result string `json:"result"`
		Text   string `json:"text"`
	}
	event := struct {
		Steps   []step `json:"steps"`
		Waiting bool   `json:"waiting"`
	}{Waiting: l.Waiting}
	for _, s := range l.Steps {
		event.Steps = append(event.Steps, step{s.Name, s.Result, resultText(s.Result)})
	}
	data, err := json.Marshal(event)
	if err != nil {
		panic(err) // text and a bool
	}
	return data
}

// A namedLaunch is a launch with the vendor's name.
type namedLaunch struct {
	*Launch
	Name string
}

func named(l *Launch, name string) namedLaunch { return namedLaunch{l, name} }
