package crossaccount

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/crossaccount/crossaccount/iam"
)

// IAM changes take effect within seconds to a few minutes. A role that AWS
// refuses is given propagationTime since it was first presented; one call waits
// for the client's patience only.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const (
	propagationTime = 5 * time.Minute
	defaultPatience = 20 * time.Second
	firstPause      = time.Second
	longestPause    = 5 * time.Second
)

// Credentials of probes live as short as STS allows, and are used for nothing
// but reading the role itself.
const probeDuration = int32(minSessionDuration / time.Second)

// A verification is one run of the probe protocol against one role. The order of
// its steps is the proof:
//
//  1. we can assume the role with the external ID, and are then that role; only
//     now we say whether another customer uses it, because names of roles can
//     be guessed and who our customers are is nobody's business;
//  2. the probe identity can assume a role without an external ID (control), so
//     nothing on the vendor's side makes the next three calls fail;
//  3. the probe identity is refused without an external ID, with a wrong one of
//     the same shape and with one in the other case;
//  4. the probe identity is accepted with the external ID, so it was the
//     external ID that made the difference.
//
// Only AccessDenied is a refusal. Everything else means that the step could not
// be carried out.
type verification struct {
	client     *Client
	report     *Report
	role       iam.RoleARN
	externalID string
	region     string // of the stack

	taken     bool          // another customer uses the role
	patient   bool          // a new role: refusals may be propagation
	patience  time.Duration // what is left of it in this call
	deadline  time.Time     // until when refusals may be propagation
	broker    *sts.Client
	probe     *sts.Client
	isControl bool // probe identity and canary role are both configured

	simulationRefused bool

	watcher *run // may be nil
}

// run carries out the protocol and fills in the report. The returned error is
// only about what is not the role's fault: the vendor's configuration and the
// end of the context.
func (v *verification) run(ctx context.Context) error {
	c := v.client
	v.watcher = watcherOf(ctx)
	v.watcher.begins(v.report.Steps)
	base, err := c.awsConfig(ctx)
	if err != nil {
		return err
	}
	v.broker, v.probe = c.stsClient(base), c.stsClient(base)
	if c.hasProbe() {
		v.probe = c.stsClient(c.probeConfig(base))
		v.isControl = c.canaryRole != ""
	}

	issued, ok := v.assume(ctx)
	if !ok {
		return v.finish(ctx)
	}
	if v.identity(ctx, issued) && v.owner(v.taken) && v.control(ctx) && v.refusals(ctx) && v.assumeAgain(ctx) {
		v.report.Controlled = v.isControl
		v.report.Result, v.report.Code = Passed, ""
		v.extras(ctx)
		v.inspect(ctx, issued)
	}
	return v.finish(ctx)
}

// notReached is the detail of a step that was not carried out.
const notReached = "an earlier step did not pass"

// finish turns the end of the caller's context into its error, and lists the
// steps that were not reached.
func (v *verification) finish(ctx context.Context) error {
	for _, step := range protocolSteps {
		if v.report.Step(step.name) == nil {
			v.add(Step{Name: step.name, Expectation: step.expectation, Result: Skipped, Detail: notReached})
		}
	}
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	return nil
}

// protocolSteps are the steps that every report has, in order.
var protocolSteps = []struct{ name, expectation string }{
	{StepRole, "the ARN names a role in a customer's account"},
	{StepAccount, "the role is in the account of this integration"},
	{StepAssume, "we can assume the role with the external ID"},
	{StepIdentity, "the credentials belong to this role in this account"},
	{StepOwner, "no other integration uses the role"},
	{StepControl, "our probe can assume a role that requires no external ID"},
	{StepMissing, "the role refuses a caller without an external ID"},
	{StepWrong, "the role refuses another external ID of the same shape"},
	{StepCaseFlipped, "the role refuses the external ID with upper and lower case swapped"},
	{StepAssumeAgain, "our probe can assume the role with the external ID"},
}

func (v *verification) add(step Step) {
	v.report.Steps = append(v.report.Steps, step)
	v.watcher.found(step)
}

// record adds the named step with its standard expectation.
func (v *verification) record(name string, result Result, detail, remedy string) {
	for _, step := range protocolSteps {
		if step.name == name {
			v.add(Step{Name: name, Expectation: step.expectation, Result: result, Detail: detail, Remedy: remedy})
		}
	}
}

// fail records a step that did not pass and makes it the report's result.
func (v *verification) fail(name string, result Result, code Code, message, remedy string) {
	v.record(name, result, message, remedy)
	r := v.report
	r.Result, r.Code, r.Message, r.Remedy = result, code, message, remedy
}

func (v *verification) inconclusive(name string, err error) {
	v.client.log.Warn("crossaccount: a verification step could not be carried out", "customer", v.report.CustomerID,
		"integration", v.report.IntegrationID, "role", v.report.RoleARN, "step", name, "cause", errorText(err))
	v.fail(name, Inconclusive, CodeInconclusive, "the check could not be carried out", "try again later; nothing has to be changed in AWS")
}

