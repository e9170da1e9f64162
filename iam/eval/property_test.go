package eval_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// The vocabulary is small, so that policies and requests meet often.
const (
	account = "111122223333"
	other   = "444455556666"
)

var (
	actions = []string{
		"s3:GetObject", "S3:getobject", "s3:Get*", "s3:*", "*", "s3:PutObject", "sts:AssumeRole", "sts:*", "kms:Decrypt",
		"s3:G*", "s3:*Object", "s?:GetObject", "*:GetObject", "s3:???Object", "s3*", "st*:Assume*",
	}
	resources = []string{
		"*", "arn:aws:s3:::data/*", "arn:aws:s3:::data/a.txt", "arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::d?ta/a*t",
		"arn:aws:iam::444455556666:role/target", "arn:aws:iam::*:role/*",
		"arn:aws:s3:*:*:data/*", "arn:*:s3:::data/a.txt", "arn:aws:s3:::data*", "arn:aws:s3:::data/${aws:username}*", "arn:aws:s3:::*/a.txt",
		"arn:aws:*", "arn:aws:s*:::data/*", "arn:aws:iam::*:role/target", "arn:aws:iam::444455556666:*", "arn:aws:iam:*:*:*/target", "data/*",
	}
	awsPrincipals = []string{
		"*", account, "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/reader",
		"arn:aws:sts::111122223333:assumed-role/reader/s1", "AROAEXAMPLEEXAMPLE001", "arn:aws:iam::444455556666:root",
	}
	operators = []string{
		"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists", "StringNotEqualsIfExists",
		"StringEqualsIgnoreCase", "ForAllValues:StringEquals", "ForAnyValue:StringEquals", "ForAnyValue:StringNotEquals",
		"ForAllValues:StringNotLike", "ForAnyValue:StringLikeIfExists", "Null", "Bool",
	}
	keys   = []string{"aws:PrincipalTag/team", "aws:TagKeys", "aws:username", "sts:ExternalId"}
	values = []string{"red", "blue", "r*", "*", "${aws:username}", "${aws:PrincipalTag/team, 'red'}-x", "true", "false", ""}
)

func some(t *rapid.T, label string, from []string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(from), 1, 3).Draw(t, label)
}

func statement(t *rapid.T, kind iam.Kind) iam.Statement {
	s := iam.Statement{Effect: iam.Allow}
	if rapid.IntRange(0, 3).Draw(t, "deny") == 0 {
		s.Effect = iam.Deny
	}
	if rapid.IntRange(0, 7).Draw(t, "notAction") == 0 {
		s.NotAction = some(t, "actions", actions)
	} else {
		s.Action = some(t, "actions", actions)
	}
	if kind != iam.KindTrust {
		if rapid.IntRange(0, 7).Draw(t, "notResource") == 0 {
			s.NotResource = some(t, "resources", resources)
		} else {
			s.Resource = some(t, "resources", resources)
		}
	}
	if kind == iam.KindResource || kind == iam.KindTrust {
		p := &iam.Principals{AWS: some(t, "principals", awsPrincipals)}
		if kind == iam.KindResource && s.Effect == iam.Deny && rapid.IntRange(0, 5).Draw(t, "notPrincipal") == 0 {
			s.NotPrincipal = p
		} else {
			s.Principal = p
		}
	}
	if kind == iam.KindResourceControl {
		s.Effect, s.Principal = iam.Deny, &iam.Principals{All: true}
	}
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		s.Conditions = append(s.Conditions, iam.Condition{
			Operator: rapid.SampledFrom(operators).Draw(t, "operator"),
			Key:      rapid.SampledFrom(keys).Draw(t, "key"),
			Values:   some(t, "values", values),
		})
	}
	// Two conditions with the same operator and key cannot be written in JSON.
	if len(s.Conditions) == 2 && s.Conditions[0].Operator == s.Conditions[1].Operator && s.Conditions[0].Key == s.Conditions[1].Key {
		s.Conditions = s.Conditions[:1]
	}
	return s
}

