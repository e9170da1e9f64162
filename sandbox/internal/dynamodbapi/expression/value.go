package expression

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Type is the type of an attribute value, as its member is called in JSON.
type Type string

// The ten types.
const (
	String    Type = "S"
	Number    Type = "N"
	Binary    Type = "B"
	Boolean   Type = "BOOL"
	Null      Type = "NULL"
	List      Type = "L"
	Map       Type = "M"
	StringSet Type = "SS"
	NumberSet Type = "NS"
	BinarySet Type = "BS"
)

// typeNames are the names in messages about operands.
var typeNames = map[Type]string{
	String: "STRING", Number: "NUMBER", Binary: "BINARY", Boolean: "BOOLEAN", Null: "NULL", List: "LIST", Map: "MAP",
	StringSet: "STRING_SET", NumberSet: "NUMBER_SET", BinarySet: "BINARY_SET",
}

// A Value is an attribute value. Values are never changed once they are made;
// they may share parts.
type Value struct {
	Type Type
	Text string           // S as it is, N in its one canonical form, the bytes of B
	True bool             // of BOOL
	List []Value          // of L
	Map  map[string]Value // of M
	Set  []string         // of SS, NS and BS, as Text, in the order given
}

// An Item is an item: its attributes by name.
type Item map[string]Value

// Text makes a value of type S.
func Text(s string) Value { return Value{Type: String, Text: s} }

// Int makes a value of type N.
func Int(n int) Value { return Value{Type: Number, Text: fmt.Sprint(n)} }

// maxDepth is how deep lists and maps may be nested.
const maxDepth = 32

// UnmarshalJSON reads {"S": "text"} and its kin. A value that DynamoDB refuses
// gives a ValidationException.
func (v *Value) UnmarshalJSON(data []byte) error { return v.read(data, 0) }

func (v *Value) read(data []byte, depth int) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	maps.DeleteFunc(members, func(_ string, m json.RawMessage) bool { return string(m) == "null" })
	switch {
	case depth > maxDepth:
		return Invalid("Nesting Levels have exceeded supported limits")
	case len(members) == 0:
		return Invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case len(members) > 1:
		return Invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	for name, member := range members {
		v.Type = Type(name)
		if err := v.readMember(member, depth); err != nil {
			return err
		}
	}
	return nil
}

