package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// A Recorder records. All fields are required but Resource.
type Recorder struct {
	Principal *Operator
	Resource  *Operator // nil: there is no second account

	// Settle is waited after everything of a batch is made, Interval between
	// two rounds of questions. An answer counts when it was given three times
	// in a row; one that contradicts the engine only when Patience has passed
	// since the batch was made, because until then it may be a matter of
	// propagation. Patience also bounds everything else that is waited for.
	Settle, Interval, Patience time.Duration

	// Batch is how many cases are made real at a time.
	Batch int

	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error // returns early if the context ends
	Say   func(string)
}

// removalTime bounds the removal of a batch, also after an interruption.
const removalTime = 3 * time.Minute

// enough is how often an answer must be given in a row.
const enough = 3

// Record makes the plan's cases real, asks, and removes everything again, also
// when the context ends. The fixtures hold what was recorded until then. The
// error says what could not be removed, or that it was interrupted.
func (r *Recorder) Record(ctx context.Context, p *Plan) (*Fixtures, error) {
	f := &Fixtures{Format: Format, Region: p.Sides.Region, Recorded: r.Now().UTC(), Verdicts: []Verdict{}, NotRecorded: []Skipped{}}
	for _, i := range p.Items {
		if i.Reason != "" {
			f.NotRecorded = append(f.NotRecorded, Skipped{i.Name, i.Reason})
		}
	}
	todo := p.Recordable()
	for len(todo) > 0 {
		batch := todo[:min(len(todo), max(r.Batch, 1))]
		if ctx.Err() == nil {
			if err := r.batch(ctx, p, batch, f); err != nil {
				return f, err
			}
		} else {
			for _, i := range batch {
				f.NotRecorded = append(f.NotRecorded, Skipped{i.Name, "the run was interrupted before"})
			}
		}
		todo = todo[len(batch):]
	}
	if ctx.Err() != nil {
		return f, fmt.Errorf("the run was interrupted; everything it had made is removed: %w", context.Cause(ctx))
	}
	return f, nil
}

// A trial is an item while it is being recorded.
type trial struct {
	*Item
	config *aws.Config // of the session, once there is one
	answer string
	text   string // AWS's message
	row    int    // how often the answer was given in a row
	asked  int
	at     time.Time

	tried   int   // rounds, with or without an answer
	trouble error // why there was no answer the last time
	failed  error // why it could not be made
}

func (r *Recorder) batch(ctx context.Context, p *Plan, items []*Item, f *Fixtures) (err error) {
	defer func() {
		r.Say("removing what was made")
		removal, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTime)
		defer cancel()
		err = errors.Join(err, r.remove(removal, items))
	}()
	trials := make([]*trial, len(items))
	made := r.Now()
	for n, i := range items {
		trials[n] = &trial{Item: i}
		if ctx.Err() != nil {
			continue
		}
		r.Say(fmt.Sprintf("making case %q", i.Name))
		trials[n].failed = r.make(ctx, p, i)
		made = r.Now()
	}
	r.Say("waiting until IAM has propagated it")
	if r.Sleep(ctx, r.Settle) == nil {
		r.ask(ctx, trials, made.Add(r.Patience))
	}
	for _, t := range trials {
		if reason := r.conclude(ctx, t, f); reason != "" {
			f.NotRecorded = append(f.NotRecorded, Skipped{t.Name, r.standIns().text(reason)})
		}
	}
	return nil
}

// conclude adds the trial's verdict to the fixtures, or says why there is none.
func (r *Recorder) conclude(ctx context.Context, t *trial, f *Fixtures) (reason string) {
	switch {
	case t.failed != nil:
		return t.failed.Error()
	case !t.settled(true) && ctx.Err() != nil:
		return "the run was interrupted before the answer was stable"
	case !t.settled(true) && t.trouble != nil:
		return t.trouble.Error()
	case !t.settled(true):
		return fmt.Sprintf("AWS did not give the same answer %d times in a row within %s", enough, r.Patience)
	}
	done, err := r.standIns().whole(t.Case)
	if err != nil {
		return err.Error()
	}
	f.Verdicts = append(f.Verdicts, Verdict{
		Name: t.Name, Case: done, Response: t.answer, Message: r.standIns().text(t.text), At: t.at.UTC(), Asked: t.asked,
	})
	return ""
}

