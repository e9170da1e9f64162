package asl

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// A function is an intrinsic function.
type function struct {
	name        string
	least, most int // arguments; -1 is any number
	do          func(*environment, []any) (any, error)
}

// Limits of AWS on arguments and results.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
const (
	maxText  = 10_000 // characters that are encoded, decoded and hashed
	maxItems = 1000   // that an array is made of
)

var functions = func() map[string]*function {
	table := make(map[string]*function)
	for _, f := range []*function{
		{"States.Array", 0, -1, func(_ *environment, args []any) (any, error) { return args, nil }},
		{"States.ArrayContains", 2, 2, arrayContains},
		{"States.ArrayGetItem", 2, 2, arrayGetItem},
		{"States.ArrayLength", 1, 1, arrayLength},
		{"States.ArrayPartition", 2, 2, arrayPartition},
		{"States.ArrayRange", 3, 3, arrayRange},
		{"States.ArrayUnique", 1, 1, arrayUnique},
		{"States.Base64Decode", 1, 1, base64Decode},
		{"States.Base64Encode", 1, 1, base64Encode},
		{"States.Format", 1, -1, format},
		{"States.Hash", 2, 2, hash},
		{"States.JsonMerge", 3, 3, jsonMerge},
		{"States.JsonToString", 1, 1, jsonToString},
		{"States.MathAdd", 2, 2, mathAdd},
		{"States.MathRandom", 2, 3, mathRandom},
		{"States.StringSplit", 2, 2, stringSplit},
		{"States.StringToJson", 1, 1, stringToJSON},
		{"States.UUID", 0, 0, uuid},
	} {
		table[f.name] = f
	}
	return table
}()

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is given where a string is needed", typeName(v))
	}
	return s, nil
}

func array(v any) ([]any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is given where an array is needed", typeName(v))
	}
	return list, nil
}

// integer rounds a number as AWS does with arguments that must be whole.
func integer(v any) (int, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%s is given where a number is needed", typeName(v))
	}
	if i, ok := whole(n); ok {
		return i, nil
	}
	f := math.Floor(number(n) + 0.5)
	if !(math.Abs(f) < 1<<53) {
		return 0, fmt.Errorf("the number %s is too large", clip(n.String()))
	}
	return int(f), nil
}

func arrayContains(_ *environment, args []any) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	return slices.ContainsFunc(list, func(v any) bool { return equal(v, args[1]) }), nil
}

func arrayGetItem(_ *environment, args []any) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	i, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(list) {
		return nil, fmt.Errorf("the index %d is out of bounds for an array of %d", i, len(list))
	}
	return list[i], nil
}

func arrayLength(_ *environment, args []any) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	return Number(len(list)), nil
}

func arrayPartition(_ *environment, args []any) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	size, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, errors.New("the size of the chunks must be 1 or more")
	}
	parts := []any{}
	for chunk := range slices.Chunk(list, size) {
		if len(parts) == maxItems {
			return nil, fmt.Errorf("there would be more than %d chunks", maxItems)
		}
		parts = append(parts, slices.Clip(chunk))
	}
	return parts, nil
}

func arrayRange(_ *environment, args []any) (any, error) {
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = integer(args[i]); err != nil {
			return nil, err
		}
	}
	from, to, by := n[0], n[1], n[2]
	if by == 0 {
		return nil, errors.New("the increment must not be 0")
	}
	list := []any{}
	for i := from; by > 0 && i <= to || by < 0 && i >= to; i += by {
		if len(list) == maxItems {
			return nil, fmt.Errorf("there would be more than %d elements", maxItems)
		}
		list = append(list, Number(i))
	}
	return list, nil
}

func arrayUnique(_ *environment, args []any) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	if !within(list, 4*MaxData) {
		return nil, errors.New("the array is too large")
	}
	seen := make(map[string]bool, len(list))
	unique := []any{}
	for _, v := range list {
		key := Encode(normal(v))
		if !seen[key] {
			seen[key] = true
			unique = append(unique, v)
		}
	}
	return unique, nil
}

// normal writes numbers in one way, so that equal values look equal.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = normal(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = normal(v[name])
		}
		return object
	}
	return v
}

func shortText(v any) (string, error) {
	s, err := text(v)
	if err == nil && utf8.RuneCountInString(s) > maxText {
		err = fmt.Errorf("the string is longer than %d characters", maxText)
	}
	return s, err
}

func base64Encode(_ *environment, args []any) (any, error) {
	s, err := shortText(args[0])
	return base64.StdEncoding.EncodeToString([]byte(s)), err
}

func base64Decode(_ *environment, args []any) (any, error) {
	s, err := shortText(args[0])
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("the string is not Base64")
	}
	return strings.ToValidUTF8(string(data), "�"), nil
}

