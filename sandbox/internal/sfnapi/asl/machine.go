package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Machine is a definition that has been read. It is immutable.
type Machine struct {
	StartAt string
	Timeout time.Duration // zero means none of its own
	States  map[string]*State
}

// A State is one state of a machine. Fields that do not belong to its type are
// zero.
type State struct {
	Name, Type string
	Next       string
	End        bool

	input, output *Path // nil means {}: the field was null
	result        *Path // nil means that the result is discarded
	parameters    *Template
	selector      *Template // ResultSelector
	assign        *Template
	retry         []retrier
	catch         []catcher

	Resource    string      // Task
	credentials *Expression // Task: the ARN of a role
	timeout     bound       // Task
	heartbeat   bound       // Task

	fixed    any  // Pass: Result
	hasFixed bool // Pass

	choices    []choice // Choice
	defaultsTo string   // Choice

	seconds   bound // Wait
	timestamp *Expression
	until     time.Time

	errorName, cause *Expression // Fail

	branches    []*Machine // Parallel, and the one of Map
	items       *Path      // Map
	concurrency bound      // Map
}

// A bound is a whole number that is given, or that a path selects.
type bound struct {
	set   bool
	fixed int
	path  *Path
}

func (b *bound) get(env *environment) (int, error) {
	if b.path == nil {
		return b.fixed, nil
	}
	v, err := b.path.Get(env.Scope)
	if err != nil {
		return 0, runtimeFailure("%s", err)
	}
	n, ok := whole(v)
	if !ok || n < 0 {
		return 0, runtimeFailure("the path '%s' selects %s, not a whole number that is 0 or more", clip(b.path.text), typeName(v))
	}
	return n, nil
}

type retrier struct {
	errors      []string
	interval    int
	attempts    int
	rate        float64
	maxDelay    int // 0 means none
	fullyJitter bool
}

type catcher struct {
	errors []string
	next   string
	result *Path
	assign *Template
}

// A Diagnostic is what is wrong with a definition, in the form that AWS uses.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinitionDiagnostic.html
type Diagnostic struct {
	Code     string // "SCHEMA_VALIDATION_FAILED", "MISSING_TRANSITION_TARGET", …
	Message  string
	Location string // a JSON pointer: "/States/First/Next"
	Warning  bool   // does not keep the definition from being used
}

// String words a diagnostic as errors of the API do.
func (d Diagnostic) String() string {
	if d.Location == "" {
		return d.Code + ": " + d.Message
	}
	return d.Code + ": " + d.Message + " at " + d.Location
}

// ErrUnsupported is wrapped by errors about parts of the language that AWS has
// and this package has not. Its text names them.
var ErrUnsupported = errors.New("is not in the sandbox")

// Codes of diagnostics.
const (
	codeJSON      = "INVALID_JSON_DESCRIPTION"
	codeSchema    = "SCHEMA_VALIDATION_FAILED"
	codeTarget    = "MISSING_TRANSITION_TARGET"
	codeDuplicate = "DUPLICATE_STATE_NAME"
)

// A Kind is the type of a state machine.
type Kind string

// The kinds of state machines.
const (
	Standard Kind = "STANDARD"
	Express  Kind = "EXPRESS"
)

// Parse reads a definition. The machine is nil if there is a diagnostic that is
// not a warning. An error wraps [ErrUnsupported]: the definition may be good, but
// it cannot be run here.
func Parse(definition string, kind Kind) (*Machine, []Diagnostic, error) {
	p := &parser{kind: kind, names: make(map[string]bool)}
	if strings.TrimSpace(definition) == "" {
		return nil, []Diagnostic{{Code: codeSchema, Message: "Definition must be a valid JSON object"}}, nil
	}
	v, err := Decode([]byte(definition))
	if err != nil {
		d := Diagnostic{Code: codeJSON, Message: err.Error()}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + strings.Count(definition[:min(int(syntax.Offset), len(definition))], "\n")
			d.Location = fmt.Sprintf("[line: %d]", line)
		}
		return nil, []Diagnostic{d}, nil
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, []Diagnostic{{Code: codeSchema, Message: "Definition must be a valid JSON object"}}, nil
	}
	o := p.object(v, "")
	o.text("Version")
	m := p.machine(o, true)
	o.unknown()
	if len(p.unsupported) > 0 {
		slices.Sort(p.unsupported)
		return nil, nil, fmt.Errorf("%s %w", strings.Join(slices.Compact(p.unsupported), ", "), ErrUnsupported)
	}
	if slices.ContainsFunc(p.diagnostics, func(d Diagnostic) bool { return !d.Warning }) {
		return nil, p.diagnostics, nil
	}
	return m, p.diagnostics, nil
}

