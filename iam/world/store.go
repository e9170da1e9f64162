package world

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A policy is a policy document under one name. All principals and resources
// that have the same policy share one. It is compiled when it first has to
// decide something.
type policy struct {
	policyKey
	missing string // for a stand-in: what is not in the world
	store   *store

	compiled atomic.Pointer[eval.Policy]

	// holders are the principals whose identity policy, boundary or trust
	// policy this is.
	// Guarded by the world's lock.
	holders holders
	indexed bool // identity policies are, see [index]

	// filings are where the policy will be filed, from when it is parsed first
	// until then.
	filings []filing
}

type policyKey struct {
	kind iam.Kind
	name string // as explanations show it
	text string
}

// A store holds every policy of a world once. Its map is guarded by the world's
// lock; the cache of compiled policies has one of its own, because queries fill
// it.
type store struct {
	policies map[policyKey]*policy
	index    *index

	mu       sync.Mutex
	cached   []*policy
	cachedAt int // bytes of policy text that are compiled
}

// compiledBudget is how much policy text may be compiled at a time, in bytes.
// Compiled policies take five to six times the memory of their text, and most
// questions are about few of them.
const compiledBudget = 64 << 20

func newStore(x *index) *store { return &store{policies: make(map[policyKey]*policy), index: x} }

// get returns the policy, which it makes if need be. It fails if the document
// cannot have the kind.
func (s *store) get(kind iam.Kind, name string, d Document) (*policy, error) {
	key := policyKey{kind, name, d.text}
	if p, ok := s.policies[key]; ok {
		return p, nil
	}
	p := &policy{policyKey: key, store: s}
	source, err := d.Policy()
	if err != nil {
		return nil, err
	}
	if problems := source.Check(kind); len(problems) > 0 {
		return nil, fmt.Errorf("%s: %s", problems[0].Path, problems[0].Message)
	}
	if _, err := eval.Compile(source, kind, name); err != nil {
		return nil, err
	}
	if kind == iam.KindIdentity {
		p.filings = s.index.file(p, source)
	}
	s.policies[key] = p
	return p, nil
}

// holders are the principals that have a policy. Most policies have one; a few
// have a hundred thousand, so that taking one out must not look at all.
type holders struct {
	list []*principal
	at   map[*principal]int // where each is in list, once there are many
}

const manyHolders = 32

func (h *holders) add(p *principal) {
	h.list = append(h.list, p)
	switch {
	case h.at != nil:
		h.at[p] = len(h.list) - 1
	case len(h.list) > manyHolders:
		h.at = make(map[*principal]int, len(h.list))
		for i, x := range h.list {
			h.at[x] = i
		}
	}
}

func (h *holders) remove(p *principal) {
	i, ok := h.at[p]
	if h.at == nil {
		i = slices.Index(h.list, p)
		ok = i >= 0
	}
	if !ok {
		return
	}
	last := len(h.list) - 1
	h.list[i] = h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	if h.at != nil {
		delete(h.at, p)
		if i < last {
			h.at[h.list[i]] = i
		}
	}
}

// The condition keys of stand-ins for policies that are not in the world. They
// are unknown in every request.
const (
	keyMissingAllows = "crossaccount:PolicyNotInWorld/Allows"
	keyMissingDenies = "crossaccount:PolicyNotInWorld/Denies"
)

const (
	standIn = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"` + keyMissingAllows + `":"true"}}},` +
		`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"` + keyMissingDenies + `":"true"}}}]}`
	standInWithPrincipal = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"` + keyMissingAllows + `":"true"}}},` +
		`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"` + keyMissingDenies + `":"true"}}}]}`
)

// missing returns a stand-in for policies that the world does not contain: they
// may allow and may deny everything.
func (s *store) missing(kind iam.Kind, what string) *policy {
	p, ok := s.policies[standInKey(kind, what)]
	if !ok {
		p = newStandIn(kind, what)
		p.store = s
		s.policies[p.policyKey] = p
	}
	return p
}

func newStandIn(kind iam.Kind, what string) *policy {
	return &policy{policyKey: standInKey(kind, what), missing: what}
}

func standInKey(kind iam.Kind, what string) policyKey {
	text := standIn
	if kind == iam.KindResource || kind == iam.KindTrust {
		text = standInWithPrincipal
	}
	return policyKey{kind, what + notInThisWorld, text}
}

// notInThisWorld ends the names of stand-ins.
const notInThisWorld = " (not in this world)"

// drop forgets a policy that nobody has any more.
func (s *store) drop(p *policy) {
	if len(p.holders.list) == 0 {
		delete(s.policies, p.policyKey)
	}
}

// eval returns the compiled policy. It is safe for concurrent use.
func (p *policy) eval() *eval.Policy {
	if p == nil {
		return nil
	}
	if c := p.compiled.Load(); c != nil {
		return c
	}
	source, err := iam.ParsePolicy([]byte(p.text))
	if err != nil {
		panic("world: a document that was accepted does not parse: " + err.Error())
	}
	// Places in minified text tell nobody anything, and take more memory than
	// the policy.
	source = &iam.Policy{Version: source.Version, ID: source.ID, Statements: source.Statements}
	c, err := eval.Compile(source, p.kind, p.name)
	if err != nil {
		panic("world: a document that was accepted does not compile: " + err.Error())
	}
	if !p.compiled.CompareAndSwap(nil, c) {
		if other := p.compiled.Load(); other != nil {
			return other
		}
		return c
	}
	if p.store != nil {
		p.store.remember(p)
	}
	return c
}

// remember counts a policy that was compiled, and forgets all others when there
// are too many. They are compiled again when they are needed.
func (s *store) remember(p *policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cachedAt += len(p.text); s.cachedAt > compiledBudget {
		for _, old := range s.cached {
			old.compiled.Store(nil)
		}
		clear(s.cached)
		s.cached, s.cachedAt = s.cached[:0], len(p.text)
	}
	s.cached = append(s.cached, p)
}

// evalAll compiles a list. The result is never nil: a principal without policies
// has a layer that allows nothing.
func evalAll(policies []*policy) []*eval.Policy {
	out := make([]*eval.Policy, len(policies))
	for i, p := range policies {
		out[i] = p.eval()
	}
	return out
}
