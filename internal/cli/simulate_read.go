package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// A caseReader reads one case or an array of cases, one at a time.
type caseReader struct {
	lines   *lineReader
	decoder *json.Decoder
	begun   bool
	array   bool
	index   int
}

// A readCase is a case that was understood and decided.
type readCase struct {
	*cases.Case
	result *cases.Result
}

// A caseError is what is wrong with one case. Cases after it can still be read.
type caseError struct {
	Name  string // of the case
	Field string // such as "identityPolicies[1].Statement[0].Action"
	Line  int    // in the file, from 1
	Index int    // of the case in the file, from 0

	message string
}

func (e *caseError) Error() string {
	s := fmt.Sprintf("case %d", e.Index)
	if e.Name != "" {
		s += fmt.Sprintf(" (%q)", e.Name)
	}
	if e.Field != "" {
		s += ": " + e.Field
	}
	return s + ": " + e.message
}

func newCaseReader(r io.Reader) *caseReader {
	lines := &lineReader{r: r, line: 1}
	return &caseReader{lines: lines, decoder: json.NewDecoder(lines)}
}

// next returns the next case, io.EOF after the last one, a *caseError for a
// malformed one, or another error if no more can be read.
func (r *caseReader) next() (*readCase, error) {
	if !r.begun {
		r.begun = true
		first, err := r.lines.peek()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("there is nothing in it; a case or an array of cases is expected")
		}
		if err != nil {
			return nil, err
		}
		if r.array = first == '['; r.array {
			if _, err := r.decoder.Token(); err != nil {
				return nil, r.broken(err)
			}
		}
	} else if !r.array {
		return nil, r.end()
	}
	if r.array && !r.decoder.More() {
		if _, err := r.decoder.Token(); err != nil {
			return nil, r.broken(err)
		}
		r.array = false // only the end is left
		return nil, r.end()
	}
	var raw json.RawMessage
	if err := r.decoder.Decode(&raw); err != nil {
		return nil, r.broken(err)
	}
	line := r.lines.at(r.decoder.InputOffset() - int64(len(raw)))
	index := r.index
	r.index++

	c, err := decideCase(raw)
	if err == nil {
		return c, nil
	}
	wrong := diagnose(raw, err)
	wrong.Index = index
	wrong.Line += line - 1
	return nil, wrong
}

// end expects nothing more.
func (r *caseReader) end() error {
	if _, err := r.decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: there is more after the end of the JSON value", r.lines.at(r.decoder.InputOffset()))
	}
	return io.EOF
}

// broken reports JSON that cannot be read on from here.
func (r *caseReader) broken(err error) error {
	offset := r.decoder.InputOffset()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = max(offset, syntax.Offset-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, offset = errors.New("the JSON ends too early"), r.lines.read
	}
	return fmt.Errorf("line %d: case %d: %w", r.lines.at(offset), r.index, err)
}

func decideCase(raw json.RawMessage) (*readCase, error) {
	c := &cases.Case{}
	if err := decodeStrict(raw, c); err != nil {
		return nil, err
	}
	// The decoder takes the last of two members with one name; a layer that is
	// lost that way would be an answer to another question.
	for _, object := range []json.RawMessage{raw, memberOf(raw, "request")} {
		seen := map[string]bool{}
		for _, m := range parts(0, object) {
			if seen[m.name] {
				return nil, fmt.Errorf("%s is there twice", m.name)
			}
			seen[m.name] = true
		}
	}
	result, err := c.Run()
	if err != nil {
		return nil, err
	}
	return &readCase{c, result}, nil
}

