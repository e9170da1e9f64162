package eval

import (
	"cmp"
	"slices"
	"strings"
)

// An index finds the statements that could match a request without looking at
// the others. It decides nothing: every statement it finds is still compared
// in full, and a statement it does not find could not have matched.
//
// Statements are filed like letters, in drawers, each by what its author made
// definite: the service and the name of the resource, or the service and the
// beginning of the action, or less. A request is looked up once in each drawer.
type index struct {
	marks marks   // of all keys there are
	filed []filed // by key, and under one key by position
}

// filed is an entry of an index: something, by its position in a list, under a
// key.
type filed struct {
	key uint32
	at  int32
}

// A drawer is a combination of what a statement has made definite.
type drawer uint8

const (
	byNothing drawer = iota // any service, any resource
	byService
	byVerb // service and first letters of the action
	byServiceAndName
	byName // of the resource
	drawers
)

// marks has a bit for every key of a set, which may share it with others of the
// same drawer. Most policies have nothing for most requests, and three words
// show it.
type marks [3]uint64

// markOf returns the word and the bit of a key.
func markOf(d drawer, key uint32) (int, uint64) {
	switch d {
	case byServiceAndName:
		return 1 + int(key>>6&1), 1 << (key & 63)
	case byVerb:
		return 0, 1 << (key & 31)
	case byName:
		return 0, 1 << (32 + key&15)
	case byService:
		return 0, 1 << (48 + key&7)
	}
	return 0, 1 << 63
}

// A lookup is a request as an index sees it.
type lookup struct {
	keys  [drawers]uint32
	marks marks
}

// lacks reports whether there is certainly nothing for the request.
func (x *index) lacks(l *lookup) bool {
	return x.marks[0]&l.marks[0]|x.marks[1]&l.marks[1]|x.marks[2]&l.marks[2] == 0
}

// find returns what is filed in a drawer for the request.
func (x *index) find(d drawer, l *lookup) []filed {
	key := l.keys[d]
	if word, bit := markOf(d, key); x.marks[word]&bit == 0 {
		return nil
	}
	from, to := 0, len(x.filed)
	for from < to {
		if middle := int(uint(from+to) >> 1); x.filed[middle].key < key {
			from = middle + 1
		} else {
			to = middle
		}
	}
	for to < len(x.filed) && x.filed[to].key == key {
		to++
	}
	return x.filed[from:to]
}

// add files the statement under all its keys.
func (x *index) add(s *statement, at int32) {
	s.file(func(d drawer, key uint32) { x.put(d, key, at) })
}

func (x *index) put(d drawer, key uint32, at int32) {
	word, bit := markOf(d, key)
	x.marks[word] |= bit
	x.filed = append(x.filed, filed{key, at})
}

// sort makes the index ready for finding.
func (x *index) sort() {
	slices.SortFunc(x.filed, func(a, b filed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at))
	})
	x.filed = slices.Clip(slices.Compact(x.filed))
}

// file calls put with every key of the statement. No request has two of them.
func (s *statement) file(put func(drawer, uint32)) {
	names, named := s.resourceNames()
	services := s.services()
	switch {
	case services == nil && !named:
		put(byNothing, keyOf(byNothing, 0, ""))
	case services == nil:
		for _, name := range names {
			put(byName, keyOf(byName, 0, name))
		}
	case named:
		for service := range services {
			for _, name := range names {
				put(byServiceAndName, keyOf(byServiceAndName, hashService(service), name))
			}
		}
	default:
		for service, verbs := range services {
			if verbs == nil {
				put(byService, keyOf(byService, hashService(service), ""))
			}
			for _, verb := range verbs {
				put(byVerb, keyOf(byVerb, hashService(service), verb))
			}
		}
	}
}

// services returns the services whose actions the statement could match, each
// with the verbs its actions begin with, or nil if they could begin with
// anything. It returns nil if the statement could match any service.
func (s *statement) services() map[string][]string {
	if s.notAction {
		return nil
	}
	services := make(map[string][]string, 1)
	for i := range s.actions {
		a := &s.actions[i]
		service, name, ok := strings.Cut(a.text, ":")
		if !ok || a.shape == shapeAny || strings.ContainsAny(service, "*?") {
			return nil
		}
		verbs, seen := services[service]
		verb, definite := verbOf(name, a.shape == shapeLiteral)
		switch {
		case seen && verbs == nil:
		case !definite:
			services[service] = nil
		case !slices.Contains(verbs, verb):
			services[service] = append(verbs, verb)
		}
	}
	return services
}