func policy(t *rapid.T, kind iam.Kind) *iam.Policy {
	p := &iam.Policy{Version: rapid.SampledFrom([]string{iam.Version2012, iam.Version2012, iam.Version2008}).Draw(t, "version")}
	for range rapid.IntRange(1, 4).Draw(t, "statements") {
		p.Statements = append(p.Statements, statement(t, kind))
	}
	return p
}

// A question is an Input before its policies are compiled.
type question struct {
	request                         iam.Request
	identity, session               []*iam.Policy
	boundary, resource, endpoint    *iam.Policy
	serviceControl, resourceControl [][]*iam.Policy
	resourceKind                    iam.Kind
}

var callers = []iam.Principal{
	{Type: iam.PrincipalUser, ARN: "arn:aws:iam::111122223333:user/alice", Account: account, UniqueID: "AIDAEXAMPLEEXAMPLE001"},
	{Type: iam.PrincipalRole, ARN: "arn:aws:iam::111122223333:role/reader", Account: account, UniqueID: "AROAEXAMPLEEXAMPLE001"},
	{Type: iam.PrincipalRoleSession, ARN: "arn:aws:sts::111122223333:assumed-role/reader/s1", Account: account, RoleARN: "arn:aws:iam::111122223333:role/reader"},
	{Type: iam.PrincipalRoleSession, ARN: "arn:aws:sts::111122223333:assumed-role/reader/s2", Account: account},
	{Type: iam.PrincipalRootUser, ARN: "arn:aws:iam::111122223333:root", Account: account},
	{Type: iam.PrincipalAnonymous},
	{Type: iam.PrincipalService, ARN: "states.amazonaws.com"},
}

func draw(t *rapid.T) *question {
	q := &question{resourceKind: iam.KindResource}
	q.request.Principal = rapid.SampledFrom(callers).Draw(t, "caller")
	switch rapid.IntRange(0, 2).Draw(t, "target") {
	case 0:
		q.request.Action, q.request.Resource, q.request.ResourceAccount = "s3:GetObject", "arn:aws:s3:::data/a.txt", account
	case 1:
		q.request.Action, q.request.Resource, q.request.ResourceAccount = "s3:GetObject", "arn:aws:s3:::data/a.txt", other
	case 2:
		q.request.Action, q.request.Resource, q.resourceKind = "sts:AssumeRole", "arn:aws:iam::444455556666:role/target", iam.KindTrust
	}
	setContext(t, &q.request.Context, keys)
	maybePolicy := func(kind iam.Kind) *iam.Policy {
		if rapid.Bool().Draw(t, "present") {
			return policy(t, kind)
		}
		return nil
	}
	list := func(kind iam.Kind, from, to int) []*iam.Policy {
		var out []*iam.Policy
		for range rapid.IntRange(from, to).Draw(t, "policies") {
			out = append(out, policy(t, kind))
		}
		return out
	}
	q.identity = list(iam.KindIdentity, 0, 3)
	q.session = list(iam.KindSession, 0, 1)
	q.boundary = maybePolicy(iam.KindBoundary)
	q.resource = maybePolicy(q.resourceKind)
	if rapid.IntRange(0, 3).Draw(t, "organization") == 0 {
		q.serviceControl = append(q.serviceControl, list(iam.KindServiceControl, 1, 2), list(iam.KindServiceControl, 1, 2))
		q.resourceControl = append(q.resourceControl, list(iam.KindResourceControl, 0, 1))
		q.endpoint = maybePolicy(iam.KindEndpoint)
	}
	return q
}

// setContext gives each key a value, several, or none.
func setContext(t *rapid.T, c *iam.Context, keys []string) {
	for _, key := range keys {
		switch rapid.IntRange(0, 3).Draw(t, key) {
		case 0:
			c.Delete(key)
		case 1, 2:
			c.Set(key, rapid.SampledFrom([]string{"red", "blue", "data", "true", "false", "*", "red-x", ""}).Draw(t, "value"))
		case 3:
			c.SetMulti(key, rapid.SliceOfN(rapid.SampledFrom([]string{"red", "blue", "true"}), 0, 2).Draw(t, "values")...)
		}
	}
}

