package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func newWhy(streams Streams) *cobra.Command {
	w := &why{question: question{streams: streams}}
	c := &cobra.Command{
		Use:   "why [MESSAGE | FILE | -]",
		Short: "Why was this refused: paste an AccessDenied message or a CloudTrail event",
		Long: `Say why AWS refused a request: which statement or which missing one, on which
side, and what to change.

Paste the message of an AccessDenied error as the aws command, an SDK or a log
shows it; or give a CloudTrail event as JSON (one event, a log file, or what
"aws cloudtrail lookup-events" prints); or what "aws sts
decode-authorization-message" made of an encoded message. Without an argument it
is read from standard input.

With a world.json (see crossaccount world --help) the request is decided again,
and every statement is explained. Without one, what the message alone proves is
said, and what to collect to know the rest. Where the message does not say who,
what or which resource, --principal, --action and --resource do; S3, for
example, says only "Access Denied" to callers of other accounts.
` + contextHelp + `

The exit code is 0 if the refusal is explained, 3 if the world does not explain
it or too little is known, and 2 if there is no refusal in the input.`,
		Example: `  aws s3api get-object --bucket data --key a.txt a.txt 2>&1 | crossaccount why
  crossaccount why 'User: arn:aws:iam::111122223333:user/anna is not authorized to perform: iam:ListUsers on resource: * because no identity-based policy allows the iam:ListUsers action'
  crossaccount why event.json --world world.json
  crossaccount why denied.txt --principal arn:aws:iam::111122223333:role/reader --resource arn:aws:s3:::data/a.txt`,
		Args: cobra.ArbitraryArgs,
	}
	w.flags(c)
	c.Flags().StringVar(&w.principal, "principal", "", "`ARN` of who asked, if the message does not say")
	c.Flags().StringVar(&w.action, "action", "", "`action` that was asked for, if the message does not say")
	c.Flags().StringVar(&w.resource, "resource", "", "`ARN` of the resource, if the message does not say")
	c.Flags().StringVar(&w.event, "event-id", "", "`id` of the event, in a list of CloudTrail events of which several were refused")
	c.RunE = func(_ *cobra.Command, args []string) error { return w.run(args) }
	return c
}

// A why is the work of one why command.
type why struct {
	question
	principal, action, resource string
	event                       string // id, in a list of CloudTrail events
}

// maxDenialSize is far more than a log file of CloudTrail has, in bytes.
const maxDenialSize = 64 << 20

// read takes the text from the arguments, a file or standard input.
func (w *why) read(args []string) ([]byte, error) {
	switch len(args) {
	case 0:
		return readInput("-", w.streams, maxDenialSize)
	case 1:
		if args[0] == "-" {
			return readInput("-", w.streams, maxDenialSize)
		}
		if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
			return readInput(args[0], w.streams, maxDenialSize)
		}
		if !strings.ContainsAny(args[0], " {") {
			return nil, fmt.Errorf("%s: there is no such file, and it is no message", args[0])
		}
	}
	return []byte(strings.Join(args, " ")), nil // a message that nobody quoted
}

func (w *why) run(args []string) error {
	text, err := w.read(args)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	if text, err = selectEvent(text, w.event); err != nil {
		return &exitError{ExitUsage, err}
	}
	denial, err := parseDenial(text)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	if err := w.complement(denial); err != nil {
		return err
	}
	finding := &whyFinding{
		Principal: denial.Question.Principal, Action: denial.Question.Action, Resource: denial.Question.Resource,
		Missing: denial.Missing, Notes: denial.Notes, Proves: proves(denial), Advice: advice(denial), Collect: collect(denial),
		denial: denial,
	}
	if denial.Reason.Known {
		finding.Reason = &whyReason{
			Explicit: denial.Reason.Explicit, Layer: denial.Reason.Layer, Side: sideOfLayer(denial.Reason.Layer), Policy: denial.Reason.Policy,
		}
	}
	var in *openWorld
	if _, err := os.Stat(defaultWorld); w.world != "" || err == nil {
		if in, err = w.open(); err != nil {
			return err
		}
	}
	if in != nil && len(denial.Missing) == 0 {
		if finding.answers, err = in.answers(denial.Question); err != nil {
			return &exitError{ExitUsage, err}
		}
	}
	return w.tell(finding, in)
}

// complement fills in what the message does not say, and what else was given.
func (w *why) complement(d *world.Denial) error {
	for _, f := range []struct {
		name  string
		given string
		field *string
	}{
		{"principal", w.principal, &d.Question.Principal},
		{"action", w.action, &d.Question.Action},
		{"resource", w.resource, &d.Question.Resource},
	} {
		if f.given == "" {
			continue
		}
		*f.field = f.given
		d.Missing = slices.DeleteFunc(d.Missing, func(name string) bool { return name == f.name })
	}
	asked, err := w.ask(d.Question.Principal, d.Question.Action, d.Question.Resource)
	if err != nil {
		return err
	}
	for _, key := range asked.Context.Keys() {
		d.Question.Context.Delete(key)
		if values, multi, _ := asked.Context.Lookup(key); multi {
			d.Question.Context.SetMulti(key, values...)
		} else if len(values) == 1 {
			d.Question.Context.Set(key, values[0])
		} else {
			d.Question.Context.SetAbsent(key)
		}
	}
	d.Question.Closed = asked.Closed
	if asked.Session != nil {
		d.Question.Session = asked.Session
	}
	if asked.ResourceAccount != "" {
		d.Question.ResourceAccount = asked.ResourceAccount
	}
	return nil
}

