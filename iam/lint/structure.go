package lint

import (
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const (
	grammarPage  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"
	elementsPage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html"
	quotasPage   = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"

	organizationQuotasPage = "https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html"
)

var structureRules = []Rule{
	{
		ID:       "GX-S01",
		Title:    "the document is not a policy in JSON",
		Why:      "AWS refuses the document, or reads it differently from how it looks",
		Fix:      "correct the document at the given place",
		Link:     grammarPage,
		Severity: Error,
		check:    checkCharacters,
	},
	{
		ID:       "GX-S02",
		Title:    "an element is missing or has an impossible value",
		Why:      "AWS refuses the document",
		Fix:      "add the element",
		Link:     grammarPage,
		Severity: Error,
		check:    checkMissing,
	},
	{
		ID:       "GX-S03",
		Title:    "an element is unknown or misspelt",
		Why:      "AWS refuses the document, and where it does not, the restriction is lost",
		Fix:      "use one of the elements of the policy language",
		Link:     elementsPage,
		Severity: Error,
		check:    func(*reporter) {}, // only the text can show it; see problems
	},
	{
		ID:       "GX-S04",
		Title:    "the version is not the current one",
		Why:      "without version 2012-10-17 policy variables are ordinary text and match nothing they seem to",
		Fix:      `write "Version": "2012-10-17"`,
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html",
		Severity: Error,
		check:    checkVersion,
	},
	{
		ID:       "GX-S05",
		Title:    "a Sid is used twice or has illegal characters",
		Why:      "IAM refuses the document; other services may replace one statement by the other",
		Fix:      "give every statement its own Sid of letters and digits, or none",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_sid.html",
		Severity: Error,
		check:    checkSids,
	},
	{
		ID:       "GX-S06",
		Title:    "an element is not allowed in this kind of policy",
		Why:      "AWS refuses the document",
		Fix:      "remove the element",
		Link:     grammarPage,
		Severity: Error,
		check:    checkNotAllowed,
	},
	{
		ID:       "GX-S07",
		Title:    "the policy is larger than its place allows",
		Why:      "AWS refuses the document",
		Fix:      "split the policy, or name groups of actions by wildcards",
		Link:     quotasPage,
		Severity: Error,
		check:    checkSize,
	},
	{
		ID:       "GX-S08",
		Title:    "a list or object is empty",
		Why:      "an empty element matches nothing, or everything, and AWS refuses most of them",
		Fix:      "fill the element or remove it",
		Link:     elementsPage,
		Severity: Error,
		check:    checkEmpty,
	},
	{
		ID:       "GX-S09",
		Title:    "a statement has both an element and its negation",
		Why:      "AWS refuses the document",
		Fix:      "use one of the two, or two statements",
		Link:     grammarPage,
		Severity: Error,
		check:    checkExclusive,
	},
}

// problems turns what the parser found into findings. What the rules find by
// themselves in a parsed policy is left to them.
func (r *reporter) problems(problems []iam.Problem) {
	for _, p := range problems {
		id := ""
		switch p.Code {
		case iam.ProblemJSON, iam.ProblemDuplicateKey, iam.ProblemWrongType:
			id = "GX-S01"
		case iam.ProblemUnknownElement:
			id = "GX-S03"
		case iam.ProblemWrongValue:
			switch {
			case p.Path == "Version" || strings.HasSuffix(p.Path, ".Effect"):
			case strings.HasSuffix(p.Path, "rincipal"):
			default:
				id = "GX-S01"
			}
		}
		if strings.HasSuffix(p.Path, "rincipal") {
			id = "GX-P04"
		}
		if id == "" {
			continue
		}
		r.unread = append(r.unread, p.Path)
		r.rule = ruleByID(id)
		r.add(Finding{Severity: Error, Refused: true, Path: p.Path, Position: p.Position, Message: p.Message})
	}
}

// text checks the document's characters, which parsing does not keep.
func (r *reporter) text(document string) {
	if !r.options.ofIAM() || !utf8.ValidString(document) {
		return
	}
	r.rule, r.fromText = ruleByID("GX-S01"), true
	line, lineStart := 1, 0
	for offset, c := range document {
		if c == '\n' {
			line, lineStart = line+1, offset+1
		}
		if !reference.IsPolicyCharacter(c) {
			r.add(Finding{
				Severity: Error,
				Refused:  true,
				Position: iam.Position{Offset: offset, Line: line, Column: offset - lineStart + 1},
				Message:  "the character " + quoteRune(c) + " cannot stand in a policy; IAM accepts tab, line breaks and U+0020 to U+00FF",
				Fix:      "replace it by a plain character",
			})
			return
		}
	}
}

func quoteRune(c rune) string {
	const hex = "0123456789ABCDEF"
	digits := ""
	for n := c; n > 0 || len(digits) < 4; n >>= 4 {
		digits = string(hex[n&0xF]) + digits
	}
	return "U+" + digits
}

// checkCharacters is for policies that did not come as text.
func checkCharacters(r *reporter) {
	if !r.options.ofIAM() || r.fromText {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		check := func(path, value string) {
			for _, piece := range iam.Pieces(value) {
				if piece.IsSymbol {
					continue
				}
				for _, c := range piece.Text {
					if c > 0xFF || c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
						r.refuse(path, "replace it by a plain character", "the character %s cannot stand in a policy; IAM accepts tab, line breaks and U+0020 to U+00FF", quoteRune(c))
						return
					}
				}
			}
		}
		check(path+".Sid", s.Sid)
		for element, list := range map[string][]string{"Action": s.Action, "NotAction": s.NotAction, "Resource": s.Resource, "NotResource": s.NotResource} {
			values(path+"."+element, list, check)
		}
		for _, c := range s.Conditions {
			check(conditionPath(path, c), c.Key)
			values(conditionPath(path, c), c.Values, check)
		}
	})
}