// format fills the {} of a template. A backslash keeps a brace.
func format(_ *environment, args []any) (any, error) {
	template, err := text(args[0])
	if err != nil {
		return nil, err
	}
	rest := args[1:]
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		switch c := template[i]; {
		case c == '\\' && i+1 < len(template):
			i++
			b.WriteByte(template[i])
		case c == '{' && strings.HasPrefix(template[i:], "{}"):
			if len(rest) == 0 {
				return nil, errors.New("there are more {} than arguments")
			}
			if !within(rest[0], MaxData-min(b.Len(), MaxData)) {
				return nil, errTooLong
			}
			if s, ok := rest[0].(string); ok {
				b.WriteString(s)
			} else {
				b.WriteString(Encode(rest[0]))
			}
			rest = rest[1:]
			i++
		case c == '{' || c == '}':
			return nil, errors.New("a brace that is not part of {} needs a backslash before it")
		default:
			b.WriteByte(c)
		}
	}
	if len(rest) > 0 {
		return nil, errors.New("there are more arguments than {}")
	}
	return b.String(), nil
}

var errTooLong = fmt.Errorf("the result is longer than %d bytes", MaxData)

func hash(_ *environment, args []any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		if !within(args[0], maxText) {
			return nil, fmt.Errorf("the value is longer than %d characters", maxText)
		}
		s = Encode(args[0])
	}
	s, err := shortText(s)
	if err != nil {
		return nil, err
	}
	algorithm, err := text(args[1])
	if err != nil {
		return nil, err
	}
	var sum []byte
	switch data := []byte(s); algorithm {
	case "MD5":
		d := md5.Sum(data)
		sum = d[:]
	case "SHA-1":
		d := sha1.Sum(data)
		sum = d[:]
	case "SHA-256":
		d := sha256.Sum256(data)
		sum = d[:]
	case "SHA-384":
		d := sha512.Sum384(data)
		sum = d[:]
	case "SHA-512":
		d := sha512.Sum512(data)
		sum = d[:]
	default:
		return nil, fmt.Errorf("the algorithm '%s' is none of MD5, SHA-1, SHA-256, SHA-384 and SHA-512", clip(algorithm))
	}
	return hex.EncodeToString(sum), nil
}

func jsonMerge(_ *environment, args []any) (any, error) {
	a, okA := args[0].(map[string]any)
	b, okB := args[1].(map[string]any)
	deep, okDeep := args[2].(bool)
	switch {
	case !okA || !okB:
		return nil, errors.New("only objects can be merged")
	case !okDeep || deep:
		return nil, errors.New("the third argument must be false: Step Functions merges shallowly only")
	}
	merged := make(map[string]any, len(a)+len(b))
	for name, v := range a {
		merged[name] = v
	}
	for name, v := range b {
		merged[name] = v
	}
	return merged, nil
}

func jsonToString(_ *environment, args []any) (any, error) {
	if !within(args[0], MaxData) {
		return nil, errTooLong
	}
	return Encode(args[0]), nil
}

func stringToJSON(_ *environment, args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	v, err := Decode([]byte(s))
	if err != nil {
		return nil, errors.New("the string is not JSON") // what it is may be a secret
	}
	return v, nil
}

func mathAdd(_ *environment, args []any) (any, error) {
	a, err := integer(args[0])
	if err != nil {
		return nil, err
	}
	b, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	for _, n := range []int{a, b, a + b} {
		if n < math.MinInt32 || n > math.MaxInt32 {
			return nil, fmt.Errorf("%d is not between -2147483648 and 2147483647", n)
		}
	}
	return Number(a + b), nil
}

// mathRandom returns a number from the first (included) to the second (not
// included). The same seed gives the same number, but not AWS's.
func mathRandom(env *environment, args []any) (any, error) {
	from, err := integer(args[0])
	if err != nil {
		return nil, err
	}
	to, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	if from >= to {
		return nil, errors.New("the start must be less than the end")
	}
	var seed [32]byte
	if len(args) == 3 {
		n, err := integer(args[2])
		if err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint64(seed[:], uint64(n))
	} else if _, err := io.ReadFull(env.run, seed[:]); err != nil {
		return nil, err
	}
	return Number(from + rand.New(rand.NewChaCha8(seed)).IntN(to-from)), nil
}

// stringSplit divides a string at any of the given characters.
func stringSplit(_ *environment, args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	separators, err := text(args[1])
	if err != nil {
		return nil, err
	}
	parts := []any{}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		parts = append(parts, part)
	}
	return parts, nil
}

func uuid(env *environment, _ []any) (any, error) {
	var b [16]byte
	if _, err := io.ReadFull(env.run, b[:]); err != nil {
		return nil, err
	}
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