// A whyFinding is what is known about a refusal.
type whyFinding struct {
	Principal string      `json:"principal,omitempty"`
	Action    string      `json:"action,omitempty"`
	Resource  string      `json:"resource,omitempty"`
	Missing   []string    `json:"missing,omitempty"` // of the three
	Reason    *whyReason  `json:"reason,omitempty"`  // AWS's own
	Notes     []string    `json:"notes,omitempty"`
	Proves    []string    `json:"proves"`
	Advice    []string    `json:"advice"`
	Collect   []string    `json:"collect,omitempty"` // commands
	Explained bool        `json:"explained"`         // the world gives the same answer
	World     *jsonAnswer `json:"world,omitempty"`

	denial  *world.Denial
	answers []*world.Answer
}

// A whyReason is the reason AWS gives.
type whyReason struct {
	Explicit bool       `json:"explicit"`
	Layer    eval.Layer `json:"layer"`
	Side     eval.Side  `json:"side"`
	Policy   string     `json:"policy,omitempty"`
}

func (w *why) tell(f *whyFinding, in *openWorld) error {
	verdict := eval.Depends
	if f.answers != nil {
		verdict = weakest(f.answers)
	}
	f.Explained = verdict == eval.ImplicitlyDenied || verdict == eval.ExplicitlyDenied
	if w.asJSON {
		if f.answers != nil {
			answer := jsonAnswerOf(f.answers[0], in.places)
			if len(f.answers) > 1 {
				key := jsonAnswerOf(f.answers[1], in.places)
				answer.Key = &key
			}
			f.World = &answer
		}
		if f.Explained {
			f.Collect = nil
		}
		if err := printJSON(w.streams.Out, f); err != nil {
			return &exitError{ExitInternal, err}
		}
	} else {
		b := &strings.Builder{}
		f.write(b, in, verdict)
		if _, err := io.WriteString(w.streams.Out, b.String()); err != nil {
			return &exitError{ExitInternal, err}
		}
	}
	switch {
	case f.Explained:
		return nil
	case f.answers == nil && len(f.Missing) == 0 && f.Reason != nil:
		return nil // no world was asked, and the message says why
	}
	return &exitError{code: ExitUndetermined}
}

func orUnknown(s, what string) string {
	if s == "" {
		return "(" + what + " not said)"
	}
	return s
}

func (f *whyFinding) write(b *strings.Builder, in *openWorld, verdict eval.Verdict) {
	fmt.Fprintf(b, "AWS refused %s to %s on %s\n", orUnknown(f.Action, "action"), orUnknown(f.Principal, "principal"), orUnknown(f.Resource, "resource"))
	writeList(b, "What the message proves", "- ", f.Proves)
	writeList(b, "Notes", "- ", f.Notes)
	if f.Explained {
		fmt.Fprintf(b, "\nThis world agrees:\n\n")
		for _, a := range f.answers {
			if v := a.Verdict(); v == eval.ImplicitlyDenied || v == eval.ExplicitlyDenied {
				writeAnswer(b, a, in.places)
			}
		}
		if difference := f.difference(); difference != "" {
			fmt.Fprintf(b, "\nnote: %s\n", difference)
		}
		return
	}
	switch {
	case f.answers == nil:
		writeList(b, "What to do", "- ", f.Advice)
	case verdict == eval.Allowed:
		fmt.Fprintf(b, "\nThis world does not explain it: by what it says, the request is allowed.\n")
		writeList(b, "So one of these is true", "- ", []string{
			"the world is older than the change that refused it (or allowed it since); collect it again",
			"something that is not in the world refuses it: a session policy, a VPC endpoint policy, an SCP or RCP, S3 Block Public Access, a KMS key" + f.hint(),
			"the request had other tags, addresses or session tags than assumed; give them with --context",
		})
	default:
		fmt.Fprintf(b, "\nThis world does not say enough to explain it:\n\n")
		for _, a := range f.answers {
			if a.Verdict() == eval.Depends {
				writeAnswer(b, a, in.places)
			}
		}
	}
	if len(f.Missing) > 0 {
		fmt.Fprintf(b, "\nThe message does not say the %s; add --%s.\n", strings.Join(f.Missing, " and the "), strings.Join(f.Missing, " … --"))
	}
	writeList(b, "To know the rest, collect", "", f.Collect)
}

// hint narrows down what may be missing from the world by AWS's own reason.
func (f *whyFinding) hint() string {
	if f.Reason == nil || f.Reason.Layer == eval.LayerNone {
		return ""
	}
	return fmt.Sprintf("; AWS says it is the %s", f.Reason.Layer)
}

// difference says when the world blames another layer than AWS did.
func (f *whyFinding) difference() string {
	d := f.answers[0].Decision
	if f.Reason == nil || f.Reason.Layer == eval.LayerNone || f.Reason.Layer == d.Layer || !f.answersDeny() {
		return ""
	}
	return fmt.Sprintf("AWS names the %s and this world the %s; AWS names one reason even if there are several, so mend both", f.Reason.Layer, d.Layer)
}

func (f *whyFinding) answersDeny() bool {
	v := f.answers[0].Verdict()
	return v == eval.ImplicitlyDenied || v == eval.ExplicitlyDenied
}

func writeList(b *strings.Builder, title, mark string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "  %s%s\n", mark, line)
	}
}
