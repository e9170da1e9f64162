package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam/world"
)

// Options say how to try grants.
type Options struct {
	// Config returns credentials for work in a consumer's account: the consumer's
	// role itself, or somebody who may assume it.
	Config func(ctx context.Context, at grant.Place) (aws.Config, error)
	// Assume allows to assume the consumer's role with those credentials.
	Assume bool
	// Owner returns credentials for the account of a resource, only to look up
	// values that CloudFormation knows, and names of other repositories in a
	// domain. It may be nil.
	Owner func(ctx context.Context, at grant.Place) (aws.Config, error)
	// Values are ARNs and ids that only AWS knows, by resource and stage
	// ("orders-api.prod") or resource ("orders-api").
	Values map[string]string
	// Write allows calls that leave something behind, such as a message, and runs
	// of workflows.
	Write bool
	// Path is the path that APIs are called at where a grant has a wildcard.
	Path string
	// Patience is how long an answer may be other than expected before it counts:
	// changes of IAM take a while to be known everywhere. Zero: it counts at once.
	Patience time.Duration
	// Parallel is how many grants are tried at the same time; default 4.
	Parallel int
	// Now is the time that requests are signed with.
	Now func() time.Time
}

// An Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	Allowed      Outcome = "allowed"
	Refused      Outcome = "refused"
	Inconclusive Outcome = "inconclusive" // neither could be told
	NotTried     Outcome = "not tried"
)

// An Attempt is one request that was made, or not, and why.
type Attempt struct {
	Case      string  `json:"case"` // "declared", or what differs from it
	Principal string  `json:"principal"`
	Action    string  `json:"action"`
	Resource  string  `json:"resource"`
	Want      Outcome `json:"want"` // Allowed or Refused
	Outcome   Outcome `json:"outcome"`
	Code      string  `json:"code,omitempty"`   // AWS's, of an error
	Reason    string  `json:"reason,omitempty"` // of an attempt that was inconclusive or not tried

	// Denial is what the refusal says, if Outcome is Refused.
	Denial *world.Denial `json:"-"`

	absent bool // the resource is one that does not exist
}

// Wrong reports whether AWS answered otherwise than the manifest says.
func (a *Attempt) Wrong() bool {
	return (a.Outcome == Allowed || a.Outcome == Refused) && a.Outcome != a.Want
}

// A Result is what trying a grant in one stage showed.
type Result struct {
	Grant         string    `json:"grant"`
	Stage         string    `json:"stage"`
	Consumer      string    `json:"consumer"`
	ConsumerStage string    `json:"consumer_stage"`
	Principal     string    `json:"principal"`
	Stacks        []string  `json:"stacks"` // of the plan that give it
	Attempts      []Attempt `json:"attempts"`
	// Skipped says why nothing was tried; then there are no attempts.
	Skipped string `json:"skipped,omitempty"`
}

// Count returns how many attempts have an outcome, and were to have one.
func (r *Result) Count(want, outcome Outcome) int {
	n := 0
	for i := range r.Attempts {
		if r.Attempts[i].Want == want && r.Attempts[i].Outcome == outcome {
			n++
		}
	}
	return n
}

// Verdict is Allowed if everything was answered as the manifest says, Refused if
// something was not, Inconclusive if something could not be told or no declared
// request was seen to be allowed, and NotTried if the grant was skipped.
func (r *Result) Verdict() Outcome {
	switch {
	case r.Skipped != "":
		return NotTried
	case slices.ContainsFunc(r.Attempts, func(a Attempt) bool { return a.Wrong() }):
		return Refused
	case slices.ContainsFunc(r.Attempts, func(a Attempt) bool { return a.Outcome == Inconclusive }), r.Count(Allowed, Allowed) == 0:
		return Inconclusive
	}
	return Allowed
}

