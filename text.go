package crossaccount

import (
	"errors"
	"strconv"
	"unicode"
)

func decimal(n int) string { return strconv.Itoa(n) }

// isUnprintable reports what must not be in ids and names: control characters,
// invalid UTF-8 and the invisible characters that make two names look the same.
func isUnprintable(r rune) bool {
	return r == unicode.ReplacementChar || !unicode.IsPrint(r)
}

// asError returns the [*Error] in err. The SDK wraps what providers return.
func asError(err error) error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	if err == nil {
		return nil
	}
	return NewError(CodeAWS, "an AWS call failed", "try again later", failure(err))
}

// causeOf returns what an error may tell the log beyond its code. AWS's own
// messages are not among it.
func causeOf(err error) string {
	var ours *Error
	if errors.As(err, &ours) && ours.cause != nil {
		return ours.cause.Error()
	}
	return ""
}

// apiCodeOf returns AWS's code of a failed call.
func apiCodeOf(err error) string {
	var f *callError
	if errors.As(err, &f) {
		return f.code
	}
	return ""
}

// errorText returns what the log may tell about any error.
func errorText(err error) string {
	var ours *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &ours):
		return string(ours.Code) + " " + causeOf(err)
	}
	return err.Error()
}
