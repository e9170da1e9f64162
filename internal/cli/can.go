package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func newCan(streams Streams) *cobra.Command {
	q := &question{streams: streams}
	c := &cobra.Command{
		Use:   "can PRINCIPAL ACTION RESOURCE",
		Short: "May this principal do this, and why",
		Long: `Say whether a principal may do something to a resource, why, and what the
smallest change would be on each side.

PRINCIPAL is the ARN of a role, user, session or root user, a service such as
states.amazonaws.com, or "anonymous". RESOURCE is an ARN, or * for actions that
have no resource.
` + contextHelp + `

The exit code is 0 if it is allowed, 1 if it is denied, 3 if it depends, and 2
for bad input.`,
		Example: `  crossaccount can arn:aws:iam::111122223333:role/reader s3:GetObject arn:aws:s3:::data/a.txt
  crossaccount can arn:aws:iam::111122223333:role/broker sts:AssumeRole \
      arn:aws:iam::444455556666:role/vendor --context sts:ExternalId=Example-7f3a
  crossaccount can anonymous s3:GetObject arn:aws:s3:::data/a.txt --closed --json`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: q.complete(argPrincipal, argAction, argResource),
	}
	q.flags(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := q.checkAction(args[1]); err != nil {
			return err
		}
		asked, err := q.ask(args[0], args[1], args[2])
		if err != nil {
			return err
		}
		w, err := q.open()
		if err != nil {
			return err
		}
		return q.can(w, asked)
	}
	return c
}

func (q *question) can(w *openWorld, asked world.Question) error {
	answers, err := w.answers(asked)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	verdict := weakest(answers)
	if q.asJSON {
		out := jsonAnswerOf(answers[0], w.places)
		if len(answers) > 1 {
			key := jsonAnswerOf(answers[1], w.places)
			out.Key = &key
		}
		out.Verdict = verdict
		if err := printJSON(q.streams.Out, out); err != nil {
			return &exitError{ExitInternal, err}
		}
		return outcomeOfVerdict(verdict)
	}
	b := &strings.Builder{}
	for i, a := range answers {
		if i > 0 {
			fmt.Fprintf(b, "\nThe resource is encrypted with a KMS key, so the principal also needs the key.\n\n")
		}
		writeAnswer(b, a, w.places)
	}
	if len(answers) > 1 {
		fmt.Fprintf(b, "\nTogether: %s\n", strings.ToUpper(shortVerdict(verdict)))
	}
	if _, err := io.WriteString(q.streams.Out, b.String()); err != nil {
		return &exitError{ExitInternal, err}
	}
	return outcomeOfVerdict(verdict)
}

// answers answers a question, and the one about the KMS key that it implies.
func (w *openWorld) answers(asked world.Question) ([]*world.Answer, error) {
	first, err := w.Can(asked)
	if err != nil {
		return nil, err
	}
	answers := []*world.Answer{first}
	if about, ok := first.KeyQuestion(); ok {
		key, err := w.Can(about)
		if err != nil {
			return nil, fmt.Errorf("the resource's KMS key: %w", err)
		}
		answers = append(answers, key)
	}
	return answers, nil
}

// weakest returns the verdict of all answers together.
func weakest(answers []*world.Answer) eval.Verdict {
	verdict := eval.Allowed
	for _, a := range answers {
		switch v := a.Verdict(); {
		case v == eval.ExplicitlyDenied || v == eval.ImplicitlyDenied:
			if verdict == eval.Allowed || verdict == eval.Depends || v == eval.ExplicitlyDenied {
				verdict = v
			}
		case v == eval.Depends && verdict == eval.Allowed:
			verdict = v
		}
	}
	return verdict
}

func shortVerdict(v eval.Verdict) string {
	switch v {
	case eval.Allowed:
		return "allowed"
	case eval.Depends:
		return "depends"
	}
	return "denied"
}

// A jsonAnswer is an answer as --json prints it.
type jsonAnswer struct {
	Verdict      eval.Verdict        `json:"verdict"`
	Principal    string              `json:"principal"`
	Action       string              `json:"action"`
	Resource     string              `json:"resource"`
	DecidedBy    string              `json:"decidedBy"`
	Side         eval.Side           `json:"side"`
	Statements   []jsonStatement     `json:"statements"`
	Requirements []world.Requirement `json:"requirements,omitempty"`
	Unknown      []string            `json:"unknown,omitempty"`
	Changes      []eval.Change       `json:"changes,omitempty"`
	Assumptions  []string            `json:"assumptions,omitempty"`
	Notes        []string            `json:"notes,omitempty"`
	Explanation  *eval.Explanation   `json:"explanation"`
	Key          *jsonAnswer         `json:"key,omitempty"` // may the principal use the resource's KMS key
}