// Run tries the grants of a plan that selected admits, each in its stages. The
// results are in the order of the plan.
func Run(ctx context.Context, plan *grant.Plan, selected func(*grant.Trial) bool, o Options) []Result {
	r := &run{Options: o, plan: plan, trials: plan.Trials(), deadline: time.Now().Add(o.Patience), values: map[string]string{}}
	if r.Parallel < 1 {
		r.Parallel = 4
	}
	var chosen []*grant.Trial
	for i := range r.trials {
		if selected(&r.trials[i]) {
			chosen = append(chosen, &r.trials[i])
		}
	}
	results := make([]Result, len(chosen))
	turns := make(chan struct{}, r.Parallel)
	var wg sync.WaitGroup
	for i, t := range chosen {
		results[i] = Result{Grant: t.Grant, Stage: t.Stage, Consumer: t.Given.Consumer, ConsumerStage: t.ConsumerStage, Principal: t.Principal, Stacks: []string{}, Attempts: []Attempt{}}
		for _, s := range plan.Stacks() {
			if (s.Stage == t.Stage && s.AccountID == t.Owner.ID || s.Stage == t.ConsumerStage && s.AccountID == t.Consumer.ID) && slices.Contains(s.Grants, t.Grant) {
				results[i].Stacks = append(results[i].Stacks, s.Name)
			}
		}
		wg.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; wg.Done() }()
			r.try(ctx, t, &results[i])
		}()
	}
	wg.Wait()
	return results
}

// A run is the work of one Run.
type run struct {
	Options
	plan     *grant.Plan
	trials   []grant.Trial
	deadline time.Time

	mu     sync.Mutex
	values map[string]string // :: symbol → value, "" if it could not be found
}

// trying is one grant being tried.
type trying struct {
	*run
	trial  *grant.Trial
	result *Result
	base   *caller            // the credentials that were given
	as     map[string]*caller // :: ARN of a principal → its session
	known  known
}

func (r *run) try(ctx context.Context, t *grant.Trial, result *Result) {
	y := &trying{run: r, trial: t, result: result, as: map[string]*caller{}}
	if err := y.identify(ctx); err != nil {
		if errors.Is(err, errAssume) && t.Workflow != "" && parts(y.base.arn).Account == t.Consumer.ID {
			y.workflow(ctx)
			return
		}
		result.Skipped = err.Error()
		return
	}
	y.declared(ctx)
	y.neighbours(ctx)
}

// declared makes every request that the grant declares.
func (y *trying) declared(ctx context.Context) {
	list := slices.Clone(y.trial.Declared)
	slices.SortStableFunc(list, func(a, b grant.Declared) int {
		if (a.Action == "sts:AssumeRole") != (b.Action == "sts:AssumeRole") {
			return map[bool]int{true: -1, false: 1}[a.Action == "sts:AssumeRole"]
		}
		return order(a.Action) - order(b.Action)
	})
	list = slices.Compact(list) // two words of access may mean the same request
	for _, d := range list {
		if d.Companion {
			continue
		}
		a := Attempt{Case: "declared", Principal: d.Principal, Action: d.Action, Want: Allowed}
		pattern, missing := y.concrete(ctx, d.Resource)
		if missing != "" {
			a.Resource, a.Outcome, a.Reason = y.trial.Given.Resource, NotTried, missing
			y.result.Attempts = append(y.result.Attempts, a)
			continue
		}
		a.Resource = sample(pattern)
		if d.Action == "execute-api:Invoke" {
			if a.Resource, a.Reason = y.anAPIRequest(pattern, y.trial); a.Reason != "" {
				a.Outcome = NotTried
				y.result.Attempts = append(y.result.Attempts, a)
				continue
			}
		}
		y.attempt(ctx, a, pattern, y.trial)
	}
}

// attempt makes a request, again while it is not answered as expected and there
// is patience, and keeps what became of it.
func (y *trying) attempt(ctx context.Context, a Attempt, pattern string, of *grant.Trial) *Attempt {
	y.patiently(ctx, func() { y.once(ctx, &a, pattern, of) }, &a)
	y.result.Attempts = append(y.result.Attempts, a)
	return &y.result.Attempts[len(y.result.Attempts)-1]
}

// patiently makes attempts, and again while one is not answered as expected and
// there is patience.
func (y *trying) patiently(ctx context.Context, once func(), attempts ...*Attempt) {
	for pause := time.Second; ; pause = min(2*pause, 8*time.Second) {
		for _, a := range attempts {
			a.Outcome, a.Code, a.Reason, a.Denial = "", "", "", nil
		}
		once()
		wrong := slices.ContainsFunc(attempts, func(a *Attempt) bool { return a.Wrong() })
		if !wrong || time.Until(y.deadline) < pause || sleep(ctx, pause) != nil {
			return
		}
		for _, a := range attempts {
			if a.Action == "sts:AssumeRole" {
				delete(y.as, a.Resource)
			}
		}
	}
}