// each returns the question with every policy replaced by what change makes of it.
func (q *question) each(change func(*iam.Policy) *iam.Policy) *question {
	c := *q
	one := func(p *iam.Policy) *iam.Policy {
		if p == nil {
			return nil
		}
		return change(p)
	}
	list := func(in []*iam.Policy) []*iam.Policy {
		var out []*iam.Policy
		for _, p := range in {
			out = append(out, change(p))
		}
		return out
	}
	levels := func(in [][]*iam.Policy) [][]*iam.Policy {
		var out [][]*iam.Policy
		for _, l := range in {
			out = append(out, list(l))
		}
		return out
	}
	c.identity, c.session = list(q.identity), list(q.session)
	c.boundary, c.resource, c.endpoint = one(q.boundary), one(q.resource), one(q.endpoint)
	c.serviceControl, c.resourceControl = levels(q.serviceControl), levels(q.resourceControl)
	return &c
}

func (q *question) input(t interface{ Fatal(...any) }) *eval.Input {
	return q.compiled(t, func(p *eval.Policy) *eval.Policy { return p })
}

// compiled returns the Input with what change makes of every compiled policy.
func (q *question) compiled(t interface{ Fatal(...any) }, change func(*eval.Policy) *eval.Policy) *eval.Input {
	compile := func(kind iam.Kind, p *iam.Policy) *eval.Policy {
		if p == nil {
			return nil
		}
		compiled, err := eval.Compile(p, kind, kind.String())
		if err != nil {
			t.Fatal(err)
		}
		return change(compiled)
	}
	list := func(kind iam.Kind, in []*iam.Policy) []*eval.Policy {
		var out []*eval.Policy
		for _, p := range in {
			out = append(out, compile(kind, p))
		}
		return out
	}
	in := &eval.Input{
		Request:  &q.request,
		Identity: list(iam.KindIdentity, q.identity),
		Session:  list(iam.KindSession, q.session),
		Boundary: compile(iam.KindBoundary, q.boundary),
		Resource: compile(q.resourceKind, q.resource),
		Endpoint: compile(iam.KindEndpoint, q.endpoint),
	}
	for _, l := range q.serviceControl {
		in.ServiceControl = append(in.ServiceControl, list(iam.KindServiceControl, l))
	}
	for _, l := range q.resourceControl {
		in.ResourceControl = append(in.ResourceControl, list(iam.KindResourceControl, l))
	}
	return in
}

func (q *question) verdict(t interface{ Fatal(...any) }) eval.Verdict {
	d := eval.Decide(q.input(t))
	return d.Verdict
}

func TestAddingADenyNeverAllowsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		before := q.verdict(t)
		deny := statement(t, iam.KindIdentity)
		deny.Effect = iam.Deny
		where := rapid.IntRange(0, 3).Draw(t, "where")
		withDeny := func(p *iam.Policy) *iam.Policy {
			c := *p
			c.Statements = append(slices.Clone(p.Statements), deny)
			return &c
		}
		more := *q
		switch {
		case where == 0 && len(q.identity) > 0:
			more.identity = append([]*iam.Policy{withDeny(q.identity[0])}, q.identity[1:]...)
		case where == 1 && q.boundary != nil:
			more.boundary = withDeny(q.boundary)
		case where == 2 && len(q.session) > 0:
			more.session = []*iam.Policy{withDeny(q.session[0])}
		case where == 3 && q.resource != nil:
			deny.Principal, deny.NotPrincipal = &iam.Principals{AWS: some(t, "principals", awsPrincipals)}, nil
			more.resource = withDeny(q.resource)
		default:
			t.Skip("no such layer")
		}
		after := more.verdict(t)
		if after == eval.Allowed && before != eval.Allowed {
			t.Fatalf("a Deny turned %s into %s", before, after)
		}
	})
}

func TestOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		turned := q.each(func(p *iam.Policy) *iam.Policy {
			c := *p
			c.Statements = slices.Clone(p.Statements)
			slices.Reverse(c.Statements)
			for i := range c.Statements {
				s := &c.Statements[i]
				s.Action, s.Resource, s.Conditions = slices.Clone(s.Action), slices.Clone(s.Resource), slices.Clone(s.Conditions)
				slices.Reverse(s.Action)
				slices.Reverse(s.Resource)
				slices.Reverse(s.Conditions)
			}
			return &c
		})
		slices.Reverse(turned.identity)
		a, b := eval.Decide(q.input(t)), eval.Decide(turned.input(t))
		if a.Verdict != b.Verdict || a.Layer != b.Layer || a.Side != b.Side {
			t.Fatalf("%s by %s (%s), reversed %s by %s (%s)", a.Verdict, a.Layer, a.Side, b.Verdict, b.Layer, b.Side)
		}
	})
}

func TestReserializedPoliciesDecideTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		want := q.verdict(t)
		for name, write := range map[string]func(*iam.Policy) []byte{
			"MarshalJSON": func(p *iam.Policy) []byte {
				data, err := p.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				return data
			},
			"Canonical": (*iam.Policy).Canonical,
			"Indent":    (*iam.Policy).Indent,
		} {
			again := q.each(func(p *iam.Policy) *iam.Policy {
				parsed, err := iam.ParsePolicy(write(p))
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, write(p))
				}
				return parsed
			})
			if got := again.verdict(t); got != want {
				t.Fatalf("%s: %s became %s", name, want, got)
			}
		}
	})
}

// The index by service must not change anything: a policy and the same
// statements as policies of their own decide the same.
func TestSplitPoliciesDecideTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		split := *q
		split.identity = nil
		for _, p := range q.identity {
			for _, s := range p.Statements {
				split.identity = append(split.identity, &iam.Policy{Version: p.Version, Statements: []iam.Statement{s}})
			}
		}
		if a, b := q.verdict(t), split.verdict(t); a != b {
			t.Fatalf("together %s, apart %s", a, b)
		}
	})
}

// The index only chooses which statements are looked at: with all of them looked
// at, the decision and its statements are the same.
func TestIndexedPoliciesDecideTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		if rapid.Bool().Draw(t, "open") {
			q.request.Context.SetUnknown(rapid.SampledFrom(keys).Draw(t, "unknown"))
		}
		in, slow := q.input(t), q.compiled(t, eval.Unindexed)
		a, b := eval.Decide(in), eval.Decide(slow)
		same := a.Verdict == b.Verdict && a.Layer == b.Layer && a.Level == b.Level && a.Side == b.Side
		same = same && slices.EqualFunc(a.Statements(), b.Statements(), func(x, y eval.StatementRef) bool {
			return x.Index == y.Index && x.Layer == y.Layer && x.Level == y.Level && x.Policy.Source().Statements[0].Effect == y.Policy.Source().Statements[0].Effect
		})
		if !same {
			t.Fatalf("indexed %+v\nnot indexed %+v", a, b)
		}
	})
}

// An Index finds every policy that allows something by itself.
func TestIndexFindsEveryGrant(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		var policies []*eval.Policy
		for range rapid.IntRange(0, 8).Draw(t, "policies") {
			p, err := eval.Compile(policy(t, iam.KindIdentity), iam.KindIdentity, "")
			if err != nil {
				t.Fatal(err)
			}
			policies = append(policies, p)
		}
		policies = append(policies, nil)
		q := draw(t)
		q.request.Principal, q.request.ResourceAccount = callers[0], account
		if q.request.Action == "sts:AssumeRole" {
			q.request.Action = "iam:GetRole" // no trust policy in the way
		}
		got := eval.NewIndex(policies).Allowing(q.request.Action, q.request.Resource)
		for i, p := range policies {
			if p == nil {
				continue
			}
			d := eval.Decide(&eval.Input{Request: &q.request, Identity: []*eval.Policy{p}})
			if d.Allowed() && !slices.Contains(got, i) {
				t.Fatalf("policy %d allows %s on %s, but was not found: %s", i, q.request.Action, q.request.Resource, p.Source().Canonical())
			}
			if d.Allowed() {
				found++
			}
		}
	})
	if found == 0 {
		t.Error("no policy ever allowed anything")
	}
}