func (v *Value) readMember(member json.RawMessage, depth int) error {
	switch v.Type {
	case String, Number, Binary:
		var text string
		if err := json.Unmarshal(member, &text); err != nil {
			return err
		}
		var err *wire.Error
		if v.Text, err = scalar(v.Type, text); err != nil {
			return err
		}
	case Boolean:
		return json.Unmarshal(member, &v.True)
	case Null:
		var yes bool
		if err := json.Unmarshal(member, &yes); err != nil {
			return err
		}
		if !yes {
			return Invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	case List:
		var list []json.RawMessage
		if err := json.Unmarshal(member, &list); err != nil {
			return err
		}
		v.List = make([]Value, len(list))
		for i := range list {
			if err := v.List[i].read(list[i], depth+1); err != nil {
				return err
			}
		}
	case Map:
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(member, &raw); err != nil {
			return err
		}
		v.Map = make(map[string]Value, len(raw))
		for name, m := range raw {
			var entry Value
			if err := entry.read(m, depth+1); err != nil {
				return err
			}
			v.Map[name] = entry
		}
	case StringSet, NumberSet, BinarySet:
		return v.readSet(member)
	default:
		return Invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	return nil
}

func (v *Value) readSet(member json.RawMessage) error {
	var texts []string
	if err := json.Unmarshal(member, &texts); err != nil {
		return err
	}
	if len(texts) == 0 {
		kind := map[Type]string{StringSet: "string", NumberSet: "number", BinarySet: "binary"}[v.Type]
		return Invalid("One or more parameter values were invalid: An %s set  may not be empty", kind)
	}
	seen := make(map[string]bool, len(texts))
	for _, text := range texts {
		element, err := scalar(v.Type[:1], text)
		if err != nil {
			return err
		}
		if seen[element] {
			return Invalid("One or more parameter values were invalid: Input collection %s contains duplicates.", clip("["+strings.Join(texts, ", ")+"]"))
		}
		seen[element] = true
		v.Set = append(v.Set, element)
	}
	return nil
}

// scalar returns the text that a value of type S, N or B keeps.
func scalar(t Type, text string) (string, *wire.Error) {
	switch t {
	case Number:
		d, err := parseNumber(text)
		if err != nil {
			return "", err
		}
		return d.String(), nil
	case Binary:
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", wire.BadRequest("SerializationException", "Base64 encoding of a binary value is wrong")
		}
		return string(data), nil
	}
	return text, nil
}

// MarshalJSON writes {"S": "text"} and its kin.
func (v Value) MarshalJSON() ([]byte, error) {
	var member any
	switch v.Type {
	case String, Number:
		member = v.Text
	case Binary:
		member = []byte(v.Text)
	case Boolean:
		member = v.True
	case Null:
		member = true
	case List:
		member = v.List
		if v.List == nil {
			member = []Value{}
		}
	case Map:
		member = v.Map
		if v.Map == nil {
			member = Item{}
		}
	case BinarySet:
		list := make([][]byte, len(v.Set))
		for i, element := range v.Set {
			list[i] = []byte(element)
		}
		member = list
	case StringSet, NumberSet:
		member = v.Set
	default:
		return nil, fmt.Errorf("a value of type %q", v.Type)
	}
	return json.Marshal(map[Type]any{v.Type: member})
}

// number returns the decimal of a value of type N, or of a set's element.
func number(text string) decimal {
	d, err := parseNumber(text)
	if err != nil {
		panic(err) // it was checked when the value was made
	}
	return d
}

// Equal reports whether two values are the same. Sets have no order.
func (v Value) Equal(o Value) bool {
	if v.Type != o.Type {
		return false
	}
	switch v.Type {
	case Boolean:
		return v.True == o.True
	case Null:
		return true
	case List:
		return slices.EqualFunc(v.List, o.List, Value.Equal)
	case Map:
		return maps.EqualFunc(v.Map, o.Map, Value.Equal)
	case StringSet, NumberSet, BinarySet:
		return len(v.Set) == len(o.Set) && !slices.ContainsFunc(v.Set, func(e string) bool { return !slices.Contains(o.Set, e) })
	case String, Number, Binary:
	}
	return v.Text == o.Text
}

// Compare orders two values of the same type S, N or B; ok is false for any
// others.
func (v Value) Compare(o Value) (order int, ok bool) {
	if v.Type != o.Type {
		return 0, false
	}
	switch v.Type {
	case String, Binary:
		return strings.Compare(v.Text, o.Text), true
	case Number:
		return number(v.Text).compare(number(o.Text)), true
	default:
		return 0, false
	}
}

// Size is the value's share of an item's size, in bytes.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func (v Value) Size() int {
	size := 0
	switch v.Type {
	case String, Binary:
		return len(v.Text)
	case Number:
		return number(v.Text).size()
	case Boolean, Null:
		return 1
	case List:
		size = 3
		for _, e := range v.List {
			size += 1 + e.Size()
		}
	case Map:
		size = 3
		for name, e := range v.Map {
			size += 1 + len(name) + e.Size()
		}
	case NumberSet:
		for _, e := range v.Set {
			size += number(e).size()
		}
	case StringSet, BinarySet:
		for _, e := range v.Set {
			size += len(e)
		}
	}
	return size
}

// Size is the item's size in bytes, names included.
func (i Item) Size() int {
	size := 0
	for name, v := range i {
		size += len(name) + v.Size()
	}
	return size
}

// length is what the function size returns; ok is false for types without one.
func (v Value) length() (n int, ok bool) {
	switch v.Type {
	case String:
		return utf8.RuneCountInString(v.Text), true
	case Binary:
		return len(v.Text), true
	case List:
		return len(v.List), true
	case Map:
		return len(v.Map), true
	case StringSet, NumberSet, BinarySet:
		return len(v.Set), true
	default:
		return 0, false
	}
}

// describe writes a value as messages of DynamoDB do: {N:5}.
func (v Value) describe() string {
	switch v.Type {
	case String, Number:
		return "AttributeValue: {" + string(v.Type) + ":" + clip(v.Text) + "}"
	default:
		return "AttributeValue: {" + string(v.Type) + "}"
	}
}