// Resource policies of these services need Resource in every statement. KMS
// accepts a statement without it, which then has no effect.
var resourceRequired = map[string]bool{
	"s3": true, "sqs": true, "sns": true, "kms": true, "secretsmanager": true, "dynamodb": true, "kinesis": true,
}

func checkMissing(r *reporter) {
	for _, p := range r.policy.Check(r.options.Kind) {
		if p.Code == iam.ProblemMissing && p.Path != "Statement" && r.readable(p.Path) {
			r.refuse(p.Path, "", "%s", p.Message)
		}
	}
	r.statements(func(path string, s *iam.Statement) {
		if !r.readable(path) {
			return
		}
		switch {
		case s.Effect == "":
			r.refuse(path, `write "Effect": "Allow" or "Effect": "Deny"`, "the Effect element is missing")
		case s.Effect != iam.Allow && s.Effect != iam.Deny:
			r.refuse(path+".Effect", `write "Allow" or "Deny"; case matters`, "the effect must be \"Allow\" or \"Deny\"")
		}
		if r.options.Kind == iam.KindResource && resourceRequired[r.options.Service] && s.Resource == nil && s.NotResource == nil {
			r.report(Error, path, "", "the Resource element is missing; a policy of %s needs one in every statement", r.options.Service)
		}
	})
}

func checkVersion(r *reporter) {
	version := r.policy.Version
	switch version {
	case iam.Version2012:
		return
	case "", iam.Version2008:
	default:
		if r.readable("Version") {
			r.refuse("Version", "", "the policy version is unknown")
		}
		return
	}
	where := ""
	eachVariableText(r, func(path, text string) {
		if where == "" && strings.Contains(text, "${") {
			where = path
		}
	})
	switch {
	case where != "":
		r.report(Error, where, "", "a policy variable is used, but the policy's version is not 2012-10-17")
	case version == "" && r.readable("Version"):
		r.report(Warning, "", "", "the Version element is missing; AWS assumes 2008-10-17")
	case version != "":
		// AWS's own default policies of queues, topics and keys still have it.
		r.report(Info, "Version", "", "the policy uses the old version 2008-10-17")
	}
}

func checkSids(r *reporter) {
	first := make(map[string]bool)
	r.statements(func(path string, s *iam.Statement) {
		if s.Sid == "" || iam.HasSymbol(s.Sid) {
			return
		}
		path += ".Sid"
		switch {
		case first[s.Sid] && r.options.ofIAM():
			r.refuse(path, "", "the Sid %q is used by an earlier statement too", clip(s.Sid))
		case first[s.Sid]:
			r.report(Warning, path, "", "the Sid %q is used by an earlier statement too", clip(s.Sid))
		}
		first[s.Sid] = true
		if r.options.ofIAM() && strings.IndexFunc(s.Sid, func(c rune) bool {
			return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
		}) >= 0 {
			r.refuse(path, "", "the Sid %q has characters other than letters and digits", clip(s.Sid))
		}
	})
}

func checkNotAllowed(r *reporter) {
	for _, p := range r.policy.Check(r.options.Kind) {
		if p.Code == iam.ProblemNotAllowed && r.readable(p.Path) {
			r.refuse(p.Path, "", "%s", p.Message)
		}
	}
	// https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
	if r.options.Kind == iam.KindResource && r.options.Service == "ecr" {
		r.statements(func(path string, s *iam.Statement) {
			if s.Resource != nil || s.NotResource != nil {
				r.refuse(path, "", "a repository policy of ecr cannot have Resource; the repository is the resource")
			}
		})
	}
}

