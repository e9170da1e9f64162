package world

import (
	"cmp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A FindingKind says what kind of principal a finding is about.
type FindingKind string

// The kinds of findings.
const (
	FindPrincipal       FindingKind = "principal"         // a user, role or root user of the world
	FindExternal        FindingKind = "external"          // a principal that the world does not have
	FindExternalAccount FindingKind = "external account"  // any principal of an account whose principals the world does not list all
	FindAnyone          FindingKind = "any AWS principal" // of any account the world does not list
	FindAnonymous       FindingKind = "anonymous"
	FindService         FindingKind = "service"
	FindProvider        FindingKind = "identity provider"
	FindMissingPolicy   FindingKind = "missing policy" // whoever the resource's policy, which is not in the world, allows
)

// A Finding is a principal that may do what was asked, surely or depending.
type Finding struct {
	Kind      FindingKind
	Principal string       // as in [Question.Principal]; for a missing policy what is missing
	Verdict   eval.Verdict // Allowed or Depends

	// Via lists the roles the principal would have to assume, in order, if it
	// may not do it directly. Then the verdict is the weakest of the chain.
	Via []string

	world    *World
	question *Question
	caller   *caller
	target   *target
}

// Answer returns the answer behind the finding; for one through roles, whether
// the principal may assume the first of them. It returns nil for a missing
// policy.
func (f *Finding) Answer() *Answer {
	if f.caller == nil {
		return nil
	}
	q := *f.question
	q.Principal = f.caller.text
	f.world.mu.RLock()
	defer f.world.mu.RUnlock()
	return f.world.answer(&q, f.caller, f.target)
}

// WhoCanOptions changes what [World.WhoCan] looks for.
type WhoCanOptions struct {
	// Chains also finds those who may assume a role that may, through any number
	// of roles. The question's context is that of the last request only; nothing
	// is known about those that assume roles.
	Chains bool
}

// WhoCan returns every principal for whom [World.Can] answers Allowed or
// Depends, sorted by kind and name: users, roles and root users of the world,
// and whoever else the resource's policy names. A resource whose policy is not
// in the world has one more finding that stands for everybody it may name; of
// the world's principals only those are found that their own policies may
// allow.
//
// The cost grows with the number of principals that have a statement which could
// match, and not with the number of all.
func (w *World) WhoCan(q Question, o WhoCanOptions) ([]Finding, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	t, err := w.target(&q)
	if err != nil {
		return nil, err
	}
	found := w.whoCan(&q, t)
	if o.Chains {
		found = w.chains(found, q.Closed)
	}
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), strings.Compare(a.Principal, b.Principal))
	})
	return found, nil
}

func kindOrder(k FindingKind) int {
	return slices.Index([]FindingKind{
		FindPrincipal, FindExternal, FindExternalAccount, FindAnyone, FindAnonymous, FindService, FindProvider, FindMissingPolicy,
	}, k)
}

// whoCan finds all who may do what is asked themselves.
func (w *World) whoCan(q *Question, t *target) []Finding {
	search := w.newSearch(q, t)
	var found []Finding
	for p := range search.principals {
		c := w.recordCaller(p)
		if v := search.decide(c); v == eval.Allowed || v == eval.Depends {
			found = append(found, Finding{Kind: c.kind, Principal: c.text, Verdict: v, world: w, question: q, caller: c, target: t})
		}
	}
	for _, c := range search.others {
		in := w.input(q, c, t)
		if d := eval.Decide(in); d.Verdict == eval.Allowed || d.Verdict == eval.Depends {
			found = append(found, Finding{Kind: c.kind, Principal: c.text, Verdict: d.Verdict, world: w, question: q, caller: c, target: t})
		}
	}
	if t.missing {
		what := strings.TrimSuffix(t.policy.name, notInThisWorld)
		found = append(found, Finding{Kind: FindMissingPolicy, Principal: what, Verdict: eval.Depends})
	}
	return found
}

// A search is the work of one who-can question.
type search struct {
	*World
	question *Question
	target   *target
	relevant map[*policy]bool // identity policies with a statement that could match

	principals map[*principal]bool
	others     map[string]*caller

	keys *keySetter
	list []*eval.Policy
}

func (w *World) newSearch(q *Question, t *target) *search {
	s := &search{
		World: w, question: q, target: t,
		relevant: make(map[*policy]bool), principals: make(map[*principal]bool), others: make(map[string]*caller),
		keys: w.keys(q, t, nil),
	}
	if strings.EqualFold(q.Action, "sts:GetCallerIdentity") {
		// Everybody may, without any policy.
		for _, p := range w.principals {
			s.principals[p] = true
		}
	}
	w.index.relevant(q.Action, q.Resource, func(p *policy, allow bool) {
		s.relevant[p] = s.relevant[p] || allow
	})
	for p, allows := range s.relevant {
		if allows {
			for _, h := range p.holders.list {
				s.principals[h] = true
			}
		}
	}
	s.named()
	return s
}

// named adds those who need no identity policy: the root users, and whom the
// resource's policy names.
func (s *search) named() {
	owner := s.target.owner
	if owner == nil {
		for _, a := range s.accounts {
			s.root(a)
		}
		return
	}
	s.root(owner)
	if s.target.policy == nil || s.target.missing {
		return
	}
	policy := s.target.policy.eval().Source()
	for i := range policy.Statements {
		st := &policy.Statements[i]
		if st.Effect == iam.Allow && st.NotPrincipal != nil {
			s.everybody()
		}
		for _, p := range []*iam.Principals{st.Principal, st.NotPrincipal} {
			if p != nil {
				s.namedBy(p, st.Effect == iam.Allow)
			}
		}
	}
}