// assume is the positive call from the identity that will use the role.
func (v *verification) assume(ctx context.Context) (*types.Credentials, bool) {
	output, result, err := v.patiently(ctx, StepAssume, v.broker)
	switch {
	case result == accepted:
		v.record(StepAssume, Passed, "", "")
		return output.Credentials, true
	case result == refused && v.mayBePropagating():
		v.fail(StepAssume, Inconclusive, CodePropagating,
			"AWS does not let us use the role yet; a new role needs up to a few minutes",
			"try again in a moment; if it goes on, check that the stack was created completely, that this is its RoleArn output, and that its external ID was not edited")
	case result == refused:
		v.fail(StepAssume, Failed, CodeRoleRefused,
			"AWS does not let us assume the role",
			"check that a role with exactly this ARN exists, that its trust policy names our account, and that it requires exactly the external ID of this integration; creating the stack again with the launch link sets all three")
	default:
		v.inconclusive(StepAssume, err)
	}
	return nil, false
}

// identity checks whose credentials we got.
func (v *verification) identity(ctx context.Context, issued *types.Credentials) bool {
	config, err := v.client.roleConfig(ctx, issued)
	if err != nil {
		v.inconclusive(StepIdentity, err)
		return false
	}
	var output *sts.GetCallerIdentityOutput
	_, err = v.client.call(ctx, func(ctx context.Context) (err error) {
		output, err = v.client.stsClient(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		return err
	})
	if err != nil {
		v.inconclusive(StepIdentity, err)
		return false
	}
	want := v.role.SessionARN(v.session()).String()
	if aws.ToString(output.Account) != string(v.role.Account) || !strings.EqualFold(aws.ToString(output.Arn), want) {
		v.fail(StepIdentity, Failed, CodeWrongIdentity, "the credentials belong to another role than the ARN says", "copy the RoleArn output of the stack")
		return false
	}
	v.record(StepIdentity, Passed, "", "")
	return true
}

// owner checks that the role is this integration's to use. About other customers
// it speaks only after the role admitted us with this customer's external ID;
// everybody else hears what is said of a role that does not exist.
func (v *verification) owner(taken bool) bool {
	if taken {
		problem := RoleTaken()
		v.fail(StepOwner, Failed, problem.Code, problem.Message, problem.Remedy)
		return false
	}
	v.record(StepOwner, Passed, "", "")
	return true
}

// control shows that the probe identity can call AssumeRole without an external
// ID at all.
func (v *verification) control(ctx context.Context) bool {
	if !v.isControl {
		v.record(StepControl, Skipped, "no probe identity and canary role are configured, so refusals are not controlled", "")
		return true
	}
	_, result, err := v.client.assumeRole(ctx, v.probe, &sts.AssumeRoleInput{
		RoleArn:         aws.String(v.client.canaryRole),
		RoleSessionName: aws.String(v.session()),
		DurationSeconds: aws.Int32(probeDuration),
	})
	if result != accepted {
		v.client.log.Error("crossaccount: the probe identity cannot assume the canary role, so refusals prove nothing; check its policies and the canary's trust policy",
			"cause", errorText(err))
		v.fail(StepControl, Inconclusive, CodeInconclusive, "our own control call failed, so refusals prove nothing", "try again later; nothing has to be changed in AWS")
		if result == refused {
			// AWS answers, so a role that is open can still be found out. The
			// refusals of one that is not cannot make the verification pass.
			v.refusals(ctx)
		}
		return false
	}
	v.record(StepControl, Passed, "", "")
	return true
}

// trustRemedy says how a role is made to require the external ID.
const trustRemedy = "in the role's trust policy, require sts:ExternalId with StringEquals and exactly the external ID of this integration; updating the stack with our template does it"

// refusals are the three calls that must fail. It stops at the first that does
// not.
func (v *verification) refusals(ctx context.Context) bool {
	decoy, err := decoyOf(v.client.random, v.externalID)
	if err != nil {
		v.inconclusive(StepWrong, err)
		return false
	}
	flipped := aws.String(caseFlipped(v.externalID))
	if *flipped == v.externalID {
		flipped = nil
	}
	for _, probe := range []struct {
		step       string
		externalID *string
		skip       bool
		message    string
	}{
		{StepMissing, nil, false, "the role can be assumed without an external ID"},
		{StepWrong, aws.String(decoy), false, "the role accepts other external IDs than the one of this integration"},
		{StepCaseFlipped, flipped, flipped == nil, "the role ignores upper and lower case in the external ID"},
	} {
		if probe.skip {
			v.record(probe.step, Skipped, "the external ID has no letters", "")
			continue
		}
		v.progress(ctx, probe.step, 1, 0)
		// Credentials that come back are not even looked at.
		_, result, err := v.client.assumeRole(ctx, v.probe, v.input(probe.externalID))
		switch result {
		case refused:
			v.recordRefusal(probe.step)
		case accepted:
			v.fail(probe.step, Failed, CodeExternalIDNotRequired, probe.message, trustRemedy)
			return false
		default:
			v.inconclusive(probe.step, err)
			return false
		}
	}
	return true
}

// recordRefusal counts a refusal as passed only while the control allows it.
func (v *verification) recordRefusal(step string) {
	if control := v.report.Step(StepControl); control != nil && control.Result == Inconclusive {
		v.record(step, Inconclusive, "refused, but our control call failed", "")
		return
	}
	detail := "refused"
	if !v.isControl {
		detail = "refused (uncontrolled)"
	}
	v.record(step, Passed, detail, "")
}

// assumeAgain closes the sandwich: the probe identity differs from the refused
// calls in nothing but the external ID.
func (v *verification) assumeAgain(ctx context.Context) bool {
	_, result, err := v.patiently(ctx, StepAssumeAgain, v.probe)
	switch {
	case result == accepted:
		v.record(StepAssumeAgain, Passed, "", "")
		return true
	case result == refused && v.mayBePropagating():
		v.fail(StepAssumeAgain, Inconclusive, CodePropagating,
			"AWS does not let our probe use the role yet; a new role needs up to a few minutes", "try again in a moment")
	case result == refused:
		v.fail(StepAssumeAgain, Failed, CodeRoleRefused,
			"the role admits our service but not our probe, so it cannot be shown that it requires the external ID",
			"update the stack with our current template; its trust policy admits both")
	default:
		v.inconclusive(StepAssumeAgain, err)
	}
	return false
}

// extras find out whether the trust policy lets us send a source identity and
// session tags. They change nothing about the result.
func (v *verification) extras(ctx context.Context) {
	input := v.input(&v.externalID)
	input.SourceIdentity = aws.String(v.client.sourceIdentity())
	_, result, _ := v.client.assumeRole(ctx, v.broker, input)
	v.report.SourceIdentity = result == accepted
	v.addExtra(StepSourceIdent, "our sessions may carry a source identity for your CloudTrail", result)

	input = v.input(&v.externalID)
	input.Tags = []types.Tag{{Key: aws.String(integrationTag), Value: aws.String(v.report.IntegrationID)}}
	_, result, _ = v.client.assumeRole(ctx, v.broker, input)
	v.report.SessionTags = result == accepted
	v.addExtra(StepSessionTags, "our sessions may carry tags", result)
}

func (v *verification) addExtra(name, expectation string, result answer) {
	step := Step{Name: name, Expectation: expectation, Result: Passed}
	switch result {
	case accepted:
	case refused:
		step.Result, step.Detail = Skipped, "not allowed by the trust policy, so not sent; this is no fault"
	case unavailable:
		step.Result, step.Detail = Inconclusive, "could not be found out, so not sent; this is no fault"
	}
	v.add(step)
}

func (v *verification) input(externalID *string) *sts.AssumeRoleInput {
	return &sts.AssumeRoleInput{
		RoleArn:         aws.String(v.role.String()),
		RoleSessionName: aws.String(v.session()),
		ExternalId:      externalID,
		DurationSeconds: aws.Int32(probeDuration),
	}
}

// session is the name that ordinary use of the role has too: a trust policy that
// could tell probes from use could answer them differently.
func (v *verification) session() string {
	return sessionName(v.client.config.ServiceName, v.report.CustomerID)
}

// patiently assumes the role with the external ID, trying again while it may
// be propagating and patience is left.
func (v *verification) patiently(ctx context.Context, step string, client *sts.Client) (*sts.AssumeRoleOutput, answer, error) {
	pause := firstPause
	v.progress(ctx, step, 1, 0)
	for attempt := 2; ; attempt++ {
		output, result, err := v.client.assumeRole(ctx, client, v.input(&v.externalID))
		if result != refused || v.patience < pause || endsWithin(ctx, pause) {
			return output, result, err
		}
		v.progress(ctx, step, attempt, pause)
		if err := v.client.wait(ctx, pause); err != nil {
			return nil, unavailable, cancelled(err)
		}
		v.patience -= pause
		pause = min(2*pause, longestPause)
	}
}

// endsWithin reports whether waiting would only end with the context. The caller
// then gets what was found out so far.
func endsWithin(ctx context.Context, pause time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= pause
}

// mayBePropagating reports whether a refusal may still turn out to be IAM's
// delay.
func (v *verification) mayBePropagating() bool {
	return v.patient && v.client.now().Before(v.deadline)
}

func (v *verification) progress(ctx context.Context, step string, attempt int, wait time.Duration) {
	v.watcher.tries(step, wait)
	if v.client.observer != nil {
		v.client.observer(ctx, Progress{
			CustomerID: v.report.CustomerID, IntegrationID: v.report.IntegrationID, RoleARN: v.report.RoleARN,
			Step: step, Attempt: attempt, Waiting: wait,
		})
	}
}
