package iamapi

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A section is one kind of thing in a list of several kinds.
type section struct {
	name string // the filter value that asks for it
	next func(after string, limit int) (items []any, last string, more bool)
}

// gather calls take with up to limit users, roles and managed policies of an
// account, in this order, going on after a marker's name.
func (s *Service) gather(a *directory.Account, filter []string, after string, limit int, take func(any)) Paged {
	view := s.latest()
	sections := []section{
		{"User", func(after string, limit int) ([]any, string, bool) {
			list, more := view.Users(a.ID, "", after, limit)
			return items(list, more, func(u *directory.User) string { return u.Name })
		}},
		{"Role", func(after string, limit int) ([]any, string, bool) {
			list, more := view.Roles(a.ID, "", after, limit)
			return items(list, more, func(r *directory.Role) string { return r.Name })
		}},
		{"LocalManagedPolicy", func(after string, limit int) ([]any, string, bool) {
			list, more := view.ManagedPolicies(a.ID, after, limit, func(*directory.ManagedPolicy) bool { return true })
			return items(list, more, func(p *directory.ManagedPolicy) string { return p.Name })
		}},
		{"AWSManagedPolicy", func(after string, limit int) ([]any, string, bool) {
			list := s.awsPoliciesInUse(a, after)
			more := len(list) > limit
			return items(list[:min(limit, len(list))], more, func(p *directory.ManagedPolicy) string { return p.Name })
		}},
	}
	resume, name, _ := strings.Cut(after, "/")
	marker := ""
	for _, section := range sections {
		if resume != "" && resume != section.name {
			continue
		}
		resume = ""
		if len(filter) > 0 && !slices.Contains(filter, section.name) {
			name = ""
			continue
		}
		list, last, more := section.next(name, limit)
		name = ""
		for _, item := range list {
			take(item)
		}
		limit -= len(list)
		if len(list) > 0 {
			marker = section.name + "/" + last
		}
		if more {
			return paged(true, marker)
		}
	}
	return Paged{}
}

func items[T any](list []T, more bool, name func(T) string) (result []any, last string, _ bool) {
	for _, item := range list {
		result = append(result, item)
		last = name(item)
	}
	return result, last, more
}

func (s *Service) awsPoliciesInUse(a *directory.Account, after string) []*directory.ManagedPolicy {
	var used []*directory.ManagedPolicy
	for _, p := range s.directory.AWSManagedPolicies(a.Partition) {
		attached, bounded := s.latest().PolicyUseCount(a.ID, p.ARN())
		if p.Name > after && attached+bounded > 0 {
			used = append(used, p)
		}
	}
	return used
}