func (s *search) namedBy(p *iam.Principals, allow bool) {
	if p.All && allow {
		s.everybody()
	}
	for _, name := range p.AWS {
		if name == "*" {
			if allow {
				s.everybody()
			}
			continue
		}
		s.namedAWS(name)
	}
	for _, name := range append(p.Service[:len(p.Service):len(p.Service)], p.Federated...) {
		s.other(name)
	}
}

// namedAWS adds the principal behind a value of "AWS".
func (s *search) namedAWS(name string) {
	id := iam.AccountID(name)
	if _, err := iam.ParseAccountID(name); err != nil {
		if !strings.HasSuffix(name, ":root") {
			s.namedARN(name)
			return
		}
		id = accountOf(name)
	}
	if id == "" {
		return
	}
	a := s.account(id)
	s.root(a)
	s.unlisted(a)
}

// unlisted adds whoever the world does not list of another account than the
// owner's.
func (s *search) unlisted(a *account) {
	if !a.principal && a.id != s.target.owner.id {
		s.others[string(a.id)] = s.anyOf(a.id)
	}
}

func (s *search) namedARN(name string) {
	if p := s.ids[name]; p != nil {
		s.principals[p] = true
		return
	}
	c, err := s.caller(name)
	switch {
	case err != nil: // a unique id of nobody, or a principal that does not exist
	case c.record == nil:
		s.others[c.text] = c
	default:
		s.principals[c.record] = true
		if c.iam.Type == iam.PrincipalRoleSession {
			s.others[c.text] = c
		}
	}
}

func (s *search) other(name string) {
	if c, err := s.caller(name); err == nil && c.record == nil {
		s.others[c.text] = c
	}
}

// everybody adds those whom * names: all principals of the owner's account, and
// strangers. Principals of other accounts of the world need identity policies,
// by which they were found; their root users do not, and those that the world
// does not list may have some. A * is often narrowed to an organisation, so that
// its members may what strangers may not.
func (s *search) everybody() {
	for p := range s.byAccount[s.target.owner.id] {
		s.principals[p] = true
	}
	for _, a := range s.accounts {
		s.root(a)
		s.unlisted(a)
	}
	s.other(Anonymous)
	s.others[AnyPrincipal] = s.anyone()
}

func (s *search) root(a *account) {
	if p := s.World.principals["arn:"+a.partition+":iam::"+string(a.id)+":root"]; p != nil {
		s.principals[p] = true
	}
}

// decide answers for a principal of the world. Identity policies without a
// statement that could match are left out, which changes nothing about the
// verdict; most are never compiled.
func (s *search) decide(c *caller) eval.Verdict {
	s.setKeys(s.keys, s.question, c, s.target)
	in := s.layers(s.question, c, s.target)
	in.Request.Context = s.keys.ctx
	s.list = s.list[:0]
	for _, p := range c.policies {
		if _, ok := s.relevant[p]; ok {
			s.list = append(s.list, p.eval())
		}
	}
	in.Identity = s.list
	in.Boundary = c.limit.eval()
	d := eval.Decide(in)
	return d.Verdict
}

// chains adds to what was found those who can become one of the roles found.
// Chains in which everything is allowed are preferred, and of those the
// shortest.
func (w *World) chains(direct []Finding, closed bool) []Finding {
	found := slices.Clone(direct)
	have := make(map[string]bool)
	for _, f := range direct {
		have[string(f.Kind)+f.Principal] = true
	}
	assumers := make(map[string][]Finding)
	assume := func(role string) []Finding {
		list, ok := assumers[role]
		if !ok {
			q := &Question{Action: "sts:AssumeRole", Resource: role, Closed: closed}
			if t, err := w.target(q); err == nil {
				list = w.whoCan(q, t)
				slices.SortFunc(list, func(a, b Finding) int { return strings.Compare(a.Principal, b.Principal) })
			}
			assumers[role] = list
		}
		return list
	}
	for _, weakest := range []eval.Verdict{eval.Allowed, eval.Depends} {
		queue := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool {
			return f.caller == nil || f.caller.record == nil || f.caller.record.kind != iam.PrincipalRole ||
				weakest == eval.Allowed && f.Verdict != eval.Allowed
		})
		slices.SortStableFunc(queue, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(len(a.Via), len(b.Via)), strings.Compare(a.Principal, b.Principal))
		})
		for len(queue) > 0 {
			role := queue[0]
			queue = queue[1:]
			for _, f := range assume(role.caller.record.arn) {
				if have[string(f.Kind)+f.Principal] || weakest == eval.Allowed && f.Verdict != eval.Allowed {
					continue
				}
				have[string(f.Kind)+f.Principal] = true
				f.Via = append([]string{role.caller.record.arn}, role.Via...)
				if role.Verdict == eval.Depends {
					f.Verdict = eval.Depends
				}
				found = append(found, f)
				if f.caller != nil && f.caller.record != nil && f.caller.record.kind == iam.PrincipalRole {
					queue = append(queue, f)
				}
			}
		}
	}
	return found
}
