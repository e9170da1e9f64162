package cfn

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// NodeKind says what a [Node] is.
type NodeKind int

// The kinds of nodes.
const (
	NodeNull NodeKind = iota
	NodeText
	NodeNumber
	NodeBool
	NodeList
	NodeMap
)

// String returns CloudFormation's word for the kind.
func (k NodeKind) String() string {
	switch k {
	case NodeNull:
		return "null"
	case NodeText:
		return "string"
	case NodeNumber:
		return "number"
	case NodeBool:
		return "boolean"
	case NodeList:
		return "list"
	case NodeMap:
		return "object"
	}
	return "NodeKind(" + strconv.Itoa(int(k)) + ")"
}

// A Node is one value of a template, as written or as resolved. YAML's short
// forms look like their long forms: !GetAtt Role.Arn is a map with the single
// entry "Fn::GetAtt", whose value is the list of "Role" and "Arn".
type Node struct {
	Kind NodeKind

	// Text is the value of a string, number or boolean. Numbers are kept as
	// they were written; booleans are "true" or "false".
	Text string

	Items   []*Node // of a list
	Entries []Entry // of a map, in the order written

	// Position is where the value begins; the zero Position if the value was
	// made, not read.
	Position iam.Position
}

// An Entry is one key of a map with its value.
type Entry struct {
	Key         string
	KeyPosition iam.Position
	Value       *Node
}

// NewText returns a string node without a position.
func NewText(s string) *Node { return &Node{Kind: NodeText, Text: s} }

// NewTextList returns a list of string nodes without positions.
func NewTextList(values []string) *Node {
	n := &Node{Kind: NodeList}
	for _, v := range values {
		n.Items = append(n.Items, NewText(v))
	}
	return n
}

// Get returns the value of a key, or nil if the node is nil, is not a map or
// lacks the key.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != NodeMap {
		return nil
	}
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return n.Entries[i].Value
		}
	}
	return nil
}

// IsScalar reports whether the node is a string, a number or a boolean, which
// CloudFormation takes for one another.
func (n *Node) IsScalar() bool {
	return n != nil && (n.Kind == NodeText || n.Kind == NodeNumber || n.Kind == NodeBool)
}

// Function returns the name and the argument of the intrinsic function that
// the node is: a map whose only key is "Ref" or begins with "Fn::". The
// Condition function, which exists only inside conditions, is not reported: a
// policy statement may well be a map with the only key "Condition".
func (n *Node) Function() (name string, argument *Node, ok bool) {
	if n == nil || n.Kind != NodeMap || len(n.Entries) != 1 {
		return "", nil, false
	}
	e := n.Entries[0]
	if e.Key == "Ref" || strings.HasPrefix(e.Key, "Fn::") {
		return e.Key, e.Value, true
	}
	return "", nil, false
}

// Walk calls visit for the node and everything below it, parents first, with
// the path from the root, such as "/Resources/Role/Properties/Policies/0". It
// does not go below a node for which visit returns false.
func (n *Node) Walk(visit func(path string, n *Node) bool) { n.walk("", visit) }

func (n *Node) walk(path string, visit func(string, *Node) bool) {
	if n == nil || !visit(path, n) {
		return
	}
	for i, item := range n.Items {
		item.walk(path+"/"+strconv.Itoa(i), visit)
	}
	for _, e := range n.Entries {
		e.Value.walk(path+"/"+e.Key, visit)
	}
}

// Equal reports whether two nodes hold the same value. Positions, the order of
// keys and the difference between "1" and 1 do not count.
func (n *Node) Equal(other *Node) bool {
	if n == nil || other == nil {
		return n == other
	}
	if n.IsScalar() && other.IsScalar() {
		return n.Text == other.Text
	}
	if n.Kind != other.Kind || len(n.Entries) != len(other.Entries) {
		return false
	}
	if !slices.EqualFunc(n.Items, other.Items, (*Node).Equal) {
		return false
	}
	for _, e := range n.Entries {
		if v := other.Get(e.Key); v == nil || !e.Value.Equal(v) {
			return false
		}
	}
	return true
}

// MarshalJSON writes the value as JSON, without spaces, keys in the order
// written.
func (n *Node) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes(), nil
}

func (n *Node) writeJSON(b *bytes.Buffer) {
	if n == nil {
		b.WriteString("null")
		return
	}
	switch n.Kind {
	case NodeText:
		writeJSONString(b, n.Text)
	case NodeNumber, NodeBool:
		b.WriteString(n.Text)
	case NodeList:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case NodeMap:
		b.WriteByte('{')
		for i, e := range n.Entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONString(b, e.Key)
			b.WriteByte(':')
			e.Value.writeJSON(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString("null")
	}
}

func writeJSONString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // "&" and "<" are ordinary in policies
	_ = enc.Encode(s)        // a string always encodes, and a Buffer always accepts
	b.Truncate(b.Len() - 1)  // the newline that Encode adds
}