// A jsonStatement is a statement that decided.
type jsonStatement struct {
	Layer  eval.Layer `json:"layer"`
	Policy string     `json:"policy"`
	Index  int        `json:"index"`
	Sid    string     `json:"sid,omitempty"`
	Effect iam.Effect `json:"effect"`
	Place  string     `json:"place,omitempty"` // file and line
}

func jsonAnswerOf(a *world.Answer, p *places) jsonAnswer {
	x := a.Explain()
	out := jsonAnswer{
		Verdict: a.Verdict(), Principal: a.Question.Principal, Action: a.Question.Action, Resource: a.Question.Resource,
		DecidedBy: a.Decision.Layer.String(), Side: a.Decision.Side, Statements: []jsonStatement{},
		Requirements: a.Requirements(), Unknown: a.Unknown(), Changes: x.Changes, Assumptions: a.Assumptions, Notes: x.Notes, Explanation: x,
	}
	for _, ref := range a.Decision.Statements() {
		out.Statements = append(out.Statements, jsonStatement{
			Layer: ref.Layer, Policy: ref.Policy.Name(), Index: int(ref.Index), Sid: ref.Sid(), Effect: ref.Statement().Effect,
			Place: p.of(ref, ownersOf(a)...),
		})
	}
	return out
}

// ownersOf lists what a policy that decided may belong to.
func ownersOf(a *world.Answer) []string {
	return []string{a.Principal.ARN, a.Principal.RoleARN, a.Question.Resource}
}

// writeAnswer tells a person: the verdict, why, and what to change.
func writeAnswer(w io.Writer, a *world.Answer, p *places) {
	x := a.Explain()
	verb := map[string]string{"allowed": "may", "denied": "may not", "depends": "may or may not"}[shortVerdict(a.Verdict())]
	fmt.Fprintf(w, "%s: %s %s %s on %s\n", strings.ToUpper(shortVerdict(a.Verdict())), a.Question.Principal, verb, a.Question.Action, a.Question.Resource)

	fmt.Fprintf(w, "\nWhy\n")
	switch a.Verdict() {
	case eval.Allowed:
		writeStatements(w, a, p)
		if len(a.Decision.Statements()) == 0 {
			fmt.Fprintf(w, "  no policy has to allow it\n")
		}
	case eval.ExplicitlyDenied:
		fmt.Fprintf(w, "  a Deny statement matches, and a Deny always wins:\n")
		writeStatements(w, a, p)
		for _, m := range metBy(x) {
			fmt.Fprintf(w, "      %s\n", m)
		}
	case eval.ImplicitlyDenied:
		writeMissing(w, a, x, p)
	case eval.Depends:
		fmt.Fprintf(w, "  it hangs on what this world and the question do not say:\n")
		for _, r := range a.Requirements() {
			fmt.Fprintf(w, "  - %s's side: %s\n", r.Side, r)
		}
		if unknown := a.Unknown(); len(unknown) > 0 {
			fmt.Fprintf(w, "  give --context %s=… (or --absent) to decide it\n", strings.Join(unknown, "=… --context "))
		}
	}
	for _, note := range x.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	for _, assumption := range a.Assumptions {
		fmt.Fprintf(w, "  assumed: %s\n", assumption)
	}
	writeChanges(w, a, x)
}

// writeStatements lists the statements that decided.
func writeStatements(w io.Writer, a *world.Answer, p *places) {
	for _, ref := range a.Decision.Statements() {
		where := p.of(ref, ownersOf(a)...)
		if where != "" {
			where = " at " + where
		}
		fmt.Fprintf(w, "  - %s's side, %s: %s by %s%s\n", sideOfLayer(ref.Layer), layerInText(ref), strings.ToLower(string(ref.Statement().Effect)), statementInText(ref), where)
	}
}

// metBy returns what narrows the Deny statement that decided, and was met.
func metBy(x *eval.Explanation) []eval.Mismatch {
	for _, l := range x.Layers {
		for _, s := range l.Statements {
			if slices.Contains(x.Deciding, s.Statement) {
				return s.Met
			}
		}
	}
	return nil
}

// statementInText names a statement as people do.
func statementInText(ref eval.StatementRef) string {
	name := fmt.Sprintf("statement %d", ref.Index)
	if sid := ref.Sid(); sid != "" {
		name = fmt.Sprintf("statement %s", sid)
	}
	return name + " of " + ref.Policy.Name()
}

