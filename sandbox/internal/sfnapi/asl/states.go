package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// state reads one state.
func (p *parser) state(name string, o *object) *State {
	s := &State{Name: name, Type: o.text("Type")}
	o.text("Comment")
	o.language()
	if len(p.unsupported) > 0 {
		return s // fields of JSONata would only be misunderstood
	}
	if s.Type != "Fail" {
		s.input, s.output = o.filterPath("InputPath"), o.filterPath("OutputPath")
		if s.Type != "Succeed" {
			s.assign = o.assign()
		}
	}
	if s.Type != "Choice" && s.Type != "Succeed" && s.Type != "Fail" {
		p.transition(s, o)
	}
	switch s.Type {
	case "Pass":
		s.result, s.parameters = o.resultPath(), o.template("Parameters")
		s.hasFixed, s.fixed = o.has("Result"), o.take("Result")
	case "Task":
		p.task(s, o)
	case "Choice":
		p.choice(s, o)
	case "Wait":
		p.wait(s, o)
	case "Succeed":
	case "Fail":
		s.errorName, s.cause = o.textOr("Error"), o.textOr("Cause")
	case "Parallel":
		p.worker(s, o)
		for i, v := range o.list("Branches") {
			branch := p.object(v, fmt.Sprintf("%s/Branches[%d]", o.at, i))
			s.branches = append(s.branches, p.machine(branch, false))
			branch.unknown()
		}
		if len(s.branches) == 0 {
			p.report(codeSchema, o.at, "These fields are required: [Branches]")
		}
	case "Map":
		p.mapState(s, o)
	default:
		p.report(codeSchema, o.at+"/Type", "Value is not one of [Pass, Task, Choice, Wait, Succeed, Fail, Parallel, Map]")
		return s
	}
	o.unknown()
	return s
}

// assign reads variables.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
func (o *object) assign() *Template {
	t := o.template("Assign")
	if t == nil {
		return nil
	}
	for name := range t.fields {
		if p, err := ParsePath("$" + name); err != nil || p.root != name || len(p.steps) > 0 || len(name) > 80 {
			o.p.report(codeSchema, o.at+"/Assign/"+pointer(name), "The name of a variable begins with a letter, followed by letters, digits and underscores, 80 characters at most")
		}
	}
	return t
}

func (p *parser) transition(s *State, o *object) {
	s.Next, s.End = o.text("Next"), o.flag("End")
	switch {
	case s.Next != "" && s.End:
		p.report(codeSchema, o.at, "Only one of the fields Next and End may be there")
	case s.Next == "" && !s.End:
		p.report(codeSchema, o.at, "These fields are required: [Next or End]")
	}
}

// worker reads what Task, Parallel and Map have in common.
func (p *parser) worker(s *State, o *object) {
	s.result, s.selector = o.resultPath(), o.template("ResultSelector")
	if s.Type != "Map" {
		s.parameters = o.template("Parameters")
	}
	retriers := o.list("Retry")
	for i, v := range retriers {
		r := p.object(v, fmt.Sprintf("%s/Retry[%d]", o.at, i))
		r.text("Comment")
		entry := retrier{errors: r.errorNames(i == len(retriers)-1), interval: 1, attempts: 3, rate: 2}
		if n := r.whole("IntervalSeconds", 1, 99999999); n.set {
			entry.interval = n.fixed
		}
		if n := r.whole("MaxAttempts", 0, 99999999); n.set {
			entry.attempts = n.fixed
		}
		if n := r.whole("MaxDelaySeconds", 1, 31622400); n.set {
			if entry.maxDelay = n.fixed; n.fixed <= entry.interval {
				p.report(codeSchema, r.at+"/MaxDelaySeconds", "MaxDelaySeconds must be greater than IntervalSeconds")
			}
		}
		if v := r.take("BackoffRate"); r.has("BackoffRate") {
			n, ok := v.(json.Number)
			if entry.rate = 2; ok {
				entry.rate = number(n)
			}
			if !ok || !(entry.rate >= 1 && entry.rate < 1e9) {
				p.report(codeSchema, r.at+"/BackoffRate", "Expected a number of 1.0 or more")
			}
		}
		switch jitter := r.text("JitterStrategy"); jitter {
		case "", "NONE":
		case "FULL":
			entry.fullyJitter = true
		default:
			p.report(codeSchema, r.at+"/JitterStrategy", "Value is not one of [FULL, NONE]")
		}
		r.unknown()
		s.retry = append(s.retry, entry)
	}
	catchers := o.list("Catch")
	for i, v := range catchers {
		c := p.object(v, fmt.Sprintf("%s/Catch[%d]", o.at, i))
		c.text("Comment")
		s.catch = append(s.catch, catcher{errors: c.errorNames(i == len(catchers)-1), next: c.required("Next"), result: c.resultPath(), assign: c.assign()})
		c.unknown()
	}
}