// verbLength is enough to tell Get from Put and List from Describe.
const verbLength = 3

// verbOf returns the letters that a name of an action begins with, and whether
// they are all known: a pattern may have a wildcard among them.
func verbOf[T string | []byte](name T, complete bool) (T, bool) {
	if len(name) > verbLength {
		name, complete = name[:verbLength], true
	}
	for i := range len(name) {
		if name[i] == '*' || name[i] == '?' {
			return name, false
		}
	}
	return name, complete || len(name) == verbLength
}

// resourceNames returns the names of all resources the statement could match,
// and false if there is one without a name.
func (s *statement) resourceNames() ([]string, bool) {
	if s.notResource || s.resources == nil {
		return nil, false
	}
	names := make([]string, 0, len(s.resources))
	for i := range s.resources {
		p := &s.resources[i]
		if p.shape == shapeNothing {
			continue
		}
		name, ok := p.resourceName()
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// resourceName returns the name of the resources a pattern matches, if all have
// the same.
//
// That the pattern's colons are those of the resource is certain up to the
// fifth, as wildcards do not reach over them; see [reach].
func (p *pattern) resourceName() (string, bool) {
	tokens := p.tokens
	switch p.shape {
	case shapeLiteral:
		tokens = []token{{kind: tokenLiteral, text: p.text}}
	case shapePrefix:
		tokens = []token{{kind: tokenLiteral, text: p.text}, {kind: tokenMany}}
	}
	colons, serviceEnd := 0, 0
	text := "" // the literals before the fifth colon
	for i := range tokens {
		t := &tokens[i]
		if t.kind != tokenLiteral {
			if colons == 2 || t.kind == tokenMany && endsSegment(tokens, i) && switchStarEndingSegmentCrossesColons {
				return "", false
			}
			continue
		}
		for j := range len(t.text) {
			if t.text[j] != ':' {
				continue
			}
			switch colons++; colons {
			case 3:
				serviceEnd = len(text) + j
			case 5:
				return nameIn(text+t.text[:j], serviceEnd, t.text[j+1:], i == len(tokens)-1)
			}
		}
		text += t.text
	}
	return "", false
}

// nameIn returns the part of an ARN that most resources differ in: the bucket,
// or the kind and name as in table/orders and function:resize. rest is what
// follows the fifth colon, or as much of it as is known.
func nameIn(start string, serviceEnd int, rest string, complete bool) (string, bool) {
	parts := 2
	if strings.HasSuffix(start[:serviceEnd], ":s3") {
		parts = 1
	}
	for i := range len(rest) {
		if rest[i] == '/' || rest[i] == ':' {
			if parts--; parts == 0 {
				return rest[:i], true
			}
		}
	}
	return rest, complete
}

// lookUp prepares a request for indexes.
func (e *env) lookUp() lookup {
	var verb []byte
	name := ""
	if action := e.lowerAction(); e.serviceLen < len(action) {
		verb, _ = verbOf(action[e.serviceLen+1:], true)
	}
	if e.resourceFence > 0 {
		name, _ = nameIn(e.resource[:e.resourceFence-1], segmentEnd(e.resource, 2), e.resource[e.resourceFence:], true)
	}
	l := lookup{keys: [drawers]uint32{
		byNothing:        keyOf(byNothing, 0, ""),
		byService:        keyOf(byService, e.serviceHash, ""),
		byVerb:           keyOf(byVerb, e.serviceHash, verb),
		byServiceAndName: keyOf(byServiceAndName, e.serviceHash, name),
		byName:           keyOf(byName, 0, name),
	}}
	for d, key := range l.keys {
		word, bit := markOf(drawer(d), key)
		l.marks[word] |= bit
	}
	return l
}

// segmentEnd returns the index of the colon that ends segment n of s, or 0 if
// there is none.
func segmentEnd(s string, n int) int {
	for i := range len(s) {
		if s[i] == ':' {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return 0
}

// keyOf returns a key. The first letters of a name are enough to spread names.
func keyOf[T string | []byte](d drawer, serviceHash uint32, text T) uint32 {
	return hashOn((serviceHash^uint32(d))*16777619, text[:min(len(text), 32)])
}

// hashService is FNV-1a.
func hashService[T string | []byte](service T) uint32 { return hashOn(2166136261, service) }

func hashOn[T string | []byte](hash uint32, text T) uint32 {
	for i := range len(text) {
		hash = (hash ^ uint32(text[i])) * 16777619
	}
	return hash
}