func layerInText(ref eval.StatementRef) string {
	if ref.Layer == eval.LayerResource && ref.Policy.Kind() == iam.KindTrust {
		return iam.KindTrust.String()
	}
	if ref.Layer == eval.LayerServiceControl || ref.Layer == eval.LayerResourceControl {
		return fmt.Sprintf("%s, level %d", ref.Layer, ref.Level)
	}
	return ref.Layer.String()
}

// writeMissing says which layers had to allow and did not, and which statements
// came closest.
func writeMissing(w io.Writer, a *world.Answer, x *eval.Explanation, p *places) {
	fmt.Fprintf(w, "  nothing denies it, but what has to allow it does not:\n")
	blocking := map[eval.Layer]bool{a.Decision.Layer: true}
	for _, c := range x.Changes {
		blocking[c.Layer] = true
	}
	for _, layer := range x.Layers {
		if !blocking[layer.Layer] || layer.Says != eval.NotMatched {
			continue
		}
		name := layer.Layer.String()
		if layer.Layer == eval.LayerServiceControl || layer.Layer == eval.LayerResourceControl {
			name += fmt.Sprintf(", level %d", layer.Level)
		}
		fmt.Fprintf(w, "  - %s's side: the %s does not allow it\n", layer.Side, name)
		if len(layer.Statements) == 0 {
			fmt.Fprintf(w, "      there is no such policy\n")
		}
		for _, s := range nearestStatements(layer.Statements) {
			where := p.of(s.Statement, ownersOf(a)...)
			if where != "" {
				where = " at " + where
			}
			fmt.Fprintf(w, "      %s%s does not match\n        %s\n", statementInText(s.Statement), where, s.Mismatches[0])
		}
	}
}

// nearestStatements returns the Allow statements with the fewest mismatches, at
// most three.
func nearestStatements(all []eval.StatementExplanation) []eval.StatementExplanation {
	fewest := 0
	for _, s := range all {
		if n := len(s.Mismatches); s.Effect == iam.Allow && n > 0 && (fewest == 0 || n < fewest) {
			fewest = n
		}
	}
	var nearest []eval.StatementExplanation
	for _, s := range all {
		if s.Effect == iam.Allow && len(s.Mismatches) == fewest && fewest > 0 && len(nearest) < 3 {
			nearest = append(nearest, s)
		}
	}
	return nearest
}

// openLayers names the layers that cannot be decided.
func openLayers(x *eval.Explanation) []string {
	var open []string
	for _, layer := range x.Layers {
		if layer.Says == eval.Undetermined {
			open = append(open, layer.Layer.String())
		}
	}
	return open
}

// writeChanges says what to change, a side at a time.
func writeChanges(w io.Writer, a *world.Answer, x *eval.Explanation) {
	switch a.Verdict() {
	case eval.ExplicitlyDenied:
		fmt.Fprintf(w, "\nTo allow it\n  change or remove that Deny statement; nothing that is added elsewhere helps\n")
		if len(metBy(x)) > 0 {
			fmt.Fprintf(w, "  or make a request to which one of its conditions does not apply\n")
		}
		return
	case eval.ImplicitlyDenied:
	default:
		return
	}
	if len(x.Changes) == 0 {
		fmt.Fprintf(w, "\nTo allow it\n")
		if open := openLayers(x); len(open) > 0 {
			fmt.Fprintf(w, "  what is listed above has to allow it; then it still hangs on the %s, which is not fully known here\n", strings.Join(open, " and the "))
		} else {
			fmt.Fprintf(w, "  no addition to one of these policies helps\n")
		}
		return
	}
	fmt.Fprintf(w, "\nTo allow it%s\n", map[bool]string{true: ", all of this is needed"}[len(x.Changes) > 1])
	for _, c := range x.Changes {
		account := x.PrincipalAccount
		if c.Side == eval.SideResource {
			account = x.ResourceAccount
		}
		if text, inAccount := strings.CutPrefix(c.String(), fmt.Sprintf("in the %s's account, ", c.Side)); inAccount || c.Layer != eval.LayerServiceControl && c.Layer != eval.LayerEndpoint {
			fmt.Fprintf(w, "  - account %s: %s\n", account, text)
		} else {
			fmt.Fprintf(w, "  - %s\n", text) // not something the account can change
		}
		if c.Nearest != nil {
			continue
		}
		policy := iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{c.Add}}
		for _, line := range strings.Split(strings.TrimSpace(string(policy.Indent())), "\n") {
			fmt.Fprintf(w, "      %s\n", line)
		}
	}
}
