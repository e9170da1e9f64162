package stsapi

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// violations collects what is wrong with the parameters of a request, in the
// words of AWS's parameter validation.
type violations []string

func (v *violations) add(name, value, constraint string) {
	*v = append(*v, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: Member must %s", value, name, constraint))
}

// err returns nil or a ValidationError that names all violations.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	plural := "s"
	if len(v) == 1 {
		plural = ""
	}
	return invalid("%d validation error%s detected: %s", len(v), plural, strings.Join(v, "; "))
}

func invalid(format string, args ...any) *wire.Error {
	return wire.BadRequest("ValidationError", format, args...)
}

func denied(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusForbidden, "AccessDenied", format, args...)
}

// A text is the constraint on a string parameter.
type text struct {
	name     string
	min, max int
	pattern  *regexp.Regexp // nil: any characters
	shown    string         // the pattern as AWS shows it
	required bool
	hidden   bool // the value is not repeated
}

// check reports what is wrong with a value; nil means that it was not given.
func (v *violations) check(t text, value *string) {
	if value == nil {
		if t.required {
			v.add(t.name, "null", "not be null")
		}
		return
	}
	shown := "'" + wire.Clip(*value) + "'"
	if t.hidden {
		shown = "(hidden)"
	}
	length := utf8.RuneCountInString(*value)
	if length < t.min {
		v.add(t.name, shown, fmt.Sprintf("have length greater than or equal to %d", t.min))
	}
	if length > t.max {
		v.add(t.name, shown, fmt.Sprintf("have length less than or equal to %d", t.max))
	}
	if t.pattern != nil && !t.pattern.MatchString(*value) {
		v.add(t.name, shown, "satisfy regular expression pattern: "+t.shown)
	}
}

// checkRange reports a number outside of min to max.
func (v *violations) checkRange(name string, value *int, min, max int) {
	switch {
	case value == nil:
	case *value < min:
		v.add(name, fmt.Sprintf("'%d'", *value), fmt.Sprintf("have value greater than or equal to %d", min))
	case *value > max:
		v.add(name, fmt.Sprintf("'%d'", *value), fmt.Sprintf("have value less than or equal to %d", max))
	}
}

// Constraints: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
var (
	namePattern       = regexp.MustCompile(`^[\w+=,.@-]*$`)
	externalIDPattern = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
	policyPattern     = regexp.MustCompile("^[\t\n\r\u0020-\u00FF]+$")
	tagKeyPattern     = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)
	tagValuePattern   = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	keyIDPattern      = regexp.MustCompile(`^\w*$`)

	roleARNText     = text{name: "roleArn", min: 20, max: 2048, required: true}
	sessionNameText = text{name: "roleSessionName", min: 2, max: 64, required: true, pattern: namePattern, shown: `[\w+=,.@-]*`}
	externalIDText  = text{name: "externalId", min: 2, max: 1224, pattern: externalIDPattern, shown: `[\w+=,.@:\/-]*`, hidden: true}
	sourceText      = text{name: "sourceIdentity", min: 2, max: 64, pattern: namePattern, shown: `[\w+=,.@-]*`}
	policyText      = text{name: "policy", min: 1, max: 2048, pattern: policyPattern, shown: `[\u0009\u000A\u000D\u0020-\u00FF]+`}
	keyIDText       = text{name: "accessKeyId", min: 16, max: 128, required: true, pattern: keyIDPattern, shown: `[\w]*`}
)
