package world

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// An index finds the identity policies that have a statement which could match
// an action and a resource, so that nothing else needs to be compiled or
// decided. A statement is filed under each service its actions name, and there
// under each text its resources begin with, up to the first wildcard or
// variable. Finding costs one look-up for each different length of such texts,
// and one comparison of actions for each statement found.
type index struct {
	services map[string]*serviceIndex // by prefix in lower case; "" for statements that could match any
	actions  map[string]*actionSet
}

type serviceIndex struct {
	byStart map[string][]posting
	lengths []int // of the keys of byStart, sorted
}

// A posting is a statement, or several with the same actions, of a policy.
type posting struct {
	policy  *policy
	actions *actionSet
	allow   bool
}

// An actionSet is an Action or NotAction element, in lower case. Equal ones are
// shared.
type actionSet struct {
	patterns []string
	not      bool
}

func newIndex() *index {
	return &index{services: make(map[string]*serviceIndex), actions: make(map[string]*actionSet)}
}

func (s *actionSet) match(action string) bool {
	for _, p := range s.patterns {
		if iam.MatchWildcard(p, action) {
			return !s.not
		}
	}
	return s.not
}

// A filing is a place where a policy belongs.
type filing struct {
	service, start string
	entry          posting
}

// add files a policy. Adding it twice changes nothing.
func (x *index) add(p *policy) {
	if p.indexed {
		return
	}
	p.indexed = true
	for _, f := range x.filings(p) {
		s := x.services[f.service]
		if s == nil {
			s = &serviceIndex{byStart: make(map[string][]posting)}
			x.services[f.service] = s
		}
		list, ok := s.byStart[f.start]
		if !ok {
			if at, found := slices.BinarySearch(s.lengths, len(f.start)); !found {
				s.lengths = slices.Insert(s.lengths, at, len(f.start))
			}
		}
		if n := len(list); n == 0 || list[n-1] != f.entry {
			s.byStart[f.start] = append(list, f.entry)
		}
	}
	p.filings = nil
}

// remove takes a policy out again. Lengths that no longer occur are kept: they
// cost one failed look-up.
func (x *index) remove(p *policy) {
	if !p.indexed {
		return
	}
	p.indexed = false
	for _, f := range x.filings(p) {
		if s := x.services[f.service]; s != nil {
			list := slices.DeleteFunc(s.byStart[f.start], func(e posting) bool { return e.policy == p })
			if len(list) == 0 {
				delete(s.byStart, f.start)
			} else {
				s.byStart[f.start] = list
			}
		}
	}
}

// filings returns every place where a policy belongs.
func (x *index) filings(p *policy) []filing {
	if p.filings != nil {
		return p.filings
	}
	source, err := iam.ParsePolicy([]byte(p.text))
	if err != nil {
		panic("world: a document that was accepted does not parse: " + err.Error())
	}
	return x.file(p, source)
}

// file finds the places where a policy belongs.
func (x *index) file(p *policy, source *iam.Policy) []filing {
	filings := []filing{}
	for i := range source.Statements {
		s := &source.Statements[i]
		entry := posting{policy: p, actions: x.actionSet(s), allow: s.Effect == iam.Allow}
		for _, service := range entry.actions.services() {
			for _, start := range startsOf(s, p.text) {
				filings = append(filings, filing{service, start, entry})
			}
		}
	}
	return filings
}

func (x *index) actionSet(s *iam.Statement) *actionSet {
	patterns, not := s.Action, false
	if s.NotAction != nil {
		patterns, not = s.NotAction, true
	}
	key := strings.ToLower(strings.Join(patterns, "\n"))
	if not {
		key = "!" + key
	}
	set, ok := x.actions[key]
	if !ok {
		set = &actionSet{not: not, patterns: strings.Split(strings.TrimPrefix(key, "!"), "\n")}
		x.actions[key] = set
	}
	return set
}

// services returns the services whose actions could match, "" for any.
func (s *actionSet) services() []string {
	if s.not {
		return []string{""}
	}
	var services []string
	for _, p := range s.patterns {
		service, _, ok := strings.Cut(p, ":")
		if !ok || strings.ContainsAny(service, "*?") {
			return []string{""}
		}
		if !slices.Contains(services, service) {
			services = append(services, service)
		}
	}
	return services
}

// startsOf returns the texts that the resources of a statement begin with. They
// are parts of the policy's text where that is possible, which saves memory.
func startsOf(s *iam.Statement, text string) []string {
	if s.Resource == nil {
		return []string{""}
	}
	starts := make([]string, 0, len(s.Resource))
	for _, r := range s.Resource {
		start := r[:literalLength(r)]
		if at := strings.Index(text, start); at >= 0 {
			start = text[at : at+len(start)]
		}
		if !slices.Contains(starts, start) {
			starts = append(starts, start)
		}
	}
	return starts
}

// literalLength returns how much of a pattern is text that stands for itself.
func literalLength(pattern string) int {
	n := len(pattern)
	if at := strings.IndexAny(pattern, "*?"); at >= 0 {
		n = at
	}
	if at := strings.Index(pattern[:n], "${"); at >= 0 {
		n = at
	}
	return n
}

// relevant calls f for each policy that has a statement which could match. It
// may call f several times for one policy.
func (x *index) relevant(action, resource string, f func(p *policy, allow bool)) {
	action = strings.ToLower(action)
	service, _, _ := strings.Cut(action, ":")
	x.services[service].relevant(action, resource, f)
	if service != "" {
		x.services[""].relevant(action, resource, f)
	}
}

func (s *serviceIndex) relevant(action, resource string, f func(p *policy, allow bool)) {
	if s == nil {
		return
	}
	for _, n := range s.lengths {
		if n > len(resource) {
			return
		}
		for _, e := range s.byStart[resource[:n]] {
			if e.actions.match(action) {
				f(e.policy, e.allow)
			}
		}
	}
}