func (y *trying) once(ctx context.Context, a *Attempt, pattern string, of *grant.Trial) {
	who := y.as[a.Principal]
	if who == nil {
		a.Outcome, a.Reason = NotTried, "there are no credentials of "+a.Principal
		return
	}
	if a.Action == "sts:AssumeRole" {
		y.assume(ctx, a, who, y.trial.ExternalID)
		return
	}
	t := y.target(a, pattern, of)
	c := callOf(a.Action, t)
	if c == nil {
		a.Outcome, a.Reason = NotTried, "this command knows no call that tries it"
		return
	}
	request, why := c.request(t)
	writes := c.writes && !a.absent || a.Case == "declared" && request != nil && request.service == "execute-api" && !safeMethods[request.method]
	switch {
	case why != "":
		a.Outcome, a.Reason = NotTried, why
		return
	case writes && !y.Write:
		a.Outcome, a.Reason = NotTried, "it leaves something behind; --write tries it"
		return
	}
	answer, err := who.send(ctx, request, of.Owner.Region, suffixOf(of.Owner.Partition))
	if err != nil {
		a.Outcome, a.Reason = Inconclusive, err.Error()
		return
	}
	if request.packages {
		y.judgePackages(a, answer, request)
	} else {
		y.judge(a, answer, c)
	}
	if a.Outcome == Allowed && c.learn != nil && a.Case == "declared" {
		c.learn(t, answer)
	}
}

// judge says what an answer means.
func (y *trying) judge(a *Attempt, answer *answer, c *call) {
	a.Code = answer.code
	api := a.Action == "execute-api:Invoke"
	switch {
	case answer.denied():
		a.Outcome, a.Denial = Refused, denial(a, answer.message)
	case answer.status < 300, slices.Contains(c.passed, answer.code), a.absent && c.absent != "" && answer.code == c.absent, api && !answer.gateway:
		a.Outcome = Allowed
	case api && answer.code == "MissingAuthenticationTokenException":
		a.Outcome, a.Reason = NotTried, "the API has no such method and path; --path names one that it has"
	default:
		a.Outcome, a.Reason = Inconclusive, fmt.Sprintf("AWS answered %d %s, which does not say whether it is allowed", answer.status, answer.code)
	}
}

// judgePackages says what the answer of a repository's endpoint means, which has
// no error codes: 403 is a refusal, and 401 that the token is not known.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/troubleshooting.html
func (y *trying) judgePackages(a *Attempt, answer *answer, r *request) {
	a.Code = answer.code
	if a.Code == "" && answer.status >= 300 {
		a.Code = http.StatusText(answer.status)
	}
	switch {
	case answer.status == http.StatusForbidden:
		message := answer.message
		if message == "" {
			message = field(answer.body, "error")
		}
		a.Outcome, a.Denial = Refused, denial(a, message)
	case answer.status < 300, r.missing && answer.status == http.StatusNotFound,
		r.method == http.MethodPut && answer.status == http.StatusConflict: // published before
		a.Outcome = Allowed
	default:
		a.Outcome, a.Reason = Inconclusive, fmt.Sprintf("the repository's endpoint answered %d, which does not say whether it is allowed", answer.status)
	}
}

// denial reads a refusal. Services that say nothing are helped with what was
// asked.
func denial(a *Attempt, message string) *world.Denial {
	d, err := world.ParseDenial([]byte(message))
	if err != nil {
		d = &world.Denial{}
	}
	q := &d.Question
	for _, f := range []struct {
		to   *string
		from string
	}{{&q.Principal, a.Principal}, {&q.Action, a.Action}, {&q.Resource, a.Resource}} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	d.Missing = nil
	return d
}

// target is what a call is about.
func (y *trying) target(a *Attempt, pattern string, of *grant.Trial) *target {
	t := &target{resource: a.Resource, pattern: pattern, kind: of.Kind, principal: a.Principal, only: &of.Only, owner: of.Owner, known: &y.known}
	t.arn = parts(a.Resource)
	return t
}

// Why grants are skipped.
var (
	errOther  = errors.New("these are credentials of somebody else")
	errAssume = errors.New("its trust policy has to name who runs this; roles of AWS services can be tried from within the service only")
)

// matches reports whether an identity is a principal of a grant: the role, by
// account and name, because sessions do not show the role's path.
func matches(identity, principal string) bool {
	who, role := parts(identity), parts(principal)
	if who.Account != role.Account {
		return false
	}
	if role.Resource == "root" {
		return true
	}
	session, ok := strings.CutPrefix(who.Resource, "assumed-role/")
	if !ok {
		return false
	}
	name, _, _ := strings.Cut(session, "/")
	return strings.HasSuffix(role.Resource, "/"+name)
}