// Resources calls f with every task of the machine, nested ones included.
func (m *Machine) Resources(f func(state, resource string)) {
	for _, name := range sortedKeys(m.States) {
		s := m.States[name]
		if s.Type == "Task" {
			f(name, s.Resource)
		}
		for _, branch := range s.branches {
			branch.Resources(f)
		}
	}
}

// States of a definition may be nested as deeply as its size allows. Reading
// them must not exhaust the stack.
const maxDepth = 100

type parser struct {
	kind        Kind
	names       map[string]bool
	depth       int
	diagnostics []Diagnostic
	unsupported []string
}

func (p *parser) report(code, location, format string, args ...any) {
	const most = 100 // what AWS returns at most
	if location == "" {
		location = "/"
	}
	if len(p.diagnostics) < most {
		p.diagnostics = append(p.diagnostics, Diagnostic{Code: code, Message: fmt.Sprintf(format, args...), Location: location})
	}
}

func (p *parser) lacks(what string) { p.unsupported = append(p.unsupported, what) }

// machine reads StartAt and States, of a definition, a branch or an item
// processor.
func (p *parser) machine(o *object, top bool) *Machine {
	m := &Machine{States: make(map[string]*State)}
	o.text("Comment")
	o.language()
	if top {
		if n := o.whole("TimeoutSeconds", 0, 99999999); n.set {
			m.Timeout = time.Duration(n.fixed) * time.Second
		}
	}
	if p.depth++; p.depth > maxDepth {
		p.report(codeSchema, o.at, "The definition is nested too deeply")
		return m
	}
	defer func() { p.depth-- }()
	var missing []string
	states, ok := o.take("States").(map[string]any)
	if !ok {
		missing = append(missing, "States")
	}
	if m.StartAt = o.text("StartAt"); m.StartAt == "" {
		missing = append(missing, "StartAt")
	}
	if len(missing) > 0 {
		p.report(codeSchema, o.at, "These fields are required: [%s]", strings.Join(missing, ", "))
		return m
	}
	for _, name := range sortedKeys(states) {
		at := o.at + "/States/" + pointer(name)
		switch {
		case p.names[name]:
			p.report(codeDuplicate, at, "Duplicate state name: %s", clip(name))
		case name == "" || len([]rune(name)) > 80:
			p.report(codeSchema, at, "The name of a state must have 1 to 80 characters")
		}
		p.names[name] = true
		m.States[name] = p.state(name, p.object(states[name], at))
	}
	p.targets(m, o.at)
	return m
}

// targets checks that transitions lead to states, and that every state can be
// reached.
func (p *parser) targets(m *Machine, at string) {
	reached := make(map[string]bool)
	ends := false
	var visit func(name, field, location string)
	visit = func(name, field, location string) {
		if name == "" {
			return // reported as a missing field
		}
		s, ok := m.States[name]
		if !ok {
			p.report(codeTarget, location, "Missing '%s' target: %s", field, clip(name))
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		ends = ends || s.End || s.Type == "Succeed" || s.Type == "Fail"
		here := at + "/States/" + pointer(name)
		visit(s.Next, "Next", here+"/Next")
		visit(s.defaultsTo, "Default", here+"/Default")
		for i := range s.choices {
			visit(s.choices[i].next, "Next", fmt.Sprintf("%s/Choices[%d]/Next", here, i))
		}
		for i := range s.catch {
			visit(s.catch[i].next, "Next", fmt.Sprintf("%s/Catch[%d]/Next", here, i))
		}
	}
	visit(m.StartAt, "StartAt", at+"/StartAt")
	for _, name := range sortedKeys(m.States) {
		if !reached[name] {
			p.report(codeTarget, at+"/States/"+pointer(name), "State \"%s\" is not reachable.", clip(name))
		}
	}
	if !ends && len(p.diagnostics) == 0 {
		p.diagnostics = append(p.diagnostics, Diagnostic{Code: codeSchema, Message: "No state ends the execution", Location: at + "/States", Warning: true})
	}
}

// pointer escapes a name for a JSON pointer.
func pointer(name string) string {
	return clip(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}
