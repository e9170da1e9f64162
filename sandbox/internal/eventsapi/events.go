package eventsapi

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// PutEventsInput is the input of PutEvents.
type PutEventsInput struct {
	EndpointID string `json:"EndpointId"`
	Entries    []struct {
		Source, DetailType, Detail, EventBusName string
		Resources                                []string
		Time                                     *wire.Timestamp
		TraceHeader                              string
	}
}

// PutEventsOutput says how each entry fared.
type PutEventsOutput struct {
	FailedEntryCount int
	Entries          []PutResult
}

// A PutResult is an event's id, or why it was not accepted.
type PutResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

// An event is one as its targets see it.
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

const maxEvents = 1 << 20 // bytes of a request's events together

// PutEvents sends events to buses, of other accounts too. That an event was
// accepted says nothing about deliveries: those that are refused show in the
// sandbox's record only.
func (s *Service) PutEvents(c *authz.Call, in *PutEventsInput) (*PutEventsOutput, error) {
	size := 0
	for _, e := range in.Entries {
		size += len(e.Source) + len(e.DetailType) + len(e.Detail)
	}
	switch {
	case in.EndpointID != "":
		return nil, wire.NotImplemented("events", "PutEvents with EndpointId")
	case len(in.Entries) == 0 || len(in.Entries) > 10:
		return nil, invalid("1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and 10")
	case size > maxEvents:
		return nil, invalid("Total size of the entries in the request is over the limit.")
	}
	out := &PutEventsOutput{Entries: []PutResult{}}
	var matched []delivery
	for _, e := range in.Entries {
		ev := event{Version: "0", DetailType: e.DetailType, Source: e.Source, Account: string(c.Account()), Time: c.Now.UTC().Format(time.RFC3339), Region: c.Region, Resources: e.Resources, Detail: json.RawMessage(e.Detail)}
		if e.Time != nil {
			ev.Time = e.Time.UTC().Format(time.RFC3339)
		}
		if ev.Resources == nil {
			ev.Resources = []string{}
		}
		id, more, err := s.accept(c, e.EventBusName, ev)
		if err != nil {
			refused := wire.AsError(err)
			if refused.Code == "AccessDenied" {
				return nil, err
			}
			out.FailedEntryCount++
			out.Entries = append(out.Entries, PutResult{ErrorCode: refused.Code, ErrorMessage: refused.Message})
			continue
		}
		matched = append(matched, more...)
		out.Entries = append(out.Entries, PutResult{EventID: id})
	}
	for _, d := range matched {
		s.deliver(c, d)
	}
	return out, nil
}

// A delivery is an event on its way from a rule to a target.
type delivery struct {
	event  event
	rule   string // ARN
	region string
	target Target
}

// accept authorises an event on a bus and returns what its rules make of it.
func (s *Service) accept(c *authz.Call, busName string, ev event) (string, []delivery, error) {
	switch {
	case ev.Source == "" || ev.DetailType == "" || len(ev.Detail) == 0:
		return "", nil, wire.BadRequest("InvalidArgument", "Parameter Source, DetailType or Detail is missing.")
	case !json.Valid(ev.Detail) || !strings.HasPrefix(strings.TrimSpace(string(ev.Detail)), "{"):
		return "", nil, wire.BadRequest("MalformedDetail", "Detail is malformed.")
	case strings.HasPrefix(ev.Source, "aws."):
		return "", nil, wire.BadRequest("NotAuthorizedForSource", "Not authorized for the source.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(c, busName, "PutEvents", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) {
			ctx.Set("events:source", ev.Source)
			ctx.Set("events:detail-type", ev.DetailType)
		}
	})
	if err != nil {
		return "", nil, err
	}
	if ev.ID == "" {
		if ev.ID, err = s.newID(); err != nil {
			return "", nil, err
		}
	}
	b.arrived++
	var list []delivery
	for _, r := range b.rules {
		if r.disabled || !r.matches(ev) {
			continue
		}
		for _, t := range r.targets {
			list = append(list, delivery{ev, r.arn, b.region, t})
		}
	}
	return ev.ID, list, nil
}

func (r *rule) matches(ev event) bool {
	for field, value := range map[string]string{"source": ev.Source, "detail-type": ev.DetailType, "account": ev.Account, "region": ev.Region} {
		if wanted, ok := r.pattern[field]; ok && !slices.Contains(wanted, value) {
			return false
		}
	}
	return true
}

// deliver hands an event to a target: with the target's role if it has one,
// otherwise in EventBridge's own name, for the rule. The target's policies
// decide; a refusal is in the sandbox's record.
func (s *Service) deliver(c *authz.Call, d delivery) {
	target, err := iam.ParseARN(d.target.ARN)
	if err != nil {
		return // PutTargets has refused it
	}
	as := c.AsService(servicePrincipal, d.rule, d.region)
	if d.target.RoleARN != "" {
		if as, err = c.AsServiceRole(d.target.RoleARN, servicePrincipal, d.event.ID); err != nil {
			return
		}
	}
	as.Region = target.Region
	payload, err := json.Marshal(d.event)
	if err != nil {
		return
	}
	switch target.Service {
	case "sqs":
		_ = s.options.SQS.Deliver(as, d.target.ARN, &sqsapi.SendMessageInput{MessageBody: string(payload)})
	case "lambda":
		_ = s.options.Lambda.Enqueue(as, d.target.ARN, payload)
	case "events":
		_, more, err := s.accept(as, d.target.ARN, d.event)
		if err != nil {
			return
		}
		for _, next := range more {
			// An event goes from bus to bus once.
			// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
			if arn, err := iam.ParseARN(next.target.ARN); err == nil && arn.Service != "events" {
				s.deliver(c, next)
			}
		}
	}
}
