package eval

import (
	"fmt"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// String returns the explanation as text of several lines, for somebody who has
// to get it working: the answer, what each layer said, and what to change.
func (x *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", x.headline())
	fmt.Fprintf(&b, "  principal  %s%s\n", x.Principal, inAccount(x.PrincipalAccount))
	fmt.Fprintf(&b, "  action     %s\n", x.Action)
	fmt.Fprintf(&b, "  resource   %s%s\n", x.Resource, inAccount(x.ResourceAccount))
	for _, note := range x.Notes {
		fmt.Fprintf(&b, "  note       %s\n", note)
	}
	if len(x.Layers) > 0 {
		b.WriteString("what each layer says:\n")
	}
	for i := range x.Layers {
		x.Layers[i].write(&b, x.layerName(x.Layers[i].Layer))
	}
	if len(x.Undetermined) > 0 {
		b.WriteString("it depends on:\n")
		for _, m := range x.Undetermined {
			fmt.Fprintf(&b, "  - %s: %s\n", m.Statement, m)
		}
	}
	if len(x.Changes) > 0 {
		b.WriteString("to allow it:\n")
		for _, c := range x.Changes {
			fmt.Fprintf(&b, "  - %s\n", c)
		}
	}
	return b.String()
}

func inAccount(id iam.AccountID) string {
	if id == "" {
		return ""
	}
	return " (account " + string(id) + ")"
}

func (x *Explanation) headline() string {
	d := &x.Decision
	switch d.Verdict {
	case Allowed:
		if d.Layer == LayerNone {
			return "ALLOWED: no policy has to grant this"
		}
		return "ALLOWED by the " + x.layerName(d.Layer)
	case ExplicitlyDenied:
		return fmt.Sprintf("DENIED by a Deny statement of the %s %s", x.layerName(d.Layer), placeOf(d.Layer, d.Side))
	case ImplicitlyDenied:
		if d.Side == SideBoth {
			return "DENIED: neither the principal's nor the resource's account allows it"
		}
		return fmt.Sprintf("DENIED: the %s %s does not allow it", x.layerName(d.Layer), placeOf(d.Layer, d.Side))
	}
	return fmt.Sprintf("DEPENDS: the %s is undetermined", x.layerName(d.Layer))
}

// placeOf says where somebody has to look for the policies of a layer. SCPs and
// RCPs are not in the account they limit.
func placeOf(l Layer, side Side) string {
	switch l {
	case LayerServiceControl, LayerResourceControl:
		return fmt.Sprintf("in the organisation of the %s's account", side)
	case LayerEndpoint:
		return "of the endpoint the request came through"
	}
	return fmt.Sprintf("in the %s's account", side)
}

func (l *LayerExplanation) write(b *strings.Builder, name string) {
	if l.Layer == LayerServiceControl || l.Layer == LayerResourceControl {
		name += fmt.Sprintf(", level %d", l.Level)
	}
	says := string(l.Says)
	if l.Says == NotMatched {
		says = "does not allow"
		if len(l.Statements) == 0 {
			says += " (there is no statement)"
		}
	}
	fmt.Fprintf(b, "  %s: %s\n", name, says)
	for _, s := range l.telling() {
		fmt.Fprintf(b, "    %s", s.Statement)
		if s.Line > 0 {
			fmt.Fprintf(b, ", line %d", s.Line)
		}
		fmt.Fprintf(b, ": %s %s", s.Effect, s.Outcome)
		if len(s.Mismatches) > 0 {
			fmt.Fprintf(b, ": %s", s.Mismatches[0])
		}
		for _, m := range s.Met {
			fmt.Fprintf(b, "; %s", m)
		}
		b.WriteByte('\n')
	}
}

// telling returns the statements worth showing: those that matched or are
// undetermined, and where nothing allowed also those that came closest.
func (l *LayerExplanation) telling() []StatementExplanation {
	const limit = 10
	var shown, rest []StatementExplanation
	for _, s := range l.Statements {
		switch {
		case s.Outcome != NotMatched:
			shown = append(shown, s)
		case s.Effect == iam.Allow && l.Says == NotMatched:
			rest = append(rest, s)
		}
	}
	sort.SliceStable(rest, func(i, j int) bool { return len(rest[i].Mismatches) < len(rest[j].Mismatches) })
	return append(shown, rest[:min(limit, len(rest))]...)
}