func checkSize(r *reporter) {
	limit, what, source := 0, r.options.Kind.String(), quotasPage
	switch r.options.Kind {
	case iam.KindIdentity:
		limit, what = reference.MaxManagedPolicySize, "managed policy"
		if r.options.Inline {
			limit, what = reference.MaxRoleInlineSize, "role's inline policies"
		}
	case iam.KindBoundary:
		limit = reference.MaxManagedPolicySize
	case iam.KindTrust:
		limit = reference.MaxTrustPolicySize
	case iam.KindSession:
		limit = reference.MaxSessionPolicySize
	case iam.KindServiceControl, iam.KindResourceControl:
		limit, source = reference.MaxOrganizationPolicySize, organizationQuotasPage
	case iam.KindResource:
		q, ok := reference.ResourcePolicyQuota(r.options.Service)
		if !ok {
			return
		}
		limit, what, source = q.Size, "policy of "+r.options.Service, q.Source
		checkCounts(r, q)
	default:
		return
	}
	size := sizeWithoutSymbols(r.policy)
	switch {
	case size > limit:
		r.add(Finding{Severity: Error, Refused: true, Position: r.policy.Position(""), Message: plural(size, "character") + " is more than the " + plural(limit, "character") + " of a " + what, Link: source})
	case size*5 > limit*4:
		r.report(Warning, "", "", "%s of the %d that a %s may have are used", plural(size, "character"), limit, what)
	}
}

func checkCounts(r *reporter, q reference.PolicyQuota) {
	tooMany := func(path string, n, limit int, unit string) {
		if limit > 0 && n > limit {
			r.refuse(path, "split the statement or the grant", "%s are more than the %d that a policy of %s may have", plural(n, unit), limit, r.options.Service)
		}
	}
	tooMany("Statement", len(r.policy.Statements), q.Statements, "statement")
	principals, conditions := 0, 0
	r.statements(func(path string, s *iam.Statement) {
		tooMany(path+".Action", len(s.Action), q.ActionsPerStatement, "action")
		if s.Principal != nil {
			principals += len(s.Principal.AWS) + len(s.Principal.Service) + len(s.Principal.Federated)
		}
		conditions += len(s.Conditions)
	})
	tooMany("Statement", principals, q.Principals, "principal")
	tooMany("Statement", conditions, q.Conditions, "condition")
}

// sizeWithoutSymbols is the smallest size the policy can have once its symbols
// are replaced.
func sizeWithoutSymbols(p *iam.Policy) int {
	size := p.Size()
	for _, piece := range iam.Pieces(string(p.Indent())) {
		if piece.IsSymbol {
			size -= utf8.RuneCountInString(iam.Symbol(piece.Text))
		}
	}
	return size
}

func checkEmpty(r *reporter) {
	if len(r.policy.Statements) == 0 && r.readable("") {
		r.refuse("Statement", "add a statement, or leave the whole policy out", "the policy has no statements")
	}
	r.statements(func(path string, s *iam.Statement) {
		for _, e := range []struct {
			name string
			list []string
		}{{"Action", s.Action}, {"NotAction", s.NotAction}, {"Resource", s.Resource}, {"NotResource", s.NotResource}} {
			at := path + "." + e.name
			if e.list != nil && len(e.list) == 0 && r.readable(at) {
				r.refuse(at, "", "the list %s is empty", e.name)
			}
			values(at, e.list, func(path, value string) {
				if value == "" {
					r.refuse(path, "", "the value is empty")
				}
			})
		}
		if s.Conditions != nil && len(s.Conditions) == 0 && r.readable(path+".Condition") {
			r.report(Warning, path+".Condition", "add a condition, or leave the element out", "the Condition element is empty, so the statement applies always")
		}
		for _, c := range s.Conditions {
			if at := conditionPath(path, c); len(c.Values) == 0 && r.readable(at) {
				r.report(Warning, at, "", "the condition has no values")
			}
		}
		for _, e := range []struct {
			name string
			p    *iam.Principals
		}{{"Principal", s.Principal}, {"NotPrincipal", s.NotPrincipal}} {
			at := path + "." + e.name
			if p := e.p; p != nil && !p.All && len(p.AWS)+len(p.Service)+len(p.Federated)+len(p.CanonicalUser) == 0 && r.readable(at) {
				r.refuse(at, "", "the element %s names nobody", e.name)
			}
		}
	})
}

func checkExclusive(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		for _, pair := range []struct {
			name string
			both bool
		}{
			{"Action", s.Action != nil && s.NotAction != nil},
			{"Resource", s.Resource != nil && s.NotResource != nil},
			{"Principal", s.Principal != nil && s.NotPrincipal != nil},
		} {
			if pair.both {
				r.refuse(path, "", "the statement has both %s and Not%s", pair.name, pair.name)
			}
		}
	})
}
