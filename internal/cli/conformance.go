package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
	"github.com/crossaccount/crossaccount/internal/conformance"
	"github.com/crossaccount/crossaccount/internal/server"
)

func newConformance(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "conformance",
		Short: "Compare the engine with real AWS accounts",
		Long: `Let two AWS accounts of yours answer what the engine answers, keep the answers,
and compare.

"record" makes roles, policies and buckets in the accounts, asks, and removes
them again. "check" needs no account: it compares the engine with recorded
answers. "cleanup" removes what a killed run left behind.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConformanceRecord(streams), newConformanceCheck(streams), newConformanceCleanup(streams))
	return c
}

// An accountFlag is how the operator names an account: by a profile, or by
// environment variables with static credentials.
type accountFlag struct {
	side, profile, env string
}

func (a *accountFlag) register(c *cobra.Command, side, what string) {
	a.side = side
	c.Flags().StringVar(&a.profile, side+"-profile", "", "`profile` of the AWS configuration for "+what)
	c.Flags().StringVar(&a.env, side+"-env", "", "`prefix` of the variables with static credentials for "+what+": PREFIX_ACCESS_KEY_ID, PREFIX_SECRET_ACCESS_KEY and, for a session, PREFIX_SESSION_TOKEN")
	c.MarkFlagsMutuallyExclusive(side+"-profile", side+"-env")
}

func (a *accountFlag) given() bool { return a.profile != "" || a.env != "" }

// operator finds out who the credentials are. Credentials that were not named
// are never used.
func (a *accountFlag) operator(ctx context.Context, region string) (*conformance.Operator, error) {
	var options []func(*config.LoadOptions) error
	if a.profile != "" {
		options = append(options, config.WithSharedConfigProfile(a.profile))
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if a.env != "" {
		id, secret := os.Getenv(a.env+"_ACCESS_KEY_ID"), os.Getenv(a.env+"_SECRET_ACCESS_KEY")
		if id == "" || secret == "" {
			return nil, &exitError{ExitUsage, fmt.Errorf("--%s-env: %s_ACCESS_KEY_ID and %s_SECRET_ACCESS_KEY must be set", a.side, a.env, a.env)}
		}
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, os.Getenv(a.env+"_SESSION_TOKEN"))))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, &exitError{ExitUsage, fmt.Errorf("the %s's account: %w", a.side, err)}
	}
	if loaded.Region == "" {
		loaded.Region = "us-east-1"
	}
	identity, err := sts.NewFromConfig(loaded).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, &exitError{ExitUndetermined, fmt.Errorf("the %s's account: who the credentials are could not be found out: %w", a.side, err)}
	}
	o := &conformance.Operator{
		Config: loaded, Account: iam.AccountID(aws.ToString(identity.Account)), ARN: aws.ToString(identity.Arn), UserID: aws.ToString(identity.UserId),
	}
	if !strings.HasPrefix(o.ARN, "arn:aws:") {
		return nil, &exitError{ExitUsage, fmt.Errorf("the %s's account: %s is in another partition; the recorder works in the partition aws only", a.side, o.ARN)}
	}
	if strings.HasSuffix(o.ARN, ":root") {
		return nil, &exitError{ExitUsage, fmt.Errorf("the %s's account: these are credentials of the root user, who cannot assume roles; use a role or a user", a.side)}
	}
	return o, nil
}

// secure reports whether AWS is reached over TLS.
func secure(c aws.Config) bool { return !strings.HasPrefix(aws.ToString(c.BaseEndpoint), "http://") }

type conformanceRecord struct {
	streams             Streams
	principal, resource accountFlag
	region, out         string
	dryRun, asJSON      bool
	settle, patience    time.Duration
	batch               int
}

func newConformanceRecord(streams Streams) *cobra.Command {
	r := &conformanceRecord{streams: streams}
	c := &cobra.Command{
		Use:   "record [CASES.json…] --principal-profile NAME --resource-profile NAME",
		Short: "Let two real AWS accounts answer cases, and keep the answers",
		Long: `Make cases real in two AWS accounts, ask AWS, and keep the answers as fixtures.

The first account is where principals live: roles with the case's identity
policies, permissions boundary and session policy. The second owns resources
across accounts: buckets with their policies and objects, and roles with their
trust policies. Cases have the format of "crossaccount simulate". Without any,
those that come with crossaccount are recorded, among them the questions that
AWS's documentation leaves open.

Only roles, managed policies (for boundaries) and buckets are made. Their names
begin with "crossaccount-conformance-", roles and policies have the path
"/crossaccount-conformance/", and all have the tag crossaccount:conformance.
Nothing else is touched, and everything is removed at the end, also after an
interruption. The roles can be assumed only by you, while they exist; some may
do everything in the first account. No bucket is made public.

What cannot be made real (users, services, organisations, endpoints, the time)
is listed as not recorded, with the reason. Account ids are replaced in the
fixtures.

Denials are believed after --settle, and answers that contradict the engine only
after --patience, because a change of IAM takes a while to have effect.

The credentials need what is made and removed: iam:CreateRole, GetRole,
TagRole, DeleteRole, PutRolePolicy, ListRolePolicies, DeleteRolePolicy,
CreatePolicy, TagPolicy, ListPolicyTags, DeletePolicy, ListRoles, ListPolicies
and sts:AssumeRole on that path; s3:* on buckets of that name. Root users cannot
assume roles and are refused.`,
		Example: `  crossaccount conformance record --principal-profile dev --resource-profile data --dry-run
  crossaccount conformance record --principal-profile dev --resource-profile data --out fixtures.json
  crossaccount conformance check fixtures.json`,
		Args: cobra.ArbitraryArgs,
	}
	r.principal.register(c, "principal", "the principals' account")
	r.resource.register(c, "resource", "the account of resources across accounts")
	c.Flags().StringVar(&r.region, "region", "", "region to work in (default: the profile's, else us-east-1)")
	c.Flags().StringVar(&r.out, "out", "", "`file` for the fixtures (default: standard output)")
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "list what would be made, and make nothing")
	c.Flags().BoolVar(&r.asJSON, "json", false, "with --dry-run, list as JSON (fixtures always are)")
	c.Flags().DurationVar(&r.settle, "settle", 20*time.Second, "how long to wait for IAM before the first question")
	c.Flags().DurationVar(&r.patience, "patience", 3*time.Minute, "how long to wait for an answer to become stable")
	c.Flags().IntVar(&r.batch, "batch", 20, "how many cases exist in the accounts at a time")
	c.RunE = func(c *cobra.Command, files []string) error { return r.run(c.Context(), files) }
	return c
}

func (r *conformanceRecord) run(ctx context.Context, files []string) error {
	if !r.principal.given() {
		return errors.New("name the account to work in: --principal-profile NAME or --principal-env PREFIX; credentials that are not named are not used")
	}
	if r.settle < 0 || r.patience < 0 || r.batch < 1 {
		return errors.New("--settle and --patience must not be negative, and --batch must be at least 1")
	}
	list := conformance.Builtin()
	if len(files) > 0 {
		list = nil
		for _, name := range files {
			read, err := r.read(name)
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			list = append(list, read...)
		}
	}
	principal, err := r.principal.operator(ctx, r.region)
	if err != nil {
		return err
	}
	sides := conformance.Sides{Principal: principal.Account, Region: principal.Config.Region, Secure: secure(principal.Config)}
	var resource *conformance.Operator
	if r.resource.given() {
		if resource, err = r.resource.operator(ctx, sides.Region); err != nil {
			return err
		}
		if resource.Account == principal.Account {
			return &exitError{ExitUsage, fmt.Errorf("both sides are account %s; name two accounts, or leave --resource-profile out to record what one account can answer", principal.Account)}
		}
		sides.Resource = resource.Account
	}
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return &exitError{ExitInternal, err}
	}
	plan, err := conformance.NewPlan(hex.EncodeToString(id), sides, list)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	if r.dryRun {
		return r.show(plan)
	}
	return r.record(ctx, plan, principal, resource)
}

// read reads a file of cases; all of them must be well-formed.
func (r *conformanceRecord) read(name string) ([]cases.Case, error) {
	in, shown := r.streams.In, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, shown = f, name
	}
	var list []cases.Case
	for reader := newCaseReader(in); ; {
		c, err := reader.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if wrong := (*caseError)(nil); errors.As(err, &wrong) {
			return nil, fmt.Errorf("%s:%d: %w", shown, wrong.Line, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shown, err)
		}
		list = append(list, *c.Case)
	}
}

func (r *conformanceRecord) show(plan *conformance.Plan) error {
	type planned struct {
		Name   string   `json:"name"`
		Makes  []string `json:"makes,omitempty"`
		Reason string   `json:"notRecordable,omitempty"`
	}
	out := []planned{}
	for _, i := range plan.Items {
		p := planned{Name: i.Name, Reason: i.Reason}
		if i.Reason == "" {
			p.Makes = i.Makes()
		}
		out = append(out, p)
	}
	if r.asJSON {
		return printJSON(r.streams.Out, out)
	}
	for _, p := range out {
		fmt.Fprintln(r.streams.Out, p.Name)
		for _, made := range p.Makes {
			fmt.Fprintln(r.streams.Out, "  make", made)
		}
		if p.Reason != "" {
			fmt.Fprintln(r.streams.Out, "  not recordable:", p.Reason)
		}
	}
	fmt.Fprintf(r.streams.Out, "%d of %d cases are recordable; nothing was made\n", len(plan.Recordable()), len(plan.Items))
	return nil
}

func (r *conformanceRecord) record(ctx context.Context, plan *conformance.Plan, principal, resource *conformance.Operator) error {
	// The file is made first: answers that cannot be kept are not worth asking for.
	out := r.streams.Out
	if r.out != "" {
		f, err := os.OpenFile(r.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return &exitError{ExitUsage, fmt.Errorf("%w; fixtures are not overwritten", err)}
		}
		defer f.Close()
		out = f
	}
	say := func(what string) { fmt.Fprintln(r.streams.Err, what) }
	say(fmt.Sprintf("run %s: %d of %d cases, as %s", plan.Run, len(plan.Recordable()), len(plan.Items), principal.ARN))
	if resource != nil {
		say("and as " + resource.ARN)
	}
	recorder := &conformance.Recorder{
		Principal: principal, Resource: resource, Settle: r.settle, Interval: 3 * time.Second, Patience: r.patience, Batch: r.batch,
		Now: time.Now, Sleep: sleep, Say: say,
	}
	if r.patience < recorder.Interval {
		recorder.Interval = r.patience
	}
	fixtures, failed := recorder.Record(ctx, plan)
	fixtures.Tool, fixtures.Endpoint = server.Version(), "AWS"
	if endpoint := aws.ToString(principal.Config.BaseEndpoint); endpoint != "" {
		fixtures.Endpoint = endpoint
	}
	if err := fixtures.Write(out); err != nil {
		return &exitError{ExitInternal, err}
	}
	for _, s := range fixtures.NotRecorded {
		say("not recorded: " + s.Name + ": " + s.Reason)
	}
	say(fmt.Sprintf("%d cases recorded, %d not", len(fixtures.Verdicts), len(fixtures.NotRecorded)))
	if failed != nil {
		return &exitError{ExitUndetermined, failed}
	}
	comparisons, err := fixtures.Check()
	if err != nil {
		return &exitError{ExitInternal, err}
	}
	return outcomeOfComparison(r.streams.Err, comparisons)
}

// sleep waits, and returns early if the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func outcomeOfComparison(w io.Writer, comparisons []conformance.Comparison) error {
	different := 0
	for _, c := range comparisons {
		if c.Equal {
			continue
		}
		different++
		fmt.Fprintf(w, "DIFFERENT  %s: AWS answered %s, the engine says %s\n", c.Name, c.Recorded, c.Engine)
		if c.Message != "" {
			fmt.Fprintf(w, "           %s\n", c.Message)
		}
	}
	if different > 0 {
		return &exitError{ExitNo, fmt.Errorf("%d of %d recorded answers differ from the engine's", different, len(comparisons))}
	}
	return nil
}

func newConformanceCheck(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FIXTURES.json…",
		Short: "Compare the engine with recorded answers",
		Long: `Compare what the engine answers with what AWS answered when the fixtures were
recorded. No account and no network are needed.

A recorded "Denied" is a refusal of which AWS did not say whether it was
explicit; either denial agrees with it.`,
		Example: `  crossaccount conformance check fixtures.json`,
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of {name, recorded, engine, equal, message}")
	c.RunE = func(_ *cobra.Command, files []string) error {
		all := []conformance.Comparison{}
		for _, name := range files {
			fixtures, err := readFixtures(name)
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			comparisons, err := fixtures.Check()
			if err != nil {
				return &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
			}
			all = append(all, comparisons...)
			if !asJSON {
				fmt.Fprintf(streams.Out, "%s: %d answers of %s, %s, recorded %s\n", name, len(comparisons), fixtures.Endpoint, fixtures.Region, fixtures.Recorded.Format(time.DateOnly))
			}
		}
		if asJSON {
			if err := printJSON(streams.Out, all); err != nil {
				return &exitError{ExitInternal, err}
			}
			return outcomeOfComparison(io.Discard, all)
		}
		if err := outcomeOfComparison(streams.Out, all); err != nil {
			return err
		}
		fmt.Fprintf(streams.Out, "the engine agrees with all %d\n", len(all))
		return nil
	}
	return c
}

func readFixtures(name string) (*conformance.Fixtures, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fixtures, err := conformance.ReadFixtures(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return fixtures, nil
}

func newConformanceCleanup(streams Streams) *cobra.Command {
	var principal, resource accountFlag
	var dryRun, asJSON bool
	var region string
	c := &cobra.Command{
		Use:   "cleanup --principal-profile NAME [--resource-profile NAME]",
		Short: "Remove what killed runs of record left behind",
		Long: `Remove roles, managed policies and buckets that "conformance record" made and
could not remove because it was killed. Only what has both the name and the tag
of the recorder is removed; of untagged buckets with its name, only empty ones.

Do not run it beside a run of "record".`,
		Example: `  crossaccount conformance cleanup --principal-profile dev --resource-profile data --dry-run`,
		Args:    cobra.NoArgs,
	}
	principal.register(c, "principal", "the first account")
	resource.register(c, "resource", "the second account")
	c.Flags().StringVar(&region, "region", "", "region of the buckets (default: the profile's, else us-east-1)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be removed")
	c.Flags().BoolVar(&asJSON, "json", false, "print a list of what was found as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !principal.given() && !resource.given() {
			return errors.New("name an account: --principal-profile NAME or --principal-env PREFIX")
		}
		found := []string{}
		for _, a := range []*accountFlag{&principal, &resource} {
			if !a.given() {
				continue
			}
			o, err := a.operator(c.Context(), region)
			if err != nil {
				return err
			}
			_, err = conformance.Cleanup(c.Context(), o, dryRun, func(what string) {
				found = append(found, what)
				if !asJSON {
					fmt.Fprintln(streams.Out, what)
				}
			})
			if err != nil {
				return &exitError{ExitNo, err}
			}
		}
		switch {
		case asJSON:
			return printJSON(streams.Out, found)
		case dryRun:
			fmt.Fprintf(streams.Out, "%d things would be removed\n", len(found))
		default:
			fmt.Fprintf(streams.Out, "%d things were removed\n", len(found))
		}
		return nil
	}
	return c
}