// ask asks all trials in rounds until each has a stable answer.
func (r *Recorder) ask(ctx context.Context, trials []*trial, until time.Time) {
	for {
		late := !r.Now().Before(until)
		open := false
		for _, t := range trials {
			if t.failed != nil || t.settled(late) || ctx.Err() != nil {
				continue
			}
			t.trouble = r.once(ctx, t)
			// When the time is over, a few more rounds give the answers that are
			// there a chance to be stable.
			open = open || !t.settled(late) && (!late || t.tried < 4*enough)
		}
		if !open || r.Sleep(ctx, r.Interval) != nil {
			return
		}
	}
}

// settled reports whether the trial has an answer that counts. While there is
// time, an answer that contradicts the engine does not.
func (t *trial) settled(late bool) bool {
	return t.row >= enough && (late || agrees(t.answer, t.predicted.String()))
}

// once asks a trial one time. Errors say why there is no answer.
func (r *Recorder) once(ctx context.Context, t *trial) error {
	t.tried++
	if t.config == nil {
		config, err := r.session(ctx, t.Item)
		if err != nil {
			return err
		}
		t.config = config
	}
	err := t.call.do(ctx, *t.config, t.Item)
	t.asked++
	answer, text := "Allowed", ""
	if err != nil {
		if answer, text = denial(err); answer == "" {
			t.row = 0
			return fmt.Errorf("the call neither succeeded nor was refused: %w", err)
		}
	}
	if answer != t.answer {
		t.row = 0
	}
	t.answer, t.text, t.at = answer, text, r.Now()
	t.row++
	return nil
}

// denial reads a refusal; the answer is "" for any other error.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func denial(err error) (answer, text string) {
	switch codeOf(err) {
	case "AccessDenied", "AccessDeniedException":
	default:
		return "", ""
	}
	text = err.Error()
	if _, message, ok := strings.Cut(text, "api error "); ok {
		text = message
	}
	switch {
	case strings.Contains(text, "explicit deny"):
		return "ExplicitlyDenied", text
	case strings.Contains(text, "because no "):
		return "ImplicitlyDenied", text
	}
	return "Denied", text
}

// session opens a session of the item's role.
func (r *Recorder) session(ctx context.Context, i *Item) (*aws.Config, error) {
	in := &sts.AssumeRoleInput{RoleArn: &i.role.arn, RoleSessionName: &i.session, DurationSeconds: aws.Int32(900)}
	if i.Case.SessionPolicy != nil {
		in.Policy = aws.String(string(i.Case.SessionPolicy.Document))
	}
	out, err := sts.NewFromConfig(r.Principal.Config).AssumeRole(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("open a session of role %s: %w", i.role.name, err)
	}
	config := r.Principal.Config.Copy()
	config.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	return &config, nil
}

func (r *Recorder) operatorOf(i *Item) *Operator {
	if r.Resource != nil && i.owner == r.Resource.Account {
		return r.Resource
	}
	return r.Principal
}

// stepTime bounds the calls that make one item. They are not stopped by an
// interruption, because nobody would know then what was made.
const stepTime = time.Minute

// make makes what an item needs.
func (r *Recorder) make(ctx context.Context, p *Plan, i *Item) error {
	until := r.Now().Add(r.Patience)
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Patience+stepTime)
	defer cancel()
	home, owner := newWorkshop(r.Principal), newWorkshop(r.operatorOf(i))
	trust, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"AWS": "arn:aws:iam::" + string(r.Principal.Account) + ":root"},
		"Action": "sts:AssumeRole", "Condition": map[string]any{"StringEquals": map[string]string{"aws:userid": r.Principal.UserID}},
	}}})
	if err != nil {
		return err
	}
	if err := r.makePrincipal(ctx, work, until, i, home, string(trust)); err != nil {
		return err
	}
	if i.target.name != "" {
		document := string(trust)
		if i.call.roleSession {
			if i.Case.ResourcePolicy == nil {
				return errors.New("the role to assume has no trust policy; AWS has no such roles")
			}
			document = string(i.Case.ResourcePolicy.Document)
		}
		// AWS takes a policy only when it knows the principals in it.
		if err := r.patiently(ctx, until, "MalformedPolicyDocument", func() error {
			_, err := owner.makeRole(work, i.target, document, nil)
			return err
		}); err != nil {
			return err
		}
	}
	if i.bucket == "" {
		return nil
	}
	if err := owner.makeBucket(work, p.Run, i.bucket, i.key, i.object); err != nil {
		return err
	}
	if i.Case.ResourcePolicy == nil {
		return nil
	}
	document := string(i.Case.ResourcePolicy.Document)
	return r.patiently(ctx, until, "MalformedPolicy", func() error {
		if _, err := owner.s3.PutBucketPolicy(work, &s3.PutBucketPolicyInput{Bucket: &i.bucket, Policy: &document}); err != nil {
			return fmt.Errorf("put the policy of bucket %s: %w", i.bucket, err)
		}
		return nil
	})
}

