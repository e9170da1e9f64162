package crossaccount

import (
	"fmt"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// split spreads statements over as few managed policies as their order allows.
// Each statement goes into the first policy with room for it, so that a
// statement added at the end changes one policy only. A statement too large for
// a policy of its own is divided; together its parts mean the same.
func split(statements []iam.Statement, size func(*iam.Policy) int) ([]*iam.Policy, error) {
	// The size of a policy is that of its parts: an empty policy, its
	// statements, and commas between them.
	empty := size(&iam.Policy{Version: iam.Version2012})
	cost := func(s iam.Statement) int {
		return size(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}) - empty
	}
	// Parts get longer Sids than the whole has.
	fits := func(s iam.Statement) bool {
		return empty+cost(s)+len("Part0000") <= reference.MaxManagedPolicySize
	}
	sids := map[string]bool{}
	for _, s := range statements {
		sids[s.Sid] = true
	}
	var policies []*iam.Policy
	var sizes []int // of the policies
	for i, whole := range statements {
		parts, ok := []iam.Statement{whole}, true
		if empty+cost(whole) > reference.MaxManagedPolicySize {
			parts, ok = divide(whole, fits)
		}
		if !ok {
			return nil, fmt.Errorf("[%d] has more than %d characters even with a single action and resource: shorten its condition", i, reference.MaxManagedPolicySize)
		}
		for n, s := range parts {
			if s.Sid != "" && n > 0 {
				s.Sid = unusedSid(s.Sid, n+1, sids)
			}
			more := cost(s)
			at := slices.IndexFunc(sizes, func(n int) bool { return n+len(",")+more <= reference.MaxManagedPolicySize })
			if at < 0 {
				policies = append(policies, &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}})
				sizes = append(sizes, empty+more)
				continue
			}
			policies[at].Statements = append(policies[at].Statements, s)
			sizes[at] += len(",") + more
		}
	}
	return policies, nil
}

// divide cuts a statement into parts that fit. A statement covers every pair of
// one of its actions and one of its resources, so cutting either list loses
// none. It reports false if no cut is small enough.
func divide(s iam.Statement, fits func(iam.Statement) bool) ([]iam.Statement, bool) {
	if fits(s) {
		return []iam.Statement{s}, true
	}
	cut := func(s iam.Statement, list []string) iam.Statement { s.Action = list; return s }
	list := s.Action
	if len(s.Action) < 2 || len(s.Resource) > 1 && length(s.Resource) > length(s.Action) {
		cut = func(s iam.Statement, list []string) iam.Statement { s.Resource = list; return s }
		list = s.Resource
	}
	if len(list) < 2 {
		return nil, false
	}
	var parts []iam.Statement
	for len(list) > 0 {
		n := 1
		for n < len(list) && fits(cut(s, list[:n+1])) {
			n++
		}
		more, ok := divide(cut(s, slices.Clone(list[:n])), fits)
		if !ok {
			return nil, false
		}
		parts = append(parts, more...)
		list = list[n:]
	}
	return parts, true
}

func length(list []string) int {
	n := 0
	for _, s := range list {
		n += len(s)
	}
	return n
}

// unusedSid numbers the parts of a statement.
func unusedSid(sid string, n int, used map[string]bool) string {
	for {
		candidate := fmt.Sprintf("%sPart%d", sid, n)
		if !used[candidate] {
			used[candidate] = true
			return candidate
		}
		n++
	}
}
