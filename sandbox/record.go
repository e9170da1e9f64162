package sandbox

import (
	"time"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
)

// A Call is one answered request. It shows neither parameters nor credentials.
type Call struct {
	Time        time.Time
	RequestID   string
	Service     string // "sts"
	Operation   string // "AssumeRole"; empty if the request was refused before it was known
	Region      string
	Caller      string // ARN, "anonymous", or empty if it was not found out
	AccessKeyID string
	Status      int    // HTTP status
	Code        string // error code, such as "AccessDenied"; empty for success
	Decisions   []Decision
}

// A Decision is the answer to one question of authorization. One call may need
// several.
type Decision struct {
	Caller   string   // who asked: ARN, service or "anonymous"
	Via      []string // services that asked on the caller's behalf
	Action   string   // "sts:AssumeRole"
	Resource string   // ARN or "*"
	Verdict  eval.Verdict

	decision *authz.Decision
}

// Deciding names the statements that decided, in one line.
func (d Decision) Deciding() string { return d.decision.Deciding() }

// Explain says why the decision was made. It is worked out when it is asked
// for, and shows no external ID.
func (d Decision) Explain() *eval.Explanation { return d.decision.Explain() }

// Calls returns the last calls, oldest first. How many are kept is set by
// [Options.RecordSize].
func (s *Sandbox) Calls() []Call {
	records := s.engine.Records()
	calls := make([]Call, len(records))
	for i, r := range records {
		calls[i] = Call{
			Time:        r.Time,
			RequestID:   r.RequestID,
			Service:     r.Service,
			Operation:   r.Operation,
			Region:      r.Region,
			Caller:      r.Caller,
			AccessKeyID: r.KeyID,
			Status:      r.Status,
			Code:        r.Code,
		}
		for _, d := range r.Decisions() {
			calls[i].Decisions = append(calls[i].Decisions, Decision{
				Caller:   d.Caller,
				Via:      d.Via,
				Action:   d.Action,
				Resource: d.Resource,
				Verdict:  d.Verdict,
				decision: d,
			})
		}
	}
	return calls
}
