package authz

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Decision is the recorded answer to a [Query]. It is immutable.
type Decision struct {
	Time      time.Time
	RequestID string
	Service   string
	Operation string
	Caller    string // ARN, a service's name, or "anonymous"
	Via       []string
	Action    string
	Resource  string
	Trust     bool

	eval.Decision

	input *eval.Input
}

// Explain says why the decision was made. It is worked out anew each time. It
// shows no external ID.
func (d *Decision) Explain() *eval.Explanation { return eval.Explain(d.input) }

// Deciding returns the statements that decided in one line, or for an implicit
// denial the layer that should have allowed.
func (d *Decision) Deciding() string {
	var refs []string
	for _, ref := range d.Statements() {
		refs = append(refs, ref.Layer.String()+" "+ref.String())
	}
	switch {
	case len(refs) > 0:
		return strings.Join(refs, ", ")
	case d.Verdict == eval.Allowed:
		return "needs no policy"
	}
	return "no " + d.Layer.String() + " allows it"
}

// layerNames are the words of AWS's messages.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var layerNames = map[eval.Layer]string{
	eval.LayerIdentity:        "identity-based policy",
	eval.LayerResource:        "resource-based policy",
	eval.LayerBoundary:        "permissions boundary",
	eval.LayerSession:         "session policy",
	eval.LayerServiceControl:  "service control policy",
	eval.LayerResourceControl: "resource control policy",
	eval.LayerEndpoint:        "VPC endpoint policy",
}

// refusal words a denial as AWS does.
func (d *Decision) refusal() *wire.Error {
	message := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", d.Caller, d.Action, d.Resource)
	switch name := layerNames[d.Layer]; {
	case d.Trust || name == "":
	case d.Verdict == eval.ExplicitlyDenied && d.Layer == eval.LayerIdentity:
		message += " with an explicit deny in an " + name
	case d.Verdict == eval.ExplicitlyDenied:
		message += " with an explicit deny in a " + name
	default:
		message += " because no " + name + " allows the " + d.Action + " action"
	}
	return &wire.Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: message}
}

// Refusal returns the error that [Call.Authorize] would have returned: nil if
// the decision is to allow.
func (d *Decision) Refusal() error {
	if d.Allowed() {
		return nil
	}
	return d.refusal()
}

func callerName(p iam.Principal) string {
	if p.ARN == "" {
		return "anonymous"
	}
	return p.ARN
}

// A trace collects the decisions made for one request, also those that a
// service makes after it has answered.
type trace struct {
	mu        sync.Mutex
	decisions []*Decision
}

func (t *trace) add(d *Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.decisions) < maxDecisions {
		t.decisions = append(t.decisions, d)
	}
}

func (t *trace) list() []*Decision {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*Decision(nil), t.decisions...)
}

// maxDecisions bounds what one call can put into the record.
const maxDecisions = 2000

// CallerName returns the ARN of the call's caller, or "anonymous".
func (c *Call) CallerName() string { return callerName(c.Caller.Principal) }