func (p *parser) task(s *State, o *object) {
	p.worker(s, o)
	at := o.at + "/Resource"
	s.Resource = o.required("Resource")
	parts := strings.SplitN(s.Resource, ":", 6)
	switch {
	case s.Resource == "":
	case len(parts) != 6 || parts[0] != "arn" || parts[5] == "":
		p.report(codeSchema, at, "Value is not a valid resource ARN")
	case p.kind != Express:
	case strings.HasSuffix(s.Resource, ".waitForTaskToken"):
		p.report(codeSchema, at, "Express state machine does not support '.waitForTaskToken' service integration ")
	case strings.HasSuffix(s.Resource, ".sync"), strings.HasSuffix(s.Resource, ".sync:2"):
		p.report(codeSchema, at, "Express state machine does not support '.sync' service integration")
	case strings.HasPrefix(parts[5], "activity:"):
		p.report(codeSchema, at, "Express state machine does not support Activity ARN")
	}
	s.timeout, s.heartbeat = o.wholeOr("TimeoutSeconds", 1, 99999999), o.wholeOr("HeartbeatSeconds", 1, 99999999)
	if s.timeout.set && s.heartbeat.set && s.timeout.path == nil && s.heartbeat.path == nil && s.heartbeat.fixed >= s.timeout.fixed {
		p.report(codeSchema, o.at, "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
	if !o.has("Credentials") {
		return
	}
	c := p.object(o.take("Credentials"), o.at+"/Credentials")
	fixed, dynamic := c.text("RoleArn"), c.expression("RoleArn.$")
	switch {
	case (fixed != "") == (dynamic != nil):
		p.report(codeSchema, c.at, "Credentials must have either RoleArn or RoleArn.$")
	case fixed != "":
		s.credentials = &Expression{text: fixed, literal: fixed}
	default:
		s.credentials = dynamic
	}
	c.unknown()
}

func (p *parser) wait(s *State, o *object) {
	s.seconds = o.wholeOr("Seconds", 0, 99999999)
	given := 0
	if s.seconds.set {
		given++
	}
	if text := o.text("Timestamp"); text != "" {
		given++
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			p.report(codeSchema, o.at+"/Timestamp", "Value is not a valid timestamp")
		}
		s.until = at
	}
	if path := o.reference("TimestampPath"); path != nil {
		given++
		s.timestamp = &Expression{text: path.text, path: path}
	}
	if given != 1 {
		p.report(codeSchema, o.at, "Exactly one of the fields Seconds, SecondsPath, Timestamp and TimestampPath must be there")
	}
}

func (p *parser) mapState(s *State, o *object) {
	p.worker(s, o)
	for _, name := range []string{"ItemReader", "ItemBatcher", "ResultWriter", "Label", "ToleratedFailureCount", "ToleratedFailureCountPath", "ToleratedFailurePercentage", "ToleratedFailurePercentagePath"} {
		if o.take(name); o.has(name) {
			p.lacks("the field " + name + " of distributed Map states")
		}
	}
	if s.items = o.reference("ItemsPath"); s.items == nil {
		s.items = wholeInput
	}
	s.concurrency = o.wholeOr("MaxConcurrency", 0, 99999999)
	selector, old := o.template("ItemSelector"), o.template("Parameters")
	if selector != nil && old != nil {
		p.report(codeSchema, o.at, "Only one of the fields ItemSelector and Parameters may be there")
	}
	if s.parameters = selector; selector == nil {
		s.parameters = old
	}
	name := "ItemProcessor"
	if o.has("Iterator") {
		if name = "Iterator"; o.has("ItemProcessor") {
			p.report(codeSchema, o.at, "Only one of the fields ItemProcessor and Iterator may be there")
		}
	}
	if !o.has(name) {
		p.report(codeSchema, o.at, "These fields are required: [ItemProcessor]")
		return
	}
	inner := p.object(o.take(name), o.at+"/"+name)
	if inner.has("ProcessorConfig") {
		config := p.object(inner.take("ProcessorConfig"), inner.at+"/ProcessorConfig")
		switch mode := config.text("Mode"); mode {
		case "", "INLINE":
		case "DISTRIBUTED":
			p.lacks("the mode DISTRIBUTED of Map states")
			config.text("ExecutionType")
		default:
			p.report(codeSchema, config.at+"/Mode", "Value is not one of [INLINE, DISTRIBUTED]")
		}
		config.unknown()
	}
	s.branches = []*Machine{p.machine(inner, false)}
	inner.unknown()
}
