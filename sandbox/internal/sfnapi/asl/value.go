package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Values are those of encoding/json with json.Number for numbers, so that they
// keep their digits. They are never changed once made, and share parts.

// Decode reads one JSON value.
func Decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more than one JSON value")
	}
	return v, nil
}

// Encode writes a value as JSON, as [Decode] reads it.
func Encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null" // values of Decode always marshal
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// within reports whether a value takes at most limit bytes as JSON, without
// writing it: parts that are shared many times count each time.
func within(v any, limit int) bool {
	left := limit
	return measure(v, &left)
}

func measure(v any, left *int) bool {
	switch v := v.(type) {
	case string:
		*left -= len(v) + 2
	case json.Number:
		*left -= len(v)
	case []any:
		*left -= 1 + max(len(v), 1)
		for _, item := range v {
			if *left < 0 || !measure(item, left) {
				return false
			}
		}
	case map[string]any:
		*left -= 1 + max(len(v), 1)
		for key, item := range v {
			*left -= len(key) + 3
			if *left < 0 || !measure(item, left) {
				return false
			}
		}
	default:
		*left -= 4
	}
	return *left >= 0
}

// equal compares values as JSON does: numbers by what they mean.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || number(a) == number(b))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	}
	return a == b
}

func number(n json.Number) float64 {
	f, err := n.Float64()
	if err != nil {
		return math.NaN()
	}
	return f
}

// whole returns a number without fraction.
func whole(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i, true
	}
	f := number(n)
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int(f), true
}

// Number makes a value of a whole number.
func Number[T ~int | ~int64](n T) json.Number { return json.Number(strconv.FormatInt(int64(n), 10)) }

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// clip shortens what stands in a message.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return string([]rune(s[:limit])[:]) + "…"
}
