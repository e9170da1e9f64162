package broker

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// An answer is the result of one call.
type answer struct {
	output  *sts.AssumeRoleOutput
	err     error
	verdict verdict
	region  *region
}

// assume calls AssumeRole once, or once more if the first call fails for a
// reason of the endpoint or takes long. What another region than the home
// region refuses is inconclusive: policies may well allow one region only.
func (b *Broker) assume(ctx context.Context, h *Handle, in *sts.AssumeRoleInput, caller aws.Credentials, t *ticket, renewing bool) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, probe := t.region, t.probe
	t.region = nil
	if first == nil { // it was used; this call is decided on and made even if the budget is spent
		now := b.clock.now()
		if first, probe = b.acquire(now, nil); first == nil {
			return answer{verdict: verdict{code: CodeUnavailable, text: "every region is down"}}
		}
		first.spend(now)
	}
	answers := make(chan answer, 2) // so that who is not waited for can end
	c := call{in: in, caller: caller, renewing: renewing, answers: answers}
	b.flying.Add(1)
	go b.call(ctx, c, first, probe)
	hedge := time.NewTimer(first.hedgeAfter())
	defer hedge.Stop()

	var last answer
	pending, extra := 1, false
	second := func(same bool) {
		if extra || ctx.Err() != nil {
			return
		}
		if r, probe := b.acquireExtra(b.clock.now(), first, same); r != nil {
			extra = true
			pending++
			b.counts.hedges.Add(1)
			c.hedge = true
			b.flying.Add(1)
			go b.call(ctx, c, r, probe)
		}
	}
	for pending > 0 {
		select {
		case <-hedge.C:
			// When everything is slow, it is not a request that hangs, and more
			// of them would not help.
			if b.hedges.take(b.clock.now()) {
				second(true)
			}
		case a := <-answers:
			pending--
			if !a.region.home && (a.verdict.code == CodeRefused || a.verdict.code == CodeInvalidRequest && !a.verdict.duration) {
				a.verdict.code = CodeUnavailable
			}
			switch {
			case pending > 0 && (a.verdict.code == CodeThrottled || a.verdict.ours && !a.region.home):
				// The call under way may yet succeed. What is not accepted in another
				// region may be: the region may not be enabled for our account.
			case a.verdict.code != CodeUnavailable || a.verdict.ours:
				return a
			}
			if last.region == nil || !last.region.home {
				last = a // what the home region says is told
			}
			second(a.verdict.connection)
		}
	}
	return last
}

// A call is what the calls of one assume have in common.
type call struct {
	in       *sts.AssumeRoleInput
	caller   aws.Credentials
	answers  chan<- answer
	renewing bool
	hedge    bool
}

// call makes one call to a region and tells everybody how it went. It is a
// goroutine.
func (b *Broker) call(ctx context.Context, c call, r *region, probe bool) {
	defer b.flying.Done()
	began := b.config.Now()
	attempt, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	out, err := r.client.AssumeRole(attempt, c.in, func(o *sts.Options) {
		o.Credentials = static(c.caller)
	})
	took := b.config.Now().Sub(began)
	v := judge(err)
	b.counts.calls.Add(1)
	if err != nil {
		b.counts.failures.Add(1)
	}
	abandoned := err != nil && ctx.Err() != nil
	if abandoned {
		r.count(CodeCanceled)
	} else {
		r.count(v.code)
	}
	now := b.clock.now()
	if abandoned {
		// The other call won, or time is up. A region that let its competitor
		// win by being slow counts as failing.
		v = verdict{code: CodeUnavailable, text: "abandoned"}
		if took < r.hedgeAfter() {
			r.abandon(probe)
		} else {
			b.reportRegion(r, now, probe, v.code, took)
		}
	} else if took > attemptTime+attemptTime/4 {
		// The time limit itself came late: this process did not get to run, which
		// says nothing about the region.
		r.abandon(probe)
	} else {
		if err == nil {
			if date, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
				b.clock.observe(date)
			}
		} else if v.byAWS() { // the clock of a proxy says nothing about when sessions expire
			b.clock.observe(dateOf(err))
		}
		code := v.code
		if v.ours {
			code = CodeRefused // the endpoint is well
		}
		b.reportRegion(r, now, probe, code, took)
	}
	if b.config.Observer != nil {
		b.config.Observer.Called(Call{Region: r.name, Code: v.text, Took: took, Hedge: c.hedge, Renewal: c.renewing})
	}
	c.answers <- answer{output: out, err: err, verdict: v, region: r}
}

// static provides the same credentials always.
type static aws.Credentials

func (s static) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(s), nil }

func (b *Broker) reportRegion(r *region, now int64, probe bool, code Code, took time.Duration) {
	changed, open := r.answered(now, probe, code, took)
	if !changed {
		return
	}
	kind := EventRegionUp
	if open {
		kind = EventRegionDown
	}
	b.report(Event{Kind: kind, Region: r.name, Code: code})
}
