package lint

import "github.com/crossaccount/crossaccount/iam"

// Parsed lints what [iam.Parse] or [iam.ParseValue] read, problems included. It
// is for policies inside other documents, whose positions are those of the
// whole file.
func Parsed(p *iam.Policy, problems []iam.Problem, o Options) []Finding {
	parsed := p != nil
	if !parsed {
		p = &iam.Policy{}
	}
	r := newReporter(p, o)
	r.problems(problems)
	if parsed {
		r.run()
	}
	return r.sorted()
}