// makePrincipal makes the item's role with its boundary and policies.
func (r *Recorder) makePrincipal(ctx, work context.Context, until time.Time, i *Item, home *workshop, trust string) error {
	var boundary *string
	if len(i.Case.PermissionBoundaries) == 1 {
		arn, err := home.makePolicy(work, i.role, string(i.Case.PermissionBoundaries[0].Document))
		if err != nil {
			return err
		}
		boundary = arn
	}
	var id string
	if err := r.patiently(ctx, until, "NoSuchEntity", func() (err error) {
		id, err = home.makeRole(work, i.role, trust, boundary)
		return err
	}); err != nil {
		return err
	}
	for n, policy := range i.Case.IdentityPolicies {
		if err := r.patiently(ctx, until, "NoSuchEntity", func() error {
			return home.putRolePolicy(work, i.role, n, string(policy.Document))
		}); err != nil {
			return err
		}
	}
	for key := range i.Case.Request.Context {
		if strings.EqualFold(key, "aws:userid") {
			i.Case.Request.Context[key] = cases.Value{Values: []string{id + ":" + i.session}}
		}
	}
	return i.setPrincipal(id)
}

// patiently repeats what AWS refuses with a code that may mean that it does not
// know something new yet.
func (r *Recorder) patiently(ctx context.Context, until time.Time, code string, do func() error) error {
	for {
		err := do()
		if err == nil || codeOf(err) != code || !r.Now().Before(until) || r.Sleep(ctx, r.Interval) != nil {
			return err
		}
	}
}

// remove removes what was or might have been made for the items.
func (r *Recorder) remove(ctx context.Context, items []*Item) error {
	home := newWorkshop(r.Principal)
	var errs []error
	for _, i := range items {
		owner := newWorkshop(r.operatorOf(i))
		if i.bucket != "" {
			errs = append(errs, owner.removeBucket(ctx, i.bucket))
		}
		if i.target.name != "" {
			errs = append(errs, owner.removeRole(ctx, i.target.name))
		}
		errs = append(errs, home.removeRole(ctx, i.role.name))
		if len(i.Case.PermissionBoundaries) > 0 {
			errs = append(errs, home.removePolicy(ctx, i.boundaryARN()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("some things are left, remove them with crossaccount conformance cleanup: %w", err)
	}
	return nil
}

// Stand-ins for the operator's accounts in fixtures.
const (
	principalStandIn = "111122223333"
	resourceStandIn  = "444455556666"
)

func (r *Recorder) standIns() *translation {
	t := &translation{}
	t.add(string(r.Principal.Account), principalStandIn, isDigit)
	if r.Resource != nil {
		t.add(string(r.Resource.Account), resourceStandIn, isDigit)
	}
	return t
}

// whole translates everything in a case. The engine must take the result for
// the same question.
func (t *translation) whole(c cases.Case) (cases.Case, error) {
	var translated cases.Case
	data, err := json.Marshal(c)
	if err != nil {
		return translated, err
	}
	if err := json.Unmarshal([]byte(t.text(string(data))), &translated); err != nil {
		return translated, err
	}
	before, err := c.Run()
	if err != nil {
		return translated, err
	}
	after, err := translated.Run()
	if err != nil {
		return translated, err
	}
	if before.Response != after.Response {
		return translated, errors.New("with stand-ins for the account ids it is another question")
	}
	return translated, nil
}