// What is decided in spite of unknown keys must hold whatever they turn out to
// be.
func TestUnknownKeysAreHonest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		open := *q
		open.request.Context = q.request.Context.Clone()
		unknown := rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 1, 2, rapid.ID).Draw(t, "unknown")
		for _, key := range unknown {
			open.request.Context.SetUnknown(key)
		}
		known := *q
		known.request.Context = q.request.Context.Clone()
		setContext(t, &known.request.Context, unknown)
		promised, got := open.verdict(t), known.verdict(t)
		switch {
		case got == eval.Depends && q.request.Principal.Type == iam.PrincipalRole:
			// Which session of the role calls is unknown too.
		case got == eval.Depends:
			t.Fatal("nothing is unknown, and yet it depends")
		case promised == eval.Depends:
		case promised == eval.ExplicitlyDenied && got != eval.ExplicitlyDenied,
			(promised == eval.Allowed) != (got == eval.Allowed):
			t.Fatalf("with %v unknown it was %s, but it is %s", unknown, promised, got)
		}
	})
}

// Applying the suggested changes, and nothing else, allows the request; and
// without any one of them it stays denied.
func TestChangesFlipImplicitDenials(t *testing.T) {
	suggested, edited := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		in := q.input(t)
		x := eval.Explain(in)
		if d := eval.Decide(in); d.Verdict != x.Decision.Verdict || d.Layer != x.Decision.Layer {
			t.Fatalf("Decide says %s, Explain says %s", d.Verdict, x.Decision.Verdict)
		}
		_ = x.String()
		if len(x.Changes) == 0 {
			return
		}
		suggested++
		if got := q.with(x.Changes).verdict(t); got != eval.Allowed {
			t.Fatalf("after all changes it is %s\n%s", got, x)
		}
		for i, c := range x.Changes {
			if c.Edit == nil {
				continue
			}
			edited++
			others := slices.Delete(slices.Clone(x.Changes), i, i+1)
			if got := q.with(others).editing(&c).verdict(t); got != eval.Allowed {
				t.Fatalf("with the edit of change %d instead of its addition it is %s\n%s", i, got, x)
			}
		}
		for i := range x.Changes {
			fewer := slices.Delete(slices.Clone(x.Changes), i, i+1)
			if got := q.with(fewer).verdict(t); got == eval.Allowed {
				t.Fatalf("change %d is not needed\n%s", i, x)
			}
		}
	})
	if suggested == 0 || edited == 0 {
		t.Errorf("%d changes were ever suggested, %d edits", suggested, edited)
	}
}

// editing replaces the nearest statement of a change by its edit.
func (q *question) editing(c *eval.Change) *question {
	source := c.Nearest.Statement.Policy.Source()
	return q.each(func(p *iam.Policy) *iam.Policy {
		// A compiled policy shares its statements with what it was compiled from.
		if len(p.Statements) < len(source.Statements) || &p.Statements[0] != &source.Statements[0] {
			return p
		}
		e := *p
		e.Statements = slices.Clone(p.Statements)
		e.Statements[c.Nearest.Index] = *c.Edit
		return &e
	})
}

// with applies changes by adding policies and statements as their text says.
func (q *question) with(changes []eval.Change) *question {
	c := *q
	extend := func(p *iam.Policy, s iam.Statement) *iam.Policy {
		if p == nil {
			return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}
		}
		e := *p
		e.Statements = append(slices.Clone(p.Statements), s)
		return &e
	}
	for _, change := range changes {
		switch change.Layer {
		case eval.LayerIdentity:
			c.identity = append(slices.Clone(c.identity), extend(nil, change.Add))
		case eval.LayerSession:
			c.session = append(slices.Clone(c.session), extend(nil, change.Add))
		case eval.LayerBoundary:
			c.boundary = extend(c.boundary, change.Add)
		case eval.LayerResource:
			c.resource = extend(c.resource, change.Add)
		case eval.LayerEndpoint:
			s := change.Add
			s.Principal = &iam.Principals{All: true}
			c.endpoint = extend(c.endpoint, s)
		case eval.LayerServiceControl:
			c.serviceControl = slices.Clone(c.serviceControl)
			c.serviceControl[change.Level] = append(slices.Clone(c.serviceControl[change.Level]), extend(nil, change.Add))
		}
	}
	return &c
}
