package expression

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A path leads to an attribute or to a part of it: a.b[2]. It begins with a
// name.
type path []step

// A step goes to an entry of a map, or to an element of a list if it has no
// name.
type step struct {
	name  string
	index int
	list  bool
}

// maxIndex bounds list indexes; an item cannot hold that many elements.
const maxIndex = 1 << 20

func (p *parser) path() (path, *wire.Error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	p.attributes = append(p.attributes, name)
	steps := path{{name: name}}
	for {
		switch {
		case p.symbol("."):
			if name, err = p.name(); err != nil {
				return nil, err
			}
			steps = append(steps, step{name: name})
		case p.symbol("["):
			t := p.peek()
			index, convert := strconv.Atoi(t.text)
			if t.kind != indexToken {
				return nil, p.syntaxError()
			}
			if convert != nil || index > maxIndex {
				return nil, p.invalid("List index is not within the allowable range; index: [%s]", clip(t.text))
			}
			p.take()
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			steps = append(steps, step{index: index, list: true})
		default:
			if len(steps) > maxDepth {
				return nil, p.invalid("The document path has too many nesting elements; nesting elements: %d", len(steps))
			}
			return steps, nil
		}
	}
}

// String writes the path as messages of DynamoDB do: [a, b, [2]].
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if parts[i] = s.name; s.list {
			parts[i] = "[" + strconv.Itoa(s.index) + "]"
		}
	}
	return clip("[" + strings.Join(parts, ", ") + "]")
}

// find returns what the path leads to.
func (p path) find(i Item) (Value, bool) {
	at := Value{Type: Map, Map: i}
	for _, s := range p {
		var ok bool
		switch {
		case s.list && at.Type == List && s.index < len(at.List):
			at, ok = at.List[s.index], true
		case !s.list && at.Type == Map:
			at, ok = at.Map[s.name]
		}
		if !ok {
			return Value{}, false
		}
	}
	return at, true
}

// compare orders paths so that elements of one list come by index.
func (p path) compare(o path) int {
	return slices.CompareFunc(p, o, func(a, b step) int {
		switch {
		case a.list && b.list:
			return a.index - b.index
		case a.list:
			return -1
		case b.list:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
}

// distinct refuses paths of which one is within another, or that disagree about
// whether something is a map or a list.
func (p *parser) distinct(paths []path) *wire.Error {
	sorted := slices.Clone(paths)
	slices.SortStableFunc(sorted, path.compare)
	for i := 1; i < len(sorted); i++ {
		// Only neighbours can overlap once sorted: what is between a path and
		// one within it is within it too.
		one, two := sorted[i-1], sorted[i]
		same := 0
		for same < len(one) && same < len(two) && one[same] == two[same] {
			same++
		}
		if same == len(one) {
			return p.invalid("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", one, two)
		}
		if one[same].list != two[same].list {
			return p.invalid("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", one, two)
		}
	}
	return nil
}

// A Projection says which parts of items to return. The nil Projection returns
// all.
type Projection struct {
	paths      []path
	attributes []string
}

// ParseProjection reads a ProjectionExpression.
func ParseProjection(text string, placeholders *Placeholders) (*Projection, error) {
	p, err := newParser("ProjectionExpression", text, placeholders)
	if err != nil {
		return nil, err
	}
	projection := &Projection{}
	for {
		to, err := p.path()
		if err != nil {
			return nil, err
		}
		projection.paths = append(projection.paths, to)
		if !p.symbol(",") {
			break
		}
	}
	if p.peek().kind != endToken {
		return nil, p.syntaxError()
	}
	if err := p.distinct(projection.paths); err != nil {
		return nil, err
	}
	projection.attributes = p.attributes
	return projection, nil
}

// ProjectNames returns the projection to whole attributes.
func ProjectNames(names []string) *Projection {
	projection := &Projection{attributes: names}
	for _, name := range names {
		projection.paths = append(projection.paths, path{{name: name}})
	}
	return projection
}

// Attributes returns the names of the attributes that the projection reads.
func (p *Projection) Attributes() []string {
	if p == nil {
		return nil
	}
	return p.attributes
}

// Apply returns the parts of an item. Lists keep the order of their elements
// and close the gaps.
func (p *Projection) Apply(i Item) Item {
	if p == nil {
		return i
	}
	part, ok := project(Value{Type: Map, Map: i}, p.paths)
	if !ok {
		return Item{}
	}
	return part.Map
}

func project(v Value, paths []path) (Value, bool) {
	byStep := make(map[step][]path)
	var steps []step
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
		if _, seen := byStep[p[0]]; !seen {
			steps = append(steps, p[0])
		}
		byStep[p[0]] = append(byStep[p[0]], p[1:])
	}
	slices.SortFunc(steps, func(a, b step) int { return path{a}.compare(path{b}) })
	out := Value{Type: v.Type}
	for _, s := range steps {
		inner, ok := path{s}.find(v.Map)
		if s.list {
			if ok = v.Type == List && s.index < len(v.List); ok {
				inner = v.List[s.index]
			}
		} else if v.Type != Map {
			ok = false
		}
		if !ok {
			continue
		}
		if inner, ok = project(inner, byStep[s]); !ok {
			continue
		}
		if s.list {
			out.List = append(out.List, inner)
			continue
		}
		if out.Map == nil {
			out.Map = make(map[string]Value)
		}
		out.Map[s.name] = inner
	}
	return out, out.Map != nil || out.List != nil
}