func decodeStrict(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// A lineReader knows the lines of what was read through it. It keeps only the
// line ends that were not asked about yet.
type lineReader struct {
	r       io.Reader
	pending []byte // peeked at
	read    int64
	ends    []int64 // offsets of line ends after the last question
	line    int     // at the last question
}

// peek returns the first byte that is not a space.
func (l *lineReader) peek() (byte, error) {
	one := make([]byte, 1)
	for {
		n, err := l.r.Read(one)
		if n == 1 {
			l.pending = append(l.pending, one[0])
			if !strings.ContainsRune(" \t\r\n", rune(one[0])) {
				return one[0], nil
			}
		}
		if err != nil {
			return 0, err
		}
	}
}

func (l *lineReader) Read(p []byte) (int, error) {
	n, err := copy(p, l.pending), error(nil)
	if n > 0 {
		l.pending = l.pending[n:]
	} else {
		n, err = l.r.Read(p)
	}
	for i := range p[:n] {
		if p[i] == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// at returns the line of an offset. Offsets must not go down.
func (l *lineReader) at(offset int64) int {
	passed := 0
	for passed < len(l.ends) && l.ends[passed] < offset {
		passed++
	}
	l.line += passed
	l.ends = l.ends[passed:]
	return l.line
}

// diagnose finds out where in a case the mistake is that err is about. Lines
// are counted from the beginning of the case.
func diagnose(raw json.RawMessage, err error) *caseError {
	d := &diagnosis{raw: raw}
	d.object("", 0, raw, map[string]func(string, int, json.RawMessage){
		"name": func(path string, at int, value json.RawMessage) {
			decodeField[string](d, path, at, value)
			_ = json.Unmarshal(value, &d.name)
		},
		"source": checkField[string](d),
		"request": func(path string, at int, value json.RawMessage) {
			d.object(path, at, value, map[string]func(string, int, json.RawMessage){
				"principal": checkField[cases.Principal](d),
				"action":    checkField[string](d),
				"resource": func(path string, at int, value json.RawMessage) {
					if value[0] == '"' {
						return // just the ARN
					}
					d.object(path, at, value, map[string]func(string, int, json.RawMessage){
						"resource": checkField[string](d), "accountId": checkField[iam.AccountID](d)})
				},
				"context": func(path string, at int, value json.RawMessage) {
					d.object(path, at, value, nil)
				},
				"unknown": checkField[[]string](d),
			})
		},
		"identityPolicies":        d.policies(iam.KindIdentity),
		"resourcePolicy":          d.policy(kindOfResourcePolicy(raw)),
		"permissionBoundaries":    d.policies(iam.KindBoundary),
		"sessionPolicy":           d.policy(iam.KindSession),
		"serviceControlPolicies":  d.levels(iam.KindServiceControl),
		"resourceControlPolicies": d.levels(iam.KindResourceControl),
		"endpointPolicies":        d.policies(iam.KindEndpoint),
		"expected": func(path string, at int, value json.RawMessage) {
			d.object(path, at, value, map[string]func(string, int, json.RawMessage){
				"response": func(path string, at int, value json.RawMessage) {
					decodeField[string](d, path, at, value)
				},
			})
		},
	})
	if d.found != nil {
		d.found.Name = d.name
		return d.found
	}
	message := strings.TrimPrefix(err.Error(), fmt.Sprintf("case %q: ", d.name))
	field, line := "", 1
	for _, known := range []string{"expected.response", "request"} {
		if rest, ok := strings.CutPrefix(message, known+" "); ok || strings.HasPrefix(message, "the "+known+" ") {
			if field = known; ok {
				message = rest
			}
			line = d.lineOfMember(strings.Split(known, ".")...)
		}
	}
	return &caseError{Name: d.name, Field: field, Line: line, message: message}
}

// A diagnosis looks at the parts of a case one by one and keeps the first
// problem.
type diagnosis struct {
	raw   json.RawMessage
	name  string
	found *caseError
}

func (d *diagnosis) line(at int) int { return 1 + bytes.Count(d.raw[:at], []byte{'\n'}) }

func (d *diagnosis) report(path string, line int, message string) {
	if d.found == nil {
		d.found = &caseError{Field: path, Line: line, message: message}
	}
}

// A part is a member of an object or an element of an array.
type part struct {
	name  string
	at    int // offset of the value
	value json.RawMessage
}

// parts splits an object or an array, which is known to be well-formed JSON.
func parts(base int, raw json.RawMessage) []part {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	open, err := decoder.Token()
	if err != nil {
		return nil
	}
	var out []part
	for decoder.More() {
		var p part
		if open == json.Delim('{') {
			key, err := decoder.Token()
			if err != nil {
				return out
			}
			p.name, _ = key.(string)
		}
		if err := decoder.Decode(&p.value); err != nil {
			return out
		}
		p.at = base + int(decoder.InputOffset()) - len(p.value)
		out = append(out, p)
	}
	return out
}

// memberOf returns the value of a member of an object, nil if it has none.
func memberOf(object json.RawMessage, name string) json.RawMessage {
	for _, m := range parts(0, object) {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// object checks the members of an object. With nil for fields, any name has a
// context value.
func (d *diagnosis) object(path string, at int, raw json.RawMessage, fields map[string]func(string, int, json.RawMessage)) {
	if isNull(raw) && path != "" {
		return
	}
	if raw[0] != '{' {
		d.report(path, d.line(at), "must be an object")
		return
	}
	seen := map[string]bool{}
	for _, m := range parts(at, raw) {
		name := m.name
		if path != "" {
			name = path + "." + m.name
		}
		if seen[m.name] {
			d.report(name, d.line(m.at), "is there twice")
		}
		seen[m.name] = true
		check, ok := fields[m.name]
		switch {
		case fields == nil:
			decodeField[cases.Value](d, name, m.at, m.value)
		case ok:
			check(name, m.at, m.value)
		default:
			if known := slices.Sorted(maps.Keys(fields)); cases.Misspelt(m.name, known...) {
				d.report(name, d.line(m.at), fmt.Sprintf("is unknown; known are %s", strings.Join(known, ", ")))
			}
		}
	}
}

func decodeField[T any](d *diagnosis, path string, at int, value json.RawMessage) {
	var into T
	if err := decodeStrict(value, &into); err != nil {
		message := err.Error()
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			message = fmt.Sprintf("must be a JSON %s, not a %s", wrong.Type.Kind(), wrong.Value)
		}
		d.report(path, d.line(at), message)
	}
}

func checkField[T any](d *diagnosis) func(string, int, json.RawMessage) {
	return func(path string, at int, value json.RawMessage) { decodeField[T](d, path, at, value) }
}

func (d *diagnosis) list(path string, at int, raw json.RawMessage, check func(string, int, json.RawMessage)) {
	if isNull(raw) {
		return
	}
	if raw[0] != '[' {
		d.report(path, d.line(at), "must be a list")
		return
	}
	for i, e := range parts(at, raw) {
		check(fmt.Sprintf("%s[%d]", path, i), e.at, e.value)
	}
}

func (d *diagnosis) policies(kind iam.Kind) func(string, int, json.RawMessage) {
	return func(path string, at int, raw json.RawMessage) { d.list(path, at, raw, d.policy(kind)) }
}

func (d *diagnosis) levels(kind iam.Kind) func(string, int, json.RawMessage) {
	return func(path string, at int, raw json.RawMessage) {
		d.list(path, at, raw, func(path string, at int, raw json.RawMessage) {
			d.object(path, at, raw, map[string]func(string, int, json.RawMessage){
				"orgIdentifier": checkField[string](d), "policies": d.policies(kind)})
		})
	}
}

func (d *diagnosis) policy(kind iam.Kind) func(string, int, json.RawMessage) {
	return func(path string, at int, raw json.RawMessage) {
		if isNull(raw) && !strings.HasSuffix(path, "]") {
			return
		}
		if decodeField[cases.Policy](d, path, at, raw); d.found != nil {
			return
		}
		for _, m := range parts(at, raw) {
			if m.name == "policy" {
				path, at, raw = path+".policy", m.at, m.value
			}
		}
		p, problems := iam.Parse(raw)
		if len(problems) == 0 {
			problems = p.Check(kind)
		}
		if len(problems) == 0 {
			return
		}
		problem := problems[0]
		message := problem.Message
		if more := len(problems) - 1; more > 0 {
			message += fmt.Sprintf(" (and %d more in this policy)", more)
		}
		if problem.Path != "" {
			path += "." + problem.Path
		}
		d.report(path, d.line(at)+max(problem.Position.Line-1, 0), message)
	}
}

// lineOfMember returns the line of a member of the case.
func (d *diagnosis) lineOfMember(names ...string) int {
	at, raw := 0, d.raw
	for _, name := range names {
		for _, m := range parts(at, raw) {
			if m.name == name {
				at, raw = m.at, m.value
				break
			}
		}
	}
	return d.line(at)
}

// kindOfResourcePolicy is the kind that the case's own reader takes the
// resource policy for.
func kindOfResourcePolicy(raw json.RawMessage) iam.Kind {
	var c struct {
		Request struct {
			Action   string
			Resource struct{ Resource string }
		}
	}
	_ = json.Unmarshal(raw, &c)
	arn, err := iam.ParseARN(c.Request.Resource.Resource)
	if service, _, _ := strings.Cut(c.Request.Action, ":"); err == nil && strings.EqualFold(service, "sts") &&
		arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/") {
		return iam.KindTrust
	}
	return iam.KindResource
}
