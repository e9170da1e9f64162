package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/smoke"
)

type probe struct {
	streams                           Streams
	consumers, stages, grants, values []string
	profile                           string
	profiles                          bool
	options                           smoke.Options
	asJSON                            bool

	mu     sync.Mutex
	loaded map[string]loadedConfig // :: profile → its configuration
}

func newProbe(streams Streams) *cobra.Command {
	p := &probe{streams: streams, loaded: map[string]loadedConfig{}}
	c := &cobra.Command{
		Use:   "probe [FILE]",
		Short: "Try deployed grants with the consumer's own credentials",
		Long: `Try every grant of an access manifest in every stage against AWS, with the
consumer's own credentials: what is declared must be allowed, and its neighbours
must be refused: another action, another part of the resource, another stage,
another resource, a role without its external ID, an API without a signature or
with another method. Only AccessDenied counts as refused; what cannot be told is
inconclusive and never a pass.

Calls have no lasting effect: reads, dry runs, and writes whose condition is
never true. One exception asks for what must be refused: POST to an API whose
grant is read-only. With --write messages, records and objects are sent too,
state machines that may be run are run, and a package is published that must be
refused. What answers contain is not shown.

Credentials are those of the environment or of --profile, and every grant is
tried that is for the role they belong to: run it where the consumer runs. With
--profiles each consumer's account has its own profile, as in the manifest. With
--assume the consumer's role is assumed first, if its trust policy allows that.

It takes the manifest, not plan.json: a plan has the policies, and what they
declare, with their neighbours, can only be told from the manifest.

Values that only AWS knows, such as the id of an API, are read from the
consumer's stacks, and with --profiles from the owner's, or given with --value.
Changes of IAM take a while to be known everywhere: an unexpected answer is asked
for again during --wait.

Exit code 0 if everything is as declared, 1 if not, 3 if something could not be
told, and 2 if nothing here is for these credentials.`,
		Example: `  crossaccount probe
  crossaccount probe --profiles --assume --stage alpha
  crossaccount probe --grant analytics-reads-orders --value orders-api.prod=a1b2c3 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.run(c.Context(), manifestArgument(args)) },
	}
	f := c.Flags()
	f.StringSliceVar(&p.consumers, "consumer", nil, "only grants of these consumers")
	f.StringSliceVar(&p.stages, "stage", nil, "only these stages of the apps")
	f.StringSliceVar(&p.grants, "grant", nil, "only these grants")
	f.StringVar(&p.profile, "profile", "", "`profile` of the AWS configuration")
	f.BoolVar(&p.profiles, "profiles", false, "use the profile of each account")
	f.BoolVar(&p.options.Assume, "assume", false, "assume the consumer's role first")
	f.StringArrayVar(&p.values, "value", nil, "an ARN or id that only AWS knows, as `RESOURCE[.STAGE]=VALUE`; of a stream consumer, GRANT[.STAGE]=ARN")
	f.StringVar(&p.options.Path, "path", "", "`path` that APIs are called at where a grant has a wildcard")
	f.BoolVar(&p.options.Write, "write", false, "also make calls that leave something behind, and run workflows")
	f.DurationVar(&p.options.Patience, "wait", 30*time.Second, "how long an unexpected answer may be due to changes on their way")
	f.BoolVar(&p.asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("profile", "profiles")
	return c
}

func (p *probe) run(ctx context.Context, file string) error {
	plan, err := compileManifest(p.streams, file, grant.CloudFormation)
	if err != nil {
		return err
	}
	if err := p.check(plan); err != nil {
		return &exitError{ExitUsage, err}
	}
	if !p.profiles { // all grants are tried with the same credentials
		if _, err := p.load(ctx, p.profile); err != nil {
			return &exitError{ExitUsage, err}
		}
	}
	o := &p.options
	o.Now = time.Now
	o.Config = func(ctx context.Context, at grant.Place) (aws.Config, error) {
		if p.profiles {
			return p.load(ctx, at.Profile)
		}
		return p.load(ctx, p.profile)
	}
	if p.profiles {
		o.Owner = func(ctx context.Context, at grant.Place) (aws.Config, error) { return p.load(ctx, at.Profile) }
	}
	results := smoke.Run(ctx, plan, func(t *grant.Trial) bool {
		return among(p.consumers, t.Given.Consumer) && among(p.stages, t.Stage) && among(p.grants, t.Grant)
	}, *o)
	if err := ctx.Err(); err != nil {
		return &exitError{ExitUndetermined, errors.New("it was interrupted before everything was tried")}
	}
	if p.asJSON {
		if err := printJSON(p.streams.Out, probeDocument(results)); err != nil {
			return &exitError{ExitInternal, err}
		}
	} else {
		printProbe(p.streams.Out, results)
	}
	return probeExit(results)
}

// probeExit is the exit code of results. Grants of others do not count, unless
// there is nothing else.
func probeExit(results []smoke.Result) error {
	verdicts := map[smoke.Outcome]int{}
	for i := range results {
		verdicts[results[i].Verdict()]++
	}
	switch {
	case verdicts[smoke.Refused] > 0:
		return &exitError{code: ExitNo}
	case verdicts[smoke.Inconclusive] > 0:
		return &exitError{code: ExitUndetermined}
	case verdicts[smoke.Allowed] == 0:
		return &exitError{ExitUsage, errors.New("no grant could be tried with these credentials; the reasons are above")}
	}
	return nil
}

// check refuses names that are not in the manifest, and values without a name.
func (p *probe) check(plan *grant.Plan) error {
	names := map[string][]string{}
	for _, g := range plan.Grants {
		names["consumer"], names["stage"], names["grant"] = append(names["consumer"], g.Consumer), append(names["stage"], g.Stage), append(names["grant"], g.Grant)
		names["resource"] = append(names["resource"], g.Resource, g.Resource+"."+g.Stage, g.Grant, g.Grant+"."+g.Stage)
	}
	for _, f := range []struct {
		flag  string
		given []string
	}{{"consumer", p.consumers}, {"stage", p.stages}, {"grant", p.grants}} {
		for _, name := range f.given {
			if !slices.Contains(names[f.flag], name) {
				known := slices.Compact(slices.Sorted(slices.Values(names[f.flag])))
				return fmt.Errorf("--%s %s: no grant of the manifest has it; there are %s", f.flag, name, strings.Join(known, ", "))
			}
		}
	}
	p.options.Values = map[string]string{}
	for _, v := range p.values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || value == "" {
			return fmt.Errorf("--value %s: must be RESOURCE=VALUE or RESOURCE.STAGE=VALUE", v)
		}
		if !slices.Contains(names["resource"], name) {
			return fmt.Errorf("--value %s: no grant is on a resource %q in the manifest", v, name)
		}
		p.options.Values[name] = value
	}
	if p.options.Patience < 0 {
		return fmt.Errorf("--wait %s: must not be negative", p.options.Patience)
	}
	return nil
}

func among(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }

// A jsonProbe is what --json prints of a grant in one stage.
type jsonProbe struct {
	*smoke.Result
	Verdict  smoke.Outcome   `json:"verdict"`
	Refusals []probeRefusal  `json:"refusals,omitempty"`
	Counts   map[string]int  `json:"counts"`
	Wrong    []smoke.Attempt `json:"wrong,omitempty"`
}

// A probeRefusal explains a refusal of what was declared.
type probeRefusal struct {
	Action   string   `json:"action"`
	Resource string   `json:"resource"`
	Proves   []string `json:"proves,omitempty"`
	Advice   []string `json:"advice,omitempty"`
}

func probeDocument(results []smoke.Result) []jsonProbe {
	all := []jsonProbe{}
	for i := range results {
		r := &results[i]
		j := jsonProbe{Result: r, Verdict: r.Verdict(), Counts: map[string]int{
			"allowed_as_declared": r.Count(smoke.Allowed, smoke.Allowed), "refused_as_expected": r.Count(smoke.Refused, smoke.Refused),
		}}
		for _, a := range r.Attempts {
			if a.Wrong() {
				j.Wrong = append(j.Wrong, a)
			}
			if a.Wrong() && a.Denial != nil {
				j.Refusals = append(j.Refusals, probeRefusal{a.Action, a.Resource, proves(a.Denial), advice(a.Denial)})
			}
		}
		all = append(all, j)
	}
	return all
}

// verdictWords are how verdicts are said.
var verdictWords = map[smoke.Outcome]string{
	smoke.Allowed: "OK", smoke.Refused: "WRONG", smoke.Inconclusive: "INCONCLUSIVE", smoke.NotTried: "NOT TRIED",
}

func printProbe(w io.Writer, results []smoke.Result) {
	counts := map[smoke.Outcome]int{}
	for i := range results {
		r := &results[i]
		verdict := r.Verdict()
		counts[verdict]++
		fmt.Fprintf(w, "%s: %s in %s, by %s\n", verdictWords[verdict], r.Grant, r.Stage, r.Principal)
		if r.Skipped != "" {
			fmt.Fprintf(w, "  %s\n", r.Skipped)
			continue
		}
		fmt.Fprintf(w, "  %d allowed as declared, %d refused as expected\n", r.Count(smoke.Allowed, smoke.Allowed), r.Count(smoke.Refused, smoke.Refused))
		if r.Count(smoke.Allowed, smoke.Allowed) == 0 && verdict == smoke.Inconclusive {
			fmt.Fprintln(w, "  nothing that the grant declares was seen to be allowed")
		}
		for k := range r.Attempts {
			printAttempt(w, &r.Attempts[k])
		}
		if r.Count(smoke.Allowed, smoke.Refused) > 0 {
			fmt.Fprintf(w, "  what is declared comes from these stacks, if they are deployed as they are compiled: %s\n", strings.Join(r.Stacks, ", "))
		}
	}
	fmt.Fprintf(w, "%d as declared, %d wrong, %d inconclusive, %d not tried\n", counts[smoke.Allowed], counts[smoke.Refused], counts[smoke.Inconclusive], counts[smoke.NotTried])
}

func printAttempt(w io.Writer, a *smoke.Attempt) {
	what := fmt.Sprintf("%s on %s", a.Action, a.Resource)
	if a.Case != "declared" {
		what += " (" + a.Case + ")"
	}
	switch {
	case a.Wrong() && a.Want == smoke.Allowed:
		fmt.Fprintf(w, "  wrong: %s is declared and was refused\n", what)
		for _, line := range append(proves(a.Denial), advice(a.Denial)...) {
			fmt.Fprintf(w, "    - %s\n", line)
		}
	case a.Wrong():
		fmt.Fprintf(w, "  wrong: %s is not declared and was allowed to %s\n", what, a.Principal)
		fmt.Fprintf(w, "    - look for another policy that allows it: one of the principal's own, or statements of the resource that the manifest does not keep; \"crossaccount check\" shows that the compiled ones do not\n")
	case a.Outcome == smoke.Inconclusive:
		fmt.Fprintf(w, "  inconclusive: %s: %s\n", what, a.Reason)
	case a.Outcome == smoke.NotTried:
		fmt.Fprintf(w, "  not tried: %s: %s\n", what, a.Reason)
	}
}
