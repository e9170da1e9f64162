package broker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/broker"
)

// A step of a random history.
type step struct {
	What   string
	For    time.Duration // of "sleep"
	Region int           // of "sts"
	Does   string        // of "sts": a key of conducts
}

var conducts = map[string]reply{
	"issues":    {after: 30 * time.Millisecond},
	"is slow":   {after: 700 * time.Millisecond},
	"refuses":   denied,
	"is down":   down,
	"hangs":     {hang: true},
	"throttles": {code: "Throttling", status: 400},
	"breaks":    {broken: true},
}

func histories() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		s := step{What: rapid.SampledFrom([]string{"read", "read", "read", "read lasting", "sleep", "sleep", "sleep", "sts", "sts", "invalidate", "recheck", "forget"}).Draw(t, "what")}
		switch s.What {
		case "sleep":
			s.For = rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 40 * time.Second, 5 * time.Minute, 20 * time.Minute, 50 * time.Minute, 3 * time.Hour}).Draw(t, "for")
		case "sts":
			s.Region = rapid.IntRange(0, 1).Draw(t, "region")
			s.Does = rapid.SampledFrom([]string{"issues", "issues", "is slow", "refuses", "is down", "hangs", "throttles", "breaks"}).Draw(t, "does")
		}
		return s
	}), 1, 60)
}

// Whatever happens: what is handed out is valid; what is valid is not refused,
// unless the customer withdrew its trust; who has valid credentials does not
// wait; and STS is not called more than the customer's budget allows.
func TestAnyHistory(t *testing.T) {
	for _, withdrawn := range []broker.Withdrawal{broker.Stop, broker.Drain} {
		rapid.Check(t, func(rt *rapid.T) {
			history := histories().Draw(rt, "history")
			wrong := ""
			synctest.Test(t, func(t *testing.T) { wrong = live(t, withdrawn, history) })
			if wrong != "" {
				rt.Fatal(wrong)
			}
		})
	}
}

// live goes through a history and returns what went wrong, or "".
func live(t *testing.T, withdrawn broker.Withdrawal, history []step) string {
	fake := newFake(t)
	regions := []string{"us-east-1", "us-west-2"}
	does := map[string]reply{regions[0]: conducts["issues"], regions[1]: conducts["issues"]}
	fake.do(func(c call) reply { return does[c.region] })
	config := twoRegions(fake)
	config.Withdrawn = withdrawn
	b := start(t, config)
	h := handle(t, b, access("acme"))

	var (
		began   = time.Now()
		key     string    // handed out last and not taken back
		expires time.Time // of it
		bad     = map[string]bool{}
		denials []time.Time // since the last session was issued, by the home region
		forced  int
	)
	refusedTwice := func() bool {
		denials = denials[:0]
		for _, c := range fake.seen() {
			if c.region == regions[0] {
				denials = append(denials, c.at)
			}
		}
		return len(denials) >= 2
	}
	read := func(lasting bool) string {
		asked := time.Now()
		retrieve := h.Retrieve
		if lasting {
			retrieve = func(ctx context.Context) (c aws.Credentials, err error) {
				return h.RetrieveLasting(ctx, 15*time.Minute)
			}
		}
		c, err := retrieve(context.Background())
		waited, now := time.Since(asked), time.Now()
		held := key != "" && asked.Before(expires.Add(-time.Second))
		switch {
		case err == nil && !now.Before(c.Expires):
			return fmt.Sprintf("credentials that expired at %s at %s", c.Expires, now)
		case err == nil && bad[c.AccessKeyID]:
			return "credentials that were invalidated"
		case err != nil && held && (withdrawn != broker.Stop || broker.CodeOf(err) != broker.CodeWithdrawn || !refusedTwice()):
			return fmt.Sprintf("%v, with credentials valid for %s", err, time.Until(expires))
		case held && !lasting && asked.Before(expires.Add(-61*time.Second)) && waited > 0 && err == nil &&
			(withdrawn != broker.Stop || !refusedTwice()):
			return fmt.Sprintf("waited %s with credentials valid for %s", waited, time.Until(expires))
		case waited > 4*time.Second:
			return fmt.Sprintf("waited %s", waited)
		}
		if err == nil {
			key, expires = c.AccessKeyID, c.Expires
		} else {
			key = ""
		}
		return ""
	}
	for i, s := range history {
		wrong := ""
		switch s.What {
		case "read":
			wrong = read(false)
		case "read lasting":
			wrong = read(true)
		case "sleep":
			time.Sleep(s.For)
			if s.For >= 2*time.Hour {
				key = "" // it may have lapsed
			}
		case "sts":
			fake.mu.Lock()
			does[regions[s.Region]] = conducts[s.Does]
			fake.mu.Unlock()
		case "invalidate":
			if key != "" {
				h.Invalidate(key)
				if h.Status().AccessKeyID != key {
					bad[key] = true
					key = ""
				}
			}
		case "recheck":
			forced++
			if h.Recheck(context.Background()) == nil {
				key = ""
			}
		case "forget":
			b.Forget("acme", "")
			key = ""
		}
		if wrong != "" {
			return fmt.Sprintf("step %d: %s\n%s", i, wrong, show(history[:i+1]))
		}
	}
	if n, most := len(fake.seen()), 2*(11+forced+int(time.Since(began)/(5*time.Second))); n > most {
		return fmt.Sprintf("%d calls of STS; want at most %d\n%s", n, most, show(history))
	}
	return ""
}

func show(history []step) (out string) {
	for _, s := range history {
		switch s.What {
		case "sleep":
			out += fmt.Sprintf("  sleep %s\n", s.For)
		case "sts":
			out += fmt.Sprintf("  region %d %s\n", s.Region, s.Does)
		default:
			out += "  " + s.What + "\n"
		}
	}
	return out
}
